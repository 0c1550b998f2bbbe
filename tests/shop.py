"""A synthetic shop as the folder of files that its planner has: `python tests/shop.py FOLDER`
writes it.

Two warehouses are supplied by a supplier each, and supply five stores each. Every store sells every
SKU; stores and warehouses order by levels of their own, so that stock runs out now and then, orders
are late, arrive in part or never, and what is in stock and on order today follows from the past.
All numbers are made up here.

The tables look as a German Excel writes them: semicolons, decimal commas, dd.mm.yyyy, sales as
order lines with times of day. With `style="plain"` they are CSVs in the package's own columns,
sales one row a day, SKU and store, with the stock of each day.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FIRST = np.datetime64("2023-04-03")  # a Monday
TABLES = ("sales", "items", "locations", "lanes", "stock", "open_orders", "calendar", "receipts")
KINDS = ("Öle", "Tee", "Saison", "Import")
WEEKDAY = np.array([0.9, 0.9, 1.0, 1.0, 1.3, 1.5, 0.4])
MONDAY_THURSDAY = (0, 3)
LIFT = 1.8
"""What a promotion multiplies demand by."""
QUOTED = {"Nordwerk": 7, "Südimport": 18, "own": 2}
SPREAD = {"Nordwerk": 2.0, "Südimport": 5.0, "own": 0.0}
PARTLY, LOST = 0.06, 0.02
"""Shares of suppliers' orders that arrive with four fifths of their units, and that never
arrive.
"""


@dataclass(frozen=True, eq=False)
class Shop:
    """What the files were made of.

    Attributes:
      folder: where they lie.
      as_of: the day after the last sale, datetime64[D]; a Monday.
      skus, stores, warehouses: names; the last SKU is new and sells nothing yet, the one before it
        was discontinued.
      demand: units asked for, also where stock was out `[days, stores, skus]`.
      sales: units sold `[days, stores, skus]`.
      tables: the frames in the package's own columns, by name.
    """

    folder: Path
    as_of: np.datetime64
    skus: tuple[str, ...]
    stores: tuple[str, ...]
    warehouses: tuple[str, ...]
    demand: np.ndarray
    sales: np.ndarray
    tables: dict[str, pd.DataFrame]

    @property
    def dates(self) -> np.ndarray:
        """Days of the past `[days]`."""
        return FIRST + np.arange(len(self.sales))


def make_shop(
    folder: Path | str,
    seed: int = 0,
    stores: int = 10,
    skus: int = 80,
    weeks: int = 104,
    style: str = "excel",
    leave_out: tuple[str, ...] = (),
    returns: float = 0.0,
) -> Shop:
    """Writes the files into the folder; the same arguments write the same bytes.

    Args:
      stores: at least 2; a small shop has 2 stores and 5 SKUs.
      skus: at least 3.
      weeks: of sales, from Monday 2023-04-03 on.
      style: "excel" or "plain".
      leave_out: names of tables that are not written.
      returns: share of order lines that are followed by a line of -1 unit (style "excel").
    """
    rng = np.random.default_rng(seed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    codes = tuple(f"{101 + 7 * k:05d}" for k in range(skus))
    shops = tuple(f"Filiale {k + 1:02d}" for k in range(stores))
    warehouses = ("Lager Nord", "Lager Süd")
    days = 7 * weeks
    as_of = FIRST + days
    items = _items(rng, codes, as_of)
    promoted = rng.random((weeks + 8, skus)) < 0.06
    promoted[:, -1] = False
    demand = _demand(rng, items, promoted[:weeks], stores)
    past = _Past(rng, demand, items, shops, warehouses, codes)
    tables = {
        "items": items,
        "locations": _locations(shops, warehouses),
        "lanes": _lanes(shops, warehouses),
        "calendar": _calendar(promoted, codes, weeks, as_of),
        "sales": _sales(past, items, promoted, shops, codes),
        **past.tables(as_of),
    }
    made = Shop(folder, as_of, codes, shops, warehouses, demand, past.sales, tables)
    for name in TABLES:
        if name in leave_out:
            continue
        if style == "plain":
            _plain(tables[name]).to_csv(folder / f"{name}.csv", index=False)
        elif name == "sales":
            _write_excel(
                _order_lines(rng, tables[name], returns), folder / "sales.csv", "utf-8-sig"
            )
        else:
            _write_excel(tables[name], folder / f"{name}.csv", "cp1252")
    return made


def _items(rng: np.random.Generator, codes: tuple[str, ...], as_of: np.datetime64) -> pd.DataFrame:
    count = len(codes)
    cost = np.round(np.exp(rng.normal(1.8, 0.7, count)), 2)
    items = pd.DataFrame(
        {
            "sku": codes,
            "name": [f"{KINDS[k % 4]} Nr. {k + 1}" for k in range(count)],
            "category": [KINDS[k % 4] for k in range(count)],
            "cost": cost,
            "price": np.round(cost * rng.uniform(1.4, 2.2, count), 2),
            "holding_rate": 0.25,
            "service": rng.choice([0.95, 0.97, 0.98], count),
            "pack": rng.choice([1, 6, 12], count),
            "minimum": 0,
            "volume": np.round(rng.uniform(0.5, 8, count), 2),
            "shelf_life": np.where(np.arange(count) % 4 == 1, 180.0, np.nan),
            "launch": np.datetime64("NaT", "s"),
            "end": np.datetime64("NaT", "s"),
            "like": "",
        }
    )
    items.loc[count - 2, "end"] = pd.Timestamp(as_of - 60)
    items.loc[count - 1, "launch"] = pd.Timestamp(as_of)
    items.loc[count - 1, "like"] = codes[0]
    return items


def _demand(rng, items: pd.DataFrame, promoted: np.ndarray, stores: int) -> np.ndarray:
    """Units asked for `[days, stores, skus]`: negative binomial, with weekday, season, promotions;
    a third is rare.
    """
    count, days = len(items), 7 * len(promoted)
    rate = np.exp(rng.normal(0.0, 0.7, count))
    rate[2::3] *= 0.1
    size = rng.uniform(0.6, 1.4, stores)
    day = np.arange(days)
    swing = np.where(items["category"] == "Saison", 0.6, 0.15)
    season = 1 + swing * np.cos(2 * np.pi * (day + 92) / 365.25)[:, None]
    level = WEEKDAY[day % 7][:, None] * season * rate * np.where(promoted.repeat(7, 0), LIFT, 1.0)
    mean = level[:, None, :] * size[:, None]
    demand = rng.poisson(mean * rng.gamma(3.0, 1 / 3.0, mean.shape)).astype(float)
    gone = (FIRST + day)[:, None] >= items["end"].to_numpy().astype("datetime64[D]")
    demand *= ~gone[:, None, :]
    demand[:, :, -1] = 0
    return demand


class _Past:
    """What stores and warehouses did: stock, sales and orders of every day."""

    def __init__(self, rng, demand: np.ndarray, items: pd.DataFrame, stores, warehouses, skus):
        days, shops, count = demand.shape
        self.skus, self.stores, self.warehouses = skus, stores, warehouses
        self.sales = np.zeros_like(demand)
        self.begin = np.zeros_like(demand)  # stock of the stores as days begin
        self.orders: list[
            tuple
        ] = []  # source, destination, day, units [skus], day of arrival, share that arrives
        self._rng, self._pack = rng, items["pack"].to_numpy(float)
        self._coming: dict[int, list] = {}
        mean = demand.mean(0) * 1.05
        of = np.arange(shops) % 2  # each store's warehouse
        both = np.stack([mean[of == w].sum(0) for w in range(2)])
        self._at = {"store": np.ceil(8 * mean), "house": np.ceil(30 * both)}
        self._on = {name: np.zeros_like(stock) for name, stock in self._at.items()}
        for t in range(days):
            for kind, place, units, lands in self._coming.pop(t, ()):
                self._on[kind][place] -= units
                self._at[kind][place] += lands
            for w, supplier in enumerate(("Nordwerk", "Südimport")):
                if t % 7 in MONDAY_THURSDAY if w == 0 else t % 14 == 0:
                    cover = QUOTED[supplier] + (3.5, 14)[w]
                    self._order(
                        t,
                        supplier,
                        "house",
                        w,
                        both[w] * cover + 1.5 * np.sqrt(2 * both[w] * cover),
                    )
            for s in np.flatnonzero(np.full(shops, t % 7 in MONDAY_THURSDAY)):
                self._order(
                    t, "own", "store", s, mean[s] * 5.5 + 1.4 * np.sqrt(2 * mean[s] * 5.5), of[s]
                )
            self.begin[t] = self._at["store"]
            self.sales[t] = np.minimum(demand[t], self._at["store"])
            self._at["store"] -= self.sales[t]

    def _order(
        self,
        t: int,
        supplier: str,
        kind: str,
        place: int,
        level: np.ndarray,
        house: int | None = None,
    ) -> None:
        want = np.maximum(level - self._at[kind][place] - self._on[kind][place], 0)
        units = np.ceil(want / self._pack) * self._pack
        days, share = QUOTED[supplier], 1.0
        source, destination = (
            supplier,
            (self.warehouses[place] if kind == "house" else self.stores[place]),
        )
        if house is not None:
            units = np.minimum(units, self._at["house"][house])
            self._at["house"][house] -= units
            source = self.warehouses[house]
        else:
            days = max(int(np.rint(self._rng.normal(days, SPREAD[supplier]))), 1)
            draw = self._rng.random()
            share = 0.0 if draw < LOST else 0.8 if draw < LOST + PARTLY else 1.0
        if not units.any():
            return
        lands = np.floor(units * share)
        there = t + days if share else t + 2 * QUOTED[supplier] + 30  # given up
        self._on[kind][place] += units
        self._coming.setdefault(there, []).append((kind, place, units, lands))
        self.orders.append((source, destination, t, units, there, lands, supplier))

    def tables(self, as_of: np.datetime64) -> dict[str, pd.DataFrame]:
        end, open_rows, done = len(self.sales), [], []
        for source, destination, t, units, there, lands, supplier in self.orders:
            ordered = pd.Timestamp(FIRST + t)
            due = pd.Timestamp(FIRST + t + QUOTED[supplier])
            arrived = pd.Timestamp(FIRST + there)
            for k in np.flatnonzero(units):
                if there >= end:
                    open_rows.append((self.skus[k], source, destination, units[k], due, ordered))
                elif lands[k] > 0:
                    done.append(
                        (self.skus[k], source, destination, ordered, units[k], arrived, lands[k])
                    )
                else:
                    done.append((self.skus[k], source, destination, ordered, units[k], pd.NaT, 0.0))
        stock = [
            (sku, place, self._at[kind][p, k], pd.Timestamp(as_of))
            for kind, places in (("store", self.stores), ("house", self.warehouses))
            for p, place in enumerate(places)
            for k, sku in enumerate(self.skus)
        ]
        return {
            "stock": pd.DataFrame(stock, columns=["sku", "location", "stock", "date"]),
            "open_orders": pd.DataFrame(
                open_rows, columns=["sku", "source", "destination", "quantity", "due", "ordered"]
            ),
            "receipts": pd.DataFrame(
                done,
                columns=[
                    "sku",
                    "source",
                    "destination",
                    "ordered",
                    "quantity",
                    "received",
                    "received_quantity",
                ],
            ),
        }


def _locations(stores: tuple[str, ...], warehouses: tuple[str, ...]) -> pd.DataFrame:
    places = (*warehouses, *stores)
    capacity = [np.nan] * len(warehouses) + [60_000.0] * len(stores)
    return pd.DataFrame(
        {"location": places, "name": places, "capacity": capacity, "holding_rate": np.nan}
    )


def _lanes(stores: tuple[str, ...], warehouses: tuple[str, ...]) -> pd.DataFrame:
    columns = [
        "source",
        "destination",
        "lead_time",
        "lead_time_spread",
        "order_days",
        "every",
        "anchor",
        "unit_cost",
    ]
    columns += [
        "fixed_cost",
        "freight_from",
        "freight_rate",
        "minimum_units",
        "minimum_money",
        "limit",
    ]
    none = np.nan
    rows = [
        (
            "Nordwerk",
            warehouses[0],
            7,
            2,
            "Mon, Thu",
            1,
            pd.NaT,
            0.0,
            12.5,
            "",
            "",
            none,
            250.0,
            none,
        ),
        (
            "Südimport",
            warehouses[1],
            18,
            5,
            "Mon",
            2,
            pd.Timestamp(FIRST),
            0.0,
            40.0,
            "0|500|2000",
            "0.9|0.6|0.4",
            100,
            none,
            none,
        ),
    ]
    for s, store in enumerate(stores):
        rows.append(
            (
                warehouses[s % 2],
                store,
                2,
                0,
                "Mon, Thu",
                1,
                pd.NaT,
                0.1,
                0.0,
                "",
                "",
                none,
                none,
                none,
            )
        )
    return pd.DataFrame(rows, columns=columns)


def _calendar(
    promoted: np.ndarray, skus: tuple[str, ...], weeks: int, as_of: np.datetime64
) -> pd.DataFrame:
    """Promotions of the past and of eight weeks to come; they hold from Monday to Sunday."""
    week, k = np.nonzero(promoted)
    rows = pd.DataFrame({"date": FIRST + 7 * week, "sku": np.array(skus)[k], "promotion": 1})
    rows = rows.loc[rows.index.repeat(7)]
    rows["date"] = pd.to_datetime(
        rows["date"].to_numpy() + np.tile(np.arange(7), len(week)).astype("timedelta64[D]")
    )
    return rows.reset_index(drop=True)


def _sales(past: _Past, items: pd.DataFrame, promoted: np.ndarray, stores, skus) -> pd.DataFrame:
    days, shops, count = past.sales.shape
    t, s, k = (
        grid.ravel()
        for grid in np.meshgrid(np.arange(days), np.arange(shops), np.arange(count), indexing="ij")
    )
    promotion = promoted[: days // 7].repeat(7, 0)[t, k].astype(int)
    price = items["price"].to_numpy()[k] * np.where(promotion, 0.8, 1.0)
    return pd.DataFrame(
        {
            "date": pd.to_datetime(FIRST + t),
            "sku": np.array(skus)[k],
            "sales": past.sales.ravel(),
            "location": np.array(stores)[s],
            "stock": past.begin.ravel(),
            "price": np.round(price, 2),
            "promotion": promotion,
        }
    ).iloc[np.flatnonzero(k < count - 1)]


def _order_lines(rng: np.random.Generator, sales: pd.DataFrame, returns: float) -> pd.DataFrame:
    """Sales as a till exports them: one line an order, one to three orders a day, SKU and store,
    with the time of day.
    """
    sold = sales[sales["sales"] > 0]
    parts = np.minimum(rng.integers(1, 4, len(sold)), sold["sales"].to_numpy(int))
    lines = sold.loc[sold.index.repeat(parts)]
    number = np.arange(len(lines)) - np.repeat(np.cumsum(parts) - parts, parts)
    units = lines["sales"].to_numpy(int) // parts.repeat(parts)
    units = np.where(
        number == 0, lines["sales"].to_numpy(int) - units * (parts.repeat(parts) - 1), units
    )
    minutes = rng.integers(8 * 60, 20 * 60, len(lines))
    when = lines["date"] + pd.to_timedelta(minutes, unit="min")
    made = pd.DataFrame(
        {
            "Datum": when.dt.strftime("%d.%m.%Y %H:%M"),
            "Bon": 100_000 + np.arange(len(lines)),
            "Artikel": lines["sku"],
            "Filiale": lines["location"],
            "Menge": units,
            "Preis": lines["price"],
        }
    )
    back = made[rng.random(len(made)) < returns].assign(Menge=-1)
    return pd.concat([made, back]).sort_index(kind="stable")


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers and dates as people write them."""
    frame = frame.copy()
    for name in frame:
        if pd.api.types.is_datetime64_any_dtype(frame[name]):
            frame[name] = frame[name].dt.strftime("%Y-%m-%d").fillna("")
        elif pd.api.types.is_float_dtype(frame[name]):
            frame[name] = frame[name].map(lambda value: "" if value != value else f"{value:.10g}")
    return frame


def _write_excel(frame: pd.DataFrame, path: Path, encoding: str) -> None:
    frame = frame.copy()
    for name in frame:
        if pd.api.types.is_datetime64_any_dtype(frame[name]):
            frame[name] = frame[name].dt.strftime("%d.%m.%Y").fillna("")
        elif pd.api.types.is_float_dtype(frame[name]):
            frame[name] = frame[name].map(
                lambda value: "" if value != value else f"{value:.10g}".replace(".", ",")
            )
        elif name == "freight_rate":
            frame[name] = frame[name].str.replace(".", ",")
    frame.to_csv(path, sep=";", index=False, encoding=encoding, lineterminator="\r\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make_shop(sys.argv[1])
