"""A problem: an environment, the instances to learn on, and the unseen ones to be judged on."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.data.fitted import Preparation
from jaxinv.demand.clock import Clock
from jaxinv.demand.processes import TraceReplay
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import COSTS, InstanceParams
from jaxinv.envs.roles import Roles
from jaxinv.envs.shared import Shared
from jaxinv.envs.shop import Shop
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown
from jaxinv.limits import MOST_MONEY, check_memory, check_numbers


@dataclass(frozen=True)
class Problem:
    """What a preset builds.

    Attributes:
      env: the network and its world.
      train: parameters to learn and tune on, every array with a leading axis of the instances.
      test: the same instances on demand that was never seen: later weeks of a trace, or fresh
        noise.
      instances: how many (SKUs, stores) `train` has; left out, `train` and `test` are given as
        those of one instance and get their axis here.
      test_periods: how many periods a test episode lasts, `warm_up` included.
      warm_up: first periods of an episode that no cost is counted for.
      periods_per_year: for turnover.
      labels: what the instances are called.
      held_out: numbers of the instances that a learner is not shown; the best of its policies is
        chosen on them (`jaxinv.agents.validation`). Rules, which have few numbers, are tuned on
        all.
      choice: the same problem within its training periods, where no instance is held out but the
        last of these: `train` are those before and `test` is these. A learner is trained on it, and
        what a training ends with, the learned policy or a rule, is chosen on it
        (`jaxinv.envs.held_out`).
      test_instances: number of instances in `test` where they are others than those of `train`.
      ends: an episode is over for good after its horizon, where it otherwise is only cut off: no
        value is to follow.
      shared: what the instances of `test` share; None where each has noise of its own.
      notes: what was odd in the data and how it was read, one line each, for commands to print.
      fingerprint: of the sales that the problem is made of (`jaxinv.data.fingerprint`); empty
        without a file.
      dropped: name of each series of the data that is no instance, and the reason.
      preparation: what was fitted to the sales (`jaxinv.data.fitted`), for those to come; None
        without a file.
      shop: what people know the instances by, for tables and reports; None where nobody does.
      roles: by name, how several agents may share the network, beside "one" and "nodes"
        (`jaxinv.envs.roles`).
      settled: the preset's options with what they left open to the files that it read; None where
        nothing is.
      service: the fill rate that is wanted of each instance, NaN for none; None where none is
        wanted of any.
      priced: whether the costs of shortages are those that were found to give it
        (`jaxinv.evaluation.service`).
      rehearsal: the problem judged on its training periods, to find them on.
    """

    env: InventoryNetwork
    train: InstanceParams
    test: InstanceParams
    instances: int | None = None
    test_periods: int = 400
    warm_up: int = 50
    periods_per_year: float = 365.0
    labels: tuple[str, ...] = ()
    held_out: tuple[int, ...] = ()
    choice: "Problem | None" = None
    test_instances: int | None = None
    ends: bool = False
    shared: Shared | None = None
    notes: tuple[str, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    fingerprint: str = ""
    preparation: Preparation | None = None
    shop: Shop | None = None
    roles: dict[str, Roles] = field(default_factory=dict)
    settled: "Preset | None" = None
    service: tuple[float, ...] | None = None
    priced: bool = False
    rehearsal: "Problem | None" = None

    def __post_init__(self):
        object.__setattr__(self, "env", self.env.within(self.ends))
        if self.instances is None:
            object.__setattr__(self, "instances", 1)
            for name in ("train", "test"):
                alone = getattr(self, name)
                object.__setattr__(
                    self, name, jax.tree.map(lambda leaf: np.asarray(leaf)[None], alone)
                )
        for name in ("train", "test"):  # built on the host, and put on the device once
            given = getattr(self, name)
            if not all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(given)):
                object.__setattr__(self, name, jax.device_put(given))
        longest = self.env.topology.max_lead_time
        if longest >= self.test_periods:
            raise UserError(
                f"a lead time of {longest} periods is too long: no order of a test of"
                f" {self.test_periods} periods would arrive in it; lower the lead time"
            )
        for params in (self.train, self.test):
            check_costs_finite(params)
        clock = self.env.world.clock
        if clock and clock.horizon and clock.horizon != self.test_periods:
            raise UserError(
                f"tell=left shows the periods left of an episode of {clock.horizon}, but a test of"
                f" {self.test_periods} periods has no such end; leave it out, or let episodes end"
                " (lost_sales: ends=true)"
            )
        for what, params, periods in (
            ("training", self.train, self.horizon),
            ("test", self.test, self.test_periods),
        ):
            if periods > self.recorded(params):
                raise UserError(
                    f"episodes of {periods} periods run past the end of the {what} demand, which is"
                    f" recorded for {self.recorded(params)} of them; give more data or shorter"
                    " episodes"
                )

    def recorded(self, params: InstanceParams) -> float:
        """Periods that every episode of some parameters can be played after its history; infinite
        where demand is not recorded but made."""
        return self.env.world.demand.lasts(params.demand) - self.env.history

    @property
    def learned_on(self) -> "Problem":
        """What learners are trained on."""
        return self.choice or self

    @property
    def tested(self) -> int:
        """Number of instances in `test`."""
        return self.test_instances or self.instances

    @property
    def single(self) -> bool:
        """Whether this is one instance whose noise is drawn, so that it can be played on as many
        paths as one likes.
        """
        return self.instances == self.tested == 1 and self.shared is None

    @property
    def first(self) -> InstanceParams:
        """The first instance in training, as the environment by itself takes it: without the
        leading axis.
        """
        return first_of(self.train)

    @property
    def season(self) -> int:
        """Periods of a season: the week of daily data, the year of weekly or monthly data."""
        return 7 if self.periods_per_year > 100 else round(self.periods_per_year)

    @property
    def horizon(self) -> int:
        """Periods of the longest training episode."""
        return int(np.max(np.asarray(self.train.max_steps_in_episode)))

    @property
    def counted_periods(self) -> int:
        """Periods of a training episode that costs are counted for.

        A replayed trace, and an episode that ends for good, last for the training horizon and no
        longer. Other worlds go on for as long as one likes: here for so long that the warm-up is a
        small part.

        Raises:
          UserError: where the horizon leaves no period after the warm-up.
        """
        if not (self.ends or isinstance(self.env.world.demand, TraceReplay)):
            return self.warm_up * max(3, math.ceil(128 / self.warm_up)) if self.warm_up else 128
        horizon = int(np.min(self.train.max_steps_in_episode))
        if horizon <= self.warm_up:
            raise UserError(
                f"horizon={horizon} leaves no period to count after a warm-up of {self.warm_up}"
            )
        return horizon - self.warm_up

    @property
    def unaugmented(self) -> InstanceParams:
        """The training instances without augmentation of their demand, which is for learners alone:
        rules are tuned on the sales that were recorded.
        """
        if not isinstance(self.env.world.demand, TraceReplay):
            return self.train
        level_spread = jnp.zeros_like(self.train.demand.level_spread)
        return self.train.replace(demand=self.train.demand.replace(level_spread=level_spread))


def first_of(instances: Any) -> Any:
    """The first of a tree of arrays that have a leading axis of the instances; taken on the host,
    where nothing is compiled.
    """

    def first(leaf):
        return leaf[0] if isinstance(leaf, jax.core.Tracer) else jax.device_put(np.asarray(leaf)[0])

    return jax.tree.map(first, instances)


def check_costs_finite(params: InstanceParams) -> None:
    """Refuses costs that overflow once they are multiplied by quantities and weights.

    Raises:
      UserError: it names the cost.
    """

    def most(*names: str) -> float:
        found = [
            np.abs(np.asarray(value)).max(initial=0.0)
            for name in names
            if (value := getattr(params, name)) is not None
        ]
        return float(max(found, default=0.0))

    units = max(1.0, most("scale", "initial_high", "max_order")) * max(1.0, most("weights"))
    charged = (
        "holding",
        "shortage",
        "unit_cost",
        "fixed_cost",
        "duty",
        "transit_holding",
        "expiry_cost",
        "price",
        "loss_cost",
    )
    for name in charged:
        if not most(name) * units <= MOST_MONEY:
            raise UserError(
                f"{name} of {most(name):.3g}, times quantities and weights of up to {units:.3g}, is"
                f" more money a period than {MOST_MONEY:.0e}, which float32 cannot square; count"
                " money or goods in larger units"
            )


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What all presets share. A preset is a typed set of options; `build` makes the problem.

    Attributes:
      horizon: periods an episode lasts.
      history: periods of demand that a policy sees.
      integer_orders: orders are whole units.
      tell: what policies are told of the time, which they do not see otherwise: "season(PERIODS)",
        where in a season the coming period lies, and "left", the share of the episode that is left,
        where one is played to its end (`jaxinv.demand.clock`).
      weights: weight of each cost part in the reward, such as `weights.holding=2`; 1 where not
        given.
    """

    horizon: int = 100
    history: int = 1
    integer_orders: bool = True
    tell: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)

    largest_order_given: ClassVar[bool] = False
    """Whether `max_order` belongs to the model, where it otherwise follows from demand
    (`jaxinv.envs.reach`).
    """

    @property
    def clock(self) -> Clock | None:
        """What policies are told of the time, for the world."""
        return Clock.of(self.tell, self.horizon, self.history)

    def build(self) -> Problem:
        raise NotImplementedError

    def going_on(self, data: str) -> "Preset | None":
        """The preset with files that go on after its own; None where that needs what was fitted to
        the first.
        """
        return None

    def __post_init__(self):
        check_numbers(self)
        positive(self, "horizon", "history")
        Clock.of(self.tell, self.horizon, self.history)
        check_memory(
            1024 * self.history,
            f"a history of {self.history:,} periods in 256 environments",
            "history",
        )


def weight_vector(weights: dict[str, float], topology: Topology) -> np.ndarray:
    """Weights `[len(COSTS)]` by name of the cost part: 1 where not given (revenue: 1 where the
    network earns it).
    """
    for name, value in weights.items():
        if name not in COSTS:
            raise unknown("cost part in weights", name, COSTS)
        if not np.isfinite(value) or value < 0:
            raise UserError(f"weights.{name}={value} must be a number of at least 0")
    merged = {**dict.fromkeys(COSTS, 1.0), **weights}
    charged = charged_costs(topology)
    if not any(merged[name] for name in charged):
        raise UserError(
            f"weights are all zero on what this network costs ({', '.join(charged)}); make one"
            " positive"
        )
    return np.asarray([merged[name] for name in COSTS], np.float32)


def charged_costs(topology: Topology) -> list[str]:
    """The cost parts that can be other than zero in a network."""
    parts = {"holding", "shortage"}
    parts |= {part for mechanism, part in CHARGES.items() if topology.has(mechanism)}
    parts |= {"returns"} if topology.return_lags else set()
    parts |= {"expiry"} if topology.ages > 1 else set()
    return [name for name in COSTS if name in parts]


CHARGES = {
    "unit_cost": "ordering",
    "fixed_cost": "ordering",
    "freight": "transport",
    "duty": "duty",
    "capacity": "overflow",
    "revenue": "revenue",
    "loss_cost": "loss",
}
"""The cost part that each mechanism charges."""


def positive(config: Any, *names: str) -> None:
    """Checks that options are above zero."""
    for name in names:
        if not getattr(config, name) > 0:
            raise UserError(f"{name}={getattr(config, name)} must be above 0")


def not_negative(config: Any, *names: str) -> None:
    """Checks that options are at least zero (and numbers at all)."""
    for name in names:
        values = np.atleast_1d(getattr(config, name))
        if not np.all(values >= 0):
            raise UserError(f"{name}={getattr(config, name)} must be at least 0")


def probability(config: Any, *names: str) -> None:
    """Checks that options are probabilities."""
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise UserError(
                f"{name}={getattr(config, name)} is not a probability; it must lie in 0..1"
            )


def check_range(name: str, ends: tuple[float, ...]) -> None:
    """Refuses what is not the two ends of a law that numbers are drawn from."""
    if len(ends) != 2 or ends[0] > ends[1]:
        raise UserError(
            f"{name}={tuple(ends)}: give the two ends of the law that it is drawn from, the lower"
            " first"
        )


def mass_function(name: str, weights: tuple[float, ...]) -> np.ndarray:
    """Probabilities from a tuple of probabilities, checked: `[len(weights)]` float64."""
    mass = np.asarray(weights, float)
    if not np.all(np.isfinite(mass)) or np.any(mass < 0) or np.any(mass > 1):
        raise UserError(f"{name}={tuple(weights)}: each entry must be a probability in 0..1")
    if mass.sum() == 0:
        raise UserError(f"{name}={tuple(weights)}: weights are all zero")
    if abs(mass.sum() - 1) > 1e-6:
        raise UserError(
            f"{name}={tuple(weights)} sums to {mass.sum():g}; probabilities must sum to 1"
        )
    return mass
