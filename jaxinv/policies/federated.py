"""A forecast that parties make together, each from columns of its own, and the newsvendor's orders
on it (methods C.4).

Parties own signals by their names. The label holder, who knows demand, is the party that owns it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from jaxinv.envs import views
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.errors import UserError
from jaxinv.nets.actor_critic import QUANTILES
from jaxinv.nets.encoder import make_encoder
from jaxinv.nets.federated import HOLDER, Federation, Holder, Parties, Party
from jaxinv.policies.decode import Decode
from jaxinv.policies.learned import Context, LearnedPolicy
from jaxinv.policies.policy import fill_to

RETAILER, MARKETPLACE, PUBLIC = "retailer", "marketplace", "public"

MARKET = ("price", "discount", "competitor_price", "views_before", "carts_before")
"""Signals of the marketplace, where nobody says who owns what; demand is the retailer's, and the
rest (calendar, promotions, trends) is public.
"""


def shared_among(env: InventoryNetwork, written: Sequence[str]) -> Parties:
    """Who owns which columns of a world's signals.

    Args:
      written: "NAME:SIGNAL+SIGNAL" for each party; empty for the retailer, the marketplace and the
        public, as far as each has any.

    Raises:
      UserError: it names the party that owns no column, an unknown signal, or one that is owned
        twice; and where nobody owns demand.
    """
    if not written:
        names = [signal.name.partition("[")[0] for signal in env.signals]
        owner = [
            RETAILER if name == "demand" else MARKETPLACE if name in MARKET else PUBLIC
            for name in names
        ]
        found = [
            (party, tuple(column for column, name in enumerate(owner) if name == party))
            for party in (RETAILER, MARKETPLACE, PUBLIC)
        ]
        return tuple((party, columns) for party, columns in found if columns)
    found, owners = [], {}
    for text in written:
        party, _, signals = text.partition(":")
        wanted = [name for name in signals.split("+") if name]
        if not party or not wanted:
            raise UserError(
                f"parties: {party or text!r} owns no column; write NAME:SIGNAL+SIGNAL, or leave the"
                " party out"
            )
        if party == HOLDER or party in dict(found):
            raise UserError(f"parties: {party!r} is taken; give every party a name of its own")
        columns = env.columns(*wanted)
        for column in columns:
            name = env.signals[column].name
            if column in owners:
                raise UserError(
                    f"parties: {owners[column]} and {party} both own {name}; a column has one owner"
                )
            owners[column] = party
        found.append((party, columns))
    demand = env.columns("demand")
    if not set(demand) <= set(owners):
        raise UserError("parties: nobody owns demand, which is the label; give it to the retailer")
    return tuple(found)


@dataclass(frozen=True)
class FederatedPolicy(LearnedPolicy):
    """Orders up to the newsvendor's level on the forecast of a `Federation`."""

    @classmethod
    def of(cls, env: InventoryNetwork, config: Any, parties: Parties) -> Self:
        """The policy of a configuration (`jaxinv.agents.fdim.FDIMConfig`)."""
        encoder = make_encoder(
            config.encoder, config.features, config.heads, config.layers, env.history
        )
        series = env.world.demand.locations * env.world.demand.products
        holder = Holder(config.forecast, series, tuple(config.hidden), config.activation)
        network = Federation(parties, Party(encoder), holder)
        return cls(env.topology, network, Decode(env.topology, config.form), env.history)

    def act(self, params, observation, context):
        """`[E, K]`."""
        context = self.context(params, observation, context)
        level = self.levels(observation, context)
        position = views.edge_position(self.topology, observation)
        return fill_to(self.topology, observation, level, position)

    def levels(self, observation, context: Context) -> jax.Array:
        """S of each edge `[E, K]`; demand of periods and places is taken as independent."""
        topology, facts = self.topology, observation.instance
        forecast = context.forecast.reshape(-1, *context.recent.shape, len(QUANTILES))
        forecast = forecast * context.recent[..., None]  # [J, D, K, Q] units
        cover = views.echelon_coverage(topology, facts)
        step = jnp.arange(len(forecast))
        weight = jnp.clip(cover[:, None] - step, 0.0, 1.0)  # [E, J]
        weight = weight.at[:, -1].add(jnp.maximum(cover - len(forecast), 0.0))

        def along(series):  # [J, D, K] to [E, J, K]
            return jnp.moveaxis(jax.vmap(self.sight.along_edges)(series), 0, 1)

        median = along(forecast[..., 1])
        spread = along((forecast[..., 2] - forecast[..., 1]) ** 2)
        total = jnp.sum(weight[..., None] * median, 1)
        safety = jnp.sqrt(jnp.sum(weight[..., None] * spread, 1))
        ratio = topology.at_destination(facts.critical_ratio)
        most = jnp.clip(ratio, 1e-3, 1.0 - 1e-3)
        return jnp.maximum(total + ndtri(most) / ndtri(QUANTILES[2]) * safety, 0.0)
