"""A forecast of many series at once, from their past and from what is known ahead, as plain as it
can be.

Demand of a period is taken as a level times a profile. The profile is the day of the week (of each
series, drawn towards that of all), the week of the year (of a group, as far as its years agree with
each other) and what is announced, such as promotions and prices (one effect of each column for a
group). The level of each coming period is a weighted sum of the mean of all that was and of
exponential averages of the recent past; the weights are fitted by least squares for each horizon to
all series of about the same volume, so that trend and return to the mean are whatever these series
showed.

Every forecast that it makes of a past period uses levels known before that period; the profile and
the weights are those of the whole past, which are few numbers for many series.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

SMOOTHINGS = (0.02, 0.06, 0.15, 0.4)
"""Of the exponential averages."""

VOLUMES = (0.4, 4.0)
"""Units a period that part the classes of volume: series that are alike in how lumpy they are."""

FEW = 12
"""Fewer series than this are no class or group of their own."""

SAMPLE = 768
"""Most series of a class that its weights are fitted to, evenly spaced."""

ORIGINS = 160
"""Most periods that forecasts are made in to fit the weights, evenly spaced."""

PRIOR_UNITS = 40.0
"""Units sold that the weekday profile of all counts for beside a series' own."""


@dataclass(frozen=True, eq=False)
class Forecaster:
    """What was fitted to N series over T periods, for H to come.

    Attributes:
      demand: `[N, T]` float32, NaN before a series begins.
      profile: `[N, T + H]` float32, factors of about 1 on the level of each period.
      flat: `[N, T + H]` the same without what is announced.
      classes: class of volume of each series `[N]`.
      weights: of mean and averages on the level of each horizon `[classes, H, 1 +
        len(SMOOTHINGS)]`.
    """

    demand: np.ndarray
    profile: np.ndarray
    flat: np.ndarray
    classes: np.ndarray
    weights: np.ndarray

    @property
    def horizon(self) -> int:
        return self.weights.shape[1]

    def averages(self, rows: np.ndarray) -> np.ndarray:
        """What levels are made of after each period, of some series `[R, T, 1 +
        len(SMOOTHINGS)]`."""
        return smoothed_levels(self.demand[rows] / self.profile[rows, : self.demand.shape[1]])

    def levels(self, rows: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Levels of the coming periods `[R, ..., H]` from `smoothed_levels` `[R, ..., 1 +
        len(SMOOTHINGS)]`."""
        found = np.einsum(
            "r...k,rhk->r...h", known, self.weights[self.classes[rows]], optimize=True
        )
        return np.maximum(found, 0.02 * known[..., :1])

    def ahead(self, rows: np.ndarray, profile: np.ndarray | None = None) -> np.ndarray:
        """The forecast of the H periods after the last `[R, H]`; `profile` `[N, T + H]` instead of
        the fitted one."""
        profile = self.profile if profile is None else profile
        return self.levels(rows, self.averages(rows)[:, -1]) * profile[rows, self.demand.shape[1] :]


def fit_forecaster(
    demand: np.ndarray, dates: np.ndarray, announced: np.ndarray, horizon: int, period_days: float,
    groups: np.ndarray | None = None
) -> Forecaster:  # fmt: skip
    """Fits the forecast.

    Args:
      demand: `[N, T]` units, NaN before a series begins.
      dates: first days of the T + H periods.
      announced: `[N, T + H, C]` numbers that are known ahead and are not the calendar's.
      groups: of series that share a season and effects `[N]`, such as categories; all where not
        given.
    """
    demand = np.asarray(demand, np.float32)
    count, periods = demand.shape
    days = pd.DatetimeIndex(np.asarray(dates).astype("datetime64[s]"))
    groups = _large(np.zeros(count, int) if groups is None else np.asarray(groups))
    mean = np.nan_to_num(_mean(demand))
    unit = demand / np.maximum(mean, 1e-6)[:, None]
    flat = np.ones((count, len(days)), np.float32)
    for group in np.unique(groups):
        rows = groups == group
        whole = _mean(unit[rows & (mean > 0)], 0) if (rows & (mean > 0)).any() else np.ones(periods)
        flat[rows] *= _year(np.nan_to_num(whole, nan=1.0), days, period_days)
    if period_days == 1:
        flat *= _week(demand / flat[:, :periods], days.day_of_week.to_numpy(), mean)
    profile = flat
    if announced.shape[-1]:
        profile = flat.copy()
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            profile[rows] *= _effects(demand[rows] / flat[rows, :periods], announced[rows])
    classes = _classes(mean)
    weights = np.zeros((classes.max() + 1, horizon, 1 + len(SMOOTHINGS)))
    for number in range(len(weights)):
        rows = np.flatnonzero(classes == number)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int))]
        weights[number] = _weights(demand[rows] / profile[rows, :periods], horizon)
    return Forecaster(demand, profile.astype(np.float32), flat, classes, weights.astype(np.float32))


def smoothed_levels(level: np.ndarray) -> np.ndarray:
    """The mean of all that was and exponential averages, after each period `[N, T, 1 +
    len(SMOOTHINGS)]`.

    Args:
      level: demand over profile `[N, T]`, NaN before a series begins.
    """
    there = np.isfinite(level)
    seen = np.where(there, level, 0.0).astype(np.float64)
    number = there.cumsum(1)
    mean = seen.cumsum(1) / np.maximum(number, 1)
    found = np.empty((*level.shape, 1 + len(SMOOTHINGS)), np.float32)
    found[..., 0] = mean
    for place, smoothing in enumerate(SMOOTHINGS):
        run, weight = np.zeros(len(level)), np.zeros(len(level))
        for time in range(level.shape[1]):
            # weights of the past sum to one, however short it is
            run = (1 - smoothing) * run + smoothing * seen[:, time]
            weight = (1 - smoothing) * weight + smoothing * there[:, time]
            found[:, time, 1 + place] = run / np.maximum(weight, 1e-9)
    return found


# --- profile --------------------------------------------------------------------------------------


def _mean(values: np.ndarray, axis: int = 1) -> np.ndarray:
    """The mean of what is there; NaN where nothing is."""
    there = np.isfinite(values)
    return np.where(there, values, 0).sum(axis) / np.where(there.any(axis), there.sum(axis), np.nan)


def _large(groups: np.ndarray) -> np.ndarray:
    """Numbers of groups, those of few series put together."""
    _, number, count = np.unique(groups, return_inverse=True, return_counts=True)
    return np.where(count[number] >= FEW, number + 1, 0)


def _year(whole: np.ndarray, days: pd.DatetimeIndex, period_days: float) -> np.ndarray:
    """Factors `[T + H]` of the week of the year, from the mean of a group `[T]`; as much of them as
    one half of the years tells of the other, none with less than two years."""
    periods, year = len(whole), 365.25 / period_days
    if periods < 2 * year or period_days > 31:
        return np.ones(len(days))
    bins = (
        np.minimum((days.day_of_year.to_numpy() - 1) // 7, 51)
        if period_days <= 7
        else days.month.to_numpy() - 1
    )
    half = round(year / 2)
    middle = pd.Series(whole).rolling(2 * half + 1, center=True, min_periods=half).mean().to_numpy()
    ratio = whole / np.maximum(middle, 1e-9)
    years = (np.arange(periods) // year).astype(int)
    parts = [_by_bin(ratio, bins[:periods], years % 2 == side) for side in (0, 1)]
    agree = np.corrcoef(*parts)[0, 1]
    if not agree > 0:
        return np.ones(len(days))
    factors = _by_bin(ratio, bins[:periods], np.ones(periods, bool))
    trusted = 2 * agree / (1 + agree)
    return (1 + trusted * (factors - 1))[bins]


def _by_bin(ratio, bins, where):
    """Smoothed means by bin, 1 in bins without any."""
    size = bins.max() + 1
    total, count = (np.bincount(bins[where], weights, size) for weights in (ratio[where], None))
    found = np.where(count > 0, total / np.maximum(count, 1), 1.0)
    found = 0.25 * np.roll(found, 1) + 0.5 * found + 0.25 * np.roll(found, -1)
    return np.clip(found / found.mean(), 0.2, 5.0)


def _week(level: np.ndarray, weekday: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Factors of the day of the week `[N, T + H]`."""
    periods = level.shape[1]
    days = [weekday[:periods] == day for day in range(7)]
    own = np.stack(
        [np.nan_to_num(_mean(level[:, day])) if day.any() else mean for day in days], 1
    )  # [N, 7]
    total = own.sum(1)
    of_all = own.sum(0) / max(own.sum() / 7, 1e-9)
    units = np.nansum(level, 1) / 7
    prior = PRIOR_UNITS
    shape = (own / np.maximum(total / 7, 1e-9)[:, None] * units[:, None] + prior * of_all) / (
        units + prior
    )[:, None]
    return np.maximum(shape, 0.02)[:, weekday].astype(np.float32)


def _effects(level: np.ndarray, announced: np.ndarray) -> np.ndarray:
    """Factors `[n, T + H]` of what is announced: linear in it, one slope of each column, around 1
    on average."""
    count, periods = level.shape
    rows = np.unique(np.linspace(0, count - 1, min(count, SAMPLE)).astype(int))
    usual = smoothed_levels(level[rows])[:, :-1, 2]
    ratio = level[rows, 1:] / np.maximum(usual, 1e-6)
    use = np.isfinite(ratio) & (usual > 0.05 * np.maximum(_mean(level[rows]), 1e-9)[:, None])
    x, y = announced[rows, 1:periods][use].astype(float), np.minimum(ratio[use], 8.0)
    moves = x.std(0) > 1e-6 if len(x) else np.zeros(announced.shape[-1], bool)
    if len(y) < 50 or not moves.any():
        return np.ones(announced.shape[:2], np.float32)
    weight = np.broadcast_to(_mean(level[rows])[:, None], ratio.shape)[use]
    weight = weight / (1 + weight)
    x = x[:, moves]
    middle = np.average(x, 0, weight)
    base = np.average(y, 0, weight)
    z = x - middle
    gram = (z * weight[:, None]).T @ z / weight.sum()
    slope = np.linalg.solve(
        gram + 1e-3 * np.diag(np.diag(gram)), (z * weight[:, None]).T @ (y - base) / weight.sum()
    )
    own = np.asarray(announced[:, :periods][..., moves], float).mean(
        1, keepdims=True
    )  # what a series is used to
    moved = (announced[..., moves] - own) @ (slope / max(base, 1e-9))
    return np.clip(1 + moved, 0.2, 6.0).astype(np.float32)


# --- level ----------------------------------------------------------------------------------------


def _classes(mean: np.ndarray) -> np.ndarray:
    """Class of volume of each series, small classes put with a neighbour."""
    found = np.digitize(mean, VOLUMES)
    for _ in range(len(VOLUMES)):
        values, count = np.unique(found, return_counts=True)
        if len(values) == 1 or count.min() >= FEW:
            break
        small = values[count.argmin()]
        others = values[values != small]
        found = np.where(found == small, others[np.abs(others - small).argmin()], found)
    return np.unique(found, return_inverse=True)[1]


def _weights(level: np.ndarray, horizon: int) -> np.ndarray:
    """Weights `[H, 1 + len(SMOOTHINGS)]` of `smoothed_levels` on the level of each coming period,
    by weighted least squares."""
    periods = level.shape[1]
    nothing = np.zeros((horizon, 1 + len(SMOOTHINGS)))
    nothing[:, 2] = 1.0  # of too short a past: the second average
    begun = np.isfinite(level).cumsum(1)
    first = min(8, periods // 3)
    origins = np.unique(
        np.linspace(
            first, max(periods - 2, first), min(ORIGINS, max(periods - 1 - first, 1))
        ).astype(int)
    )
    if periods < first + 4:
        return nothing
    known = smoothed_levels(level)
    unit = np.maximum(known[..., :1], 1e-9)
    x = (known / unit)[:, origins]
    ready = (begun[:, origins] >= first) & (known[:, origins, 0] > 0)
    weight = np.where(ready, known[:, origins, 0] / (1 + 0.5 * known[:, origins, 0]), 0.0)
    found = nothing
    for ahead in range(1, horizon + 1):
        use = origins + ahead < periods
        if use.sum() < 4:
            found[ahead - 1] = found[max(ahead - 2, 0)]
            continue
        rows = x[:, use].reshape(-1, x.shape[-1]).astype(float)
        y = (level[:, origins[use] + ahead] / unit[:, origins[use], 0]).ravel()
        w = np.where(np.isfinite(y), weight[:, use].ravel(), 0.0)
        y = np.minimum(np.nan_to_num(y), 20.0)
        if (w > 0).sum() < 40:
            found[ahead - 1] = found[max(ahead - 2, 0)]
            continue
        # all weights on the mean would be a sum of one: the penalty draws towards weights that
        # share a sum of one evenly
        even = np.full(rows.shape[1], 1.0 / rows.shape[1])
        gram = (rows * w[:, None]).T @ rows / w.sum()
        pull = (rows * w[:, None]).T @ (y - rows @ even) / w.sum()
        found[ahead - 1] = even + np.linalg.solve(
            gram + 2e-3 * np.trace(gram) / len(gram) * np.eye(len(gram)), pull
        )
    return found
