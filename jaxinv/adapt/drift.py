"""When the world is no longer the one that was learned: detectors on residuals, calibrated by simulation (methods.md D.4).

A detector is a pure scan over a series of residuals; what the residuals are of is the caller's choice: demand less a forecast
(`forecast_residuals`), arrivals less what the lead-time law expects (`arrival_residuals`), or any other.
"""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.errors import UserError

DAYS = 730
"""Days in which at most so many false alarms (one, unless another number is given) may come."""

THRESHOLDS = np.geomspace(0.5, 500.0, 120)
"""Where a calibration looks, 6% apart."""


class Detector(Protocol):
    """Pure: `init()` is a state, `step` takes one residual of variance 1 and gives the statistic that alarms above a
    threshold."""

    def init(self): ...

    def step(self, state, residual: jax.Array): ...


@dataclass(frozen=True)
class Cusum:
    """Two-sided cumulative sums (Page 1954): S+ = max(0, S+ + e - slack), S- = max(0, S- - e - slack); the larger one.

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
    """Page-Hinkley test, both ways: m_t = sum_i (e_i - mean_i - drift), statistic m_t - min m, mean_i that of e_1 .. e_i.

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


DETECTORS = {"CUSUM": Cusum(slack=0.25), "Page-Hinkley": PageHinkley()}
"""What is compared. A quarter of a deviation as slack notices changes that are slight beside a day's noise, at the price of a
few days for large ones."""


@partial(jax.jit, static_argnums=0)
def alarms(detector: Detector, residuals: jax.Array, threshold: jax.Array) -> jax.Array:
    """Days with an alarm `[T]`, bool; after each the detector starts anew. Maps over series and thresholds."""

    def day(state, residual):
        state, statistic = detector.step(state, residual)
        alarm = statistic > threshold
        return jax.tree.map(lambda new, old: jnp.where(alarm, new, old), detector.init(), state), alarm

    return jax.lax.scan(day, detector.init(), residuals)[1]


def false_alarms(detector: Detector, residuals: jax.Array, threshold) -> np.ndarray:
    """Alarms in `DAYS` days of each series `[R, T]` in which nothing changes: `[R]`."""
    found = jax.vmap(alarms, (None, 0, None))(detector, residuals, threshold)
    return np.asarray(found.sum(1)) * DAYS / residuals.shape[1]


def calibrate(detector: Detector, residuals: jax.Array, most: float = 1.0) -> float:
    """The lowest threshold of `THRESHOLDS` at which, with 95% confidence, alarms come at most `most` times in `DAYS` days.

    Args:
      residuals: `[R, T]` simulated, of a world that does not change.

    Raises:
      UserError: where no threshold is high enough: the series is not one of residuals.
    """
    counts = _counts(detector, jnp.asarray(residuals), jnp.asarray(THRESHOLDS, jnp.float32)) * DAYS / residuals.shape[1]
    upper = counts.mean(1) + 1.645 * counts.std(1) / np.sqrt(counts.shape[1])
    # from above: the last threshold before the rate is too high
    enough = np.flatnonzero(upper > most)
    first = 0 if len(enough) == 0 else enough[-1] + 1
    if first == len(THRESHOLDS):
        raise UserError(f"no threshold up to {THRESHOLDS[-1]:g} keeps false alarms at {most:g} in {DAYS} days; standardise the residuals")
    return float(THRESHOLDS[first])


def _counts(detector, residuals, thresholds) -> np.ndarray:
    """Alarms of each threshold and series `[thresholds, R]`."""
    run = jax.jit(lambda threshold: jax.vmap(alarms, (None, 0, None))(detector, residuals, threshold).sum(1))
    return np.stack([np.asarray(run(threshold)) for threshold in thresholds]).astype(float)


def delay(found: np.ndarray, start: int) -> np.ndarray:
    """Days from `start` to the first alarm from then on, for alarms `[..., T]`; NaN where none comes."""
    after = np.asarray(found)[..., start:]
    return np.where(after.any(-1), after.argmax(-1).astype(float), np.nan)


# Residuals


def forecast_residuals(demand: jax.Array, expected: jax.Array | None = None, smoothing: float = 0.01) -> jax.Array:
    """Residuals e_t `[T]` of n series together, those of a common factor on their demand.

    With r = demand / expected, a series' level l and its variance v are r and (r - l)^2 smoothed exponentially, from the
    first 28 days on, and

        e_t = sum_i w_i (r_i - l_i) / sqrt(v_i) / sqrt(sum_i w_i^2),   w_i = l_i / sqrt(v_i):

    each series counts by how well a factor shows in it, so slow sellers do not drown the others (with w_i = 1 it is the
    mean of methods.md D.4). A day's level and variance are those of its eve.

    Args:
      demand: `[T, n]`. expected: `[T, n]` of each day up to a factor, from calendar, promotions, price; None: always the
        same.
      smoothing: weight of the latest day. A level that follows fast forgets a change before it is noticed.

    Raises:
      UserError: for a stream with missing days (NaN), naming the first.
    """
    check_stream(demand)
    demand = jnp.asarray(demand, jnp.float32)
    expected = jnp.ones_like(demand) if expected is None else jnp.asarray(expected, jnp.float32)
    return _forecast_residuals(demand, expected, smoothing)


@jax.jit
def _forecast_residuals(demand, expected, smoothing):
    ratios = demand / jnp.maximum(expected, 0.1)
    first = ratios[:28]

    def day(state, ratio):
        level, variance = state
        error, deviation = ratio - level, jnp.sqrt(variance)
        weight = level / deviation
        residual = jnp.sum(weight * error / deviation) / jnp.sqrt(jnp.maximum(jnp.sum(weight**2), 1e-6))
        return (level + smoothing * error, variance + smoothing * (error**2 - variance)), residual

    return jax.lax.scan(day, (first.mean(0), first.var(0) + 1e-2), ratios)[1]


def expectation(demand: jax.Array, known: jax.Array) -> jax.Array:
    """Coefficients `[1 + C, D]` of demand over its mean on what is known of a day, by least squares over all series.

    Args:
      demand: `[T, D, n]` of a time in which nothing changed; known: `[T, C, n]`.
    """
    design = jnp.moveaxis(known, 1, -1).reshape(-1, known.shape[1])
    design = jnp.concatenate([jnp.ones((len(design), 1)), design], 1)
    relative = demand / jnp.maximum(demand.mean(0), 1e-3)
    target = jnp.moveaxis(relative, 1, -1).reshape(len(design), -1)
    gram = design.T @ design
    return jnp.linalg.solve(gram + 1e-5 * jnp.trace(gram) / len(gram) * jnp.eye(len(gram)), design.T @ target)


def expected_from(coefficients: jax.Array, known: jax.Array) -> jax.Array:
    """What `expectation` expects of each day relative to the mean: `[T, D, n]`."""
    relative = coefficients[0][:, None] + jnp.einsum("cd,tcn->tdn", coefficients[1:], known)
    return jnp.maximum(relative, 0.1)


def hazards(lead_time: jax.Array, longest: int) -> jax.Array:
    """P(arrives after a periods | not before) for a = 1 .. longest `[longest, E]`, counted on lead times `[..., E]`."""
    lead_time = lead_time.reshape(-1, lead_time.shape[-1])
    ages = jnp.arange(1, longest + 1)[:, None, None]
    waiting, arrived = (lead_time >= ages).sum(1), (lead_time == ages).sum(1)
    return (arrived + 0.0) / jnp.maximum(waiting, 1)


def expected_lead_times(hazard: jax.Array) -> jax.Array:
    """Mean lead time of an order that has not come after a = 0 .. longest periods `[longest + 1, E]`; a + 1 where the hazard
    `[longest, E]` knows of none so late."""

    def earlier(later, step):
        age, hazard = step
        known = jnp.where(jnp.isnan(later), age, hazard * age + (1 - hazard) * later)
        mean = jnp.where((hazard > 0) | ~jnp.isnan(later), known, jnp.nan)
        return mean, mean

    longest, edges = hazard.shape
    _, means = jax.lax.scan(earlier, jnp.full(edges, jnp.nan), (jnp.arange(1.0, longest + 1), hazard), reverse=True)
    means = jnp.concatenate([means, jnp.full((1, edges), jnp.nan)])
    return jnp.where(jnp.isnan(means), jnp.arange(1.0, longest + 2)[:, None], means)


@jax.jit
def arrival_residuals(lead_time: jax.Array, placed: jax.Array, hazard: jax.Array) -> jax.Array:
    """Standardised residuals `[T]` of arrivals: what came on a day less what the law expected of all that was outstanding.

    Each open order of age a arrives with probability hazard(a); so the residual has mean 0 under the law and nothing has
    to be known that a planner does not see: an order that is late shows before it comes. A first arrival of a day is
    that of orders placed at least one period ago.

    Args:
      lead_time: `[T, E]` realised, of an order placed on each day; placed: `[T, E]` whether there was one, or their number.
      hazard: `[longest, E]`, see `hazards`.
    """
    days, edges = lead_time.shape
    padded, ordered = (jnp.concatenate([jnp.zeros((hazard.shape[0], edges)), x.astype(jnp.float32)]) for x in (lead_time, placed))

    def of_age(sums, age):
        own = jax.lax.dynamic_slice_in_dim(padded, hazard.shape[0] - age, days)
        orders = jax.lax.dynamic_slice_in_dim(ordered, hazard.shape[0] - age, days)
        waiting, rate = orders * (own >= age), hazard[age - 1]
        surplus = jnp.sum(waiting * ((own == age) - rate), 1)
        return (sums[0] + surplus, sums[1] + jnp.sum(waiting * rate * (1.0 - rate), 1)), None

    start = (jnp.zeros(days), jnp.zeros(days))
    (surplus, variance), _ = jax.lax.scan(of_age, start, jnp.arange(1, hazard.shape[0] + 1))
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
            f"the stream has no value on day {int(missing.argmax())} ({int(missing.sum())} days are missing); fill them in, "
            "as 0 where nothing was sold"
        )
    if dates is not None:
        days = np.asarray(dates, "datetime64[D]").astype(int)
        gaps = np.flatnonzero(np.diff(days) != 1)
        if len(days) != len(missing):
            raise UserError(f"the stream has {len(missing)} rows and {len(days)} dates")
        if len(gaps):
            day = np.datetime64(int(days[gaps[0]]) + 1, "D")
            raise UserError(f"the stream misses {day} ({len(gaps)} gaps in all); a detector needs every day, in order")
