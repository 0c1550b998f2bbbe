"""When the world is no longer the one that was learned: detectors on residuals, calibrated by
simulation (methods.md D.4).

A detector is a pure scan over a series of residuals; what the residuals are of is the caller's
choice (`jaxinv.adapt.watch`).
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from scipy import stats

from jaxinv.errors import UserError

DAYS = 730
"""Days in which at most so many false alarms (one, unless another number is given) may come."""

THRESHOLDS = np.geomspace(0.5, 500.0, 120)
"""Where a calibration looks, 6% apart."""


class Detector(Protocol):
    """Pure: `init()` is a state, `step` takes one residual of variance 1 and gives the statistic
    that alarms above a threshold."""

    def init(self): ...

    def step(self, state, residual: jax.Array): ...


@dataclass(frozen=True)
class Cusum:
    """Two-sided cumulative sums (Page 1954): S+ = max(0, S+ + e - slack), S- = max(0, S- - e -
    slack); the larger one.

    With slack .5 and threshold 5 independent normal residuals alarm once in 465 days.
    """

    slack: float = 0.5

    def init(self):
        return jnp.float32(0.0), jnp.float32(0.0)

    def step(self, state, residual):
        up, down = state
        up = jnp.maximum(0.0, up + residual - self.slack)
        down = jnp.maximum(0.0, down - residual - self.slack)
        return (up, down), jnp.maximum(up, down)


@struct.dataclass
class PageHinkleyState:
    days: jax.Array  # [] since the start or the last alarm
    mean: jax.Array  # [] of residuals in these days
    up: jax.Array  # [] m_t - min m
    down: jax.Array  # [] the same of the mirrored residuals


@dataclass(frozen=True)
class PageHinkley:
    """Page-Hinkley test, both ways: m_t = sum_i (e_i - mean_i - drift), statistic m_t - min m,
    mean_i that of e_1 .. e_i.

    Attributes:
      drift: delta, what a mean may move without notice.
      least: days before it can alarm, while the mean is still uncertain.
    """

    drift: float = 0.1
    least: int = 30

    def init(self):
        return PageHinkleyState(*[jnp.float32(0.0)] * 4)

    def step(self, state, residual):
        days = state.days + 1.0
        mean = state.mean + (residual - state.mean) / days
        up = jnp.maximum(0.0, state.up + residual - mean - self.drift)
        down = jnp.maximum(0.0, state.down - residual + mean - self.drift)
        statistic = jnp.where(days > self.least, jnp.maximum(up, down), 0.0)
        return PageHinkleyState(days, mean, up, down), statistic


DETECTORS = {
    "CUSUM": Cusum(slack=1.0),
    "patient CUSUM": Cusum(slack=0.25),
    "Page-Hinkley": PageHinkley(),
}
"""What is compared. A quarter of a deviation as slack notices changes that are slight beside a
day's noise, at the price of days for large ones."""


def hear(detector: Detector, state, residual: jax.Array, threshold: jax.Array):
    """One day: the state, and whether it alarms `[]`; after an alarm a detector starts anew."""
    state, statistic = detector.step(state, residual)
    alarm = statistic > threshold
    return jax.tree.map(lambda new, old: jnp.where(alarm, new, old), detector.init(), state), alarm


@partial(jax.jit, static_argnums=0)
def alarms(detector: Detector, residuals: jax.Array, threshold: jax.Array) -> jax.Array:
    """Days of a series `[T]` with an alarm `[T]`, bool. Maps over series and thresholds."""
    return jax.lax.scan(
        lambda state, residual: hear(detector, state, residual, threshold),
        detector.init(),
        residuals,
    )[1]


def calibrate(detector: Detector, residuals: jax.Array, most: float = 1.0) -> float:
    """The lowest threshold of `THRESHOLDS` at which, with 95% confidence, alarms come at most
    `most` times in `DAYS` days.

    Args:
      residuals: `[R, T]` simulated, of a world that does not change.

    Raises:
      UserError: where the series are so few that none of them alarming would not prove it, or where
        no threshold is high enough: the series is not one of residuals.
    """
    series, length = residuals.shape
    needed = math.ceil(_at_most(0) * DAYS / length / most)
    if series < needed:
        raise UserError(
            f"{series} series of {length} days are too few to prove at most {most:g} false alarms"
            f" in {DAYS} days; simulate {needed}"
        )
    found = _counts(
        detector, jnp.asarray(residuals), jnp.asarray(THRESHOLDS, jnp.float32)
    )  # [thresholds, R]
    # by their spread, for alarms that come in bunches, and by a Poisson law, for so few that their
    # spread says nothing
    spread = found.mean(1) + 1.645 * found.std(1) / np.sqrt(series)
    poisson = _at_most(found.sum(1)) / series
    upper = np.maximum(spread, poisson) * DAYS / length
    # from above: the last threshold before the rate is too high
    enough = np.flatnonzero(upper > most)
    first = 0 if len(enough) == 0 else enough[-1] + 1
    if first == len(THRESHOLDS):
        raise UserError(
            f"no threshold up to {THRESHOLDS[-1]:g} keeps false alarms at {most:g} in {DAYS} days;"
            " standardise the residuals"
        )
    return float(THRESHOLDS[first])


def _at_most(count: np.ndarray | int) -> np.ndarray:
    """The upper 95% bound of the mean of a Poisson law by which so many came."""
    return stats.chi2.ppf(0.95, 2 * (count + 1)) / 2


def _counts(detector, residuals, thresholds) -> np.ndarray:
    """Alarms of each threshold and series `[thresholds, R]`."""
    run = jax.jit(
        lambda threshold: jax.vmap(alarms, (None, 0, None))(detector, residuals, threshold).sum(1)
    )
    return np.stack([np.asarray(run(threshold)) for threshold in thresholds]).astype(float)


def delay(found: np.ndarray, start: int) -> np.ndarray:
    """Days from `start` to the first alarm from then on, for alarms `[..., T]`; NaN where none
    comes.
    """
    after = np.asarray(found)[..., start:]
    return np.where(after.any(-1), after.argmax(-1).astype(float), np.nan)


# Expected values in the calm world


def expectation(demand: jax.Array, known: jax.Array) -> jax.Array:
    """Coefficients `[1 + C, D]` of demand over its mean on what is known of a day, by least squares
    over all series.

    Args:
      demand: `[T, D, B]` of a time in which nothing changed; known: `[T, C, B]`.
    """
    design = jnp.moveaxis(known, 1, -1).reshape(-1, known.shape[1])
    design = jnp.concatenate([jnp.ones((len(design), 1)), design], 1)
    relative = demand / jnp.maximum(demand.mean(0), 1e-3)
    target = jnp.moveaxis(relative, 1, -1).reshape(len(design), -1)
    gram = design.T @ design
    return jnp.linalg.solve(
        gram + 1e-5 * jnp.trace(gram) / len(gram) * jnp.eye(len(gram)), design.T @ target
    )


def expected_from(coefficients: jax.Array, known: jax.Array) -> jax.Array:
    """What `expectation` expects of each day relative to the mean: `[..., D, B]`, of what is known
    `[..., C, B]`.
    """
    relative = coefficients[0][:, None] + jnp.einsum("cd,...cb->...db", coefficients[1:], known)
    return jnp.maximum(relative, 0.1)


def hazards(lead_time: jax.Array, longest: int) -> jax.Array:
    """P(arrives after a periods | not before) for a = 1 .. longest `[longest, E]`, counted on lead
    times `[..., E]`.
    """
    lead_time = lead_time.reshape(-1, lead_time.shape[-1])

    def of_age(age):
        return jnp.sum(lead_time == age, 0) / jnp.maximum(jnp.sum(lead_time >= age, 0), 1)

    return jax.lax.map(of_age, jnp.arange(1, longest + 1))


def expected_lead_times(hazard: jax.Array) -> jax.Array:
    """Mean lead time of an order that has not come after a = 0 .. longest periods
    `[longest + 1, E]`; a + 1 where the hazard `[longest, E]` knows of none so late."""

    def earlier(later, step):
        age, hazard = step
        known = jnp.where(jnp.isnan(later), age, hazard * age + (1 - hazard) * later)
        mean = jnp.where((hazard > 0) | ~jnp.isnan(later), known, jnp.nan)
        return mean, mean

    longest, edges = hazard.shape
    _, means = jax.lax.scan(
        earlier, jnp.full(edges, jnp.nan), (jnp.arange(1.0, longest + 1), hazard), reverse=True
    )
    means = jnp.concatenate([means, jnp.full((1, edges), jnp.nan)])
    return jnp.where(jnp.isnan(means), jnp.arange(1.0, longest + 2)[:, None], means)


def arrival_residual(shipments: jax.Array, hazard: jax.Array) -> jax.Array:
    """The residual `[]` of what arrives on a day, of variance 1: the number of orders less what the
    law expects of all that is outstanding.

    An order of age a arrives with probability hazard(a), so the residual has mean 0 under the law,
    whatever was ordered. Nothing has to be known that a planner does not see: an order that is late
    shows before it comes.

    Args:
      shipments: `[longest, E, B]` lead time of each order of the latest days, yesterday's last; 0
        where none was placed.
      hazard: `[longest, E]`, see `hazards`.
    """
    age = jnp.arange(hazard.shape[0], 0, -1)[:, None, None]
    rate = hazard[::-1, :, None]
    waiting = shipments >= age
    surplus = jnp.sum(waiting * ((shipments == age) - rate))
    variance = jnp.sum(waiting * rate * (1.0 - rate))
    return jnp.where(variance > 1e-3, surplus / jnp.sqrt(jnp.maximum(variance, 1e-3)), 0.0)


def check_stream(values, dates=None) -> None:
    """Refuses a stream with missing days.

    Args:
      values: `[T, ...]`, NaN where a day has no value.
      dates: the day of each row, where they are known; they must follow each other.

    Raises:
      UserError: naming the first missing day.
    """
    missing = np.isnan(np.asarray(values, float)).reshape(len(values), -1).any(1)
    if missing.any():
        raise UserError(
            f"the stream has no value on day {int(missing.argmax())} ({int(missing.sum())} days are"
            " missing); fill them in, as 0 where nothing was sold"
        )
    if dates is not None:
        days = np.asarray(dates, "datetime64[D]").astype(int)
        gaps = np.flatnonzero(np.diff(days) != 1)
        if len(days) != len(missing):
            raise UserError(f"the stream has {len(missing)} rows and {len(days)} dates")
        if len(gaps):
            day = np.datetime64(int(days[gaps[0]]) + 1, "D")
            raise UserError(
                f"the stream misses {day} ({len(gaps)} gaps in all); a detector needs every day, in"
                " order"
            )
