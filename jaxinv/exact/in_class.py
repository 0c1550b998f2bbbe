"""Classical rules at their best: the exact cost of a rule, and the whole numbers that make it
least.

A rule is a policy like any other, so its average cost is that of its steady state on the tables
that the optimum is computed from. Its numbers are searched one step at a time in all directions at
once, from a start that simulation found.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.exact.enumeration import MEMORY, RARE, WIDENINGS, check_size, visits
from jaxinv.exact.extent import first_grid
from jaxinv.exact.mdp import covered, tabulate
from jaxinv.exact.of_policy import orders_in_every_state
from jaxinv.exact.solve import pure_numbers
from jaxinv.exact.state_space import StateSpace
from jaxinv.policies.rules import Rule

Numbers = Mapping[str, np.ndarray]
"""Parameters of a rule in product units, by name; `[E, K]` each."""


@dataclass(frozen=True)
class BestRule:
    """The best of a class of rules. Attributes: numbers: in product units; cost: average a period,
    exact.
    """

    numbers: dict[str, np.ndarray]
    cost: float


class RuleCosts:
    """Exact average costs of a rule on one instance, each point computed once.

    Attributes:
      env, params: the instance. rule: the rule.
      grid: states and orders, widened when the rule asks for more.
    """

    def __init__(
        self, env: InventoryNetwork, params: InstanceParams, rule: Rule, memory: float = MEMORY
    ):
        covered(env)
        self.env, self.params, self.rule, self.memory = env, params, rule, memory
        self._use(first_grid(env, params))
        self._known: dict[tuple, float] = {}

    def __call__(self, numbers: Numbers) -> float:
        """Average cost a period of the rule with whole numbers in product units; infinite where
        stock has no bound.
        """
        key = tuple(
            (name, tuple(np.ravel(value).tolist())) for name, value in sorted(numbers.items())
        )
        if key not in self._known:
            self._known[key] = self._cost(numbers)
        return self._known[key]

    def _use(self, grid: StateSpace) -> None:
        check_size(grid, self.memory)
        self.grid, self.mdp = grid, tabulate(self.env, self.params, grid)

    def _cost(self, numbers) -> float:
        topology = self.env.topology
        for _ in range(WIDENINGS):
            wanted = self._orders(numbers)
            held = np.minimum(wanted, self.grid.orders.high)
            orders = self.grid.orders.index(held).astype(np.int32)
            seen = visits(self.mdp, orders)
            most = wanted[seen.share > RARE].max(0)
            if seen.spilt <= RARE and (most <= self.grid.orders.high).all():
                return seen.cost
            stock = [
                int(1.25 * high) + 1 if seen.spilt > RARE else high for high in self.grid.stock.high
            ]
            largest = np.maximum(most, self.grid.orders.high).tolist()
            self._use(StateSpace.of(topology, self.grid.stock.low, stock, largest))
        return math.inf

    def _orders(self, numbers) -> np.ndarray:
        """What the rule orders in every state `[X, R, E * K]`."""
        pure = pure_numbers(self.rule, numbers, self.env, self.params)
        orders = orders_in_every_state(
            self.env, self.rule, self.grid, self.params, pure, executed=False
        )
        return np.asarray(orders, int)


def best_numbers(costs: RuleCosts, start: Numbers, free: Numbers | None = None) -> BestRule:
    """The whole numbers of a rule from which no step of one, in any directions at once, lowers the
    exact cost.

    Args:
      start: whole numbers in product units, such as those of `tuning.tune`, rounded.
      free: which entries may move; all where not given.
    """
    shapes = {name: np.shape(value) for name, value in start.items()}
    first = np.concatenate([np.ravel(start[name]) for name in shapes]).round().astype(int)
    moving = np.concatenate(
        [
            np.ravel(np.broadcast_to(True if free is None else free[name], shapes[name]))
            for name in shapes
        ]
    )

    def numbers(point):
        parts = np.split(
            np.asarray(point, float),
            np.cumsum([np.prod(shape, dtype=int) for shape in shapes.values()])[:-1],
        )
        return {name: part.reshape(shape) for part, (name, shape) in zip(parts, shapes.items())}

    steps = [
        np.array(step)
        for step in itertools.product(*[(-1, 0, 1) if moves else (0,) for moves in moving])
    ]
    point = first
    while True:
        around = [point + step for step in steps if (point + step >= 0).all()]
        best = min(around, key=lambda near: costs(numbers(near)))
        if costs(numbers(best)) >= costs(numbers(point)):
            return BestRule(numbers(point), costs(numbers(point)))
        point = best
