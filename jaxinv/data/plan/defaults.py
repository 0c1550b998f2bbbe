"""The defaults of what a plan leaves open, and the sentences that say so: one place for the numbers
and for the words.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxinv.data.plan.cells import empty_table
from jaxinv.data.plan.lanes import SUPPLIER
from jaxinv.data.plan.receipts import LeadTimeLaw
from jaxinv.data.plan.settings import Settings


def fill_items(
    items: pd.DataFrame, sales: pd.DataFrame, skus: list[str], settings: Settings
) -> tuple[pd.DataFrame, list[str]]:
    """Items of all SKUs with what is not given filled in, and what was filled in, in words.

    Args:
      items: of the plan, by SKU.
      skus: of all tables, sorted.

    Returns:
      The columns of `items` by SKU. NaN is left in holding_rate (that of the location, else of the
      settings), service (no target), volume (1 unit) and shelf_life (for ever).
    """
    said = []
    known = items.reindex(skus)
    for column, kind in empty_table("items").dtypes.items():
        if column != "sku" and kind == "object":
            known[column] = known[column].fillna("")
    if "category" in sales:
        known["category"] = known["category"].where(
            known["category"] != "",
            known.index.map(sales.groupby("sku")["category"].first()).fillna(""),
        )

    def fill(column: str, values: pd.Series, words: str) -> None:
        missing = known[column].isna() & values.notna()
        if missing.any():
            known.loc[missing, column] = values[missing]
            said.append(f"{column} of {_count(int(missing.sum()), len(known), 'SKU')}: {words}")

    if "price" in sales:
        last = (
            sales.dropna(subset=["price"])
            .sort_values("date", kind="stable")
            .groupby("sku")["price"]
            .last()
        )
        fill("price", last.reindex(known.index), "the last price of the sales")
    part = 1 - settings.margin
    fill("cost", known["price"] * part, f"{part:g} of the price (margin: {settings.margin:g})")
    fill("cost", pd.Series(1.0, known.index), "1, so that money counts units of an average product")
    fill("price", known["cost"] / part, f"cost / {part:g} (margin: {settings.margin:g})")
    target = settings.service
    if isinstance(target, Mapping):
        wanted = pd.Series(
            [
                target.get(sku, target.get(kind))
                for sku, kind in zip(known.index, known["category"])
            ],
            known.index,
            float,
        )
        known["service"] = known["service"].fillna(wanted)
    elif target is not None:
        known["service"] = known["service"].fillna(target)
    short = (known["price"] - known["cost"]).clip(lower=0) * settings.shortage_markup
    words = "the lost margin, price less cost" + (
        f", times {settings.shortage_markup:g}" if settings.shortage_markup != 1 else ""
    )
    served = known["service"].notna()
    filled = known["shortage_cost"].isna()
    known["shortage_cost"] = known["shortage_cost"].fillna(short)
    if (filled & ~served).any():
        said.append(
            f"cost of a unit short of {_count(int((filled & ~served).sum()), len(known), 'SKU')}:"
            f" {words}"
        )
    rate = int(known["holding_rate"].isna().sum())
    if rate:
        said.append(
            f"cost of stock of {_count(rate, len(known), 'SKU')}: {settings.holding_rate:g} of cost"
            " a year, where the location has no other rate"
        )
    for column, value, words in (("pack", 1.0, "1 unit"), ("minimum", 0.0, "none")):
        fill(column, pd.Series(value, known.index), words)
    return known, said


def fill_lanes(
    lanes: pd.DataFrame,
    laws: Mapping[tuple[str, str], LeadTimeLaw],
    settings: Settings,
    given: bool,
) -> tuple[pd.DataFrame, list[str]]:
    """Lanes with what is not given filled in, and what was filled in, in words. NaN is left in
    `limit`, NaT in `anchor`.
    """
    said = []
    known = lanes.copy()
    sources = sorted(set(known["source"]))
    if not given:
        what = f"from {SUPPLIER!r}" if sources == [SUPPLIER] else "on the lanes that receipts show"
        said.append(
            f"no table of lanes: locations order {what}, on any day, without cost or minimum of an"
            " order"
        )
    for column, of, words in (
        ("lead_time", "mean", "mean"),
        ("lead_time_spread", "spread", "standard deviation"),
    ):
        seen = pd.Series(
            [
                getattr(laws[pair], of) if pair in laws and len(laws[pair].days) else np.nan
                for pair in zip(known["source"], known["destination"])
            ],
            known.index,
            float,
        )
        use = known[column].isna() & seen.notna()
        known.loc[use, column] = seen[use]
        if use.any():
            said.append(
                f"{column} of {_count(int(use.sum()), len(known), 'lane')}: the {words} in"
                f" receipts, {_range(seen[use])} days"
            )
    left = known["lead_time"].isna()
    if left.any():
        known.loc[left, "lead_time"] = settings.lead_time
        said.append(
            f"lead time of {_count(int(left.sum()), len(known), 'lane')}: {settings.lead_time:g}"
            " days"
        )
    left = known["lead_time_spread"].isna()
    if left.any():
        known.loc[left, "lead_time_spread"] = 0.0
        said.append(
            f"lead time of {_count(int(left.sum()), len(known), 'lane')} is always the same, since"
            " no spread is given"
        )
    known["every"] = known["every"].fillna(1.0)
    loose = (known["every"] > 1) & known["anchor"].isna()
    if loose.any():
        known.loc[loose, "anchor"] = pd.Timestamp(settings.as_of)
        said.append(
            f"{_count(int(loose.sum()), len(known), 'lane')} with orders every few weeks: the week"
            f" of {settings.as_of} is one of them"
        )
    for column in ("unit_cost", "fixed_cost", "minimum_units", "minimum_money"):
        known[column] = known[column].fillna(0.0)
    known["currency"] = known["currency"].where(known["currency"] != "", settings.currency)
    return known, said


def fill_rest(
    settings: Settings,
    step: str,
    dated: bool,
    given: set[str],
    places: tuple[str, ...],
    sales: pd.DataFrame,
    missing_stock: int,
) -> list[str]:
    """What else is assumed, in words.

    Args:
      step: the period of the sales.
      dated: whether `as_of` was given.
      given: tables that there are.
      missing_stock: SKUs at locations where they sell, of which stock has no row.
    """
    said = (
        []
        if dated
        else [f"the plan is as of {settings.as_of}, the day after the last {step} of sales"]
    )
    if "location" not in sales:
        said.append(f"sales name no location: all is sold at one, {places[0]!r}")
    if "stock" not in given:
        known = "stock" in sales
        said.append(
            "no table of stock: on hand is what sales say of their last period, less what it sold,"
            " and nothing elsewhere"
            if known
            else "no table of stock: what is on hand today is not known, and counts as nothing"
        )
    elif missing_stock:
        said.append(
            f"{missing_stock:,} SKUs at locations where they sell have no row in stock: nothing is"
            " on hand"
        )
    if "open_orders" not in given:
        said.append("no table of open orders: nothing is on its way")
    if "calendar" not in given:
        said.append("no calendar: no promotion, price or holiday to come is known")
    if "promotion" in sales and "calendar" not in given:
        said[-1] += "; sales had promotions, and coming ones count as none"
    said += [] if settings.currency else ["money has no currency"]
    return said


def _count(some: int, all_: int, what: str) -> str:
    if some == all_ == 1:
        return f"the one {what}"
    return f"{'all' if some == all_ else f'{some:,} of'} {all_:,} {what}{'s' * (all_ != 1)}"


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:.1f}" if round(low, 1) == round(high, 1) else f"{low:.1f} to {high:.1f}"
