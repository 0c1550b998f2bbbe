"""The one record of what happened: played, saved, read again, and learned from alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow_but

from jaxinv.agents.loop import Trainer
from jaxinv.agents.registry import AGENTS
from jaxinv.envs.presets import DualSourcing, LostSales
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.rollout import BATCH, begin
from jaxinv.evaluation.simulate import simulate
from jaxinv.evaluation.trajectories import Trajectories, record
from jaxinv.policies.decode import FORMS, Decode
from jaxinv.policies.rules import make_rule, rule_for

pytestmark = pytest.mark.usefixtures("quick_compilation")

STORE = LostSales(lead_time=2, demand="seasonal", history=4, horizon=12)
SIZES = dict(
    updates=10, envs=4, rollout=3, features=8, heads=2, layers=1, hidden=(8,), capacity=48,
    batch=16, steps=2
)  # fmt: skip


def logged(problem, rule="base_stock", periods=9, batch=5, level=1.2):
    policy = rule_for(problem, rule)
    numbers = {name: jnp.full(shape, level) for name, shape in policy.shapes().items()}
    episodes = begin(problem.env, jax.random.key(3), problem.first, batch)
    return (
        record(problem.env, problem.first, policy, numbers, episodes, periods)[1],
        policy,
        numbers,
    )


def agent_of(name, problem, log=None, **options):
    return AGENTS[name].create(
        problem, AGENTS[name].Config(**{**SIZES, **options}), **({"log": log} if log else {})
    )


# --- the record -----------------------------------------------------------------------------------


def test_what_is_recorded_is_what_is_simulated():
    problem = STORE.build()
    log, policy, numbers = logged(problem)
    total = simulate(
        problem.env, problem.first, policy, numbers, jax.random.key(3), batch=5, periods=9
    )
    for name in ("demand", "short", "executed"):
        parts = np.asarray(getattr(log, name), np.float64)
        ours, theirs = (
            parts.sum(tuple(range(parts.ndim - 1))),
            getattr(total, "ordered" if name == "executed" else name),
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(
        log.costs.nodes.sum((0, 1)) + log.costs.edges.sum((0, 1)), total.costs, rtol=1e-5
    )
    np.testing.assert_allclose(log.reward.sum(0), total.reward, rtol=1e-5)
    assert log.signals.shape == (4 + 9, 3, 5) and log.observation.pipeline.shape == (10, 1, 1, 1, 5)
    np.testing.assert_array_equal(log.latest[1:, 0], log.demand[:-1, 0, 0])
    balance = (
        log.observation.on_hand[:-1]
        - (log.demand - log.short)
        + log.observation.pipeline[:-1, :, :, 0]
    )
    np.testing.assert_allclose(log.observation.on_hand[1:], balance, atol=1e-4)


def test_a_file_gives_the_same_trajectories(tmp_path):
    log = logged(preset("perishable")().build())[0]
    log.save(tmp_path / "log.npz")
    back = Trajectories.load(tmp_path / "log.npz")
    assert jax.tree.structure(back) == jax.tree.structure(log)
    jax.tree.map(np.testing.assert_array_equal, back, log)
    assert [path.name for path in tmp_path.iterdir()] == ["log.npz"]


@pytest.mark.parametrize(
    "change, message",
    [
        (
            dict(schema=2),
            "trajectories of schema 2, and this version reads schema 1; record them again",
        ),
        (dict(schema=None), "trajectories of schema none"),
        (dict(weather=np.zeros(3)), "this file has a part weather"),
        ({"observation.weather": np.zeros(3)}, "has a part observation.weather"),
        (dict(reward=None), "has no reward"),
        ({"observation.pipeline": None}, "has no observation.pipeline"),
        (dict(demand=np.array(["many"])), r"demand has shape \(1,\), which does not go with"),
        (dict(demand=np.full((9, 1, 1, 5), "many")), "demand holds a value that is not a number"),
        (dict(short=np.float32(1.0)), r"short has shape \(\), which does not go"),
        (dict(reward=np.zeros(9)), r"reward has shape \(9,\) and must be \[T, B\]"),
        (
            dict(orders=np.zeros((8, 1, 1, 5))),
            r"orders has shape \(8, 1, 1, 5\), which does not go with 9 periods of 5",
        ),
        (
            {"costs.nodes": np.full((9, 1, 9, 5), np.nan)},
            "costs holds a value that is not a number",
        ),
        (dict(demand=np.array([{}], object)), "no trajectories can be read from it"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, change, message):
    path = tmp_path / "log.npz"
    logged(LostSales(lead_time=2).build())[0].save(path)
    with np.load(path) as file:
        arrays = dict(file) | change
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=message):
        Trajectories.load(path)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match="log.npz: cannot be written .No such file or directory."):
        Trajectories(reward=jnp.zeros((2, 3))).save(tmp_path / "nowhere" / "log.npz")


@pytest.mark.parametrize("content", [None, b"", b"date,sku,sales\n", b"PK\x03\x04 cut short"])
def test_what_is_no_file_of_arrays_is_named(tmp_path, content):
    path = tmp_path / "log.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="log.npz: no trajectories can be read from it"):
        Trajectories.load(path)


# --- another policy's decisions in a learner's terms ----------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("network", [LostSales(lead_time=3, history=8), DualSourcing(history=8)])
def test_raw_outputs_for_an_order_order_it(form, network):
    problem = network.build()
    log = logged(problem, "capped_base_stock" if isinstance(network, LostSales) else "dual_index")[
        0
    ]
    decode = Decode(problem.env.topology, form)
    policy = agent_of("ddpg", problem, form=form, encoder="none").policy

    def again(observation, signals, facts, order):
        rates = policy.read_rates(signals, facts).rates[-1]
        observation = observation.replace(instance=facts)
        return decode(decode.raw_for(order, observation, rates), observation, rates)

    for period in (0, 4):
        now = jax.tree.map(lambda leaf: leaf[period], (log.observation, log.orders))
        ours = jax.vmap(again, BATCH, BATCH)(
            now[0], log.signals[period : period + 8], log.facts, now[1]
        )
        np.testing.assert_allclose(ours, now[1], atol=2e-4)


@pytest.mark.parametrize("name", slow_but(["dqn"], ["ddpg", "dqn"]))
def test_a_log_of_a_learners_own_play_is_that_play(name):
    """Its network would have seen the very same, and chosen the very same decisions where they
    order anything.
    """
    problem = LostSales(
        lead_time=2, demand="seasonal", history=4, horizon=12, integer_orders=False
    ).build()
    agent = agent_of(name, problem, rollout=6, capacity=24)
    state = agent.init(jax.random.key(0))
    episodes, worlds = state.episodes, agent.worlds
    instance = worlds.instance_params(state.index, episodes.key)
    _, trace, signals = worlds.play_ahead(episodes, instance)
    noise = jax.tree.map(jnp.zeros_like, agent.noise(jax.random.key(1), 0))
    own = agent.explore(state.params, agent.choose, noise, episodes, trace, signals, instance)
    log = record(worlds.env, instance, agent.policy, state.params, episodes, 6)[1]
    if worlds.window:
        log = record(
            worlds.env, instance, agent.policy, state.params, episodes, 6 + worlds.window.lead
        )[1]
    learner = agent_of(name, problem, log, rollout=6, capacity=24)
    items = jax.tree.map(
        lambda leaf: np.asarray(leaf).reshape(4, 6, *leaf.shape[1:]), learner.log.items
    )
    np.testing.assert_allclose(
        items.stock[:, :, 0], np.moveaxis(np.asarray(own.stock[:-1]), -1, 0), atol=1e-5
    )
    ordered = np.moveaxis(np.asarray(log.orders[:6, 0, 0]), -1, 0) > 1e-3
    assert ordered.sum() > 6
    np.testing.assert_allclose(
        items.kept[..., 0][ordered],
        np.moveaxis(np.asarray(own.kept), -1, 0)[..., 0][ordered],
        atol=2e-4,
    )
    np.testing.assert_array_equal(items.signals[:, :-1, 1:], items.signals[:, 1:, :-1])


@pytest.mark.parametrize("name", slow_but(["dqn"], ["ddpg", "sac", "dqn"]))
def test_a_learner_learns_from_a_log_alone(name):
    """Stores run by levels anywhere between half and twice the coverage; the optimum is 5.43822
    (inventory.md, table 1.1).
    """
    problem = LostSales(lead_time=1, shortage_cost=9.0).build()
    policy = make_rule("base_stock", problem.env.topology)
    levels = {"level": jnp.linspace(0.5, 2.5, 128)[None, None]}
    episodes = begin(problem.env, jax.random.key(0), problem.first, 128)
    log = record(problem.env, problem.first, policy, levels, episodes, 100, policy_axis=BATCH)[1]
    kind = AGENTS[name]
    config = kind.Config(
        **{
            **kind.Config.stock_only,
            "updates": 150,
            "hidden": (32, 32),
            "steps": 16,
            "envs": 1,
            "rollout": 1,
        }
    )
    agent = kind.create(problem, config, log=log)
    trainer = Trainer(agent)
    before = trainer.init(jax.random.key(0))
    state, metrics = trainer.advance(before, 150)
    jax.tree.map(
        np.testing.assert_array_equal,
        state.learner.episodes.network,
        before.learner.episodes.network,
    )
    total = measure(problem, Contestant(name, agent.policy, state.params), jax.random.key(1), 256)
    cost = -total.reward.mean() / (problem.test_periods - problem.warm_up)
    assert 5.3 < cost < 1.08 * 5.43822 < 0.9 * metrics["cost"][0]


@pytest.mark.parametrize(
    "options, change, message",
    [
        (dict(penalty="reward"), {}, "a penalty needs worlds to play in, and a log has none"),
        (dict(preferences=True), {}, "preferences=true needs worlds to play in"),
        ({}, dict(orders=None), "the log has no orders"),
        (
            {},
            dict(other=LostSales(lead_time=3)),
            r"its pipeline has shape \(10, 1, 1, 2, 5\), and .* has \(10, 1, 1, 1, 5\)",
        ),
        (
            {},
            dict(other=LostSales(lead_time=2, history=3)),
            r"its signals has shape \(12, 1, 5\), and .* has \(10, 1, 5\)",
        ),
        (
            dict(aligned_rewards=True),
            dict(periods=2),
            "a log of 2 periods is too short: orders take 2",
        ),
    ],
)
def test_a_log_that_cannot_be_learned_from_is_refused_when_built(options, change, message):
    change = dict(change)
    problem = LostSales(lead_time=2).build()
    log = logged(
        change.pop("other", LostSales(lead_time=2)).build(), periods=change.pop("periods", 9)
    )[0]
    with pytest.raises(UserError, match=message):
        agent_of("ddpg", problem, log.replace(**change), encoder="none", **options)
