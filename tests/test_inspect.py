"""`jaxinv.inspect`: figures worked out apart from it, and a plan that reads back as the same
plan.
"""

import json

import numpy as np
import pandas as pd
import pytest
from shop import LIFT, make_shop

from jaxinv.data.grid import Frequency
from jaxinv.data.plan import TABLES, read_plan
from jaxinv.data.plan.look import classify, look, seasonality
from jaxinv.data.plan.written import plan_text
from jaxinv.errors import UserError
from jaxinv.inspect import main


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("shop"), stores=2, skus=8)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_shop(tmp_path_factory.mktemp("plain"), stores=2, skus=8, style="plain")


def run(capsys, *arguments):
    main(list(map(str, arguments)))
    told = capsys.readouterr()
    return told.out, told.err


def same_plan(a, b):
    for name in ("sales", *TABLES):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    assert (
        a.settings == b.settings
        and a.fingerprint == b.fingerprint
        and a.reading == b.reading
        and a.assumptions == b.assumptions
    )


# Figures
# ----------------------------------------------------------------------------------------------------


def test_classes_by_hand():
    """One SKU of each kind over ten weeks of days, and one that never sold."""
    units = np.zeros((5, 70))
    units[0] = 4  # every day the same
    units[1, :] = np.tile([1, 9], 35)  # every day, sizes 1 and 9: CV² 0.64
    units[2, ::5] = 3  # every fifth day
    units[3, 1::7] = np.tile([1, 11], 5)  # weekly, uneven
    found = classify(list("abcde"), units, np.array([10.0, 1, 1, 1, 1]), Frequency(1, "day"))
    assert found["kind"].tolist() == ["smooth", "erratic", "intermittent", "lumpy", "no sales"]
    assert found["adi"].tolist()[:4] == [1, 1, 70 / 14, 69 / 10] and found["cv2"].tolist()[
        :4
    ] == pytest.approx([0, 0.64, 0, 25 / 36])
    assert found["value"].tolist() == [2800, 350, 42, 60, 0] and found["abc"].tolist() == [
        "A",
        "B",
        "C",
        "C",
        "C",
    ]
    assert found["xyz"].tolist() == ["X", "X", "X", "Y", "-"]
    assert found["cv"].iloc[3] == pytest.approx(np.std([1, 11]) / 6, rel=0.1)


def test_a_season_needs_two_years():
    dates = np.arange("2022-01-03", "2024-01-15", dtype="datetime64[D]")
    month = dates.astype("datetime64[M]").astype(int) % 12
    total = np.where(month == 11, 20.0, 10.0) * np.where((dates.astype(int) + 3) % 7 == 5, 2, 1)
    found = seasonality(dates, total, "day")
    assert (
        found["weekdays"]["Sat"] == pytest.approx(2 * found["weekdays"]["Mon"], rel=0.02)
        and found["repeats"] > 0.99
    )
    assert found["months"]["12"] == pytest.approx(2 * found["months"]["06"], rel=0.05)
    short = seasonality(dates[:600], total[:600], "day")
    assert short["months"] is None and short["repeats"] is None and short["weekdays"]


def test_figures_of_the_shop(plain):
    plan = read_plan(plain.folder)
    found = look(plan)
    sales = plain.tables["sales"]
    out = (sales["stock"] == 0) | (sales["sales"] == sales["stock"])
    assert found["stock_outs"]["share"] == pytest.approx(out.mean(), abs=0.002)
    total = sales.groupby("date")["sales"].sum()
    assert found["season"]["weekdays"]["Sat"] == pytest.approx(
        total[total.index.day_of_week == 5].mean() / total.mean()
    )
    by_sku = (
        sales.groupby(["sku", "date"])
        .agg(sales=("sales", "sum"), promotion=("promotion", "max"))
        .reset_index()
    )
    usual = by_sku[by_sku["promotion"] == 0].groupby("sku")["sales"].mean()
    promoted = by_sku[by_sku["promotion"] == 1]
    lift = promoted["sales"].sum() / promoted["sku"].map(usual).sum()
    assert found["promotions"]["lift"] == pytest.approx(lift) and abs(lift - LIFT) < 0.35
    value = (
        sales[sales["date"] >= sales["date"].max() - pd.Timedelta(days=364)]
        .groupby("sku")["sales"]
        .sum()
    )
    value *= plain.tables["items"].set_index("sku")["price"].reindex(value.index)
    mine = {row["sku"]: row["value"] for row in found["skus"]}
    assert mine == pytest.approx(value.to_dict())
    lane = next(lane for lane in found["lead_times"] if lane["source"] == "Nordwerk")
    rows = plain.tables["receipts"]
    rows = (
        rows[rows["source"] == "Nordwerk"]
        .dropna(subset=["received"])
        .drop_duplicates(["ordered", "received"])
    )
    days = (rows["received"] - rows["ordered"]).dt.days
    assert (
        lane["mean"] == pytest.approx(days.mean())
        and lane["spread"] == pytest.approx(days.std())
        and lane["latest"] == days.max()
    )


def test_promotions_of_the_past_may_stand_in_the_calendar(small, plain):
    """The shop's order lines do not say what was promoted; its calendar does."""
    here, there = (look(read_plan(shop.folder))["promotions"] for shop in (small, plain))
    assert here["periods"] == there["periods"] and here["lift"] == pytest.approx(there["lift"])
    assert (
        here["to_come"] == (small.tables["calendar"]["date"] >= pd.Timestamp(small.as_of)).sum() > 0
    )


# The command
# ------------------------------------------------------------------------------------------------


def test_the_command_writes_a_plan_that_reads_back(small, tmp_path, capsys):
    out = tmp_path / "plan.yaml"
    text, notes = run(
        capsys, small.folder, "--out", out, "service=0.97", "currency=EUR", "rates.USD=0.9"
    )
    for words in (
        "What was read",
        "decimal commas",
        "lines of orders",
        "as of 2025-03-31",
        "What is assumed",
        "Nordwerk",
        "SKUs: ",
    ):
        assert words in text, text
    assert f"written: {out}" in notes
    same_plan(
        read_plan(out), read_plan(small.folder, service=0.97, currency="EUR", rates={"USD": 0.9})
    )
    written = out.read_text()
    assert (
        "service: 0.97"
        in written.splitlines()[
            [line.startswith("service") for line in written.splitlines()].index(True)
        ]
    )
    assert (
        all(line.startswith(("#", " ")) or ":" in line or not line for line in written.splitlines())
        and "# as_of: 2025-03-31" in written
    )
    before = out.read_bytes()
    _, notes = run(capsys, small.folder, "--out", out)
    assert out.read_bytes() == before and "--force writes it anew" in notes
    run(capsys, small.folder, "--out", out, "--force")
    assert out.read_bytes() != before and "\nservice: 0.97" not in out.read_text()
    again, _ = run(capsys, out)
    assert "What was read" in again


def test_json_is_one_document(small, tmp_path, capsys):
    text, _ = run(capsys, small.folder, "--out", tmp_path / "plan.yaml", "--json")
    document = json.loads(text)
    assert (
        len(document["read"]) == 5 + 7
        and document["as_of"] == "2025-03-31"
        and document["sales"]["skus"] == 7
    )
    assert sum(row["skus"] for row in document["abc_xyz"]) == 7 and document["plan"].endswith(
        "plan.yaml"
    )


def test_one_file_in_an_empty_folder(small, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(capsys, small.folder / "sales.csv")
    plan = read_plan("plan.yaml")
    assert len(plan.items) == 0 and str(small.folder) in (tmp_path / "plan.yaml").read_text()
    same_plan(plan, read_plan(small.folder / "sales.csv"))
    run(capsys, small.folder / "sales.csv", small.folder / "items.csv", "--force")
    assert len(read_plan("plan.yaml").items) == 8


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"dates": "mdy"},
        {"decimal": ","},
        {"returns": "net", "lines": "sum"},
        {"as_of": "2024-02-01"},
    ],
)
def test_what_was_typed_is_written(tmp_path, how):
    rows = "".join(
        f'03/{d:02d}/2024,{s},{"-1" if d == 3 else d},"2,5"\n'
        for d in range(1, 29)
        for s in ("on", "yes", "007", "=x", "#a: b")
    )
    rows += "".join(f'01/{d:02d}/2024,on,2,"2,5"\n' for d in range(1, 32))
    path = tmp_path / "my sales: #1.csv"
    path.write_text(
        "Datum,Artikel,Menge,Preis\n" + (rows if "returns" in how else rows.replace("-1", "1"))
    )
    given = {"returns": "refuse", **how}
    plan = read_plan(path, {"sku": "Artikel"}, **given)
    (tmp_path / "plan.yaml").write_text(plan_text(plan, tmp_path))
    same_plan(read_plan(tmp_path), plan)


def test_sheets_of_a_workbook_are_written(small, tmp_path):
    pytest.importorskip("openpyxl")
    with pd.ExcelWriter(tmp_path / "shop.xlsx") as book:
        for name in ("items", "locations", "lanes"):
            small.tables[name].to_excel(book, sheet_name=name, index=False)
        small.tables["sales"].head(500).to_excel(book, sheet_name="sales", index=False)
    plan = read_plan(tmp_path / "shop.xlsx")
    (tmp_path / "plan.yaml").write_text(plan_text(plan, tmp_path))
    same_plan(read_plan(tmp_path), plan)


@pytest.mark.parametrize(
    "arguments, told",
    [
        ((), "give the files of a shop"),
        (("{}/nowhere.csv",), "no such file"),
        (("{}", "sevice=0.9"), "did you mean 'service'?"),
        (("{}", "columns.sku=Artikl"), "did you mean 'Artikel'?"),
        (("{}/sales.csv", "{}"), "give one folder or plan alone"),
        (("{}/items.csv", "{}/stock.csv"), "no file of sales among"),
        (("{}", "columns.itms.cost=a"), "no table 'itms'"),
        (("{}", "--forse"), "did you mean '--force'"),
        (("{}", "service=2"), "service is a number between 0 and 1"),
    ],
)
def test_mistakes(small, tmp_path, capsys, arguments, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        main([text.format(small.folder) for text in arguments])
    assert (
        told in str(caught.value) and not list(tmp_path.iterdir()) and not capsys.readouterr().out
    )


def test_what_the_weeks_are_made_of_is_told(tmp_path, capsys):
    """A date off the week, and promotions that rows without sales would leave open."""
    days = pd.date_range("2023-01-01", periods=80, freq="7D")
    rows = [(day, sku, 10, int(k % 4 == 0)) for k, day in enumerate(days) for sku in "AB"]
    table = pd.DataFrame(rows, columns=["date", "sku", "sales", "promotion"])
    table.loc[100, "date"] += pd.Timedelta(days=1)
    table.to_csv(tmp_path / "sales.csv", index=False)
    out, _ = run(capsys, tmp_path, "--out", tmp_path / "plan.yaml")
    assert "line 102: 2023-12-18, 'A'" in out
    assert "promotions: sales times 1.00" in out
    table.drop(index=range(3, 150, 7)).assign(
        promotion=lambda frame: frame["sku"].eq("A").astype(int)
    ).to_csv(tmp_path / "sales.csv", index=False)
    out, _ = run(capsys, tmp_path, "--out", tmp_path / "plan.yaml")
    told = "promotions: the column of sales is left out" in out
    assert told == ("promotion left out" in out)
