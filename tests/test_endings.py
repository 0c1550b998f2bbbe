"""Problems that end: what is left is worth nothing, and the optimum is that of whole episodes.

The optimum is enumerated here in plain Python, from the order of events in DESIGN section 4.
"""

from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.envs.presets import Backlog, LostSales
from jaxinv.envs.problem import first_of
from jaxinv.errors import UserError
from jaxinv.evaluation.compare import evaluate
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evidence import best_bound, evaluate_contest
from jaxinv.exact import solve, solve_problem
from jaxinv.keys import root
from jaxinv.policies.rules import make_rule

TINY = dict(demand="uniform", low=0, high=2, holding_cost=1.0, ends=True)
DEMAND, MOST = (0, 1, 2), 7
SEASON = LostSales(lead_time=1, unit_cost=8.0, shortage_cost=10.0, horizon=8, ends=True)


def enumerated(store):
    """Least expected cost of an episode, by trying every order in every state that can be reached.

    Stock begins at 1 or 2, a half each: uniform on 0.5 to 2.5 times the mean demand of 1, in whole
    units; one period's mean demand is on its way in every open slot.
    """
    lead = store.lead_time

    @cache
    def cost(period, stock, coming):
        if period == store.horizon:
            return 0.0
        return min(
            store.unit_cost * order + after(period, stock, coming, order)
            for order in range(MOST + 1)
        )

    def after(period, stock, coming, order):
        total = 0.0
        onward = (*coming, order)
        now = stock + (order if lead == 0 else 0)
        for demand in DEMAND:
            left = now - demand
            charged = store.holding_cost * max(left, 0) + store.shortage_cost * max(-left, 0)
            left = left if store.backlog else max(left, 0)
            arrived, rest = (0, ()) if lead == 0 else (onward[0], onward[1:])
            total += (charged + cost(period + 1, left + arrived, rest)) / len(DEMAND)
        return total

    return np.mean([cost(0, stock, (1,) * max(lead - 1, 0)) for stock in (1, 2)]) / store.horizon


@pytest.mark.parametrize(
    "store",
    [
        LostSales(lead_time=1, unit_cost=2.0, shortage_cost=9.0, horizon=5, **TINY),
        LostSales(lead_time=2, unit_cost=1.0, shortage_cost=9.0, horizon=4, **TINY),
        LostSales(lead_time=0, shortage_cost=4.0, horizon=3, **TINY),
        Backlog(lead_time=1, unit_cost=2.0, shortage_cost=9.0, horizon=5, **TINY),
        Backlog(
            lead_time=1, unit_cost=50.0, shortage_cost=1.0, horizon=6, **TINY
        ),  # orders nothing, owes ever more
    ],
    ids=lambda store: f"{store.name}, L={store.lead_time}, p={store.shortage_cost:g}",
)
def test_the_optimum_of_an_episode_is_the_enumerated_one(store):
    problem = store.build()
    found = solve_problem(problem)
    assert np.isclose(found.average_cost, enumerated(store), rtol=1e-4)
    total = measure(problem, Contestant("optimal", found.policy, found.params), root(0), 4096)
    costs = -total.reward / store.horizon
    assert abs(costs.mean() - found.average_cost) < 4 * costs.std() / 64


def test_the_optimal_row_of_a_season_is_no_dearer_than_any_rule():
    """The policy of the long run, which stood there before, keeps stock for a future that does not
    come.
    """
    problem = SEASON.build()
    assert problem.test_periods == 8 and problem.warm_up == 0 and problem.counted_periods == 8
    best, long_run = solve_problem(problem), solve(problem.env, problem.first)
    assert np.isclose(best.average_cost, 36.167, atol=2e-3)
    rule = make_rule("constant_order", problem.env.topology)
    (name,) = rule.shapes()
    rows = [
        Contestant("optimal", best.policy, best.params),
        Contestant("long run", long_run.policy, long_run.params),
        *[
            Contestant(f"constant {share}", rule, {name: jnp.full((1, 1), share)})
            for share in (0.0, 0.4, 0.6, 0.8, 1.0)
        ],
    ]
    found = evaluate(problem, rows, root(0), paths=4096, reference="optimal")[1:]
    for row in found:
        assert row["gap_interval"][0] > 0, row["policy"]
    assert found[0]["gap"] > 0.1


def test_the_evidence_of_a_season_has_its_optimum():
    problem = LostSales(lead_time=1, unit_cost=2.0, shortage_cost=9.0, horizon=5, **TINY).build()
    config = SimpleNamespace(
        paths=256, rules=("base_stock",), tune_periods=20_000, per_instance=(), ready=None
    )
    rows = evaluate_contest(problem, [], config, 20_000, 0)
    assert [row["reference"] for row in rows] == ["optimum"] * len(rows)
    assert all(row["gap_interval"][1] >= 0 for row in rows)
    assert best_bound(problem, root(0), 64) is None  # bounds of the long run are none of a season


def test_a_season_is_not_discounted():
    with pytest.raises(UserError, match="without a discount"):
        solve_problem(SEASON.build(), discount=0.9)


@pytest.mark.parametrize("ends", [True, False])
def test_what_is_left_at_the_end_is_worth_nothing_to_pathwise_learners(quick_compilation, ends):
    """The loss is the cost alone where the episode ends with the rollout, and less what goods are
    worth where it goes on.
    """
    store = LostSales(lead_time=1, unit_cost=8.0, shortage_cost=10.0, horizon=8, ends=ends)
    agent = DiffSim.create(
        store.build(),
        DiffSimConfig(envs=16, rollout=8 if not ends else 50, encoder="none", hidden=(4,)),
    )
    assert agent.config.rollout == 8  # of an episode that ends; nothing is learned beyond it
    state = agent.init(jax.random.key(0))
    loss, (after, cost) = agent.loss(state.params, jax.random.key(1), state.episodes, state.index)
    goods = float(agent.worth(after.network, first_of(agent.worlds.params)).mean()) / 8
    assert goods > 0.5
    spread = float((cost - (0.0 if ends else goods)) / loss)
    assert spread > 0 and np.isclose(float(loss) * spread, float(cost) - (0.0 if ends else goods))
    assert float(agent.worlds.follows(after)) == (0.0 if ends else 1.0)


def test_the_pathwise_loss_of_ppo_values_goods_only_where_the_episode_goes_on(quick_compilation):
    config = PPOConfig(envs=16, rollout=8, encoder="none", hidden=(4,), minibatches=1)
    agent = PPO.create(SEASON.build(), config)
    state = agent.init(jax.random.key(0))
    _, trace, _ = agent.worlds.play_ahead(state.episodes, first_of(agent.worlds.params))
    contexts = agent.encode(state.params, trace.signals, first_of(agent.worlds.params))
    replay = (state.episodes.network, trace, contexts, first_of(agent.worlds.params))
    network, reward, _ = agent.play_mode(
        state.params, state.episodes.network, trace, contexts, first_of(agent.worlds.params)
    )
    goods = agent.worth(network, first_of(agent.worlds.params)).mean() / 8
    over, on = (agent._mode_cost(state.params, None, (*replay, follows)) for follows in (0.0, 1.0))
    assert np.isclose(over, -reward.mean()) and np.isclose(on, over - goods) and goods > 0.5


def test_learners_of_a_season_play_whole_episodes():
    """Rewards that stand beside their orders look one period ahead, which has to be within the
    season.
    """
    season = LostSales(lead_time=1, horizon=8, ends=True).build()
    aligned = PPO.create(season, PPOConfig(encoder="none", aligned_rewards=None, rollout=32))
    for agent, periods in (
        (aligned, 7),
        (DiffSim.create(season, DiffSimConfig(encoder="none")), 8),
    ):
        assert agent.worlds.ends and agent.worlds.rollouts == 1 and agent.config.rollout == periods
