"""What becomes of a user's columns and of series that begin, end, or are not everywhere: each case
beside its right value.
"""

import numpy as np
import pandas as pd
import pytest
from cases import case

from jaxinv.data import Panel
from jaxinv.data.preparation import mean_prices, prepare
from jaxinv.envs.retail import Retail
from jaxinv.envs.retail_network import RetailNetwork
from jaxinv.errors import UserError
from jaxinv.evaluation.compare import evaluate
from jaxinv.evaluation.held_out import Contestant
from jaxinv.experiment import Experiment
from jaxinv.keys import root
from jaxinv.policies.rules import make_rule
from jaxinv.runs import Run

ONE_WAREHOUSE = dict(
    links=("11",), lead_times=((2, 3),), warehouse_holding_costs=(0.3,), purchase_costs=(0.5,)
)


def build(name, folder, **options):
    return Retail(data=str(case(name, folder)), **options).build()


def numbers(values):
    return np.asarray(values).ravel().tolist()


def panel_of(*sales, **columns):
    """A weekly panel of series `a`, `b`, … from their sales."""
    dates = pd.date_range("2020-01-06", periods=len(sales[0]), freq="7D")
    rows = [
        pd.DataFrame({"date": dates, "sku": name, "sales": np.asarray(of, float), **columns})
        for name, of in zip("abcdef", sales)
    ]
    return Panel.from_table(pd.concat(rows), "week")


def test_lead_times_of_the_column_are_those_of_the_world(tmp_path):
    """A level for each lead time costs 0.30 at lead time 1 and 0.605 at 9, as a replay in NumPy
    says; of one for all 2.05 and 2.46.
    """
    problem = build("lead_time_column", tmp_path)
    assert numbers(problem.train.lead_time) == [1] * 6 + [9] * 6
    level = np.where(np.arange(12) < 6, 1, 9) + 1.0
    scale = np.asarray(problem.train.scale)[:, 0, 0]
    params = {
        "level": (1 + 0.8 / np.sqrt(level * scale)).astype(np.float32)[None, None]
    }  # in units of mean demand over the coverage
    rule = make_rule("base_stock", problem.env.topology)
    row = evaluate(problem, [Contestant("own levels", rule, params, -1)], root(0))[0]
    assert row["cost"] == pytest.approx((0.30 + 0.605) / 2, rel=0.25) and row["fill_rate"] > 0.94


def test_numbers_in_columns_are_those_of_each_series(tmp_path):
    options = dict(horizon=20, relative_costs=False)
    problem = build("numbers_in_columns", tmp_path, profit=True, **options)
    number = np.array([int(name[1:]) for name in problem.labels])
    assert numbers(problem.train.lead_time) == (1 + number % 6).tolist()
    assert numbers(problem.train.price) == (5.0 + number).tolist() and not np.any(
        problem.train.shortage
    )
    assert numbers(problem.test.initial_low) == [40.0] * 12 == numbers(problem.test.initial_high)
    costs = build("numbers_in_columns", tmp_path, **options)
    np.testing.assert_allclose(numbers(costs.train.shortage), 4 * (5.0 + number))
    np.testing.assert_allclose(numbers(costs.train.holding), 5.0 + number)


def test_an_option_wins_against_a_column_and_says_so(tmp_path):
    problem = build(
        "numbers_in_columns",
        tmp_path,
        horizon=20,
        lead_time=2,
        price=(3.0, 3.0),
        relative_costs=False,
    )
    assert set(numbers(problem.train.lead_time)) == {2} and set(numbers(problem.train.price)) == {3}
    assert "lead_time=2 was given" in problem.notes[0] and "price was given" in problem.notes[1]
    with pytest.raises(UserError, match="lead_time_spread"):
        build("numbers_in_columns", tmp_path, horizon=20, lead_time_spread=1)
    with pytest.raises(UserError, match="needs a column price"):
        build("half_start_late", tmp_path, profit=True)


def test_lead_times_that_change_are_drawn_as_often_as_they_were_seen(tmp_path):
    file = case("lead_time_column", tmp_path)
    table = pd.read_csv(file)
    week = table.groupby("sku").cumcount()
    table.assign(lead_time=np.where(week % 4 == 0, 5, table.lead_time.clip(upper=2))).to_csv(
        file, index=False
    )
    problem = Retail(data=str(file)).build()
    cdf = np.asarray(problem.train.lead_time_law.cdf)[:, 0, :, 0]  # [series, lead times]
    np.testing.assert_allclose(cdf[0], [0, 0.75, 0.75, 0.75, 0.75], atol=1e-6)
    np.testing.assert_allclose(cdf[-1], [0, 0, 0.75, 0.75, 0.75], atol=1e-6)
    np.testing.assert_allclose(numbers(problem.train.lead_time), [2.0] * 6 + [2.75] * 6)
    ocean = Retail(data=str(file), lead_time_law="ocean").build()
    law = np.diff(np.asarray(ocean.train.lead_time_law.cdf)[:, 0, :, 0], prepend=0, append=1)
    np.testing.assert_allclose(law @ np.arange(law.shape[1]), [2.0] * 6 + [2.75] * 6, rtol=0.1)


def test_demand_without_stock_is_demand_in_training_and_in_the_test(tmp_path):
    problem = build("stocked_out", tmp_path)
    traces = (
        np.asarray(problem.train.demand.demand)[:, :, 0, 0],
        np.asarray(problem.test.demand.demand)[:, 112:, 0, 0],
    )
    for trace in traces:
        in_stock = trace[:, ::2].mean(1)
        np.testing.assert_allclose(trace.mean(1), in_stock, rtol=0.06)
    np.testing.assert_allclose(numbers(problem.train.scale), traces[0].mean(1), rtol=1e-5)
    assert problem.notes[0].startswith("stock was out in 50.0% of all weeks")
    rule = make_rule("base_stock", problem.env.topology)
    row = evaluate(
        problem, [Contestant("level", rule, {"level": np.full((1, 1), 1.3, np.float32)})], root(0)
    )[0]
    assert row["fill_rate"] > 0.95


def test_a_late_launch_is_no_low_demand(tmp_path):
    """Ten a week for all: a unit short costs 4 / 10 whatever the week of the launch, and no episode
    is ordered for before it.
    """
    problem = build("half_start_late", tmp_path)
    assert set(numbers(problem.train.scale)) == {10.0}
    np.testing.assert_allclose(numbers(problem.train.shortage), 0.4)
    history = problem.env.history
    assert numbers(problem.train.demand.first) == [0, 40 - history] * 6
    trace = np.asarray(problem.train.demand.demand)[:, :, 0, 0]
    assert all(
        (trace[row, first + history :] == 10).all()
        for row, first in enumerate(numbers(problem.train.demand.first))
    )


def test_a_series_that_starts_after_training_is_left_out_by_name(tmp_path):
    problem = build("one_starts_after_training", tmp_path)
    assert problem.instances == 11 and problem.dropped == (
        ("LATE", "first sold after training ends: 2020-03-16"),
    )
    assert problem.notes[0] == "left out 1 of 12 series: 1 first sold after training ends (LATE)"
    assert problem.notes[1].startswith(
        "validation=0.2 of 11 series is fewer than the 10 that tell anything apart: the last "
    )


def test_series_end_and_pause():
    """Discontinued: silent for a quarter of training, longer than ever, until the end. Not: a
    season's pause, an end in the test.
    """
    time, steady = np.arange(200), np.full(200, 5)
    series = (
        np.where(time < 100, 5, 0),  # ends in training
        np.where(time % 52 < 6, 5, 0),  # sold for six weeks a year
        np.where(time < 150, 5, 0),  # ends in the test: nobody knew
        np.where((time > 80) & (time < 120), 0, 5),  # pauses and comes back
        np.where(time >= 130, 5, 0),  # too late for an episode of 20
        steady,
    )
    panel = panel_of(*series)
    prepared = prepare(panel, panel.split_by_time(0.7), horizon=20)
    assert prepared.panel.series["sku"].tolist() == ["b", "c", "d", "f"]
    reasons = dict(prepared.dropped)
    assert reasons["a"] == "discontinued: last sold 2021-11-29" and reasons["e"].startswith(
        "first sold in training too late"
    )
    everything = prepare(panel, panel.split_by_time(0.7), horizon=20, life_cycles=False)
    assert not everything.dropped and everything.scale[4] == pytest.approx(5 * 10 / 140)
    np.testing.assert_allclose(prepared.scale[-1], 5)


def test_selection_and_scale_see_training_only():
    random = np.random.default_rng(0)
    sales = random.poisson(0.8, (6, 100))
    later = sales.copy()
    later[:, 60:] = 99
    both = [panel_of(*of) for of in (sales, later)]
    kept = [
        prepare(panel, panel.split_by_time(0.6), horizon=20, min_active=0.5, max_series=3, seed=3)
        for panel in both
    ]
    assert kept[0].panel.series.equals(kept[1].panel.series) and kept[0].dropped == kept[1].dropped
    np.testing.assert_array_equal(kept[0].scale, kept[1].scale)
    assert len(kept[0].scale) == 3 and {why for _, why in kept[0].dropped} >= {
        "not drawn: max_series=3"
    }
    rows = ["abcdef".index(sku) for sku in kept[0].panel.series["sku"]]
    starts = (sales[rows] > 0).argmax(1)
    np.testing.assert_allclose(
        kept[0].scale, [sales[row, start:60].mean() for row, start in zip(rows, starts)], rtol=1e-6
    )
    with pytest.raises(
        UserError, match=r"no series is left of 6: 6 sold too rarely .* lower min_active"
    ):
        prepare(both[0], both[0].split_by_time(0.6), horizon=20, min_active=1.0)


def test_a_series_never_in_stock_is_left_out():
    panel = panel_of([2] * 100, stock=0)
    with pytest.raises(
        UserError, match="no series is left of 1: 1 out of stock in all of training"
    ):
        prepare(panel, panel.split_by_time(0.6), horizon=20)


def test_promotions_of_one_store_reach_the_policy(tmp_path):
    problem = RetailNetwork(
        data=str(case("promotion_in_second_store", tmp_path)), **ONE_WAREHOUSE
    ).build()
    seen = np.asarray(problem.test.demand.covariates)
    promoted = np.arange(seen.shape[1]) % 5 == 0
    told = [
        column
        for column in np.moveaxis(seen, 2, 0)
        if (column[:, promoted] > column[:, ~promoted].max()).all()
    ]
    assert len(told) == 1 and seen.shape[2] == 5  # calendar, and promotion of each store
    assert problem.env.topology.node_names == ("warehouse 0", "a", "b")


def test_what_a_store_lacks_is_no_reason_to_leave_it_out(tmp_path):
    file = case("promotion_in_second_store", tmp_path)
    table = pd.read_csv(file)
    dates = {date: week for week, date in enumerate(sorted(table.date.unique()))}
    week = table.date.map(dates)
    table = table[
        ~((table.sku == "s3") & (table.location == "b"))
        & ~((table.sku == "s5") & (table.location == "a") & (week < 30))
    ]
    table.to_csv(file, index=False)
    problem = RetailNetwork(data=str(file), **ONE_WAREHOUSE).build()
    at = {name: row for row, name in enumerate(problem.labels)}
    assert len(at) == 12 and not np.any(np.asarray(problem.test.demand.demand)[at["s3"], :, 1])
    scale = np.asarray(problem.train.scale)[:, :, 0]
    assert scale[at["s3"], 2] == pytest.approx(0.01) and scale[at["s5"], 1] == pytest.approx(
        10, rel=0.15
    )
    assert numbers(problem.train.demand.first)[at["s5"]] == 30 - problem.env.history


def test_a_price_that_is_not_known_is_that_of_the_other_stores_or_of_all():
    prices = np.full((3, 2, 4), np.nan)
    prices[0, 0], prices[0, 1], prices[1, 1] = [1, np.nan, 3, 2], 4, 10
    np.testing.assert_allclose(mean_prices(prices), [[2, 4], [10, 10], [6.5, 6.5]])
    with pytest.raises(UserError, match="no series has a price in training"):
        mean_prices(np.full((2, 1, 3), np.nan))


def test_a_network_takes_the_file_s_prices_and_stock(tmp_path):
    file = case("promotion_in_second_store", tmp_path)
    table = pd.read_csv(file)
    table.assign(price=np.where(table.location == "a", 3, 7), stock=11, lead_time=1).to_csv(
        file, index=False
    )
    problem = RetailNetwork(data=str(file), **ONE_WAREHOUSE).build()
    np.testing.assert_allclose(np.asarray(problem.train.price)[:, :, 0], [[0, 3, 7]] * 12)
    np.testing.assert_allclose(np.asarray(problem.test.initial_low)[:, 1:, 0], 11)
    assert any("lead_times says" in note for note in problem.notes)
    with pytest.raises(
        UserError,
        match=r"2 locations \(a, b\).*links=11,11,11 'lead_times=\[\[2,2\],\[2,2\],\[2,2\]\]'",
    ):
        RetailNetwork(data=str(file)).build()


def test_a_run_knows_its_sales_from_any_folder_and_refuses_others(tmp_path, monkeypatch):
    file = case("one_starts_after_training", tmp_path)
    monkeypatch.chdir(tmp_path)
    overrides = ["env=retail", f"data={file.name}"]
    experiment = Experiment.load(overrides=overrides)
    run = Run.create(tmp_path / "runs", "shop", config_text=experiment.yaml)
    experiment.remember_data(run)
    monkeypatch.chdir(tmp_path.parent)
    again = Experiment.load(run.config_path)
    again.check_data(run)
    assert (
        again.config.instance == experiment.config.instance
        and again.config.instance.data == str(file)
    )
    text = file.read_text()
    file.write_text(text.replace("\n", "\r\n"))  # the same sales
    Experiment.load(run.config_path).check_data(run)
    file.write_text(text + "2021-01-25,S00,7\n")
    with pytest.raises(
        UserError, match=r"sales are not those that run 'shop' was made of.*put the file back"
    ):
        Experiment.load(run.config_path).check_data(run)
