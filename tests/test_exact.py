"""The exact solver: its tables against the transition, published optima, closed forms, brute force and the simulator."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError
from jaxinv.evaluation.simulate import simulate
from jaxinv.exact import enumerate_states, solve
from jaxinv.exact.extent import first_grid
from jaxinv.exact.finite_horizon import backward_induction
from jaxinv.exact.in_class import RuleCosts, best_numbers
from jaxinv.exact.mdp import Grid, network_state, tabulate, vectors
from jaxinv.exact.value_iteration import cheapest, iterate, sweep
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = dict(demand="uniform", low=0, high=2)


def made(name, **options):
    problem = preset(name)(**options).build()
    return problem.env, problem.train


def enumerated(env, params, grid):
    """Every transition of a grid, one state, order and demand at a time through `env.transition`, as NumPy arrays.

    Returns:
      Costs `[S, A, W]`, next states `[S, A, W]`, probabilities `[W]` and whether an order is carried out `[S, A]`.
    """
    topology = env.topology
    demand, mass = env.world.demand.support(params.demand)
    states = [(stock, pipe) for stock in grid.stock.points() for pipe in grid.pipeline.points()]
    stocks, pipes = (jnp.asarray(np.stack(part)) for part in zip(*states))
    orders = jnp.asarray(grid.orders.points())

    def one(stock, pipe, order, demand):
        state = network_state(topology, stock, pipe)
        action = order.astype(jnp.float32).reshape(topology.edges, topology.products)
        after, outcome = env.transition(state, action, Exogenous(demand), params)
        carried = jnp.all(jnp.abs(outcome.ordered - action) < 1e-3)
        return -outcome.reward, *vectors(topology, after), carried

    every = jax.vmap(jax.vmap(jax.vmap(one, (None, None, None, 0)), (None, None, 0, None)), (0, 0, None, None))
    cost, stock, pipe, carried = (np.asarray(leaf) for leaf in jax.jit(every)(stocks, pipes, orders, jnp.asarray(demand)))
    after = grid.stock.index(stock) * grid.pipeline.size + grid.pipeline.index(pipe)
    return cost.astype(float), after, mass, carried[..., 0]


TINY = {
    "lost sales": ("lost_sales", dict(SMALL, lead_time=3)),
    "lost sales, next period": ("lost_sales", dict(SMALL, lead_time=1, fixed_cost=3.0)),
    "dual sourcing": ("dual_sourcing", dict(SMALL, regular_lead_time=2)),
    "both suppliers with a lead time": ("dual_sourcing", dict(SMALL, expedited_lead_time=1, regular_lead_time=3)),
    "perishable, oldest": ("perishable", dict(SMALL, shelf_life=3, lead_time=1, issuing="oldest", max_order=3.0)),
    "perishable, freshest": ("perishable", dict(SMALL, shelf_life=2, lead_time=2, issuing="freshest", max_order=3.0)),
}


def small_grid(env, orders=2, low=0, high=3):
    topology = env.topology
    cells = topology.nodes * topology.products * topology.ages
    least = [low if topology.backlog else 0] * cells
    return Grid.of(topology, least, [high] * cells, [orders] * (topology.edges * topology.products))


@pytest.mark.parametrize("name, options", TINY.values(), ids=TINY)
def test_a_sweep_is_the_transition_enumerated(name, options):
    env, params = made(name, **options)
    grid = small_grid(env, low=-3)
    assert_sweep_is_transition(env, params, grid)


def test_a_sweep_of_a_chain_is_the_transition_enumerated():
    env, params = made("serial", lead_times=(1, 2), holding_costs=(0.5, 1.0), demand="normal", integer_orders=True)
    law = made("lost_sales", **SMALL)
    env = InventoryNetwork(env.topology, law[0].world, params, name="chain")
    params = params.replace(demand=law[1].demand)
    low, high = (0, -3), (3, 3)
    assert_sweep_is_transition(env, params, Grid.of(env.topology, low, high, (2, 2)))


def assert_sweep_is_transition(env, params, grid):
    cost, after, mass, carried = enumerated(env, params, grid)
    mdp = tabulate(env, params, grid)
    value = np.random.default_rng(0).random(grid.states)
    expected = np.where(carried, (cost + 0.9 * value[after]) @ mass, np.inf)
    with jax.enable_x64(True):
        tables = jax.tree.map(jnp.asarray, mdp)
        shape = (grid.stock.size, grid.pipeline.size)
        every = sweep(tables, jnp.asarray(value.reshape(shape)), 0.9, cheapest)
    # demand that leaves less than the grid holds, and orders that lift stock on offer above it, count as its bound
    inside = np.ones(grid.states, bool)
    if env.topology.backlog or 0 in env.topology.lead_times:
        stocks = np.repeat(grid.stock.points(), grid.pipeline.size, 0)
        low, high = np.array(grid.stock.low), np.array(grid.stock.high)
        inside = ((stocks >= np.where(low < 0, low + 2, low)) & (stocks <= high - 2 * (0 in env.topology.lead_times))).all(1)
    assert inside.any()
    assert np.allclose(np.asarray(every).reshape(-1)[inside], expected.min(1)[inside], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name, options, optimum, error",
    [
        ("lost_sales", dict(lead_time=1, shortage_cost=4.0), 4.04071, 1e-3),
        ("lost_sales", dict(lead_time=2, shortage_cost=39.0), 9.10638, 1e-3),
        ("lost_sales", dict(demand="geometric", lead_time=1, shortage_cost=9.0), 14.50817, 1e-3),
        ("lost_sales", dict(lead_time=2, shortage_cost=14.0, fixed_cost=5.0), 11.46, 5e-3),
        ("dual_sourcing", dict(regular_lead_time=2, expedited_cost=105.0), 216.76980, 1e-2),
        ("dual_sourcing", dict(regular_lead_time=2, expedited_cost=110.0), 219.73333, 1e-2),
    ],
)
def test_published_optima(name, options, optimum, error):
    assert enumerate_states(*made(name, **options)).cost == pytest.approx(optimum, abs=error)


@pytest.mark.parametrize("options", [dict(lead_time=2), dict(lead_time=1, fixed_cost=8.0)])
def test_value_iteration_finds_the_closed_form_of_a_store_with_backlog(options):
    env, params = made("backlog", demand="poisson", mean=2.0, shortage_cost=9.0, **options)
    closed = solve(env, params)
    assert closed.enumeration is None
    assert enumerate_states(env, params).cost == pytest.approx(closed.average_cost, rel=1e-4)


def test_discounted_values_are_those_of_plain_value_iteration():
    env, params = made("lost_sales", **SMALL, lead_time=2)
    grid, discount = small_grid(env), 0.9
    cost, after, mass, _ = enumerated(env, params, grid)
    value = np.zeros(grid.states)
    for _ in range(400):
        value = ((cost + discount * value[after]) @ mass).min(1)
    found = iterate(tabulate(env, params, grid), discount=discount, tolerance=1e-9)
    assert np.allclose(found.value.reshape(-1), value, rtol=1e-6)


def test_backward_induction_is_brute_force():
    env, params = made("lost_sales", **SMALL, lead_time=1)
    grid = small_grid(env)
    cost, after, mass, _ = enumerated(env, params, grid)
    value = np.zeros(grid.states)
    for counted, takes in reversed([(False, True), (True, False), (True, True)]):
        all_orders = (counted * cost + value[after]) @ mass
        value = all_orders.min(1) if takes else all_orders[:, 0]
    plan = backward_induction([tabulate(env, params, grid)] * 3, orders=(True, False, True), counted=(False, True, True))
    assert np.allclose(plan.value.reshape(-1), value, atol=1e-5)
    assert plan.params.shape == (3, grid.states, 1) and not plan.params[1].any()


@pytest.mark.parametrize("name, options", [
    ("lost_sales", dict(lead_time=2)),
    ("dual_sourcing", dict(regular_lead_time=2)),
    ("perishable", dict(shelf_life=2, lead_time=1)),
])  # fmt: skip
def test_the_simulated_cost_of_the_optimal_policy_is_its_solved_cost(name, options):
    env, params = made(name, **options)
    found = enumerate_states(env, params)
    run = jax.jit(lambda orders, key: simulate(env, params, found.policy, orders, key, batch=512, periods=500, warm_up=100))
    costs = -np.asarray(run(found.params, jax.random.key(1)).reward, float) / 500
    assert abs(costs.mean() - found.cost) < 3.29 * costs.std(ddof=1) / len(costs) ** 0.5


def test_best_in_class_costs_are_exact():
    env, params = made("lost_sales", lead_time=2, shortage_cost=4.0)
    costs = RuleCosts(env, params, make_rule("capped_base_stock", env.topology))
    best = best_numbers(costs, {"level": np.array([[16.0]]), "cap": np.array([[6.0]])})
    assert best.cost == pytest.approx(4.4057, abs=0.005)
    assert (best.numbers["level"].item(), best.numbers["cap"].item()) == (17, 5)

    env, params = made("dual_sourcing", regular_lead_time=2, expedited_cost=105.0)
    costs = RuleCosts(env, params, make_rule("dual_index", env.topology))
    best = best_numbers(costs, {"level": np.array([[4.0], [9.0]])})
    assert 100 * (best.cost / enumerate_states(env, params).cost - 1) == pytest.approx(0.11, abs=0.03)


def test_a_table_policy_acts_as_its_table_says():
    env, params = made("lost_sales", lead_time=2)
    found = enumerate_states(env, params)
    for stock, pipe in itertools.product((0, 5, found.grid.stock.high[0], 1000), (0, 3)):
        view = env.view(network_state(env.topology, jnp.asarray([stock]), jnp.asarray([pipe])), params)
        row = min(stock, found.grid.stock.high[0])
        said = found.grid.orders.points()[found.orders[row, pipe]]
        assert found.policy.act(jnp.asarray(found.params), view, None).reshape(-1) == said


def test_a_grid_that_binds_is_widened(monkeypatch):
    env, params = made("lost_sales", lead_time=1)
    first = first_grid(env, params)
    small = Grid.of(env.topology, (0,), (6,), (3,))
    monkeypatch.setattr("jaxinv.exact.enumeration.first_grid", lambda *_: small)
    found = enumerate_states(env, params)
    assert found.grid.orders.high[0] > 3 and found.grid.stock.high[0] > 6
    assert found.cost == pytest.approx(enumerate_states(env, params, grid=first).cost, rel=1e-6)


def test_what_is_too_large_says_how_large_and_what_shrinks_it():
    with pytest.raises(UserError, match=r"states x .* orders need about .* GB.*shorter lead time.*lower bound"):
        enumerate_states(*made("lost_sales", lead_time=9, shortage_cost=39.0))


@pytest.mark.parametrize("options, message", [
    (dict(lead_time_pmf=(0.5, 0.5)), "lead times that are random"),
    (dict(integer_orders=False), "divisible orders"),
    (dict(demand="normal"), "no finite list of values"),
])  # fmt: skip
def test_what_is_not_covered_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        enumerate_states(*made("lost_sales", **options))


def test_no_convergence_is_an_error():
    env, params = made("lost_sales", lead_time=1)
    with pytest.raises(UserError, match="did not converge: after 3 sweeps"):
        iterate(tabulate(env, params, first_grid(env, params)), most=3)
