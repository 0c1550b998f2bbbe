"""What the embedded cross-border world takes from real files, and how each number was fitted.

Three fits, each a pure function of one raw file, and beside them their results as constants, so that the
package needs no file at run time: `SCMS_LEAD_TIMES` and `SCMS_FREIGHT` from USAID's Supply Chain Management
System delivery history (purchase-order lines to 43 countries, 2006-2015), `ONLINE_RETAIL_DEMAND` from UCI
Online Retail (a British wholesaler of gifts, 2010-12-01 to 2011-12-09). A test fits them afresh and compares.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.errors import UserError

PROBABILITIES = tuple(round(0.05 * k, 2) for k in range(1, 20))  # 5%, 10% … 95%
TIER_EDGES_KG = (500.0, 2500.0, 10000.0)  # where the marginal freight rate changes
LIGHTEST_KG, HEAVIEST_KG = 200.0, 25000.0  # lighter consignments are left out, few are heavier
VELOCITY_CLASSES = (("fast", 0.2), ("medium", 0.3), ("long_tail", 0.5))  # shares of the SKUs

HOME = "United Kingdom"
EUROPE = (
    "Austria",
    "Belgium",
    "Channel Islands",
    "Cyprus",
    "Czech Republic",
    "Denmark",
    "EIRE",
    "European Community",
    "Finland",
    "France",
    "Germany",
    "Greece",
    "Iceland",
    "Italy",
    "Lithuania",
    "Malta",
    "Netherlands",
    "Norway",
    "Poland",
    "Portugal",
    "Spain",
    "Sweden",
    "Switzerland",
)


@dataclass(frozen=True)
class LeadTimeSpread:
    """Lead times of one shipment mode relative to the mean of their lane (a supplier site and a country).

    Attributes:
      shipments: how many shipments the shape rests on, all in lanes of five or more.
      median_days: median over all shipments of the mode, production included [days].
      quantiles: lead time / mean at `PROBABILITIES`, dimensionless.
      lognormal_cv: coefficient of variation of the lognormal nearest to `quantiles`.
      lognormal_error: root mean square distance of its quantiles from `quantiles`.
      gamma_cv: the same for the gamma distribution.
      gamma_error: the same for the gamma distribution.
      pooled_cv: standard deviation / mean over all shipments, lanes mixed; for comparison only.
    """

    shipments: int
    median_days: float
    quantiles: tuple[float, ...]
    lognormal_cv: float
    lognormal_error: float
    gamma_cv: float
    gamma_error: float
    pooled_cv: float


@dataclass(frozen=True)
class LeadTimes:
    """Lead-time spread by mode, and how much slower the sea is.

    Attributes:
      air: scheduled air freight; chartered aircraft left out.
      ocean: ocean freight.
      ocean_to_air: ratio of the modes' median lead times, production included in both.
      ocean_to_air_same_lane: the same ratio within lanes that used both modes (median over lanes).
      ocean_minus_air_days: difference of medians within such lanes (median over lanes), where the production
        time, common to both, cancels [days].
    """

    air: LeadTimeSpread
    ocean: LeadTimeSpread
    ocean_to_air: float
    ocean_to_air_same_lane: float
    ocean_minus_air_days: float


@dataclass(frozen=True)
class FreightRate:
    """Freight of one mode; money in nominal US dollars.

    Attributes:
      consignments: how many the rates rest on.
      usd_per_kg: median freight / weight.
      value_share: median freight / value of the goods, at the weights the mode carries.
      scale: a in freight = a * weight_kg ** b [USD].
      exponent: b; below 1, so that a kilogram is cheaper in a larger consignment.
      tier_usd_per_kg: marginal rate in the bands that `TIER_EDGES_KG` parts.
      tier_value_share: the same as a share of item value, for goods of `Freight.usd_value_per_kg`.
    """

    consignments: int
    usd_per_kg: float
    value_share: float
    scale: float
    exponent: float
    tier_usd_per_kg: tuple[float, ...]
    tier_value_share: tuple[float, ...]


@dataclass(frozen=True)
class Freight:
    """Freight by mode, for the same goods by either.

    Attributes:
      air: scheduled air freight.
      ocean: ocean freight.
      usd_value_per_kg: median value of a kilogram of goods over both modes, which turns weight rates into
        shares of value.
      reference_kg: median consignment over both modes; tier edges divided by it are in reference orders.
    """

    air: FreightRate
    ocean: FreightRate
    usd_value_per_kg: float
    reference_kg: float


@dataclass(frozen=True)
class VelocityClass:
    """Daily demand of one class of SKUs; units are product units.

    Attributes:
      name: `fast`, `medium` or `long_tail`.
      skus: how many SKUs.
      volume_share: their share of all units.
      mean_units: mean over SKUs of the mean units a calendar day.
      log_mean, log_sd: mean and standard deviation over SKUs of the logarithm of the mean units a calendar
        day.
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
    """Demand = NB(mean = SKU mean * week factor * month factor, dispersion of the SKU's class), home market.

    Attributes:
      classes: fast, medium, long tail.
      log_mean, log_sd: of the logarithm of the mean units a calendar day over all SKUs (one log-normal).
      week: factors of Monday to Sunday, mean 1.
      year: factors of January to December, mean 1.
      capped_share: share of units that winsorising took away.
      europe_ratio: units sold to the rest of Europe / units sold at home.
      elsewhere_ratio: the same for the rest of the world.
      shock_variance: variance of the slow multiplicative shock of an SKU's weekly order rate (its mean is 1).
      shock_persistence: its correlation from one week to the next.
      europe_shock_slope: covariance of the home and European shocks / `shock_variance`.
      cross_market_correlation: mean correlation of weekly order counts at home and in Europe, which noise
        attenuates.
      spikes_a_year: weeks an SKU and year in which orders begin to reach 2.5 times their local level.
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


# The fits below, of the files in shared/data, to three digits.
SCMS_LEAD_TIMES = LeadTimes(
    air=LeadTimeSpread(
        shipments=2490,
        median_days=95.0,
        quantiles=(
            0.364,
            0.448,
            0.515,
            0.569,
            0.623,
            0.675,
            0.724,
            0.771,
            0.818,
            0.868,
            0.927,
            0.989,
            1.05,
            1.13,
            1.23,
            1.31,
            1.46,
            1.68,
            2.19,
        ),
        lognormal_cv=0.58,
        lognormal_error=0.0321,
        gamma_cv=0.54,
        gamma_error=0.0621,
        pooled_cv=0.635,
    ),
    ocean=LeadTimeSpread(
        shipments=271,
        median_days=174.0,
        quantiles=(
            0.544,
            0.598,
            0.653,
            0.701,
            0.805,
            0.846,
            0.851,
            0.888,
            0.951,
            0.977,
            1.03,
            1.06,
            1.13,
            1.15,
            1.2,
            1.25,
            1.34,
            1.45,
            1.51,
        ),
        lognormal_cv=0.32,
        lognormal_error=0.0359,
        gamma_cv=0.31,
        gamma_error=0.026,
        pooled_cv=0.347,
    ),
    ocean_to_air=1.83,
    ocean_to_air_same_lane=1.44,
    ocean_minus_air_days=43.0,
)

SCMS_FREIGHT = Freight(
    air=FreightRate(
        consignments=1821,
        usd_per_kg=8.44,
        value_share=0.0897,
        scale=55.7,
        exponent=0.733,
        tier_usd_per_kg=(10.6, 5.95, 4.04, 3.03),
        tier_value_share=(0.129, 0.0724, 0.0491, 0.0368),
    ),
    ocean=FreightRate(
        consignments=266,
        usd_per_kg=1.62,
        value_share=0.0299,
        scale=138.0,
        exponent=0.489,
        tier_usd_per_kg=(5.79, 1.73, 0.824, 0.473),
        tier_value_share=(0.0704, 0.0211, 0.01, 0.00575),
    ),
    usd_value_per_kg=82.2,
    reference_kg=1530.0,
)

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


def fit_lead_times(path: str | Path) -> LeadTimes:
    """Fits lead-time spread to `scms_delivery_history.csv.gz`.

    A lead time runs from "PO Sent to Vendor" to "Delivered to Client" in days; it is positive and one a
    shipment (ASN/DN), because the lines of a shipment travel together and count once. It includes production,
    so only its shape is used: each lead time is divided by the geometric mean of its lane (manufacturing site
    and country, five shipments or more), the residual logarithm stretched by sqrt(n / (n - 1)) for the mean
    taken out, and the pool scaled to mean 1 (a mean over values held within their 1% and 99% quantiles, since
    a few dates are misprints). An edge of the network is one lane, so the spread within lanes is the right
    one; lanes mixed have more. Lognormal and gamma distributions of mean 1 are fitted by least squares on the
    5% … 95% quantiles.

    Air Charter is left out: chartered aircraft fly from the regional stores, for which no order date is kept
    (18 usable lines). Truck is left out: half of its lines arrive within four days of the order, from stock
    that was there already. Domestic supply can borrow the air shape.

    Raises:
      UserError: the file is missing, is not this table, or has too few shipments of a mode.
    """
    table = _read(
        path,
        [
            "ASN/DN #",
            "Country",
            "Manufacturing Site",
            "Shipment Mode",
            "PO Sent to Vendor Date",
            "Delivered to Client Date",
        ],
    )
    sent = pd.to_datetime(table["PO Sent to Vendor Date"], format="%Y-%m-%d", errors="coerce")
    delivered = pd.to_datetime(table["Delivered to Client Date"], format="%Y-%m-%d", errors="coerce")
    table = table.assign(
        days=(delivered - sent).dt.days, lane=table["Country"] + " from " + table["Manufacturing Site"]
    )
    shipments = table[table["days"] > 0].drop_duplicates("ASN/DN #")
    by_mode = {mode: shipments[shipments["Shipment Mode"] == mode] for mode in ("Air", "Ocean")}

    air, ocean = (_spread(by_mode[mode], path, mode) for mode in ("Air", "Ocean"))
    lanes = {mode: rows.groupby("lane")["days"].agg(["median", "size"]) for mode, rows in by_mode.items()}
    both = lanes["Air"].add_suffix("_air").join(lanes["Ocean"].add_suffix("_ocean"), how="inner")
    both = both[(both["size_air"] >= 5) & (both["size_ocean"] >= 5)]
    return LeadTimes(
        air=air,
        ocean=ocean,
        ocean_to_air=ocean.median_days / air.median_days,
        ocean_to_air_same_lane=float((both["median_ocean"] / both["median_air"]).median()),
        ocean_minus_air_days=float((both["median_ocean"] - both["median_air"]).median()),
    )


def fit_freight(path: str | Path) -> Freight:
    """Fits freight cost to `scms_delivery_history.csv.gz`.

    A consignment is the line that states weight and freight as positive numbers with the lines that refer to
    it ("See ASN-… (ID#:…)"), and its value is the sum of their line item values: dividing by the stating
    line's value alone would overstate the share. Lines whose freight is in the price or is invoiced apart
    fall out. Only Direct Drop consignments (supplier to country) are used: all but five ocean consignments
    are, while air freight from the regional stores is another journey. Air Charter is left out: an aircraft
    is paid whole, whatever it carries. Consignments under 200 kg are left out: no planner ships those by sea,
    and the handful there are (parts of others, it seems, two at over 1,000 USD a kilogram) would tilt the
    curve of the heavy ones.

    freight = a * weight^b is the median regression of log freight on log weight, so a few misprinted weights
    do not matter. Tiers are chords of that curve between `TIER_EDGES_KG` (the first from 0 kg, the last to
    25,000 kg), hence decreasing. Above 10,000 kg the ocean rate is the least certain: 59 consignments, whose
    own medians suggest about twice the curve's. A rate in USD a kilogram becomes a share of item value
    through one value density for both modes, since a planner chooses the mode for the same goods: share = USD
    a kilogram / USD of value a kilogram. For goods of another density multiply the shares by usd_value_per_kg
    / theirs: these are medicines and test kits, general merchandise is worth less a kilogram and pays a
    larger share.

    Raises:
      UserError: the file is missing, is not this table, or has too few consignments of a mode.
    """
    table = _read(
        path,
        ["ID", "Fulfill Via", "Shipment Mode", "Line Item Value", "Weight (Kilograms)", "Freight Cost (USD)"],
    )
    referred = pd.to_numeric(table["Freight Cost (USD)"].astype(str).str.extract(r"\(ID#:(\d+)\)")[0])
    stated = pd.to_numeric(table["Line Item Value"], errors="coerce")
    value = stated.groupby(referred.fillna(table["ID"])).sum()
    table = pd.DataFrame(
        {
            "mode": table["Shipment Mode"],
            "via": table["Fulfill Via"],
            "value": table["ID"].map(value),
            "kg": pd.to_numeric(table["Weight (Kilograms)"], errors="coerce"),
            "usd": pd.to_numeric(table["Freight Cost (USD)"], errors="coerce"),
        }
    )
    table = table[
        (table["kg"] >= LIGHTEST_KG)
        & (table["usd"] > 0)
        & (table["value"] > 0)
        & (table["via"] == "Direct Drop")
        & table["mode"].isin(["Air", "Ocean"])
    ]
    density = float((table["value"] / table["kg"]).median())
    air, ocean = (_rate(table[table["mode"] == mode], density, path, mode) for mode in ("Air", "Ocean"))
    return Freight(air=air, ocean=ocean, usd_value_per_kg=density, reference_kg=float(table["kg"].median()))


def fit_demand(path: str | Path) -> Demand:
    """Fits daily demand to `online_retail_daily.csv.gz`.

    *Units* are units less units cancelled the same day, at least 0, which removes the two known outliers
    (80,995 of 23843 and 74,215 of 23166). SKUs are those whose first and last home sale lie 180 days apart or
    more, and each counts from first to last sale. A day on which nothing at all was sold is closed and does
    not count (Saturdays, Christmas, bank holidays). Bulk orders are winsorised: an SKU's day is held to the
    SKU's 99.5% quantile over its trading days, at least 1.

    *Season* is multiplicative, weekday * month, fitted by alternating ratios to the total of the SKUs sold
    from the first 60 days to the last 40, so that a growing catalogue does not look like a season. One year
    cannot tell season from growth: the autumn rise holds both. An SKU's mean is its units / its season
    factors summed, so with week factors of mean 1 it is a mean a calendar day.

    *Classes* are the fastest 20%, next 30% and last 50% of SKUs by that mean. *Dispersion* is one r a class
    by maximum likelihood given every SKU's mean and the season. Likelihood, not moments: it matches the days
    without a sale and hardly moves with the winsorising quantile, where moments follow the few largest
    orders.

    *Shocks, spikes and markets* come from weekly order counts of the fastest fifth of the SKUs sold all year,
    since one wholesale order can hold hundreds of units but is one customer. The slow shock is the variance
    of the count beyond Poisson, relative to the mean squared; its persistence is the ratio of its lag-2 and
    lag-1 autocovariances. A spike is a week at 2.5 times the centred 13-week median or more, and is compared
    with Poisson counts around that median: where both are as frequent, promotions cannot be told from chance,
    and none are taken out of the dispersion. European counts have no variance beyond Poisson, so a
    correlation of shocks is not estimable; their covariance is, and with the plain correlation of counts it
    brackets what D.5 sets (.3).

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
        raise UserError(f"{path}: {units.shape[1]} SKUs sell in {HOME} over 180 days; the fit needs 20")

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
        raise UserError(f"{path}: no SKU has an order in two weeks from Europe ({', '.join(EUROPE[:3])} …)")
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


def _read(path: str | Path, columns: list[str]) -> pd.DataFrame:
    """These columns of a CSV, or one message that says what is wrong with it."""
    try:
        table = pd.read_csv(path, low_memory=False)
    except (OSError, ValueError, EOFError) as error:  # pandas' parser and encoding errors are ValueErrors
        raise UserError(f"{path}: cannot be read as a CSV table ({error})") from error
    missing = [name for name in columns if name not in table]
    if missing:
        named, found = (", ".join(map(repr, names)) for names in (missing, table.columns))
        raise UserError(f"{path}: no column {named}; found {found}")
    return table[columns]


def _spread(shipments: pd.DataFrame, path: str | Path, mode: str) -> LeadTimeSpread:
    """The spread of one mode's shipments (`days`, `lane`) about their lanes."""
    size = shipments.groupby("lane")["days"].transform("size")
    kept = shipments[size >= 5]
    if len(kept) < 50:
        raise UserError(f"{path}: {len(kept)} shipments by {mode} in lanes of five or more; the fit needs 50")
    log = np.log(kept["days"])
    size = size[size >= 5]
    residual = (log - log.groupby(kept["lane"]).transform("mean")) * np.sqrt(size / (size - 1))
    relative = np.exp(residual).to_numpy()
    relative = relative / np.clip(relative, *np.quantile(relative, [0.01, 0.99])).mean()
    quantiles = np.quantile(relative, PROBABILITIES)
    lognormal_cv, lognormal_error = _nearest_cv(_lognormal_quantiles, quantiles)
    gamma_cv, gamma_error = _nearest_cv(_gamma_quantiles, quantiles)
    return LeadTimeSpread(
        shipments=len(kept),
        median_days=float(shipments["days"].median()),
        quantiles=tuple(quantiles.tolist()),
        lognormal_cv=lognormal_cv,
        lognormal_error=lognormal_error,
        gamma_cv=gamma_cv,
        gamma_error=gamma_error,
        pooled_cv=float(shipments["days"].std() / shipments["days"].mean()),
    )


def _nearest_cv(family: Callable[[float], np.ndarray], quantiles: np.ndarray) -> tuple[float, float]:
    """The coefficient of variation whose quantiles lie nearest, to the hundredth, and their distance."""
    tried = [(float(np.sqrt(np.mean((family(cv) - quantiles) ** 2))), cv) for cv in np.arange(5, 151) / 100]
    error, cv = min(tried)
    return float(cv), error


def _lognormal_quantiles(cv: float) -> np.ndarray:
    """At `PROBABILITIES`, of mean 1."""
    z = np.linspace(-6, 6, 4001)
    cdf = [0.5 * math.erfc(-x / math.sqrt(2)) for x in z]
    sigma = math.sqrt(math.log1p(cv**2))
    return np.exp(sigma * np.interp(PROBABILITIES, cdf, z) - sigma**2 / 2)


def _gamma_quantiles(cv: float) -> np.ndarray:
    """At `PROBABILITIES`, of mean 1, by summing the density on a fine grid in log x (smooth at any shape)."""
    shape = cv**-2
    log_x = np.linspace(-20, 3, 4001)
    cdf = np.cumsum(np.exp(shape * (log_x - np.exp(log_x) + math.log(shape)) - math.lgamma(shape)))
    return np.exp(np.interp(PROBABILITIES, cdf / cdf[-1], log_x))


def _rate(consignments: pd.DataFrame, density: float, path: str | Path, mode: str) -> FreightRate:
    """Rates of one mode's consignments (`kg`, `usd`, `value`); density in USD of value a kilogram."""
    if len(consignments) < 50:
        raise UserError(
            f"{path}: {len(consignments)} consignments by {mode} state weight and freight; the fit needs 50"
        )
    kg, usd = consignments["kg"].to_numpy(float), consignments["usd"].to_numpy(float)
    intercept, exponent = _median_regression(np.log(kg), np.log(usd))
    edges = np.array([0.0, *TIER_EDGES_KG, HEAVIEST_KG])
    tiers = np.diff(math.exp(intercept) * edges**exponent) / np.diff(edges)
    return FreightRate(
        consignments=len(kg),
        usd_per_kg=float(np.median(usd / kg)),
        value_share=float((consignments["usd"] / consignments["value"]).median()),
        scale=math.exp(intercept),
        exponent=exponent,
        tier_usd_per_kg=tuple(tiers.tolist()),
        tier_value_share=tuple((tiers / density).tolist()),
    )


def _median_regression(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of the line with the least sum of absolute errors, by reweighted least squares."""
    design = np.stack([np.ones_like(x), x], axis=1)
    weight = np.ones_like(x)
    for _ in range(100):
        line = np.linalg.solve(design.T @ (weight[:, None] * design), design.T @ (weight * y))
        weight = 1 / np.maximum(np.abs(y - design @ line), 1e-4)
    return float(line[0]), float(line[1])


def _sales(path: str | Path) -> pd.DataFrame:
    """The daily sales with `units` net of same-day cancellations."""
    table = _read(path, ["date", "stock_code", "country", "units", "orders", "cancelled_units"])
    dates = pd.to_datetime(table["date"], format="%Y-%m-%d", errors="coerce")
    counts = table[["units", "orders", "cancelled_units"]].apply(pd.to_numeric, errors="coerce")
    wrong = np.flatnonzero(dates.isna() | ~(counts >= 0).all(axis=1))
    if len(wrong):
        raise UserError(
            f"{path}: row {wrong[0] + 2}: date is not ISO, or units, orders or "
            "cancelled_units is not a number from 0"
        )
    if table.empty:
        raise UserError(f"{path}: no rows")
    net = (counts["units"] - counts["cancelled_units"]).clip(lower=0)
    return table.assign(date=dates, units=net, orders=counts["orders"])


def _panel(table: pd.DataFrame, column: str, days: pd.DatetimeIndex) -> pd.DataFrame:
    """One column of the sales as a table of days by SKUs, 0 where there is no row."""
    wide = table.pivot_table(index="date", columns="stock_code", values=column, aggfunc="sum", fill_value=0)
    return wide.reindex(days, fill_value=0)


def _lasting(units: pd.DataFrame, trading: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """The SKUs sold over 180 days or more, and the trading days from each one's first to its last sale."""
    sold = units.to_numpy() > 0
    index = np.arange(len(units))[:, None]
    first = np.where(sold, index, len(units)).min(axis=0)
    last = np.where(sold, index, -1).max(axis=0)
    lasting = last - first >= 180
    active = (index >= first) & (index <= last) & trading[:, None]
    return units.loc[:, lasting], active[:, lasting]


def _season(units: np.ndarray, days: pd.DatetimeIndex, trading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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


def _ratio(observed: np.ndarray, expected: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Observed over expected by group; 0 for a group that never occurs, such as Saturday."""
    total = np.bincount(group, expected, groups)
    return np.divide(np.bincount(group, observed, groups), total, out=np.zeros(groups), where=total > 0)


def _classes(units: np.ndarray, mean: np.ndarray, season: np.ndarray) -> tuple[VelocityClass, ...]:
    """Velocity classes of SKUs with daily `units` [days, SKUs] (NaN where not on sale) and calendar means."""
    order = np.argsort(-mean, kind="stable")
    cuts = np.round(np.cumsum([share for _, share in VELOCITY_CLASSES])[:-1] * len(mean)).astype(int)
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
    """Maximum-likelihood r of a negative binomial of known means: golden section on log r in [.001, 100]."""
    values, counts = np.unique(y, return_counts=True)

    def loss(log_r: float) -> float:
        r = math.exp(log_r)
        rising = np.array([math.lgamma(v + r) for v in values]) - math.lgamma(r)
        return float(((r + y) * np.log(r + mu)).sum() - r * log_r * len(y) - (counts * rising).sum())

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

    sold = abroad.mean(axis=0) >= 0.5  # an order in two weeks; the other SKUs say nothing about Europe
    home, abroad, expected, shock = home[:, sold], abroad[:, sold], expected[:, sold], shock[:, sold]
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
    """Spikes of weekly order counts [weeks, SKUs], and of Poisson counts around the same local level."""
    season = orders.sum(axis=1, keepdims=True) / orders.sum(axis=1).mean()
    level = _local_level(orders / season)
    random = np.random.default_rng(0)
    chance = [_spike_frequency(random.poisson(level * season) / season) for _ in range(10)]
    return {
        "spikes_a_year": _spike_frequency(orders / season),
        "spikes_a_year_by_chance": float(np.mean(chance)),
    }


def _local_level(counts: np.ndarray) -> np.ndarray:
    """Centred 13-week median, at least 1."""
    return pd.DataFrame(counts).rolling(13, center=True, min_periods=7).median().clip(lower=1).to_numpy()


def _spike_frequency(counts: np.ndarray) -> float:
    """Spikes an SKU and year; weeks in a row count once."""
    hot = counts >= 2.5 * _local_level(counts)
    begins = hot & ~np.vstack([np.zeros_like(hot[:1]), hot[:-1]])
    return float(begins.mean() * 365.25 / 7)
