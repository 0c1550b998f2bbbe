"""The joint policy of several agents who share one network: each sees its part, decides its part,
and has its own parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import flat
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import Action
from jaxinv.envs.roles import Roles
from jaxinv.errors import UserError
from jaxinv.nets.council import Council
from jaxinv.nets.critics import ActorQ
from jaxinv.nets.divided import Divided, DividedActorQ
from jaxinv.nets.encoder import KnownEncoder
from jaxinv.policies.learned import LearnedPolicy
from jaxinv.policies.owners import Owners
from jaxinv.policies.partners import Partners
from jaxinv.policies.sight import RoleSight


@dataclass(frozen=True)
class DividedPolicy(LearnedPolicy):
    """A `Divided` network that acts by its mode: one policy like any other.

    Attributes:
      roles: of the agents that learn, G.
      partners: who decide the rest; None where nothing is left.
      numbered: agents are told which of them they are, as those with the same parameters have to
        be.
    """

    roles: Roles | None = None
    partners: Partners | None = None
    numbered: bool = False

    @cached_property
    def sight(self) -> RoleSight:
        return RoleSight(self.topology, self.roles, self.numbered)

    @cached_property
    def owners(self) -> Owners:
        return Owners(self.decode.owners, len(self.roles))

    def predict(self, context):
        """The median of the forecast head, a mean over the agents that see the demand."""
        median = context.recent * context.forecast[0, :, 1].reshape(
            context.recent.shape
        )  # [G, D, K]
        sees = self.roles.sight(self.topology)[:, np.asarray(self.topology.demand_nodes)]
        weights = np.where(sees.any(0), sees, 1.0)
        return jnp.einsum("gd,gdk->dk", weights / weights.sum(0), median)

    def orders(self, raw, observation, context):
        ours = super().orders(raw, observation, context)
        if self.partners is None:
            return ours
        learned = np.isin(np.arange(self.topology.edges), self.decode.edges)[:, None]
        theirs = self.partners.orders(observation, context.partners)
        orders = jnp.where(learned, Action.of(ours).orders, theirs)
        return ours.replace(orders=orders) if isinstance(ours, Action) else orders

    def _context(self, states, forecast, signals, facts):
        context = super()._context(states, forecast, signals, facts)
        return (
            context
            if self.partners is None
            else context.replace(partners=self.partners.encode(signals, facts))
        )


@dataclass(frozen=True)
class CouncilPolicy(DividedPolicy):
    """Agents who each value the whole decision (`jaxinv.nets.council.Council`), on a grid."""

    @property
    def owners(self) -> Owners:
        """Every output is every agent's: there is an axis of agents before that of outputs
        instead.
        """
        return Owners()


def divide(
    policy: LearnedPolicy,
    env: InventoryNetwork,
    roles: Roles,
    shared: bool = False,
    partners: Partners | None = None,
) -> DividedPolicy:
    """The policy of one planner, shared out among agents with networks of the same kind.

    Args:
      roles: of those that learn.
      shared: they have the same parameters.
      partners: who decide the edges of the others.

    Raises:
      UserError: for a policy that cannot be shared out so.
    """
    if type(policy) is not LearnedPolicy:
        raise UserError(
            f"a {type(policy).__name__} is one planner's and cannot be shared out; give roles=one"
        )
    decode = replace(policy.decode, roles=roles)
    owners = np.asarray(decode.owners)
    most = int(np.bincount(owners, minlength=len(roles)).max())
    before = [int(np.sum(owners[:number] == owner)) for number, owner in enumerate(owners)]
    places = tuple(int(owner) * most + slot for owner, slot in zip(owners, before))
    module, columns = _agent(policy, env, roles)
    kind = DividedActorQ if isinstance(module, ActorQ) else Divided
    network = kind(module.clone(outputs=most), len(roles), columns, places, shared)
    numbered = shared and len(roles) > 1
    return DividedPolicy(
        **_as(policy, network=network, decode=decode),
        roles=roles,
        partners=partners,
        numbered=numbered,
    )


def convene(
    policy: LearnedPolicy,
    env: InventoryNetwork,
    roles: Roles,
    coordinator: str,
    owner_weight: float = 0.8,
    shared: bool = False,
) -> "CouncilPolicy":
    """The policy of one planner that chooses on a grid, by agents who each propose the whole
    decision (`jaxinv.nets.council`).

    Args:
      roles: of all agents; with a "hierarchy" an allocator, who sees and pays for everything, joins
        them.
      shared: they have the same parameters.
    """
    topology, decode = policy.topology, replace(policy.decode, roles=roles)
    levels = len(policy.decode.levels)
    if coordinator == "hierarchy":
        roles = Roles(
            (
                *roles.agents,
                replace(Roles.one(topology).agents[0], name="allocator", decides=(), returns=()),
            )
        )
    module, columns = _agent(policy, env, roles)
    outputs = decode.outputs
    network = Council(
        module.clone(outputs=outputs), len(roles), columns, tuple(range(outputs)), shared,
        coordinator=coordinator,
        owners=decode.owners[::levels], levels=levels, owner_weight=owner_weight,
    )  # fmt: skip
    return CouncilPolicy(**_as(policy, network=network, decode=decode), roles=roles)


def _as(policy: LearnedPolicy, **changed: Any) -> dict[str, Any]:
    """The fields of a policy, some of them changed."""
    return {field.name: getattr(policy, field.name) for field in fields(policy)} | changed


def _agent(
    policy: LearnedPolicy, env: InventoryNetwork, roles: Roles
) -> tuple[nn.Module, tuple[tuple[int, ...], ...]]:
    """The network of one agent, and the columns of the signals that each of them reads."""
    module, columns, encoder = policy.network, ((),) * len(roles), policy.network.encoder
    if encoder is not None:
        columns, series = _columns(env, policy.columns or tuple(range(len(env.signals))), roles)
        encoder = KnownEncoder(series) if isinstance(encoder, KnownEncoder) else encoder
    return module.clone(encoder=encoder), columns


def _columns(
    env: InventoryNetwork, read: Sequence[int], roles: Roles
) -> tuple[tuple[tuple[int, ...], ...], int]:
    """For each agent those of the columns that are read which it sees, -1 for none, and how many of
    them may be demand.
    """
    nodes, series = (
        flat.labels(env.topology, "node"),
        env.world.demand.locations * env.world.demand.products,
    )

    def seen(role, demand):
        hidden = [name for number, name in enumerate(nodes) if number not in role.sees]
        return [
            place for place, column in enumerate(read)
            if (column < series) == demand and env.signals[column].owner not in hidden
        ]  # fmt: skip

    parts = [[seen(role, demand) for role in roles.agents] for demand in (True, False)]
    widths = [max(map(len, part)) for part in parts]
    if not sum(widths):
        raise UserError(
            "no role sees any of the signals that an encoder reads; give encoder=none, or"
            " information=shared"
        )
    filled = [
        [columns + [-1] * (width - len(columns)) for columns in part]
        for part, width in zip(parts, widths)
    ]
    return tuple((*one, *other) for one, other in zip(*filled)), widths[0]
