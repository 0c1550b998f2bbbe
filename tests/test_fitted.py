"""What is fitted to sales once is kept with a run, and applied to later sales as it is."""

import json

import jax
import numpy as np
import pandas as pd
import pytest

import jaxinv
from jaxinv import evaluate
from jaxinv.data import Panel, load
from jaxinv.data.fitted import Preparation
from jaxinv.envs.retail import Retail
from jaxinv.errors import UserError

OPTIONS = dict(frequency="day", horizon=20, history=7, validation=0.0)
FIRST, SPLIT, LAST = pd.Timestamp("2020-01-06"), pd.Timestamp("2020-04-20"), pd.Timestamp("2020-05-24")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Daily sales of 6 SKUs, of which 3 are often out of stock, and later ones: ten times as many, of one SKU more."""
    draw, rows = np.random.default_rng(0), []
    for sku in range(7):
        stock = draw.integers(0, 12, 140)
        for number, (wanted, left) in enumerate(zip(draw.poisson(4 + sku, 140), stock)):
            out = sku < 3
            rows.append(
                (FIRST + pd.Timedelta(number, "D"), f"s{sku}", min(wanted, left) if out else wanted, left if out else 60,
                 int(number % 14 == 0), 2 + (number // 7 + sku) % 2, 3.0 + sku)
            )  # fmt: skip
    table = pd.DataFrame(rows, columns=["date", "sku", "sales", "stock", "promotion", "lead_time", "price"])
    folder = tmp_path_factory.mktemp("sales")
    table[(table["date"] < SPLIT) & (table["sku"] != "s6")].to_csv(folder / "first.csv", index=False)
    later = table[table["date"] >= SPLIT - pd.Timedelta(7, "D")]
    later.assign(sales=10 * later["sales"]).to_csv(folder / "later.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def preset(files):
    return Retail(data=str(files / "first.csv"), **OPTIONS)


@pytest.fixture(scope="module")
def saved(files, preset):
    path = files / "preparation.json"
    path.write_text(preset.build().preparation.text)
    return Preparation.read(path)


def same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for ours, theirs in zip(jax.tree.leaves(left), jax.tree.leaves(right)):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_read_again_is_what_was_fitted(preset, saved):
    problem, again = preset.build(), preset.applied(saved)
    same(again.train, problem.train)
    same(again.test, problem.test)
    assert again.env == problem.env and again.labels == problem.labels and again.notes == problem.notes
    assert saved.text == problem.preparation.text and json.loads(saved.text)["schema"] == 1


def test_later_sales_move_nothing_that_was_fitted(files, preset, saved):
    """Ten times the sales: scale, moments, lead times, prices and estimates stay, and so does all of training."""
    problem, later = preset.build(), preset.applied(saved, str(files / "later.csv"))
    same(later.train, problem.train)
    assert later.env == problem.env and later.labels == problem.labels == tuple(f"s{sku}" for sku in range(6))
    assert later.test_periods - later.warm_up == (LAST - SPLIT).days + 1
    np.testing.assert_array_equal(later.test.scale, problem.test.scale)
    trace = np.asarray(later.test.demand.demand)[:, :, 0, 0]
    before = problem.preparation.periods
    np.testing.assert_array_equal(trace[:, :before], np.asarray(problem.test.demand.demand)[:, :before, 0, 0])
    table = load(files / "later.csv")
    sold = Panel.from_table(table[table["date"] >= SPLIT], "day").sales[:6]
    np.testing.assert_array_equal(trace[3:, before:], sold[3:])  # never out of stock
    assert (trace[:3, before:] >= sold[:3]).all()
    # the warm-up lies in the past, where the stock of its first day is known
    start = before - later.warm_up
    stock = Panel.from_table(load(files / "first.csv"), "day").stock[:, start]
    np.testing.assert_array_equal(np.asarray(later.test.initial_low)[:, 0, 0], stock)


def test_censored_demand_of_later_days_comes_from_the_law_of_the_first(files, preset, saved):
    """What was sold later is at most 10 units a day: with stock out no draw lies above what was ever sold before or then."""
    table = load(files / "later.csv")
    quiet = files / "quiet.csv"
    table.assign(sales=0, stock=0).to_csv(quiet, index=False)
    later = preset.applied(saved, str(quiet))
    drawn = np.asarray(later.test.demand.demand)[:3, saved.periods :, 0, 0]
    for row, (values, mass) in zip(drawn, saved.laws):
        assert set(row) <= set(values) and row.mean() == pytest.approx(np.sum(values * mass), rel=0.1)


def test_covariates_keep_their_moments(files, preset, saved):
    table = load(files / "later.csv")
    always = files / "always.csv"
    table.assign(promotion=1.0).to_csv(always, index=False)
    mean, deviation = saved.covariates["promotion"]
    shown = np.asarray(preset.applied(saved, str(always)).test.demand.covariates)[:, saved.periods :]
    np.testing.assert_allclose(shown[..., -2:].max(), (1 - mean) / deviation, rtol=1e-5)
    assert mean == pytest.approx(np.mean(np.arange(saved.trained) % 14 == 0))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda table: table[table["date"] < SPLIT], "ends on 2020-04-19 and the run's own sales on 2020-04-19"),
        (lambda table: table.drop(columns="promotion"), "has no column 'promotion'"),
        (lambda table: table.assign(sku="x" + table["sku"]), "has none of the 6 series"),
        (lambda table: table.assign(date=table["date"] + pd.Timedelta(364, "D")), "rows on 42 of the 399 days after 2020-04-19"),
        (lambda table: table[table["date"].dt.day_of_week == 0], "rows on 5 of the 29 days"),
    ],
)
def test_what_cannot_go_on_is_named(files, preset, saved, tmp_path, change, message):
    path = tmp_path / "other.csv"
    change(load(files / "later.csv")).to_csv(path, index=False)
    with pytest.raises(UserError, match=message):
        preset.applied(saved, str(path))


def test_nothing_is_applied_to_a_past_that_has_changed(preset, saved, tmp_path):
    table = load(preset.data)
    table.loc[3, "sales"] += 1
    table.to_csv(tmp_path / "first.csv", index=False)
    with pytest.raises(UserError, match="its sales are not those that the run was made of"):
        Retail(data=str(tmp_path / "first.csv"), **OPTIONS).applied(saved)


@pytest.mark.parametrize("text, message", [("{}", "cannot be read"), ('{"schema": 9}', "another version"), ("[", "cannot be read")])
def test_a_damaged_preparation_is_named(tmp_path, text, message):
    path = tmp_path / "preparation.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"preparation.json: .*{message}"):
        Preparation.read(path)


def test_a_run_is_judged_on_later_sales(quick_compilation, files, tmp_path, capsys):
    tiny = dict(
        updates=1, envs=8, minibatches=2, epochs=1, rollout=10, encoder="none", hidden=(8,),
        evaluation={"rules": ["base_stock"], "tune_periods": 40_000, "per_instance": []}, runs=tmp_path, name="shop",
    )  # fmt: skip
    run = jaxinv.fit("retail", data=str(files / "first.csv"), **OPTIONS, **tiny)
    found = jaxinv.compare(run, "base_stock", data=str(files / "later.csv"))
    assert found.table["cost"].min() > 2 * run.table["cost"].max()  # nobody saw ten times the sales coming
    evaluate.main(["shop", "base_stock", f"data={files / 'later.csv'}", "--runs", str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.rows))
    later = jaxinv.load_run("shop", tmp_path, data=files / "later.csv")
    order = later.policy.order(stock=0, pipeline=0, series="s4", history=[4] * 7, known=np.zeros((7, 7)))
    assert order.shape == (1, 1) and order[0, 0] == round(order[0, 0])
    (run.run.path / "preparation.json").unlink()
    with pytest.raises(UserError, match="run 'shop' has nothing to apply to later sales"):
        jaxinv.compare(run, data=str(files / "later.csv"))
