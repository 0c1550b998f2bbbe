"""Signals by name: what every column is, who owns it, and what encoders read; time as a signal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.agents.loop import Trainer
from jaxinv.agents.registry import AGENTS
from jaxinv.demand.exogenous import World
from jaxinv.demand.processes import TraceParams, TraceReplay
from jaxinv.demand.signals import Signal
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.registry import preset
from jaxinv.envs.scenarios import open_to_change
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.rollout import begin, unroll_world
from jaxinv.exact.solve import solve_problem
from jaxinv.policies.rules import applicable_rules, rule_for

pytestmark = pytest.mark.usefixtures("quick_compilation")
PRESETS = (
    "lost_sales",
    "serial",
    "one_warehouse_many_stores",
    "cross_border",
    "causal_store",
    "deepstock",
)


@pytest.mark.parametrize("name", PRESETS)
def test_every_column_has_a_name_and_an_owner(name):
    env = preset(name)().build().env
    signals, topology = env.signals, env.topology
    assert len(signals) == env.world.signals and len({signal.name for signal in signals}) == len(
        signals
    )
    places = [
        topology.node_names[node] if topology.node_names else f"node {node}"
        for node in topology.demand_nodes
    ]
    assert [signal.owner for signal in signals[: len(places)]] == places
    assert all(signal.unit == "units" for signal in signals[: len(places)])
    assert {signal.owner for signal in signals} <= {*places, "calendar", "world"}
    assert env.columns("demand") == tuple(range(len(places)))


def test_signals_are_found_by_name_beginning_and_owner():
    env = preset("cross_border")().build().env
    assert env.columns("promotion[EU]") == (8,) and env.columns("promotion") == (7, 8, 9)
    assert env.columns("@calendar") == (3, 4, 5, 6) and env.columns("@EU", "demand") == (
        0,
        1,
        2,
        8,
        11,
        14,
    )
    assert env.world.announced == tuple(range(4, 13))  # of what is told, all but the calendar
    with pytest.raises(UserError, match="unknown signal 'promotions'; did you mean 'promotion'"):
        env.columns("promotions")


def test_observations_say_what_is_known_by_its_name():
    env, params = jaxinv.make("causal_store", history=2)
    names = env.observation_names(params)
    assert names[-10:-5] == (
        "demand[store, 2 ago]", "known[season sine, 2 ago]", "known[season cosine, 2 ago]",
        "promotion[store, 2 ago]",
        "price[store, 2 ago]",
    )  # fmt: skip
    assert len(set(names)) == len(names) == env.observation_space(params).shape[0]


def test_sales_keep_the_names_of_their_columns(tmp_path):
    weeks = np.arange("2020-01-06", "2021-12-01", 7, dtype="datetime64[D]")
    rows = [
        f"{date},{sku},{(3 * week + ord(sku)) % 7},{week % 5 == 0:d}"
        for week, date in enumerate(weeks)
        for sku in "ab"
    ]
    (tmp_path / "sales.csv").write_text("date,sku,sales,event\n" + "\n".join(rows))
    options = dict(
        data=str(tmp_path / "sales.csv"), history=4, horizon=8, frequency="week", lead_time=1
    )
    env = preset("retail")(**options).build().env
    told = {signal.name: (signal.unit, signal.owner) for signal in env.signals}
    assert told["event"] == ("standard deviations", "world") and told["sin_year"][1] == "calendar"
    assert list(told)[0] == "demand[store]"


def test_two_signals_of_one_name_are_refused_when_built():
    trace = TraceParams(jnp.ones((9, 1, 1)), jnp.ones((9, 2)), jnp.int32(0), jnp.int32(0))
    store = preset("lost_sales")().build().env
    params = store.default_params.replace(demand=trace)
    with pytest.raises(
        UserError, match="two signals are called 'event'; give each a name of its own"
    ):
        InventoryNetwork(store.topology, World(TraceReplay(told=(Signal("event"),) * 2)), params)


# --- what encoders read ---------------------------------------------------------------------------


def agent_of(problem, **options):
    sizes = dict(
        updates=2, envs=2, rollout=3, features=8, heads=2, layers=1, hidden=(8,), encoder="last"
    )
    return AGENTS["diffsim"].create(problem, AGENTS["diffsim"].Config(**{**sizes, **options}))


def test_an_encoder_reads_the_signals_that_are_named_and_no_other():
    problem = preset("causal_store")(history=3, horizon=9).build()
    agent = agent_of(problem, signals=("demand", "promotion"))
    policy, facts = agent.policy, problem.env.facts(problem.first)
    state = agent.init(jax.random.key(0))
    signals = jax.random.uniform(jax.random.key(1), (5, 5))
    decide = jax.jit(lambda signals: policy.encode(state.params, signals, facts).state)
    own = decide(signals)
    for column, signal in enumerate(problem.env.signals):
        moved = bool(jnp.any(decide(signals.at[:, column].add(1.0)) != own))
        assert moved == signal.name.startswith(("demand", "promotion")), signal
    whole = agent_of(problem).policy
    named = agent_of(problem, signals=("demand", "@calendar", "promotion", "price")).policy
    np.testing.assert_array_equal(whole.tokens(signals, facts), named.tokens(signals, facts))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(signals=("weather",)), "unknown signal 'weather'"),
        (dict(signals=("demand",), encoder="known"), "encoder=known sees covariates alone"),
        (
            dict(signals=("demand",), encoder="none"),
            "signals=demand are what an encoder reads, and encoder=none has none",
        ),
    ],
)
def test_signals_that_cannot_be_read_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        agent_of(preset("causal_store")(history=3).build(), **options)


# --- time -----------------------------------------------------------------------------------------


def seen(problem, periods):
    """Signals that each decision sees as the latest `[T, S, B]`."""
    env = problem.env
    episodes = begin(env, jax.random.key(0), problem.first, 2)
    return np.asarray(unroll_world(env, episodes, problem.first, periods)[1].signals)[
        env.history - 1 :
    ]


@pytest.mark.parametrize("changed", [False, True])
def test_time_is_told_from_the_first_decision_on(changed):
    options = dict(lead_time=1, ends=True, horizon=20, history=3)
    problem = preset("lost_sales")(tell=("season(5)", "left"), **options).build()
    if changed:
        problem = open_to_change(problem)
    assert [signal.name for signal in problem.env.signals[1:]] == [
        "time sine",
        "time cosine",
        "time left",
    ]
    signals, plain = seen(problem, 20), seen(preset("lost_sales")(**options).build(), 20)
    np.testing.assert_array_equal(signals[:, :1], plain)  # nature does not listen
    turn = 2 * np.pi * (np.arange(20) % 5) / 5
    np.testing.assert_allclose(signals[:, 1, 0], np.sin(turn), atol=1e-5)
    np.testing.assert_allclose(signals[:, 2, 1], np.cos(turn), atol=1e-5)
    np.testing.assert_allclose(signals[:, 3, 0], 1 - np.arange(20) / 20, atol=1e-6)


def test_a_policy_that_is_told_the_time_lets_stock_run_out_at_the_end():
    """The rule whose level is linear in what is told applies where time is told, and orders less at
    the end.
    """
    options = dict(lead_time=1, ends=True, horizon=10)
    assert "feature_base_stock" not in applicable_rules(preset("lost_sales")(**options).build())
    problem = preset("lost_sales")(tell=("left",), **options).build()
    assert "feature_base_stock" in applicable_rules(problem)
    rule, env = rule_for(problem, "feature_base_stock"), problem.env
    numbers = {"level": jnp.zeros((1, 1)), "slope": jnp.ones((1, 1, 1))}
    view = env.view(env.start({"stock": jnp.zeros((1, 1))}, problem.first), problem.first)
    orders = [
        float(rule(numbers, view.replace(signals=jnp.asarray([[5.0, left]])))[0, 0])
        for left in (1.0, 0.5, 0.0)
    ]
    assert orders[0] > orders[1] > orders[2] == 0


def test_a_learner_that_is_told_the_time_comes_near_the_optimum_of_a_season():
    """Goods are bought at 5 and left worth nothing, so the last orders are others: backward
    induction knows, one level does not.
    """
    options = dict(lead_time=1, shortage_cost=9.0, unit_cost=5.0, ends=True, horizon=10)
    optimum = solve_problem(preset("lost_sales")(**options).build())
    costs = {}
    for tell, encoder in (((), "none"), (("left",), "known")):
        problem = preset("lost_sales")(tell=tell, **options).build()
        sizes = dict(
            updates=400, envs=64, rollout=10, hidden=(32, 32), activation="elu", learning_rate=5e-3
        )
        agent = agent_of(problem, encoder=encoder, **sizes)
        params = Trainer(agent).train(jax.random.key(0), 400).params
        paths = [
            measure(problem, Contestant("", *policy), jax.random.key(1), 1024).reward
            for policy in ((agent.policy, params), (optimum.policy, optimum.params))
        ]
        costs[tell] = paths[0].mean() / paths[1].mean()
    assert costs["left",] < 1.015 and costs[()] > 1.06


def test_time_that_nobody_reads_is_refused():
    problem = preset("lost_sales")(tell=("season(7)",)).build()
    with pytest.raises(
        UserError,
        match="the time that tell= tells is read by an encoder, .* give encoder=known or last",
    ):
        agent_of(problem, encoder="none")
    assert agent_of(problem, encoder="known").policy.network.encoder is not None


@pytest.mark.parametrize(
    "tell, message",
    [
        (("weekday",), "unknown word in tell 'weekday'"),
        (("season(0)",), "tell=season\\(0\\): a season has a number of periods above 1"),
        (("season(week)",), "a season has a number of periods above 1"),
        (
            ("left",),
            "tell=left shows the periods left of an episode of 100, but a test of 1000 periods",
        ),
    ],
)
def test_time_that_cannot_be_told_is_refused(tell, message):
    with pytest.raises(UserError, match=message):
        preset("lost_sales")(tell=tell).build()
