"""Daily demand of SKUs, its season, shocks and markets, fitted to UCI Online Retail."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.fits.reading import read
from jaxinv.errors import UserError
from jaxinv.keys import instance_generator

VELOCITY_CLASSES = (("fast", 0.2), ("medium", 0.3), ("long_tail", 0.5))  # shares of the SKUs
HOME = "United Kingdom"
EUROPE = (
    "Austria", "Belgium", "Channel Islands", "Cyprus", "Czech Republic", "Denmark", "EIRE",
    "European Community",
    "Finland", "France", "Germany", "Greece", "Iceland", "Italy", "Lithuania", "Malta",
    "Netherlands", "Norway",
    "Poland", "Portugal", "Spain", "Sweden", "Switzerland",
)  # fmt: skip


@dataclass(frozen=True)
class VelocityClass:
    """Daily demand of one class of SKUs; units are product units.

    Attributes:
      name: `fast`, `medium` or `long_tail`.
      skus: how many SKUs.
      volume_share: their share of all units.
      mean_units: mean over SKUs of the mean units a calendar day.
      log_mean, log_sd: mean and standard deviation over SKUs of the logarithm of the mean units a
        calendar day.
      dispersion: r of the negative binomial (variance = mean + mean^2 / r) of a trading day.
      moment_dispersion: r by moments, which follows the bulk orders; for comparison.
      zero_days: observed share of trading days without a sale.
      zero_days_fitted: the same under the negative binomial with `dispersion`.
    """

    name: str
    skus: int
    volume_share: float
    mean_units: float
    log_mean: float
    log_sd: float
    dispersion: float
    moment_dispersion: float
    zero_days: float
    zero_days_fitted: float


@dataclass(frozen=True)
class Demand:
    """Demand = NB(mean = SKU mean * week factor * month factor, dispersion of the SKU's class),
    home market.

    Attributes:
      classes: fast, medium, long tail.
      log_mean, log_sd: of the logarithm of the mean units a calendar day over all SKUs (one
        log-normal).
      week: factors of Monday to Sunday, mean 1.
      year: factors of January to December, mean 1.
      capped_share: share of units that winsorising took away.
      europe_ratio: units sold to the rest of Europe / units sold at home.
      elsewhere_ratio: the same for the rest of the world.
      shock_variance: variance of the slow multiplicative shock of an SKU's weekly order rate (its
        mean is 1).
      shock_persistence: its correlation from one week to the next.
      europe_shock_slope: covariance of the home and European shocks / `shock_variance`.
      cross_market_correlation: mean correlation of weekly order counts at home and in Europe, which
        noise attenuates.
      spikes_a_year: weeks an SKU and year in which orders begin to reach 2.5 times their local
        level.
      spikes_a_year_by_chance: the same when orders are Poisson around that level.
    """

    classes: tuple[VelocityClass, ...]
    log_mean: float
    log_sd: float
    week: tuple[float, ...]
    year: tuple[float, ...]
    capped_share: float
    europe_ratio: float
    elsewhere_ratio: float
    shock_variance: float
    shock_persistence: float
    europe_shock_slope: float
    cross_market_correlation: float
    spikes_a_year: float
    spikes_a_year_by_chance: float


# The fit below, of the public file, to three digits.
ONLINE_RETAIL_DEMAND = Demand(
    classes=(
        VelocityClass(
            name="fast",
            skus=572,
            volume_share=0.738,
            mean_units=15.1,
            log_mean=2.46,
            log_sd=0.642,
            dispersion=0.261,
            moment_dispersion=0.277,
            zero_days=0.391,
            zero_days_fitted=0.364,
        ),
        VelocityClass(
            name="medium",
            skus=857,
            volume_share=0.208,
            mean_units=2.84,
            log_mean=0.971,
            log_sd=0.385,
            dispersion=0.15,
            moment_dispersion=0.15,
            zero_days=0.64,
            zero_days_fitted=0.637,
        ),
        VelocityClass(
            name="long_tail",
            skus=1429,
            volume_share=0.0542,
            mean_units=0.444,
            log_mean=-1.39,
            log_sd=1.28,
            dispersion=0.0963,
            moment_dispersion=0.108,
            zero_days=0.866,
            zero_days_fitted=0.866,
        ),
    ),
    log_mean=0.0884,
    log_sd=1.84,
    week=(1.23, 1.31, 1.28, 1.44, 1.07, 0.0, 0.676),
    year=(0.797, 0.758, 0.868, 0.927, 0.898, 0.762, 0.853, 0.826, 1.12, 1.15, 1.58, 1.46),
    capped_share=0.0555,
    europe_ratio=0.176,
    elsewhere_ratio=0.0304,
    shock_variance=0.178,
    shock_persistence=0.882,
    europe_shock_slope=0.639,
    cross_market_correlation=0.165,
    spikes_a_year=0.922,
    spikes_a_year_by_chance=0.913,
)


def fit_demand(path: str | Path) -> Demand:
    """Fits daily demand to `online_retail_daily.csv.gz`.

    *Units* are units less units cancelled the same day, at least 0, which removes the two known
    outliers (80,995 of 23843 and 74,215 of 23166). SKUs are those whose first and last home sale
    lie 180 days apart or more, and each counts from first to last sale. A day on which nothing at
    all was sold is closed and does not count (Saturdays, Christmas, bank holidays). Bulk orders are
    winsorised: an SKU's day is held to the SKU's 99.5% quantile over its trading days, at least 1.

    *Season* is multiplicative, weekday * month, fitted by alternating ratios to the total of the
    SKUs sold from the first 60 days to the last 40, so that a growing catalogue does not look like
    a season. One year cannot tell season from growth: the autumn rise holds both. An SKU's mean is
    its units / its season factors summed, so with week factors of mean 1 it is a mean a calendar
    day.

    *Classes* are the fastest 20%, next 30% and last 50% of SKUs by that mean. *Dispersion* is one r
    a class by maximum likelihood given every SKU's mean and the season. Likelihood, not moments: it
    matches the days without a sale and hardly moves with the winsorising quantile, where moments
    follow the few largest orders.

    *Shocks, spikes and markets* come from weekly order counts of the fastest fifth of the SKUs sold
    all year, since one wholesale order can hold hundreds of units but is one customer. The slow
    shock is the variance of the count beyond Poisson, relative to the mean squared; its persistence
    is the ratio of its lag-2 and lag-1 autocovariances. A spike is a week at 2.5 times the centred
    13-week median or more, and is compared with Poisson counts around that median: where both are
    as frequent, promotions cannot be told from chance, and none are taken out of the dispersion.
    European counts have no variance beyond Poisson, so a correlation of shocks is not estimable;
    their covariance is, and with the plain correlation of counts it brackets what D.5 sets (.3).

    Raises:
      UserError: the file is missing, is not this table, or has too few SKUs.
    """
    table = _sales(path)
    days = pd.date_range(table["date"].min(), table["date"].max())
    home, europe = table[table["country"] == HOME], table[table["country"].isin(EUROPE)]
    units = _panel(home, "units", days)
    trading = units.sum(axis=1).to_numpy() > 0
    units, active = _lasting(units, trading)
    if units.shape[1] < 20:
        raise UserError(
            f"{path}: {units.shape[1]} SKUs sell in {HOME} over 180 days; the fit needs 20"
        )

    raw = np.where(active, units.to_numpy(float), np.nan)
    capped = np.minimum(raw, np.maximum(np.nanquantile(raw, 0.995, axis=0), 1.0))
    all_year = active[:60].any(axis=0) & active[-40:].any(axis=0)
    week, year = _season(capped[:, all_year], days, trading)
    season = week[days.day_of_week] * year[days.month - 1]
    mean = np.nansum(capped, axis=0) / (active * season[:, None]).sum(axis=0)

    orders = _weekly(_panel(home, "orders", days).reindex(columns=units.columns[all_year]), trading)
    fastest = mean[all_year] >= np.quantile(mean[all_year], 0.8)
    orders = orders[:, fastest]
    abroad = _panel(europe, "orders", days).reindex(columns=units.columns[all_year], fill_value=0)
    abroad = _weekly(abroad, trading)[:, fastest]
    if not (abroad.mean(axis=0) >= 0.5).any():
        raise UserError(
            f"{path}: no SKU has an order in two weeks from Europe ({', '.join(EUROPE[:3])} …)"
        )
    at_home, in_europe, anywhere = (float(rows["units"].sum()) for rows in (home, europe, table))
    return Demand(
        classes=_classes(capped, mean, season),
        log_mean=float(np.log(mean).mean()),
        log_sd=float(np.log(mean).std()),
        week=tuple(week.tolist()),
        year=tuple(year.tolist()),
        capped_share=float(1 - np.nansum(capped) / np.nansum(raw)),
        europe_ratio=in_europe / at_home,
        elsewhere_ratio=(anywhere - in_europe - at_home) / at_home,
        **_shocks(orders, abroad),
        **_spikes(orders),
    )


def _sales(path: str | Path) -> pd.DataFrame:
    """The daily sales with `units` net of same-day cancellations."""
    table = read(path, ["date", "stock_code", "country", "units", "orders", "cancelled_units"])
    dates = pd.to_datetime(table["date"], format="%Y-%m-%d", errors="coerce")
    counts = table[["units", "orders", "cancelled_units"]].apply(pd.to_numeric, errors="coerce")
    wrong = np.flatnonzero(dates.isna() | ~(counts >= 0).all(axis=1))
    if len(wrong):
        raise UserError(
            f"{path}: row {wrong[0] + 2}: date is not ISO, or units, orders or cancelled_units is"
            " not a number from 0"
        )
    if table.empty:
        raise UserError(f"{path}: no rows")
    net = (counts["units"] - counts["cancelled_units"]).clip(lower=0)
    return table.assign(date=dates, units=net, orders=counts["orders"])


def _panel(table: pd.DataFrame, column: str, days: pd.DatetimeIndex) -> pd.DataFrame:
    """One column of the sales as a table of days by SKUs, 0 where there is no row."""
    wide = table.pivot_table(
        index="date", columns="stock_code", values=column, aggfunc="sum", fill_value=0
    )
    return wide.reindex(days, fill_value=0)


def _lasting(units: pd.DataFrame, trading: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """The SKUs sold over 180 days or more, and the trading days from each one's first to its last
    sale.
    """
    sold = units.to_numpy() > 0
    index = np.arange(len(units))[:, None]
    first = np.where(sold, index, len(units)).min(axis=0)
    last = np.where(sold, index, -1).max(axis=0)
    lasting = last - first >= 180
    active = (index >= first) & (index <= last) & trading[:, None]
    return units.loc[:, lasting], active[:, lasting]


def _season(
    units: np.ndarray, days: pd.DatetimeIndex, trading: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Week [7] and month [12] factors of mean 1 of the SKUs' total, over trading days."""
    open_now = ~np.isnan(units)
    expected = (np.nanmean(units, axis=0) * open_now).sum(axis=1)
    level = np.nansum(units, axis=1)[trading] / expected[trading]
    weekday, month = days.day_of_week.to_numpy()[trading], days.month.to_numpy()[trading] - 1
    week, year = np.ones(7), np.ones(12)
    for _ in range(20):  # converges in a handful: the two are nearly orthogonal
        year = _ratio(level, week[weekday], month, 12)
        week = _ratio(level, year[month], weekday, 7)
    return week / week.mean(), year / year.mean()


def _ratio(
    observed: np.ndarray, expected: np.ndarray, group: np.ndarray, groups: int
) -> np.ndarray:
    """Observed over expected by group; 0 for a group that never occurs, such as Saturday."""
    total = np.bincount(group, expected, groups)
    return np.divide(
        np.bincount(group, observed, groups), total, out=np.zeros(groups), where=total > 0
    )


def _classes(units: np.ndarray, mean: np.ndarray, season: np.ndarray) -> tuple[VelocityClass, ...]:
    """Velocity classes of SKUs with daily `units` [days, SKUs] (NaN where not on sale) and calendar
    means.
    """
    order = np.argsort(-mean, kind="stable")
    cuts = np.round(np.cumsum([share for _, share in VELOCITY_CLASSES])[:-1] * len(mean)).astype(
        int
    )
    found = []
    for (name, _), members in zip(VELOCITY_CLASSES, np.split(order, cuts), strict=True):
        y = units[:, members]
        here = ~np.isnan(y)
        y, mu = y[here], np.broadcast_to(mean[members] * season[:, None], here.shape)[here]
        r = _dispersion(y, mu)
        found.append(
            VelocityClass(
                name=name,
                skus=len(members),
                volume_share=float(mean[members].sum() / mean.sum()),
                mean_units=float(mean[members].mean()),
                log_mean=float(np.log(mean[members]).mean()),
                log_sd=float(np.log(mean[members]).std()),
                dispersion=r,
                moment_dispersion=float((mu**2).sum() / ((y - mu) ** 2 - mu).sum()),
                zero_days=float((y == 0).mean()),
                zero_days_fitted=float(((r / (r + mu)) ** r).mean()),
            )
        )
    return tuple(found)


def _dispersion(y: np.ndarray, mu: np.ndarray) -> float:
    """Maximum-likelihood r of a negative binomial of known means: golden section on log r in [.001,
    100].
    """
    values, counts = np.unique(y, return_counts=True)

    def loss(log_r: float) -> float:
        r = math.exp(log_r)
        rising = np.array([math.lgamma(v + r) for v in values]) - math.lgamma(r)
        return float(
            ((r + y) * np.log(r + mu)).sum() - r * log_r * len(y) - (counts * rising).sum()
        )

    low, high, golden = math.log(1e-3), math.log(100.0), (math.sqrt(5) - 1) / 2
    for _ in range(30):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2)


def _weekly(panel: pd.DataFrame, trading: np.ndarray) -> np.ndarray:
    """Sums over weeks from Monday, for weeks of five trading days or more."""
    week = pd.factorize(panel.index.to_period("W-SUN"))[0]
    whole = np.bincount(week, trading) >= 5
    return panel.groupby(week).sum().to_numpy(float)[whole]


def _shocks(home: np.ndarray, abroad: np.ndarray) -> dict[str, float]:
    """The slow shock of weekly order counts [weeks, SKUs], and how Europe shares it."""
    expected = _expected(home)
    shock = home - expected
    variance = (shock**2 - home).sum() / (expected**2).sum()
    lags = [(shock[k:] * shock[:-k]).sum() / (expected[k:] * expected[:-k]).sum() for k in (1, 2)]

    sold = (
        abroad.mean(axis=0) >= 0.5
    )  # an order in two weeks; the other SKUs say nothing about Europe
    home, abroad, expected, shock = (
        home[:, sold],
        abroad[:, sold],
        expected[:, sold],
        shock[:, sold],
    )
    expected_abroad = _expected(abroad)
    shock_abroad = abroad - expected_abroad
    covariance = (shock * shock_abroad).sum() / (expected * expected_abroad).sum()
    own = (shock**2 - home).sum() / (expected**2).sum()
    pairs = zip((shock / expected).T, (shock_abroad / expected_abroad).T, strict=True)
    return {
        "shock_variance": float(variance),
        "shock_persistence": float(lags[1] / lags[0]),
        "europe_shock_slope": float(covariance / own),
        "cross_market_correlation": float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])),
    }


def _expected(counts: np.ndarray) -> np.ndarray:
    """Counts [weeks, SKUs] if every SKU followed the total."""
    return counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()


def _spikes(orders: np.ndarray) -> dict[str, float]:
    """Spikes of weekly order counts [weeks, SKUs], and of Poisson counts around the same local
    level.
    """
    season = orders.sum(axis=1, keepdims=True) / orders.sum(axis=1).mean()
    level = _local_level(orders / season)
    random = instance_generator(0)
    chance = [_spike_frequency(random.poisson(level * season) / season) for _ in range(10)]
    return {
        "spikes_a_year": _spike_frequency(orders / season),
        "spikes_a_year_by_chance": float(np.mean(chance)),
    }


def _local_level(counts: np.ndarray) -> np.ndarray:
    """Centred 13-week median, at least 1."""
    return (
        pd.DataFrame(counts)
        .rolling(13, center=True, min_periods=7)
        .median()
        .clip(lower=1)
        .to_numpy()
    )


def _spike_frequency(counts: np.ndarray) -> float:
    """Spikes an SKU and year; weeks in a row count once."""
    hot = counts >= 2.5 * _local_level(counts)
    begins = hot & ~np.vstack([np.zeros_like(hot[:1]), hot[:-1]])
    return float(begins.mean() * 365.25 / 7)
