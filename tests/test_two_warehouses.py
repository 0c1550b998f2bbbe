"""Two warehouses that send each other stock: the paper's days to the digit, what stock really does,
forecasts, key figures.
"""

import json
from functools import cache

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from reference import Reference, Shipment, Stock
from slopes import slopes_of_levels

import jaxinv
from jaxinv import evaluate
from jaxinv.demand.exogenous import Exogenous
from jaxinv.demand.forecasted import SMOOTHINGS, forecast_errors
from jaxinv.demand.interventions import Intervention
from jaxinv.demand.persistent import recorded
from jaxinv.envs.as_written import DAYS, WEIGHTS, reward
from jaxinv.envs.costs import COSTS
from jaxinv.envs.presets import LostSales
from jaxinv.envs.problem import first_of
from jaxinv.envs.scenarios import under_intervention
from jaxinv.envs.two_warehouses import AHEAD, WINDOW, TwoWarehouses
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, held_out_groups
from jaxinv.evaluation.monitor import monitor, save_table
from jaxinv.evaluation.rollout import begin, rollout, unroll_world
from jaxinv.exact import solve_problem
from jaxinv.policies.rules import make_rule
from jaxinv.studies.seed001 import best_level

pytestmark = pytest.mark.usefixtures("quick_compilation")
BUY_A, BUY_B, A_TO_B, B_TO_A = range(4)


@cache
def problem_of(**options):
    return TwoWarehouses(**options).build()


def demand_of(*units):
    return Exogenous(demand=jnp.asarray(units, jnp.float32)[:, None])


# --- the paper ----------------------------------------------------------------------------------


def test_literal_plays_the_two_days_to_the_digit():
    env, params = jaxinv.make("two_warehouses", mode="literal")
    _, state = env.reset(jax.random.key(0), params)
    for day, after in zip(DAYS, ((120, 180), (140, 160))):
        told = [*day.demand, *(DAYS[1].demand)]
        np.testing.assert_array_equal(state.network.on_hand[:, 0], day.stock)
        np.testing.assert_array_equal(state.signals[-1, 2:], told)
        _, state, gained, over, info = env.step_env(jax.random.key(1), state, day.action, params)
        np.testing.assert_array_equal(state.network.on_hand[:, 0], after)
        np.testing.assert_array_equal(info["sold"][:, 0], day.demand)
        assert gained == pytest.approx(sum(day.reward), rel=1e-6) and over == (day is DAYS[1])


def test_the_formula_makes_other_rewards_of_the_papers_terms_than_it_prints():
    """Erratum: 1.5, 1.5, 1.0 and 0.5 are printed."""
    assert [day.reward for day in DAYS] == [(11.0, 16.0), (-4.0, -16.5)]
    assert [day.printed for day in DAYS] == [(1.5, 1.5), (1.0, 0.5)]
    problem = problem_of(mode="literal")
    env, params, roles = problem.env, problem.first, problem.roles["warehouses"]
    state, own = env.start({"stock": jnp.zeros((2, 1))}, params), []
    for day in DAYS:
        state, outcome = env.transition(state, day.action, demand_of(*day.demand), params)
        own.append(roles.rewards(env.topology, params.weights, outcome.places, 0.0))
    np.testing.assert_allclose(own, [(11.0, 16.0), (-4.0, -16.5)], rtol=1e-6)


def test_where_demand_is_taken_from_stock_the_papers_actions_lose_sales():
    problem = TwoWarehouses(lead_time=0, reward="paper", weights={"revenue": 2.0}).build()
    env, params = problem.env, problem.first
    state = env.start({"stock": jnp.zeros((2, 1))}, params)
    mornings, fills = [np.asarray(state.on_hand[:, 0])], []
    for day in DAYS:
        state, outcome = env.transition(state, day.action, demand_of(*day.demand), params)
        mornings.append(np.asarray(state.on_hand[:, 0]))
        fills.append(1 - np.asarray(outcome.short / outcome.demand)[:, 0])
        reduction = (mornings[-2] - mornings[-1]) / (85, 110)  # in days of mean demand
        transport = np.asarray(day.sent) * 0.5 / (85, 110)
        own = reward(fills[-1], reduction, transport, {**WEIGHTS, "revenue": 2.0})
        found = problem.roles["warehouses"].rewards(
            env.topology, params.weights, outcome.places, 0.0
        )
        np.testing.assert_allclose(found, own, rtol=1e-5)
        assert outcome.reward == pytest.approx(own.sum(), rel=1e-5)
    np.testing.assert_array_equal(mornings[1], (40, 60))
    np.testing.assert_allclose(fills, [(1, 1), (60 / 90, 40 / 100)], rtol=1e-6)


# --- the network --------------------------------------------------------------------------------

VARIANTS = (
    dict(),
    dict(transfer_lead_time=1, backlog=True, pack=10.0, capacity=(150.0,), overflow_cost=0.5),
    dict(lead_time=1, reactive=True, integer_orders=False),
)


@pytest.mark.parametrize("options", VARIANTS, ids=("default", "backlog", "reactive"))
def test_a_year_is_that_of_an_independent_simulator_and_no_unit_is_lost(options):
    problem = TwoWarehouses(**options).build()
    env, params, periods = problem.env, problem.first, 40
    topology = env.topology
    episodes = begin(env, jax.random.key(0), params, 1)
    _, trace = unroll_world(env, episodes, params, periods)
    demand = np.asarray(trace.exogenous.demand[..., 0], np.float64)
    actions = np.round(np.random.default_rng(0).uniform(0, 140, (periods, 4, 1))).astype(np.float32)
    actions[::3, 2:] = 0.0
    state = jax.tree.map(lambda leaf: leaf[..., 0], episodes.network)
    step = jax.jit(env.transition)
    numbers = {
        name: np.asarray(value, np.float64)
        for name, value in vars(params).items()
        if isinstance(value, jax.Array)
    }
    other = Reference(topology, numbers)
    shipments = [
        Shipment(edge, 0, float(units), -1 - slot, topology.lead_times[edge] - 1 - slot)
        for edge, row in enumerate(np.asarray(state.pipeline)[:, 0]) for slot,
        units in enumerate(row) if units
    ]  # fmt: skip
    goods = np.asarray(state.on_hand, np.float64)[..., None].copy()
    stock = Stock(0, goods, shipments, np.zeros((2, 1)) if topology.backlog else None)
    if options.get("reactive"):
        stock.order_book = {(node, 0): 0.0 for node in range(2)}
    there = goods.sum() + sum(shipment.quantity for shipment in shipments)
    bought = sold = 0.0
    for period in range(periods):
        state, outcome = step(
            state,
            actions[period],
            Exogenous(demand=jnp.asarray(demand[period], jnp.float32)),
            params,
        )
        seen = other.play(stock, actions[period], demand[period])
        if other.margin < 1e-3:
            pytest.fail("the draw rounds on a knife's edge; take another")
        np.testing.assert_allclose(state.on_hand, stock.goods.sum(-1), atol=2e-3)
        np.testing.assert_allclose(outcome.ordered, seen.ordered, atol=2e-3)
        for part, amount in seen.costs.items():
            assert outcome.costs[COSTS.index(part)] == pytest.approx(amount, abs=0.02), part
        bought, sold = bought + float(outcome.ordered[:2].sum()), sold + float(outcome.sold.sum())
    left = float(state.on_hand.sum() + state.pipeline.sum())
    assert there + bought == pytest.approx(left + sold, rel=1e-5)


def test_a_transfer_beyond_stock_is_cut_and_both_ways_are_carried_out():
    problem = problem_of()
    env, params = problem.env, problem.first
    state = env.start({"stock": jnp.zeros((2, 1))}, params)
    action = jnp.zeros((4, 1)).at[A_TO_B].set(500.0).at[B_TO_A].set(30.0)
    after, outcome = env.transition(state, action, demand_of(0, 0), params)
    np.testing.assert_array_equal(outcome.ordered[:, 0], (0, 0, 100, 30))
    arrivals = np.asarray(state.pipeline)[:2, 0, -1]
    np.testing.assert_allclose(after.on_hand[:, 0], (30 + arrivals[0], 220 + arrivals[1]))
    assert outcome.costs[COSTS.index("transport")] == 0.5 * 130


def test_derivatives_are_those_of_finite_differences():
    """Of levels of what is bought, and of what is sent every day; base-stock levels move no
    transfer.
    """
    problem = problem_of(integer_orders=False, transfer_cost=0.7)
    env, params, periods, width = problem.env, problem.first, 8, 2.0**-7
    slope, along, difference = slopes_of_levels(
        env, params, jnp.asarray([[0.97], [0.99], [0.81], [0.83]]), 2, periods
    )
    assert np.all(np.abs(slope[:2]) > 1e-3) and np.all(slope[2:] == 0.0)
    np.testing.assert_allclose(along, difference, rtol=1e-3, atol=1e-4)
    episodes = begin(env, jax.random.key(3), params, 2)
    _, trace = unroll_world(env, episodes, params, periods)

    def cost(orders):
        return -rollout(
            env,
            params,
            lambda orders, *_: (orders, None),
            orders,
            episodes.network,
            trace.exogenous,
        )[1].mean()

    orders = jnp.asarray([[83.0], [107.0], [11.0], [4.0]])
    slope = jax.jit(jax.grad(cost))(orders)
    steps = width * jnp.eye(4)[..., None]
    difference = jax.vmap(lambda step: cost(orders + step) - cost(orders - step))(steps) / (
        2 * width
    )
    assert np.all(np.abs(slope) > 1e-3)
    np.testing.assert_allclose(slope[:, 0], difference, rtol=0.02, atol=0.01)


def test_transfers_that_cost_too_much_leave_two_stores():
    """The optimum is then twice that of one store, and lower where transfers are cheap."""
    alike = dict(demand=("uniform(0, 2)",), lead_time=1, initial_stock=(2.0,))
    alone = solve_problem(
        LostSales(demand="uniform(0, 2)", lead_time=1, shortage_cost=4.0).build()
    ).average_cost
    costs = [
        solve_problem(problem_of(**alike, transfer_cost=cost)).average_cost for cost in (100.0, 0.2)
    ]
    assert costs[0] == pytest.approx(2 * alone, rel=1e-6) and costs[1] < 0.95 * costs[0]


def test_it_is_a_gymnax_environment():
    env, params = gymnax.make("jaxinv/two_warehouses")[0], None
    observation, state = env.reset(jax.random.key(0), params)
    observation, state, gained, terminated, truncated, _ = env.step(
        jax.random.key(1), state, np.full(4, 20.0), params
    )
    names = env.observation_names(params)
    assert len(names) == len(observation) and not (terminated or truncated) and np.isfinite(gained)
    for place in "AB":
        assert {
            f"forecast 1 day ahead[{place}, 1 ago]",
            f"forecast 2 days ahead[{place}, 1 ago]",
        } <= set(names)
    assert env.observation_space(env.default_params).contains(observation)


def test_roles_are_those_of_the_paper():
    problem = problem_of()
    roles = problem.roles["warehouses"]
    np.testing.assert_array_equal(roles.owners(problem.env.topology), [0, 1, 0, 1])
    assert [role.sees for role in roles.agents] == [(0,), (1,)]
    assert [role.sees for role in roles.informed(problem.env.topology).agents] == [(0, 1), (0, 1)]


@pytest.mark.parametrize("sends, best, least", [(True, 112.0, 41.39), (False, 116.8, 55.99)])
def test_two_locations_that_may_send_each_other_stock_once_demand_is_known(sends, best, least):
    """One period, demand N(100, 20) each, holding 1, shortage 4, transfer 0.5: the best levels are
    near 112 at a cost of 41.39; without transfers 116.8 and 55.99."""
    level, cost = best_level(sends)
    assert cost == pytest.approx(least, abs=0.05)
    assert abs(level - best) <= 0.75


# --- forecasts ----------------------------------------------------------------------------------


def test_the_world_tells_what_numpy_makes_of_the_regression():
    problem = problem_of()
    env, law = problem.env, problem.first.demand
    episodes = begin(env, jax.random.key(3), problem.first, 3)
    _, trace = unroll_world(env, episodes, problem.first, 30)
    demand, signals = np.asarray(trace.exogenous.demand)[:, :, 0], np.asarray(trace.signals)
    scale, weights = np.asarray(law.scale)[:, 0], np.asarray(law.weights)[:, :, 0]
    for period, path, place in ((20, 0, 0), (25, 2, 1)):
        past = demand[period - WINDOW : period, place, path][::-1] / scale[place]
        turn = signals[period, 2:4, path]
        level = past.mean()
        row = np.concatenate([[1.0], past[:7], [past[7:].mean()], turn, turn * level])
        told = signals[period, 4:, path].reshape(AHEAD, 2)[:, place]
        np.testing.assert_allclose(told, scale[place] * (weights[:, place] @ row), rtol=1e-4)


def test_forecasts_are_as_good_from_the_first_day_as_their_notes_say():
    problem = problem_of()
    env = problem.env
    episodes = begin(env, jax.random.key(4), problem.first, 512)
    _, trace = unroll_world(env, episodes, problem.first, 8)
    told = np.asarray(trace.signals)[:, list(env.columns("forecast 1 day ahead"))]
    off = np.abs(told - np.asarray(trace.exogenous.demand)[:, :, 0]).mean((1, 2))
    (note,) = problem.notes
    said = {
        name: float(note.split(name)[1].split()[0])
        for name in ("regression", "seasonal naive", "smoothing")
    }
    np.testing.assert_allclose(off, said["regression"], rtol=0.12)
    assert said["regression"] < 0.75 * min(said["seasonal naive"], said["smoothing"])


def test_errors_are_those_of_forecasts_made_apart():
    law = jax.tree.map(np.asarray, problem_of().first.demand)
    demand, known = recorded(law.demand, 400, np.random.default_rng(2))
    past, later = demand[:300], demand[300:]
    rows = {
        (row["forecast"], row["ahead"]): row
        for row in forecast_errors(law, past, later, known[300:], WINDOW, 7)
    }
    target = later[WINDOW + 1 :]  # two days ahead of decisions from the first whole window on
    naive = later[WINDOW + 1 - 7 : -7] - target
    row = rows["seasonal naive", 2]
    np.testing.assert_allclose(row["mae"], np.abs(naive).mean(), rtol=1e-6)
    np.testing.assert_allclose(
        [row["rmse"], row["bias"]], [(naive**2).mean() ** 0.5, naive.mean()], rtol=1e-5
    )
    tables = [pd.DataFrame(part[:, :, 0]) for part in (past, demand)]
    tried = {
        weight: (tables[0].ewm(alpha=weight, adjust=False).mean().shift() - tables[0])[1:]
        for weight in SMOOTHINGS
    }
    best = min(tried, key=lambda weight: (tried[weight] ** 2).to_numpy().mean())
    level = tables[1].ewm(alpha=best, adjust=False).mean().to_numpy()
    ahead = level[300 + WINDOW - 1 : -2] - target[:, :, 0]
    assert rows["smoothing", 2]["mae"] == pytest.approx(np.abs(ahead).mean(), rel=1e-5)
    assert rows["regression", 1]["rmse"] < rows["regression", 2]["rmse"]


def test_forecasts_follow_a_change_of_demand():
    problem = under_intervention(problem_of(), Intervention(demand=1.5, start=3.0))
    episodes = begin(problem.env, jax.random.key(6), first_of(problem.test), 256)
    _, trace = unroll_world(problem.env, episodes, first_of(problem.test), 45)
    told, demand = np.asarray(trace.signals)[:, 4:6], np.asarray(trace.exogenous.demand)[:, :, 0]
    bias = (told / demand.mean((0, 2))[:, None]).mean((1, 2)) - (
        demand / demand.mean((0, 2))[:, None]
    ).mean((1, 2))
    np.testing.assert_allclose(bias[:3], 0, atol=0.03)
    assert bias[3] < -0.25 and np.abs(bias[17:]).max() < 0.6 * abs(bias[3])


def test_worlds_follow_the_law_that_the_forecaster_learned_from():
    problem = problem_of()
    law = jax.tree.map(np.asarray, problem.first.demand.demand)
    past, _ = recorded(law, 6000, np.random.default_rng(1))
    episodes = begin(problem.env, jax.random.key(5), problem.first, 256)
    _, trace = unroll_world(problem.env, episodes, problem.first, 28)
    world = np.asarray(trace.exogenous.demand)[:, :, 0]  # [T, D, B]
    np.testing.assert_allclose(world.mean((0, 2)), past.mean((0, 2)), rtol=0.02)
    np.testing.assert_allclose(world.std((0, 2)), past.std((0, 2)), rtol=0.04)
    week = [
        np.corrcoef(world[:-7, place].ravel(), world[7:, place].ravel())[0, 1] for place in range(2)
    ]
    then = [np.corrcoef(past[:-7, place, 0], past[7:, place, 0])[0, 1] for place in range(2)]
    np.testing.assert_allclose(week, then, atol=0.06)
    deviation = (
        past[:, :, 0]
        - (law.base * (1 + law.amplitude * np.sin(2 * np.pi * (np.arange(6000) + law.phase) / 7))).T
    )
    np.testing.assert_allclose(deviation.std(0), 0.15 * law.base[:, 0], rtol=0.06)
    np.testing.assert_allclose(
        [np.corrcoef(row[:-1], row[1:])[0, 1] for row in deviation.T], 0.6, atol=0.04
    )


# --- key figures --------------------------------------------------------------------------------


def test_key_figures_are_the_sums_of_what_happened(tmp_path):
    """Each path played apart, period by period."""
    problem = problem_of(ends=True, horizon=12)
    env, params = problem.env, problem.first
    rule = make_rule("constant_order", env.topology)
    numbers = {"quantity": jnp.asarray([[1.0], [0.9], [0.2], [0.1]])}
    key, paths = jax.random.key(7), 3
    (found,) = monitor(problem, [Contestant("constant", rule, numbers)], key, paths)
    save_table(tmp_path / "monitor.csv", [found])
    table = pd.read_csv(tmp_path / "monitor.csv")
    _, _, (network, world, _) = next(iter(held_out_groups(problem, key, paths)))
    sums = np.zeros((12, 6))
    for path in range(paths):
        state = jax.tree.map(lambda leaf: leaf[..., path], network)
        for period in range(12):
            demand = world.exogenous.demand[period, ..., path]
            action = rule.act(numbers, env.view(state, params), None)
            state, outcome = env.transition(state, action, Exogenous(demand=demand), params)
            off = np.abs(
                world.signals[period, list(env.columns("forecast 1 day ahead")), path]
                - demand[:, 0]
            ).sum()
            sold, sent = outcome.sold.sum(), outcome.ordered[2:].sum()
            sums[period] += [
                -outcome.reward,
                outcome.demand.sum(),
                sold,
                outcome.on_hand.sum(),
                sent,
                off,
            ]
    cost, demand, sold, on_hand, sent, off = sums.T
    assert list(table["period"]) == [*range(1, 13)] and set(table["policy"]) == {"constant"}
    np.testing.assert_allclose(table["cost"], cost / paths, rtol=1e-4)
    np.testing.assert_allclose(table.filter(like="parts.").sum(axis=1), cost / paths, rtol=1e-4)
    np.testing.assert_allclose(table["fill_rate"], sold / demand, rtol=1e-4)
    np.testing.assert_allclose(
        table["turnover"].fillna(0),
        np.where(on_hand > 0, 365 * sold / np.maximum(on_hand, 1e-9), 0),
        rtol=1e-3,
    )
    np.testing.assert_allclose(table["transfers"], sent / paths, rtol=1e-4)
    np.testing.assert_allclose(table["forecast_error"], off / demand, rtol=1e-4)


def test_evaluate_writes_key_figures_of_any_preset(tmp_path, capsys):
    folder = tmp_path / "kpis"
    options = ["lead_time=1", "paths=4", "tune_periods=60000", "ends=true", "horizon=6"]
    evaluate.main(
        ["constant_order", "--env", "lost_sales", *options, "--monitor", str(folder), "--json"]
    )
    said = capsys.readouterr()
    rows = json.loads(said.out)
    table = pd.read_csv(folder / "monitor.csv")
    assert set(table["policy"]) == {row["policy"] for row in rows} >= {"constant_order"}
    for row in rows:
        own = table[table["policy"] == row["policy"]]
        assert len(own) == 6 and own["cost"].mean() == pytest.approx(row["cost"], rel=1e-4)
    assert table["transfers"].isna().all() and table["forecast_error"].isna().all()
    assert (folder / "monitor.png").read_bytes().startswith(b"\x89PNG") and "drawn in" in said.err
    with pytest.raises(UserError, match="--monitor .*monitor.csv is a file; give a folder"):
        evaluate.main(
            ["constant_order", "--env", "lost_sales", "--monitor", str(folder / "monitor.csv")]
        )


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(mode="literally"), "unknown mode 'literally'; did you mean 'literal'"),
        (dict(reward="cost"), "unknown reward 'cost'; did you mean 'costs'"),
        (
            dict(mode="literal", lead_time=1),
            "mode=literal replays the paper as it is; leave out lead_time",
        ),
        (
            dict(mode="literal", weights={"shortage": 1.0}),
            "unknown weight of mode=literal 'shortage'",
        ),
        (
            dict(initial_stock=(1.0, 2.0, 3.0)),
            "initial_stock has 3 entries; give those of A and B, or one for both",
        ),
        (dict(lead_time=-1), "lead_time=-1 must be at least 0"),
        (dict(transfer_lead_time=-1), "transfer_lead_time=-1 must be at least 0"),
        (dict(pack=0.0), "pack=0.0 must be above 0"),
        (dict(pack=10.0, integer_orders=False), "pack=10 needs integer_orders=true"),
        (dict(capacity=(100.0,)), "capacity and overflow_cost go together"),
        (
            dict(demand=("poisson(5)",), amplitude=0.1),
            "has its own numbers, and amplitude would have no effect",
        ),
        (dict(demand=("poison(5)",)), "did you mean 'poisson'"),
        (dict(persistence=1.5), "persistence=1.5 is not a probability"),
        (dict(mean=(0.0,)), "mean=\\(0.0,\\) must be above 0"),
        (dict(weights={"holding": 0.0, "shortage": 0.0, "transport": 0.0}), "weights are all zero"),
        (
            dict(reward="paper", weights=dict.fromkeys(WEIGHTS, 0.0)),
            "weights are all zero on what reward=paper counts",
        ),
        (dict(reward="paper", holding_cost=(0.0, 1.0)), "holding_cost must be above 0"),
        (
            dict(reward="paper", capacity=(9.0,), overflow_cost=1.0),
            "reward=paper knows no capacity",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        TwoWarehouses(**options).build()


def test_a_transfer_to_oneself_is_refused():
    net = jaxinv.Network()
    net.supplier("supplier")
    net.node("A", demand="poisson(5)")
    with pytest.raises(UserError, match="edge A-A leads from a node to itself"):
        net.edge("A", "A", sideways=True, lead_time_periods=0)
