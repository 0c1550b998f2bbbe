"""The beer game: the published cost of anchoring and adjusting, a plain board game beside the
network, and what is owed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.agents.networks import make_policy
from jaxinv.agents.ppo import PPOConfig
from jaxinv.envs import views
from jaxinv.envs.network import COSTS
from jaxinv.envs.presets import BEER_GAME
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import begin, rollout, unroll_world
from jaxinv.policies.rules import AnchorAndAdjust, BaseStock, make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")
WEEKS = 36
SETTLED = 5
"""Orders of the first weeks are four by the rules of the game: the one under way at the start, and
those of weeks 1 to 4.
"""


def play(rule, params, history=1, seed=0, weeks=WEEKS, **options):
    """Plays a game; the observation after the last week counts as one more, so states are
    `[weeks + 1, ...]`.

    Returns:
      The environment, its observations `[T + 1, ...]` and outcomes `[T, ...]`.
    """
    env, instance = jaxinv.make("serial", **{**BEER_GAME, "history": history, **options})
    rule, facts = rule(env.topology), env.facts(instance)
    one = rule.natural({name: jnp.ones(shape) for name, shape in rule.shapes().items()}, facts)
    params = {
        name: (
            jnp.broadcast_to(jnp.asarray(params[name], jnp.float32), (env.topology.edges,))[:, None]
            / one[name]
        )
        for name in rule.shapes()
    }
    episodes = begin(env, jax.random.key(seed), instance, 1)
    _, trace = unroll_world(env, episodes, instance, weeks)
    context = jax.vmap(lambda signals: rule.encode(params, signals, facts), -1, -1)(trace.signals)
    state, (observed, outcomes), _ = jax.jit(
        lambda start, exogenous, context: rollout(
            env, instance, lambda params, *seen: (rule.act(params, *seen), None), params, start,
            exogenous, context,
            record=lambda observation, outcome, _: (observation, outcome),
        )
    )(episodes.network, trace.exogenous, jax.tree.map(lambda leaf: leaf[history - 1 :], context))  # fmt: skip
    last = env.view(jax.tree.map(lambda leaf: leaf[..., 0], state), instance)
    observed = jax.tree.map(
        lambda path, end: np.concatenate([path[..., 0], end[None]]), observed, last
    )
    return env, observed, jax.tree.map(lambda leaf: np.asarray(leaf[..., 0]), outcomes)


def stage_costs(observed, outcomes):
    """Costs of each stage, factory first: half a dollar a case on hand, a dollar a case owed to
    whom it supplies.
    """
    owed = np.concatenate([observed.owed[1:, 1:, 0], observed.backorder[1:, -1:, 0]], 1)
    return (0.5 * outcomes.on_hand[..., 0] + owed).sum(0)


RANDOM = dict(demand_path=(), demand="poisson", mean=5.0, initial_stock=())
"""Options that turn the game into a chain with random demand."""


def anchor(history=1, settled=SETTLED):
    return lambda network: AnchorAndAdjust(network, history=history, settled=settled)


BENCHMARK = dict(level=[20, 28, 28, 28], smoothing=0, adjustment=1, supply_line=1)


@pytest.mark.parametrize("history", [1, 4])
def test_anchor_and_adjust_costs_204(history):
    """The benchmark of the classic game with the best anchor-and-adjust parameters (Sterman 1989;
    Edali & Yasarcan 2014).
    """
    _, observed, outcomes = play(anchor(history), BENCHMARK, history)
    assert outcomes.demand[:, -1, 0].tolist() == [4.0] * 4 + [8.0] * 32
    assert -outcomes.reward.sum() == 204
    assert stage_costs(observed, outcomes)[::-1].tolist() == [46, 50, 54, 54]  # retailer to factory
    assert np.isin(
        outcomes.costs.sum(0).nonzero()[0], [COSTS.index("holding"), COSTS.index("shortage")]
    ).all()


def board_game(level, smoothing, adjustment, supply_line, weeks=WEEKS):
    """The game as it is played on a board, in plain Python; the retailer is seat 0 and the factory
    seat 3.

    Returns:
      Costs of each seat, and each seat's orders by week `[weeks, 4]`.
    """
    stock, backlog, costs = [12.0] * 4, [0.0] * 4, np.zeros(4)
    near, far = [4.0] * 4, [4.0] * 4  # shipping delays in front of each seat, one week away and two
    slip = [
        4.0
    ] * 4  # the order slip between each seat and the one above, which that one reads this week
    expected = [4.0] * 4
    orders = []
    for week in range(weeks):
        arrived = near
        stock = [held + case for held, case in zip(stock, arrived)]
        order = [4.0] * 4
        if week >= SETTLED:
            for seat in range(4):
                above = backlog[seat + 1] + slip[seat] if seat < 3 else 0.0
                lacking = (
                    level[seat] - (stock[seat] - backlog[seat]) - supply_line * (above + far[seat])
                )
                order[seat] = max(0.0, expected[seat] + adjustment * lacking)
        orders.append(order)
        wanted = [4.0 if week < 4 else 8.0, *slip[:3]]
        shipped = [min(stock[seat], backlog[seat] + wanted[seat]) for seat in range(4)]
        backlog = [backlog[seat] + wanted[seat] - shipped[seat] for seat in range(4)]
        stock = [stock[seat] - shipped[seat] for seat in range(4)]
        near, far = far, [*shipped[1:], order[3]]
        slip = order
        expected = [e + smoothing * (w - e) for e, w in zip(expected, wanted)]
        costs += 0.5 * np.array(stock) + np.array(backlog)
    return costs, np.array(orders)


@pytest.mark.parametrize(
    "params",
    [
        dict(level=[28, 28, 28, 20], smoothing=0.0, adjustment=1.0, supply_line=1.0),
        dict(
            level=[17] * 4, smoothing=0.36, adjustment=0.26, supply_line=0.34
        ),  # the mean of Sterman's players
        dict(level=[22, 25, 19, 24], smoothing=0.6, adjustment=0.5, supply_line=0.1),
    ],
)
def test_the_network_plays_the_board_game(params):
    costs, orders = board_game(**params)
    ours = {**params, "level": params["level"][::-1]}
    env, observed, outcomes = play(anchor(WEEKS), ours, WEEKS, integer_orders=False)
    np.testing.assert_allclose(observed.orders[1:, ::-1, 0, 0], orders, atol=1e-3)
    np.testing.assert_allclose(stage_costs(observed, outcomes)[::-1], costs, rtol=1e-4)
    assert -outcomes.reward.sum() == pytest.approx(costs.sum(), rel=1e-4)


def test_without_memory_and_with_full_adjustment_it_is_base_stock():
    """order = 5 + S' - position, which fills the position up to S' + 5."""
    _, observed, _ = play(anchor(settled=0), BENCHMARK, **RANDOM)
    _, filled, _ = play(BaseStock, dict(level=[25, 33, 33, 33]), **RANDOM)
    np.testing.assert_array_equal(observed.orders, filled.orders)
    assert np.ptp(observed.orders[2:, 0, 0, 0]) > 4


@pytest.mark.parametrize("history", [1, 3])
def test_every_order_is_on_its_way_owed_or_shipped(history):
    env, observed, outcomes = play(
        BaseStock, dict(level=[18, 14, 16, 15]), history=history, weeks=200, **RANDOM
    )
    for edge, delay in enumerate(env.topology.order_delays):
        placed = observed.orders[1:, edge, 0, 0].sum()
        waiting = observed.orders[:, edge, 0, :delay].sum(-1) + observed.owed[:, edge, 0]
        assert placed == outcomes.ordered[:, edge].sum() + waiting[-1] - waiting[0]
    assert np.all(observed.owed[:, 0] == 0)  # a supplier owes nothing
    assert all(observed.owed[:, edge].max() > 0 for edge in (1, 2, 3))


def test_positions_count_what_is_owed_once():
    env, observed, _ = play(BaseStock, dict(level=[18, 14, 16, 15]), weeks=60, **RANDOM)
    net = env.topology
    below = np.tril(np.ones((4, 4)))  # [k, stage]: whether the stage is k or one before it
    transit, owed, back = (
        observed.pipeline.sum((2, 3)),
        observed.owed[..., 0],
        observed.backorder[..., 0],
    )
    sent = np.stack(
        [observed.orders[:, e, 0, :delay].sum(-1) for e, delay in enumerate(net.order_delays)], 1
    )
    every = jax.vmap(
        lambda seen: (views.inventory_position(net, seen), views.echelon_position(net, seen))
    )(observed)
    position, echelon = (np.asarray(amount)[..., 0] for amount in every)
    debts = np.concatenate([owed[:, 1:], np.zeros((len(owed), 1))], 1) + back
    np.testing.assert_allclose(
        position, observed.on_hand[..., 0] + transit + owed + sent - debts, atol=1e-4
    )
    physical = (
        observed.on_hand[..., 0] + transit - back
    ) @ below  # what is at a stage and after it
    np.testing.assert_allclose(echelon, physical + owed + sent, atol=1e-4)


def test_what_a_network_does_not_use_is_not_there():
    env, params = jaxinv.make("serial")
    state = env.start({"stock": jnp.zeros((4, 1))}, params)
    assert state.owed is None and state.orders is None
    observation = env.view(state, params)
    assert observation.owed is None and observation.orders is None


def test_a_learned_policy_sees_what_is_owed_and_travels():
    problem = jaxinv.preset("serial")(**BEER_GAME).build()
    policy = make_policy(
        problem.env, PPOConfig(features=8, heads=2, layers=1, hidden=(8,), forecast=0)
    )
    _, state = problem.env.reset(jax.random.key(0))
    seen = problem.env.view(state.network, problem.first, state.signals)
    context = jax.tree.map(
        lambda leaf: leaf[-1], policy._context(None, None, seen.signals, seen.instance)
    )
    features = policy.stock_features(seen, context)
    for other in (
        seen.replace(owed=seen.owed.at[1].add(3.0)),
        seen.replace(orders=seen.orders.at[1].add(3.0)),
    ):
        assert np.sum(features != policy.stock_features(other, context)) > 1


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(order_delays=(1, 1)), "4 lead_times but 2 order_delays"),
        (dict(initial_stock=(1.0,)), "4 lead_times but 1 initial_stock"),
        (dict(holding_costs=()), "4 lead_times but 0 holding_costs"),
        (dict(internal_shortage_cost=1.0), "internal_backlog=true"),
        (dict(demand_path=(4.0, -1.0)), "demand_path"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        jaxinv.make("serial", **options)


def test_anchoring_needs_to_know_the_orders_received():
    env, _ = jaxinv.make("serial")
    with pytest.raises(UserError, match="order_memory"):
        make_rule("anchor_and_adjust", env.topology)
    store, _ = jaxinv.make("lost_sales")
    assert make_rule("anchor_and_adjust", store.topology, history=3).history == 3
