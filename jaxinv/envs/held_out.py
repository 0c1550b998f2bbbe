"""What of a panel of sales is held out of training, so that a policy can be chosen on what it has
not seen.

Where there are enough series it is some of them. Of a few series each is needed, and those few
would tell nothing apart; there it is the last part of the training periods, and the choice is
between the learned policy and the tuned rules too: with so little to learn from, a network that
knows the sales by heart can cost more than any rule.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from jaxinv.data import Panel
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Preset, Problem, probability
from jaxinv.errors import UserError

LEAST_HELD_OUT, MOST_HELD_OUT = 10, 512
"""Series of a validation."""

LEAST_PERIODS = 8
"""Fewest periods that a policy is chosen on."""


class Kept(NamedTuple):
    """What is left to train on where the last training periods are held out.

    Attributes:
      stop: the first period that is held out.
      horizon: periods of a training episode.
    """

    stop: int
    horizon: int


def check_validation(preset: Preset) -> None:
    """Refuses a share of held-out series that leaves none."""
    probability(preset, "validation")
    if preset.validation == 1:
        raise UserError("validation=1 leaves no series to learn on; give less")


def set_aside(draw: np.random.Generator, series: int, share: float) -> tuple[int, ...]:
    """Numbers of the series that a learner is not shown; none where they are too few to tell
    anything apart.
    """
    aside = min(round(share * series), MOST_HELD_OUT)
    return tuple(draw.permutation(series)[: aside if aside >= LEAST_HELD_OUT else 0].tolist())


def first_periods(begins: np.ndarray, history: int) -> np.ndarray:
    """The earliest periods that episodes may start at `[S]`, so that orders begin with demand;
    history may lie before it.
    """
    return np.maximum(begins - history, 0)


def kept_periods(preset: Preset, sold: np.ndarray, begins: np.ndarray, warm_up: int) -> Kept | None:
    """What the last training periods leave when they are held out; None where they are too few for
    that.

    As large a share of the periods is held out as of series elsewhere, or what episodes of the
    whole horizon leave if that is less; but at least `LEAST_PERIODS` and as many as the warm-up
    has, which is longer than any lead time, so that orders are both placed and received there. For
    these, episodes may be shortened to twice the warm-up, of which then a half counts. The warm-up
    of the held-out periods lies before them, among those that train, as that of the test does.

    Args:
      preset: with `history`, `horizon` and `validation`.
      sold: whether any series sold something in each training period `[T]`.
      begins: the period from which sales of each series are demand `[S]`.
    """
    periods = len(sold)
    before = max(int(begins.max()), preset.history) + 1  # of one period more, what is known ahead
    aside = max(
        LEAST_PERIODS,
        warm_up,
        min(round(preset.validation * periods), periods - before - preset.horizon),
    )
    kept = Kept(periods - aside, min(preset.horizon, periods - aside - before))
    enough = preset.validation > 0 and kept.horizon >= 2 * warm_up
    return kept if enough and sold[: kept.stop].any() and sold[kept.stop :].any() else None


def with_choice(
    problem: Problem, preset: Preset, panel: Panel, stop: int, begins: np.ndarray,
    train: Callable[[int, int], InstanceParams], test: Callable[[slice], InstanceParams],
) -> Problem:  # fmt: skip
    """The problem with the last of its training periods held out, where no series is; and with what
    people are told of it.

    Args:
      stop: the first period after training; begins: see `kept_periods`.
      train: instances on the demand before a period, in episodes of a horizon.
      test: instances on the demand of some periods, after a warm-up before them.
    """
    if problem.held_out or not preset.validation:
        return problem
    sold = panel.sales[:, :stop].any(0)
    kept = kept_periods(preset, sold, begins, problem.warm_up)
    few = (
        f"validation={preset.validation:g} of {problem.instances} series is fewer than the"
        f" {LEAST_HELD_OUT} that tell anything apart"
    )
    if kept is None:
        note = (
            f"{few}, and {stop} training {panel.frequency}s are too few to hold out the last of"
            " them: all are trained on, and the last policy is kept, which may know the sales by"
            " heart; give more data, or a shorter horizon or history"
        )
        return replace(problem, notes=(*problem.notes, note))
    aside = f"{stop - kept.stop} {panel.frequency}s"
    note = (
        f"{few}: the last {aside} of the {stop} that train are held out instead, and a training"
        " ends with what costs least in them, the learned policy or a tuned rule"
    )
    choice = replace(
        problem,
        train=train(*kept),
        test=test(slice(kept.stop, stop)),
        test_periods=problem.warm_up + stop - kept.stop,
    )
    return replace(problem, choice=choice, notes=(*problem.notes, note))
