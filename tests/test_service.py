"""Fill rates that are wanted become shortage costs at which they are served."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from jaxinv.envs.plan_network import PlanNetwork
from jaxinv.evaluation.compare import contestants_of
from jaxinv.evaluation.held_out import measure
from jaxinv.evaluation.service import served, to_service, told_service
from jaxinv.evaluation.tuning import rule_for, tune
from jaxinv.keys import root

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Two years of weekly sales of 24 SKUs; half of them are to be served to 90%, half to 98%."""
    folder = tmp_path_factory.mktemp("plan")
    rng = np.random.default_rng(0)
    mondays = pd.date_range("2022-01-03", periods=104, freq="7D")
    skus = [f"sku{number:02d}" for number in range(24)]
    rows = [(day.date(), sku, rng.negative_binomial(3, 0.2)) for day in mondays for sku in skus]
    pd.DataFrame(rows, columns=["date", "sku", "sales"]).to_csv(folder / "sales.csv", index=False)
    kinds = ["plain", "dear"] * 12
    items = pd.DataFrame({"sku": skus, "cost": 10.0, "price": 15.0, "category": kinds})
    items.to_csv(folder / "items.csv", index=False)
    (folder / "plan.yaml").write_text(
        "sales: sales.csv\nitems: items.csv\nservice: {plain: 0.9, dear: 0.98}\n"
    )
    return PlanNetwork(data=str(folder / "plan.yaml")), np.array(kinds)


def fill_rates(problem, kinds):
    tuned = tune(problem, rule_for(problem, "newsvendor_quantile"), root(9), 400_000)
    (contestant,) = contestants_of({"newsvendor_quantile": tuned})
    total = measure(problem, contestant, root(9))
    return {
        kind: 1 - total.short[kinds == kind].sum() / total.demand[kinds == kind].sum()
        for kind in ("plain", "dear")
    }


def test_what_is_wanted_is_served_in_weeks_that_were_not_learned_from(plan):
    preset, kinds = plan
    open_ = preset.build()
    assert np.unique(open_.service).tolist() == [0.9, 0.98]
    problem = served(open_)
    assert problem.priced and "wanted of 12 series" in problem.notes[-1]
    found = fill_rates(problem, kinds)
    assert found["plain"] == pytest.approx(0.9, abs=0.02) and found["dear"] == pytest.approx(
        0.98, abs=0.01
    )
    factor = np.asarray(problem.train.shortage / open_.train.shortage)[:, 0, 0]
    assert (
        len(set(factor.round(4))) == 2
        and factor[kinds == "dear"].min() > factor[kinds == "plain"].max()
    )
    assert np.allclose(np.asarray(problem.test.shortage), np.asarray(problem.train.shortage))

    again = served(problem.settled.build())  # a run keeps what was found, and does not seek again
    assert np.allclose(
        np.asarray(again.train.shortage), np.asarray(problem.train.shortage), rtol=1e-5
    )
    assert again.priced


def test_nothing_is_sought_where_nothing_is_wanted(plan, tmp_path):
    preset, _ = plan
    sales = str(preset.data).replace("plan.yaml", "sales.csv")
    problem = dataclasses.replace(preset, data=sales).build()
    assert problem.service is None and served(problem) is problem


def test_a_rule_is_tuned_for_each_class_and_serves_it(plan):
    preset, kinds = plan
    problem = served(preset.build())
    tuned, classes = to_service(problem, "base_stock")
    assert set(classes) == {0.9, 0.98} and tuned.params["level"].shape[-1] == 24
    (contestant,) = contestants_of({"base_stock": tuned})
    total = measure(problem, contestant, root(9))
    lines = told_service(problem, total.demand, total.short)
    for level, kind, line in ((0.9, "plain", lines[0]), (0.98, "dear", lines[1])):
        rate = 1 - total.short[kinds == kind].sum() / total.demand[kinds == kind].sum()
        assert (
            rate == pytest.approx(level, abs=0.02)
            and f"{rate:.1%} of demand was served in 31 weeks" in line
        )
        assert ("met within half a point" in line) == (abs(rate - level) <= 0.005)
        own = classes[level].params["level"]
        assert np.array_equal(
            tuned.params["level"][..., kinds == kind], np.repeat(own[..., None], 12, -1)
        )
