"""Freight tariffs by shipment mode, fitted to USAID's SCMS delivery history."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.fits.reading import read
from jaxinv.errors import UserError

TIER_EDGES_KG = (500.0, 2500.0, 10000.0)  # where the marginal freight rate changes
LIGHTEST_KG, HEAVIEST_KG = 200.0, 25000.0  # lighter consignments are left out, few are heavier


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
      usd_value_per_kg: median value of a kilogram of goods over both modes, which turns weight
        rates into shares of value.
      reference_kg: median consignment over both modes; tier edges divided by it are in reference
        orders.
    """

    air: FreightRate
    ocean: FreightRate
    usd_value_per_kg: float
    reference_kg: float


# The fit below, of the public file, to three digits.
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


def fit_freight(path: str | Path) -> Freight:
    """Fits freight cost to `scms_delivery_history.csv.gz`.

    A consignment is the line that states weight and freight as positive numbers with the lines that
    refer to it ("See ASN-… (ID#:…)"), and its value is the sum of their line item values: dividing
    by the stating line's value alone would overstate the share. Lines whose freight is in the price
    or is invoiced apart fall out. Only Direct Drop consignments (supplier to country) are used: all
    but five ocean consignments are, while air freight from the regional stores is another journey.
    Air Charter is left out: an aircraft is paid whole, whatever it carries. Consignments under 200
    kg are left out: no planner ships those by sea, and the handful there are (parts of others, it
    seems, two at over 1,000 USD a kilogram) would tilt the curve of the heavy ones.

    freight = a * weight^b is the median regression of log freight on log weight, so a few
    misprinted weights do not matter. Tiers are chords of that curve between `TIER_EDGES_KG` (the
    first from 0 kg, the last to 25,000 kg), hence decreasing. Above 10,000 kg the ocean rate is the
    least certain: 59 consignments, whose own medians suggest about twice the curve's. A rate in USD
    a kilogram becomes a share of item value through one value density for both modes, since a
    planner chooses the mode for the same goods: share = USD a kilogram / USD of value a kilogram.
    For goods of another density multiply the shares by usd_value_per_kg / theirs: these are
    medicines and test kits, general merchandise is worth less a kilogram and pays a larger share.

    Raises:
      UserError: the file is missing, is not this table, or has too few consignments of a mode.
    """
    table = read(
        path,
        [
            "ID",
            "Fulfill Via",
            "Shipment Mode",
            "Line Item Value",
            "Weight (Kilograms)",
            "Freight Cost (USD)",
        ],
    )
    referred = pd.to_numeric(
        table["Freight Cost (USD)"].astype(str).str.extract(r"\(ID#:(\d+)\)")[0]
    )
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
    air, ocean = (
        _rate(table[table["mode"] == mode], density, path, mode) for mode in ("Air", "Ocean")
    )
    return Freight(
        air=air, ocean=ocean, usd_value_per_kg=density, reference_kg=float(table["kg"].median())
    )


def _rate(consignments: pd.DataFrame, density: float, path: str | Path, mode: str) -> FreightRate:
    """Rates of one mode's consignments (`kg`, `usd`, `value`); density in USD of value a
    kilogram.
    """
    if len(consignments) < 50:
        raise UserError(
            f"{path}: {len(consignments)} consignments by {mode} state weight and freight; the fit"
            " needs 50"
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
    """Intercept and slope of the line with the least sum of absolute errors, by reweighted least
    squares.
    """
    design = np.stack([np.ones_like(x), x], axis=1)
    weight = np.ones_like(x)
    for _ in range(100):
        line = np.linalg.solve(design.T @ (weight[:, None] * design), design.T @ (weight * y))
        weight = 1 / np.maximum(np.abs(y - design @ line), 1e-4)
    return float(line[0]), float(line[1])
