"""The policy that ships ready: its weights, where it acts, and what it is refused for."""

import gzip
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxinv import evaluate
from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer
from jaxinv.agents.validation import Validation
from jaxinv.envs.presets import LostSales, Serial
from jaxinv.envs.retail import Retail
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.exact import solve
from jaxinv.keys import root
from jaxinv.policies import ready
from jaxinv.policies.ready import ready_policy
from jaxinv.policies.relative import WINDOW
from jaxinv.studies import inventorybench

pytestmark = pytest.mark.usefixtures("quick_compilation")

OPEN_PART = Path(__file__).parents[2] / "shared/data/inventorybench/open_part.json.gz"


# Weights


def test_the_weights_that_ship_are_small_and_whole():
    about, params = ready.load()
    assert ready.WEIGHTS.stat().st_size < 2e6
    assert about["window"] == WINDOW and about["data"].startswith("none")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_weights_that_changed_are_refused(tmp_path):
    about, params = ready.load()
    ready.save(tmp_path / "same.npz", params, about)
    assert ready.load(tmp_path / "same.npz")[0] == about
    with np.load(ready.WEIGHTS) as file:
        arrays = dict(file)
    first = next(name for name in arrays if name.endswith("kernel"))
    arrays[first][0, 0] += 1.0
    np.savez(tmp_path / "changed.npz", **arrays)
    with pytest.raises(UserError, match="damaged: its checksum does not fit"):
        ready.load(tmp_path / "changed.npz")
    ready.save(tmp_path / "older.npz", params, {**about, "window": 12})
    with pytest.raises(UserError, match="trained to read 12 periods"):
        ready.load(tmp_path / "older.npz")
    (tmp_path / "none.npz").write_bytes(b"no weights")
    with pytest.raises(UserError, match="holds no weights of a ready policy"):
        ready.load(tmp_path / "none.npz")


# Where it acts


def test_it_is_near_the_optimum_of_an_instance_that_it_has_never_seen():
    problem = LostSales(lead_time=2, shortage_cost=9.0, history=WINDOW).build()
    best = solve(problem.env, problem.first)
    ours = costs(problem, Contestant("ready", *ready_policy(problem.env)), root(0), 128)
    least = costs(problem, Contestant("optimal", best.policy, best.params), root(0), 128)
    assert 0 < ours.mean() / least.mean() - 1 < 0.15


@pytest.fixture
def sales(tmp_path):
    """Weekly sales of a few articles that come and go."""
    draw = np.random.default_rng(0)
    weeks = np.arange(np.datetime64("2021-01-04"), np.datetime64("2024-01-01"), 7)
    rows = ["date,sku,sales"]
    for number, mean in enumerate((3, 12, 40, 100)):
        rows += [f"{week},S{number},{draw.poisson(mean)}" for week in weeks]
    (tmp_path / "sales.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "sales.csv"


def test_every_evaluation_on_sales_shows_its_row(sales, capsys):
    options = ["evaluation.tune_periods=60000", "horizon=20", "validation=0"]
    evaluate.main(["base_stock", "--env", "retail", f"data={sales}", *options, "--json"])
    rows = {row["policy"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ready"]["kind"] == "ready" and rows["ready"]["cost"] > 0
    without = [*options, "evaluation.ready=false"]
    evaluate.main(["base_stock", "--env", "retail", f"data={sales}", *without, "--json"])
    assert "ready" not in {row["policy"] for row in json.loads(capsys.readouterr().out)}


def test_where_it_knows_nothing_it_says_so():
    with pytest.raises(UserError, match="lead times of up to 30 periods.*trained on 0 to"):
        evaluate.main(["ready", "--env", "lost_sales", "lead_time=30"])
    with pytest.raises(UserError, match="critical ratios of 0.99995"):
        evaluate.main(["ready", "--env", "lost_sales", "shortage_cost=20000"])
    with pytest.raises(UserError, match="stores with one supplier each, and some of its nodes"):
        ready_policy(Serial().build().env)


def test_a_training_may_begin_with_it_and_ends_with_what_costs_less(sales):
    problem = Retail(data=str(sales), horizon=20, history=8).build()
    about, params = ready.load()
    config = DiffSimConfig(
        updates=2, envs=4, rollout=8, encoder="relative", init="ready", alike=True,
        hidden=tuple(about["hidden"]), activation=about["activation"], learning_rate=0.05,
    )  # fmt: skip
    agent = DiffSim.create(problem, config)
    ready.load.cache_clear()  # so that they are first asked for within a compiled program
    state = jax.jit(agent.init)(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, state.params, params)
    validation = Validation.of(problem, root(1), settles=agent.settles)
    trained = Trainer(agent, validation=validation).train(jax.random.key(0), 2)
    # steps of such a length spoil it, so the training ends with what it began with
    jax.tree.map(np.testing.assert_array_equal, trained.params, params)


def test_another_network_cannot_begin_with_it():
    config = DiffSimConfig(
        updates=1, envs=2, rollout=4, encoder="relative", init="ready", hidden=(3,)
    )
    agent = DiffSim.create(LostSales().build(), config)
    with pytest.raises(UserError, match="init=ready needs the network that ships: hidden="):
        agent.init(jax.random.key(0))
    with pytest.raises(UserError, match="init=ready goes on with a policy of encoder=relative"):
        DiffSimConfig(init="ready")


# InventoryBench


def instance(path="synthetic/lead_time_4/p/v/r", periods=12, lead=4, **changed):
    draw = np.random.default_rng(1)
    demand = [float(value) for value in draw.poisson(20, periods + 5)]
    return (
        dict(
            path=path, train=demand[:5], demand=demand[5:], lead_time=[lead] * periods, p=4.0, h=1.0
        )
        | changed
    )


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        with gzip.open(tmp_path / "part.json.gz", "wt") as opened:
            json.dump(rows, opened)
        return tmp_path / "part.json.gz"

    return write


@pytest.mark.parametrize(
    ("path", "lead"),
    [
        ("synthetic/lead_time_0/p", [0] * 12),
        ("synthetic/lead_time_4/p", [4] * 12),
        ("real/lead_time_stochastic/p", [1, 3, None, 2, 1, None, 3, 2, 1, 1, None, 2]),
    ],
)
def test_scores_are_those_of_the_contract_played_by_hand(file, path, lead):
    (one,) = inventorybench.read(file(instance(path, lead_time=lead)))
    env = inventorybench.world_of([one])
    policy, numbers = ready_policy(env)
    (score,), orders = inventorybench.score(policy, numbers, env, [one])
    stock, due, earned = 0.0, np.zeros(20), 0.0
    for period, (order, demand) in enumerate(zip(orders[:, 0], one.demand[5:])):
        assert order == round(order) >= 0
        if lead[period] is not None:
            due[period + lead[period]] += order
        stock += due[period]
        sold = min(stock, demand)
        stock -= sold
        earned += 4.0 * sold - stock
    assert score == pytest.approx(max(earned / (4.0 * one.demand[5:].sum()), 0.0), abs=1e-5)
    assert score > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(lead_time=[4] * 3), "12 periods of demand and 3 of lead times"),
        (dict(train=[1.0]), "1 known periods, not 5"),
        (dict(path="synthetic/other/p"), "its path names none of lead_time_0"),
        (dict(p="dear"), "holds what is no number"),
    ],
)
def test_instances_that_are_none_are_named(file, changed, message):
    with pytest.raises(UserError, match=message):
        inventorybench.read(file(instance(), instance(**changed)))


def test_files_that_are_none_are_named(file, tmp_path):
    short = instance()
    del short["p"]
    with pytest.raises(UserError, match="instance 0 lacks p"):
        inventorybench.read(file(short))
    with pytest.raises(UserError, match="does not exist"):
        inventorybench.read(tmp_path / "nothing.json")
    with pytest.raises(UserError, match="instance 0 is 3, and not a mapping of path"):
        inventorybench.read(file(3))
    (tmp_path / "text.json").write_text("no instances")
    with pytest.raises(UserError, match="is no JSON of instances"):
        inventorybench.read(tmp_path / "text.json")


@pytest.mark.skipif(not OPEN_PART.exists(), reason="the open part of InventoryBench is not there")
def test_its_score_on_the_open_part_is_above_every_published_entry():
    scores = inventorybench.of_all(inventorybench.read(OPEN_PART))
    assert len(scores) == 540
    assert scores.mean() > 0.63  # the best entry in print has 0.564 on this part
