"""Sales files: every mistake told clearly and at once, known totals of every source, no look into
the test.
"""

import gzip
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import case
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxinv.data import FAVORITA_SPLIT, READERS, Panel, TimeSplit, calendar_features, load, validate
from jaxinv.errors import UserError

SHARED = Path(__file__).parents[2] / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{name} beside the repository")
    return path


@cache
def source(name: str, **options) -> pd.DataFrame:
    return load(shared(name), **options)


def write(folder: Path, text: str, name: str = "sales.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path, **options) -> str:
    """The message with which `load` refuses."""
    with pytest.raises(UserError) as caught:
        load(path, **options)
    return str(caught.value)


def toy(skus=("a", "b"), locations=("x", "y"), days=60, seed=0, start="2024-01-01") -> pd.DataFrame:
    """A full table of Poisson sales with a price."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [skus, locations, pd.date_range(start, periods=days)], names=["sku", "location", "date"]
    )
    table = index.to_frame(index=False)
    return table.assign(
        sales=rng.poisson(3, len(table)).astype(float), price=rng.uniform(1, 9, len(table)).round(2)
    )


# Tables in the schema
# ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sales.csv", "sales.csv.gz", "sales.parquet"])
def test_round_trip(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    table = toy().assign(stock=7.0, promotion=True, category="toys", temperature=21.5)
    path = tmp_path / name
    shuffled = table.sample(frac=1, random_state=1)
    shuffled.to_parquet(path) if name.endswith("parquet") else shuffled.to_csv(path, index=False)
    back = load(path)
    assert list(back.columns[:4]) == ["date", "sku", "sales", "location"]
    assert (back["promotion"] == 1).all() and (back["temperature"] == 21.5).all()
    assert back.index.name in ("line", "row") and set(back.index - back.index.min()) == set(
        range(len(table))
    )
    back = back.reset_index(drop=True)
    pd.testing.assert_frame_equal(back[table.columns], validate(table, "toy")[table.columns])
    pd.testing.assert_series_equal(back["sales"], table["sales"])


def test_codes_stay_text(tmp_path):
    path = write(
        tmp_path,
        "\ufeffdate,sku,location,sales\r\n2024-01-01,"
        " 007,NA,1\r\n2024-01-02,007,NA,2\r\n\r\n,,,\r\n",
    )
    table = load(path)
    assert list(table["sku"]) == ["007", "007"] and list(table["location"]) == ["NA", "NA"]


def test_columns_by_other_names(tmp_path):
    path = write(tmp_path, "Day,Item,Units Sold,temp\n2024-01-01,a,3,20\n")
    names = {"date": "Day", "sku": "Item", "sales": "Units Sold", "temperature": "temp"}
    assert list(load(path, columns=names).columns) == ["date", "sku", "sales", "temperature"]
    assert (
        "'Units'" in (message := refusal(path, columns={"sales": "Units"}))
        and "did you mean 'Units Sold'" in message
    )
    path = write(tmp_path, "date,sku,sales,units\n2024-01-01,a,3.50,1\n")
    assert "besides 'units'" in refusal(path, columns={"sales": "units"})
    assert load(path, columns={"sales": "units", "revenue": "sales"})["sales"].item() == 1


def test_text_outside_the_schema_is_left_out_aloud(tmp_path):
    path = write(tmp_path, "date,sku,sales,weather\n2024-01-01,a,3,rainy\n")
    table = load(path)
    assert (
        "weather" not in table
        and "left out" in table.attrs["notes"][0]
        and "weather" in table.attrs["notes"][0]
    )


GOOD = ["2024-01-01,a,1", "2024-01-02,a,2", "2024-01-03,a,3"]


@pytest.mark.parametrize(
    "row, told",
    [
        ("03/01/2024,a,3", ["'date'", "'03/01/2024'", "YYYY-MM-DD"]),
        ("2024-02-30,a,3", ["'date'", "'2024-02-30'"]),
        ("3024-01-03,a,3", ["'date'", "'3024-01-03'"]),
        ("2024-01-03 08:26:00,a,3", ["'date'", "time of day"]),
        (",a,3", ["'date'", "empty"]),
        ("2024-01-03,,3", ["'sku'", "empty"]),
        ("2024-01-03,a,-3", ["'sales'", "negative", "'-3'", "returns"]),
        ("2024-01-03,a,", ["'sales'", "empty", "0"]),
        ("2024-01-03,a", ["'sales'", "empty"]),
        ("2024-01-03,a,NA", ["'sales'", "empty"]),
        ("2024-01-03,a,three", ["'sales'", "not a number", "'three'"]),
        ('2024-01-03,a,"1,000"', ["'sales'", "not a number", "'1,000'"]),
        ("2024-01-03,a,inf", ["'sales'", "infinite"]),
        ("2024-01-03,a,1e39", ["'sales'", "infinite or too large"]),
        ("2024-01-02,a,3", ["same date and series", "2024-01-02", "'a'", "lines 3, 4"]),
    ],
)
def test_bad_row_is_named(tmp_path, row, told):
    path = write(tmp_path, "\n".join(["date,sku,sales", *GOOD[:2], row]) + "\n")
    message = refusal(path)
    assert str(path) in message and "1 problem " in message
    assert re.search(r"line 4\b|lines 3, 4\b", message)
    for part in told:
        assert part in message


def test_all_problems_at_once(tmp_path):
    rows = [
        "2024-01-01,a,1,x,5,1",
        "soon,a,1,x,5,1",
        "2024-01-02,a,-1,x,5,1",
        "2024-01-02,a,2,x,inf,1",
        "2024-01-03,,2,y,5,?",
        "2024-01-04,a,1,z,-1,2",
    ]
    message = refusal(write(tmp_path, "date,sku,sales,category,price,wind\n" + "\n".join(rows)))
    told = [
        "'soon'",
        "'-1'",
        "'sku' is empty in line 6",
        "'price' is infinite",
        "'price' is negative in line 7",
    ]
    told += [
        "'wind' is not a number in line 6",
        "same date and series",
        "lines 4, 5",
        "'category' changes within a series in line 7",
    ]
    for part in told:
        assert part in message
    assert "8 problems" in message and message.count("\n  - ") == 8


def test_many_rows_are_counted(tmp_path):
    days = pd.date_range("2024-01-01", periods=40)
    path = write(tmp_path, "date,sku,sales\n" + "".join(f"{day:%Y-%m-%d},a,-1\n" for day in days))
    assert "lines 2, 3, 4, 5, 6 … (40 lines)" in refusal(path)


def test_lines_are_those_of_an_editor(tmp_path):
    path = write(
        tmp_path, 'date,sku,sales\n2024-01-01,a,1\n\n2024-01-02,"b\nlong",1\n2024-01-03,a,-1\n'
    )
    assert path.read_text().splitlines()[5] == "2024-01-03,a,-1"
    assert "line 6 " in refusal(path)


@pytest.mark.parametrize(
    "header, told",
    [
        (
            "date,sku,Sales_qty",
            ["'sales' is missing", "'Sales_qty' looks like it", "columns.sales=Sales_qty"],
        ),
        ("ds,sku,sales", ["'date' is missing", "'ds'"]),
        ("date,productId,sales", ["'sku' is missing", "'productId'"]),
        (
            "Date,Item,Units Sold",
            ["'date' is missing", "'sku' is missing", "'sales' is missing", "3 problems"],
        ),
        ("date,sku,foo", ["'sales' is missing", "columns are date, sku, foo"]),
        ("date,sku,sales,Stock", ["'Stock' looks like 'stock'"]),
        ("date,sku,sales,store_id", ["'store_id' looks like 'location'"]),
        ("date,sku,sales,sales", ["'sales' more than once"]),
    ],
)
def test_bad_header(tmp_path, header, told):
    cells = ["2024-01-01", "a", "1", "2"][: len(header.split(","))]
    message = refusal(write(tmp_path, header + "\n" + ",".join(cells) + "\n"))
    for part in told:
        assert part in message


def test_stores_told_apart(tmp_path):
    path = write(tmp_path, "date,sku,location,sales\n2024-01-01,a,x,1\n2024-01-01,a,y,1\n")
    assert len(load(path)) == 2


# Guesses that nobody would notice
# ---------------------------------------------------------------------------


def notes(path, **options) -> str:
    return "\n".join(load(path, **options).attrs["notes"])


def test_columns_known_only_afterwards_are_left_out(tmp_path):
    path = case("known_afterwards", tmp_path)
    table = load(path)
    assert (
        "revenue" not in table
        and "'revenue' is left out" in notes(path)
        and "known_ahead=[revenue]" in notes(path)
    )
    assert "revenue" in load(path, known_ahead=["revenue"]) and not notes(
        path, known_ahead=["revenue"]
    )
    assert "did you mean 'revenue'" in refusal(path, known_ahead=["revenu"])


@pytest.mark.parametrize("series", [1, 12])
@pytest.mark.parametrize("mean", [0.3, 3, 30])
def test_plans_weather_and_seasons_stay(tmp_path, series, mean):
    """Orders of one to three units: revenue and orders are known afterwards; what moves demand is
    not.
    """
    rng = np.random.default_rng(series)
    table = toy([f"s{s}" for s in range(series)], ["x"], days=300)[["date", "sku"]]
    day, year = (
        table["date"].dt.day_of_week.to_numpy(),
        table["date"].dt.day_of_year.to_numpy() / 365,
    )
    discount, temperature = 0.3 * (rng.random(len(table)) < 0.2), 15 + 10 * np.sin(2 * np.pi * year)
    week = np.array([1, 1, 1, 1, 1.5, 2, 0.5])[day]
    orders = rng.poisson(mean * week * (1 + discount) * (1 + (temperature - 15) / 30))
    sales = np.array([rng.integers(1, 4, count).sum() for count in orders])
    table = table.assign(
        sales=sales, price=5 * (1 - discount), weekend=day > 4, temperature=temperature,
        counter=np.arange(len(table)) % 300,
        before=pd.Series(sales).groupby(table["sku"].to_numpy()).shift(1), orders=orders,
        revenue=sales * (1 - discount) * rng.uniform(4.5, 5.5, len(table)),
    )  # fmt: skip
    table.to_csv(tmp_path / "sales.csv", index=False)
    kept = {"price", "weekend", "temperature", "counter", "before"}
    assert set(load(tmp_path / "sales.csv").columns) == {"date", "sku", "sales", *kept}


def test_names_that_differ_in_case_are_said(tmp_path):
    path = write(
        tmp_path,
        "date,sku,sales\n2024-01-01,a,1\n2024-01-01,A,1\n2024-01-02,b c,1\n2024-01-02,b  c,1\n",
    )
    assert load(path)["sku"].nunique() == 4
    assert "'A' and 'a'" in notes(path) and "4 such names" in notes(path)


def test_columns_without_a_name_are_left_out(tmp_path):
    """As pandas writes a table with its index."""
    for header in (",date,sku,sales", "Unnamed: 0,date,sku,sales"):
        path = write(tmp_path, header + "\n0,2024-01-01,a,1\n1,2024-01-02,a,1\n")
        assert list(load(path).columns) == ["date", "sku", "sales"] and "no name" in notes(path)


def test_dots_that_may_part_thousands_are_said(tmp_path):
    path = write(tmp_path, "date,sku,sales\n2024-01-01,a,1.250\n2024-01-02,a,310\n")
    assert load(path)["sales"].tolist() == [1.25, 310] and "'1.250' is read as 1.25" in notes(path)
    assert not notes(write(tmp_path, "date,sku,sales\n2024-01-01,a,1.250\n2024-01-02,a,0.5\n"))


@pytest.mark.parametrize("key", ["sku", "location"])
def test_total_rows_are_refused(tmp_path, key):
    table = toy(("a", "b"), ("x", "y"), days=30)[["date", "sku", "location", "sales"]]
    other = "location" if key == "sku" else "sku"
    total = table.groupby(["date", other], as_index=False)["sales"].sum().assign(**{key: "all"})
    write(tmp_path, pd.concat([table, total]).to_csv(index=False))
    assert f"{key} 'all' is the sum of all others" in refusal(tmp_path / "sales.csv")
    write(tmp_path, table.to_csv(index=False))
    assert len(load(tmp_path / "sales.csv")) == 120


def test_duplicates_and_negatives_show_beside_unreadable_dates(tmp_path):
    rows = ["1st May,a,-1", "2nd May,a,2", "2nd May,a,3"]
    message = refusal(write(tmp_path, "\n".join(["date,sku,sales", *rows])))
    assert (
        "3 problems" in message
        and "negative in line 2" in message
        and "2nd May, 'a' in lines 3, 4" in message
    )


def test_extra_cells_in_every_row_are_named(tmp_path):
    message = refusal(case("extra_cell_in_every_row", tmp_path))
    assert (
        "line 2 has 4 cells where the header has 3 (and 59 more lines like it):"
        " '2022-01-03,a,1,500'" in message
    )
    assert "not quoted" in message and "\n" not in message
    message = refusal(write(tmp_path, "date,sku,sales\n2024-01-01,a,1,\n2024-01-02,a,1,\n"))
    assert "line 2" in message and "end of lines" in message


def test_very_wide_tables_are_refused(tmp_path):
    wide = "date,sku,sales," + ",".join(f"c{n}" for n in range(100_000))
    assert "100003 columns" in refusal(write(tmp_path, wide + "\n2024-01-01,a,1" + ",1" * 100_000))
    assert "'c0', 'c1', 'c10', 'c100', 'c1000' …" in refusal(
        write(tmp_path, wide + wide[14:] + "\n")
    )


@pytest.mark.parametrize(
    "text, told",
    [
        (
            "date,stock_code,country,units,cancelled_units\n2020-01-06,85123A,United Kingdom,3,x\n",
            "'cancelled_units' is not a number in line 2",
        ),
        (
            (
                "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,Country\n1,85123A,3,12/1/2010"
                " 8:26,2,UK\n"
            ),
            "line 2",
        ),
        ("InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice,Country\n", "no rows"),
        ("item_id,dept_id,store_id,state_id,d_1,d_2\n", "no rows"),
        ("item_id,dept_id,store_id,state_id,d_1,d_2\na,b,c,CA,1,1e39\n", "'1e39' in line 2"),
        ("timestamp,user,item,event\n", "no sales"),
        ("timestamp,user,item,event\n1,2,3,view\n", "no sales"),
        ("date,view,addtocart,transaction\n2020-01-01,1,1,x\n", "not a number in line 2"),
    ],
)
def test_sources_end_with_one_message(tmp_path, text, told):
    write(tmp_path, "date,event_name_1,snap_CA\n2020-01-01,,0\n2020-01-02,,1\n", "calendar.csv")
    path = write(tmp_path, text)
    assert told in (message := refusal(path)) and str(tmp_path) in message


@pytest.mark.parametrize(
    "text", ["0022-01-05", "05.01.2024", "1/5/2024", "45296", "2024-01-05T00:00:00+02:00", "date"]
)
def test_dates_of_other_forms_are_refused(tmp_path, text):
    path = write(tmp_path, f"date,sku,sales\n2024-01-04,a,1\n{text},a,1\n")
    assert (
        "'date'" in (message := refusal(path))
        and "in line 3" in message
        and "YYYY-MM-DD" in message
    )


@pytest.mark.parametrize("text", ["3.5.1", "1_000", "0x10", "(3)", "3 pcs", "True", "٣", "--"])
def test_numbers_of_other_forms_are_refused(tmp_path, text):
    path = write(tmp_path, f'date,sku,sales\n2024-01-04,a,1\n2024-01-05,a,"{text}"\n')
    assert "'sales' is not a number in line 3" in refusal(path)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_random_edits_of_a_good_file_never_crash(tmp_path_factory, data):
    """Characters and lines of a good file changed, repeated or taken out: a panel, or one message
    with the file's name.
    """
    days = pd.date_range("2024-01-01", periods=24)
    rows = [
        f"{day:%Y-%m-%d},{sku},{n % 4},{n % 3},{n % 2}"
        for sku in ("a", "b")
        for n, day in enumerate(days)
    ]
    lines = ["date,sku,sales,price,promotion", *rows]
    for _ in range(data.draw(st.integers(1, 4))):
        at, kind = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, 4))
        if kind == 0:
            cut = data.draw(st.integers(0, len(lines[at])))
            lines[at] = (
                lines[at][:cut]
                + data.draw(st.text('0129-.,;"\t eaT:\u00a0', max_size=3))
                + lines[at][cut + 1 :]
            )
        elif kind == 1:
            lines.insert(at, lines[data.draw(st.integers(0, len(lines) - 1))])
        elif kind == 2 and len(lines) > 1:
            del lines[at]
        elif kind == 3:
            cells = lines[at].split(",")
            cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(
                st.sampled_from(
                    [
                        "",
                        "NaN",
                        "1e39",
                        "-1",
                        "2199-12-31",
                        "1900-01-01",
                        "nan",
                        "inf",
                        "x",
                        "0022-01-01",
                        "9" * 400,
                    ]
                )
            )
            lines[at] = ",".join(cells)
        else:
            lines = [lines[0], *lines[-data.draw(st.integers(1, 5)) :]]
    path = write(tmp_path_factory.getbasetemp(), "\n".join(lines), "edited.csv")
    frequency = data.draw(st.sampled_from([None, "day", "week", "2-week", "month"]))
    try:
        panel = Panel.from_table(load(path), frequency)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert np.isfinite(panel.sales).all() and all(
            np.isfinite(grid).all() for grid in panel.covariates.values()
        )


# Files that cannot be read
# ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("empty.csv", b"", "an empty file"),
        ("blank.csv", b"\n \n", "an empty file"),
        ("mark.csv", b"\xef\xbb\xbf", "line 1 is blank"),
        ("late.csv", b"\ndate,sku,sales\n2024-01-01,a,1\n", "line 1 is blank"),
        ("header.csv", b"date,sku,sales\n", "no rows under the header"),
        ("binary.csv", bytes(range(256)) * 8, "not a text file"),
        ("book.xlsx", b"PK\x03\x04rest", "Excel workbook"),
        ("cut.csv.gz", gzip.compress(b"date,sku,sales\n" * 99, mtime=0)[:-9], "damaged gzip"),
        ("empty.csv.gz", gzip.compress(b"", mtime=0), "an empty file"),
        ("junk.parquet", b"PAR1 and then nothing of the kind", "not a readable parquet"),
        ("text.parquet", b"date,sku,sales\n", "not a readable parquet"),
        ("junk.npz", b"junk", "not a readable .npz"),
        ("empty.npz", b"", "not a readable .npz"),
        (
            "wide.csv",
            b"date,sku,sales\n2024-01-01,a,1\n2024-01-02,a,1,5\n",
            "line 3 has 4 cells where the header has 3",
        ),
        (
            "shifted.csv",
            b"date,sku,sales\n2024-01-01,a,1,5\n2024-01-02,a,1,5\n",
            "line 2 has 4 cells where the header has 3",
        ),
        ("quote.csv", b'date,sku,sales\n2024-01-01,"a,1\n', "do not fit the header"),
    ],
)
def test_unreadable_file(tmp_path, name, content, told):
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    path = write(tmp_path, content, name)
    message = refusal(path)
    assert str(path) in message and told in message


def test_missing_file_and_directory(tmp_path):
    write(tmp_path, "date,sku,sales\n", "sales_2024.csv")
    assert "sales_2024.csv?" in refusal(tmp_path / "sales_2042.csv")
    assert "no such file" in refusal(tmp_path / "nowhere" / "sales.csv")
    assert "a directory" in (message := refusal(tmp_path)) and "sales_2024.csv" in message
    assert "a directory" in refusal(tmp_path, reader="m5")
    with pytest.raises(UserError, match="a directory"):
        READERS["table"].read(tmp_path)


def test_unknown_reader_and_option(tmp_path):
    path = write(tmp_path, "date,sku,sales\n2024-01-01,a,1\n")
    assert "did you mean 'online_retail'" in refusal(path, reader="online_retial")
    assert "did you mean 'columns'" in refusal(path, column={})
    assert "takes none" in refusal(path, reader="m5", country="x")


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text("date,skulo\n\r\"';-01249e.", max_size=120).map(
            lambda text: ("date,sku,sales\n" + text).encode()
        ),
    )
)
@example(b"date,sku,sales\ntotal")  # a row of totals alone
def test_any_bytes_give_a_table_or_a_clear_error(tmp_path_factory, content):
    path = write(tmp_path_factory.getbasetemp(), content, "fuzz.csv")
    try:
        table = load(path)
    except UserError as error:
        assert str(path) in str(error)
    else:
        assert len(table) and (table["sales"] >= 0).all()


# Sources
# ----------------------------------------------------------------------------------------------------


def test_retail_store_inventory():
    table = source("retail_store_inventory")
    assert len(table) == 73_100 and table["sales"].sum() == 9_975_582
    assert set(table.columns) == {
        "date",
        "sku",
        "sales",
        "location",
        "stock",
        "price",
        "promotion",
        "discount",
        "competitor_price",
    }
    assert (table["sales"] <= table["stock"]).all()
    panel = Panel.from_table(table, gaps="error")
    assert (
        panel.sales.shape == (100, 731)
        and panel.stock.shape == (100, 731)
        and panel.frequency == "day"
    )


def test_source_problems_in_the_source_s_own_words(tmp_path):
    lines = (
        gzip.decompress(shared("retail_store_inventory/retail_store_inventory.csv.gz").read_bytes())
        .decode()
        .split("\r\n")[:50]
    )
    cells = lines[7].split(",")
    cells[6] = "-1"
    path = write(tmp_path, "\n".join([*lines[:7], ",".join(cells), *lines[8:]]))
    assert "column 'Units Sold' is negative in line 8" in refusal(path)
    path = write(tmp_path, "\n".join([lines[0].replace("Units Sold", "Units_sold"), *lines[1:]]))
    message = refusal(path, reader="retail_store_inventory")
    assert "'Units Sold' ('Units_sold' looks like it) missing" in message


def test_online_retail():
    table = source("online_retail")
    assert (
        table["sales"].sum() == 8_419_937
        and table["sku"].nunique() == 4_545
        and list(table.columns) == ["date", "sku", "sales"]
    )
    assert table["sales"].max() < 12_000  # without the two cancelled outliers
    assert (
        table["date"].min() == pd.Timestamp("2010-01-04") and not table["date"].duplicated().all()
    )
    assert not table.duplicated(["sku", "date"]).any()
    before = table["date"] < "2010-12-01"
    assert (
        0 < table.loc[before, "sales"].sum() == 4_066_986 - 138_923
    )  # the nine days that both files cover count once
    weekly = Panel.from_table(table, "week")
    assert weekly.sales.shape[1] == 100 and weekly.dates[0] == np.datetime64("2010-01-04")
    assert weekly.sales.sum(dtype=float) == table.loc[table["date"] < "2011-12-05", "sales"].sum()


def test_online_retail_countries(tmp_path):
    everywhere = source("online_retail", country=None)
    assert everywhere["sales"].sum() == pytest.approx(5_576_996 - 80_995 - 74_215, rel=0.002)
    assert everywhere["date"].min() == pd.Timestamp("2010-12-01")
    with gzip.open(shared("online_retail/online_retail_daily.csv.gz"), "rt") as file:
        path = write(tmp_path, "".join(file.readline() for _ in range(3000)))
    countries = {
        name: load(path, country=name)["sales"].sum() for name in ("France", "United Kingdom", None)
    }
    assert 0 < countries["France"] < countries["United Kingdom"] < countries[None]
    assert "did you mean 'Germany'" in refusal(path, country="Germny")


def test_online_retail_invoices_give_the_daily_file(tmp_path):
    raw = (
        gzip.decompress(shared("online_retail/online_retail.csv.gz").read_bytes())
        .decode()
        .split("\n")[:20_000]
    )
    last = raw[-1].split(",")[-4][:10]
    path = write(tmp_path, "\n".join(raw), "online_retail.csv")
    mine = load(path, country=None)
    daily = source("online_retail", country=None)
    mine, daily = (part[part["date"] < last].reset_index(drop=True) for part in (mine, daily))
    assert len(mine) > 5_000
    pd.testing.assert_frame_equal(mine, daily)


def test_m5(tmp_path):
    table = source("m5")
    panel = Panel.from_table(table, gaps="error")
    assert panel.sales.shape == (432, 1941) and panel.sales.sum(dtype=float) == 1_309_849
    assert panel.dates[0] == np.datetime64("2011-01-29") and panel.dates[-1] == np.datetime64(
        "2016-05-22"
    )
    assert set(panel.series["location"]) == {"CA_1", "CA_2"} and set(panel.covariates) == {
        "snap",
        "event",
    }
    assert panel.sales[0, :5].tolist() == [3, 0, 0, 1, 4]
    assert set(np.unique(panel.covariates["snap"])) == {0, 1}
    wide = (
        gzip.decompress(shared("m5/m5_items_2_stores_daily.csv.gz").read_bytes())
        .decode()
        .split("\n")[:3]
    )
    path = write(tmp_path, "\n".join(wide), "m5.csv")
    assert "calendar" in refusal(path)
    shutil.copy(shared("m5/calendar.csv.gz"), tmp_path)
    assert len(load(path)) == 2 * 1941
    path.write_text("\n".join([*wide[:2], wide[2].replace(",CA,0,1", ",CA,0,-1", 1)]))
    assert "'-1' in line 3, column 'd_2'" in refusal(path)


def test_favorita():
    table = source("favorita_weekly_21_stores")
    panel = Panel.from_table(table, gaps="error")
    assert panel.sales.shape == (288 * 21, 171) and panel.frequency == "week"
    assert (
        panel.sales.sum(dtype=float) == 87_451_597 + 1_851
    )  # the ten negative values add up to -1,851
    raw = np.load(shared("favorita_weekly_21_stores/weekly_sales.npz"))["weekly_sales"]
    np.testing.assert_array_equal(panel.sales[21 * 5 + 3], np.maximum(raw[5, 3], 0))
    assert panel.series.loc[21 * 5 + 3].tolist() == ["item_005", "store_03"]
    assert set(panel.covariates) == {"days_from_christmas", "christmas"}
    with pytest.raises(UserError, match="weekly sales cannot be read by day"):
        Panel.from_table(table.head(500), "day")


def test_favorita_without_pickle(tmp_path):
    path = tmp_path / "weekly_sales.npz"
    np.savez(path, weekly_sales=np.array([{"a": 1}], dtype=object))
    assert "plain arrays" in refusal(path)
    np.savez(path, other=np.zeros(3))
    assert "no array 'weekly_sales'" in refusal(path)


def test_retailrocket():
    table = source("retailrocket_partial")
    assert len(table) == 139 and table["sales"].sum() == 22_427 and table["sku"].nunique() == 1
    assert list(table.columns) == [
        "date",
        "sku",
        "sales",
    ]  # views and carts are not known in advance
    items = source("retailrocket_partial/interactions_2174_users.csv.gz")
    assert items["sales"].sum() == 9_551 and items["sku"].nunique() == 6_860


EVENTS = """timestamp,visitorid,event,itemid,transactionid
1433221332117,1,view,9,
1433332332117,2,view,8,
1433332332118,2,addtocart,8,
1433332332119,2,transaction,8,1
1433224214164,1,view,9,
1433419000000,3,transaction,7,2
"""


def test_retailrocket_behaviour_is_known_a_day_later(tmp_path):
    table = load(write(tmp_path, EVENTS, "events.csv"))  # 2, 3 and 4 June 2015
    assert table["date"].dt.strftime("%m-%d").tolist() == ["06-03", "06-04"]
    assert table["sales"].tolist() == [1, 1]
    np.testing.assert_allclose(table["views_before"], np.log1p([2, 1]), atol=1e-6)
    np.testing.assert_allclose(table["carts_before"], np.log1p([0, 1]), atol=1e-6)
    # the published file is out of order too: it is read, and one message says so
    notes = [note for note in table.attrs["notes"] if "stand before an earlier one" in note]
    assert notes == ["1 of 6 events stand before an earlier one: sorted by time"]
    assert set(Panel.from_table(table, "day").covariates) == {"views_before", "carts_before"}
    whole = load(shared("retailrocket_partial/daily_totals.csv"), "retailrocket_behaviour")
    assert len(whole) == 138 and whole["views_before"].iloc[0] > 9


def test_what_was_known_before_a_week_is_that_of_its_first_day():
    days = pd.date_range("2024-01-01", periods=28)  # a Monday
    table = pd.DataFrame({"date": days, "sku": "a", "sales": 1.0, "views_before": np.arange(28.0)})
    panel = Panel.from_table(table, "week")
    assert panel.covariates["views_before"][0].tolist() == [0, 7, 14, 21]


def test_events_that_cannot_be_read(tmp_path):
    wrong = EVENTS.replace("timestamp,visitorid,event,itemid", "timestamp,visitorid,kind,itemid")
    message = refusal(write(tmp_path, wrong, "events.csv"), reader="retailrocket_behaviour")
    assert "event" in message and "\n" not in message
    seconds = EVENTS.replace("1433221332117", "1433221332")
    message = refusal(write(tmp_path, seconds, "events.csv"))
    assert "not a time in milliseconds since 1970 in line" in message and "'1433221332'" in message
    other = EVENTS.replace(",transaction,", ",sold,")
    message = refusal(write(tmp_path, other, "events.csv"))
    assert "column 'event' is 'sold' in line" in message and "(2 lines)" in message


def test_the_forecast_of_retail_store_inventory_is_refused(tmp_path):
    names = "Date,Store ID,Product ID,Category,Region,Inventory Level,Units Sold,Units Ordered"
    names += ",Demand Forecast,Price,Discount,Weather Condition,Holiday/Promotion"
    names += ",Competitor Pricing,Seasonality"
    rows = "2022-01-01,S001,P0001,Toys,North,90,12,5,13.1,20,0,Rainy,0,21,Autumn\n"
    path = write(tmp_path, f"{names}\n{rows}")
    for options in (
        dict(columns={"forecast": "Demand Forecast"}),
        dict(known_ahead=["demand_forecast"]),
        dict(known_ahead=["Demand Forecast"], reader="table"),
    ):
        message = refusal(path, **options)
        assert "is refused" in message and "tells the outcome" in message and str(path) in message
    assert "give reader=table" in refusal(path, known_ahead=["Weather Condition"])
    assert "forecast" not in "".join(load(path).columns).lower()


# Panels
# -----------------------------------------------------------------------------------------------------


def test_panel_is_the_pivot_of_the_table():
    table = toy(days=30).sample(frac=0.5, random_state=0)  # unsorted, with gaps
    panel = Panel.from_table(table, "day")
    wide = table.pivot(index=["sku", "location"], columns="date", values="sales")
    wide = wide.reindex(columns=pd.date_range(wide.columns.min(), wide.columns.max())).fillna(0)
    np.testing.assert_array_equal(panel.sales, wide.to_numpy(np.float32))
    assert list(zip(panel.series["sku"], panel.series["location"], strict=True)) == list(wide.index)
    assert (panel.dates == wide.columns.to_numpy().astype("datetime64[D]")).all()
    assert panel.sales.dtype == np.float32 and panel.covariates["price"].dtype == np.float32


def test_gaps_are_refused_with_their_place():
    table = toy(days=5)
    table = table.drop(index=[2, 8])
    with pytest.raises(
        UserError, match=r"2 dates .*2024-01-03, 'a' at 'x'; 2024-01-04, 'a' at 'y'"
    ):
        Panel.from_table(table, gaps="error")
    assert Panel.from_table(table, gaps="zero").sales[0, 2] == 0


def test_weeks_are_whole():
    table = toy(days=30, start="2024-01-03")  # Wednesday to Thursday
    panel = Panel.from_table(table, "week")
    whole = table[(table["date"] >= "2024-01-08") & (table["date"] < "2024-01-29")]
    assert panel.dates.tolist() == [
        np.datetime64(day).item() for day in ("2024-01-08", "2024-01-15", "2024-01-22")
    ]
    assert panel.frequency == "week" and panel.sales.sum() == whole["sales"].sum()
    np.testing.assert_allclose(
        panel.covariates["price"].mean(axis=1),
        whole.groupby(["sku", "location"])["price"].mean(),
        rtol=1e-6,
    )
    with pytest.raises(UserError, match="no whole week"):
        Panel.from_table(table[table["date"] < "2024-01-10"], "week")


def test_week_of_a_shop_closed_at_weekends_is_whole():
    table = toy(days=12)  # Monday to the second Friday
    open_days = table[table["date"].dt.day_of_week < 5]
    panel = Panel.from_table(open_days, "week")
    assert panel.sales.shape[1] == 2 and panel.sales.sum() == open_days["sales"].sum()


def test_weekly_table_keeps_its_weekday():
    table = toy(days=57, start="2024-01-02")
    tuesdays = table[table["date"].dt.day_of_week == 1]
    panel = Panel.from_table(tuesdays)
    assert (
        panel.frequency == "week"
        and panel.sales.shape[1] == 9
        and panel.dates[0] == np.datetime64("2024-01-02")
    )


def test_irregular_dates_are_refused():
    """First Mondays of a month are 4 or 5 weeks apart; a shop that counts about every ten days."""
    table = toy(days=800)
    first_mondays = (table["date"].dt.day <= 7) & (table["date"].dt.day_of_week == 0)
    tenths = table["date"].dt.day.isin([1, 11, 21])
    for rows in (first_mondays, tenths):
        for frequency in (None, "day", "week"):
            with pytest.raises(UserError, match="by no step of days, weeks or months"):
                Panel.from_table(table[rows], frequency)


def test_mistyped_date_does_not_fill_the_memory():
    table = toy(skus=[f"s{i}" for i in range(5000)], days=2)
    table.loc[3, "date"] = pd.Timestamp("2199-01-01")
    with pytest.raises(UserError, match="2199-01-01.*mistyped year"):
        Panel.from_table(table, "day")


def test_covariates_are_filled_from_the_past_only():
    dates = pd.date_range("2024-01-01", periods=5)
    rows = [
        ("a", 1, 10, 0, 1),
        ("a", 3, 30, 0, 1),
        ("b", 0, 2, 1, 0),
        ("b", 1, 4, 1, 1),
        ("b", 2, 6, 0, 0),
    ]
    rows.append(("b", 4, 8, 0, 1))
    table = pd.DataFrame(rows, columns=["sku", "t", "price", "promotion", "holiday"])
    table = table.assign(date=dates[table.pop("t")], sales=[1.0, 0, 1, 1, 1, 1])
    panel = Panel.from_table(table)
    assert panel.covariates["price"].tolist() == [[2, 10, 10, 30, 30], [2, 4, 6, 6, 8]]
    assert panel.covariates["promotion"].tolist() == [[0, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert panel.covariates["holiday"].tolist() == [
        [0, 1, 0, 1, 1],
        [0, 1, 0, 1, 1],
    ]  # one calendar for all


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 35))
@example(36, 5)  # two prices of one day that are alike by chance are no plan
def test_the_future_never_reaches_the_past(seed, cut):
    """Rows after a cut change nothing in the panel before it."""
    table = toy(days=40, seed=seed).sample(frac=0.6, random_state=seed).sort_values("date")
    keep = table.groupby(["sku", "location"])["date"].transform("min") < table[
        "date"
    ].min() + pd.Timedelta(days=5)
    table = table[keep]
    day = table["date"].min() + pd.Timedelta(days=cut)
    early = table[table["date"] < day]
    if (
        early["date"].nunique() < 2
        or early.groupby(["sku", "location"]).ngroups < table.groupby(["sku", "location"]).ngroups
    ):
        return
    whole, part = Panel.from_table(table, "day"), Panel.from_table(early, "day")
    length = len(part.dates)
    np.testing.assert_array_equal(whole.sales[:, :length], part.sales)
    np.testing.assert_array_equal(whole.covariates["price"][:, :length], part.covariates["price"])


def test_time_splits():
    panel = Panel.from_table(toy(days=100))
    split = panel.split_by_time(train=0.7, validation=0.1)
    assert (split.train, split.validation, split.test) == (
        slice(0, 70),
        slice(70, 80),
        slice(80, 100),
    )
    assert panel.split_by_time(train=50) == TimeSplit(slice(0, 50), slice(50, 50), slice(50, 100))
    for wrong in [
        {"train": 1.0},
        {"train": 0.9, "validation": 0.1},
        {"train": 0},
        {"train": -0.1},
        {"train": 101},
    ]:
        with pytest.raises(UserError):
            panel.split_by_time(**wrong)
    with pytest.raises(UserError, match="within the training periods"):
        TimeSplit(slice(0, 50), slice(50, 50), slice(49, 100))
    with pytest.raises(UserError, match="no scored periods"):
        TimeSplit(slice(0, 50), slice(50, 50), slice(90, 100), warm_up=10)


@pytest.mark.parametrize(
    "part, told",
    [(slice(0, 70), "train periods, 2024-01-01"), (slice(70, 100), "test periods, 2024-03-11")],
)
def test_a_split_without_a_sale_is_refused(part, told):
    panel = Panel.from_table(toy(days=100))
    split = panel.split_by_time(0.7)
    panel.check_sold(split)
    panel.sales[:, part] = 0
    with pytest.raises(UserError, match=f"no series sold anything in the {told}"):
        panel.check_sold(split)


def test_favorita_split_is_the_published_one():
    parts = FAVORITA_SPLIT
    weeks = [(part.start, part.stop - 1) for part in (parts.train, parts.validation, parts.test)]
    assert weeks == [(0, 110), (88, 140), (118, 170)] and parts.warm_up == 16
    assert (
        parts.scored("test") == slice(134, 171) and parts.scored("test").start >= parts.train.stop
    )


def test_sku_split_is_disjoint_and_complete():
    panel = Panel.from_table(toy(skus=[f"s{i}" for i in range(10)]))
    first, second = panel.split_by_sku(0.7, seed=1)
    skus = set(first.series["sku"]), set(second.series["sku"])
    assert not skus[0] & skus[1] and len(skus[0]) == 7 and len(skus[0] | skus[1]) == 10
    assert len(first.sales) == 14 and len(second.sales) == 6
    again, _ = panel.split_by_sku(0.7, seed=1)
    pd.testing.assert_frame_equal(first.series, again.series)
    for fraction in (0, 1, 1.5):
        with pytest.raises(UserError):
            panel.split_by_sku(fraction, seed=0)
    with pytest.raises(UserError, match="two SKUs"):
        Panel.from_table(toy(skus=["a"])).split_by_sku(0.5, seed=0)


def test_stock_is_that_of_the_first_day():
    table = toy(days=14).assign(stock=lambda t: t["date"].dt.day)
    assert Panel.from_table(table, "week").stock[0].tolist() == [1, 8]
    assert Panel.from_table(toy()).stock is None
    assert np.isnan(Panel.from_table(table.drop(index=3)).stock[0, 3])


def test_calendar_features():
    dates = np.arange("2023-12-20", "2025-01-05", dtype="datetime64[D]")
    features, names = calendar_features(dates, "day")
    assert (
        features.shape == (len(dates), 5)
        and features.dtype == np.float32
        and np.abs(features).max() <= 1
    )
    to_christmas = features[:, names.index("to_christmas")]
    at = {str(day): value for day, value in zip(dates, to_christmas, strict=True)}
    assert at["2023-12-25"] == at["2024-12-25"] == 0 and at["2023-12-26"] == np.float32(365 / 366)
    np.testing.assert_allclose(features[7:, :2], features[:-7, :2], atol=1e-6)
    weekly, weekly_names = calendar_features(dates[::7], "week")
    assert weekly.shape[1] == 3 and "sin_week" not in weekly_names
    with pytest.raises(UserError, match="'day'"):
        calendar_features(dates, "dayly")
