"""Learners from logs alone: identities of their losses, what they refuse, and that they learn."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.agents.cql import conservative_gap
from jaxinv.agents.loop import Trainer
from jaxinv.agents.mcq import pseudo_target
from jaxinv.agents.registry import AGENTS
from jaxinv.envs.presets import DualSourcing, LostSales
from jaxinv.errors import UserError
from jaxinv.evaluation.behaviour import Part, play_log
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.logs import description, write_log
from jaxinv.evaluation.rollout import begin
from jaxinv.evaluation.trajectories import record
from jaxinv.keys import root
from jaxinv.policies.rules import make_rule
from jaxinv.studies import offline

pytestmark = pytest.mark.usefixtures("quick_compilation")

STORE = LostSales(lead_time=2, shortage_cost=9.0, horizon=20)
SMALL = dict(updates=3, steps=4, batch=8, hidden=(8,), envs=1, rollout=1, capacity=1)
GRID = dict(SMALL, encoder="none")
SEQUENCE = dict(updates=3, steps=4, batch=4, features=8, layers=2, context=4, ahead=5)


@cache
def logged(suppliers=1, episodes=16, periods=20):
    problem = STORE.build() if suppliers == 1 else DualSourcing().build()
    name = "base_stock" if suppliers == 1 else "dual_index"
    rule = make_rule(name, problem.env.topology)
    numbers = {key: jnp.full(shape, 1.4) for key, shape in rule.shapes().items()}
    own = Contestant(name, rule, numbers)
    return problem, play_log(problem, [Part(1.0, own, True)], own, root(0), episodes, periods)


def agent_of(name, suppliers=1, log=None, **options):
    problem, own = logged(suppliers)
    sizes = SEQUENCE if name == "decision_transformer" else GRID
    kind = AGENTS[name]
    return kind.create(
        problem, kind.Config(**{**sizes, **options}), log=own if log is None else log
    )


# --- identities -----------------------------------------------------------------------------------


def test_the_soft_maximum_on_the_grid_is_at_least_the_best_value():
    values = jax.random.normal(jax.random.key(0), (2, 50, 3, 7)) * 4 - 10
    gap = conservative_gap(values, values.max(-1))
    assert (gap >= 0).all() and (gap <= jnp.log(7.0)).all()
    exact = np.log(np.exp(np.asarray(values, float)).sum(-1)) - values.max(-1)
    np.testing.assert_allclose(gap, exact, atol=1e-5)


def test_values_of_costs_are_not_cut_off_at_nothing():
    """Every value lies below 0, and so does the target: the best of levels that the log may choose,
    by the lower critic.
    """
    values = -1.0 - jnp.arange(12.0).reshape(2, 1, 1, 6)  # -1 .. -6 and -7 .. -12
    logits = jnp.where(jnp.arange(6) == 2, 50.0, 0.0)[None, None]
    target = pseudo_target(values, logits, jax.random.key(0), 10)
    np.testing.assert_allclose(target, [[-9.0]])
    anything = pseudo_target(values, jnp.zeros((1, 1, 6)), jax.random.key(0), 200)
    np.testing.assert_allclose(anything, [[-7.0]])


def test_without_conservatism_cql_is_its_bellman_error():
    agent = agent_of("cql", conservatism=0.0)
    state = agent.init(jax.random.key(0))
    steps = agent.gather(state, jax.random.key(1))
    loss, metrics = agent.learn(state.params, state.target, steps, jax.random.key(2), 0)
    np.testing.assert_allclose(loss, metrics["value_loss"])
    other = agent_of("cql", conservatism=1.0)
    more, metrics = other.learn(state.params, state.target, steps, jax.random.key(2), 0)
    np.testing.assert_allclose(more, loss + metrics["conservative_gap"], rtol=1e-5)
    assert metrics["conservative_gap"] > 0


@pytest.mark.parametrize("condition", ["return", "advantage"])
def test_the_causal_mask_leaks_nothing(condition):
    """What comes later, and the order itself, change no bit of an order; what came before does."""
    agent = agent_of("decision_transformer", condition=condition)
    params, log = agent.init(jax.random.key(0)).params["network"], agent.episodes
    network, place = agent.policy.network, jnp.arange(20)[None]

    def orders(wanted, seen, done):
        return network.apply(params, wanted, seen, done, place)

    given = (log.wanted[:1], log.seen[:1], log.done[:1])
    told = orders(*given)
    for now in (0, 3, 11):
        noise = jax.random.normal(jax.random.key(now), (3,))
        later = [one.at[:, now + 1 :].add(amount) for one, amount in zip(given, noise)]
        later[2] = later[2].at[:, now].add(1.0)
        np.testing.assert_array_equal(orders(*later)[:, : now + 1], told[:, : now + 1])
        before = [one.at[:, now].add(1.0) for one in given[:2]]
        assert np.any(np.asarray(orders(*before, given[2])[:, now] != told[:, now]))


@pytest.mark.parametrize("condition", ["return", "advantage"])
def test_what_it_says_in_use_is_what_it_says_of_its_own_log(condition):
    """Its memory holds just what training read: returns less rewards, states and orders."""
    agent = agent_of("decision_transformer", condition=condition)
    problem, _ = logged()
    env, params = agent.worlds.env, agent.init(jax.random.key(3)).params
    episodes = begin(env, jax.random.key(5), problem.first, 4)
    log = record(env, problem.first, agent.policy, params, episodes, 20)[1]
    again = agent_of(
        "decision_transformer", log=log.replace(baseline=log.reward), condition=condition
    )
    wanted = again.episodes.wanted
    if condition == "return":
        own = params["target"] - jnp.cumsum(log.reward, 0) / params["scale"]
        wanted = jnp.concatenate([jnp.full((1, 4), params["target"]), own[:-1]]).T
    else:
        wanted = jnp.full_like(wanted, params["target"])
    agent = agent.replace(episodes=again.episodes.replace(wanted=wanted, known=jnp.ones(20)))
    assert float(agent.loss(params, jnp.arange(4))) < 1e-8
    assert float(jnp.abs(again.episodes.done).mean()) > 0.1


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bc", "cql", "mcq", "decision_transformer"])
def test_nothing_is_learned_from_nothing(name):
    with pytest.raises(UserError, match="learns from a log alone; write one, as in"):
        AGENTS[name].create(STORE.build(), AGENTS[name].Config.suited("lost_sales", 1))


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("cql", dict(penalty="reward"), "penalty=reward needs worlds to play in"),
        ("decision_transformer", dict(penalty="actor"), "penalty=actor needs worlds to play in"),
        ("mcq", dict(temperature=0.0), "temperature=0 makes no distribution of levels"),
        ("mcq", dict(trust=1.5), "trust=1.5 must lie in 0..1"),
        ("decision_transformer", dict(condition="luck"), "unknown condition 'luck'"),
        ("decision_transformer", dict(condition="advantage", ahead=21), "ahead=21 is longer than"),
        ("decision_transformer", dict(encoder="gru"), "reads with a Transformer"),
        ("decision_transformer", dict(preferences=True), "preferences=true: a Decision"),
        ("decision_transformer", dict(window_by_window=True), "window_by_window=true: a Decision"),
        ("bc", dict(actions=1), "leaves nothing to choose"),
    ],
)
def test_mistakes_are_named(name, options, message):
    with pytest.raises(UserError, match=message):
        agent_of(name, **options)


def test_an_advantage_needs_something_to_compare_with():
    _, log = logged()
    with pytest.raises(UserError, match="this log has no baseline; write it with"):
        agent_of("decision_transformer", log=log.replace(baseline=None), condition="advantage")


def test_a_file_is_checked_when_the_agent_is_made(tmp_path):
    problem, log = logged()
    write_log(tmp_path / "log.npz", log, {"fits": description(problem)})
    config = AGENTS["bc"].Config(**GRID, log=str(tmp_path / "log.npz"))
    agent = AGENTS["bc"].create(problem, config)
    np.testing.assert_array_equal(agent.log.items.kept, agent_of("bc").log.items.kept)
    with pytest.raises(UserError, match="does not fit: its shortage is 9, and here it is 4"):
        AGENTS["bc"].create(LostSales(lead_time=2).build(), config)


# --- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bc", "cql", "mcq", "decision_transformer"])
def test_two_suppliers_are_two_orders(name):
    agent = agent_of(name, suppliers=2)
    state, metrics = Trainer(agent).advance(Trainer(agent).init(jax.random.key(0)), 3)
    assert all(np.all(np.isfinite(values)) for values in metrics.values())
    found = costs(logged(2)[0], Contestant(name, agent.policy, state.params), root(1), 4)
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("options", [{}, dict(continuous=True)])
def test_a_clone_costs_what_the_policy_of_the_log_costs(options):
    problem = LostSales(lead_time=1, shortage_cost=9.0).build()
    rule = make_rule("base_stock", problem.env.topology)
    own = Contestant("own", rule, {"level": jnp.full((1, 1), 1.5)})
    log = play_log(problem, [Part(1.0, own)], own, root(0), 64, 60)
    sizes = dict(GRID, updates=100, steps=8, batch=128, hidden=(32,), learning_rate=5e-3)
    agent = AGENTS["bc"].create(problem, AGENTS["bc"].Config(**sizes, **options), log=log)
    clone = Contestant("clone", agent.policy, Trainer(agent).train(root(0), 100).params)
    ours, theirs = (costs(problem, one, root(1), 64).mean() for one in (clone, own))
    assert abs(ours / theirs - 1) < 0.02


@pytest.mark.slow
def test_the_study_says_what_is_made_of_a_log():
    rows = list(offline.run(quick=True, parts=["lost_sales", "medium", "bc", "cql"]))
    assert len(rows) == 5 and all(np.isfinite(row["ours"]) for row in rows)
    behaviour, clone, _, conservative, _ = (row["ours"] for row in rows)
    assert behaviour > 10 and conservative < clone and conservative < 0
    with pytest.raises(
        UserError, match="unknown part, and no file, 'medum'; did you mean 'medium'"
    ):
        next(offline.run(parts=["medum"]))
