"""Networks as multi-agent environments: the play of the undivided network, dealt out. No package of
others is needed.
"""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.envs import multi_agent, roles
from jaxinv.envs.division import Division
from jaxinv.envs.multi_agent import MultiAgentNetwork
from jaxinv.envs.presets import BEER_GAME
from jaxinv.envs.roles import Roles
from jaxinv.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")

STORES = dict(stores=2, horizon=3)
SHOP = dict(stores=2, return_rates=(0.1, 0.2), return_days=(1, 2), history=2, horizon=3)


@pytest.fixture(autouse=True)
def without_packages(monkeypatch):
    """As where neither is installed."""
    for package in ("jaxmarl.environments", "pettingzoo"):
        monkeypatch.setitem(sys.modules, package, None)
    for module in ("jaxinv.envs.jaxmarl", "jaxinv.envs.parallel"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def made(name, options, **division):
    """A preset's environment, undivided and divided."""
    env, params = jaxinv.make(name, **options)
    return env, params, jaxinv.make_multi_agent(name, **division, **options)


def orders_of(env, params, seed):
    """An action of the undivided network within its space."""
    return env.action_space(params).sample(jax.random.key(seed))


def dealt(multi, action):
    """The same action as each agent gives its part of it."""
    orders, fates = (
        (action["orders"], action["dispositions"]) if isinstance(action, dict) else (action, None)
    )
    parts = {}
    for role in multi.division.roles.agents:
        own = [orders[np.asarray(role.decides, int)].reshape(-1)]
        if role.returns:
            own.append(fates[np.asarray(role.returns)].reshape(-1))
        parts[role.name] = jnp.concatenate(own)
    return parts


@pytest.mark.parametrize(
    "name, options, who",
    [
        ("serial", BEER_GAME | dict(horizon=3), "nodes"),
        ("two_warehouses", dict(horizon=3), "warehouses"),
        ("omnichannel", SHOP, "functions"),
    ],
)
def test_the_play_is_that_of_the_undivided_network_to_the_bit(name, options, who):
    env, params, multi = made(name, options, roles=who, share=0.0)
    key = jax.random.key(3)
    whole, state = env.reset(key, params)
    observations, divided = multi.reset(key)
    names = env.observation_names(params)
    ended = False
    for period in range(5):
        np.testing.assert_array_equal(multi.get_world_state(divided), whole)
        for agent in multi.agents:
            entries = [names.index(entry) for entry in multi.observation_names(agent)]
            np.testing.assert_array_equal(observations[agent], whole[np.asarray(entries)])
        key, action = jax.random.key(period), orders_of(env, params, 10 + period)
        whole, state, reward, terminated, truncated, _ = env.step(key, state, action, params)
        observations, divided, rewards, dones, infos = multi.step(
            key, divided, dealt(multi, action)
        )
        if who != "functions":  # of which two pay for returns
            assert sum(map(float, rewards.values())) == pytest.approx(float(reward), rel=1e-5)
        assert (
            bool(dones["__all__"])
            == bool(terminated | truncated)
            == all(bool(dones[agent]) for agent in multi.agents)
        )
        assert infos["terminated"].shape == (multi.num_agents,) and bool(
            infos["truncated"][0]
        ) == bool(truncated)
        ended |= bool(truncated)
        jax.tree.map(np.testing.assert_array_equal, divided, state)
    assert ended  # one episode went over into the next


def test_who_sees_what():
    _, _, multi = made("one_warehouse_many_stores", STORES)
    assert multi.agents == ["warehouse", "store 0", "store 1"]
    store, warehouse = multi.observation_names("store 1"), multi.observation_names("warehouse")
    assert "on_hand[store 1]" in store and "demand[store 1, 1 ago]" in store
    others = ("store 0", "warehouse", "edge 0", "edge 1")
    assert not [entry for entry in store if any(other in entry for other in others)]
    assert "pipeline[edge 2, 1 ago]" in warehouse
    assert not [entry for entry in warehouse if "demand" in entry or "hand[store" in entry]
    assert multi.agent_classes == {"warehouse": ["warehouse"], "store 0": ["store 0", "store 1"]}
    assert multi.action_names("store 0") == ("order[edge 1]",)


def test_nothing_of_other_nodes_moves_what_an_agent_sees():
    _, _, multi = made("one_warehouse_many_stores", STORES)
    _, state = multi.reset(jax.random.key(0))
    before = multi.get_obs(state)
    moved = multi.get_obs(
        state.replace(network=state.network.replace(on_hand=state.network.on_hand.at[2].add(5.0)))
    )
    for agent in multi.agents:
        assert bool(jnp.any(moved[agent] != before[agent])) == (agent == "store 1")


def test_what_is_told_to_all_is_seen_by_all():
    multi = jaxinv.make_multi_agent("serial", tell=("season(7)",))
    for agent in multi.agents:
        assert (
            len([entry for entry in multi.observation_names(agent) if "known[time" in entry]) == 2
        )
        assert ("demand[stage 3, 1 ago]" in multi.observation_names(agent)) == (agent == "stage 3")


@pytest.mark.parametrize("few", [0, 1000])
def test_rewards_are_mixed_with_the_teams(few, monkeypatch):
    monkeypatch.setattr(roles, "FEW", few)
    topology = jaxinv.preset("one_warehouse_many_stores")(stores=2).build().env.topology
    draw = np.random.default_rng(few)
    at_nodes, at_edges = draw.random(3, np.float32), draw.random(3, np.float32)
    own = at_nodes + at_edges  # each pays for its node and the one edge into it
    for share in (0.0, 0.25, 1.0, jnp.float32(1.0)):
        mixed = Roles.by_node(topology).mixed(
            topology, jnp.asarray(at_nodes), jnp.asarray(at_edges), share
        )
        np.testing.assert_allclose(mixed, share * own.mean() + (1 - share) * own, rtol=1e-5)


def test_levels_are_multiples_of_typical_demand():
    env, params, multi = made("serial", dict(horizon=3), levels=(0.0, 0.5, 2.0))
    typical = np.asarray(params.scale)[:, 0]
    chosen = dict(
        zip(multi.agents, map(jnp.int32, (0, 1, 2, 7)))
    )  # what is beyond the last is the last
    np.testing.assert_allclose(
        multi.division.join(chosen, params)[:, 0], typical * [0.0, 0.5, 2.0, 2.0], rtol=1e-6
    )
    assert all(multi.action_space(agent).n == 3 for agent in multi.agents)
    assert jaxinv.make_multi_agent("serial", levels=11).division.levels[::10] == (
        0.0,
        multi_agent.LARGEST,
    )


def test_scaled_agents_see_units_of_typical_demand_and_order_by_numbers_of_one():
    options = dict(horizon=3)
    env, params, plain = made("serial", options)
    _, _, multi = made("serial", options, scaled=True, largest=2)
    key = jax.random.key(0)
    (whole, state), (seen, _) = plain.reset(key), multi.reset(key)
    typical = np.asarray(params.scale)[:, 0]
    units = typical * np.asarray(env.facts(params).lead_time + 1.0)
    for node, agent in enumerate(multi.agents):
        names = multi.observation_names(agent)
        assert not [name for name in names if name.startswith(("holding", "lead_time", "scale"))]
        for name, value in zip(names, seen[agent]):
            unit = units[node] if name.startswith("on_hand") else typical[node]
            expected = whole[agent][plain.observation_names(agent).index(name)] / unit
            np.testing.assert_allclose(value, expected, rtol=1e-6)
        space = multi.action_space(agent)
        assert (float(space.low[0]), float(space.high[0])) == (-1.0, 1.0)
        assert bool(multi.observation_space(agent).contains(seen[agent]))
    orders = dict(zip(multi.agents, jnp.asarray([[-1.0], [0.0], [1.0], [5.0]])))
    np.testing.assert_allclose(
        multi.division.join(orders, params)[:, 0], typical * [0.0, 1.0, 2.0, 2.0], rtol=1e-6
    )
    assert multi.get_world_state(state).shape == (multi.world_state_size,)


def test_several_orders_are_combined_into_one_choice_the_last_counting_fastest():
    _, params, multi = made("two_warehouses", {}, roles="warehouses", levels=(0.0, 1.0, 2.0))
    assert multi.action_names("A") == ("order[supplier-A]", "order[A-B]")
    assert (
        multi.action_space("A").n == 9 and multi.get_avail_actions(None)["A"].tolist() == [True] * 9
    )
    orders = multi.division.join(
        {"A": jnp.int32(5), "B": jnp.int32(0)}, params
    )  # 5 is levels 1 and 2
    names = multi.division.env.topology.edge_names
    scale = np.asarray(params.scale)[:, 0]
    assert float(orders[names.index("supplier-A"), 0]) == pytest.approx(1.0 * scale[0])
    assert float(orders[names.index("A-B"), 0]) == pytest.approx(2.0 * scale[1])


def test_too_many_combinations_are_chosen_one_by_one_and_padding_says_what_is_there():
    _, params, multi = made("omnichannel", SHOP, levels=12, pad=True, roles="functions")
    lengths = {multi.observation_space(agent).shape for agent in multi.agents}
    assert (
        len(lengths) == 1 and len({multi.action_space(agent).shape for agent in multi.agents}) == 1
    )
    observations, _ = multi.reset(jax.random.key(0))
    for agent, names in ((agent, multi.observation_names(agent)) for agent in multi.agents):
        assert observations[agent].shape in lengths and not np.any(
            observations[agent][len(names) :]
        )
    available = multi.get_avail_actions(None)
    for number, agent in enumerate(multi.agents):
        space, counts = multi.action_space(agent), multi.division.counts[number]
        assert available[agent].sum(-1)[: len(counts)].tolist() == list(counts)
        assert bool(space.contains(space.sample(jax.random.key(number))))
    returns = [role.name for role in multi.division.roles.agents if role.returns]
    sampled = {agent: multi.action_space(agent).sample(jax.random.key(1)) for agent in multi.agents}
    action = multi.division.join(sampled, params)
    assert returns and np.all(
        np.asarray(action.dispositions).sum(-1) == 1.0
    )  # each is one of three fates
    np.testing.assert_array_equal(np.asarray(action.dispositions).max(-1), 1.0)


def test_vmap_and_a_state_to_reset_to():
    _, _, multi = made("serial", BEER_GAME | dict(horizon=3))
    keys = jax.random.split(jax.random.key(0), 3)
    observations, states = jax.vmap(multi.reset)(keys)
    states = states.replace(network=states.network.replace(time=states.network.time + 2))
    actions = {agent: jnp.full((3, 1), 4.0) for agent in multi.agents}
    stepped, after, _, dones, _ = jax.vmap(multi.step)(keys, states, actions)
    assert bool(dones["__all__"].all()) and after.time.tolist() == [0, 0, 0]
    assert stepped["stage 0"].shape == observations["stage 0"].shape
    begin = jax.tree.map(lambda leaf: leaf[0], states)
    begin = begin.replace(network=begin.network.replace(on_hand=begin.network.on_hand + 9.0))
    one = {agent: jnp.full((1,), 4.0) for agent in multi.agents}
    seen, state, *_ = multi.step(keys[0], begin, one, begin)
    np.testing.assert_array_equal(state.network.on_hand, begin.network.on_hand)
    np.testing.assert_array_equal(seen["stage 0"], multi.get_obs(begin)["stage 0"])
    assert int(multi.step_env(keys[0], begin, one)[1].time) == 3  # that one goes no further


def test_rewards_can_be_differentiated_to_actions():
    _, _, multi = made(
        "serial", dict(lead_times=(0, 1), holding_costs=(0.5, 1.0), horizon=3), share=0.0
    )
    _, state = multi.reset(jax.random.key(0))

    def reward(order):
        return multi.step_env(jax.random.key(1), state, {"stage 0": order, "stage 1": jnp.ones(1)})[
            2
        ]["stage 0"]

    assert float(jax.grad(reward)(jnp.full(1, 2.0))[0]) == pytest.approx(-0.5, abs=1e-3)


def test_an_equal_division_is_not_compiled_again():
    first, second = (
        jaxinv.make_multi_agent("serial", horizon=3, shortage_cost=cost) for cost in (9.0, 19.0)
    )
    assert first.division == second.division and hash(first.division) == hash(second.division)
    first.reset(jax.random.key(0))
    before = Division.reset._cache_size()
    second.reset(jax.random.key(0))
    assert Division.reset._cache_size() == before


@pytest.mark.parametrize(
    "name, given, said",
    [
        ("seria", {}, "did you mean 'serial'"),
        ("serial", dict(roles="node"), "unknown roles 'node'; did you mean 'nodes'"),
        ("serial", dict(api="petting_zoo"), "unknown api 'petting_zoo'; did you mean 'pettingzoo'"),
        ("serial", dict(share=1.5), "share=1.5 must lie in 0..1"),
        ("serial", dict(levels=1), "levels=1: give how many, at least 2"),
        ("serial", dict(levels=(1.0, 0.5)), "rising"),
        ("serial", dict(levels="many"), "levels=many"),
        ("serial", dict(lead_tims=(1,)), "did you mean 'lead_times'"),
        ("serial", dict(roles=Roles(())), "without an agent"),
        ("serial", dict(roles={"planner": {"decides": ["edge 0"]}}), "decided by no role"),
        ("serial", dict(roles=3), "roles"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_by_name(name, given, said):
    with pytest.raises(UserError, match=said):
        jaxinv.make_multi_agent(name, **given)


@pytest.mark.parametrize(
    "wrong, said",
    [
        (lambda actions: actions.pop("stage 1"), "no action for stage 1"),
        (
            lambda actions: actions.update({"stage 9": 0}),
            "unknown agent among the actions 'stage 9'",
        ),
        (
            lambda actions: actions.update({"stage 1": jnp.zeros(2)}),
            r"stage 1 is an array of shape \(1,\), not \(2,\)",
        ),
    ],
)
def test_wrong_actions_are_refused_by_name(wrong, said):
    multi = jaxinv.make_multi_agent("serial", horizon=3)
    state = jax.eval_shape(multi.reset, jax.random.key(0))[1]
    actions = {agent: jnp.zeros(1) for agent in multi.agents}
    wrong(actions)
    with pytest.raises(UserError, match=said):
        jax.eval_shape(multi.step, jax.random.key(0), state, actions)
    with pytest.raises(UserError, match="a mapping from each agent's name"):
        jax.eval_shape(multi.step, jax.random.key(0), state, jnp.zeros((4, 1)))


def test_a_level_is_a_whole_number():
    multi = jaxinv.make_multi_agent("serial", levels=3)
    state = jax.eval_shape(multi.reset, jax.random.key(0))[1]
    with pytest.raises(UserError, match="must be whole numbers"):
        jax.eval_shape(
            multi.step, jax.random.key(0), state, {agent: jnp.float32(1) for agent in multi.agents}
        )
    with pytest.raises(UserError, match="unknown agent"):
        multi.action_names("stage 7")


def test_a_package_that_is_missing_is_named():
    assert type(jaxinv.make_multi_agent("serial")) is MultiAgentNetwork
    with pytest.raises(
        UserError, match=r"api=pettingzoo needs pettingzoo; pip install 'jaxinv\[marl\]'"
    ):
        jaxinv.make_multi_agent("serial", api="pettingzoo")


def test_the_example_of_the_documentation_runs():
    text = (Path(__file__).parents[1] / "docs" / "many_agents.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["rewards"].keys() == set(names["env"].agents)
