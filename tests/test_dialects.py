"""Sales as shops export them: every way to write a table gives the same table, and what can be read
in two ways is refused.
"""

import gzip
import sys
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from jaxinv.data import load
from jaxinv.data.dates import read_dates
from jaxinv.data.numbers import Decimals, find_decimals, read_numbers
from jaxinv.data.schema import Reading, validate
from jaxinv.errors import UserError

ROWS = [
    ("2024-03-01", "007", 1234.5, 2.5),
    ("2024-03-13", "007", 3.0, 0.75),
    ("2024-03-14", "=1+1", 0.0, 1000.0),
]
RIGHT = pd.DataFrame(ROWS, columns=["date", "sku", "sales", "price"]).assign(
    date=lambda t: t["date"].astype("datetime64[s]")
)


def written(
    separator=",",
    decimal=".",
    thousands="",
    date="%Y-%m-%d",
    header="date,sku,sales,price",
    quote="",
):
    def number(value):
        whole, _, part = f"{value:,.2f}".partition(".")
        return whole.replace(",", thousands) + decimal + part

    rows = [
        [datetime.fromisoformat(day).strftime(date), sku, number(sales), number(price)]
        for day, sku, sales, price in ROWS
    ]
    lines = [header.split(","), *rows]
    return "".join(
        separator.join(f"{quote}{cell}{quote}" for cell in line) + "\r\n" for line in lines
    )


def same(table):
    pd.testing.assert_frame_equal(
        table.reset_index(drop=True)[list(RIGHT)], RIGHT, check_dtype=False
    )


def put(folder, text, name="sales.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def refusal(path, **options):
    with pytest.raises(UserError) as caught:
        load(path, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "how",
    [
        {"separator": ";"},
        {"separator": "\t"},
        {"separator": "|"},
        {"separator": ";", "decimal": ","},
        {"separator": ";", "decimal": ",", "thousands": "."},
        {"separator": ";", "decimal": ",", "thousands": " "},
        {"separator": ";", "decimal": ",", "thousands": "\u202f"},
        {"separator": ";", "decimal": ".", "thousands": "'"},
        {"quote": '"', "thousands": ","},
        {"quote": '"', "decimal": ",", "thousands": "."},
        {"date": "%d.%m.%Y"},
        {"date": "%d/%m/%Y"},
        {"date": "%m/%d/%Y"},
        {"date": "%d-%m-%Y"},
        {"date": "%d.%m.%y"},
        {"date": "%Y%m%d"},
        {"date": "%Y/%m/%d"},
        {"date": "%d %B %Y"},
        {"date": "%d-%b-%Y"},
        {"date": "%Y-%m-%d 00:00:00"},
        {"date": "%Y-%m-%dT08:30:00Z"},
        {"date": "%d.%m.%Y 08:15"},
        {"date": "%m/%d/%Y 8:15 PM"},
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_every_dialect_gives_the_same_table(tmp_path, how, encoding):
    same(load(put(tmp_path, written(**how), encoding=encoding)))


def test_kinds_of_files(tmp_path):
    text = written(separator=";", decimal=",")
    same(load(put(tmp_path, gzip.compress(text.encode()), "sales.csv.gz")))
    same(load(put(tmp_path, "sep=;\n" + text)))
    pytest.importorskip("pyarrow")
    RIGHT.to_parquet(tmp_path / "sales.parquet")
    same(load(tmp_path / "sales.parquet"))


def test_windows_encoding_is_said(tmp_path):
    path = put(
        tmp_path, "date,sku,sales\n2024-01-01,Käse,1\n2024-01-02,Käse,2\n", encoding="cp1252"
    )
    table = load(path)
    assert set(table["sku"]) == {"Käse"} and "no UTF-8 text from line 2" in " ".join(
        table.attrs["notes"]
    )


def test_what_was_understood_is_five_lines(tmp_path):
    table = load(put(tmp_path, written(";", ",", ".", "%d.%m.%Y")))
    file, columns, dates, numbers, rows = table.attrs["read"]
    assert (
        "separated by semicolons, utf-8, 3 lines" in file and "date, sku, sales, price" in columns
    )
    assert (
        "dd.mm.yyyy, 2024-03-01 to 2024-03-14" in dates
        and "decimal commas" in numbers
        and "1,237.5 units" in numbers
    )
    assert "3 rows, one a date and sku: 2 SKUs" in rows


# Excel
# ------------------------------------------------------------------------------------------------------


def book(path, rows, sheet="Tabelle1", above=0, more=()):
    openpyxl = pytest.importorskip("openpyxl")
    made = openpyxl.Workbook()
    page = made.active
    page.title = sheet
    for k, row in enumerate(rows, 1 + above):
        for c, (value, form) in enumerate(
            (cell if isinstance(cell, tuple) else (cell, None)) for cell in row
        ):
            cell = page.cell(row=k, column=c + 1, value=value)
            if form:
                cell.number_format = form
    for title, cells in more:
        other = made.create_sheet(title)
        for row in cells:
            other.append(row)
    made.save(path)
    return path


def test_excel(tmp_path):
    rows = [["date", "sku", "sales", "price"]]
    rows += [
        [datetime.fromisoformat(day), (7, "000") if sku == "007" else ("'" + sku, None), s, p]
        for day, sku, s, p in ROWS
    ]
    path = book(
        tmp_path / "sales.xlsx",
        [[str(c)[1:] if str(c).startswith("'=") else c for c in row] for row in rows],
    )
    table = load(book(path, rows[:3], above=2))
    assert (
        list(table["sku"]) == ["007", "007"]
        and list(table["sales"]) == [1234.5, 3.0]
        and list(table.index) == [4, 5]
    )
    path = book(
        tmp_path / "two.xlsx",
        rows[:3],
        more=[("other", [["date", "sku", "sales"], [datetime(2024, 1, 1), "x", 9]])],
    )
    assert load(path)["sales"].sum() == 1237.5 and "others: 'other'" in " ".join(
        load(path).attrs["notes"]
    )
    assert load(path, sheet="other")["sales"].tolist() == [9] and "no sheet 'none'" in refusal(
        path, sheet="none"
    )
    bad = book(
        tmp_path / "bad.xlsx",
        [
            ["date", "sku", "sales"],
            [datetime(2024, 1, 1), "a", 1],
            [datetime(2024, 1, 2), "a", "#N/A"],
        ],
    )
    assert "'sales' is not a number in row 3" in refusal(bad)


def test_excel_without_openpyxl(tmp_path, monkeypatch):
    path = book(tmp_path / "sales.xlsx", [["date", "sku", "sales"], [datetime(2024, 1, 1), "a", 1]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "pip install 'jaxinv[excel]'" in refusal(path)


# What can be read in two ways
# ------------------------------------------------------------------------------


def test_dates_that_fit_both_ways_are_refused(tmp_path):
    path = put(tmp_path, "date,sku,sales\n03/04/2024,a,1\n04/04/2024,a,2\n")
    message = refusal(path)
    assert (
        "'date' can be read with the day or the month first in lines 2, 3 (first: '03/04/2024')"
        in message
    )
    assert "dates=dmy" in message and "dates=mdy" in message and "1 problem" in message
    assert load(path, dates="dmy")["date"].tolist() == [
        pd.Timestamp("2024-04-03"),
        pd.Timestamp("2024-04-04"),
    ]
    assert load(path, dates="mdy")["date"].tolist() == [
        pd.Timestamp("2024-03-04"),
        pd.Timestamp("2024-04-04"),
    ]
    with pytest.raises(UserError, match="unknown dates 'dym'; did you mean"):
        load(path, dates="dym")


def test_dates_of_two_forms_are_refused(tmp_path):
    message = refusal(
        put(tmp_path, "date,sku,sales\n13/04/2024,a,1\n04/14/2024,a,2\n05/04/2024,a,2\n")
    )
    assert "has the day first in line 2 and the month first in line 3" in message
    message = refusal(
        put(tmp_path, "date,sku,sales\n13.04.2024,a,1\n14.04.2024,a,2\n2024-04-15,a,2\n")
    )
    assert (
        "no date that can be read" in message
        and "in line 4 (first: '2024-04-15')" in message
        and "dd.mm.yyyy" in message
    )


def test_a_dotted_date_is_day_first():
    read = read_dates(["03.04.2024"])
    assert read.days[0] == np.datetime64("2024-04-03", "s") and not read.fits_both


@pytest.mark.parametrize(
    "text, right", [("45296", "spreadsheet's number of a day"), ("40", "first day of each period")]
)
def test_numbers_in_place_of_dates(tmp_path, text, right):
    assert right in refusal(put(tmp_path, f"date,sku,sales\n{text},a,1\n{int(text) + 1},a,1\n"))


def test_thousands_or_decimals_are_asked_for(tmp_path):
    path = put(tmp_path, 'date,sku,sales\n2024-01-01,a,"1,250"\n2024-01-02,a,310\n')
    assert (
        "in one way in line 2 (first: '1,250'); give decimal=, (1,250 is 1.25) or decimal=. (1,250"
        " is 1250)" in refusal(path)
    )
    assert load(path, decimal=",")["sales"].tolist() == [1.25, 310] and load(path, decimal=".")[
        "sales"
    ].tolist() == [1250, 310]
    path = put(tmp_path, "date;sku;sales\n2024-01-01;a;1.250\n2024-01-02;a;310\n")
    assert "give decimal=, (1.250 is 1250) or decimal=. (1.250 is 1.25)" in refusal(path)
    path = put(tmp_path, 'date,sku,sales,price\n2024-01-01,a,"1,250","2,5"\n')
    assert load(path)["sales"].tolist() == [1.25]  # another cell of the file tells
    message = refusal(
        put(tmp_path, "date;sku;sales;price\n2024-01-01;a;1,5;2.75\n2024-01-02;a;2,5;3,5\n")
    )
    assert (
        "'price' is not a number in line 2 (first: '2.75')" in message
        and "decimal commas" in message
    )


@pytest.mark.parametrize(
    "text, mark, right",
    [
        ("1.234.567", ",", 1234567), ("1,234,567", ".", 1234567), ("1.234,5", ",", 1234.5),
        ("1,234.5", ".", 1234.5),
        ("-3,5", ",", -3.5), ("3,5-", ",", -3.5), ("−3", ".", -3), ("1'234.5", ".", 1234.5),
        ("0,125", ",", 0.125),
        (",5", ",", 0.5), ("5,", ",", 5), ("1 234", ".", 1234), ("1.5e3", ".", 1500),
    ],
)  # fmt: skip
def test_numbers(text, mark, right):
    found = find_decimals([text, "7"])
    numbers, unsure = read_numbers(pd.Series([text]), Decimals(mark, True))
    assert numbers[0] == right and not unsure[0] and (found.mark == mark or not found.certain)


@pytest.mark.parametrize(
    "text", ["1,2,3", "1.2.3", "12,34,567", "1..2", "--3", "1-2", "e", "1 23", "3 pcs", "€ 5"]
)
@pytest.mark.parametrize("mark", [".", ","])
def test_no_numbers(text, mark):
    assert np.isnan(read_numbers(pd.Series([text]), Decimals(mark, True))[0][0])


def test_money(tmp_path):
    """One currency is taken off, and said; two are refused."""
    text = (
        "date;sku;sales;price\n2024-01-01;a;1;1,50 €\n2024-01-02;a;2;EUR"
        " 2.000,25\n2024-01-03;a;2;3\n"
    )
    table = load(put(tmp_path, text))
    assert table["price"].tolist() == [1.5, 2000.25, 3] and "money in EUR" in " ".join(
        table.attrs["notes"]
    )
    message = refusal(put(tmp_path, text.replace("EUR", "$")))
    assert "'price' has the currencies EUR and $: " in message and "write all in one" in message


# Rows that are no row a date and series
# --------------------------------------------------------------------


LINES = [
    ("2024-01-01 08:00", "1", "a", 2, 5),
    ("2024-01-01 19:30", "2", "a", 3, 5),
    ("2024-01-02 10:00", "3", "a", 4, 5),
]
LINES += [
    ("2024-01-02 11:00", "3", "b", 1, 9),
    ("2024-01-03 11:00", "4", "b", -1, 9),
    ("2024-01-03 12:00", "5", "a", 1, 5),
]


def order_lines(rows=LINES, stamps=True, header="date,order_id,sku,sales,price,tax"):
    return (
        header
        + "\n"
        + "".join(f"{d if stamps else d[:10]},{o},{s},{q},{p},0.2\n" for d, o, s, q, p in rows)
    )


@pytest.mark.parametrize("stamps", [True, False])
def test_order_lines_are_summed(tmp_path, stamps):
    path = put(tmp_path, order_lines(LINES[:4], stamps))
    table = load(path)
    assert table[["sku", "sales"]].to_numpy().tolist() == [["a", 5], ["a", 4], ["b", 1]] and table[
        "price"
    ].tolist() == [
        5,
        5,
        9,
    ]
    notes = " ".join(table.attrs["notes"])
    assert (
        "4 lines of orders" in notes
        and "summed to 3 rows" in notes
        and "'order_id', 'tax'" in notes
        and "tax" not in table
    )


def test_returns(tmp_path):
    path = put(tmp_path, order_lines())
    message = refusal(path)
    assert (
        "'sales' is negative in line 6" in message
        and "returns=net" in message
        and "returns=separate" in message
    )
    table = load(path, returns="net").set_index(["sku", "date"])["sales"]
    assert table["b"].tolist() == [0, 0] and table["a"].tolist() == [
        5,
        4,
        1,
    ]  # taken off the day before
    table = load(path, returns="separate")
    assert table.loc[table["sku"] == "b", "sales"].tolist() == [
        1
    ] and "1 units in line 6" in " ".join(table.attrs["notes"])
    path = put(
        tmp_path,
        order_lines([("2024-01-01 08:00", "1", "a", -7, 5), ("2024-01-02 08:00", "2", "a", 2, 5)]),
    )
    table = load(path, returns="net")
    assert table["sales"].tolist() == [0, 2] and "7 units have no sales before them" in " ".join(
        table.attrs["notes"]
    )


def test_prices_that_orders_differ_in_are_left_out(tmp_path):
    rows = [
        (f"2024-01-{d:02d} 0{k}:00", str(d), "a", 1, 5 + k) for d in range(1, 20) for k in range(2)
    ]
    table = load(put(tmp_path, order_lines(rows)))
    assert "price" not in table and "price left out" in " ".join(table.attrs["notes"])


def test_rows_of_one_date_without_a_sign_of_orders_are_refused(tmp_path):
    path = put(tmp_path, "date,sku,sales\n2024-01-01,a,1\n2024-01-01,a,2\n2024-01-02,a,1\n")
    assert "lines=sum" in refusal(path) and load(path, lines="sum")["sales"].tolist() == [3, 1]


def test_total_rows_are_left_out(tmp_path):
    rows = "2024-01-01,a,1\n2024-01-02,a,2\n"
    for total in ("Total,,3\n", ",Summe,3\n", "Gesamtsumme,,3\n", ",,\nTOTAL GENERAL,,3\n"):
        table = load(put(tmp_path, "date,sku,sales\n" + rows + total))
        assert table["sales"].tolist() == [1, 2] and "adds up other rows: line" in " ".join(
            table.attrs["notes"]
        )


def test_dates_as_columns(tmp_path):
    text = "SKU;Name;01.02.2024;02.02.2024;03.02.2024;Total\n007;Tee;1;2;;3\n008;Öl;0;1.234,5;4;1238,5\nTotal;;1;1236,5;4;1241,5\n"
    path = put(tmp_path, text)
    table = load(path, columns={"sku": "SKU"})
    days = [pd.Timestamp(f"2024-02-0{k}") for k in (1, 2, 3)]
    right = [
        ("007", days[0], 1),
        ("007", days[1], 2),
        ("008", days[0], 0),
        ("008", days[1], 1234.5),
        ("008", days[2], 4),
    ]
    found = table[table["sku"] != "Total"]
    assert list(
        zip(found["sku"], found["date"], found["sales"])
    ) == right and found.index.tolist() == [2, 2, 3, 3, 3]
    assert "3 dates" in " ".join(table.attrs["notes"]) and "1 empty cells" in " ".join(
        table.attrs["notes"]
    )
    assert "'-1'" in refusal(put(tmp_path, text.replace(";0;", ";-1;")), columns={"sku": "SKU"})


def test_products_as_columns(tmp_path):
    path = put(tmp_path, "date,tea,oil,salt,milk\n2024-01-01,1,2,3,4\n2024-01-02,5,,7,8\n")
    assert "columns.sku=header" in refusal(path) and "1 problem" in refusal(path)
    table = load(path, columns={"sku": "header"})
    assert (
        table.groupby("sku")["sales"].sum().to_dict()
        == {
            "tea": 6,
            "oil": 2,
            "salt": 10,
            "milk": 12,
        }
        and len(table) == 7
    )


def test_several_numbered_prices_are_no_price(tmp_path):
    head = "date,sku,sales,price1,price2\n"
    table = load(put(tmp_path, head + "2024-01-01,a,1,2,3\n2024-01-02,a,1,2.5,3\n"))
    assert "price" not in table and table["price1"].tolist() == [2, 2.5]
    assert "'price1' looks like 'price'" in refusal(
        put(tmp_path, "date,sku,sales,price1\n2024-01-01,a,1,2\n")
    )


def test_year_and_month_apart(tmp_path):
    table = load(put(tmp_path, "Jahr,Monat,sku,sales\n2024,1,a,5\n2024,12,a,6\n"))
    assert table["date"].tolist() == [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-12-01")]


# Headers
# ----------------------------------------------------------------------------------------------------


HEADERS = {
    "other case": "DATE,Sku,SALES,Location",
    "Shopify": "Created at,Lineitem sku,Lineitem quantity,Location",
    "German": "Datum,Artikelnummer,Menge,Filiale",
    "French": "Date de commande,Référence article,Quantité,Magasin",
    "Spanish": "Fecha,Código artículo,Unidades,Tienda",
    "Italian": "Data,Codice articolo,Quantità,Negozio",
}


@pytest.mark.parametrize("language", HEADERS)
def test_headers_are_hints_or_are_read_where_the_reader_may(tmp_path, language):
    path = put(tmp_path, HEADERS[language] + "\n2024-01-01,007,3,x\n")
    names = dict(zip(("date", "sku", "sales", "location"), HEADERS[language].split(",")))
    message = refusal(path)
    for name in ("date", "sku", "sales"):
        assert f"columns.{name}={names[name]}" in message, message
    right = load(path, columns=names)
    frame = pd.read_csv(path, dtype=str)
    table = validate(frame, "sales", reading=Reading(by_words=True))
    pd.testing.assert_frame_equal(table.reset_index(drop=True), right.reset_index(drop=True))
    assert language == "other case" or f"sku = {names['sku']!r}" in " ".join(table.attrs["notes"])


def test_two_columns_that_may_be_one_are_refused():
    frame = pd.DataFrame(
        [["2024-01-01", "a", "1", "2"]], columns=["date", "sku", "Units sold", "Quantity"]
    )
    with pytest.raises(
        UserError,
        match=(
            "'Units sold' and 'Quantity' may both be 'sales'; give 'columns.sales=Units sold' or"
            " columns.sales=Quantity"
        ),
    ):
        validate(frame, "sales", reading=Reading(by_words=True))
