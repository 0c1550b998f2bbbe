"""Preferences among objectives: what is drawn, what it does to costs, what a policy sees, and every
mistake.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow_but

from jaxinv.agents.actor_q import DDPG, DDPGConfig
from jaxinv.agents.agent import Worlds
from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.agents.validation import Validation
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.network import COSTS
from jaxinv.envs.objectives import (
    draw_preferences,
    factors,
    membership,
    objective_costs,
    objectives_of,
    prefer,
    shares,
)
from jaxinv.envs.presets import LostSales, Perishable
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.pareto import at_preference, measured
from jaxinv.policies.preference import preference_features, preferred_ratio

SIZES = dict(updates=2, envs=8, rollout=6, encoder="none", hidden=(8,), preferences=True)
AGENTS = {
    "diffsim": (DiffSim, DiffSimConfig(**SIZES)),
    "ppo": (PPO, PPOConfig(**SIZES, epochs=1, minibatches=2, pathwise=True)),
    "ddpg": (DDPG, DDPGConfig(**SIZES, capacity=96, batch=8, steps=1)),
}

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def store():
    return LostSales(lead_time=1, horizon=12).build()


@pytest.fixture(scope="module")
def network():
    return CrossBorder(skus=3, horizon=12, history=4, max_lead_time=45).build()


def test_objectives_are_those_that_a_network_charges(store, network):
    assert objectives_of(store.env.topology) == ("stock", "service")
    assert objectives_of(network.env.topology) == ("stock", "service", "flow")
    perishable = Perishable().build().env.topology
    groups = dict(zip(objectives_of(perishable), membership(perishable)))
    assert [COSTS[part] for part in np.flatnonzero(groups["stock"])] == [
        "holding",
        "expiry",
        "overflow",
    ]
    assert membership(network.env.topology).sum(0).max() == 1  # no part counts twice


def test_equal_shares_are_the_instance_as_it_is(network):
    topology = network.env.topology
    whole = factors(topology, shares(topology, {}))
    np.testing.assert_allclose(whole, 1.0, rtol=1e-6)
    weighed = prefer(network.train, factors(topology, shares(topology, {"service": 4, "flow": 0})))
    ratio = np.asarray(weighed.weights / network.train.weights)[0]
    named = dict(zip(COSTS, ratio))
    assert named["shortage"] == pytest.approx(12 / 5) and named["holding"] == pytest.approx(3 / 5)
    assert named["transport"] == named["duty"] == 0


def test_shares_do_not_depend_on_the_scale(store):
    topology = store.env.topology
    np.testing.assert_allclose(
        shares(topology, {"stock": 2, "service": 6}), shares(topology, {"service": 3})
    )


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"service": -1.0}, r"preference\.service=-1\.0 must be a number of at least 0"),
        ({"service": float("nan")}, "must be a number"),
        (
            {"stock": 0.0, "service": 0.0},
            "the preference is all zero; make one of stock, service positive",
        ),
        ({"servise": 1.0}, "unknown objective in preference 'servise'; did you mean 'service'?"),
        ({"flow": 1.0}, "unknown objective in preference 'flow'"),
    ],
)
def test_a_preference_that_cannot_be_is_refused(store, wanted, said):
    with pytest.raises(UserError, match=said):
        shares(store.env.topology, wanted)


def test_drawn_preferences_are_uniform_on_the_simplex(network):
    topology = network.env.topology
    drawn = np.asarray(draw_preferences(topology, jax.random.key(0), 20_000))
    groups = membership(topology)
    drawn = drawn[groups.argmax(1)] / 3  # [G, B]
    np.testing.assert_allclose(drawn.sum(0), 1.0, rtol=1e-5)
    np.testing.assert_allclose(drawn.mean(1), 1 / 3, atol=0.01)
    np.testing.assert_allclose(drawn.var(1), 2 / 36, atol=0.003)  # of Dirichlet(1, 1, 1)
    assert abs(np.mean(drawn < 0.5) - 0.75) < 0.01  # P(share < x) = 1 - (1 - x)^2


def test_every_episode_has_a_preference_of_its_own_and_keeps_it(store):
    worlds = Worlds.of(store, batch=5, periods=6, horizon=12, preferences=True)
    episodes, index = worlds.begin(jax.random.key(0))
    first = worlds.instance_params(index, episodes.key)
    assert first.preference.shape == (len(COSTS), 5) and len(np.unique(first.preference[0])) == 5
    np.testing.assert_allclose(first.weights, first.preference, rtol=1e-6)  # own weights are 1
    after, _, _ = worlds.play_ahead(episodes, first)
    again = worlds.instance_params(index, worlds.proceed(jax.random.key(1), after, index)[0].key)
    np.testing.assert_array_equal(again.preference, first.preference)
    over, _, _ = worlds.play_ahead(after, first)
    fresh = worlds.instance_params(index, worlds.proceed(jax.random.key(1), over, index)[0].key)
    assert not np.any(np.asarray(fresh.preference[0]) == np.asarray(first.preference[0]))


def test_preferences_do_not_move_the_world(store):
    on, off = (Worlds.of(store, 5, 6, 12, preferences=preferences) for preferences in (True, False))
    traces = []
    for worlds in (on, off):
        episodes, index = worlds.begin(jax.random.key(3))
        params = worlds.instance_params(index, episodes.key)
        traces.append(worlds.play_ahead(episodes, params)[1].exogenous.demand)
    np.testing.assert_array_equal(*traces)


def test_the_critical_ratio_that_is_seen_is_that_of_the_weighed_costs(store):
    env, params = store.env, store.first
    weighed = prefer(params, factors(env.topology, shares(env.topology, {"service": 3})))
    holding, shortage = (weighed.weights[COSTS.index(name)] for name in ("holding", "shortage"))
    expected = 4 * shortage / (4 * shortage + holding)
    np.testing.assert_allclose(preferred_ratio(env.facts(weighed)), expected, rtol=1e-6)
    np.testing.assert_allclose(preferred_ratio(env.facts(params)), 0.8, rtol=1e-6)
    features = preference_features(env.topology, env.facts(weighed))
    np.testing.assert_allclose(features, [0.25, 0.75, np.log(0.5), np.log(1.5)], rtol=1e-5)


def test_an_objective_that_counts_for_nothing_is_no_infinity(store):
    env = store.env
    for wanted in ({"stock": 0.0}, {"service": 0.0}):
        facts = env.facts(prefer(store.first, factors(env.topology, shares(env.topology, wanted))))
        assert np.isfinite(preference_features(env.topology, facts)).all()
        assert np.isfinite(preferred_ratio(facts)).all()


@pytest.mark.parametrize("name", slow_but(["ppo", "diffsim"], AGENTS))
def test_a_policy_learns_from_preferences_and_acts_at_any(store, name):
    algorithm, config = AGENTS[name]
    agent = algorithm.create(store, config)
    trainer = Trainer(agent)
    state, metrics = trainer.advance(trainer.init(jax.random.key(0)), 2)
    assert np.isfinite(metrics["cost"]).all()
    learned = Contestant(name, agent.policy, state.params)
    own, equal = measure(store, learned, jax.random.key(1), 4), at_preference(learned, {})
    np.testing.assert_allclose(
        measure(store, equal, jax.random.key(1), 4).reward, own.reward, rtol=1e-6
    )
    plain = algorithm.create(store, dataclasses.replace(config, preferences=False))
    widths = []
    for learner in (agent, plain):
        actor = jax.eval_shape(learner.init, jax.random.key(0)).params["params"]["actor"]
        widths.append({leaf.shape[0] for leaf in jax.tree.leaves(actor) if leaf.ndim == 2} - {8})
    assert {width - 4 for width in widths[0]} == widths[1]  # two shares and their logarithms


def test_the_reward_of_training_is_weighed(store):
    """What an update reports as cost is the mean of costs at drawn preferences, not at the
    instance's own weights.
    """
    agent = DiffSim.create(store, AGENTS["diffsim"][1])
    state = agent.init(jax.random.key(0))
    params = agent.worlds.instance_params(state.index, state.episodes.key)
    _, trace, _ = agent.worlds.play_ahead(state.episodes, params)
    contexts = agent.encode(state.params, trace.signals, params)
    _, reward, _ = agent.play_mode(state.params, state.episodes.network, trace, contexts, params)
    own = params.replace(weights=params.weights / params.preference)
    parts = []
    for part in ("holding", "shortage"):
        alone = jnp.zeros(len(COSTS)).at[COSTS.index(part)].set(1.0)[:, None]
        _, cost, _ = agent.play_mode(
            state.params,
            state.episodes.network,
            trace,
            contexts,
            own.replace(weights=own.weights * alone),
        )
        parts.append(params.preference[COSTS.index(part)] * cost)
    np.testing.assert_allclose(sum(parts), reward, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_instances_and_preferences_together(network):
    agent = DiffSim.create(network, AGENTS["diffsim"][1])
    trainer = Trainer(agent)
    state, metrics = trainer.advance(trainer.init(jax.random.key(0)), 1)
    assert np.isfinite(metrics["cost"]).all()
    short = dataclasses.replace(network, test_periods=20, warm_up=4)
    policy = Contestant("one", agent.policy, state.params)
    wanted = [{"stock": 1, "service": 8, "flow": 1}, {"stock": 8, "service": 1, "flow": 1}]
    found = measured(short, [at_preference(policy, one) for one in wanted], jax.random.key(1))
    assert found.costs.shape == (2, 3, 3)
    total = measure(short, policy, jax.random.key(1))
    by_objective = objective_costs(network.env.topology, network.test.weights, total.costs)
    np.testing.assert_allclose(by_objective.sum(0), -total.reward, rtol=1e-4)


def test_validation_weighs_its_paths(store):
    problem = LostSales(lead_time=1, horizon=12).build()
    several = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 4), problem.first)
    problem = dataclasses.replace(
        problem, train=several, test=several, instances=4, held_out=(1, 3)
    )
    found = Validation.of(problem, jax.random.key(0), preferences=True).instances
    assert len(np.unique(found.weights[0])) == found.weights.shape[-1]
    np.testing.assert_allclose(found.weights, found.preference, rtol=1e-6)
