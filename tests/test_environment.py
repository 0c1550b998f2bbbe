"""The gymnax contract, for every preset that needs no file; and the one rollout under any
policy.
"""

from functools import partial

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import case
from gymnax import wrappers
from gymnax.environments import environment

import jaxinv
from jaxinv.envs import network
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.flat import MONEY
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import (
    BATCH,
    batch_last,
    begin,
    rollout,
    take_instances,
    unroll_world,
)
from jaxinv.evaluation.simulate import CHUNK, simulate
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")

NEEDS_A_FILE = {"retail", "retail_network", "network"}
NAMES = [name for name in jaxinv.PRESETS if name not in NEEDS_A_FILE]

each_preset = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True, scope="module")
def compile_fast():
    """Programs here run for microseconds; half the time would go into optimising them."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@each_preset
def test_episodes_of_random_actions(name):
    """jit, vmap and scan; spaces contain what is observed; truncated exactly at the limit, and
    terminated there only where it ends.
    """
    env, params = gymnax.make(f"jaxinv/{name}")
    limit, batch, periods = 7, 8, 18
    params = params.replace(max_steps_in_episode=limit)
    space = env.observation_space(params)
    sample = jax.vmap(env.action_space(params).sample)

    @jax.jit
    def play(key):
        observation, state = jax.vmap(env.reset, (0, None))(jax.random.split(key, batch), params)

        def period(state, key):
            action = sample(jax.random.split(key, batch))
            step = jax.vmap(env.step, (0, 0, 0, None))
            observation, state, reward, terminated, truncated, info = step(
                jax.random.split(key, batch), state, action, params
            )
            return state, (observation, state.time, action, reward, terminated, truncated, info)

        return observation, jax.lax.scan(period, state, jax.random.split(key, periods))[1]

    first, (observed, time, action, reward, terminated, truncated, info) = jax.device_get(
        play(jax.random.key(0))
    )
    final = info["final_observation"]
    contains = jax.vmap(space.contains)
    for seen in (first, observed.reshape(-1, *space.shape), final.reshape(-1, *space.shape)):
        assert seen.shape[1:] == space.shape and seen.dtype == space.dtype == np.float32
        assert np.all(np.isfinite(seen)) and np.all(contains(seen))
    actions = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), action)
    actions = (
        network.Action(**actions) if env.topology.has("dispositions") else actions
    )  # gymnax reads parts as attributes
    assert np.all(jax.vmap(env.action_space(params).contains)(actions))
    ends = (np.arange(1, periods + 1) % limit == 0)[:, None]
    over, other = (terminated, truncated) if env.ends else (truncated, terminated)
    assert env.ends == (name in ("deepstock", "unseen")) and not other.any()
    np.testing.assert_array_equal(over, np.broadcast_to(ends, over.shape))
    np.testing.assert_array_equal(
        time, np.broadcast_to(np.arange(1, periods + 1)[:, None] % limit, time.shape)
    )
    assert reward.shape == (periods, batch) and np.all(np.isfinite(reward)) and reward.std() > 0
    moved = np.any(observed != final, -1)
    np.testing.assert_array_equal(moved, over)  # the reset observation shows only at the end


def preset_start(name, **options):
    env, params = jaxinv.make(name, **options)
    _, state = env.reset(jax.random.key(0), params)
    return env, params, state, env.action_space(params).sample(jax.random.key(1))


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name != "deepstock"]
)  # its history is always 1
def test_equal_environments_share_programs_and_keep_their_own_parameters(name, monkeypatch):
    traces = []
    transition = network.transition
    monkeypatch.setattr(network, "transition", lambda *args: traces.append(1) or transition(*args))
    longer = jaxinv.make(name)[0].history + 1  # no other test has compiled this one
    env, params, state, action = preset_start(name, history=longer)
    twin = jaxinv.make(name, history=longer)[0]
    dearer = InventoryNetwork(
        twin.topology,
        twin.world,
        twin.default_params.replace(weights=3.0 * twin.default_params.weights),
        twin.history,
        ends=twin.ends,
    )
    assert env is not twin and env == twin != dearer and len({env, twin, dearer}) == 2
    alike = dearer.within(twin.ends)
    assert env.within(twin.ends) == alike and alike.alone() == dearer
    assert env != jaxinv.make(name)[0]
    key = jax.random.key(2)
    reward = env.step(key, state, action)[2]
    assert len(traces) == 1
    assert twin.step(key, state, action)[2] == reward == env.step(key, state, action, params)[2]
    np.testing.assert_allclose(dearer.step(key, state, action)[2], 3.0 * reward, rtol=1e-5)
    assert len(traces) == 1, "an equal environment compiled again"


def test_a_compiled_program_never_serves_another_environments_numbers():
    """Where the environment is a static argument, its default parameters are part of the
    program.
    """
    reward = jax.jit(
        lambda env, key, state, action: env.step(key, state, action)[2], static_argnums=0
    )
    env, _, state, action = preset_start("lost_sales")
    dearer = jaxinv.make("lost_sales", holding_cost=3.0, shortage_cost=12.0)[0]
    key = jax.random.key(2)
    cheap = reward(env, key, state, action)
    np.testing.assert_allclose(reward(dearer, key, state, action), 3.0 * cheap, rtol=1e-5)
    assert reward(jaxinv.make("lost_sales")[0], key, state, action) == cheap


def test_only_ended_episodes_are_reset_and_as_gymnax_resets_them():
    """Beside gymnax's own step, which resets everything: batches in which none, some and all end,
    one by one, and nested.
    """
    env, params, state, action = preset_start("lost_sales", history=4)
    size = 37  # no multiple of a share
    keys = jax.random.split(jax.random.key(3), size)
    reference = jax.jit(lambda *given: environment.Environment.step.__wrapped__(env, *given))
    limits = jnp.where(jnp.arange(size) % 5 == 0, 1, 9)

    def step(call, limit, axis=None):
        params_ = params.replace(max_steps_in_episode=limit)
        axes = jax.tree.map(lambda _: None, params).replace(max_steps_in_episode=axis)
        return jax.jit(jax.vmap(call, (0, None, None, axes)))(keys, state, action, params_)

    for limit, axis in ((limits, 0), (1, None), (9, None)):
        jax.tree.map(
            np.testing.assert_array_equal, step(env.step, limit, axis), step(reference, limit, axis)
        )
    alone = env.step(keys[0], state, action, params.replace(max_steps_in_episode=1))
    jax.tree.map(
        np.testing.assert_array_equal,
        alone,
        reference(keys[0], state, action, params.replace(max_steps_in_episode=1)),
    )
    nested = jax.vmap(jax.vmap(env.step, (0, None, None, None)), (0, None, None, None))
    twice = nested(keys[:36].reshape(4, 9), state, action, params.replace(max_steps_in_episode=1))[
        0
    ]
    np.testing.assert_array_equal(twice.reshape(36, -1)[0], alone[0])
    first = step(env.step, 1)[0]
    assert len(np.unique(np.asarray(first), axis=0)) > size // 2, (
        "episodes begin with the same noise"
    )


@pytest.mark.parametrize(
    "name, options, optimal",
    [
        (
            "backlog",
            dict(
                demand="negative_binomial",
                mean=5.0,
                dispersion=0.05,
                lead_time=0,
                shortage_cost=99.0,
            ),
            109,
        ),
        ("lost_sales", dict(mean=0.05, lead_time=0, shortage_cost=99.0), 1),
        ("lost_sales", dict(mean=5.0), 30),  # as before: more than six periods of demand
    ],
)
def test_an_agent_can_order_what_the_best_rule_does(name, options, optimal):
    """The base-stock levels that are optimal (newsvendor; of issue 15), where a multiple of mean
    demand is 10 and 0.1.
    """
    env, params = jaxinv.make(name, **options)
    assert (
        env.action_space(params).high >= optimal
        and env.default_params.max_order == params.max_order
    )


def test_the_action_space_follows_lumps_in_a_file(tmp_path):
    """One day in twenty sells 250: an agent can order a lump and more, not only four times the mean
    of what is covered.
    """
    env, params = jaxinv.make(
        "retail", data=str(case("lumpy", tmp_path)), frequency="day", min_active=0.0, lead_time=2
    )
    assert 500 <= float(env.action_space(params).high) <= 1000


def test_what_belongs_to_a_model_stays():
    assert (
        jaxinv.make("perishable", mean=40.0)[1].max_order == 10
        and jaxinv.make("deepstock")[1].max_order == 100
    )


def test_rewards_of_the_step_differentiate():
    env, params, state, action = preset_start("lost_sales", unit_cost=2.0, integer_orders=False)

    def reward(env, action):
        return env.step(jax.random.key(3), state, action, params)[2].sum()

    np.testing.assert_allclose(jax.grad(lambda action: reward(env, action))(action), -2.0)
    batch = jax.vmap(lambda key, action: env.step(key, state, action, params)[2], (0, None))
    total = jax.grad(lambda action: batch(jax.random.split(jax.random.key(0), 5), action).sum())(
        action
    )
    np.testing.assert_allclose(total, -10.0)
    on = env.with_transition_gradients()
    seen = jax.grad(lambda action: on.step(jax.random.key(3), state, action, params)[0].sum())(
        action
    )
    assert np.any(seen != 0)


def test_an_action_is_read_at_the_gate():
    """NaN and what is below 0 order nothing, what is too much is cut, `[E]` will do for one
    product, the rest is refused.
    """
    env, params = jaxinv.make("dual_sourcing", integer_orders=False)
    _, state = env.reset(jax.random.key(0), params)

    def ordered(action):
        return env.step(jax.random.key(1), state, action, params)[-1]["ordered"][:, 0].tolist()

    most = params.max_order[:, 0].tolist()
    assert ordered(jnp.array([[jnp.nan], [1.0]])) == [0.0, 1.0]
    assert ordered(jnp.array([[-3.0], [1e9]])) == [0.0, most[1]]
    assert ordered(jnp.array([[jnp.inf], [-jnp.inf]])) == [most[0], 0.0]
    assert ordered(jnp.array([1.0, 2.0])) == ordered(np.array([1, 2])) == [1.0, 2.0]
    for wrong in (jnp.zeros(3), jnp.zeros(()), jnp.zeros((1, 2)), jnp.zeros((8, 2, 1))):
        with pytest.raises(
            UserError,
            match=r"an action of dual_sourcing is an array \(2, 1\), 2 edges by 1 products, not",
        ):
            ordered(wrong)


@each_preset
def test_the_wildest_orders_stay_in_the_observation_space(name):
    """Twice the largest order, for a whole episode."""
    env, params = jaxinv.make(name)
    space, orders = env.observation_space(params), env.action_space(params)
    orders = orders.spaces["orders"] if env.topology.has("dispositions") else orders
    action = jnp.broadcast_to(2.0 * orders.high, orders.shape)

    @jax.jit
    def play(key):

        def period(state, key):
            return env.step(key, state, action, params)[1::-1]

        state = env.reset(key, params)[1]
        return jax.lax.scan(
            period, state, jax.random.split(key, int(params.max_steps_in_episode) - 1)
        )[1]

    seen = play(jax.random.key(0))
    assert np.all(np.isfinite(seen)) and np.all(jax.vmap(space.contains)(seen))


@each_preset
def test_every_entry_of_an_observation_has_a_name(name):
    env, params = jaxinv.make(name)
    names = env.observation_names(params)
    observation, state = env.reset(jax.random.key(0), params)
    assert (
        len(names) == len(set(names)) == observation.size == env.observation_space(params).low.size
    )
    seen = dict(zip(names, np.asarray(observation)))
    topology = env.topology
    node, edge = (topology.node_names or ["node 0"])[0], (topology.edge_names or ["edge 0"])[0]
    product = ", product 0" if topology.products > 1 else ""
    holding = params.weights[network.COSTS.index("holding")] * params.holding[0, 0]
    np.testing.assert_allclose(seen[f"holding[{node}{product}]"], holding)
    np.testing.assert_allclose(seen[f"lead_time[{edge}]"], env.facts(params).lead_time[0])
    age = ", age 0" if topology.ages > 1 else ""
    np.testing.assert_allclose(
        seen[f"on_hand[{node}{product}{age}]"], state.network.on_hand.reshape(-1)[0]
    )
    latest = [
        value
        for name, value in seen.items()
        if name.startswith("demand[") and name.endswith(", 1 ago]")
    ]
    demands = topology.products * len(topology.demand_nodes)
    np.testing.assert_array_equal(latest, state.signals[-1, :demands])


def test_an_observation_tells_the_review_and_what_differs_between_instances():
    env, params = jaxinv.make("deepstock")
    _, state = env.reset(jax.random.key(0), params)
    name = env.observation_names().index("until_review[supplier-store]")
    phases = []
    for period in range(4):
        observation, state, *_ = env.step(jax.random.key(period), state, jnp.zeros(1), params)
        phases.append(float(observation[name]))
    assert phases == [1.0, 0.0, 1.0, 0.0]
    one, other = (
        dict(
            zip(env.observation_names(params), np.asarray(env.reset(jax.random.key(0), params)[0]))
        )
        for env, params in (
            jaxinv.make("backlog", **options)
            for options in (dict(weights=dict(shortage=2.0)), dict(lead_time=3))
        )
    )
    assert one["shortage[store]"] == 8.0 and other["shortage[store]"] == 4.0
    assert one["lead_time[supplier-store]"] == 4.0 and other["lead_time[supplier-store]"] == 3.0


@each_preset
def test_transition_gradients_are_off_until_asked_for(name):
    env, params, state, action = preset_start(name)

    def future(env):
        return lambda action: env.step_env(jax.random.key(3), state, action, params)[0].sum()

    on = env.with_transition_gradients()
    assert env.supports_transition_gradients and on.transition_gradients_enabled and on != env
    none, slope = (jax.tree.leaves(jax.grad(future(way))(action)) for way in (env, on))
    assert all(np.all(leaf == 0) for leaf in none) and any(np.any(leaf > 0) for leaf in slope)
    loose = on.relaxed()
    assert loose.transition_gradients_enabled and not loose.topology.mechanisms & {
        "packs",
        "minimum_order",
    }
    assert loose == env.relaxed().with_transition_gradients()
    assert not env.transition_gradients_enabled


@each_preset
def test_batches_of_instances(name):
    """Every number of an instance can differ within a batch."""
    env, params, state, action = preset_start(name)
    batch = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 3), params)
    batch = batch.replace(
        weights=batch.weights * jnp.array([[1.0], [2.0], [0.5]]),
        max_steps_in_episode=jnp.array([1, 5, 9]),
    )
    one, zero = None, 0
    key = jax.random.key(4)
    _, _, reward, terminated, truncated, _ = jax.vmap(env.step, (one, one, one, zero))(
        key, state, action, batch
    )
    alone = env.step(key, state, action, params)[2]
    np.testing.assert_allclose(reward, alone * np.array([1.0, 2.0, 0.5]), rtol=1e-5)
    assert (terminated | truncated).tolist() == [True, False, False]
    observation, _ = jax.vmap(env.reset, (one, zero))(key, batch)
    names = env.observation_names()  # a price that is told of a period is a signal, and no cost
    weighed = np.array([entry.split("[")[0] in MONEY and "ago]" not in entry for entry in names])
    assert weighed.any()  # costs are shown at their weights, everything else is the same
    np.testing.assert_allclose(
        observation[2], np.where(weighed, 0.5, 1.0) * observation[0], rtol=1e-6
    )


def test_gymnax_wrappers_take_it():
    env, params = gymnax.make("jaxinv/lost_sales", lead_time=2)
    params = params.replace(max_steps_in_episode=3)
    logged = wrappers.LogWrapper(env)
    observation, state = logged.reset(jax.random.key(0), params)
    for t in range(3):
        observation, state, reward, terminated, truncated, info = logged.step(
            jax.random.key(t), state, jnp.full((1, 1), 5.0), params
        )
    assert (
        info["returned_episode"]
        and info["returned_episode_lengths"] == 3
        and truncated
        and not terminated
    )


def test_keys_decide_everything():
    env, params = jaxinv.make("backlog", history=4)
    one, same, other = (env.reset(jax.random.key(seed), params)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_memory_counts_what_a_batch_holds():
    env, params = jaxinv.make("one_warehouse_many_stores", stores=3, history=2)
    _, state = env.reset(jax.random.key(0), params)
    floats = sum(np.size(leaf) for leaf in jax.tree.leaves(state))
    _, world = unroll_world(env, begin(env, jax.random.key(0), params, 1), params, 10)
    floats += world.exogenous.demand.size + 10 * env.world.signals
    assert env.memory(1, 10) == 4 * floats
    assert env.memory(7, 10) == 7 * env.memory(1, 10)


# The rollout


RANDOM_WORLD = dict(lead_time_pmf=(0.1, 0.4, 0.5), demand="negative_binomial", history=3)


@partial(jax.jit, static_argnums=(0, 2))
def outcomes(env, params, rule, rule_params, periods=40, batch=16):
    """The world and, of each period, demand, orders and reward."""
    episodes = begin(env, jax.random.key(7), params, batch)
    _, world = unroll_world(env, episodes, params, periods)

    def act(rule_params, observation, _):
        return rule.act(rule_params, observation, None), None

    def record(observation, outcome, note):
        return outcome.demand, outcome.ordered, outcome.reward

    _, kept, _ = rollout(
        env, params, act, rule_params, episodes.network, world.exogenous, record=record
    )
    return world, kept


def simulated(env, params, name, numbers, key, **options):
    rule = make_rule(name, env.topology)
    return jax.jit(lambda params, numbers: simulate(env, params, rule, numbers, key, **options))(
        params, numbers
    )


def test_two_policies_meet_the_same_world_bit_for_bit():
    env, params = jaxinv.make("lost_sales", **RANDOM_WORLD)
    rules = [("base_stock", {"level": 1.3}), ("constant_order", {"quantity": 0.5})]
    (world, one), (world2, two) = (
        outcomes(
            env,
            params,
            make_rule(name, env.topology),
            jax.tree.map(lambda v: jnp.full((1, 1), v), numbers),
        )
        for name, numbers in rules
    )
    for a, b in zip(jax.tree.leaves(world), jax.tree.leaves(world2)):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[0], world.exogenous.demand)
    assert np.any(one[1] != two[1]) and np.any(one[2] != two[2])


def test_simulate_meets_the_same_world_under_any_policy_and_adds_up():
    """Through its chunks, with a warm-up and a remainder."""
    env, params = jaxinv.make("lost_sales", **RANDOM_WORLD)
    batch, periods, warm_up = 8, CHUNK + 9, 5
    key = jax.random.key(3)
    totals = [
        simulated(
            env,
            params,
            name,
            {parameter: jnp.full((1, 1), value)},
            key,
            batch=batch,
            periods=periods,
            warm_up=warm_up,
        )
        for name, parameter, value in (
            ("base_stock", "level", 1.3),
            ("constant_order", "quantity", 0.5),
        )
    ]
    np.testing.assert_array_equal(totals[0].demand, totals[1].demand)
    start = begin(env, key, params, batch)
    _, world = unroll_world(env, start, params, warm_up + periods)
    np.testing.assert_allclose(
        totals[0].demand, world.exogenous.demand[warm_up:].sum((0, 1, 2)), rtol=1e-6
    )
    for total in totals:
        np.testing.assert_allclose(total.sold + total.short, total.demand, rtol=1e-5)
        np.testing.assert_allclose(total.reward, -(params.weights @ total.costs), rtol=1e-5)
        assert np.all(total.stockouts <= periods)
    assert np.all(totals[0].costs != totals[1].costs, where=(totals[0].costs != 0))


def test_a_batch_of_instances_rolls_out_as_each_alone():
    env, params = jaxinv.make("lost_sales", **RANDOM_WORLD)
    both = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * 2), params)
    both = both.replace(shortage=both.shortage * jnp.array([1.0, 3.0])[:, None, None])
    levels = {"level": jnp.array([1.0, 1.5]).reshape(1, 1, 2)}
    index = jnp.array([0, 1, 1, 0])
    instances = batch_last(take_instances(both, index))
    run = dict(key=jax.random.key(0), batch=4, periods=30)
    each = jax.tree.map(lambda leaf: leaf[..., index], levels)
    mixed = simulated(env, instances, "base_stock", each, axis=BATCH, policy_axis=BATCH, **run)
    for instance in (0, 1):
        one = jax.tree.map(lambda leaf: leaf[instance], both)
        alone = simulated(env, one, "base_stock", {"level": levels["level"][..., instance]}, **run)
        for a, b in zip(jax.tree.leaves(mixed), jax.tree.leaves(alone)):
            np.testing.assert_allclose(
                a[..., index == instance], b[..., index == instance], rtol=1e-5
            )
