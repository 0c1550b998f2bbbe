"""The synthetic study of DeepStock (seed 003): a store with backlog that orders every second day,
on a few recorded trajectories.
"""

from dataclasses import dataclass

import numpy as np

from jaxinv.demand import deepstock_paths as published
from jaxinv.demand.deepstock_paths import LEAD_TIME, REVIEW, SETTINGS, Paths
from jaxinv.demand.exogenous import World
from jaxinv.demand.processes import TraceParams, TraceReplay
from jaxinv.demand.signals import Signal
from jaxinv.envs.builder import Network
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Preset, Problem, first_of, not_negative, positive
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown
from jaxinv.limits import check_memory

PATHS = {1: (10, 10), 2: (10, 10), 3: (5, 5), 4: (5, 5)}
"""Trajectories to train and to choose policies on, as published."""

UNITS = {1: 1.0, 2: 7.5, 3: 7.5, 4: 12.5}
"""Unit of each setting's feature: the mean of its law, and one review in setting 1."""

FEATURES = {1: "review", 2: "demand before", 3: "demand before", 4: "sigma"}
"""What each setting's feature is called."""

LARGEST_ORDER = 100.0
"""The published bound on orders; it bounds the action space and no policy here."""


@dataclass(frozen=True, kw_only=True)
class DeepStock(Preset):
    """A store with lead time 1 and orders every 2 days, on trajectories of one of the four
    published laws.

    The loss is the paper's: 1 / (T - L) times the sum over days L + 1 .. T of shortage_cost * owed
    + holding_cost * on hand. As in the published code, two days of demand before the first order
    are owed when an episode begins. A policy sees the stock and the setting's one feature
    (`jaxinv.demand.deepstock_paths`), scaled to the order of 1.

    What differs from the published code: orders have no upper limit; the network sees stock in
    units of typical demand; and learners explore (the published DDPG does not).

    Attributes:
      setting: 1 independent, 2 autoregressive, 3 the same with fewer trajectories, 4 normal every
        second day.
      training, validation: trajectories to learn on, and to choose the best policy on; 0 for as
        many as published. In setting 4 each is a SKU with a sigma of its own; those of validation
        are the same SKUs again.
      testing: trajectories to judge on; in setting 4 for each SKU.
      holding_cost, shortage_cost: money per unit and day on hand, and owed to customers.
      horizon: T, days.
      instance_seed: of the trajectories; 42 gives the published ones.
    """

    setting: int = 1
    training: int = 0
    validation: int = 0
    testing: int = 100
    holding_cost: float = 0.1
    shortage_cost: float = 0.9
    horizon: int = 29
    integer_orders: bool = False
    instance_seed: int = 42

    largest_order_given = True

    def __post_init__(self):
        super().__post_init__()
        if self.setting not in SETTINGS:
            raise unknown("setting", str(self.setting), map(str, SETTINGS))
        not_negative(
            self, "training", "validation", "holding_cost", "shortage_cost", "instance_seed"
        )
        positive(self, "testing")
        paths = self.training + self.validation + self.testing
        check_memory(
            40 * paths * self.horizon,
            f"{paths:,} trajectories of {self.horizon:,} days",
            "training, testing or horizon",
        )
        if self.horizon < REVIEW + LEAD_TIME:
            raise UserError(
                f"horizon={self.horizon} must be at least {REVIEW + LEAD_TIME}: the days that one"
                " order decides"
            )
        if self.history != 1:
            raise UserError(
                f"history={self.history}: a policy of this study sees one feature of each day;"
                " leave history at 1"
            )

    def build(self) -> Problem:
        train, held_out, test = self.trajectories()
        shown, scale = self.learned_from, train.demand.mean()
        learned = Paths(*map(np.concatenate, zip(train, held_out)))
        topology, params = self._built(learned, scale)
        world = World(TraceReplay(told=(self.feature,)), clock=self.clock)
        return Problem(
            env=InventoryNetwork(topology, world, first_of(params), self.history, "deepstock"),
            train=params,
            test=self._built(test, scale)[1],
            instances=len(learned.demand),
            test_instances=len(test.demand),
            test_periods=self.horizon,
            warm_up=LEAD_TIME,
            ends=True,
            held_out=tuple(range(shown, len(learned.demand))),
        )

    @property
    def learned_from(self) -> int:
        """Trajectories to learn on."""
        return self.training or PATHS[self.setting][0]

    @property
    def feature(self) -> Signal:
        """What is told of a day."""
        return Signal(FEATURES[self.setting], f"{UNITS[self.setting]:g}")

    def trajectories(self) -> tuple[Paths, Paths, Paths]:
        """The trajectories to train, validate and test on, with `REVIEW` days before the first
        order.
        """
        train, held_out = self.learned_from, self.validation or PATHS[self.setting][1]
        if self.setting == 4 and not self.validation:
            held_out = train
        sigmas, testing = None, self.testing
        if self.setting == 4:
            skus = published.sigmas(train)
            sigmas = np.concatenate([skus, np.resize(skus, held_out), np.repeat(skus, testing)])
            testing *= train
        drawn = published.generate(
            self.setting,
            train + held_out + testing,
            self.horizon + REVIEW,
            self.instance_seed,
            sigmas,
        )
        cuts = (slice(0, train), slice(train, train + held_out), slice(train + held_out, None))
        return tuple(drawn.take(cut) for cut in cuts)

    def _built(self, paths: Paths, scale: float) -> tuple[Topology, InstanceParams]:
        """The store, with an instance a trajectory."""
        count = len(paths.demand)
        before = REVIEW - self.history  # the trace begins with the history of the first order
        net = Network(instances=count, backlog=True, whole_units=self.integer_orders)
        net.supplier("supplier")
        net.node(
            "store",
            demand=True,
            typical_demand_units_per_period=scale,
            holding_cost_per_unit_period=self.holding_cost,
            shortage_cost_per_unit=self.shortage_cost,
            initial_stock_units=-paths.demand[:, :REVIEW].sum(1),
        )
        net.edge(
            "supplier", "store", lead_time_periods=LEAD_TIME, review_periods=REVIEW,
            largest_order_units=LARGEST_ORDER,
            initial_pipeline_units_per_period=0.0,
        )  # fmt: skip
        trace = TraceParams(
            demand=np.asarray(paths.demand[:, before:, None, None], np.float32),
            covariates=np.asarray(
                paths.feature[:, before:, None] / UNITS[self.setting], np.float32
            ),
            first=np.zeros(count, np.int32),
            last=np.zeros(count, np.int32),
            level_spread=np.zeros(count, np.float32),
        )
        return net.topology(), net.params(self.horizon, self.weights, demand=trace)
