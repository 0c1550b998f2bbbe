"""Fronts and hypervolumes by hand, the point at a service level, and the way there from the command
line.
"""

import contextlib
import io
import json

import jax
import numpy as np
import pytest

from jaxinv import evaluate, train
from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer
from jaxinv.cli import run_command
from jaxinv.envs.objectives import factors, prefer, shares
from jaxinv.envs.presets import LostSales
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.pareto import (
    acting_preference,
    at_preference,
    at_service,
    hypervolume,
    hypervolume_ratio,
    lattice,
    measured,
    nadir,
    nondominated,
)
from jaxinv.exact import solve
from jaxinv.policies.rules import make_rule
from jaxinv.report.figures import save_fronts
from jaxinv.studies import pareto as study

pytestmark = pytest.mark.usefixtures("quick_compilation")


# --- points
# -----------------------------------------------------------------------------------------


def test_what_is_dominated_goes():
    points = np.array([[1, 4], [2, 2], [4, 1], [3, 3], [2, 4], [2, 2]])
    np.testing.assert_array_equal(nondominated(points), [True, True, True, False, False, False])


def test_hypervolume_of_a_staircase_by_hand():
    points = np.array([[1, 4], [2, 2], [4, 1], [3, 3]])
    # below (5, 5): columns 1..2, 2..4 and 4..5 are 1, 3 and 4 high
    assert hypervolume(points, [5, 5]) == pytest.approx(1 * 1 + 2 * 3 + 1 * 4)
    assert hypervolume(points, [2, 5]) == pytest.approx(
        1.0
    )  # what is not below the reference counts for nothing
    assert hypervolume(points, [0.5, 0.5]) == 0.0


def test_hypervolume_of_boxes_by_hand():
    assert hypervolume([[0, 0, 0]], [1, 2, 3]) == pytest.approx(6)
    # two boxes of volume 4 and 3 below (2, 2, 2) and (3, ...): their union is the sum less what
    # they share
    points = np.array([[0, 1, 0], [1, 0, 1]])  # below (2, 2, 2): 2*1*2 + 1*2*1 - 1*1*1
    assert hypervolume(points, [2, 2, 2]) == pytest.approx(4 + 2 - 1)
    assert hypervolume([[1.0], [3.0]], [4.0]) == pytest.approx(3.0)


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_hypervolume_equals_a_monte_carlo_estimate(dimensions):
    random = np.random.default_rng(dimensions)
    points = random.uniform(size=(12, dimensions))
    reference = np.full(dimensions, 1.1)
    samples = reference * random.uniform(size=(200_000, dimensions))
    share = np.mean((points[None] <= samples[:, None]).all(-1).any(1))
    assert hypervolume(points, reference) == pytest.approx(share * reference.prod(), abs=0.006)
    assert hypervolume(points[::-1], reference) == pytest.approx(hypervolume(points, reference))
    more = np.concatenate([points, random.uniform(size=(1, dimensions))])
    assert hypervolume(more, reference) >= hypervolume(points, reference)


def test_ratio_of_a_front_to_itself_and_to_a_shifted_one():
    random = np.random.default_rng(0)
    costs = np.array([[1, 4], [2, 2], [4, 1]])[..., None] + random.normal(0, 0.1, (3, 2, 50))
    reference = nadir(costs.mean(-1))
    np.testing.assert_allclose(
        reference, costs.mean(-1).max(0) + 0.1 * np.ptp(costs.mean(-1), axis=0)
    )
    same = hypervolume_ratio(costs, costs, reference)
    assert same[:3] == (1.0, 1.0, 1.0)
    worse = hypervolume_ratio(costs + 0.2, costs, reference)
    assert worse.low <= worse.value <= worse.high < 1


def test_the_lattice_lies_inside_the_simplex():
    points = lattice(3, 3)
    assert points.shape == (10, 3) and points.min() > 0.1
    np.testing.assert_allclose(points.sum(1), 1)
    np.testing.assert_allclose(lattice(2, 2), [[0.5 / 3, 2.5 / 3], [0.5, 0.5], [2.5 / 3, 0.5 / 3]])


# --- policies at preferences
# ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned():
    """A store, and a policy trained on preferences for a moment."""
    problem = LostSales(lead_time=1, horizon=40).build()
    config = DiffSimConfig(
        updates=150,
        envs=32,
        rollout=20,
        encoder="none",
        hidden=(16,),
        learning_rate=1e-2,
        preferences=True,
    )
    agent = DiffSim.create(problem, config)
    trainer = Trainer(agent)
    state, _ = trainer.advance(trainer.init(jax.random.key(0)), 150)
    return problem, Contestant("one", agent.policy, state.params)


def test_one_policy_has_nearly_the_true_front(learned):
    problem, one = learned
    wanted = lattice(2, 4)
    ours = measured(
        problem,
        [at_preference(one, dict(zip(("stock", "service"), row))) for row in wanted],
        jax.random.key(1),
        32,
    )
    assert nondominated(ours.points).all()
    assert (np.diff(ours.fill_rates) < 0).all()  # the lattice goes from service to stock
    best = measured(problem, study.solve_apart(problem, wanted), jax.random.key(1), 32)
    ratio = hypervolume_ratio(ours.costs, best.costs, nadir(best.points))
    assert 0.97 < ratio.value < 1.01
    for row, point, other in zip(wanted, ours.points, best.points):
        assert row @ point <= 1.05 * (row @ other)


def test_the_point_at_a_service_level(learned):
    problem, one = learned
    point = at_service(problem, one, 0.93, jax.random.key(2), paths=16)
    assert 0.93 <= point.fill_rate < 0.945
    assert sum(point.preference.values()) == pytest.approx(1)
    again = measured(problem, [point.contestant], jax.random.key(2), 16)
    assert float(again.fill_rates[0]) == pytest.approx(point.fill_rate)
    found = acting_preference(point.contestant)
    assert found == pytest.approx(point.preference, rel=1e-5)
    assert acting_preference(one) == {"stock": 0.5, "service": 0.5}


@pytest.mark.parametrize("level", [0.0, 1.0, -0.2, 95.0, float("nan")])
def test_a_level_that_is_no_fill_rate(learned, level):
    with pytest.raises(UserError, match="must be a fill rate between 0 and 1"):
        at_service(*learned, level, jax.random.key(2))


def test_a_level_out_of_reach_is_told_with_what_is_in_reach(learned):
    with pytest.raises(
        UserError,
        match=r"out of reach of one; its preferences lead to fill rates from 0\.\d+ to 0\.99",
    ):
        at_service(*learned, 0.9999999, jax.random.key(2), paths=8)


def test_mistakes_about_preferences(learned):
    problem, one = learned
    with pytest.raises(
        UserError, match="a service level is reached by changing preference.service"
    ):
        at_service(problem, one, 0.9, jax.random.key(0), others={"service": 2})
    rule = Contestant("base_stock", make_rule("base_stock", problem.env.topology), {})
    with pytest.raises(
        UserError, match="base_stock knows no preferences; train it with preferences=true"
    ):
        at_preference(rule, {})
    assert acting_preference(rule) is None


def test_the_optimum_of_a_preference_is_that_of_weighed_costs():
    problem = LostSales(lead_time=1).build()
    topology = problem.env.topology
    weighed = prefer(
        problem.first, factors(topology, shares(topology, {"service": 9, "stock": 4}))
    ).replace(preference=None)
    ours = solve(problem.env, weighed).average_cost
    plain = LostSales(
        lead_time=1, shortage_cost=9.0
    ).build()  # 4 * 18/13 and 8/13: shortage is 9 times holding
    assert ours == pytest.approx(solve(plain.env, plain.first).average_cost * 8 / 13, rel=1e-5)


# --- the study and the commands
# ---------------------------------------------------------------------


def test_a_figure_for_two_and_three_objectives(tmp_path):
    for names in (("stock", "service"), ("stock", "service", "flow")):
        path = tmp_path / "figures" / f"{len(names)}.png"
        save_fronts(
            path, names, {"one": lattice(len(names), 3), "other": lattice(len(names), 2)}, "fronts"
        )
        assert path.stat().st_size > 5000


def test_an_unknown_part_of_the_study():
    with pytest.raises(UserError, match="did you mean 'lost_sales'"):
        list(study.run(quick=True, parts=["lost_sale"]))


@pytest.mark.slow
def test_the_study_on_a_small_store(tmp_path):
    config = DiffSimConfig(
        updates=150, envs=32, rollout=20, encoder="none", hidden=(16,), learning_rate=1e-2
    )
    case = study.Case(
        lambda: LostSales(lead_time=1, horizon=40).build(), config, divisions=2, optimal=True
    )
    rows = list(study.network_rows("store", case, tmp_path))
    assert [row["paper"] for row in rows] == [0.97, 0.97, 0.97, 0.95]
    assert all(
        0.9 < row["ours"] < 1.1 and row["holds"] == (row["interval"][0] >= 0.97) for row in rows[:3]
    )
    assert (tmp_path / "store.png").exists()


TINY = [
    "updates=40",
    "envs=16",
    "rollout=10",
    "hidden=8",
    "horizon=20",
    "paths=8",
    "rules=base_stock",
    "lead_time=1",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with preferences and one without."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr("jaxinv.evidence.LEAST_PERIODS", 100_000)
        for name, more in (("told", ["preferences=true"]), ("plain", [])):
            train.main(
                [
                    "--env",
                    "lost_sales",
                    "agent=diffsim",
                    *TINY,
                    *more,
                    "--runs",
                    str(folder),
                    "--name",
                    name,
                ]
            )
    return str(folder)


@pytest.fixture
def evaluated(runs, capsys, monkeypatch):
    monkeypatch.setattr("jaxinv.evidence.LEAST_PERIODS", 100_000)

    def rows(*arguments):
        evaluate.main([*arguments, "base_stock", "--runs", runs, "--json"])
        return json.loads(capsys.readouterr().out)

    return rows


@pytest.mark.slow
def test_a_run_is_evaluated_at_a_preference_and_at_a_service_level(evaluated):
    own, asked, rule, *_ = evaluated("told", "preference.service=9")
    assert own["policy"] == "told" and own["preference"] == {"stock": 0.5, "service": 0.5}
    assert asked["policy"] == "told at stock 0.1 service 0.9"
    assert asked["preference"] == pytest.approx({"stock": 0.1, "service": 0.9})
    assert asked["fill_rate"] > own["fill_rate"] and rule["preference"] is None
    level = asked["fill_rate"]
    own, asked, *_ = evaluated("told", "--service", f"{level:.3f}")
    assert asked["policy"].startswith("told at service") and asked["fill_rate"] == pytest.approx(
        level, abs=0.03
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["told", "preference.service=-1"],
            "preference.service=-1.0 must be a number of at least 0",
        ),
        (["told", "preference.service=0", "preference.stock=0"], "the preference is all zero"),
        (["told", "preference.shortage=2"], "unknown objective in preference 'shortage'"),
        (["told", "preference.service=high"], "preference.service=high: 'high' is not a number"),
        (["told", "--service", "95"], "service=95 must be a fill rate between 0 and 1"),
        (["told", "--service", "0.99999999"], "out of reach"),
        (
            ["plain", "--service", "0.9"],
            "plain knows no preferences; train it with preferences=true",
        ),
        (
            ["base_stock", "--env", "lost_sales", "--service", "0.9"],
            "is for a run that was trained with preferences=true",
        ),
    ],
)
def test_mistakes_on_the_command_line(runs, capsys, arguments, said):
    with pytest.raises(SystemExit) as end:
        run_command(evaluate.main, [*arguments, "--runs", runs])
    told = capsys.readouterr()
    assert end.value.code == 2 and told.out == "" and told.err.count("\n") == 1 and said in told.err
