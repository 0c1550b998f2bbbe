"""Results by SKU: the numbers of one evaluation, series by series, in a table that a spreadsheet
can open.
"""

import csv
import dataclasses

import numpy as np
import pandas as pd
import pytest

import jaxinv
from jaxinv.envs.retail import Retail
from jaxinv.envs.shared import Shared
from jaxinv.envs.shop import ordered_by_period
from jaxinv.evaluation.compare import units_of
from jaxinv.evaluation.held_out import costs_of
from jaxinv.evaluation.statistics import Factor, mean_of, means_of_columns
from jaxinv.evidence import Contest, evaluate_contests, with_rows
from jaxinv.experiment import EvaluationConfig
from jaxinv.policies.theirs import MIN_MAX, OWN_ORDERS
from jaxinv.report.by_sku import TEXT, sku_table
from jaxinv.report.worst import worst
from jaxinv.sheets import guarded, read_table, unguarded, write_table

pytestmark = pytest.mark.usefixtures("quick_compilation")

NAMES = ["=1+1", "<script>alert(1)</script>", "@cmd", "-5", "007", "f", "g", "h"]
LEAD, HISTORY = 2, 8


@pytest.fixture(scope="module")
def sales(tmp_path_factory):
    """Eight SKUs in two stores, 120 weeks, with prices."""
    draw, path = np.random.default_rng(0), tmp_path_factory.mktemp("shop") / "sales.csv"
    dates = pd.date_range("2022-01-03", periods=120, freq="7D")
    tables = [
        pd.DataFrame(
            {
                "date": dates,
                "sku": sku,
                "location": store,
                "sales": draw.poisson(4 + 3 * number, 120),
                "price": 2.0 + number,
            }
        )
        for number, sku in enumerate(NAMES)
        for store in ("north", "south")
    ]
    pd.concat(tables).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def problem(sales):
    options = dict(
        data=sales,
        history=HISTORY,
        horizon=20,
        lead_time=LEAD,
        relative_costs=False,
        validation=0.0,
    )
    return Retail(**options).build()


def played(problem, upper):
    """Stock, demand and orders of a shop that orders up to a level every week, in plain NumPy: each
    `[T, S]`.
    """
    trace = problem.test.demand
    start = int(np.asarray(trace.first)[0]) + HISTORY
    demand = np.asarray(trace.demand)[:, start : start + problem.test_periods, 0, 0].T.astype(float)
    stock = np.asarray(problem.test.initial_low)[:, 0, 0].astype(float)
    underway = np.asarray(problem.test.initial_pipeline)[:, 0, 0].astype(
        float
    )  # of the one week that is still to come
    found = []
    for asked in demand:
        order = np.maximum(upper - stock - underway, 0.0)
        sold = np.minimum(stock, asked)
        found.append((stock - sold, asked, asked - sold, order))
        stock, underway = stock - sold + underway, order
    return [np.stack(amounts) for amounts in zip(*found)]


@pytest.fixture(scope="module")
def judged(problem):
    """Two rules, the shop's own min-max and its own orders, which are those of the min-max."""
    scale = np.asarray(problem.train.scale)[:, 0, 0]
    upper = np.round(3.5 * scale)
    exact = dataclasses.replace(problem, test=problem.test.replace(
        initial_low=np.round(problem.test.initial_low),
        initial_high=np.round(problem.test.initial_low),
        initial_pipeline=np.round(problem.test.initial_pipeline),
    ))  # fmt: skip
    stock, demand, short, orders = played(exact, upper)
    shop = dataclasses.replace(
        exact.shop,
        min_max=(np.full((1, 1, len(upper)), 1e9), upper[None, None]),
        ordered=orders[:, None, None],
        currency="EUR",
    )
    exact = dataclasses.replace(exact, shop=shop)
    seen = []
    config = EvaluationConfig(rules=("base_stock", "s_S"), tune_periods=40_000, per_instance=())
    rows = evaluate_contests([Contest("", exact, [])], config, 0, seed=0, watch=seen.append)
    return with_rows(seen, rows), (stock, demand, short, orders)


def test_amounts_are_those_of_a_shop_in_plain_numpy(problem, judged):
    judged, amounts = judged
    stock, demand, short, orders = (amount[problem.warm_up :] for amount in amounts)
    holding, shortage = (
        np.asarray(getattr(problem.test, name))[:, 0, 0] for name in ("holding", "shortage")
    )
    table = sku_table(judged)
    for policy in (MIN_MAX, OWN_ORDERS):
        mine = table[table["policy"] == policy]
        np.testing.assert_allclose(
            mine["cost"], (holding * stock + shortage * short).mean(0), rtol=1e-4
        )
        np.testing.assert_allclose(
            mine["cost of holding stock"], (holding * stock).mean(0), rtol=1e-4
        )
        np.testing.assert_allclose(
            mine["cost of demand not served"], (shortage * short).mean(0), rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(mine["fill_rate"], 1 - short.sum(0) / demand.sum(0), rtol=1e-5)
        np.testing.assert_allclose(mine["stock"], stock.mean(0), rtol=1e-5)
        np.testing.assert_allclose(
            mine["stock_value"],
            stock.mean(0) * np.repeat(2.0 + np.arange(8), 2)[_order(mine)],
            rtol=1e-4,
        )
        sold = demand - short
        np.testing.assert_allclose(
            mine["turnover"], problem.periods_per_year * sold.sum(0) / stock.sum(0), rtol=1e-4
        )
        np.testing.assert_allclose(mine["ordered"], orders.mean(0), rtol=1e-5)
        np.testing.assert_allclose(mine["orders"], (orders > 0).mean(0), rtol=1e-5)


def _order(mine):
    """Where the file has each series: SKU by SKU, the stores of each."""
    return [
        2 * NAMES.index(sku) + (place == "south") for sku, place in zip(mine["sku"], mine["place"])
    ]


def test_series_add_up_to_the_rows_of_the_evaluation(judged):
    (one,), _ = judged
    table = sku_table([one])
    assert len(table) == 16 * len(one.rows) and list(table.columns[:4]) == [
        "sku",
        "place",
        "policy",
        "name",
    ]
    parts = [name for name in table if name.startswith("cost of ")]
    np.testing.assert_allclose(table[parts].sum(axis=1), table["cost"], rtol=1e-4)
    for row in one.rows:
        mine = table[table["policy"] == row["policy"]]
        assert mine["cost"].mean() == pytest.approx(row["cost"], rel=1e-5)
        assert mine["difference"].mean() == pytest.approx(row["difference"], abs=1e-5)
        assert mine["stock"].mean() == pytest.approx(row["stock"], rel=1e-5)
        assert mine["stock_value"].mean() == pytest.approx(row["stock_value"], rel=1e-5)
        short = (1 - mine["fill_rate"]) * mine["demand"]
        assert 1 - short.sum() / mine["demand"].sum() == pytest.approx(row["fill_rate"], rel=1e-5)
    assert set(one.rows[0]["versus"]) == {OWN_ORDERS, MIN_MAX}
    costs = {row["policy"]: row["cost"] for row in one.rows}
    assert one.rows[0]["versus"][MIN_MAX]["difference"] == pytest.approx(
        one.rows[0]["cost"] - costs[MIN_MAX], rel=1e-4
    )


def test_intervals_of_many_columns_are_those_of_each(judged):
    (one,), _ = judged
    best = costs_of(one.problem, one.totals[one.rows[0]["best_rule"]])
    over = next(factor for factor in units_of(one.problem) if isinstance(factor, Factor))
    other = next(row["policy"] for row in one.rows if row["policy"] != one.rows[0]["best_rule"])
    difference = np.asarray(costs_of(one.problem, one.totals[other]), float) - best
    _, low, high = means_of_columns(difference, over)
    for column in range(difference.shape[1]):
        alone = mean_of(difference[:, [column]], (over,))
        np.testing.assert_allclose([low[column], high[column]], alone.interval, rtol=1e-9)
    mine = sku_table([one]).query("policy == @other")
    np.testing.assert_allclose(mine["difference_low"], low)
    assert np.isnan(
        means_of_columns(difference[:1], Factor("one block", np.zeros(1), axis=-2))[1]
    ).all()
    draw = np.random.default_rng(0).gamma(0.2, size=(12, 50))  # skewed
    _, low, high = means_of_columns(draw, Factor("blocks", np.arange(12) // 3, axis=-2))
    alone = [
        mean_of(draw[:, [column]], (Factor("blocks", np.arange(12) // 3, axis=-2),)).interval
        for column in range(50)
    ]
    np.testing.assert_allclose(np.stack([low, high], 1), alone)


def test_the_worst_are_played_again_as_they_were_judged(judged, problem):
    (one,), (stock, demand, short, orders) = judged
    table = worst(one, MIN_MAX)
    costs = sku_table([one]).query("policy == @MIN_MAX").reset_index(drop=True)
    ranked = costs.sort_values("difference", ascending=False)
    mine = table[table["policy"] == MIN_MAX]
    first = mine.drop_duplicates(["sku", "place"])
    assert list(first["sku"]) == list(ranked["sku"][:10]) and list(first["place"]) == list(
        ranked["place"][:10]
    )
    for place, series in enumerate(ranked.index[:10]):
        periods = mine.iloc[place * problem.shop.dates.size :][: problem.shop.dates.size]
        for name, amounts in (
            ("stock", stock),
            ("demand", demand),
            ("short", short),
            ("ordered", orders),
        ):
            np.testing.assert_allclose(
                periods[name], amounts[problem.warm_up :, series], rtol=1e-5, atol=1e-4
            )
    assert list(periods["period"])[0] == str(problem.shop.dates[0]) and set(table["policy"]) == {
        MIN_MAX,
        one.rows[0]["best_rule"],
    }


def test_series_with_noise_of_their_own_have_no_intervals(judged):
    (one,), _ = judged
    alone = one._replace(problem=dataclasses.replace(one.problem, shared=None))
    table = sku_table([alone])
    assert "difference" in table and "difference_low" not in table
    np.testing.assert_allclose(table["cost"], sku_table([one])["cost"], rtol=1e-4)
    unnamed = one._replace(problem=dataclasses.replace(one.problem, labels=()))
    assert sku_table([unnamed]).empty and worst(unnamed, MIN_MAX).empty
    assert Shared.of("week").period == "week"


def test_what_a_shop_ordered_is_found_by_period_edge_and_series():
    starts = np.datetime64("2024-01-01") + 7 * np.arange(4)
    receipts = pd.DataFrame(
        {
            "sku": ["a", "a", "b", "b", "a", "c", "a", "b"],
            "source": ["x", "x", "x", "y", "x", "x", "z", "x"],
            "destination": ["s", "s", "s", "s", "t", "s", "s", "s"],
            "quantity": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, np.nan],
            "ordered": pd.to_datetime(
                [
                    "2024-01-01",
                    "2024-01-07",
                    "2024-01-08",
                    "2024-01-21",
                    "2024-01-10",
                    "2024-01-01",
                    "2024-01-01",
                    "2024-01-02",
                ]
            ),
        }
    )
    found = ordered_by_period(
        receipts,
        starts,
        ["a", "b"],
        np.array([["x", "y", "x"]] * 2, object),
        np.array([["s", "s", "t"]] * 2, object),
    )
    expected = np.zeros((3, 3, 1, 2))
    expected[0, 0, 0, 0], expected[1, 0, 0, 1], expected[2, 1, 0, 1], expected[1, 2, 0, 0] = (
        3,
        4,
        8,
        16,
    )
    np.testing.assert_array_equal(found, expected)
    apart = ordered_by_period(
        receipts,
        starts,
        ["a", "a", "b"],
        np.full((3, 1), "x", object),
        np.array([["s"], ["t"], ["s"]], object),
    )
    expected = np.zeros((3, 1, 1, 3))
    expected[0, 0, 0, 0], expected[1, 0, 0, 1], expected[1, 0, 0, 2] = 3, 16, 4
    np.testing.assert_array_equal(apart, expected)
    assert (
        ordered_by_period(
            receipts, starts + 365, ["a"], np.array([["x"]], object), np.array([["s"]], object)
        )
        is None
    )


def test_text_stays_text_in_a_spreadsheet(tmp_path, judged):
    table = sku_table(judged[0])
    write_table(tmp_path / "by_sku.csv", table)
    first = (tmp_path / "by_sku.csv").read_bytes()
    with (tmp_path / "by_sku.csv").open(newline="") as file:
        cells = [row["sku"] for row in csv.DictReader(file)]
    assert {"'=1+1", "'@cmd", "'-5", "007"} <= set(cells) and not any(
        cell.startswith(("=", "+", "-", "@")) for cell in cells
    )
    back = read_table(tmp_path / "by_sku.csv", TEXT)
    assert list(back["sku"]) == list(table["sku"]) and set(back["sku"]) == set(NAMES)
    pd.testing.assert_frame_equal(back, table, rtol=1e-5, atol=1e-5, check_dtype=False)
    write_table(tmp_path / "by_sku.csv", back)
    assert pd.read_csv(tmp_path / "by_sku.csv").shape == table.shape
    write_table(tmp_path / "again.csv", table)
    assert (tmp_path / "again.csv").read_bytes() == first


@pytest.mark.parametrize(
    "text", ["=1", "'=1", "''=1", "+", "-a", "@", "\tx", "'a", "a=1", "", "NA", "nan"]
)
def test_every_name_comes_back(text, tmp_path):
    assert unguarded(guarded(text)) == text and guarded(text)[:1] not in ("=", "+", "-", "@", "\t")
    write_table(tmp_path / "t.csv", pd.DataFrame({"sku": [text, "b"], "cost": [1.5, np.nan]}))
    back = read_table(tmp_path / "t.csv", ("sku",))
    assert list(back["sku"]) == [text, "b"] and back["cost"][0] == 1.5 and np.isnan(back["cost"][1])


def test_in_python_and_in_the_run(sales, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxinv.evidence.LEAST_PERIODS", 40_000)
    options = dict(
        data=sales,
        lead_time=LEAD,
        updates=2,
        envs=8,
        hidden=8,
        history=HISTORY,
        horizon=20,
        validation=0.0,
    )
    fitted = jaxinv.fit(
        "retail",
        "diffsim",
        rules=["base_stock"],
        per_instance=[],
        runs=tmp_path,
        name="tiny",
        **options,
    )
    table = fitted.by_sku
    assert set(table["policy"]) == {"diffsim", "ready", "base_stock"} and set(table["sku"]) == set(
        NAMES
    )
    means = table.groupby("policy")["cost"].mean()
    np.testing.assert_allclose(means[fitted.table.index], fitted.table["cost"], rtol=1e-4)
    for name in ("by_sku.csv", "worst.csv", "report.html"):
        assert (tmp_path / "tiny" / name).stat().st_size
    compared = jaxinv.compare(
        "base_stock",
        env="retail",
        data=sales,
        lead_time=LEAD,
        history=HISTORY,
        horizon=20,
        validation=0.0,
        per_instance=[],
        tune_periods=40_000,
    )
    mine = compared.by_sku
    mine = mine[mine["policy"] == "base_stock"]
    (row,) = [row for row in compared.rows if row["policy"] == "base_stock"]
    assert len(mine) == 16 and mine["cost"].mean() == pytest.approx(row["cost"], rel=1e-5)
    assert set(mine["name"]) == {"order up to a level"}
