"""What a planner wants to know of a plan before anything is learned: classes of products, seasons,
promotions, stock-outs, lead times.
"""

from typing import Any

import numpy as np
import pandas as pd

from jaxinv.data.grid import Frequency
from jaxinv.data.panel import Panel
from jaxinv.data.plan.plan import Plan

A, B = 0.80, 0.95
"""Shares of the money sold that end the classes A and B (ABC)."""
X, Y = 0.5, 1.0
"""Coefficients of variation of weekly demand that end the classes X and Y (XYZ)."""
OFTEN, EVEN = 1.32, 0.49
"""Cut-offs of Syntetos and Boylan: periods between demands (ADI), and squared variation of its size
(CV²).
"""
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def look(plan: Plan) -> dict[str, Any]:
    """Figures on the plan's sales and receipts, as a document of plain values.

    Demand is what was sold; where stock is known, days without stock are counted in `stock_outs`,
    not corrected.
    """
    panel = Panel.from_table(plan.sales)
    skus, units = _by_sku(panel)
    classes = classify(
        skus,
        units,
        plan.full_items["price"].reindex(skus).to_numpy(),
        Frequency.parse(panel.frequency),
    )
    return {
        "sales": {
            "skus": len(skus),
            "locations": len(plan.locations),
            "series": len(panel.series),
            "first": str(panel.dates[0]),
            "last": str(panel.dates[-1]),
            "frequency": panel.frequency,
            "units": float(units.sum()),
        },
        "abc_xyz": _abc_xyz(classes),
        "kinds": {
            kind: int((classes["kind"] == kind).sum())
            for kind in ("smooth", "erratic", "intermittent", "lumpy", "no sales")
        },
        "season": seasonality(panel.dates, units.sum(0), panel.frequency),
        "promotions": _lift(plan, panel, skus, units),
        "promotions_left_out": "promotion" in plan.sales and "promotion" not in panel.covariates,
        "stock_outs": _stock_outs(panel),
        "lead_times": _lead_times(plan),
        "odd": list(panel.notes),
        "skus": [
            {key: _plain(value) for key, value in row.items()}
            for row in classes.reset_index().to_dict("records")
        ],
    }


def classify(
    skus: list[str], units: np.ndarray, price: np.ndarray, frequency: Frequency
) -> pd.DataFrame:
    """Classes of each SKU.

    Args:
      units: by SKU and period `[K, T]`.
      price: money a unit `[K]`.

    Returns:
      Index sku: `value` (money sold in the last year), `abc`, `xyz` (- without sales), `kind`
        (smooth, erratic, intermittent,
      lumpy, or no sales), `adi` (periods between demands, from the first on), `cv2` (of the sizes
      of demands), `cv` (of weekly demand, or of periods that are longer).
    """
    year = int(round(frequency.per_year))
    value = units[:, -year:].sum(1) * price
    order = np.argsort(-value, kind="stable")
    before = np.cumsum(value[order]) - value[order]
    share = np.empty(len(value))
    share[order] = before / max(value.sum(), 1e-12)
    abc = np.where((value <= 0) | (share >= B), "C", np.where(share < A, "A", "B"))
    rows = []
    for row in units:
        sold = np.flatnonzero(row > 0)
        if not len(sold):
            rows.append(("-", "no sales", np.nan, np.nan, np.nan))
            continue
        since = row[sold[0] :]
        sizes = row[sold]
        adi, cv2 = len(since) / len(sold), float((sizes.std() / sizes.mean()) ** 2)
        weekly = _weekly(since, frequency)
        cv = (
            float(weekly.std() / weekly.mean()) if len(weekly) > 1 and weekly.mean() > 0 else np.nan
        )
        xyz = "X" if cv < X else "Y" if cv < Y else "Z"
        kind = (
            ("smooth" if cv2 < EVEN else "erratic")
            if adi < OFTEN
            else ("intermittent" if cv2 < EVEN else "lumpy")
        )
        rows.append((xyz, kind, adi, cv2, cv))
    found = pd.DataFrame(rows, pd.Index(skus, name="sku"), ["xyz", "kind", "adi", "cv2", "cv"])
    found.insert(0, "abc", abc)
    found.insert(0, "value", value)
    return found


def seasonality(dates: np.ndarray, total: np.ndarray, frequency: str) -> dict[str, Any]:
    """How demand of all SKUs moves with the weekday and the year.

    Returns:
      `weekdays`: mean of each weekday over the mean of all (daily sales only). `months`: the same
        for months, and `repeats`, the
      correlation of the monthly or weekly pattern of one year with that of the year before; both
      None with less than two years, which do not tell a season from a trend.
    """
    found: dict[str, Any] = {"weekdays": None, "months": None, "repeats": None}
    mean = total.mean()
    if frequency == "day" and len(total) >= 28:
        weekday = (dates.astype("datetime64[D]").astype(int) + 3) % 7
        found["weekdays"] = {
            name: float(total[weekday == k].mean() / mean)
            for k, name in enumerate(WEEKDAYS)
            if (weekday == k).any()
        }
    step = Frequency.parse(frequency)
    weekly = _weekly(total, step)
    year = int(round(min(step.per_year, 52)))
    if len(weekly) < 2 * year or mean <= 0:
        return found
    month = dates.astype("datetime64[M]").astype(int) % 12
    found["months"] = {
        f"{k + 1:02d}": float(total[month == k].mean() / mean)
        for k in range(12)
        if (month == k).any()
    }
    last, before = weekly[-year:], weekly[-2 * year : -year]
    if last.std() > 0 and before.std() > 0:
        found["repeats"] = float(np.corrcoef(last, before)[0, 1])
    return found


def _by_sku(panel: Panel) -> tuple[list[str], np.ndarray]:
    """SKUs, and what each sold at all locations together `[K, T]`."""
    codes, names = pd.factorize(panel.series["sku"], sort=True)
    units = np.zeros((len(names), panel.sales.shape[1]))
    np.add.at(units, codes, panel.sales)
    return list(names), units


def _weekly(row: np.ndarray, frequency: Frequency) -> np.ndarray:
    """Sums of whole weeks, counted back from the end, of daily numbers; numbers of longer periods
    as they are.
    """
    if frequency.unit != "day":
        return row
    weeks = len(row) // 7
    return row[len(row) - 7 * weeks :].reshape(weeks, 7).sum(1)


def _abc_xyz(classes: pd.DataFrame) -> list[dict[str, Any]]:
    whole = max(classes["value"].sum(), 1e-12)
    found = []
    for letter in "ABC":
        rows = classes[classes["abc"] == letter]
        counts = {name: int((rows["xyz"] == name).sum()) for name in ("X", "Y", "Z", "-")}
        found.append(
            {
                "class": letter,
                "skus": len(rows),
                "share": float(rows["value"].sum() / whole),
                **counts,
            }
        )
    return found


def _lift(plan: Plan, panel: Panel, skus: list[str], units: np.ndarray) -> dict[str, Any] | None:
    """What promotions multiplied sales by: units sold in them over those of the SKU's other
    periods; None without promotions.
    """
    on = np.zeros(units.shape, bool)
    if "promotion" in panel.covariates:
        codes = pd.factorize(panel.series["sku"], sort=True)[0]
        np.logical_or.at(on, codes, panel.covariates["promotion"] > 0)
    calendar = plan.calendar[plan.calendar["promotion"] > 0]
    if len(calendar):
        column = (
            np.searchsorted(
                panel.dates, calendar["date"].to_numpy().astype("datetime64[D]"), "right"
            )
            - 1
        )
        row = pd.Series(range(len(skus)), skus).reindex(calendar["sku"]).to_numpy()
        past = (calendar["date"].to_numpy().astype("datetime64[D]") < plan.settings.as_of) & (
            column >= 0
        )
        for_all = past & (calendar["sku"] == "").to_numpy()
        on[:, column[for_all]] = True
        named = past & ~np.isnan(row)
        on[row[named].astype(int), column[named]] = True
    both = on.any(1) & ~on.all(1)
    if not both.any():
        return None
    on, units = on[both], units[both]
    usual = np.where(on, 0, units).sum(1) / (~on).sum(1)
    expected = (usual * on.sum(1)).sum()
    lift = float((units * on).sum() / expected) if expected > 0 else None
    coming = plan.calendar[
        (plan.calendar["promotion"] > 0)
        & (plan.calendar["date"] >= pd.Timestamp(plan.settings.as_of))
    ]
    return {
        "lift": lift,
        "skus": int(both.sum()),
        "periods": int(on.sum()),
        "to_come": int(len(coming)),
    }


def _stock_outs(panel: Panel) -> dict[str, Any] | None:
    """Share of periods that began without stock or sold all of it; None where stock of the past is
    not known.
    """
    if panel.stock is None:
        return None
    known = ~np.isnan(panel.stock)
    if not known.any():
        return None
    out = panel.parts.out if panel.parts is not None else np.zeros(panel.sales.shape, bool)
    return {
        "share": float(out.sum() / known.sum()),
        "series": int(out.any(1).sum()),
        "mostly": int((out.sum(1) > 0.5 * np.maximum(known.sum(1), 1)).sum()),
    }


def _lead_times(plan: Plan) -> list[dict[str, Any]]:
    """Each lane: the days that count, from its table, receipts or the settings, and what receipts
    show.
    """
    found = []
    said = plan.full_lanes.drop_duplicates(["source", "destination"]).set_index(
        ["source", "destination"]
    )
    pairs = dict.fromkeys([*said.index, *plan.laws])
    for pair in pairs:
        law = plan.laws.get(pair)
        days = said["lead_time"].get(pair, np.nan)
        found.append(
            {
                "source": pair[0],
                "destination": pair[1],
                "counted": _plain(float(days)),
                "orders": law.orders if law else 0,
                "mean": _plain(law.mean) if law else None,
                "spread": _plain(law.spread) if law else None,
                "latest": int(law.days.max()) if law and len(law.days) else None,
                "lost": law.lost if law else None,
                "partly": law.partly if law else None,
                "arrives": law.arrives if law else None,
            }
        )
    return found


def _plain(value: Any) -> Any:
    """A number or text of Python's own; None for NaN."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and value != value else value
