"""Demand paths to come: a forecast, and errors out of that forecast's own past.

An error is read on a scale on which it has about the same spread whatever the level: between square
roots, where chance of single customers rules, and logarithms, where all of demand moves together
(asinh of the square root). Errors of consecutive periods after one forecast are kept together, so
that a sum over an order's cover has the spread that such sums had, whatever the errors of a series
have to do with each other. A series' own windows are taken, and beside them windows of series of
about the same volume, stretched to its own spread: the more, the fewer of its own it has. Counts
are spread over the unit above them before they are read, and cut down again afterwards: so they
stay counts, and none is negative.
"""

from dataclasses import dataclass, replace

import numpy as np

from jaxinv.keys import Role, generator
from jaxinv.orders.forecast import FEW, Forecaster, fit_forecaster

OWN = 12.0
"""Windows of others that are taken beside a series' own count as so many independent ones of its
own."""

BANK = 4096
"""Most windows of each class of volume that are kept for others."""

PRIOR = 10.0
"""Periods that the spread of the class counts for beside that of the series."""

RECENT = 0.3
"""Share of the past, the first, whose own errors are left out where there is enough: forecasts knew
little then."""

STRETCHES = (0.7, 0.85, 1.0, 1.15, 1.3, 1.5)
LAST = 8
"""Windows of the past on which they are tried."""

RISK = 0.1
"""The risk that has to come true, of the sums over half of the periods and over all of them."""

EARLIEST = 8
"""Periods of a series before the first forecast whose error is taken."""


@dataclass(frozen=True, eq=False)
class Futures:
    """What demand of S instances at D places may be in H periods to come.

    Attributes:
      forecaster: of the S * D series.
      places: D.
      whole: whether demand is counted in whole units.
      curve: of each class, how soon chance of single customers gives way to what all share.
      spread: of one period's error on the curve, of each series `[S * D]`.
      stretch: of each class, a factor on errors that makes risks come true on the last windows of
        the past.
      banks: of each class windows of errors `[M, D, H]` in units of that spread.
      seed: of the draws.
    """

    forecaster: Forecaster
    places: int
    whole: bool
    curve: np.ndarray
    spread: np.ndarray
    stretch: np.ndarray
    banks: tuple[np.ndarray, ...]
    seed: int

    @property
    def horizon(self) -> int:
        return self.forecaster.horizon

    @property
    def instances(self) -> int:
        return len(self.forecaster.demand) // self.places

    def forecast(self, rows: np.ndarray) -> np.ndarray:
        """Expected demand of some instances `[R, H, D]`."""
        return self._by_place(self.forecaster.ahead(self._series(rows)))

    def base(self, rows: np.ndarray) -> np.ndarray:
        """What would be expected in a period like all others: level without profile or trend `[R,
        H, D]`."""
        series = self._series(rows)
        level = self.forecaster.averages(series)[:, -1, 2]
        return self._by_place(np.repeat(level[:, None], self.horizon, 1))

    def plain(self, rows: np.ndarray) -> np.ndarray:
        """Expected demand without what is announced `[R, H, D]`."""
        return self._by_place(self.forecaster.ahead(self._series(rows), self.forecaster.flat))

    def paths(self, rows: np.ndarray, count: int) -> np.ndarray:
        """Paths of some instances `[P, R, H, D]` float32; the same instances and count give the
        same paths.

        Args:
          rows: numbers of instances `[R]`. count: P.
        """
        rows = np.asarray(rows)
        draw = generator(Role.FUTURES, self.seed, int(rows[0]) if len(rows) else 0, len(rows))
        last = np.full(len(rows), self.forecaster.demand.shape[1] - 1)
        return self._from(rows, last, count, draw)

    def _from(self, rows, last, count, draw):
        """Paths that go on after period `last` `[R]`, from what was known then."""
        fore = self.forecaster
        series = self._series(rows)
        shape = (len(rows), self.places)
        klass = fore.classes[series].reshape(shape)[:, 0]
        known = fore.averages(series).reshape(*shape, fore.demand.shape[1], -1)
        now = self._expected(series.reshape(shape), known, last)  # [R, D, H]
        starts = self._first(series).reshape(shape).max(1)
        stop = last - self.horizon
        starts = np.maximum(starts, np.minimum((RECENT * stop).astype(int), stop - self.horizon))
        span = np.maximum(stop + 1 - starts, 0)
        place = (
            np.arange(count)[:, None] + draw.random(len(rows))
        ) / count  # evenly over the past, [P, R]
        origin = np.maximum(np.minimum((starts + place * span).astype(int), stop), 0)
        origin = np.take_along_axis(origin, np.argsort(draw.random(origin.shape, np.float32), 0), 0)
        windows = span / self.horizon
        share = np.where(span > 0, windows / (windows + OWN), 0.0)
        take = np.argsort(np.argsort(draw.random(origin.shape, np.float32), 0), 0) < np.round(
            share * count
        )
        spread = self.spread[series].reshape(shape)
        errors = np.empty((count, *shape, self.horizon), np.float32)
        for number, bank in enumerate(self.banks):
            mine = klass == number
            picked = draw.integers(0, len(bank), (count, mine.sum()))
            errors[:, mine] = bank[picked] * spread[mine][None, :, :, None]
        path, row = np.nonzero(take)
        if len(row):
            errors[path, row] = self._errors(
                series.reshape(shape)[row], known[row], origin[path, row], draw
            )
        errors *= self.stretch[klass][:, None, None]
        curve = self.curve[klass][:, None, None]
        half = np.float32(0.5 if self.whole else 0.0)
        drawn = _back(np.maximum(_curve(now + half, curve) + errors, 0.0), curve)
        drawn = np.floor(drawn + np.float32(1e-4)) if self.whole else drawn
        return np.moveaxis(np.minimum(drawn, 50.0 * (now + 10.0)), -1, -2).astype(np.float32)

    def _expected(self, series, known, origin):
        """What was expected after `origin` `[n]` of series `[n, D]`: `[n, D, H]`; `known` is all of
        `smoothed_levels` of these."""
        fore, ahead = self.forecaster, np.arange(1, self.horizon + 1)
        then = known[np.arange(len(origin)), :, origin]  # [n, D, F]
        level = fore.levels(series.ravel(), then.reshape(-1, then.shape[-1])).reshape(
            *series.shape, -1
        )
        return level * fore.profile[series[..., None], origin[:, None, None] + ahead]

    def _errors(self, series, known, origin, draw):
        """Errors `[n, D, H]` of forecasts made after `origin` `[n]` for series `[n, D]`, on the
        curve."""
        expected = self._expected(series, known, origin)
        when = origin[:, None, None] + np.arange(1, self.horizon + 1)
        actual = self.forecaster.demand[series[..., None], when]
        curve = self.curve[self.forecaster.classes[series[:, 0]]][:, None, None]
        return error(actual, expected, curve, self.whole, draw)

    def _first(self, series):
        begins = np.isnan(self.forecaster.demand[series]).sum(1)
        return begins + EARLIEST - 1

    def _series(self, rows):
        return (np.asarray(rows)[:, None] * self.places + np.arange(self.places)).ravel()

    def _by_place(self, values):
        return np.moveaxis(values.reshape(-1, self.places, values.shape[-1]), 1, 2)


def fit_futures(
    demand: np.ndarray, dates: np.ndarray, announced: np.ndarray, period_days: float, *,
    whole: bool | None = None,
    groups: np.ndarray | None = None, like: dict[int, int] | None = None, seed: int = 0,
) -> Futures:  # fmt: skip
    """Fits what demand may be.

    Args:
      demand: `[S, T, D]` units of past periods, NaN before a series begins.
      dates: first days of the T + H periods, datetime64.
      announced: `[S, T + H, C]` what is known ahead and is not the calendar's.
      period_days: days of a period.
      whole: whether demand is counted; found in the past where not given.
      groups: `[S]` of instances that share a season, such as categories.
      like: for an instance the number of one that it is like: what that one sold before it began,
        in proportion, is taken for its own past.
      seed: of the draws.
    """
    demand = np.asarray(demand, np.float32)
    size, periods, places = demand.shape
    horizon = len(dates) - periods
    series = np.moveaxis(demand, 2, 1).reshape(-1, periods)
    for new, old in (like or {}).items():
        for place in range(places):
            series[new * places + place] = as_like(
                series[new * places + place], series[old * places + place]
            )
    if whole is None:
        some = series[:: max(len(series) // 2000, 1)]
        whole = bool(np.all((some == np.round(some)) | ~np.isfinite(some)))
    told = np.repeat(announced, places, 0)
    group = None if groups is None else np.repeat(groups, places)
    fore = fit_forecaster(series, dates, told, horizon, period_days, group)
    one = (
        fore.classes.reshape(-1, places)[:, :1].repeat(places, 1).ravel()
    )  # one class for all places of an instance
    fore = replace(fore, classes=one)
    return _with_errors(fore, places, whole, seed)


def as_like(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A series `[T]` that has what another sold before it began, in the proportion of what both
    sold since."""
    before = np.isnan(own)
    both = ~before & np.isfinite(other)
    theirs = other[both].sum()
    weight = both.sum() / (both.sum() + 4.0)
    ratio = 1.0 if not theirs > 0 else (1 - weight) + weight * own[both].sum() / theirs
    return np.where(
        before,
        np.round(ratio * other) if np.all(other[np.isfinite(other)] % 1 == 0) else ratio * other,
        own,
    )


def error(actual, expected, curve, whole, draw):
    """How far demand lies from what was expected, on the curve."""
    if not whole:
        return _curve(np.maximum(actual, 0.0), curve) - _curve(expected, curve)
    spread_out = np.maximum(actual, 0.0) + draw.random(np.shape(actual), np.float32)
    return _curve(spread_out, curve) - _curve(expected + np.float32(0.5), curve)


def _with_errors(fore: Forecaster, places: int, whole: bool, seed: int) -> Futures:
    """The curve, the spread of each series and the banks of windows, out of the forecast's past."""
    classes = int(fore.classes.max()) + 1
    draw = generator(Role.FUTURES, seed)
    curve, spread, banks = np.ones(classes, np.float32), np.ones(len(fore.demand), np.float32), []
    made = Futures(fore, places, whole, curve, spread, np.ones(classes, np.float32), (), seed)
    periods = fore.demand.shape[1]
    for number in range(classes):
        rows = np.flatnonzero(fore.classes.reshape(-1, places)[:, 0] == number)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 1024)).astype(int))]
        curve[number] = _fit_curve(fore, made._series(rows))
    for start in range(0, len(spread), 4096):
        rows = np.arange(start, min(start + 4096, len(spread)))
        spread[rows] = _spread(fore, rows, curve, whole, draw)
    stop = periods - fore.horizon - 1
    for number in range(classes):
        rows = np.flatnonzero(fore.classes.reshape(-1, places)[:, 0] == number)
        rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 2048)).astype(int))]
        series = made._series(rows).reshape(-1, places)
        first = made._first(series.ravel()).reshape(-1, places).max(1)
        long = first <= stop
        if not long.any():
            banks.append(draw.standard_normal((BANK, places, fore.horizon)).astype(np.float32))
            continue
        series, first = series[long], first[long]
        picked = draw.integers(0, len(series), BANK)
        first = np.maximum(first, min(int(RECENT * stop), stop - fore.horizon))
        origin = (first[picked] + draw.random(BANK) * (stop + 1 - first[picked])).astype(int)
        known = fore.averages(series.ravel()).reshape(*series.shape, periods, -1)
        found = np.concatenate(
            [
                made._errors(series[part], known[part], when, draw)
                for part, when in _parts(picked, origin)
            ]
        )
        banks.append((found / spread[series[picked]][..., None]).astype(np.float32))
    made = replace(made, banks=tuple(banks))
    stretch = [
        _stretched(made, number, generator(Role.FUTURES, seed, 1, number))
        for number in range(classes)
    ]
    return replace(made, stretch=np.asarray(stretch, np.float32))


def _stretched(made: Futures, number: int, draw: np.random.Generator) -> float:
    """The factor on the errors of a class with which the risk `RISK` comes true on its last
    windows."""
    fore = made.forecaster
    periods, horizon = fore.demand.shape[1], made.horizon
    rows = np.flatnonzero(fore.classes.reshape(-1, made.places)[:, 0] == number)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 256)).astype(int))]
    first = made._first(made._series(rows)).reshape(-1, made.places).max(1)
    outs, count = dict.fromkeys(STRETCHES, 0.0), 0.0
    lengths = sorted({max(horizon // 2, 1), horizon})  # lists play for twice the longest cover
    for back in range(LAST):
        last = periods - 1 - horizon * (back + 1)
        there = rows[first + 2 * horizon <= last]
        if len(there) < FEW or last < 2:
            break
        when = slice(last + 1, last + 1 + horizon)
        actual = fore.demand[made._series(there), when].reshape(len(there), made.places, horizon)
        coming = actual.sum(1).cumsum(1)  # [R, H]
        state = draw.bit_generator.state
        for factor in STRETCHES:
            draw.bit_generator.state = state  # the same draws for all
            tried = replace(made, stretch=np.full(len(made.stretch), factor, np.float32))
            paths = tried._from(there, np.full(len(there), last), 64, draw)
            sums = paths.sum(3).cumsum(2)  # [P, R, H]
            for length in lengths:
                said, came = sums[:, :, length - 1], coming[:, length - 1]
                above, level = (said > came).mean(0), (said >= came).mean(0)
                risk = above + draw.random(len(there)) * (level - above)  # ties split at random
                outs[factor] += (risk < RISK).sum() / len(lengths)
        count += len(there)
    if not count:
        return 1.0
    rate = np.asarray([outs[factor] / count for factor in STRETCHES])
    rate = np.minimum.accumulate(rate)
    best = float(np.interp(-RISK, -rate, STRETCHES))
    windows = count / 30.0  # series of one period are alike: hundreds say little more than dozens
    return 1.0 + (best - 1.0) * windows / (windows + 2.0)


def _parts(picked, origin, size=512):
    for start in range(0, len(picked), size):
        yield picked[start : start + size], origin[start : start + size]


def _steps(fore: Forecaster, rows):
    """Demand `[n, T - 1]` of each period after the first, and what was expected of it just
    before."""
    known = fore.averages(rows)[:, :-1]
    level = np.einsum("rtk,rk->rt", known, fore.weights[fore.classes[rows], 0])
    expected = (
        np.maximum(level, 0.02 * known[..., 0]) * fore.profile[rows, 1 : fore.demand.shape[1]]
    )
    actual = fore.demand[rows, 1:]
    begun = np.isfinite(fore.demand[rows]).cumsum(1)[:, :-1] >= EARLIEST
    return np.where(begun, actual, np.nan), expected


def _fit_curve(fore: Forecaster, rows: np.ndarray) -> float:
    """The ratio of the two parts of a variance that grows as a * level + b * level^2."""
    actual, expected = _steps(fore, rows)
    there = np.isfinite(actual) & (expected > 0)
    if there.sum() < 100:
        return 0.5
    size, square = (
        expected[there].astype(float),
        np.minimum((actual - expected)[there] ** 2, 100 * (expected[there] + 1) ** 2),
    )
    edges = np.unique(np.quantile(size, np.linspace(0, 1, 21)))
    if len(edges) < 3:
        mean = size.mean()
        return float(np.clip(max(square.mean() - mean, 0.0) / mean**2, 0.01, 20.0))
    part = np.clip(np.searchsorted(edges, size, "right") - 1, 0, len(edges) - 2)
    number = np.maximum(np.bincount(part, minlength=len(edges) - 1), 1)
    mean, variance = (
        np.bincount(part, values, len(edges) - 1) / number for values in (size, square)
    )
    x = np.stack(
        [1 / np.maximum(mean, 1e-6), np.ones_like(mean)], 1
    )  # variance / level^2, each part counting alike
    y, unit = variance / np.maximum(mean, 1e-6) ** 2, np.maximum(mean, 1e-6)
    w = unit / (1 + unit)
    a, b = np.linalg.lstsq(x * w[:, None], y * w, rcond=None)[0]
    a, b = max(a, 0.3), max(b, 0.0)
    return float(np.clip(b / a, 0.01, 20.0))


def _spread(fore, rows, curve, whole, draw):
    """Spread of one period's errors on the curve of each series, drawn towards that of its
    class."""
    actual, expected = _steps(fore, rows)
    there = np.isfinite(actual)
    found = error(np.nan_to_num(actual), expected, curve[fore.classes[rows]][:, None], whole, draw)
    square, number = np.where(there, found**2, 0.0).sum(1), there.sum(1)
    spread = np.empty(len(rows), np.float32)
    for klass in np.unique(fore.classes[rows]):
        mine = fore.classes[rows] == klass
        typical = square[mine].sum() / max(number[mine].sum(), 1)
        spread[mine] = np.sqrt((square[mine] + PRIOR * max(typical, 1e-6)) / (number[mine] + PRIOR))
    return spread


def _curve(demand, curve):
    return np.arcsinh(np.sqrt(curve * demand))


def _back(value, curve):
    return np.sinh(value) ** 2 / curve
