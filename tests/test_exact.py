"""The exact solver: its tables against the transition, published optima, closed forms, NumPy,
simulation, and refusals.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxinv
from jaxinv.demand.exogenous import Exogenous
from jaxinv.demand.processes import TableParams
from jaxinv.envs.network import NetworkState
from jaxinv.errors import UserError
from jaxinv.evaluation.simulate import simulate
from jaxinv.exact import enumerate_states, enumeration, solve
from jaxinv.exact.bounds import lower_bound
from jaxinv.exact.extent import first_grid
from jaxinv.exact.finite_horizon import backward_induction
from jaxinv.exact.in_class import RuleCosts, best_numbers
from jaxinv.exact.mdp import tabulate
from jaxinv.exact.policy_table import order_map, policy_rows
from jaxinv.exact.state_space import StateSpace
from jaxinv.exact.value_iteration import cheapest, iterate, sweep
from jaxinv.policies.rules import make_rule

UNIFORM = dict(demand="uniform", low=0, high=2, integer_orders=True)
WAREHOUSE = dict(
    stores=2, demand=("uniform(0, 1)",), warehouse_lead_time=1, store_lead_times=(1,),
    store_holding_costs=(1.0,),
    store_shortage_costs=(4.0, 7.0), integer_orders=True,
)  # fmt: skip


class Enumerated:
    """Every state, order and demand of a grid, put through `env.transition` one by one.

    Attributes:
      cost: `[X, R, A, W]`. after: numbers of the next stock and of the next pipeline, of the same
        shape.
      inside: `[X]` stocks from which nothing leaves the grid, whatever is on its way, ordered and
        demanded.
    """

    def __init__(self, env, params, grid):
        topology = env.topology
        self.grid = grid
        demand, self.mass = env.world.demand.support(params.demand)
        slots = [
            (edge, age)
            for edge, lead in enumerate(topology.lead_times)
            for age in reversed(range(lead - 1))
        ]
        axes = np.meshgrid(
            *[
                np.arange(size)
                for size in (grid.stock.size, grid.pipeline.size, grid.orders.size, len(demand))
            ],
            indexing="ij",
        )
        stock, pipeline, order, world = (axis.reshape(-1) for axis in axes)

        @jax.jit
        @jax.vmap
        def play(stock, pipeline, order, demand):
            cells = stock.reshape(
                (topology.nodes, 1) + ((topology.ages,) if topology.ages > 1 else ())
            ).astype(jnp.float32)
            under_way = jnp.zeros((topology.edges, 1, topology.slots))
            for column, (edge, age) in enumerate(slots):
                under_way = under_way.at[edge, 0, age].set(pipeline[column])
            owed = jnp.maximum(-cells, 0) if topology.backlog else None
            state = NetworkState(jnp.int32(0), jnp.maximum(cells, 0), under_way, backorder=owed)
            after, outcome = env.transition(
                state, order[:, None].astype(jnp.float32), Exogenous(demand=demand), params
            )
            left = after.on_hand - (after.backorder if topology.backlog else 0)
            ahead = (
                jnp.stack([after.pipeline[edge, 0, age] for edge, age in slots])
                if slots
                else jnp.zeros(0)
            )
            return left.reshape(-1), ahead, -outcome.reward

        left, ahead, cost = (
            np.asarray(leaf)
            for leaf in play(
                grid.stock.points()[stock],
                grid.pipeline.points()[pipeline],
                grid.orders.points()[order],
                demand[world],
            )
        )
        low, high = np.array(grid.stock.low), np.array(grid.stock.high)
        shape = axes[0].shape
        within = ((left >= low) & (left <= high)).all(-1).reshape(shape)
        self.inside = within.all((1, 2, 3))
        self.cost = cost.astype(float).reshape(shape)
        self.after = tuple(
            (
                np.ravel_multi_index(
                    tuple((np.clip(cells, box.low, box.high) - box.low).astype(int).T), box.shape
                ).reshape(shape)
                if box.shape
                else np.zeros(shape, int)
            )
            for cells, box in ((left, grid.stock), (ahead, grid.pipeline))
        )

    def costs(self, value, discount=1.0, counted=True):
        """Of every order `[X, R, A]`, with `value` `[X, R]` to follow."""
        return (counted * self.cost + discount * value[self.after]) @ self.mass


@pytest.mark.parametrize(
    "name, options, low, high, orders",
    [
        ("lost_sales", dict(lead_time=2, **UNIFORM), [0], [6], [3]),
        ("lost_sales", dict(lead_time=0, fixed_cost=2.0, **UNIFORM), [0], [6], [3]),
        ("backlog", dict(lead_time=3, unit_cost=1.5, **UNIFORM), [-4], [6], [2]),
        ("dual_sourcing", dict(regular_lead_time=2, integer_orders=True), [-6], [9], [3, 3]),
        (
            "dual_sourcing",
            dict(expedited_lead_time=1, regular_lead_time=3, integer_orders=True),
            [-6],
            [11],
            [2, 3],
        ),
        (
            "perishable",
            dict(issuing="freshest", max_order=3.0, mean=2.0, shelf_life=3, lead_time=1),
            [0] * 3,
            [3] * 3,
            [3],
        ),
        (
            "perishable",
            dict(issuing="oldest", max_order=3.0, mean=2.0, lead_time=2),
            [0, 0],
            [3, 3],
            [3],
        ),
        (
            "serial",
            dict(
                lead_times=(2, 1), holding_costs=(0.5, 1.0), demand="uniform", integer_orders=True
            ),
            [0, -6],
            [5, 6],
            [2, 2],
        ),
        ("one_warehouse_many_stores", WAREHOUSE, [0, 0, 0], [4, 3, 3], [2, 2, 2]),
    ],
)
def test_a_sweep_over_the_tables_is_the_transition_played_out(name, options, low, high, orders):
    env, params = jaxinv.make(name, **options)
    grid = StateSpace.of(env.topology, low, high, orders)
    plain = Enumerated(env, params, grid)
    assert plain.inside.any()
    value = np.random.default_rng(0).normal(size=(grid.stock.size, grid.pipeline.size))
    mdp = tabulate(env, params, grid)
    with jax.enable_x64(True):
        mdp = jax.tree.map(jnp.asarray, mdp)
        swept = np.asarray(jax.jit(sweep, static_argnums=3)(mdp, jnp.asarray(value), 0.9, cheapest))
    expected = plain.costs(value, 0.9).min(-1)
    np.testing.assert_allclose(swept[plain.inside], expected[plain.inside], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "name, options, optimal, error",
    [
        ("lost_sales", dict(lead_time=1, shortage_cost=4.0), 4.04071, 1e-4),
        ("lost_sales", dict(lead_time=2, shortage_cost=9.0), 6.09364, 1e-4),
        ("lost_sales", dict(lead_time=3, shortage_cost=4.0), 4.59872, 1e-4),
        ("lost_sales", dict(lead_time=1, shortage_cost=19.0, demand="geometric"), 19.21790, 1e-3),
        ("lost_sales", dict(lead_time=2, shortage_cost=14.0, fixed_cost=5.0), 11.46, 5e-3),
        ("dual_sourcing", dict(regular_lead_time=2, expedited_cost=105.0), 216.76980, 1e-3),
        ("dual_sourcing", dict(regular_lead_time=3, expedited_cost=110.0), 220.34105, 1e-3),
    ],
)
def test_published_optima(name, options, optimal, error):
    """Zipkin 2008; Bijvank et al. 2015; Veeraraghavan & Scheller-Wolf 2008, to five digits by
    another value iteration.
    """
    found = enumerate_states(*jaxinv.make(name, **options))
    assert abs(found.cost - optimal) < error
    assert found.interval[0] <= found.cost <= found.interval[1] and np.ptp(found.interval) < 1e-4


@pytest.mark.parametrize(
    "name, options, method",
    [
        ("backlog", dict(lead_time=1, mean=3.0), "Zheng & Federgruen"),
        ("backlog", dict(lead_time=1, mean=3.0, fixed_cost=8.0), "Zheng & Federgruen"),
        (
            "serial",
            dict(
                lead_times=(1, 1),
                holding_costs=(0.5, 1.0),
                shortage_cost=5.0,
                demand="poisson",
                mean=0.8,
                integer_orders=True,
            ),
            "Clark & Scarf",
        ),
    ],
)
def test_value_iteration_and_closed_forms_agree(name, options, method):
    env, params = jaxinv.make(name, **options)
    closed, found = solve(env, params), enumerate_states(env, params)
    assert closed.method == method and closed.enumeration is None
    assert np.isclose(found.cost, closed.average_cost, rtol=2e-5)


def test_discounted_values_are_those_of_numpy():
    env, params = jaxinv.make("lost_sales", lead_time=2, **UNIFORM)
    found = enumerate_states(env, params, discount=0.9)
    plain = Enumerated(env, params, found.grid)
    value = np.zeros(found.value.shape)
    for _ in range(250):
        value = plain.costs(value, 0.9).min(-1)
    np.testing.assert_allclose(found.value, value, rtol=1e-5)
    assert found.interval[0] <= found.cost <= found.interval[1] and np.ptp(found.interval) < 1e-6
    middle = (
        found.grid.stock.index(np.array([found.grid.stock.high[0] // 2])) * found.grid.pipeline.size
    )
    assert np.isclose(
        found.cost, 0.1 * value.reshape(-1)[middle + found.grid.pipeline.high[0] // 2], rtol=1e-5
    )


def test_backward_induction_is_brute_force():
    """Three periods with laws of their own; the second takes no order and the first does not
    count.
    """
    env, params = jaxinv.make("backlog", lead_time=1, **UNIFORM)
    grid = StateSpace.of(env.topology, [-8], [10], [3])
    laws = [
        params.replace(demand=TableParams(jnp.asarray(cdf, jnp.float32)[:, None, None]))
        for cdf in ([0.5, 0.75], [0.25, 0.5], [0.0, 0.5])
    ]
    takes, counts = (True, False, True), (False, True, True)
    plan = backward_induction(
        [tabulate(env, law, grid) for law in laws], orders=takes, counted=counts
    )
    value, tables = np.zeros((grid.stock.size, 1)), []
    for law, order, counted in reversed(list(zip(laws, takes, counts))):
        costs = Enumerated(env, law, grid).costs(value, counted=counted)
        tables.append(costs.argmin(-1) if order else np.zeros(value.shape, int))
        value = costs.min(-1) if order else costs[..., 0]
    middle = slice(6, -9)  # from there the grid is never left in three periods
    np.testing.assert_allclose(plan.value[middle], value[middle], rtol=1e-5, atol=1e-5)
    assert plan.params.shape == (3, grid.states, 1)
    assert (plan.params[1] == 0).all() and (plan.params[0][middle] == tables[-1][middle]).all()


@pytest.mark.parametrize(
    "name, options",
    [
        ("lost_sales", dict(lead_time=2, mean=2.0)),
        ("dual_sourcing", dict(regular_lead_time=2)),
        ("perishable", dict(mean=2.0, max_order=6.0, issuing="oldest")),
    ],
)
def test_a_solved_policy_costs_in_the_simulator_what_was_solved(name, options):
    env, params = jaxinv.make(name, **options)
    found = enumerate_states(env, params)
    assert np.isclose(found.visits.cost, found.cost, rtol=1e-5)
    batch, periods = 256, 500
    run = jax.jit(
        lambda key: simulate(
            env, params, found.policy, found.params, key, batch=batch, periods=periods, warm_up=50
        )
    )
    costs = -np.asarray(run(jax.random.key(3)).reward, np.float64) / periods
    assert abs(costs.mean() - found.cost) < stats.norm.ppf(0.9995) * costs.std(ddof=1) / batch**0.5


def test_rules_at_their_best():
    """Lost sales, p=4, L=2: capped base-stock exactly, and base-stock, which costs 4.639 in print,
    simulated.
    """
    env, params = jaxinv.make("lost_sales", lead_time=2, shortage_cost=4.0)
    costs = RuleCosts(env, params, make_rule("capped_base_stock", env.topology))
    best = best_numbers(costs, {"level": np.array([[15.0]]), "cap": np.array([[6.0]])})
    assert abs(best.cost - 4.4057) < 5e-4 and (
        best.numbers["level"].item(),
        best.numbers["cap"].item(),
    ) == (17, 5)
    costs = RuleCosts(env, params, make_rule("base_stock", env.topology))
    best = best_numbers(costs, {"level": np.array([[20.0]])})
    assert abs(best.cost - 4.6386) < 2e-3 and best.numbers["level"].item() == 16
    held = best_numbers(costs, {"level": np.array([[20.0]])}, free={"level": np.array([[False]])})
    assert held.numbers["level"].item() == 20 and held.cost > best.cost


@pytest.mark.parametrize("narrow", [dict(orders=1), dict(stock=1)])
def test_a_grid_that_binds_is_widened(monkeypatch, narrow):
    env, params = jaxinv.make("lost_sales", lead_time=1, mean=2.0, shortage_cost=9.0)
    found = enumerate_states(env, params)

    def too_small(env, params):
        grid = first_grid(env, params)
        stock = [high - narrow.get("stock", 0) * 4 for high in grid.stock.high]
        orders = [high - narrow.get("orders", 0) * 3 for high in grid.orders.high]
        return StateSpace.of(env.topology, grid.stock.low, stock, orders)

    small = enumerate_states(env, params, grid=too_small(env, params))
    monkeypatch.setattr(enumeration, "first_grid", too_small)
    widened = enumerate_states(env, params)
    assert (
        widened.grid.states * widened.grid.orders.size > small.grid.states * small.grid.orders.size
    )
    assert np.isclose(widened.cost, found.cost, rtol=1e-6)
    assert abs(small.cost / found.cost - 1) > 1e-4
    monkeypatch.setattr(enumeration, "WIDENINGS", 1)
    with pytest.raises(UserError, match="the optimal policy goes beyond every grid tried"):
        enumerate_states(env, params)


def test_a_lower_bound_of_lost_sales_is_an_optimum_at_a_shorter_lead_time():
    env, params = jaxinv.make("lost_sales", lead_time=2, shortage_cost=4.0)
    assert 0 < lower_bound(env, params, 1e6) <= 4.39530
    env, params = jaxinv.make("lost_sales", lead_time=5, shortage_cost=4.0)
    assert 4.72853 - 1e-4 < lower_bound(env, params, 4e6) < 4.81390
    assert lower_bound(*jaxinv.make("dual_sourcing"), 1e6) is None


def test_a_policy_as_people_read_it():
    found = enumerate_states(*jaxinv.make("lost_sales", lead_time=2, **UNIFORM))
    rows = policy_rows(found)
    assert list(rows[0]) == [
        "on hand store", "ordered 1 ago supplier-store", "order supplier-store", "share of periods",
        "relative value"
    ]  # fmt: skip
    shares = [row["share of periods"] for row in rows]
    assert shares == sorted(shares, reverse=True) and abs(sum(shares) - 1) < 1e-6
    mean = sum(row["share of periods"] * row["order supplier-store"] for row in rows)
    lost = 1.0 - mean  # what is ordered is sold, and demand is 1 a period
    assert 0 < lost < 0.5
    levels, amounts, orders = order_map(found)
    for row in rows[:5]:
        place = (
            np.searchsorted(levels, row["on hand store"]),
            np.searchsorted(amounts, row["ordered 1 ago supplier-store"]),
        )
        assert np.isclose(orders[place], row["order supplier-store"])


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "lost_sales",
            dict(lead_time=12),
            r"[\d,]+ states x \d+ orders need about .* GB, of 6.0 GB allowed. A shorter lead time, a smaller mean",
        ),
        ("lost_sales", dict(lead_time_pmf=(0.5, 0.5)), "does not cover lead times that are random"),
        (
            "lost_sales",
            dict(lead_time=1, integer_orders=False),
            "does not cover divisible orders .set integer_orders=true",
        ),
        (
            "lost_sales",
            dict(lead_time=1, demand="normal"),
            "Normal demand has no finite list of values",
        ),
        (
            "serial",
            dict(order_delays=(0, 1, 1, 1), integer_orders=True),
            "does not cover orders that travel or are owed",
        ),
    ],
)
def test_what_cannot_be_solved_is_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        solve(*jaxinv.make(name, **options))


def test_limits_of_memory_work_and_sweeps():
    env, params = jaxinv.make("lost_sales", lead_time=2)
    with pytest.raises(UserError, match="of 0.0 GB allowed"):
        solve(env, params, memory=1e3)
    with pytest.raises(UserError, match="states x"):
        solve(env, params, most=10)
    with pytest.raises(
        UserError, match="did not converge: after 3 sweeps the cost is only known to lie between"
    ):
        iterate(tabulate(env, params, first_grid(env, params)), most=3)
