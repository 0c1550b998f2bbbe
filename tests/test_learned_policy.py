"""A network as a policy: encode once, decode to feasible orders, and features that know no unit."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.envs import views
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import Backlog, DualSourcing, LostSales, Serial
from jaxinv.envs.views import coverage, echelon_coverage
from jaxinv.evaluation.rollout import BATCH, begin, rollout, unroll_world
from jaxinv.policies.decode import FORMS, RATES, Decode

pytestmark = pytest.mark.usefixtures("quick_compilation")

HISTORY = 6
PRESETS = {
    "single store": LostSales(
        lead_time=3, demand="seasonal", history=HISTORY, integer_orders=False
    ),
    "backlog": Backlog(lead_time=2, history=HISTORY, integer_orders=False),
    "long lead time": LostSales(lead_time=13, history=HISTORY, integer_orders=False),
    "serial": Serial(lead_times=(1, 2), holding_costs=(0.1, 1.0), history=HISTORY),
    "dual sourcing": DualSourcing(history=HISTORY, integer_orders=False),
    "one warehouse": OneWarehouseManyStores(stores=3, history=HISTORY),
}
SMALL = dict(features=8, heads=2, layers=2, hidden=(8,), forecast=3)


@cache
def problem_of(name):
    return PRESETS[name].build()


def observation_of(name, seed=0, level=1.0):
    """An observation with random stock, pipeline and signals around the typical demand."""
    problem = problem_of(name)
    env, params = problem.env, problem.first
    _, state = env.reset(jax.random.key(seed))
    random = np.random.default_rng(seed)
    stock = state.network.replace(
        on_hand=jnp.asarray(
            level * random.uniform(0, 3, params.scale.shape) * params.scale, jnp.float32
        ),
        pipeline=jnp.asarray(
            level * random.uniform(0, 5, state.network.pipeline.shape), jnp.float32
        ),
    )
    return env.view(stock, params, state.signals)


def policy_of(name, seed=0, noise=0.3, **options):
    """A policy, and parameters far enough from their first values that every part of the network
    speaks.
    """
    policy = PPO.make_policy(problem_of(name).env, PPOConfig(**{**SMALL, **options}))
    params = jax.jit(policy.init)(jax.random.key(seed), observation_of(name))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    moved = [leaf + noise * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys)]
    return policy, jax.tree.unflatten(tree, moved)


def decide(policy, params, observation):
    return jax.jit(lambda params, observation: policy(params, observation))(params, observation)


# --- encode once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["transformer", "eq3", "none"])
def test_encode_once_decides_as_window_by_window(encoder):
    """Along a rollout in which every decision moves the stock of the next; the seasonal phase is a
    covariate.
    """
    problem = problem_of("single store")
    env, instance = problem.env, problem.first
    assert env.world.demand.covariates > 0 and env.history > 1
    episodes = begin(env, jax.random.key(3), instance, 4)
    _, trace = unroll_world(env, episodes, instance, 15)

    def orders(window_by_window):
        policy, params = policy_of(
            "single store", encoder=encoder, form="both", window_by_window=window_by_window
        )
        encode = jax.vmap(
            lambda rows: policy.encode(params, rows, env.facts(instance)),
            in_axes=BATCH,
            out_axes=BATCH,
        )
        contexts = jax.tree.map(lambda leaf: leaf[env.history - 1 :], encode(trace.signals))
        _, made, _ = rollout(
            env,
            instance,
            lambda params, observation, context: (policy.act(params, observation, context), None),
            params,
            episodes.network,
            trace.exogenous,
            contexts,
            signals=trace.signals if policy.wants_window else None,
            record=lambda seen, outcome, note: outcome.ordered,
        )
        return made

    once = orders(False)
    assert once.std() > 0.1
    np.testing.assert_allclose(once, orders(True), rtol=1e-3, atol=1e-4)


def test_one_decision_from_one_observation_is_that_of_the_trace():
    policy, params = policy_of("single store")
    slow, _ = policy_of("single store", window_by_window=True)
    observation = observation_of("single store")
    np.testing.assert_allclose(
        decide(policy, params, observation), decide(slow, params, observation), rtol=1e-5
    )


# --- decode ---------------------------------------------------------------------------------------


def decoded(name, form, raw, observation, rates):
    return Decode(problem_of(name).env.topology, form)(
        jnp.asarray(raw, jnp.float32), observation, rates
    )


def rates_of(name, seed=0):
    topology = problem_of(name).env.topology
    random = np.random.default_rng(seed).uniform(
        0.5, 10, (topology.edges, topology.products, RATES)
    )
    return jnp.asarray(random, jnp.float32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PRESETS)
def test_orders_are_feasible_whatever_the_network_says(form, name):
    decode = Decode(problem_of(name).env.topology, form)
    observation, rates = observation_of(name), rates_of(name)
    for level in (-1e6, -3.0, 0.0, 3.0, 1e6):
        orders = decode(jnp.full(decode.outputs, level), observation, rates)
        assert orders.shape == rates.shape[:2] and bool(
            jnp.all(jnp.isfinite(orders) & (orders >= 0))
        )


@settings(max_examples=50, deadline=None)
@given(raw=st.floats(-5, 5), level=st.floats(0, 3))
def test_base_orders_up_to_its_target_and_never_beyond(raw, level):
    observation, rates = observation_of("single store", level=level), rates_of("single store")
    factor = np.log1p(np.exp(raw + np.log(np.e - 1)))
    target = factor * float(rates[0, 0, 1]) * (3 + 1)
    position = float(observation.on_hand.sum() + observation.pipeline.sum())
    order = float(decoded("single store", "base", [raw], observation, rates)[0, 0])
    assert order == pytest.approx(max(target - position, 0.0), abs=1e-3)
    if position >= target + 1e-3:
        assert order == 0.0


@settings(max_examples=50, deadline=None)
@given(raw=st.floats(-3, 3))
def test_none_and_base_say_the_same_in_each_others_terms(raw):
    """An order q is s(o) = q / rate in the form `none`, and s(o) = (q + position) / (coverage rate)
    in `base`.
    """
    observation, rates = observation_of("single store", level=0.3), rates_of("single store")
    rate = rates[0, 0, 1]
    position = observation.on_hand.sum() + observation.pipeline.sum()
    order = decoded("single store", "none", [raw], observation, rates)
    factor = (order[0, 0] + position) / (coverage(observation.instance)[0] * rate)
    inverse = jnp.log(jnp.expm1(factor)) - jnp.log(jnp.expm1(1.0))
    np.testing.assert_allclose(
        decoded("single store", "base", [inverse], observation, rates), order, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("forms", [("none", "coeff"), ("base", "both")])
def test_coefficients_on_equal_rates_are_one_number(forms):
    observation = observation_of("single store", level=0.2)
    rates = jnp.full((1, 1, RATES), 4.0)
    single = decoded("single store", forms[0], [0.7], observation, rates)
    np.testing.assert_allclose(
        decoded("single store", forms[1], [0.7] * RATES, observation, rates), single, rtol=1e-6
    )


@pytest.mark.parametrize("name", PRESETS)
def test_an_untrained_network_orders_the_recent_rate(name):
    topology = problem_of(name).env.topology
    observation = observation_of(name, level=0.1)
    policy, params = policy_of(name, noise=0.0, form="none")
    recent = (
        observation.signals[:, : len(topology.demand_nodes)].mean(0)[:, None]
        + 0.05 * observation.instance.scale[np.asarray(topology.demand_nodes)]
    )
    rate = topology.at_destination(views.echelon_sum(topology, topology.at_demand_nodes(recent)))
    np.testing.assert_allclose(decide(policy, params, observation), rate, rtol=0.1)
    policy, params = policy_of(name, noise=0.0, form="base")
    if not views.shared_destinations(topology):
        position = views.edge_position(topology, observation)
        cover = echelon_coverage(topology, observation.instance)
        up_to = jnp.maximum(rate * cover[:, None] - position, 0)
        np.testing.assert_allclose(decide(policy, params, observation), up_to, rtol=0.1, atol=0.5)


# --- features -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_stock_features_are_finite_and_of_one_size(name):
    policy = PPO.make_policy(problem_of(name).env, PPOConfig(**SMALL))
    sizes = set()
    for level in (0.0, 1.0, 1e6):
        for demand in (0.0, 1.0, 1e6):
            observation = observation_of(name, level=level)
            observation = observation.replace(signals=demand * observation.signals)
            context = jax.tree.map(
                lambda leaf: leaf[-1],
                policy._context(None, None, observation.signals, observation.instance),
            )
            features = policy.stock_features(observation, context)
            assert bool(jnp.all(jnp.isfinite(features))) and features.ndim == 1
            sizes.add(features.size)
    assert len(sizes) == 1


def test_free_stock_is_no_division_by_zero():
    """A stage that costs nothing to hold at and faces no demand."""
    problem = Serial(lead_times=(1, 1), holding_costs=(0.0, 1.0), history=2).build()
    assert bool(jnp.all(jnp.isfinite(problem.env.facts(problem.first).critical_ratio)))


@pytest.mark.parametrize(
    "name, form", [("single store", "both"), ("serial", "base"), ("one warehouse", "coeff")]
)
def test_ten_times_the_demand_is_ten_times_the_order(name, form):
    policy, params = policy_of(name, form=form)
    small = observation_of(name, level=0.2)
    series = problem_of(name).env.world.demand.locations
    unit = jnp.concatenate([jnp.full(series, 10.0), jnp.ones(small.signals.shape[1] - series)])
    large = small.replace(
        on_hand=10 * small.on_hand,
        pipeline=10 * small.pipeline,
        backorder=None if small.backorder is None else 10 * small.backorder,
        signals=unit * small.signals,
        instance=small.instance.replace(scale=10 * small.instance.scale),
    )
    orders = decide(policy, params, small)
    assert float(orders.max()) > 0.5
    np.testing.assert_allclose(decide(policy, params, large), 10 * orders, rtol=1e-3, atol=1e-3)


def test_long_pipelines_are_seen_in_stretches_that_add_up():
    policy = PPO.make_policy(problem_of("long lead time").env, PPOConfig(**SMALL))
    observation = observation_of("long lead time")
    context = jax.tree.map(
        lambda leaf: leaf[-1],
        policy._context(None, None, observation.signals, observation.instance),
    )
    empty = observation.replace(pipeline=jnp.zeros_like(observation.pipeline))
    features, without = (
        policy.stock_features(observation, context),
        policy.stock_features(empty, context),
    )
    stretches = features[1:7]  # 12 slots in twos, after what is on hand
    unit = jnp.sqrt(coverage(observation.instance).max()) * context.recent[0, 0]
    np.testing.assert_allclose(stretches.sum() * unit, observation.pipeline.sum(), rtol=1e-4)
    np.testing.assert_allclose(without[1:7], 0.0)
