"""Lead-time spread by shipment mode, fitted to USAID's SCMS delivery history."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.fits.reading import read
from jaxinv.errors import UserError

PROBABILITIES = tuple(round(0.05 * k, 2) for k in range(1, 20))  # 5%, 10% … 95%


@dataclass(frozen=True)
class LeadTimeSpread:
    """Lead times of one shipment mode relative to the mean of their lane (a supplier site and a
    country).

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
class FreightLeadTimes:
    """Lead-time spread by mode, and how much slower the sea is.

    Attributes:
      air: scheduled air freight; chartered aircraft left out.
      ocean: ocean freight.
      ocean_to_air: ratio of the modes' median lead times, production included in both.
      ocean_to_air_same_lane: the same ratio within lanes that used both modes (median over lanes).
      ocean_minus_air_days: difference of medians within such lanes (median over lanes), where the
        production time, common to both, cancels [days].
    """

    air: LeadTimeSpread
    ocean: LeadTimeSpread
    ocean_to_air: float
    ocean_to_air_same_lane: float
    ocean_minus_air_days: float


# The fit below, of the public file, to three digits.
SCMS_LEAD_TIMES = FreightLeadTimes(
    air=LeadTimeSpread(
        shipments=2490,
        median_days=95.0,
        quantiles=(
            0.364, 0.448, 0.515, 0.569, 0.623, 0.675, 0.724, 0.771, 0.818, 0.868, 0.927, 0.989,
            1.05, 1.13,
            1.23, 1.31, 1.46, 1.68, 2.19,
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
            0.544, 0.598, 0.653, 0.701, 0.805, 0.846, 0.851, 0.888, 0.951, 0.977, 1.03, 1.06, 1.13,
            1.15, 1.2,
            1.25, 1.34, 1.45, 1.51,
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
)  # fmt: skip


def fit_lead_times(path: str | Path) -> FreightLeadTimes:
    """Fits lead-time spread to `scms_delivery_history.csv.gz`.

    A lead time runs from "PO Sent to Vendor" to "Delivered to Client" in days; it is positive and
    one a shipment (ASN/DN), because the lines of a shipment travel together and count once. It
    includes production, so only its shape is used: each lead time is divided by the geometric mean
    of its lane (manufacturing site and country, five shipments or more), the residual logarithm
    stretched by sqrt(n / (n - 1)) for the mean taken out, and the pool scaled to mean 1 (a mean
    over values held within their 1% and 99% quantiles, since a few dates are misprints). An edge of
    the network is one lane, so the spread within lanes is the right one; lanes mixed have more.
    Lognormal and gamma distributions of mean 1 are fitted by least squares on the 5% … 95%
    quantiles.

    Air Charter is left out: chartered aircraft fly from the regional stores, for which no order
    date is kept (18 usable lines). Truck is left out: half of its lines arrive within four days of
    the order, from stock that was there already. Domestic supply can borrow the air shape.

    Raises:
      UserError: the file is missing, is not this table, or has too few shipments of a mode.
    """
    table = read(
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
    delivered = pd.to_datetime(
        table["Delivered to Client Date"], format="%Y-%m-%d", errors="coerce"
    )
    table = table.assign(
        days=(delivered - sent).dt.days,
        lane=table["Country"] + " from " + table["Manufacturing Site"],
    )
    shipments = table[table["days"] > 0].drop_duplicates("ASN/DN #")
    by_mode = {mode: shipments[shipments["Shipment Mode"] == mode] for mode in ("Air", "Ocean")}

    air, ocean = (_spread(by_mode[mode], path, mode) for mode in ("Air", "Ocean"))
    lanes = {
        mode: rows.groupby("lane")["days"].agg(["median", "size"]) for mode, rows in by_mode.items()
    }
    both = lanes["Air"].add_suffix("_air").join(lanes["Ocean"].add_suffix("_ocean"), how="inner")
    both = both[(both["size_air"] >= 5) & (both["size_ocean"] >= 5)]
    return FreightLeadTimes(
        air=air,
        ocean=ocean,
        ocean_to_air=ocean.median_days / air.median_days,
        ocean_to_air_same_lane=float((both["median_ocean"] / both["median_air"]).median()),
        ocean_minus_air_days=float((both["median_ocean"] - both["median_air"]).median()),
    )


def _spread(shipments: pd.DataFrame, path: str | Path, mode: str) -> LeadTimeSpread:
    """The spread of one mode's shipments (`days`, `lane`) about their lanes."""
    size = shipments.groupby("lane")["days"].transform("size")
    kept = shipments[size >= 5]
    if len(kept) < 50:
        raise UserError(
            f"{path}: {len(kept)} shipments by {mode} in lanes of five or more; the fit needs 50"
        )
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


def _nearest_cv(
    family: Callable[[float], np.ndarray], quantiles: np.ndarray
) -> tuple[float, float]:
    """The coefficient of variation whose quantiles lie nearest, to the hundredth, and their
    distance.
    """
    tried = [
        (float(np.sqrt(np.mean((family(cv) - quantiles) ** 2))), cv)
        for cv in np.arange(5, 151) / 100
    ]
    error, cv = min(tried)
    return float(cv), error


def _lognormal_quantiles(cv: float) -> np.ndarray:
    """At `PROBABILITIES`, of mean 1."""
    z = np.linspace(-6, 6, 4001)
    cdf = [0.5 * math.erfc(-x / math.sqrt(2)) for x in z]
    sigma = math.sqrt(math.log1p(cv**2))
    return np.exp(sigma * np.interp(PROBABILITIES, cdf, z) - sigma**2 / 2)


def _gamma_quantiles(cv: float) -> np.ndarray:
    """At `PROBABILITIES`, of mean 1, by summing the density on a fine grid in log x (smooth at any
    shape).
    """
    shape = cv**-2
    log_x = np.linspace(-20, 3, 4001)
    cdf = np.cumsum(np.exp(shape * (log_x - np.exp(log_x) + math.log(shape)) - math.lgamma(shape)))
    return np.exp(np.interp(PROBABILITIES, cdf / cdf[-1], log_x))
