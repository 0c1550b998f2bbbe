"""`unseen`: an invented shop, on which one policy learns to order for sales it has never seen."""

from dataclasses import dataclass, replace

import jax
import numpy as np

from jaxinv.demand.exogenous import RandomLeadTimes
from jaxinv.demand.prior import PARTS, Prior, PriorParams
from jaxinv.envs.builder import Network
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.presets import fixed_regime
from jaxinv.envs.problem import Preset, Problem, check_range, first_of, positive
from jaxinv.errors import UserError, unknown
from jaxinv.keys import instance_generator


def store(history: int, horizon: int, longest_lead_time: int) -> InventoryNetwork:
    """The store of `Unseen` with that history, horizon and longest lead time; its numbers are those
    of one invented instance.
    """
    problem = Unseen(
        instances=1, history=history, horizon=horizon, longest_lead_time=longest_lead_time
    ).build()
    return problem.env


KINDS = ("fixed", "random", "lost")
"""Of lead times: the same for all orders, drawn for each, and drawn with orders that never come."""


@dataclass(frozen=True, kw_only=True)
class Unseen(Preset):
    """One store and one supplier, invented anew for every instance: lost sales.

    An instance is a level of demand, a cost ratio, a law of lead times, a review period, a pack and
    a first stock; every episode of it draws another series (`jaxinv.demand.prior`). Nothing in it
    comes from data. Holding costs 1 a unit and period.

    Attributes:
      instances: to learn on, and as many others to be judged on.
      levels: ends of mean demand a period where a series begins, even in the logarithm.
      ratios: ends of the critical ratio, underage / (underage + holding), of two thirds of the
        instances.
      highest_ratio: of the others it lies between the last of these and this, even in the logarithm
        of what is left to 1.
      longest_lead_time: periods.
      without: parts of `jaxinv.demand.prior.PARTS`, or of "random", "lost" (lead times), "reviews"
        and "packs", that are left out.
      seed_of_instances: another number invents other instances.
    """

    history: int = 56
    horizon: int = 50
    tell: tuple[str, ...] = ("left",)
    instances: int = 4096
    levels: tuple[float, ...] = (0.3, 10_000.0)
    ratios: tuple[float, ...] = (0.4, 0.97)
    highest_ratio: float = 0.9995
    longest_lead_time: int = 14
    without: tuple[str, ...] = ()
    seed_of_instances: int = 0

    def __post_init__(self):
        super().__post_init__()
        positive(self, "instances", "longest_lead_time")
        check_range("levels", self.levels)
        check_range("ratios", self.ratios)
        if not 0 < self.ratios[0] <= self.ratios[1] <= self.highest_ratio < 1:
            raise UserError(
                f"ratios={self.ratios} and highest_ratio={self.highest_ratio} must rise, between 0"
                " and 1, both excluded"
            )
        for name in self.without:
            if name not in (*PARTS, *KINDS[1:], "reviews", "packs"):
                raise unknown("part", name, (*PARTS, *KINDS[1:], "reviews", "packs"))

    def build(self) -> Problem:
        draw = instance_generator(self.seed_of_instances)
        count = 2 * self.instances  # the second half is to be judged on
        level = np.exp(draw.uniform(*np.log(self.levels), count))
        ratio = self._ratios(draw, count)
        mass, arrives = self._lead_times(draw, count)
        lead = mass @ np.arange(mass.shape[1])
        review = np.where(self._some(draw, "reviews", 0.2, count), draw.integers(2, 5, count), 1)
        packed = self._some(draw, "packs", 0.2, count)
        pack = np.where(packed, np.ceil(draw.uniform(0.0, 1.0, count) * level * (lead + review)), 1)
        cover = level * (lead + review)
        stocked = draw.random(count) < 0.5
        net = Network(
            instances=count, whole_units=True, longest_lead_time_periods=mass.shape[1] - 1
        )
        net.supplier("supplier")
        net.node(
            "store", demand=True,
            typical_demand_units_per_period=level * np.exp(0.5 * draw.standard_normal(count)),
            holding_cost_per_unit_period=1.0, shortage_cost_per_unit=ratio / (1 - ratio),
            initial_stock_from_units=np.zeros(count), initial_stock_to_units=2 * cover * stocked,
        )  # fmt: skip
        net.edge(
            "supplier", "store", lead_time_periods=lead, review_periods=review, pack_units=pack,
            initial_pipeline_units_per_period=level * stocked,
            arrival_shares={0.0: 0.5, 1.0: 0.5},  # of each instance its own, below
            largest_order_units=40 * level + 40 * cover,
        )  # fmt: skip
        chances = np.array(
            [0.0 if name in self.without else chance for name, chance in PARTS.items()]
        )
        problem = net.problem(
            self,
            demand=(Prior(), self._series(level, chances)),
            lead_times=(RandomLeadTimes(1), fixed_regime(np.cumsum(mass, 1)[:, :-1, None])),
            name="unseen", ends=True, test_periods=self.horizon, warm_up=0,
        )  # fmt: skip
        law = problem.train.arrival_law
        params = problem.train.replace(
            arrival_law=law.replace(cdf=(1.0 - arrives)[:, None, None].astype(np.float32))
        )
        return self._in_halves(problem, params)

    def _ratios(self, draw, count) -> np.ndarray:
        low, high = self.ratios
        steep = 1.0 - np.exp(
            draw.uniform(np.log(1.0 - self.highest_ratio), np.log(1.0 - high), count)
        )
        return np.where(draw.random(count) < 1 / 3, steep, draw.uniform(low, high, count))

    def _series(self, level, chances) -> PriorParams:
        def of_all(value):
            return np.full(len(level), value, np.float32)

        return PriorParams(
            level.astype(np.float32),
            np.tile(chances.astype(np.float32), (len(level), 1)),
            of_all(self.history),
            of_all(self.horizon),
        )

    def _lead_times(self, draw, count) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of each lead time `[count, longest + 1]`, and that an order comes at all
        `[count]`.
        """
        longest = self.longest_lead_time
        shares = [0.45, 0.0 if "random" in self.without else 0.25]
        shares.append(0.0 if "lost" in self.without else 0.3)
        kind = draw.choice(len(KINDS), count, p=np.array(shares) / sum(shares))
        first = np.minimum(draw.geometric(0.22, count) - 1, longest)
        last = np.minimum(first + draw.integers(1, 5, count), longest)
        last = np.where(kind == 0, first, last)
        times = np.arange(longest + 1)
        there = (times >= first[:, None]) & (times <= last[:, None])
        mass = there / there.sum(1, keepdims=True)
        return mass, np.where(kind == 2, 1.0 - draw.uniform(0.02, 0.35, count), 1.0)

    def _some(self, draw, name, share, count):
        return draw.random(count) < (0.0 if name in self.without else share)

    def _in_halves(self, problem: Problem, params: InstanceParams) -> Problem:
        """The first half of the instances to learn on, the other to be judged on."""
        half, env = self.instances, problem.env
        train, test = (
            jax.tree.map(lambda leaf, part=part: np.asarray(leaf)[part], params)
            for part in (slice(half), slice(half, None))
        )
        env = InventoryNetwork(env.topology, env.world, first_of(train), env.history, env.name)
        return replace(
            problem, env=env, train=train, test=test, instances=half, test_instances=half
        )
