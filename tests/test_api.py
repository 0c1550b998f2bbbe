"""`jaxinv.fit`, `compare`, `tuned` and `load_run` do what the commands do, and policies order for
one's own numbers.
"""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv import evaluate, tune
from jaxinv.envs import flat
from jaxinv.envs.presets import Backlog, DualSourcing, LostSales
from jaxinv.errors import UserError
from jaxinv.policies.decider import Decider
from jaxinv.policies.rules import rule_for

pytestmark = pytest.mark.usefixtures("quick_compilation")

TINY = dict(
    lead_time=2, updates=2, envs=8, rollout=8, minibatches=2, epochs=1, hidden=(8,), horizon=16,
    evaluation={"paths": 8, "rules": ["base_stock"], "tune_periods": 60_000},
)  # fmt: skip


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return jaxinv.fit("lost_sales", runs=tmp_path_factory.mktemp("runs"), name="mine", **TINY)


def base_stock(preset, level):
    """Base-stock with a level in units, in the network of a preset."""
    problem = preset.build()
    rule = rule_for(problem, "base_stock")
    unit = rule.natural(
        {"level": jnp.ones((problem.env.topology.edges, 1))}, problem.env.facts(problem.first)
    )
    return Decider("mine", problem, rule, {"level": level / unit["level"]})


# The commands' own results


def test_fit_leaves_a_run_that_is_loaded_again(fitted):
    assert list(fitted.table.index) == ["ppo", "base_stock", "optimal"]
    document = json.loads(fitted.run.summary_path.read_text())
    row = fitted.table.loc["ppo"]
    assert row["cost"] == document["evaluation"][0]["cost"]
    assert [row["cost_low"], row["cost_high"]] == document["evaluation"][0]["cost_interval"]
    assert row["parts.holding"] == document["evaluation"][0]["parts"]["holding"]
    assert fitted.verdict.startswith("ppo is")
    numbers = fitted.table.drop(
        columns=["interval_over", "reference", "instance", "best_rule", "kind"]
    )
    assert all(kind.kind == "f" for kind in numbers.dtypes if kind != "int64"), numbers.dtypes
    again = jaxinv.load_run(fitted.run.path)
    assert again.rows == fitted.rows and list(again.policies) == ["mine"]
    numbers = dict(stock=1, pipeline=[2], history=[5])
    np.testing.assert_array_equal(again.policy.order(**numbers), fitted.policy.order(**numbers))


def test_compare_is_the_command(fitted, capsys, monkeypatch):
    found = jaxinv.compare(fitted, "base_stock")
    evaluate.main(["mine", "base_stock", "--runs", str(fitted.run.path.parent), "--json"])
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.rows))
    assert list(found.table.index)[:2] == ["mine", "base_stock"]


def test_tuned_is_the_command(capsys):
    options = dict(periods=60_000, lead_time=2)
    found = jaxinv.tuned("lost_sales", "base_stock", **options)
    tune.main(["base_stock", "lost_sales", "lead_time=2", "--periods", "60000", "--json"])
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found.documents[0]))
    level = found.documents[0]["parameters"]["level"][0][0]
    assert found.table.loc["base_stock", "level"] == pytest.approx(level)
    # whole packs: the level less what there is and comes
    order = found.policies["base_stock"].order(stock=1, pipeline=[2])
    assert order.tolist() == [[round(level - 3)]]


# Orders for one's own numbers


def test_an_order_by_hand():
    """Up to 12: stock, what is on its way, and what is owed count; nothing is ordered above it."""
    policy = base_stock(Backlog(lead_time=3), 12.0)
    assert policy.edges == ("supplier-store",)
    assert policy.order(stock=4, pipeline=[3, 1]).tolist() == [[4.0]]
    assert policy.order(stock=[[-2]], pipeline=[[[3, 1]]]).tolist() == [[10.0]]
    assert policy.order(stock=[4], pipeline=[3]).tolist() == [
        [5.0]
    ]  # nothing was ordered before that
    assert policy.order(stock=40, pipeline=0).tolist() == [[0.0]]


@pytest.mark.parametrize("preset", [LostSales(lead_time=3), Backlog(lead_time=2), DualSourcing()])
def test_the_vector_of_the_environment_says_as_much_as_ones_own_numbers(preset):
    policy = base_stock(preset, 9.0)
    env, params = policy.problem.env, policy.problem.first
    vector, state = env.reset(jax.random.key(1), params)
    seen = flat.unflatten(env, vector, params)
    for ours, theirs in zip(
        jax.tree.leaves(seen), jax.tree.leaves(env.view(state.network, params, state.signals))
    ):
        np.testing.assert_array_equal(ours, theirs)
    stock = state.network.on_hand - (
        0 if state.network.backorder is None else state.network.backorder
    )
    own = policy.order(stock=stock, pipeline=state.network.pipeline)
    np.testing.assert_array_equal(policy.order(vector), own)
    np.testing.assert_array_equal(policy.order(seen), own)


def test_a_vector_says_when_orders_are_reviewed():
    env, params = jaxinv.make("cross_border", skus=1, history=7)
    vector, state = env.reset(jax.random.key(0), params)
    for _ in range(3):
        vector, state, *_ = env.step(jax.random.key(1), state, jnp.zeros((5, 1)), params)
    assert int(flat.unflatten(env, vector, params).time) % 7 == 3


def test_every_series_has_facts_of_its_own():
    problem = jaxinv.preset("cross_border")(skus=3, history=7).build()
    policy = Decider("mine", problem, rule_for(problem, "base_stock"), {"level": jnp.ones((5, 1))})
    stock, pipeline = np.zeros((3, 1)), np.zeros((5, 1, 1))
    orders = [
        policy.order(stock=stock, pipeline=pipeline, series=name)
        for name in (0, 1, problem.labels[1])
    ]
    assert not np.array_equal(orders[0], orders[1]) and np.array_equal(orders[1], orders[2])


@pytest.mark.parametrize(
    "numbers, message",
    [
        (dict(), "stock is missing"),
        (dict(stock=1), r"pipeline is missing: .* \[1, 1, 2\], zeros where nothing is"),
        (
            dict(stock=[1, 2], pipeline=0),
            r"stock has the shape \[2\], and this network wants \[1, 1\]",
        ),
        (dict(stock="few", pipeline=0), "stock must be numbers"),
        (dict(stock=float("nan"), pipeline=0), "stock has an entry that is not a finite number"),
        (dict(stock=-1, pipeline=0), "stock cannot be below 0 with lost sales"),
        (dict(stock=1, pipeline=[1, 2, 3]), "pipeline has 3 periods, and an order is at most 2"),
        (dict(stock=1, pipeline=[-1]), "pipeline has an entry of -1; it cannot be below 0"),
        (dict(stock=1, pipeline=0, series=3), "series=3: there are 1"),
        (dict(stock=1, pipeline=0, series="s"), "unknown series 's'"),
        (dict(observation=np.zeros(3)), "is a vector of"),
        (dict(observation=np.zeros(3), stock=1), "not both"),
    ],
)
def test_numbers_that_do_not_fit_are_named(numbers, message):
    with pytest.raises(UserError, match=message):
        base_stock(LostSales(lead_time=3), 9.0).order(**numbers)


def test_a_policy_that_reads_history_asks_for_it(fitted):
    with pytest.raises(UserError, match="history is missing"):
        fitted.policy.order(stock=1, pipeline=[2])
    longer = fitted.policy.order(stock=1, pipeline=[2], history=[90, 3, 5])
    np.testing.assert_array_equal(longer, fitted.policy.order(stock=1, pipeline=[2], history=[5]))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: jaxinv.fit("lost_sale"), "unknown preset 'lost_sale'; did you mean 'lost_sales'"),
        (lambda: jaxinv.fit("lost_sales", "pp0"), "unknown agent"),
        (
            lambda: jaxinv.fit("lost_sales", lead_tim=2),
            "unknown key 'lead_tim'; did you mean 'lead_time'",
        ),
        (lambda: jaxinv.fit("lost_sales", updates=2.5), "learner.updates must be a whole number"),
        (lambda: jaxinv.tuned("lost_sales", ["base_stok"]), "unknown rule 'base_stok'"),
        (lambda: jaxinv.tuned("lost_sales", []), "name a rule to tune"),
        (lambda: jaxinv.tuned("lost_sales", "s_S", seed=-1), "seed=-1 must be a whole number"),
        (lambda: jaxinv.compare(3, env="lost_sales"), "compare takes runs, .* not 3"),
        (lambda: jaxinv.compare("base_stock"), "rules need a problem: give env"),
        (
            lambda: jaxinv.compare("base_stok", env="lost_sales"),
            "unknown run or rule 'base_stok'; did you mean 'base_stock'",
        ),
        (
            lambda: jaxinv.compare("base_stock", env="lost_sales", service=0.9),
            "trained with preferences=true",
        ),
        (lambda: jaxinv.load_run("nothing"), "no run 'nothing'"),
    ],
)
def test_mistakes_are_those_of_the_commands(tmp_path, monkeypatch, call, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        call()


def test_many_runs_take_no_arrays_away(tmp_path):
    """Without NPROC: refused where the caller has arrays, and one thread where nobody has."""
    code = f"""
import sys, jax, jaxinv
options = dict({TINY!r}, seeds=2, name="two")
if "arrays" in sys.argv:
    mine = jax.numpy.arange(3)
    try:
        jaxinv.fit("lost_sales", **options)
    except jaxinv.UserError as error:
        print(error, int(mine.sum()))
else:
    print(sorted(jaxinv.fit("lost_sales", **options).policies))
"""
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}

    def said(*arguments):
        run = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(
            run, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    if os.cpu_count() > 1:
        refusal = said("arrays")
        assert "set os.environ['NPROC'] = '1'" in refusal and refusal.endswith(" 3\n")
    assert said() == "['two seed 0', 'two seed 1']\n"
