"""Recorded sales: how they are read, where episodes over them may begin and end, and how long a
record they take.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from jaxinv.data import Panel, TimeSplit
from jaxinv.data.fingerprint import absolute
from jaxinv.demand.processes import TraceParams
from jaxinv.envs.held_out import check_validation, first_periods
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Preset, not_negative
from jaxinv.errors import UserError


@dataclass(frozen=True, kw_only=True)
class RecordedSales(Preset):
    """What all presets of a shop's sales share.

    Attributes:
      data: a file or directory of sales.
      columns: schema name -> column of the file, such as `columns.sales=units`.
      dates, decimal, returns, lines: how the file is written, where its cells do not tell
        (`jaxinv.data.schema.Reading`).
      life_cycles: whether a series begins with its first sale (or stock) and may be discontinued,
        see `jaxinv.data.preparation`; otherwise all are taken to be sold throughout, as benchmarks
        in print do.
      max_series: most instances to keep; 0 for all.
      instance_seed: of what is drawn for the instances, and of which are kept and held out.
      validation: share of the instances that learners are not shown, to choose the best of their
        policies on; where these are too few, of the training periods instead, the last of which are
        held out (`jaxinv.envs.held_out`). 0 for neither.
      level_spread: augmentation of training episodes, the standard deviation of an instance's log
        level.
    """

    data: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    dates: str = ""
    decimal: str = ""
    returns: str = ""
    lines: str = ""
    life_cycles: bool = True
    max_series: int = 0
    instance_seed: int = 0
    validation: float = 0.2
    level_spread: float = 0.3
    horizon: int = 40
    history: int = 16

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "data", absolute(self.data))
        not_negative(self, "max_series", "level_spread")
        check_validation(self)

    @property
    def reading(self) -> dict[str, str]:
        """How the file is written, as far as it is said."""
        given = {name: getattr(self, name) for name in ("dates", "decimal", "returns", "lines")}
        return {name: value for name, value in given.items() if value}


def trace_until(demand, covariates, stop: int, first, last: int, spread: float) -> TraceParams:
    """Sales up to period `stop`, of which an episode begins in `first` .. `last`.

    Args:
      demand: `[series, T, D, K]`; covariates: `[series, T, C]`; first: one period for all, or
        `[series]`.
      spread: of levels, for augmentation.
    """
    series = len(demand)
    return TraceParams(
        demand=jnp.asarray(demand[:, :stop]),
        covariates=jnp.asarray(covariates[:, :stop]),
        first=jnp.asarray(np.broadcast_to(first, series), jnp.int32),
        last=jnp.full(series, last, jnp.int32),
        level_spread=jnp.full(series, spread, jnp.float32),
    )


def train_until(
    preset: Preset, numbers: InstanceParams, trace: Callable[..., TraceParams], begins: np.ndarray,
    stop: int, horizon: int
) -> InstanceParams:  # fmt: skip
    """Instances in episodes of a horizon that end before period `stop`: what comes after cannot
    leak, because it is not there.

    Args:
      preset: with `history` and `level_spread`.
      trace: `trace_until` of the sales.
      begins: the period from which sales of each series are demand `[S]`.
    """
    first = first_periods(begins, preset.history)
    return numbers.replace(
        max_steps_in_episode=np.full(len(begins), horizon, np.int32),
        demand=trace(stop, first, stop - preset.history - horizon - 1, preset.level_spread),
    )


def check_lengths(preset: Preset, panel: Panel, split: TimeSplit, warm_up: int) -> None:
    """Refuses data too short for its split, or for the history and horizon that were asked for."""
    periods = panel.sales.shape[1]
    if split.test.stop > periods:
        raise UserError(
            f"published_split=true is of {split.test.stop} weeks, and this file has {periods}"
            f" {panel.frequency}s; give published_split=false, and train=0.7 or another share to"
            " train on"
        )
    if (
        split.train.stop < preset.history + preset.horizon + 1
    ):  # of one period more, what is known ahead
        raise UserError(
            f"{split.train.stop} training periods are fewer than the"
            f" {preset.history + preset.horizon + 1} that history={preset.history} and"
            f" horizon={preset.horizon} take; give more data or smaller numbers"
        )
    if split.scored("test").start < warm_up + preset.history:
        raise UserError(
            f"the test begins in period {split.scored('test').start}, before"
            f" history={preset.history} and {warm_up} periods of warm-up; give more training data"
            " or a shorter history"
        )
