"""Learners from a replay buffer: what they remember, their losses by hand, and what they learn
where the optimum is known.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow_but

from jaxinv.agents.actor_q import DDPGConfig, SACConfig, quantile_huber
from jaxinv.agents.dqn import DQNConfig
from jaxinv.agents.loop import (
    Trainer,
    check_critics,
    check_finite,
    check_moving,
    select_run,
    stack_agents,
)
from jaxinv.agents.registry import AGENTS
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import LostSales
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evidence import Contest, check_learned
from jaxinv.experiment import Experiment
from jaxinv.nets.critics import SPAN, cubic_splines

SIZES = dict(
    updates=10,
    envs=4,
    rollout=3,
    features=8,
    heads=2,
    layers=1,
    hidden=(8,),
    capacity=48,
    batch=16,
    steps=2,
)
SINGLE = LostSales(lead_time=2, demand="seasonal", history=4, horizon=12)
NETWORK = OneWarehouseManyStores(stores=2, history=4, horizon=12)
BUFFERED = ("dqn", "ddpg", "sac")


def agent_of(name, preset=SINGLE, **options):
    agent = AGENTS[name]
    return agent.create(preset.build(), agent.Config(**{**SIZES, **options}))


@cache
def updated(name, **options):
    trainer = Trainer(agent_of(name, **options))
    before = trainer.init(jax.random.key(0))
    after, metrics = trainer.advance(before, 2)
    return trainer.agent, before.learner, after.learner, metrics


# --- what every one of them does ------------------------------------------------------------------


@pytest.mark.parametrize("name", BUFFERED)
def test_an_update_moves_every_number_and_keeps_every_shape(quick_compilation, name):
    agent, before, after, metrics = updated(name)
    check_finite(metrics, 0)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before.params, after.params)
    assert all(jax.tree.leaves(moved)), moved
    assert jax.tree.map(jax.typeof, before) == jax.tree.map(jax.typeof, after)
    assert (metrics["cost"] > 0).all() and int(after.update) == 2


@pytest.mark.parametrize("name", BUFFERED)
def test_the_target_follows_slowly(quick_compilation, name):
    _, before, after, _ = updated(name, target_rate=0.05)
    moves = [
        (float(jnp.abs(new - old).max()), float(jnp.abs(target - old).max()))
        for new, target, old in zip(
            *map(jax.tree.leaves, (after.params, after.target, before.params))
        )
    ]
    assert all(0 < target < move for move, target in moves)


def test_transitions_in_the_buffer_are_those_that_were_played(quick_compilation):
    """Each one's next stock and window are the next one's own, and rewards add up to the cost of
    the rollout.
    """
    agent, _, after, metrics = updated("ddpg")
    held = jax.tree.map(
        lambda leaf: np.asarray(leaf).reshape(4, 4, 3, *leaf.shape[1:])[:2], after.replay.items
    )
    assert int(after.replay.size) == 24 and int(after.replay.place) == 24
    np.testing.assert_array_equal(
        held.stock[:, :, :-1, 1], held.stock[:, :, 1:, 0]
    )  # [update, env, period]
    np.testing.assert_array_equal(held.signals[:, :, :-1, 1:], held.signals[:, :, 1:, :-1])
    np.testing.assert_allclose(-held.reward.mean((1, 2)), metrics["cost"], rtol=1e-5)


def test_the_window_of_a_transition_gives_the_states_of_both_its_decisions(quick_compilation):
    agent, _, state, _ = updated("ddpg")
    batch = jax.tree.map(lambda leaf: leaf[:12], state.replay.items)
    seen = agent._see(state.params, state.target, batch)
    np.testing.assert_allclose(
        seen.next_state.reshape(4, 3, -1)[:, :-1], seen.state.reshape(4, 3, -1)[:, 1:], atol=1e-5
    )


@pytest.mark.parametrize("name", BUFFERED)
def test_every_one_fits_a_network_with_several_orders(name):
    agent = agent_of(name, NETWORK, encoder="last")

    def shapes(key):
        state = agent.init(key)
        return state, agent.update(state)[0]

    before, after = jax.eval_shape(shapes, jax.random.key(0))
    assert before == after


@pytest.mark.slow
def test_runs_side_by_side_equal_single_runs(quick_compilation):
    agents = [agent_of("sac", encoder="none", learning_rate=rate) for rate in (1e-3, 1e-2)]
    keys = jax.random.split(jax.random.key(5), 2)
    trainer = Trainer(stack_agents(agents, seeds=1), runs=2)
    together, _ = trainer.advance(trainer.init(keys), 2)
    for run, (agent, key) in enumerate(zip(agents, keys)):
        alone = Trainer(agent)
        state, _ = alone.advance(alone.init(key), 2)
        for left, right in zip(
            *map(jax.tree.leaves, (select_run(together, run).params, state.params)), strict=True
        ):
            np.testing.assert_allclose(left, right, atol=1e-4)


# --- losses ---------------------------------------------------------------------------------------


def test_the_quantile_huber_loss_is_least_at_the_quantiles():
    wanted = jnp.asarray(np.random.default_rng(0).uniform(0, 200, (1, 20000)), jnp.float32)
    levels = (jnp.arange(4) + 0.5) / 4
    slope = jax.grad(lambda told: quantile_huber(told, wanted))(200 * levels[None, None])
    np.testing.assert_allclose(slope, 0.0, atol=0.004)
    away = jax.grad(lambda told: quantile_huber(told, wanted))(200 * levels[None, None] + 20.0)
    assert float(away.min()) > 0.01


def test_the_double_target_of_dqn_by_hand(quick_compilation):
    """The learned network chooses the next order, the target network values it."""
    agent, _, state, _ = updated("dqn", encoder="none")
    batch = jax.tree.map(lambda leaf: leaf[:8], state.replay.items)
    seen = agent._see(state.params, state.target, batch)
    loss, _ = agent.loss(state.params, state.target, seen, jax.random.key(0))
    total = 0.0
    for stock, after, action, reward in zip(seen.stock, seen.next_stock, seen.action, seen.reward):
        chosen = int(jnp.argmax(agent.apply(state.params, "decide", None, after).mean))
        value = float(agent.apply(state.target, "decide", None, after).mean[chosen])
        error = (
            float(agent.apply(state.params, "decide", None, stock).mean[int(action[0])])
            - float(reward)
            - 0.98 * value
        )
        total += 0.5 * error**2
    assert float(loss) == pytest.approx(total / 8, rel=1e-4)


def test_the_actor_climbs_and_leaves_the_critics_as_they_are(quick_compilation):
    agent, _, state, _ = updated("ddpg", encoder="none")
    stock = state.replay.items.stock[:8, 0]

    def climbed(params):
        return agent.climb(
            params, None, stock, agent.apply(params, "decide", None, stock).mean
        ).mean()

    slope = jax.grad(climbed)(state.params)["params"]
    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in jax.tree.leaves(slope["q"]))
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(slope["actor"]))


def test_dqn_decides_by_its_best_level_and_explores_less_and_less(quick_compilation):
    agent, _, state, _ = updated("dqn", encoder="none")
    decide = agent.policy.network.apply(
        state.params, None, state.replay.items.stock[0, 0], method="decide"
    )
    index = jnp.argmax(decide.mean)
    np.testing.assert_array_equal(agent.policy.decode.one_hot(index[None]).argmax(), index)
    agent = agent.replace(numbers=agent.numbers | {"exploration": 0.05})
    (first, far), (later, near) = (
        agent.noise(jax.random.key(0), jnp.int32(update)) for update in (0, 10)
    )
    assert first.all() and later.mean() < 0.5
    np.testing.assert_allclose(far / near, 38 / 2)  # half the grid, then `reach`


def test_values_of_a_grid_are_cubic_splines_of_the_level():
    """The splines add up to 1 and hold every straight line and parabola, ends included."""
    splines, levels = cubic_splines(5, 21), np.linspace(0, 5, 21)
    np.testing.assert_allclose(splines.sum(0), 1.0, rtol=1e-6)
    middles = np.arange(8) - 1.0
    np.testing.assert_allclose(middles @ splines, levels, atol=1e-5)
    np.testing.assert_allclose((middles**2 - 1 / 3) @ splines, levels**2, atol=1e-5)


def test_raw_outputs_of_an_actor_stay_in_their_span(quick_compilation):
    agent, _, state, _ = updated("ddpg", encoder="none")
    wild = jax.tree.map(lambda leaf: 100 * leaf, state.params)
    mean = agent.apply(wild, "decide", None, state.replay.items.stock).mean
    assert float(jnp.abs(mean).max()) <= SPAN


# --- learning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", slow_but(["ddpg"], BUFFERED))
def test_each_comes_near_the_lost_sales_optimum(name):
    """inventory.md table 1.1: Poisson(5), lead time 1, penalty 9 costs 5.43822 a period at best, in
    whole orders.
    """
    problem = LostSales(lead_time=1, shortage_cost=9.0).build()
    kind = AGENTS[name]
    agent = kind.create(
        problem, kind.Config(**{**kind.Config.stock_only, "updates": 300, "hidden": (32, 32)})
    )
    trainer = Trainer(agent)
    state, _ = trainer.advance(trainer.init(jax.random.key(0)), 300)
    total = measure(problem, Contestant(name, agent.policy, state.params), jax.random.key(1), 512)
    cost = -total.reward / (problem.test_periods - problem.warm_up)
    error = cost.std() / np.sqrt(cost.size)
    assert 5.43822 - 3 * error < cost.mean() < 1.05 * 5.43822


def contest_of(costs, fill_rate=0.9):
    """A contest of one policy and one rule that turned out to cost so much."""
    contest = Contest("", None, [Contestant("sac", None, None)])
    rows = [
        dict(policy=name, cost=cost, fill_rate=fill_rate, instance="")
        for name, cost in zip(("sac", "base_stock"), costs)
    ]
    return [contest], rows


def test_a_training_without_a_result_says_so():
    check_learned(*contest_of((1.9, 1.0)))
    with pytest.raises(
        UserError, match="sac did not learn: .* over 2 times the 1 of base_stock. It diverged"
    ):
        check_learned(*contest_of((2.1, 1.0)))
    with pytest.raises(UserError, match="It never orders; a smaller learning_rate, .* form=base"):
        check_learned(*contest_of((2.1, 1.0), fill_rate=0.0))


def test_one_policy_of_a_sweep_that_learned_is_a_result():
    (contest,), rows = contest_of((9.0, 1.0))
    both = Contest("", None, [*contest.policies, Contestant("sac 2", None, None)])
    check_learned([both], [*rows, {**rows[0], "policy": "sac 2", "cost": 1.0}])


def test_a_training_that_stands_still_says_so():
    check_moving({"gradient_norm": np.array([0.0, 0.1])})
    with pytest.raises(UserError, match="every gradient is zero"):
        check_moving({"gradient_norm": np.array([[0.0, 0.1], [0.0, 0.2]])})


def test_a_critic_that_runs_away_says_so_unless_another_run_learned():
    agent = agent_of("dqn", encoder="none")
    check_critics({"value_loss": np.array([900.0, 0.5])}, agent)
    check_critics({"value_loss": np.array([[900.0, 0.5]])}, agent)
    check_critics({"cost": np.array([900.0])}, agent)
    with pytest.raises(
        UserError,
        match="training diverged: the error of the critic is 900.* A smaller learning_rate",
    ):
        check_critics({"value_loss": np.array([[0.5, 0.5], [950.0, 900.0]])}, agent)


def test_rewards_are_aligned_where_they_can_be():
    def window(**options):
        agent = AGENTS[options.pop("name", "sac")]
        problem = LostSales(**options.pop("store", {})).build()
        return agent.create(problem, agent.Config(encoder="none", **options)).worlds.window

    assert window() == (4, 1) and window(aligned_rewards=False) is None
    assert window(store=dict(fixed_cost=5.0)) is None and window(penalty="reward") is None
    assert window(name="ppo") is None


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["coeff", "both"])
def test_a_grid_of_coefficients_is_refused_by_name(form):
    with pytest.raises(
        UserError, match=f"form={form} weighs several rates .* give form=none or form=base"
    ):
        _ = Experiment.load(
            None, ["env=lost_sales", "agent=dqn", "history=8", f"form={form}"]
        ).agent


@pytest.mark.parametrize("name", ["ppo", "diffsim", "ddpg"])
def test_coefficients_without_features_are_refused_by_name(name):
    with pytest.raises(UserError, match="form=coeff weighs rates of demand .* history=1"):
        _ = Experiment.load(None, ["env=lost_sales", f"agent={name}", "form=coeff"]).agent


@pytest.mark.parametrize(
    "config, options, message",
    [
        (
            DQNConfig,
            dict(capacity=100),
            "capacity=100 must be a multiple of envs \\* rollout = 256",
        ),
        (DQNConfig, dict(actions=1), "actions=1 up to largest=3.0 leaves nothing to choose"),
        (DDPGConfig, dict(critics=0), "critics=0 must be at least 1"),
        (SACConfig, dict(target_rate=1.5), "target_rate=1.5 must lie in 0..1"),
    ],
)
def test_impossible_numbers_are_named(config, options, message):
    with pytest.raises(UserError, match=message):
        config(**options)
