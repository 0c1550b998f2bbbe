"""The two days and the reward of seed 001 (Dong Shuyan et al., section 4) as they are written, and
as networks that follow them.

The paper rewards a warehouse with

    fill rate * 1.0 + inventory cost reduction * 0.5 - transportation cost * 0.2.

Its arithmetic is not that of its own formula (`DAYS`). Demand does not deplete its stock, to
replenish counts as a reduction of cost, and the terms of its second day are neither the transfers
nor changes of stock. `Literal` follows the print exactly; `PaperReward` is the same
formula in a network whose demand is served from stock.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxinv.envs.costs import COSTS, Charge, by_place, freight, totals
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.topology import SUPPLIER

WEIGHTS = {"revenue": 1.0, "holding": 0.5, "transport": 0.2}
"""The coefficients of the paper, by the part of the cost vector that holds their term: what fill
rate earns, what stock has grown by, what transport costs."""


@dataclass(frozen=True)
class Day:
    """A day of the paper, warehouse A before B.

    Attributes:
      stock: in the morning. demand: forecast, and met in full.
      replenished, sent: units bought, and sent to the other warehouse.
      after: stock once these have arrived.
      reduction, transport: what stands in the formula.
      printed: the reward that it is said to make.
    """

    stock: tuple[int, int]
    demand: tuple[int, int]
    replenished: tuple[int, int]
    sent: tuple[int, int]
    after: tuple[int, int]
    reduction: tuple[int, int]
    transport: tuple[int, int]
    printed: tuple[float, float]

    @property
    def action(self) -> np.ndarray:
        """Orders of the edges supplier-A, supplier-B, A-B and B-A `[4, 1]`."""
        return np.asarray([*self.replenished, *self.sent], np.float32)[:, None]

    @property
    def reward(self) -> tuple[float, float]:
        """What the formula makes of its terms."""
        return tuple(reward(1.0, *terms) for terms in zip(self.reduction, self.transport))


DAYS = (
    Day((100, 150), (80, 120), (20, 30), (0, 0), (120, 180), (20, 30), (0, 0), (1.5, 1.5)),
    Day((120, 180), (90, 100), (0, 0), (30, 50), (140, 160), (-10, -25), (0, 25), (1.0, 0.5)),
)


def reward(fill, reduction, transport, weights=WEIGHTS):
    """The formula of section 4.3 with the coefficients of section 4.5."""
    return (
        fill * weights["revenue"]
        + reduction * weights["holding"]
        - transport * weights["transport"]
    )


class PaperReward(InventoryNetwork):
    """A network that is rewarded as in the paper, for each warehouse by the terms

    - fill rate: the share of the day's demand that is served at once, 1 where there is none;
    - reduction: the holding cost of the stock in the morning less that of the next morning;
    - transport: the freight of what it sends.

    Costs are counted in units of what it costs to hold a day's typical demand. Of all costs these
    are the only ones, with the fill rate as (negative) revenue; over many days the reductions add
    up to nothing, so that stock is held for free.
    """

    def transition(self, state, action, exogenous, params):
        after, outcome = super().transition(state, action, exogenous, params)
        return after, self._rewarded(outcome, self._terms(state, after, outcome, params), params)

    def _terms(self, state, after, outcome, params) -> list[Charge]:
        asked = outcome.demand > 0
        served = jnp.where(asked, 1.0 - outcome.short / jnp.where(asked, outcome.demand, 1.0), 1.0)
        held = params.holding * params.scale
        grown = (after.on_hand - state.on_hand) * params.holding / held
        sent = freight(outcome.ordered.sum(-1), params)
        payer = [max(source, 0) for source in self.topology.sources]
        sent = sent / held[payer, 0]
        return [
            Charge("revenue", False, -served),
            Charge("holding", False, grown),
            Charge("transport", True, sent),
        ]

    def _rewarded(self, outcome, charges, params):
        parts = totals(charges)
        earned = -sum(params.weights[COSTS.index(name)] * part for name, part in parts.items())
        costs = jnp.stack([parts.get(name, jnp.zeros_like(earned)) for name in COSTS])
        return outcome.replace(reward=earned, costs=costs, places=by_place(self.topology, charges))


class Literal(PaperReward):
    """The paper's days: demand is met from stock and depletes nothing, and the terms of the formula
    are those that it writes for its actions, by the unit: a unit bought reduces cost by 1, and a
    unit sent by A or B raises it by 10/30 or 25/50 and costs 0/30 or 25/50 of transport.
    """

    def transition(self, state, action, exogenous, params):
        still = exogenous.replace(demand=jnp.zeros_like(exogenous.demand))
        after, outcome = InventoryNetwork.transition(self, state, action, still, params)
        demand = self.topology.at_demand_nodes(exogenous.demand)
        sold = jnp.minimum(after.on_hand, demand)
        outcome = outcome.replace(demand=demand, sold=sold, short=demand - sold)
        return after, self._rewarded(outcome, self._terms(state, after, outcome, params), params)

    def _terms(self, state, after, outcome, params):
        units, asked = outcome.ordered.sum(-1), outcome.demand > 0
        fill = jnp.where(asked, outcome.sold / jnp.where(asked, outcome.demand, 1.0), 1.0)
        reduction, transport = (
            jnp.asarray([by_unit(source) for source in self.topology.sources])
            for by_unit in (_saved, _carried)
        )
        return [
            Charge("revenue", False, -fill), Charge("holding", True, -reduction * units),
            Charge("transport", True, transport * units)
        ]  # fmt: skip


def _saved(source: int) -> float:
    """By how much a unit that leaves a source reduces costs, as it is written."""
    return 1.0 if source == SUPPLIER else DAYS[1].reduction[source] / DAYS[1].sent[source]


def _carried(source: int) -> float:
    """What a unit that leaves a source costs of transport, as it is written."""
    return 0.0 if source == SUPPLIER else DAYS[1].transport[source] / DAYS[1].sent[source]
