"""Plans: a shop's tables read as one; every bad input is one line with file, row, column and fix,
and all are told at once.
"""

import datetime
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shop import LIFT, LOST, PARTLY, QUOTED, SPREAD, make_shop

from jaxinv.data.plan import TABLES, lead_time_laws, read_plan
from jaxinv.data.plan.names import FILE_NAMES
from jaxinv.errors import UserError

DAYS = pd.date_range("2024-01-01", periods=60)
GOOD = {
    "sales": "date,sku,sales,location,price\n"
    + "".join(
        f"{d:%Y-%m-%d},{s},{n % 5},{p},9\n"
        for n, d in enumerate(DAYS)
        for s in ("007", "b")
        for p in "xy"
    ),
    "items": "sku,name,category,cost,price,pack,like\n007,Tea,hot,2,5,6,\nb,Oil,cold,3,4,1,\nnew,Tea 2,hot,2,5,6,007\n",
    "locations": "location,capacity\nw,\nx,100\ny,50\n",
    "lanes": 'source,destination,lead_time,order_days,currency,freight_from,freight_rate\nACME,w,5,"Mon, Thu",,0|100,2|1\nw,x,1,,,,\nw,y,2,,,,\n',
    "stock": "sku,location,stock,date\n007,x,10,2024-03-01\n007,w,30,2024-03-01\nb,y,1,2024-03-01\n",
    "open_orders": "sku,source,destination,quantity,due,ordered\n007,ACME,w,12,2024-03-05,2024-02-28\n",
    "calendar": "date,sku,location,promotion\n2024-03-04,007,,1\n",
    "receipts": "sku,source,destination,ordered,quantity,received,received_quantity\n007,ACME,w,2024-01-01,10,2024-01-06,10\n",
}


def folder(path: Path, **tables) -> Path:
    """A folder with the good tables, some of them changed; None leaves one out."""
    for name, text in {**GOOD, **tables}.items():
        (path / f"{name}.csv").unlink(missing_ok=True)
        if text is not None:
            (path / f"{name}.csv").write_text(text)
    return path


def told(path, *args, **settings) -> list[str]:
    """The lines of the message with which a plan is refused, the first being its head."""
    with pytest.raises(UserError) as caught:
        read_plan(path, *args, **settings)
    return str(caught.value).split("\n  - ")


def test_a_good_plan(tmp_path):
    plan = read_plan(folder(tmp_path))
    assert plan.settings.as_of == datetime.date(2024, 3, 1) and plan.settings.frequency == ""
    assert (
        list(plan.items.index) == ["007", "b", "new"]
        and plan.items.loc["new", "like"] == "007"
        and np.isnan(plan.items.loc["b", "service"])
    )
    assert (
        list(plan.locations.index) == ["w", "x", "y"] and plan.locations.loc["x", "capacity"] == 100
    )
    lane = plan.lanes.iloc[0]
    assert (
        lane["order_days"] == (0, 3)
        and lane["freight_from"] == (0, 100)
        and lane["freight_rate"] == (2, 1)
        and np.isnan(lane["fixed_cost"])
    )
    assert plan.lanes["sku"].tolist() == [""] * 3 and plan.stock["stock"].tolist() == [10, 30, 1]
    assert plan.open_orders["due"].tolist() == [pd.Timestamp("2024-03-05")] and plan.skus == [
        "007",
        "b",
        "new",
    ]
    for name, table in TABLES.items():
        frame = getattr(plan, name)
        columns = list(frame.reset_index().columns if frame.index.name else frame.columns)
        assert columns == list(table.columns)
        for column, kind in table.columns.items():
            values = frame.reset_index()[column]
            if kind.kind in ("number", "share"):
                assert values.dtype == np.float64, (name, column)
            if kind.kind == "date":
                assert values.dtype == "datetime64[s]", (name, column)
    assert len(plan.fingerprint) == 64 and read_plan(tmp_path).fingerprint == plan.fingerprint
    assert (
        read_plan(folder(tmp_path, stock=GOOD["stock"].replace("30", "31"))).fingerprint
        != plan.fingerprint
    )


def test_sales_alone(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text(
        "Datum;Artikel;Menge\n" + "".join(f"{d:%d.%m.%Y};007;{k % 3}\n" for k, d in enumerate(DAYS))
    )
    plan = read_plan(path)
    assert "location" not in plan.sales and list(plan.locations.index) == ["shop"]
    assert plan.lanes[["source", "destination"]].to_numpy().tolist() == [["supplier", "shop"]]
    said = "\n".join(plan.assumptions)
    for words in (
        "2024-03-01, the day after the last day of sales",
        "'shop'",
        "'supplier'",
        "7 days",
        "no table of stock",
        "no table of open orders",
        "no calendar",
    ):
        assert words in said
    for words in (
        "cost of the one SKU: 1",
        "price of the one SKU: cost / 0.6",
        "lost margin",
        "0.25 of cost a year",
        "pack of the one SKU: 1 unit",
    ):
        assert words in said
    assert all(
        len(getattr(plan, name)) == 0
        for name in ("items", "stock", "open_orders", "calendar", "receipts")
    )
    assert read_plan(path, {"sku": "Artikel"}, lead_time=3).full_lanes["lead_time"].tolist() == [3]


def test_defaults_are_worked_out_from_what_there_is(tmp_path):
    items = "sku,cost,price,service,shortage_cost,holding_rate\n007,2,,,,\nb,,4,97%,,0.3\n"
    plan = read_plan(
        folder(tmp_path, items=items, calendar=None),
        margin=0.5,
        shortage_markup=2.0,
        service={"b": 0.9, "007": 0.95},
    )
    full = plan.full_items
    assert (
        full.loc["007", "price"] == 9 and full.loc["b", "cost"] == 2
    )  # the sales' price; half of the price
    assert (
        full["shortage_cost"].tolist() == [14, 4]
        and full["service"].tolist() == [0.95, 0.97]
        and full["pack"].tolist() == [1, 1]
    )
    assert (
        np.isnan(plan.items.loc["b", "cost"])
        and np.isnan(full.loc["007", "holding_rate"])
        and full.loc["b", "holding_rate"] == 0.3
    )


def test_lead_times_come_from_receipts_where_lanes_say_none(tmp_path):
    rows = "".join(
        f"007,ACME,w,2024-01-{d:02d},10,2024-01-{d + 3 + d % 2:02d},10\n" for d in range(1, 9)
    )
    lanes = GOOD["lanes"].replace("ACME,w,5", "ACME,w,")
    plan = read_plan(
        folder(tmp_path, lanes=lanes, receipts=GOOD["receipts"].split("\n")[0] + "\n" + rows)
    )
    row = plan.full_lanes.iloc[0]
    assert (
        row["lead_time"] == 3.5
        and row["lead_time_spread"] == pytest.approx(np.std([3, 4] * 4, ddof=1))
        and np.isnan(plan.lanes["lead_time"][0])
    )
    assert "lead_time of 1 of 3 lanes: the mean in receipts, 3.5 days" in plan.assumptions
    plan = read_plan(folder(tmp_path, lanes=None, locations=None, stock=None, open_orders=None))
    assert set(plan.lanes["source"]) == {
        "supplier"
    }  # receipts do not show how x and y are supplied


@pytest.mark.parametrize(
    "table, text, message",
    [
        (
            "items",
            ",3,4,1,",
            "items.csv: column 'cost' is negative in line 3 (first: '-3'); write at least 0",
        ),
        (
            "items",
            ",3 each,4,1,",
            (
                "items.csv: column 'cost' is not a number in line 3 (first: '3 each'); write plain"
                " numbers such as 12.5"
            ),
        ),
        (
            "items",
            ",3,4,0,",
            (
                "items.csv: column 'pack' is not above 0 in line 3 (first: '0'); write a number"
                " above 0"
            ),
        ),
        (
            "items",
            ",3,4,1,zzz",
            (
                "items.csv: column 'like' is no SKU of sales or items in line 3 (first: 'zzz');"
                " name a SKU that has sales"
            ),
        ),
        ("items", ",3,4,1,b", "items.csv: column 'like' is the SKU itself in line 3"),
        ("items", ",3,4,1,new", "items.csv: column 'like' has no sales itself in line 3"),
    ],
)
def test_bad_items(tmp_path, table, text, message):
    text = text.replace(",3,", ",-3,") if "negative" in message else text
    head, *lines = told(folder(tmp_path, items=GOOD["items"].replace(",3,4,1,", text)))
    assert "1 problem" in head and len(lines) == 1 and lines[0].startswith(message)


BAD = [
    (
        "items",
        "sku,cost\n007,1\n007,2\n",
        "items.csv: sku '007' is in lines 2, 3 (2 such rows in all); keep one row",
    ),
    (
        "items",
        "sku,service\n007,97\n",
        "items.csv: column 'service' is no share between 0 and 1 in line 2 (first: '97'); write 0.97 or 97%",
    ),
    ("items", "sku,service\n007,1\n", "column 'service' is no share between 0 and 1"),
    (
        "items",
        "sku,pakc\n007,6\n",
        "items.csv: column 'pakc' is not known; did you mean 'pack'? Rename it, or give columns.items.pack='pakc'",
    ),
    (
        "items",
        "name\nTea\n",
        "items.csv: column 'sku' (the product) is missing; the columns are name",
    ),
    (
        "items",
        "sku,launch,end\n007,2024-05-01,2024-04-01\n",
        "items.csv: column 'end' lies before its launch in line 2",
    ),
    (
        "items",
        "sku,end\n007,01/02/2024\n",
        "items.csv: column 'end' can be read with the day or the month first in line 2 (first: '01/02/2024'); give dates=dmy",
    ),
    (
        "lanes",
        "source,destination\nACME,w\nw,x\nw,y\nx,w\n",
        "lanes.csv: lanes go in a circle, w -> x -> w, in lines 3, 5; take out one of them",
    ),
    (
        "lanes",
        "source,destination\nACME,w\nw,x\n",
        "lanes.csv: location 'y' sells and no lane leads to it; add a row with destination 'y'",
    ),
    (
        "lanes",
        "source,destination\nw,x\nw,y\n",
        "lanes.csv: location 'w' supplies others and no lane leads to it",
    ),
    (
        "lanes",
        "source,destination,sku\nACME,w,\nw,x,\nw,y,b\n",
        "lanes.csv: 1 SKUs sold at 'y' have no lane to it (007); add rows for them",
    ),
    (
        "lanes",
        "source,destination\nACME,w\nw,x\nw,y\nw,zz\n",
        "lanes.csv: column 'destination' is no location in line 5 (first: 'zz')",
    ),
    (
        "lanes",
        "source,destination,order_days\nACME,w,Mon+Fry\nw,x,\nw,y,\n",
        "lanes.csv: column 'order_days' is no list of weekdays in line 2 (first: 'Mon+Fry')",
    ),
    (
        "lanes",
        "source,destination,freight_from,freight_rate\nACME,w,0|10,1\nw,x,,\nw,y,,\n",
        "lanes.csv: column 'freight_from' has not as many numbers as freight_rate in line 2",
    ),
    (
        "lanes",
        "source,destination,currency\nACME,w,USD\nw,x,\nw,y,\n",
        "lanes.csv: column 'currency' has no rate in line 2 (first: 'USD'); give its rate, such as rates: {USD: 0.9}",
    ),
    (
        "lanes",
        "source,destination\nACME,Lager\nLagre,x\nLager,y\n",
        "lanes.csv: column 'source' is nearly the name of a location in line 3 (first: 'Lagre'); did you mean 'Lager'?",
    ),
    (
        "lanes",
        "source,destination,limit,minimum_units\nACME,w,5,10\nw,x,,\nw,y,,\n",
        "lanes.csv: column 'limit' is below the minimum of an order in line 2",
    ),
    (
        "lanes",
        "source,destination,every\nACME,w,0.5\nw,x,\nw,y,\n",
        "lanes.csv: column 'every' is not at least 1 in line 2",
    ),
    (
        "stock",
        "sku,location,stock,date\n007,x,10,2024-03-02\n",
        "stock.csv: column 'date' lies after the date of the plan, 2024-03-01 in line 2 (first: '2024-03-02'); give as_of",
    ),
    (
        "stock",
        "sku,location,stock\n007,xx,10\n",
        "stock.csv: column 'location' is no location in line 2 (first: 'xx')",
    ),
    (
        "stock",
        "sku,location,stock\n007,x,1\n007,x,2\n",
        "stock.csv: sku '007', location 'x' is in lines 2, 3 (2 such rows in all); keep one row, or add them up",
    ),
    ("stock", "sku,location,stock\n007,,1\n", "stock.csv: column 'location' is empty in line 2"),
    (
        "open_orders",
        "sku,source,destination,quantity\n007,ACM,w,1\n",
        "open_orders.csv: column 'source' is no lane to that destination in line 2 (first: 'ACM'); did you mean 'ACME'?",
    ),
    (
        "open_orders",
        "sku,source,destination,quantity\n007,ACME,x,1\n",
        "open_orders.csv: column 'source' is no lane to that destination in line 2 (first: 'ACME'); 'ACME' supplies 'w'; add the lane",
    ),
    (
        "open_orders",
        "sku,source,destination,quantity\n007,ACME,Paris,1\n",
        "open_orders.csv: column 'destination' is no location in line 2 (first: 'Paris')",
    ),
    (
        "open_orders",
        "sku,source,destination,quantity\n007,ACME,w,0\n",
        "open_orders.csv: column 'quantity' is not above 0 in line 2",
    ),
    (
        "open_orders",
        "sku,source,destination,quantity,due,ordered\n007,ACME,w,1,2024-02-01,2024-02-02\n",
        "open_orders.csv: column 'due' lies before the day it was ordered in line 2",
    ),
    (
        "calendar",
        "date,sku,promotion\n2024-03-04,008,1\n",
        "calendar.csv: column 'sku' is in no other table in line 2 (first: '008')",
    ),
    (
        "receipts",
        "sku,source,destination,ordered,quantity,received\n007,ACME,w,2024-01-05,1,2024-01-04\n",
        "receipts.csv: column 'received' lies before the day it was ordered in line 2",
    ),
    (
        "locations",
        "location,capacity\nw,-1\nx,\ny,\n",
        "locations.csv: column 'capacity' is not above 0 in line 2",
    ),
    (
        "sales",
        GOOD["sales"].replace(",x,9", ",X,9", 1),
        "sales.csv: column 'location' is not in the table of locations in line 2 (first: 'X'); did you mean 'x'?",
    ),
]


@pytest.mark.parametrize(
    "table, text, message",
    BAD,
    ids=[f"{table}-{number}" for number, (table, _, _) in enumerate(BAD)],
)
def test_bad_tables(tmp_path, table, text, message):
    changed = {"locations": None, "stock": None, "open_orders": None} if "Lager" in text else {}
    lines = told(folder(tmp_path, **{table: text}, **changed))
    assert any(message in line for line in lines[1:]), "\n".join(lines)
    assert f"{len(lines) - 1} problem" in lines[0] and str(tmp_path) in lines[0]


def test_all_problems_of_all_files_at_once(tmp_path):
    changed = {
        "sales": GOOD["sales"].replace("2024-01-05,007,4,x", "2024-01-05,007,four,x"),
        "items": GOOD["items"].replace(",3,4", ",-3,4"),
        "locations": GOOD["locations"].replace("100", "much"),
        "lanes": GOOD["lanes"].replace("ACME,w,5", "ACME,w,soon"),
        "stock": GOOD["stock"].replace("30", "-30"),
        "open_orders": GOOD["open_orders"].replace("12", ""),
        "calendar": GOOD["calendar"].replace("2024-03-04", "Easter"),
        "receipts": GOOD["receipts"].replace("2024-01-06", "late"),
    }  # fmt: skip
    head, *lines = told(folder(tmp_path, **changed))
    assert "8 problems" in head
    for line, (name, word) in zip(
        lines,
        dict(
            sales="line 18",
            items="line 3",
            locations="line 3",
            lanes="line 2",
            stock="line 3",
            open_orders="line 2",
            calendar="line 2",
            receipts="line 2",
        ).items(),
    ):
        assert line.startswith(f"{name}.csv: column ") and word in line, line


ODD = [
    (
        "stock",
        GOOD["stock"] + "ghost,x,4,2024-03-01\n",
        "stock.csv: column 'sku' is in stock but not in sales in line 5 (first: 'ghost'); kept",
    ),
    (
        "stock",
        GOOD["stock"].replace("y,1,2024-03-01", "y,1,2024-02-27"),
        "stock.csv: column 'date' lies before the date of the plan, 2024-03-01 in line 4",
    ),
    (
        "open_orders",
        GOOD["open_orders"].replace("2024-03-05", "2024-02-29"),
        "open_orders.csv: column 'due' is overdue on 2024-03-01 in line 2 (first: '2024-02-29'); kept",
    ),
    (
        "calendar",
        "date,sku,promotion\n2024-02-04,007,1\n",
        "calendar.csv: column 'promotion' lies before 2024-03-01 in line 2",
    ),
    (
        "items",
        GOOD["items"].replace("5,6,\n", "5,9999,\n"),
        "items.csv: column 'pack' is more than a year's demand in line 2 (first: '9999'); kept",
    ),
    (
        "items",
        GOOD["items"] + "lone,Cup,hot,1,2,1,\n",
        "items.csv: column 'sku' has no sales in line 5 (first: 'lone')",
    ),
    ("items", "sku,cost,price\n007,6,5\n", "items.csv: column 'cost' is above the price in line 2"),
    (
        "items",
        "sku,colour\n007,red\n",
        "items.csv: column 'colour' is not known and left out (the nearest is",
    ),
    (
        "receipts",
        "sku,source,destination,ordered,quantity,received,received_quantity\n007,ACME,w,2024-01-01,10,2024-01-06,12\n",
        "receipts.csv: column 'received_quantity' is more than was ordered",
    ),
]


@pytest.mark.parametrize("table, text, note", ODD)
def test_odd_rows_are_kept_and_said(tmp_path, table, text, note):
    plan = read_plan(folder(tmp_path, **{table: text}))
    assert any(note in line for line in plan.notes), "\n".join(plan.notes)


def test_names_like_formulas_and_tags_stay_text(tmp_path):
    for name in (
        "=HYPERLINK(1)",
        "<script>alert(1)</script>",
        "@sum",
        "-3",
        "+1",
        "0017",
        "1e5",
        "NA",
        "Ünïcode ☃",
    ):
        changed = {table: text.replace("007", name) for table, text in GOOD.items()}
        plan = read_plan(folder(tmp_path, **changed))
        assert (
            name in plan.skus
            and name in set(plan.sales["sku"])
            and name in plan.items.index
            and plan.stock["sku"][0] == name
        )


def test_names_that_a_list_guards_are_read_back(tmp_path):
    sales = GOOD["sales"].replace("007", "=1+1")
    orders = "sku,source,destination,quantity\n'=1+1,ACME,w,5\n'+9,ACME,w,5\n"
    plan = read_plan(
        folder(
            tmp_path,
            sales=sales,
            open_orders=orders,
            items=None,
            stock=None,
            calendar=None,
            receipts=None,
        )
    )
    assert plan.open_orders["sku"].tolist() == [
        "=1+1",
        "'+9",
    ]  # the second is no name that is known without it


def test_money_of_two_currencies_is_refused(tmp_path):
    items = GOOD["items"].replace(",3,4,", ",3 EUR,4,")
    assert any(
        "'cost' is money in EUR" in note
        for note in read_plan(folder(tmp_path, items=items), currency="EUR").notes
    )
    assert read_plan(tmp_path).full_items.loc["b", "cost"] == 3
    assert (
        "items.csv: column 'cost' is in EUR, and the plan's money is USD; write it in USD"
        in told(tmp_path, currency="USD")[1]
    )
    both = items.replace(",2,5,6,\n", ",2,$5,6,\n")
    assert (
        "items.csv: column 'price' is in $, and others are in EUR; write all money in one"
        in told(folder(tmp_path, items=both))[1]
    )


def test_what_has_not_come_counts_once(tmp_path):
    receipts = GOOD["receipts"] + "007,ACME,w,2024-02-28,12,,\n007,ACME,w,2024-01-20,12,,\n"
    plan = read_plan(folder(tmp_path, receipts=receipts))
    assert len(plan.open_orders) == 1 and len(plan.receipts) == 2
    assert any(
        "'ordered' has not come and is in open_orders too in line 3" in note for note in plan.notes
    )
    law = plan.laws["ACME", "w"]
    assert law.orders == 2 and law.lost == 0.5 and law.arrives == 1 and law.days.tolist() == [5]


def test_a_date_in_the_past_leaves_out_what_came_later(tmp_path):
    plan = read_plan(folder(tmp_path, stock=None, open_orders=None), as_of="2024-02-01")
    assert plan.sales["date"].max() == pd.Timestamp("2024-01-31") and any(
        "116 rows of sales" in note for note in plan.notes
    )
    assert any(
        "as_of 2023-01-01 lies before all sales" in line
        for line in told(tmp_path, as_of="2023-01-01")
    )


# Where tables are found
# -------------------------------------------------------------------------------------


def test_a_yaml_names_tables_and_settings(tmp_path):
    folder(tmp_path)
    (tmp_path / "sales.csv").rename(tmp_path / "export 2024.csv")
    (tmp_path / "my.yaml").write_text(
        "sales: export 2024.csv\nitems: items.csv\nas_of: 2024-03-01\nservice: {hot: 0.98, '007':"
        " 0.95}\ncurrency: EUR\nrates: {USD: 0.9}\nbudget: 500\n"
    )
    plan = read_plan(tmp_path / "my.yaml")
    assert (
        len(plan.stock) == 0 and plan.settings.budget == 500 and plan.settings.rates == {"USD": 0.9}
    )
    assert plan.full_items["service"].reindex(["007", "new", "b"]).tolist()[:2] == [
        0.95,
        0.98,
    ] and np.isnan(plan.full_items.loc["b", "service"])
    assert read_plan(tmp_path / "my.yaml", budget=7).settings.budget == 7


@pytest.mark.parametrize(
    "text, message",
    [
        ("sales: sale.csv", "no file"),
        ("sales: sale.csv", "did you mean 'sales.csv'?"),
        ("items: items.csv", "no sales; add a line"),
        (
            "sales: sales.csv\nsevice: 0.9",
            "plan.yaml: line 2: unknown key 'sevice'; did you mean 'service'?",
        ),
        (
            "sales: sales.csv\nservice: 97",
            "line 2: service is a number between 0 and 1 (97% is 0.97), not 97",
        ),
        ("sales: sales.csv\nservice: {cold: 2}", "service is a share between 0 and 1"),
        (
            "sales: sales.csv\nitems: items.csv\nservice: {hott: 0.9}",
            "service: 'hott' is no category and no SKU; did you mean 'hot'?",
        ),
        ("sales: sales.csv\nas_of: soon", "line 2: as_of is a date such as 2025-03-31, not 'soon'"),
        ("sales: sales.csv\nfrequency: dayly", "unknown frequency 'dayly'; did you mean 'day'?"),
        ("sales: sales.csv\nreturns: keep", "returns is one of refuse, net, separate, not 'keep'"),
        ("sales: sales.csv\nrates: {USD: -1}", "rates are money"),
        ("sales: sales.csv\ndates: dym", "dates is one of ymd, dmy, mdy"),
        ("sales: sales.csv\ncolumns: {sku: x}", "columns are given by table"),
        ("sales: sales.csv\nbudget: no", "budget is a number"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    (folder(tmp_path) / "plan.yaml").write_text(text + "\n")
    assert any(message in line for line in told(tmp_path)[1:]), told(tmp_path)


def test_names_of_files_are_of_one_table_each(tmp_path):
    words = [word for table, others in FILE_NAMES.items() for word in (table, *others)]
    assert len(words) == len(set(words))
    folder(tmp_path, sales=None)
    (tmp_path / "Verkauf.csv").write_text(GOOD["sales"])
    assert len(read_plan(tmp_path).sales) == len(GOOD["sales"].splitlines()) - 1


def test_files_of_a_folder(tmp_path):
    folder(tmp_path, sales=None)
    (tmp_path / "budget.csv").write_text("a\n1\n")
    assert "no table of sales in the folder" in told(tmp_path)[1]
    (tmp_path / "Verkäufe.csv").write_text(GOOD["sales"])
    notes = read_plan(tmp_path).notes
    assert any("Verkäufe.csv is read as the table sales" in note for note in notes) and any(
        "budget.csv" in note for note in notes
    )
    (tmp_path / "sales.csv.gz").write_bytes(b"")
    assert "may both be the table sales" in "\n".join(told(tmp_path))
    assert "no such file" in told(tmp_path / "nothing")[0]


def test_a_workbook_is_a_plan(tmp_path):
    pytest.importorskip("openpyxl")
    folder(tmp_path)
    with pd.ExcelWriter(tmp_path / "shop.xlsx") as book:
        for name in GOOD:
            pd.read_csv(tmp_path / f"{name}.csv", dtype=str, keep_default_na=False).to_excel(
                book, sheet_name=name, index=False
            )
    (tmp_path / "files").mkdir()
    plan, right = read_plan(tmp_path / "shop.xlsx"), read_plan(folder(tmp_path / "files"))
    assert plan.fingerprint == right.fingerprint


# The synthetic shop and the files of cases
# ------------------------------------------------------------------


def test_the_shop_as_excel_writes_it_is_the_shop(tmp_path):
    excel = make_shop(tmp_path / "excel", stores=2, skus=5)
    make_shop(tmp_path / "plain", stores=2, skus=5, style="plain")
    plan, plain = read_plan(tmp_path / "excel"), read_plan(tmp_path / "plain")
    sold = plain.sales[plain.sales["sales"] > 0]
    columns = ["date", "sku", "location", "sales", "price"]
    pd.testing.assert_frame_equal(
        plan.sales[columns].reset_index(drop=True), sold[columns].reset_index(drop=True)
    )
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(plan, name), getattr(plain, name))
    assert (
        plan.settings.as_of == excel.as_of.item() and plan.sales["sales"].sum() == excel.sales.sum()
    )
    assert (
        set(plan.skus) == set(excel.skus)
        and plan.stock["stock"].sum() == excel.tables["stock"]["stock"].sum()
    )


def test_laws_of_lead_times_are_those_the_shop_was_made_of(tmp_path):
    shop = make_shop(tmp_path, stores=2, skus=30, weeks=104)
    laws = lead_time_laws(shop.tables["receipts"], shop.as_of)
    north, own = laws["Nordwerk", "Lager Nord"], laws["Lager Nord", "Filiale 01"]
    assert (
        abs(north.mean - QUOTED["Nordwerk"]) < 3 * SPREAD["Nordwerk"] / np.sqrt(len(north.days))
        and abs(north.spread - SPREAD["Nordwerk"]) < 0.3
    )
    assert set(own.days) == {2} and own.spread == 0 and own.lost == 0 and own.arrives == 1
    assert abs(north.lost - LOST) < 0.02 and abs(north.partly - PARTLY) < 0.04 and LIFT == 1.8
    rows = shop.tables["receipts"]
    rows = rows[(rows["source"] == "Nordwerk") & rows["received"].notna()]
    assert north.arrives == pytest.approx((rows["received_quantity"] / rows["quantity"]).mean())


def test_files_of_cases_are_read_as_they_should_be(tmp_path):
    made = Path(__file__).parents[2] / "shared" / "cases"
    if not (made / "make_cases.py").exists():
        pytest.skip("needs ../shared/cases beside the repository")
    sys.path.insert(0, str(made))
    from make_cases import CASES

    weekly = {
        "steady",
        "one_odd_date",
        "two_anchors",
        "stocked_out",
        "lead_time_column",
        "promotion_in_second_store",
        "ramp",
    }
    refused = {
        "mistyped_year": "2026-08-07",
        "extra_cell_in_every_row": "line 2 has 4 cells where the header has 3",
    }
    for number, (name, (make, _)) in enumerate(CASES.items()):
        table = make(np.random.default_rng(number))
        path = tmp_path / f"{name}.csv"
        path.write_text(table if isinstance(table, str) else table.to_csv(index=False))
        if name in refused:
            assert refused[name] in "\n".join(told(path))
            continue
        plan = read_plan(path)
        assert plan.sales["sales"].sum() == table["sales"].sum() and len(plan.sales) == len(table)
        if name in weekly:
            assert "the day after the last week of sales" in plan.assumptions[0], name
    for name, step, as_of in (
        ("every_two_weeks", "2-week", "2021-09-06"),
        ("monthly", "month", "2024-01-01"),
    ):
        assert (
            read_plan(tmp_path / f"{name}.csv").assumptions[0]
            == f"the plan is as of {as_of}, the day after the last {step} of sales"
        )
    assert "revenue" not in read_plan(tmp_path / "known_afterwards.csv").sales
