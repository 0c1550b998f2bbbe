"""What learners from a log alone share (offline reinforcement learning): they never play.

They see the steps of a log (`jaxinv.agents.logged`) and nothing of the world behind it, and keep
the parameters that they end with: a choice among them by simulation would be a look at that world.
(Where a problem holds out series or weeks of recorded sales, they are chosen on these.)
"""

from dataclasses import dataclass
from typing import ClassVar

from flax import struct

from jaxinv.agents.learner import Learner
from jaxinv.agents.level_grid import GridConfig, GridLearner
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, called
from jaxinv.evaluation.trajectories import Trajectories


@dataclass(frozen=True)
class OfflineConfig(GridConfig):
    """Hyper-parameters of learners from a log on a grid of orders (`GridConfig`)."""

    penalties: ClassVar = ()
    stock_only: ClassVar = {**GridConfig.stock_only, "updates": 400, "hidden": (64, 64)}


@struct.dataclass
class OfflineLearner(GridLearner):
    """The stem of algorithms that learn from a log alone; each is a loss."""

    settles: ClassVar = True

    @classmethod
    def create(cls, problem: Problem, config: OfflineConfig, log: Trajectories | None = None):
        check_given(cls, config.log, log)
        return super().create(problem, config, log)


def check_given(kind: type[Learner], path: str, log: Trajectories | None) -> None:
    """Refuses to learn from nothing.

    Raises:
      UserError: it says how a log is made.
    """
    if not path and log is None:
        name = kind.__name__
        raise UserError(
            f"{name} learns from a log alone; write one, as in `{called('log')} lost_sales"
            " policy=medium --out log.npz`, and give log=log.npz"
        )
