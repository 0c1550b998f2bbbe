"""Episodes over recorded sales: where they may begin and end, and how long a record they take."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxinv.data import Panel, TimeSplit
from jaxinv.demand.processes import TraceParams
from jaxinv.envs.held_out import first_periods
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Preset
from jaxinv.errors import UserError


def trace_until(demand, covariates, stop: int, first, last: int, spread: float) -> TraceParams:
    """Sales up to period `stop`, of which an episode begins in `first` .. `last`.

    Args:
      demand: `[series, T, D, K]`; covariates: `[series, T, C]`; first: one period for all, or `[series]`.
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
    preset: Preset, numbers: InstanceParams, trace: Callable[..., TraceParams], begins: np.ndarray, stop: int, horizon: int
) -> InstanceParams:  # fmt: skip
    """Instances in episodes of a horizon that end before period `stop`: what comes after cannot leak, because it is not there.

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
            f"published_split=true is of {split.test.stop} weeks, and this file has {periods} {panel.frequency}s; give "
            "published_split=false, and train=0.7 or another share to train on"
        )
    if split.train.stop < preset.history + preset.horizon + 1:  # of one period more, what is known ahead
        raise UserError(
            f"{split.train.stop} training periods are fewer than the {preset.history + preset.horizon + 1} that "
            f"history={preset.history} and horizon={preset.horizon} take; give more data or smaller numbers"
        )
    if split.scored("test").start < warm_up + preset.history:
        raise UserError(
            f"the test begins in period {split.scored('test').start}, before history={preset.history} and "
            f"{warm_up} periods of warm-up; give more training data or a shorter history"
        )
