"""From raw network outputs to feasible orders: the four forms of DeepStock, for every algorithm alike.

With o the raw output, f the demand rates of the coefficient forms and IP the inventory position,

    none   order = review * rate * s(o)                 base   order = (coverage * rate * s(o) - IP)^+
    coeff  order = review * mean_i s(o_i) f_i           both   order = (coverage * mean_i s(o_i) f_i - IP)^+

where s is a softplus shifted so that s(0) = 1: an untrained network orders the recent rate of demand, or up to what
that rate uses over the coverage, and never falls silent. (DeepStock, seed 003; methods A.3. Under lost sales the optimal
target still depends on the stock, so the network sees the stock in every form.) Orders that draw on a node of the network
can share out its stock instead, whatever the form (`jaxinv.policies.allocation`). An edge that serves the customers of a channel
without stock orders s(o) times what these have booked, in every form.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxinv.envs import views
from jaxinv.envs.environment import Observation
from jaxinv.envs.topology import Topology
from jaxinv.errors import unknown
from jaxinv.policies.allocation import check_allocation, draws_on_nodes, share_out
from jaxinv.policies.policy import fill_to, filled_to

FORMS = ("none", "base", "coeff", "both")

RATES = 4
"""Demand rates of the coefficient forms: near history, far history, forecast, and the constant typical demand."""

_UNIT_SHIFT = 0.5413249  # softplus(0.5413249) = 1


def raw_of(factor):
    """The raw output that stands for a factor above 0: what `Decode` multiplies its rates by."""
    return jnp.log(jnp.expm1(factor)) - _UNIT_SHIFT


@dataclass(frozen=True)
class Decode:
    """Turns raw outputs into order quantities.

    Attributes:
      topology: the network.
      form: one of `FORMS`.
      allocation: how edges that draw on a node share its stock, see `jaxinv.policies.allocation`.
    """

    topology: Topology
    form: str = "base"
    allocation: str = "rationing"

    def __post_init__(self):
        if self.form not in FORMS:
            raise unknown("decode form", self.form, FORMS)
        check_allocation(self.topology, self.allocation)

    @property
    def outputs(self) -> int:
        """How many raw outputs the form reads."""
        per_order = RATES if self.form in ("coeff", "both") else 1
        return self.topology.edges * self.topology.products * per_order

    def __call__(self, raw: jax.Array, observation: Observation, rates: jax.Array) -> jax.Array:
        """Order quantities `[E, K]`.

        Args:
          raw: `[outputs]`.
          rates: `[E, K, RATES]` demand a period at the end of each edge, everything downstream included.
        """
        order = self._order(raw, observation, rates)
        if self.topology.storeless:
            to_customers = self._rate(raw, self._wanted(observation, rates))
            order = jnp.where(self.topology.fulfilment[:, None], to_customers, order)
        if self.allocation == "rationing":
            return order
        shared = share_out(self.topology, observation, *self._weighed(raw, rates))
        return jnp.where(draws_on_nodes(self.topology), shared, order)

    def target(self, raw: jax.Array, observation: Observation, rates: jax.Array) -> jax.Array:
        """The levels `[E, K]` that the forms `base` and `both` order up to; arguments as for orders."""
        return self._rate(raw, rates) * views.echelon_coverage(self.topology, observation.instance)[:, None]

    def raw_for(self, order: jax.Array, observation: Observation, rates: jax.Array) -> jax.Array:
        """Raw outputs, one for each factor, that order `[E, K]`, for what others decided: of the many that may, those that weigh
        all rates alike, and the largest of those that order nothing. A factor of 0 is minus infinity."""
        facts = observation.instance
        if self.form in ("none", "coeff"):
            rate = order / facts.review_period[:, None]
        else:
            target = filled_to(self.topology, observation, order, views.edge_position(self.topology, observation))
            rate = target / views.echelon_coverage(self.topology, facts)[:, None]
        if self.topology.storeless:
            rate = jnp.where(self.topology.fulfilment[:, None], order, rate)
            rates = self._wanted(observation, rates)
        weighed = self._weighable(rates)
        raw = raw_of(jnp.maximum(rate, 0.0) / jnp.maximum(jnp.mean(weighed, -1), 1e-9))
        return jnp.broadcast_to(raw[..., None], weighed.shape).reshape(-1)

    def _order(self, raw, observation, rates):
        """What the form orders `[E, K]`."""
        if self.form in ("none", "coeff"):
            return self._rate(raw, rates) * observation.instance.review_period[:, None]
        target = self.target(raw, observation, rates)
        return fill_to(self.topology, observation, target, views.edge_position(self.topology, observation))

    def _wanted(self, observation, rates):
        """The rates `[E, K, RATES]` with what is booked in the place of those of edges that serve a channel."""
        booked = self.topology.at_destination(observation.booked)[..., None]
        return jnp.where(self.topology.fulfilment[:, None, None], booked, rates)

    def _rate(self, raw, rates):
        raw, rates = self._weighed(raw, rates)
        return jnp.mean(factor(raw) * rates, -1)

    def _weighed(self, raw, rates):
        """Raw outputs by edge and product, and the rates that they weigh: `[E, K, R]` both."""
        return raw.reshape(*rates.shape[:2], -1), self._weighable(rates)

    def _weighable(self, rates):
        return rates if self.form in ("coeff", "both") else rates[..., 1:2]


def factor(raw: jax.Array) -> jax.Array:
    """What raw outputs multiply a rate by: s(o) above."""
    return jax.nn.softplus(raw + _UNIT_SHIFT)
