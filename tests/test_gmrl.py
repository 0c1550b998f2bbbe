"""Graph multi-agent PPO: the convolution, the critic of the whole graph, and orders by (s, S)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.agents.gmrl import GMRL, GMRLConfig, adjacency
from jaxinv.agents.loop import Trainer, check_finite
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import LostSales, Serial
from jaxinv.envs.registry import preset
from jaxinv.envs.roles import Roles
from jaxinv.errors import UserError
from jaxinv.nets.graph import GCN, GraphCritic, normalised
from jaxinv.policies.decode import RATES, raw_of
from jaxinv.policies.reorder import ReorderDecode

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZES = dict(
    updates=10, envs=4, rollout=3, hidden=(8,), encoder="none", minibatches=2, epochs=1, forecast=0
)
STORES = OneWarehouseManyStores(stores=2, horizon=12)


def agent_of(kind=STORES, **options):
    return GMRL.create(kind.build(), GMRLConfig(**{**SIZES, **options}))


# --- the convolution ------------------------------------------------------------------------------


def test_the_adjacency_is_normalised_as_by_hand():
    """A path of three nodes: with itself the first has degree 2, the second 3, the third 2."""
    path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    far = 1 / np.sqrt(6)
    by_hand = [[1 / 2, far, 0], [far, 1 / 3, far], [0, far, 1 / 2]]
    np.testing.assert_allclose(normalised(path), by_hand, rtol=1e-6)
    np.testing.assert_allclose(normalised(np.zeros((1, 1))), [[1.0]])


def test_agents_are_linked_where_goods_go_between_them():
    topology = Serial(lead_times=(1, 1, 1), holding_costs=(1.0,) * 3).build().env.topology
    np.testing.assert_array_equal(
        adjacency(topology, Roles.by_node(topology)), [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    )
    topology = STORES.build().env.topology
    linked = adjacency(topology, Roles.by_node(topology))
    np.testing.assert_array_equal(linked, [[0, 1, 1], [1, 0, 0], [1, 0, 0]])
    both = dataclasses.replace(Roles.one(topology).agents[0], name="stores", decides=(1, 2))
    first = dataclasses.replace(both, name="warehouse", decides=(0,))
    np.testing.assert_array_equal(adjacency(topology, Roles((first, both))), [[0, 1], [1, 0]])


def test_the_convolution_turns_with_its_nodes():
    """Nodes in another order, and their links with them, give the embeddings in that order and the
    same value; links that stay behind do not.
    """
    draw = np.random.default_rng(0)
    linked = np.triu(draw.random((5, 5)) < 0.5, 1)
    linked, order = linked | linked.T, draw.permutation(5)
    features = jnp.asarray(draw.normal(size=(3, 5, 4)), jnp.float32)

    def made(kind, linked):
        return kind(tuple(map(tuple, normalised(linked).tolist())), (8, 6))

    for kind in (GCN, GraphCritic):
        net = made(kind, linked)
        params = net.init(jax.random.key(0), features)
        params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # the last kernel is small
        before = net.apply(params, features)
        turned = made(kind, linked[np.ix_(order, order)]).apply(params, features[:, order])
        wrong = net.apply(params, features[:, order])
        expected = before[:, order] if kind is GCN else before
        np.testing.assert_allclose(turned, expected, rtol=1e-5, atol=1e-6)
        assert np.abs(wrong - expected).max() > 1e-3


def test_the_critic_sees_all_and_an_actor_itself_alone():
    agent = agent_of()
    stock = jax.random.normal(jax.random.key(1), (3, 23))
    network = agent.policy.network
    params = jax.tree.map(
        lambda leaf: leaf + 0.1, network.init(jax.random.key(0), jnp.zeros((1, 3)), stock)
    )
    decide = jax.jit(lambda stock: network.apply(params, None, stock, method="decide"))
    before, after = decide(stock), decide(stock.at[1].add(1.0))
    owners = np.asarray(agent.policy.owners.of)
    same = before.mean == after.mean
    assert same[owners != 1].all() and not same[owners == 1].any()
    assert before.value.shape == (3,) and np.ptp(before.value) == 0
    assert not (before.value == after.value).any()


# --- orders ---------------------------------------------------------------------------------------


def test_orders_are_by_position_and_s_is_at_most_S():
    """A coverage of 4 periods at a rate of 5: raw outputs 0 and r make s = 20 and S = 25, in either
    order.
    """
    env, params = LostSales(lead_time=3).build().env, LostSales(lead_time=3).build().first
    decode = ReorderDecode(env.topology)
    _, state = env.reset_env(jax.random.key(0), params)
    rates, up = jnp.full((1, 1, RATES), 5.0), float(raw_of(1.25))

    def order(on_hand, pipeline, raw=(up, 0.0)):
        network = state.network.replace(
            on_hand=jnp.full((1, 1), on_hand), pipeline=jnp.asarray([[pipeline]], jnp.float32)
        )
        return float(
            decode(jnp.asarray(raw), env.view(network, params, state.signals), rates)[0, 0]
        )

    assert order(20.0, [0, 0]) == pytest.approx(5) and order(20.5, [0, 0]) == 0
    assert order(0.0, [10, 11]) == 0, "on its way is ordered already"
    assert order(0.0, [10, 3]) == pytest.approx(12) == order(0.0, [10, 3], (0.0, up))
    observation = env.view(state.network, params, state.signals)
    for raw in ((-3.0, -40.0), (2.0, -1.0), (0.0, 5.0)):
        raw = jnp.asarray(raw)
        low = decode.reorder_point(raw, observation, rates)
        assert (low <= decode.target(raw, observation, rates)).all()
    for wanted in (0.0, 7.0):
        raw = decode.raw_for(jnp.full((1, 1), wanted), observation, rates)
        np.testing.assert_allclose(decode(raw, observation, rates), wanted, atol=1e-4)


# --- learning -------------------------------------------------------------------------------------


def test_noise_is_on_values_alone():
    agent = agent_of(rollout=6, envs=256)
    state = jax.jit(agent.init)(jax.random.key(0))

    def played(agent, state):
        instance = agent.worlds.instance_params(state.index, state.episodes.key)
        _, trace, signals = agent.worlds.play_ahead(state.episodes, instance)
        return agent.play(state.params, state.key, state.episodes, trace, signals, instance)[0]

    play = jax.jit(played)
    noisy = play(agent, state)
    numbers = {**agent.numbers, "value_noise": jnp.float32(0.0)}
    plain = play(agent.replace(numbers=numbers), state)
    np.testing.assert_array_equal(noisy.kept[0], plain.kept[0])
    np.testing.assert_array_equal(noisy.reward, plain.reward)
    noise = noisy.kept[1] - plain.kept[1]
    assert noise.shape == (6, 3, 256) and np.std(noise) == pytest.approx(
        0.2 * float(np.std(plain.kept[1])), rel=0.1
    )


@pytest.mark.parametrize("kind", [STORES, LostSales(lead_time=2)], ids=["stores", "one store"])
def test_it_trains_all_of_its_network(kind):
    agent = agent_of(kind)
    trainer = Trainer(agent)
    before = trainer.init(jax.random.key(0))
    after, metrics = trainer.advance(before, 2)
    check_finite(metrics, 0)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before.params, after.params)
    assert all(jax.tree.leaves(moved)), moved
    assert ("team_critic" in before.params["params"]) == (agent.roles is not None)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(pathwise=True), "jump at s"),
        (dict(action_values=True), "leave them out"),
        (dict(form="none"), "form=none: orders by"),
        (dict(convolutions=()), "at least one width"),
        (dict(team_share=0.5), "judge what all do together"),
        (dict(roles="one"), "give roles=nodes"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        agent_of(**options)


@pytest.mark.parametrize("name", ["two_warehouses", "omnichannel", "cross_border"])
def test_it_is_made_for_every_network(name):
    options = dict(stores=2) if name == "omnichannel" else {}
    agent = agent_of(preset(name)(**options))
    state = jax.eval_shape(agent.init, jax.random.key(0))
    _, metrics = jax.eval_shape(agent.update, state)
    assert metrics["cost"].shape == ()
