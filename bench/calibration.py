"""Whether stated stock-out risks come true: forecasts made at several dates, judged on the periods
after each.

    python bench/calibration.py [NAME ...]

At each date every series gets the whole number of units whose stated risk over the cover is nearest
to 10%. Those with a stated risk of 7 to 13% count; the table says what share of them ran out,
beside what was stated on average. Series share what happens on a date, so intervals are over dates
(Student's). The dates had no part in the making of the method, which was chosen on six others of
the same files.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from about import about
from scipy import stats

from jaxinv.data import Panel, load
from jaxinv.orders.futures import fit_futures

DATA = Path(__file__).parents[1] / "../shared/data"
FILES = {
    "m5 items, daily": ("m5/m5_items_2_stores_daily.csv.gz", "day", 10, 730),
    "store items, daily": ("store_item_demand/store_item_demand.csv.gz", "day", 10, 730),
    "retail store inventory, daily": (
        "retail_store_inventory/retail_store_inventory.csv.gz",
        "day",
        8,
        730,
    ),
    "m5 items, weekly": ("m5/m5_items_2_stores_daily.csv.gz", "week", 4, 200),
    "favorita, weekly": ("favorita_weekly_21_stores", "week", 5, 171),
    "online retail, weekly": ("online_retail/online_retail_daily.csv.gz", "week", 4, 60),
    "orange juice, weekly": ("orange_juice/orange_juice.csv.gz", "week", 3, 121),
}
DATES = 12
PATHS = 200


def panel_of(name):
    file, frequency, cover, keep = FILES[name]
    columns = {}
    if name.startswith("orange"):
        return orange_juice(), cover, 7.0
    if name.startswith("store items"):
        columns = {"columns": {"sku": "item", "location": "store"}}
    if name.startswith("online"):
        columns = {"country": "United Kingdom"}
    try:
        panel = Panel.from_table(load(DATA / file, **columns), frequency)
    except Exception:
        panel = Panel.from_table(load(DATA / file), frequency)
    told = [values for key, values in panel.covariates.items() if key != "lead_time"]
    announced = np.stack(told, -1) if told else np.zeros((*panel.sales.shape, 0), np.float32)
    sales = panel.sales
    rows = np.unique(np.linspace(0, len(sales) - 1, min(len(sales), 1000)).astype(int))
    sales, announced = sales[rows, -keep:], announced[rows, -keep:]
    return (sales, panel.dates[-keep:], announced), cover, {"day": 1.0, "week": 7.0}[frequency]


def orange_juice():
    import pandas as pd

    table = pd.read_csv(DATA / "orange_juice/orange_juice.csv.gz")
    table["price"] = np.stack([table[f"price{b}"] for b in range(1, 12)], 1)[
        np.arange(len(table)), table["brand"] - 1
    ]
    wide = {
        c: table.pivot_table(index=["store", "brand"], columns="week", values=c)
        for c in ("units", "price", "deal", "feat")
    }
    sales = (wide["units"].fillna(0).to_numpy() / 64).round().astype(np.float32)
    told = np.stack(
        [wide[c].ffill(axis=1).bfill(axis=1).to_numpy() for c in ("price", "deal", "feat")], -1
    )
    told = ((told - told.mean((0, 1))) / told.std((0, 1))).astype(np.float32)
    dates = np.datetime64("1990-06-14") + 7 * np.arange(sales.shape[1])
    return sales, dates, told


def invented(seed=0):
    """Poisson and negative binomial demand with a known mean, season and jumps of level."""
    draw = np.random.default_rng(seed)
    count, periods = 600, 180
    level = np.exp(draw.normal(1.0, 1.3, count))[:, None] * np.exp(
        np.cumsum(draw.normal(0, 0.04, (count, periods)), 1)
    )
    season = 1 + 0.4 * np.sin(2 * np.pi * np.arange(periods) / 52.2)
    promotion = draw.random((count, periods)) < 0.06
    mean = level * season * np.where(promotion, 2.0, 1.0)
    sales = draw.poisson(mean * draw.gamma(4.0, 0.25, mean.shape)).astype(np.float32)
    dates = np.datetime64("2020-01-06") + 7 * np.arange(periods)
    return sales, dates, promotion[..., None].astype(np.float32)


def sold(sales):
    """Sales with NaN before the first."""
    return np.where((sales > 0).cumsum(1) > 0, np.maximum(sales, 0), np.nan)


def ways(past, dates, announced, cover, period_days):
    """Samples of the sum over the cover `[P, S]` by each way."""
    size = len(past)
    made = fit_futures(past[..., None], dates, announced, period_days)
    draw = np.random.default_rng(1)
    yield "windows of errors", made.paths(np.arange(size), PATHS)[..., 0].sum(-1)
    begun = np.isfinite(past)
    filled = np.nan_to_num(past)
    total = np.concatenate([np.zeros((size, 1)), filled.cumsum(1)], 1)
    sums = total[:, cover:] - total[:, :-cover]
    first = np.minimum((~begun).sum(1), sums.shape[1] - 2)
    at = (first + draw.random((PATHS, size)) * (sums.shape[1] - first)).astype(int)
    yield "own windows as they were", np.take_along_axis(sums, at.T, 1).T
    mean = made.forecast(np.arange(size))[..., 0]
    one = np.sqrt(np.maximum(np.nanvar(past[:, -104:], 1), 1e-9))
    yield (
        "normal, independent periods",
        np.round(mean.sum(1) + np.sqrt(cover) * one * draw.standard_normal((PATHS, size))),
    )
    over = (
        np.maximum(one**2 - np.nanmean(past[:, -104:], 1), 1e-6)
        / np.maximum(np.nanmean(past[:, -104:], 1), 1e-6) ** 2
    )
    rate = np.maximum(mean, 1e-6) * draw.gamma(
        1 / over[None, :, None], over[None, :, None], (PATHS, size, cover)
    )
    yield "negative binomial, independent periods", draw.poisson(np.minimum(rate, 1e6)).sum(-1)


def judge(name, data, cover, period_days):
    sales, dates, announced = data
    periods = sales.shape[1]
    found = {}
    start = round(0.7 * periods)
    if sales.shape[1] < 80:
        start = round(0.6 * periods)
    for now in np.unique(np.linspace(start, periods - cover, 2 * DATES + 1)[1::2].astype(int)):
        past = sold(sales[:, :now])
        active = (past[:, -26:] > 0).any(1) & (np.isfinite(past).sum(1) > 12)
        past, later = past[active], sales[active, now : now + cover].sum(1)
        for way, sums in ways(
            past, dates[: now + cover], announced[active, : now + cover], cover, period_days
        ):
            ordered = np.sort(sums, 0)
            best, stated = None, None
            for place in np.unique(np.linspace(0.80, 0.97, 18) * (PATHS - 1)).astype(int):
                level = np.ceil(ordered[place])
                risk = (sums > level).mean(0)
                if best is None:
                    best, stated = level, risk
                closer = np.abs(risk - 0.1) < np.abs(stated - 0.1)
                best, stated = np.where(closer, level, best), np.where(closer, risk, stated)
            use = (stated >= 0.07) & (stated <= 0.13)
            entry = found.setdefault(way, [[], [], [], []])
            entry[0].append(stated[use])
            entry[1].append((later > best)[use])
            forecast = sums.mean(0)
            entry[2].append(np.abs(later - forecast).sum() / max(later.sum(), 1))
            entry[3].append((later > np.quantile(sums, 0.5, 0)).mean())
    rows = []
    for way, (stated, out, wape, half) in found.items():
        rows.append(
            dict(
                data=name,
                way=way,
                windows=sum(map(len, out)),
                dates=len(out),
                stated=percent(np.concatenate(stated).mean()),
                ran_out=percent(np.concatenate(out).mean()),
                interval=interval(out),
                wape=percent(np.mean(wape)),
                above_median=percent(np.mean(half)),
            )
        )
    return rows


def percent(share):
    return round(100 * float(share), 1)


def interval(out):
    """95% interval in per cent of the share of windows that ran out, over dates: `out` is bool
    `[n]` of each.
    """
    count, total = np.asarray([len(one) for one in out]), np.asarray([one.sum() for one in out])
    share, dates = total.sum() / count.sum(), len(out)
    error = np.sqrt(dates / (dates - 1) * np.square(total - share * count).sum()) / count.sum()
    wide = stats.t.ppf(0.975, dates - 1) * error
    return [percent(max(share - wide, 0.0)), percent(share + wide)]


if __name__ == "__main__":
    names = sys.argv[1:] or [*FILES, "invented, weekly"]
    rows = []
    for name in names:
        began = time.time()
        if name.startswith("invented"):
            data, cover, days = invented(), 5, 7.0
        else:
            data, cover, days = panel_of(name)
        for row in judge(name, data, cover, days):
            rows.append(row)
            print(
                f"{row['data']:32} {row['way']:40} {row['windows']:6} stated {row['stated']:5}"
                f" ran out {row['ran_out']:5} {row['interval']}"
                f" wape {row['wape']:6} above median {row['above_median']:5}",
                flush=True,
            )
        print(f"   {time.time() - began:.0f} s", flush=True)
    text = json.dumps({"about": about(), "rows": rows}, indent=1)
    (Path(__file__).parent / "results/calibration.json").write_text(text + "\n")
