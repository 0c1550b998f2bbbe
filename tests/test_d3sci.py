"""The tables of seed 000: cells that a study resumes from, and what is taken of them."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.probes import fit_linear, fit_logistic
from jaxinv.keys import root
from jaxinv.policies.rules import rule_for
from jaxinv.studies import d3sci
from jaxinv.studies.ablation import PUBLISHED as ABLATIONS
from jaxinv.studies.ablation import VARIANTS
from jaxinv.studies.cells import Cells
from jaxinv.studies.d3sci_measures import MEASURES
from jaxinv.studies.d3sci_methods import Ordering, ordering
from jaxinv.studies.d3sci_play import Stage, truth, watch
from jaxinv.studies.d3sci_worlds import QUICK, UNIT_COST, data_set
from jaxinv.studies.rows import RESERVED_SEED

pytestmark = pytest.mark.usefixtures("quick_compilation")


# Cells


def test_a_cell_is_computed_once(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {"x": np.arange(3.0), "note": np.array("text")}

    first = Cells(tmp_path)
    assert first.cell("A b", {"size": 1}, make)["x"].tolist() == [0, 1, 2]
    again = Cells(tmp_path)
    assert str(again.cell("A b", {"size": 1}, make)["note"]) == "text"
    assert (first.made, again.made, again.taken, len(calls)) == (1, 0, 1, 1)
    again.cell("A b", {"size": 2}, make)
    assert len(calls) == 2  # another setting is another cell
    for file in (tmp_path / "cells").iterdir():
        file.write_bytes(file.read_bytes()[:-40])
    Cells(tmp_path).cell("A b", {"size": 1}, make)
    assert len(calls) == 3  # what is damaged is made again


def test_an_interrupted_cell_leaves_nothing(tmp_path):
    def broken():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Cells(tmp_path).cell("A", {}, broken)
    assert not list(tmp_path.rglob("*.npz"))


# Probes


def test_probes_find_what_is_there():
    draw = np.random.default_rng(0)
    features = draw.normal(size=(40, 3, 5))
    target = 2.0 + 3.0 * features[:, 1] - features[:, 2]
    found = fit_linear(features, target)(features)
    assert np.abs(found - target).max() < 0.15
    label = features[:, 0] > 0.5
    score = fit_logistic(features, label)(features)
    assert ((score > 0) == label).mean() > 0.95
    still = np.ones((4, 2, 3))  # nothing tells anything
    assert np.isfinite(fit_logistic(still, np.zeros((4, 3), bool))(still)).all()


# Tables


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A file of two series over 80 days, and its data set."""
    draw = np.random.default_rng(1)
    dates = pd.date_range("2024-01-01", periods=420).strftime("%Y-%m-%d")
    table = pd.DataFrame(
        [(date, sku, draw.poisson(mean)) for date in dates for sku, mean in (("a", 4), ("b", 9))],
        columns=["date", "sku", "sales"],
    )
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    table.to_csv(path, index=False)
    return path, data_set(str(path), QUICK)


@pytest.fixture(scope="module")
def watched(shop):
    """A rule on that shop, and what is the same for all."""
    problem = shop[1].problem
    rule = Contestant("rule", rule_for(problem, "base_stock"), {"level": jnp.full((1, 1), 1.5)})
    reference = Stage(problem).reference()
    return rule, watch(problem, [rule], reference), truth(problem, reference)


def test_what_is_watched_is_what_an_evaluation_measures(shop, watched):
    problem, (rule, found, same) = shop[1].problem, watched
    totals = measure(problem, rule, root(RESERVED_SEED))
    np.testing.assert_allclose(-found["reward"][0], totals.by_period.cost, rtol=1e-5)
    np.testing.assert_allclose(found["on_hand"][0], totals.by_period.on_hand, atol=1e-3)
    np.testing.assert_allclose(same["demand"], totals.by_period.demand)
    cost = same["holding"] * found["on_hand"] + same["shortage"] * found["short"]
    np.testing.assert_allclose(cost, -found["reward"], rtol=1e-4, atol=1e-5)


def test_equation_13_ranks_as_the_reward_does_and_no_policy_beats_the_clairvoyant(shop, watched):
    _, found, same = watched
    ground = d3sci.Ground(shop[1].problem, same)
    paid = UNIT_COST * same["holding"] * (found["ordered"] + found["short"])
    np.testing.assert_allclose(ground.costs(found) + found["reward"], paid, rtol=1e-4, atol=1e-4)
    least = d3sci.clairvoyant(ground)
    assert least == pytest.approx(float((UNIT_COST * same["holding"] * same["demand"]).mean()))
    assert least < ground.costs(found).mean()


def test_a_study_goes_on_where_it_was_interrupted(shop, watched, tmp_path, monkeypatch):
    path, _ = shop
    asked = []

    def instead(problem, name, size):
        asked.append(name)
        if name == "ready" and len(asked) == 2:
            raise KeyboardInterrupt
        level = {"rule": 1.5, "ready": 1.2, "d3sci": 1.1}[name]
        policy = watched[0]._replace(name=name, params={"level": jnp.full((1, 1), level)})
        return Ordering([policy], 0.0, "")

    monkeypatch.setattr(d3sci.methods, "ordering", instead)
    parts = ["table2", "rule", "ready", "d3sci", str(path)]
    with pytest.raises(KeyboardInterrupt):
        list(d3sci.run(True, parts, tmp_path))
    rows = list(d3sci.run(True, parts, tmp_path))
    assert asked == ["rule", "ready", "ready", "d3sci"]
    assert len(rows) == 3 * len(MEASURES) + 1 + 3 + 2 * len(MEASURES)
    assert rows[0]["claim"] == "shop, rule: total cost" and rows[0]["interval"]
    scores = [one["ours"] for one in rows if one["claim"].endswith("normalised score")]
    assert scores[0] == 0.0 and max(scores) < 1.0
    claim = next(one for one in rows if one["claim"] == "shop: d3sci against rule, total cost, %")
    assert claim["verdict"] in ("better", "worse", "no difference") and claim["holds"] is None
    d3sci.save(rows, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "measures.csv")
    assert table["method"].tolist() == ["rule", "ready", "d3sci"]
    wanted = {"mae", "z_mae", "wape", "mase", "own_f1", "reference_f1", "own_pr_auc",
              "reference_prevalence", "turnover_a_year", "turnover_days_of_cover"}  # fmt: skip
    assert wanted <= set(table.columns) and (tmp_path / "out" / "costs.png").exists()


def test_what_is_in_print_decides_whether_a_claim_holds(shop, watched):
    ground = d3sci.Ground(shop[1].problem, watched[2])
    found = watched[1]
    dearer = {**found, "short": found["short"] + 1e4, "reward": found["reward"] - 1e4}
    printed = {"d3sci": (1, 1, 1, 1, 2), "fdim": (2, 1, 1, 1, 1)}
    both = {"d3sci": found, "fdim": dearer}
    rows = list(d3sci._claims(ground, "shop", "d3sci", ["fdim"], both, printed))
    by_measure = dict(zip(MEASURES, rows, strict=True))
    assert by_measure["total cost"]["paper"] == -50 and by_measure["total cost"]["holds"]
    assert (
        by_measure["cumulative reward"]["holds"] and by_measure["total cost"]["verdict"] == "better"
    )
    assert by_measure["MAE"]["ours"] == 0 and by_measure["MAE"]["holds"] is None
    turned = {"d3sci": dearer, "fdim": found}
    worse = next(d3sci._claims(ground, "shop", "d3sci", ["fdim"], turned, printed))
    assert worse["holds"] is False and worse["ours"] > 0


def test_the_paper_has_a_number_for_every_measure():
    for title, methods in d3sci.PUBLISHED.items():
        assert all(len(numbers) == len(MEASURES) for numbers in methods.values())
        assert set(ABLATIONS[title]) == set(VARIANTS)
        assert ABLATIONS[title]["D3S-CI"] == methods["d3sci"]


def test_what_cannot_be_run_is_refused(shop, tmp_path):
    path = str(shop[0])
    for parts, says in (
        (["table2"], "name the sales"),
        (["table2", "fdm", path], "did you mean 'fdim'"),
        (["table4", "fdim", path], "leave out 'fdim'"),
        (["table4", path], "table4 is of Retail Store Inventory"),
    ):
        with pytest.raises(UserError, match=says):
            list(d3sci.run(True, parts, tmp_path))


def test_a_quick_study_is_smaller_in_every_way():
    assert replace(QUICK, seeds=10) != QUICK and QUICK.seeds < d3sci.FULL.seeds
    assert d3sci.FULL.seeds >= 10 and QUICK.tune_periods < d3sci.FULL.tune_periods


@pytest.mark.slow
def test_the_quick_study_on_what_is_public_of_retailrocket(tmp_path):
    data = Path(__file__).parents[2] / "shared/data/retailrocket_partial"
    if not data.exists():
        pytest.skip("needs ../shared/data/retailrocket_partial beside the repository")
    parts = ["table2", "d3sci", "fdim", "rule", "ready", str(data)]
    rows = list(d3sci.run(True, parts, tmp_path))
    printed = [one for one in rows if one["paper"] is not None]
    assert {one["holds"] for one in printed} <= {None, True, False} and len(printed) == 15
    for table in ("table3", "table5"):
        rows = list(d3sci.run(True, [table, str(data)], tmp_path))
        assert all(one["interval"] for one in rows if "against" in one["claim"])
    assert len(list((tmp_path / "cells").iterdir())) == 5  # of tables 3 and 5 one together


@pytest.mark.slow
def test_the_rate_of_a_learner_is_the_best_of_its_trials(shop):
    problem, name = shop[1].problem, "fdim"
    tried = ordering(problem, name, replace(QUICK, trials=2, shorter=100, seeds=1))
    assert tried.note.endswith(("learning rate 0.003", "learning rate 0.0009"))
