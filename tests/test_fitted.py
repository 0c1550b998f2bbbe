"""What is fitted to sales once is kept with a run, and applied to later sales as it is."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
import pytest

import jaxinv
from jaxinv import evaluate
from jaxinv.data import load
from jaxinv.data.fitted import Preparation
from jaxinv.envs.retail import Retail
from jaxinv.envs.retail_network import RetailNetwork
from jaxinv.envs.sales_file import SalesFile
from jaxinv.errors import UserError

OPTIONS = dict(frequency="day", horizon=20, history=7, validation=0.0)
TWO_STORES = dict(
    links=("11",), lead_times=((1, 2),), warehouse_lead_time=2,
    warehouse_holding_costs=(0.3,), purchase_costs=(0.5,),
)  # fmt: skip
PRESETS = {"retail": Retail, "retail_network": RetailNetwork}
OWN = {"retail": {}, "retail_network": TWO_STORES}
FIRST, SPLIT, LAST = (
    pd.Timestamp("2020-01-06"),
    pd.Timestamp("2020-04-20"),
    pd.Timestamp("2020-05-24"),
)
BEFORE, TRAINED = 105, 74
"""Days of the first file, and those of them that train: 0.7, rounded."""
SKUS = tuple(f"s{sku}" for sku in range(6))


class Case(NamedTuple):
    """A preset on its first file, what it fitted as it is read again, and the later file."""

    name: str
    folder: Path
    preset: SalesFile
    saved: Preparation
    stores: tuple[str, ...]

    @property
    def later(self) -> pd.DataFrame:
        return load(self.folder / "later.csv")

    def applied(self, later: pd.DataFrame):
        """The problem judged on a later table."""
        path = self.folder / "other.csv"
        later.to_csv(path, index=False)
        return self.preset.applied(self.saved, str(path))

    def cells(self, file: str, column: str) -> np.ndarray:
        """A column of a file by kept SKU, store and day `[S, D, T]`, NaN where it has no row."""
        table = pd.read_csv(self.folder / file, parse_dates=["date"])
        table["location"] = table.get("location", "")
        days = table.pivot_table(index=["sku", "location"], columns="date", values=column)
        rows = pd.MultiIndex.from_product([SKUS, self.stores or [""]])
        return days.reindex(rows).to_numpy().reshape(len(SKUS), -1, days.shape[1])


def sales_of(draw, stores) -> pd.DataFrame:
    """Daily sales of 7 SKUs, of which 3 are often out of stock."""
    rows = []
    for store in range(stores):
        for sku in range(7):
            stock = draw.integers(0, 12, 140)
            demand = draw.poisson(4 + sku + 2 * store, 140)
            for number, (wanted, left) in enumerate(zip(demand, stock)):
                sold, left = (min(wanted, left), left) if sku < 3 else (wanted, 60)
                day, lead_time = FIRST + pd.Timedelta(number, "D"), 2 + (number // 7 + sku) % 2
                more = (sold, left, int(number % 14 == 0), lead_time, 3.0 + sku + store)
                rows.append((day, f"s{sku}", "abc"[store], *more))
    columns = ["date", "sku", "location", "sales", "stock", "promotion", "lead_time", "price"]
    return pd.DataFrame(rows, columns=columns)


def case_of(name: str, folder: Path) -> Case:
    """The first file has SKUs s0 to s5; s6 is new in the later one, which sells ten times as many.

    With stores, store b lacks s4 and sells s5 from day 20 on; in the later file it has s4 too, and
    a store c is new.
    """
    if name == "retail":
        table, stores = sales_of(np.random.default_rng(0), 1).drop(columns="location"), ()
    else:
        table, stores = sales_of(np.random.default_rng(0), 3), ("a", "b")
    first = table[(table["date"] < SPLIT) & (table["sku"] != "s6")]
    if stores:
        late = (first["sku"] == "s5") & (first["date"] < FIRST + pd.Timedelta(20, "D"))
        in_b = (first["location"] == "b") & (first["sku"] != "s4") & ~late
        first = first[(first["location"] == "a") | in_b]
    first.to_csv(folder / "first.csv", index=False)
    later = table[table["date"] >= SPLIT - pd.Timedelta(7, "D")]
    later.assign(sales=10 * later["sales"]).to_csv(folder / "later.csv", index=False)
    preset = PRESETS[name](data=str(folder / "first.csv"), **OPTIONS, **OWN[name])
    path = folder / "preparation.json"
    path.write_text(preset.build().preparation.text)
    return Case(name, folder, preset, Preparation.read(path), stores)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return {name: case_of(name, tmp_path_factory.mktemp(name)) for name in PRESETS}


@pytest.fixture(params=PRESETS)
def case(request, cases):
    return cases[request.param]


@pytest.fixture
def network(cases):
    return cases["retail_network"]


def same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for ours, theirs in zip(jax.tree.leaves(left), jax.tree.leaves(right)):
        np.testing.assert_array_equal(ours, theirs)


def demand_of(problem) -> np.ndarray:
    """What is replayed in the test `[S, D, T]`."""
    return np.moveaxis(np.asarray(problem.test.demand.demand)[..., 0], 1, 2)


def column_of(problem, name):
    """The numbers of what policies are told under a name, one for each place that is told of it."""
    told = problem.env.world.demand.told
    return [number for number, signal in enumerate(told) if signal.name == name]


def test_what_is_read_again_is_what_was_fitted(case):
    problem, again = case.preset.build(), case.preset.applied(case.saved)
    same(again.train, problem.train)
    same(again.test, problem.test)
    assert again.env == problem.env
    assert again.labels == problem.labels and again.notes == problem.notes
    assert case.saved.text == problem.preparation.text
    assert json.loads(case.saved.text)["schema"] == 1


def test_what_the_seed_draws_and_holds_out_is_the_same_again(case, tmp_path):
    """Of 18 SKUs 15 are kept, and 12 of these are held out of learning; prices are drawn."""
    first = load(case.preset.data)
    table = pd.concat([first.assign(sku=letter + first["sku"]) for letter in "xyz"])
    table.to_csv(tmp_path / "first.csv", index=False)
    options = dict(price=(2.0, 5.0), max_series=15, validation=0.8, instance_seed=3)
    preset = dataclasses.replace(case.preset, data=str(tmp_path / "first.csv"), **options)
    problem = preset.build()
    (tmp_path / "preparation.json").write_text(problem.preparation.text)
    again = preset.applied(Preparation.read(tmp_path / "preparation.json"))
    same((again.train, again.test), (problem.train, problem.test))
    assert again.held_out == problem.held_out and len(problem.held_out) == 12
    assert again.dropped == problem.dropped and len(problem.dropped) == 3


def test_what_was_fitted_is_what_training_says(case):
    """Each series by itself: its first day, and its mean sales and price in training since."""
    saved, sales = case.saved, case.cells("first.csv", "sales")
    price = case.cells("first.csv", "price")
    for row, names in enumerate(saved.series):
        sku, store = int(names["sku"][1]), "ab".index(names.get("location", "a"))
        begin = 20 if (sku, store) == (5, 1) else 0
        assert saved.begins[row] == begin
        assert saved.price[row] == pytest.approx(np.nanmean(price[sku, store, :TRAINED]))
        mean = sales[sku, store, begin:TRAINED].mean()
        if sku < 3:  # out of stock at times: more was wanted
            assert saved.scale[row] > mean and saved.laws[row] is not None
        else:
            assert saved.scale[row] == pytest.approx(mean) and saved.laws[row] is None
    assert len(saved.series) == (11 if case.stores else 6) and saved.places == case.stores
    assert saved.by_place == (("price",) if case.stores else ())
    assert (saved.trained, saved.periods, saved.until) == (TRAINED, BEFORE, "2020-04-19")


def test_later_sales_move_nothing_that_was_fitted(case):
    """Ten times the sales: what was fitted stays, and so does all of training.

    An SKU, a store, and an SKU at a store that are new are passed over.
    """
    problem = case.preset.build()
    later = case.preset.applied(case.saved, str(case.folder / "later.csv"))
    same(later.train, problem.train)
    assert later.env == problem.env and later.labels == problem.labels == SKUS
    assert later.preparation.text == problem.preparation.text
    assert later.test_periods - later.warm_up == (LAST - SPLIT).days + 1
    for name in ("scale", "price", "holding"):
        ours, theirs = getattr(later.test, name), getattr(problem.test, name)
        assert (ours is None) == (theirs is None)
        np.testing.assert_array_equal(ours, theirs)
    replayed, known = demand_of(later), ~np.isnan(case.cells("first.csv", "sales")[..., -1])
    np.testing.assert_array_equal(replayed[..., :BEFORE], demand_of(problem)[..., :BEFORE])
    sold = case.cells("later.csv", "sales")[..., -(LAST - SPLIT).days - 1 :] * known[..., None]
    np.testing.assert_array_equal(replayed[3:, :, BEFORE:], sold[3:])  # never out of stock
    assert (replayed[:3, :, BEFORE:] >= sold[:3]).all() and (~known).sum() == bool(case.stores)
    # the warm-up lies in the past, where the stock of its first day is known
    stock = case.cells("first.csv", "stock")[..., BEFORE - later.warm_up]
    places = known.shape[1]
    begun = np.asarray(later.test.initial_low)[:, -places:, 0]
    np.testing.assert_array_equal(begun[known], stock[known])


def test_censored_demand_of_later_days_comes_from_the_law_of_the_first(case):
    """With nothing sold, and stock out every day, each day is a draw from the law as it was."""
    drawn = demand_of(case.applied(case.later.assign(sales=0, stock=0)))[..., BEFORE:]
    for names, law in zip(case.saved.series, case.saved.laws):
        row = drawn[int(names["sku"][1]), "ab".index(names.get("location", "a"))]
        if law is None:
            assert not row.any()
        else:
            values, mass = law
            assert set(row) <= set(values)
            assert row.mean() == pytest.approx(np.sum(values * mass), rel=0.1)


def test_covariates_keep_their_moments(case):
    mean, deviation = case.saved.covariates["promotion"]
    always = case.applied(case.later.assign(promotion=1.0))
    (promotion,) = column_of(always, "promotion")
    shown = np.asarray(always.test.demand.covariates)[:, BEFORE:, promotion]
    np.testing.assert_allclose(shown, (1 - mean) / deviation, rtol=1e-5)
    assert mean == pytest.approx(np.mean(np.arange(TRAINED) % 14 == 0))


def test_gaps_of_the_past_stay_filled_as_they_were(case, tmp_path):
    """All series share their promotions, and gaps take those of others; later each has its own."""
    gaps = load(case.preset.data)
    gaps.loc[gaps["sku"] == "s3", "promotion"] = np.nan
    gaps.to_csv(tmp_path / "first.csv", index=False)
    later = case.later.assign(promotion=np.random.default_rng(0).integers(0, 2, len(case.later)))
    later.to_csv(tmp_path / "later.csv", index=False)
    preset = dataclasses.replace(case.preset, data=str(tmp_path / "first.csv"))
    problem = preset.build()
    same(preset.applied(problem.preparation, str(tmp_path / "later.csv")).train, problem.train)
    (promotion,) = column_of(problem, "promotion")
    shown = np.asarray(problem.train.demand.covariates)[:, :, promotion]
    np.testing.assert_array_equal(shown[3], shown[4])


def test_an_sku_that_ends_sells_nothing_more(case):
    """One that has no row later stays what it was until then; of the others nothing changes."""
    later = case.later
    replayed = demand_of(case.applied(later[later["sku"] != "s3"]))
    usual = demand_of(case.applied(later)).copy()
    usual[3, :, BEFORE:] = 0
    np.testing.assert_array_equal(replayed, usual)


def test_series_that_are_new_or_have_no_row_are_told(case):
    """One that was renamed would look like one that is asked for no more."""
    later = case.later
    notes = case.applied(later.assign(sku=later["sku"].replace("s3", "s9"))).notes
    stores = len(case.stores) or 1
    place = " / a" if case.stores else ""
    assert any(
        f"{stores} series that the run knows have no row there" in note and f"(s3{place}" in note
        for note in notes
    )
    new = (
        2 if not case.stores else 3 * 2 + 6
    )  # s6 and s9 in three stores, and all others that are new there
    assert any(f": {new} series are new since training" in note for note in notes), notes
    assert not any("no row there" in note for note in case.applied(later).notes)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda table: table[table["date"] < SPLIT],
            "ends on 2020-04-19 and the run's own sales on 2020-04-19",
        ),
        (lambda table: table.drop(columns="promotion"), "has no column 'promotion'"),
        (lambda table: table.assign(sku="x" + table["sku"]), r"has none of the \d+ series"),
        (
            lambda table: table.assign(date=table["date"] + pd.Timedelta(364, "D")),
            "rows on 42 of the 399 days after 2020-04-19",
        ),
        (lambda table: table[table["date"].dt.day_of_week == 0], "rows on 5 of the 29 days"),
    ],
)
def test_what_cannot_go_on_is_named(case, change, message):
    with pytest.raises(UserError, match=message):
        case.applied(change(case.later))


def test_nothing_is_applied_to_a_past_that_has_changed(case, tmp_path):
    table = load(case.preset.data)
    table.loc[3, "sales"] += 1
    table.to_csv(tmp_path / "first.csv", index=False)
    changed = dataclasses.replace(case.preset, data=str(tmp_path / "first.csv"))
    with pytest.raises(UserError, match="its sales are not those that the run was made of"):
        changed.applied(case.saved)


def test_a_store_without_later_rows_sells_nothing_more(network):
    later = network.later
    replayed = demand_of(network.applied(later[later["location"] == "a"]))
    usual = demand_of(network.applied(later))
    np.testing.assert_array_equal(replayed[..., :BEFORE], usual[..., :BEFORE])
    assert not replayed[:, 1, BEFORE:].any()
    # where stock was out, draws are others
    np.testing.assert_array_equal(replayed[3:, 0], usual[3:, 0])


def test_where_a_store_lacks_an_sku_it_would_cost_what_it_costs_elsewhere(network):
    price = np.asarray(network.preset.applied(network.saved).train.price)[:, 1:, 0]
    sku = np.arange(6)
    np.testing.assert_allclose(price[:, 0], 3 + sku)
    np.testing.assert_allclose(price[:, 1], np.where(sku == 4, 3 + sku, 4 + sku))


def test_what_stores_had_in_common_is_told_as_their_mean_once_they_differ(network):
    """Policies have one column: they are told of half a promotion where one of two stores has
    it.
    """
    later = network.later
    problem = network.applied(later.assign(promotion=(later["location"] == "b").astype(float)))
    (promotion,) = column_of(problem, "promotion")
    shown = np.asarray(problem.test.demand.covariates)[:, BEFORE:, promotion]
    mean, deviation = network.saved.covariates["promotion"]
    half, none = (0.5 - mean) / deviation, -mean / deviation
    for sku, row in enumerate(shown):  # store b has no s4
        np.testing.assert_allclose(row, none if sku == 4 else half, rtol=1e-5)
    assert "promotion was the same in all places" in problem.notes[-1]
    assert not any("same in all places" in note for note in network.applied(later).notes)
    assert len(column_of(problem, "price")) == 2


def test_a_run_from_before_networks_had_a_preparation_is_read(cases, tmp_path):
    saved = cases["retail"].saved
    kept = json.loads(saved.text)
    assert kept.pop("by_place") == kept.pop("places") == []
    path = tmp_path / "preparation.json"
    path.write_text(json.dumps(kept))
    assert Preparation.read(path).text == saved.text


@pytest.mark.parametrize(
    "text, message",
    [("{}", "cannot be read"), ('{"schema": 9}', "another version"), ("[", "cannot be read")],
)
def test_a_damaged_preparation_is_named(tmp_path, text, message):
    path = tmp_path / "preparation.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"preparation.json: .*{message}"):
        Preparation.read(path)


def test_a_run_is_judged_on_later_sales(quick_compilation, case, tmp_path, capsys):
    tiny = dict(
        updates=1, envs=8, minibatches=2, epochs=1, rollout=10, encoder="none", hidden=(8,),
        evaluation={"rules": ["base_stock"], "tune_periods": 40_000, "per_instance": []},
        runs=tmp_path, name="shop",
    )  # fmt: skip
    run = jaxinv.fit(case.name, data=case.preset.data, **OPTIONS, **OWN[case.name], **tiny)
    data = case.folder / "later.csv"
    found = jaxinv.compare(run, "base_stock", data=str(data))
    # nobody saw ten times the sales coming
    assert found.table["fill_rate"].max() < run.table["fill_rate"].min()
    evaluate.main(["shop", "base_stock", f"data={data}", "--runs", str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.rows))
    later = jaxinv.load_run("shop", tmp_path, data=data)
    topology, demand = later.experiment.problem.env.topology, later.experiment.problem.test.demand
    order = later.policy.order(
        stock=np.zeros(topology.nodes), pipeline=np.zeros((topology.edges, 1)), series="s4",
        history=np.full((7, demand.demand.shape[2]), 4),
        known=np.zeros((7, demand.covariates.shape[-1])),
    )  # fmt: skip
    assert order.shape == (topology.edges, 1) and np.isfinite(order).all()
    if case.preset.integer_orders:
        assert (order == np.round(order)).all()
    (run.run.path / "preparation.json").unlink()
    with pytest.raises(UserError, match="run 'shop' has nothing to apply to later sales"):
        jaxinv.compare(run, data=str(data))
