"""The 26 scenarios of gym-invmgmt's published benchmark, in its world and in ours.

Their law of demand: Poisson with mean 20 times 1 + 0.05 t (trend), 1 + 0.5 sin(2 pi t / 30)
(season) and 2 from period 15 on (shock), times goodwill where customers have any; on M5 a window of
sales of one item, without noise. An episode is 30 periods, and what is left after it is worth
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxinv.demand.announced import Announced, AnnouncedParams
from jaxinv.envs.problem import Preset, Problem
from jaxinv.instances.invmgmt import NETWORKS, invmgmt
from jaxinv.packages import extra

PERIODS = 30
SEEDS = (42, 123, 456, 789, 1011, 2022, 3033, 4044, 5055, 6066)
"""The published episodes of each scenario."""

MEAN = 20.0

EFFECTS = {
    "stationary": (),
    "trend+seasonal": ("trend", "seasonal"),
    "trend+seasonal+shock": ("trend", "seasonal", "shock"),
}


@dataclass(frozen=True)
class Scenario:
    """One row of the benchmark.

    Attributes:
      block: of the published table.
      network: a name in `NETWORKS`.
      demand: a name in `EFFECTS`, or of a recorded window.
      window: of recorded sales, in units of a mean of 20; empty where demand has a law.
    """

    block: str
    network: str
    demand: str
    goodwill: bool = False
    backlog: bool = True
    marl: bool = False
    window: tuple[float, ...] = ()

    @property
    def key(self) -> str:
        """As the published results name it."""
        return (
            f"{self.block}|{self.network}|{self.demand}|GW:{self.goodwill}|BL:{self.backlog}"
            f"|MARL:{self.marl}"
        )

    @property
    def name(self) -> str:
        """For people."""
        words = [self.network, self.demand, "backlog" if self.backlog else "lost sales"]
        words += ["goodwill"] if self.goodwill else []
        return ", ".join(words + (["MARL"] if self.marl else []))

    @property
    def alone(self) -> "Scenario":
        """The scenario that a policy is trained on: the same one for all blocks."""
        return Scenario(
            "", self.network, self.demand, self.goodwill, self.backlog, window=self.window
        )

    @property
    def mean(self) -> np.ndarray:
        """The mean of demand `[T]` at a goodwill of 1."""
        if self.window:
            return np.asarray(self.window)
        return mean_of(*EFFECTS[self.demand])

    def theirs(self) -> Any:
        """The environment of gym-invmgmt."""
        with extra("bench", "the study gym_invmgmt"):
            from gym_invmgmt.core_env import CoreEnv

        law = dict(base_mu=MEAN, use_goodwill=self.goodwill)
        if self.window:
            law |= dict(type="stationary", external_series=list(self.window), noise_scale=0.0)
        else:
            law |= dict(effects=list(EFFECTS[self.demand]))
        return CoreEnv(
            scenario="network" if self.network == "base" else "serial",
            demand_config=law,
            num_periods=PERIODS,
            backlog=self.backlog,
        )

    @property
    def law(self) -> "Law":
        """Its law of demand."""
        noise = 0.0 if self.window else 1.0
        return Law(self.mean, noise, float(self.goodwill), float(self.backlog))

    def ours(self, tolerance: float = 0.0) -> Problem:
        """The same in our world, see `world`."""
        return world(self.network, [self.law], tolerance)


class Law(NamedTuple):
    """A law of demand.

    Attributes:
      mean: `[T]` at a goodwill of 1.
      noise: factor on what Poisson demand differs from its mean by.
      goodwill: 1 where customers come back by how they are served, else 0.
      waits: 1 where unserved demand waits, 0 where it is lost.
    """

    mean: np.ndarray
    noise: float
    goodwill: float
    waits: float


def world(network: str, laws: Sequence[Law], tolerance: float = 0.0) -> Problem:
    """A network of theirs in our world, to learn in: an instance for each law.

    Policies are told the mean of demand until the end, and which kind of customers there are; of
    demand itself they know what has been.

    Args:
      tolerance: share of demand unserved at which goodwill falls in full. Theirs is 0, a jump that
        no gradient sees.
    """
    many = len(laws) > 1
    mean, noise, goodwill, waits = (
        np.stack(each).astype(np.float32) for each in zip(*laws, strict=True)
    )
    same = np.ones(len(laws), np.float32)
    facts = np.stack([goodwill, waits], -1)
    numbers = AnnouncedParams(mean[..., None, None], noise, MEAN * same, same, facts)
    if not many:
        numbers, goodwill, waits = jax.tree.map(lambda leaf: leaf[0], (numbers, goodwill, waits))
    net = invmgmt(
        network,
        goodwill=goodwill,
        demand=True,
        typical=MEAN,
        tolerance=tolerance,
        waits=waits,
        instances=len(laws) if many else None,
    )
    return net.problem(
        Preset(horizon=PERIODS, history=1, integer_orders=False),
        demand=(Announced(1, 1, ahead=PERIODS, facts=("goodwill", "waiting")), numbers),
        name=f"gym_invmgmt {network}",
        test_periods=PERIODS,
        warm_up=0,
        ends=True,
    )


def mean_of(*effects: str, slope=0.05, amplitude=0.5, shock=15, factor=2.0) -> np.ndarray:
    """The mean of demand `[T]` under some effects."""
    time = np.arange(PERIODS)
    mean = np.full(PERIODS, MEAN)
    if "trend" in effects:
        mean = mean * (1 + slope * time)
    if "seasonal" in effects:
        mean = mean * (1 + amplitude * np.sin(2 * np.pi * time / PERIODS))
    if "shock" in effects:
        mean = mean * np.where(time >= shock, factor, 1.0)
    return mean


def scenarios(window: tuple[float, ...] = ()) -> list[Scenario]:
    """All of them in the order of the published builder, the two on M5 where its window is
    given.
    """
    moved = [name for name in EFFECTS if name != "stationary"]
    found = [
        Scenario("A_Core", network, demand, goodwill, backlog)
        for network in NETWORKS
        for demand in moved
        for goodwill in (False, True)
        for backlog in (True, False)
    ]
    found += [
        Scenario("B_PaperReplication", network, "stationary", backlog=backlog)
        for network in NETWORKS
        for backlog in (True, False)
    ]
    found += [
        Scenario("C_MARL", network, demand, marl=True) for network in NETWORKS for demand in moved
    ]
    if window:
        found += [
            Scenario("D_WalmartM5", network, "M5_volatile", window=window) for network in NETWORKS
        ]
    return found
