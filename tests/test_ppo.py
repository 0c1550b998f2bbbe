"""PPO: its losses by hand, its gradients, its contract as an agent, and what it learns where the
optimum is known.
"""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxinv.agents.loop import Trainer, check_finite, select_run, stack_agents, stretch_length
from jaxinv.agents.losses import generalised_advantage, pinball, seen_ahead, soon
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import Backlog, DualSourcing, LostSales, Serial
from jaxinv.envs.problem import first_of
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.policies.decode import FORMS

TINY = PPOConfig(
    updates=10,
    envs=8,
    rollout=6,
    epochs=2,
    minibatches=2,
    features=8,
    heads=2,
    layers=1,
    hidden=(8,),
    forecast=3,
)
NETWORKS = {
    "single store": LostSales(lead_time=2, demand="seasonal", history=4, horizon=12),
    "serial": Serial(lead_times=(1, 2), holding_costs=(0.1, 1.0), history=4, horizon=12),
    "dual sourcing": DualSourcing(history=4, horizon=12),
    "one warehouse": OneWarehouseManyStores(stores=2, history=4, horizon=12),
}
ENCODERS = ("transformer", "eq3", "last", "none")


def agent_of(preset=NETWORKS["single store"], **options) -> PPO:
    return PPO.create(preset.build(), dataclasses.replace(TINY, **options))


@cache
def one_update(window_by_window=False):
    """The states before and after an update, and its metrics."""
    agent = agent_of(window_by_window=window_by_window)
    state = jax.jit(agent.init)(jax.random.key(0))
    return state, *jax.jit(agent.update)(state)


def same(left, right, **tolerance):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


# --- losses by hand -------------------------------------------------------------------------------


def test_advantages_equal_a_slow_loop():
    random = np.random.default_rng(0)
    reward, value = random.normal(size=(2, 7, 3)).astype(np.float32)
    last = random.normal(size=3).astype(np.float32)
    discount, lam = 0.9, 0.8
    after = np.concatenate([value[1:], last[None]])
    delta = reward + discount * after - value
    expected = np.zeros_like(reward)
    for t in range(7):
        for ahead in range(t, 7):
            expected[t] += (discount * lam) ** (ahead - t) * delta[ahead]
    advantage, target = generalised_advantage(reward, value, last, discount, lam)
    np.testing.assert_allclose(advantage, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(target, expected + value, rtol=1e-5, atol=1e-6)


def test_a_cut_off_episode_bootstraps():
    """A constant reward r is worth r / (1 - discount) for ever: no advantage anywhere, the last
    period included.
    """
    worth = jnp.full((5, 2), 2.0 / (1 - 0.9))
    advantage, _ = generalised_advantage(jnp.full((5, 2), 2.0), worth, worth[0], 0.9, 0.95)
    np.testing.assert_allclose(advantage, 0.0, atol=1e-5)


def test_pinball_loss_by_hand():
    forecast = jnp.array(
        [[[[0.5, 1.0, 1.5], [1.0, 2.0, 3.0]], [[1.0, 1.0, 1.0], [9.0, 9.0, 9.0]]]]
    )[:, :, :, None]
    demand, recent = jnp.array([[[4.0], [8.0]]]), jnp.array([[[4.0], [2.0]]])
    # Period 0: one unit of recent demand now, two next period. Period 1: four now; the next is past
    # the end.
    now = 0.1 * 0.5 + 0.0 + 0.1 * 0.5
    ahead = 0.1 * 1.0 + 0.0 + 0.1 * 1.0
    later = (0.1 + 0.5 + 0.9) * 3.0
    assert float(pinball(forecast, demand, recent)) == pytest.approx((now + ahead + later) / 9)


def test_pinball_loss_is_least_at_the_quantiles():
    demand = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (1, 4000, 1)), jnp.float32)

    def loss(quantiles):
        return pinball(
            jnp.broadcast_to(quantiles, (1, 4000, 1, 1, 3)), demand, jnp.ones_like(demand)
        )

    np.testing.assert_allclose(jax.grad(loss)(jnp.array([0.1, 0.5, 0.9])), 0.0, atol=0.01)


def test_what_comes_after_a_rollout_is_no_label():
    """Where a label is known, no future changes it; elsewhere some future does."""
    flag = jnp.zeros((1, 7))
    futures = [
        soon(jnp.pad(flag, ((0, 0), (0, 3)), constant_values=value), 3)[0, :7]
        for value in (0.0, 1.0)
    ]
    np.testing.assert_array_equal(seen_ahead(7, 3), futures[0] == futures[1])
    assert not seen_ahead(2, 3).any() and seen_ahead(4, 1).all()


def test_soon_looks_ahead_and_sees_nothing_past_the_end():
    flag = jnp.array([[0.0, 0, 1, 0, 0, 0, 1]])
    np.testing.assert_array_equal(soon(flag, 3), [[1, 1, 1, 0, 1, 1, 1]])
    np.testing.assert_array_equal(soon(flag, 1), flag)


def test_the_pathwise_gradient_equals_finite_differences(quick_compilation):
    agent = agent_of(
        Backlog(lead_time=1, demand="normal", horizon=12), encoder="none", envs=64, rollout=10
    )
    state = agent.init(jax.random.key(1))
    _, trace, _ = agent.worlds.play_ahead(state.episodes, first_of(agent.worlds.params))
    contexts = agent.encode(state.params, trace.signals, first_of(agent.worlds.params))
    replay = (state.episodes.network, trace, contexts, first_of(agent.worlds.params), 1.0)
    cost = jax.jit(lambda params: agent._mode_cost(params, None, replay))
    slope = jax.jit(jax.grad(cost))(state.params)
    for seed in range(3):
        keys = jax.random.split(jax.random.key(seed), len(jax.tree.leaves(slope)))
        keys = jax.tree.unflatten(jax.tree.structure(slope), keys)
        direction = jax.tree.map(lambda leaf, key: jax.random.normal(key, leaf.shape), slope, keys)

        def moved(step):
            return float(
                cost(jax.tree.map(lambda leaf, way: leaf + step * way, state.params, direction))
            )

        along = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, slope, direction)))
        assert (moved(0.003) - moved(-0.003)) / 0.006 == pytest.approx(float(along), rel=0.03)


# --- the agent's contract -------------------------------------------------------------------------


def test_an_update_learns_and_keeps_every_shape_and_type(quick_compilation):
    before, after, metrics = one_update()
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before.params, after.params)
    assert all(jax.tree.leaves(moved)), (
        moved
    )  # every array of the network is learned, forecast and stock-out too
    assert int(after.update) == 1 and not jnp.array_equal(after.key, before.key)
    types = jax.tree.map(jax.typeof, (before, after))
    assert types[0] == types[1] and not any(leaf.weak_type for leaf in jax.tree.leaves(types))
    check_finite({name: np.asarray(value)[None] for name, value in metrics.items()}, 0)
    assert {
        "cost",
        "mode_cost",
        "kl",
        "entropy",
        "forecast_loss",
        "stockout_loss",
    } <= metrics.keys()
    assert all(value.shape == () and value.dtype == jnp.float32 for value in metrics.values())


def test_runs_side_by_side_equal_single_runs_in_one_program(quick_compilation):
    agents = [
        agent_of(encoder="none", learning_rate=rate, clip=clip)
        for rate, clip in ((1e-3, 0.2), (1e-2, 0.1))
    ]
    keys = jax.random.split(jax.random.key(5), 2)
    trainer = Trainer(stack_agents(agents, seeds=2), runs=4)
    together, metrics = trainer.advance(trainer.init(jnp.concatenate([keys, keys])), 1)
    assert metrics["cost"].shape == (1, 4)

    init, update = (
        jax.jit(lambda agent, key: agent.init(key)),
        jax.jit(lambda agent, state: agent.update(state)),
    )
    singles = [update(agent, init(agent, key))[0] for agent in agents for key in keys]
    assert (
        update._cache_size() == 1
    )  # numbers are traced: another learning rate is the same program
    for run, single in enumerate(singles):
        same(select_run(together.params, run), single.params, atol=2e-5)
    rates = [jax.tree.leaves(single.params)[0] for single in singles]
    assert not np.allclose(rates[0], rates[2])


def test_window_by_window_is_the_same_update(quick_compilation):
    _, once, metrics = one_update()
    _, windows, slow_metrics = one_update(window_by_window=True)
    same(once.params, windows.params, atol=1e-5)
    same(once.episodes.network, windows.episodes.network, rtol=1e-4)
    same(metrics, slow_metrics, rtol=1e-3, atol=1e-5)


def test_window_by_window_encodes_a_window_for_every_decision():
    """Not a cheaper copy of encode once: the work of a loss grows with the window."""
    flops = {}
    for window_by_window in (False, True):
        longer = dataclasses.replace(NETWORKS["single store"], history=8)
        policy = agent_of(longer, window_by_window=window_by_window).policy
        tokens = jnp.zeros((2, 8 + 6, 3))
        params = policy.network.init(jax.random.key(0), tokens, jnp.zeros((2, 9)))
        lowered = jax.jit(policy.encode_decisions).lower(params, tokens)
        flops[window_by_window] = lowered.cost_analysis()["flops"]
    assert flops[True] > 2 * flops[False]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("number", range(4))
def test_every_form_and_encoder_fits_every_network(network, number):
    encoder = ENCODERS[(number + list(NETWORKS).index(network)) % 4]
    agent = agent_of(NETWORKS[network], form=FORMS[number], encoder=encoder)

    def shapes(key):
        state = agent.init(key)
        return state, agent.update(state)[0]

    before, after = jax.eval_shape(shapes, jax.random.key(0))
    assert before == after


@pytest.mark.parametrize("network, form, encoder", [*zip(list(NETWORKS)[1:], FORMS, ENCODERS[1:])])
def test_an_update_runs_on_every_network(quick_compilation, network, form, encoder):
    trainer = Trainer(agent_of(NETWORKS[network], form=form, encoder=encoder))
    state, metrics = trainer.advance(trainer.init(jax.random.key(0)), 1)
    check_finite(metrics, 0)
    assert metrics["cost"] > 0


def test_an_episode_begins_anew_when_its_time_is_over(quick_compilation):
    agent = agent_of(encoder="none")
    state = jax.jit(agent.init)(jax.random.key(0))
    periods, update = [], jax.jit(agent.update)
    for _ in range(4):
        state, _ = update(state)
        periods.append(int(state.episodes.network.time[0]))
    assert periods == [6, 12, 6, 12]


# --- learning -------------------------------------------------------------------------------------


def trained(preset, updates, **options):
    """The cost a period of a trained policy on long held-out episodes, its standard error, and
    policy and parameters.
    """
    problem = preset.build()
    agent = PPO.create(
        problem, PPOConfig(**{**PPOConfig.stock_only, "updates": updates, **options})
    )
    trainer = Trainer(agent)
    state, _ = trainer.advance(trainer.init(jax.random.key(0)), updates)
    total = measure(problem, Contestant("ppo", agent.policy, state.params), jax.random.key(1), 1024)
    cost = -total.reward / (problem.test_periods - problem.warm_up)
    return cost.mean(), cost.std() / np.sqrt(cost.size), agent, state.params


def test_ppo_comes_within_one_percent_of_the_lost_sales_optimum():
    """inventory.md table 1.1: Poisson(5), lead time 1, penalty 4 costs 4.04071 a period at best, in
    whole orders.
    """
    cost, error, *_ = trained(LostSales(lead_time=1, shortage_cost=4.0), updates=100, envs=256)
    assert 4.04071 - 3 * error < cost < 1.01 * 4.04071 + 2 * error


@pytest.mark.slow
def test_ppo_with_the_pathwise_loss_recovers_the_newsvendor_level():
    preset = Backlog(
        lead_time=1,
        shortage_cost=9.0,
        demand="normal",
        mean=5.0,
        deviation=1.0,
        integer_orders=False,
    )
    cost, error, agent, params = trained(preset, updates=60, envs=256, pathwise=True)
    law = stats.norm(10.0, np.sqrt(2.0))
    level = law.ppf(0.9)
    optimum = (level - law.mean()) + 10 * (
        (law.mean() - level) * law.sf(level) + law.var() * law.pdf(level)
    )
    assert optimum - 3 * error < cost < 1.01 * optimum + 2 * error

    problem = preset.build()
    env = problem.env
    _, state = env.reset(jax.random.key(0))
    stock = state.network.replace(
        on_hand=jnp.full((1, 1), 6.0), pipeline=jnp.full_like(state.network.pipeline, 0.0)
    )
    order = agent.policy(params, env.view(stock, problem.first, state.signals))
    assert 6.0 + float(order[0, 0]) == pytest.approx(level, rel=0.03)


# --- the loop -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "updates, length", [(1, 1), (4, 1), (40, 1), (300, 6), (400, 10), (211, 1)]
)
def test_stretches_divide_the_updates(updates, length):
    assert stretch_length(updates) == length


def test_the_first_update_that_broke_down_is_named():
    metrics = {"cost": np.array([[1.0, 2.0], [1.0, 2.0], [1.0, np.inf]]), "kl": np.zeros((3, 2))}
    check_finite({"kl": metrics["kl"]}, 0)
    with pytest.raises(UserError, match="update 13: cost is not a finite number"):
        check_finite(metrics, 10)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(updates=0), "updates=0 must be at least 1"),
        (dict(envs=6, minibatches=4), "envs=6 must be a multiple of minibatches=4"),
        (dict(discount=1.5), "discount=1.5 must lie in 0..1"),
        (dict(gae_lambda=-0.1), "gae_lambda=-0.1 must be at least 0"),
        (dict(learning_rate=-1e-3), "learning_rate=-0.001 must be at least 0"),
        (dict(hidden=(8, 0)), "every width must be at least 1"),
        (dict(forecast=-1), "forecast=-1 must be at least 0"),
    ],
)
def test_impossible_numbers_are_named(options, message):
    with pytest.raises(UserError, match=message):
        PPOConfig(**options)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(form="bse"), "unknown decode form 'bse'; did you mean 'base'"),
        (dict(encoder="transfromer"), "unknown encoder 'transfromer'; did you mean 'transformer'"),
        (dict(features=9), "features=9 must be a multiple of heads=2"),
        (dict(activation="tnh"), "unknown activation 'tnh'; did you mean 'tanh'"),
    ],
)
def test_unknown_choices_are_named_before_training(options, message):
    with pytest.raises(UserError, match=message):
        agent_of(**options)


def test_periods_that_the_pathwise_loss_plays_again_are_counted():
    sizes = dict(updates=3, envs=4, rollout=10, epochs=2, encoder="none", hidden=(4,), forecast=0)
    with_loss = PPO.create(LostSales().build(), PPOConfig(**sizes))
    without = PPO.create(LostSales().build(), PPOConfig(**sizes, pathwise=False))
    assert without.simulated_periods == 3 * 4 * 10
    assert with_loss.simulated_periods == 3 * 4 * 10 * (1 + 2)
    assert with_loss.periods_per_update == without.periods_per_update == 4 * 10
