"""The serial optimum: published instances, other ways to the same number, and the simulator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.interpolate import CubicSpline

import jaxinv
from jaxinv.errors import UserError
from jaxinv.evaluation.simulate import simulate
from jaxinv.exact.clark_scarf import Stage, recursion, solve_serial, solve_serial_normal
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")


def poisson(mean):
    return np.append(stats.poisson.pmf(np.arange(int(mean + 12 * mean**0.5 + 20)), mean), 0.0)


@pytest.mark.parametrize(
    "holding, shortage, cost, levels",
    [
        ((0.25, 0.25, 0.25, 0.25), 9, 12.688, (8, 13, 18, 22)),
        ((0.25, 2.5, 2.5, 0.25), 9, 53.008, (9, 10, 13, 19)),
        ((0.25, 0.25, 0.25, 0.25), 99, 16.206, (11, 17, 22, 27)),
        ((0.25, 2.5, 2.5, 0.25), 99, 74.564, (11, 14, 18, 26)),
    ],
)
def test_shang_and_song(holding, shortage, cost, levels):
    """Shang & Song 2003, table 1, rows 1, 9, 17 and 25: Poisson demand of rate 16, lead times
    1/4.
    """
    ahead = poisson(4.0)
    average, found = recursion([Stage(here, ahead, ahead) for here in holding], shortage)
    assert round(average, 3) == cost
    assert tuple(found) == levels


def test_snyder_and_shen():
    """Example 6.1: 47.65 in the book; 47.665 and S = 6.484, 12.028, 22.720 in stockpyl, on a
    coarser grid.
    """
    optimum = solve_serial_normal(5, 1, (1, 1, 2), (3, 2, 2), 37.12)
    assert abs(optimum.average_cost - 47.665) < 0.006
    assert np.allclose(optimum.levels, [6.484, 12.028, 22.720], atol=0.02)
    assert abs(optimum.average_cost - by_quadrature((1, 1, 2), (3, 2, 2), 37.12)) < 3e-4
    assert optimum.error < 1e-4


def by_quadrature(lead_times, holding, shortage, mean=5.0, deviation=1.0):
    """The recursion in real numbers: C_1 in closed form, each next one by integrating over the
    normal density.
    """
    z = np.linspace(-8, 8, 2001)
    density = stats.norm.pdf(z) * (z[1] - z[0])
    grid = np.linspace(-40, 60, 20001)
    charged = shortage + sum(holding)
    slope, held = 0.0, grid
    for stage, (lead, here) in enumerate(zip(lead_times, holding)):
        spread = deviation * lead**0.5
        if stage == 0:
            u = (grid - mean * lead) / spread
            costs = here * (grid - mean * lead) + charged * spread * (
                stats.norm.pdf(u) - u * stats.norm.sf(u)
            )
        else:
            arrived = grid[::10, None] - mean * lead - spread * z
            below = np.interp(arrived, grid, held) + np.minimum(arrived - grid[0], 0.0) * slope
            costs = CubicSpline(grid[::10], here * (grid[::10] - mean * lead) + below @ density)(
                grid
            )
        slope = (costs[1] - costs[0]) / (grid[1] - grid[0])
        held = np.where(np.arange(len(grid)) < costs.argmin(), costs, costs.min())
    return costs.min()


def test_a_serial_optimum_is_that_of_its_markov_decision_process():
    """Two stages, lead times 1, demand uniform on 0, 1, 2: relative value iteration over all
    decisions.
    """
    holding, shortage, most = (0.4, 1.0), 5.0, 7
    low, high = -8, 9
    stock, net = np.meshgrid(np.arange(most + 1), np.arange(low, high + 1), indexing="ij")
    value = np.zeros(stock.shape)
    after_demand = net - np.arange(3)[:, None, None]
    at_store = holding[1] * np.maximum(after_demand, 0) + shortage * np.maximum(-after_demand, 0)
    charge = holding[0] * stock + at_store.mean(0)  # in transit a unit costs what it cost upstream
    for _ in range(3000):
        best = np.full(stock.shape, np.inf)
        for sent in range(most + 1):
            for bought in range(4):
                left, ahead = (
                    stock - sent + bought,
                    [np.clip(net - d + sent, low, high) for d in range(3)],
                )
                possible = (sent <= stock) & (left <= most) & (net + sent <= high)
                after = np.mean(
                    [value[np.clip(left, 0, most), there] for there in np.array(ahead) - low], 0
                )
                best = np.where(possible, np.minimum(best, after), best)
        change = charge + best - value
        value = charge + best - (charge + best)[0, -low]
        if np.ptp(change) < 1e-7:
            break
    env, params = jaxinv.make(
        "serial",
        lead_times=(1, 1),
        holding_costs=holding,
        shortage_cost=shortage,
        demand="uniform",
        integer_orders=True,
    )
    params = params.replace(
        demand=params.demand.replace(cdf=jnp.asarray([1 / 3, 2 / 3])[:, None, None])
    )
    assert np.ptp(change) < 1e-7
    assert np.isclose(solve_serial(env, params).average_cost, change.mean(), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(
            demand="poisson",
            integer_orders=True,
            lead_times=(1, 0, 2),
            holding_costs=(0.2, 0.5, 1.0),
        ),
        dict(lead_times=(2, 0), holding_costs=(0.5, 0.9), deviation=4.0),
    ],
)
def test_the_solved_levels_cost_in_the_simulator_what_was_solved(options):
    env, params = jaxinv.make("serial", **options)
    optimum = solve_serial(env, params)
    rule = make_rule("echelon_base_stock", env.topology)
    levels = {"level": jnp.asarray(optimum.levels[:, None]) / rule.level_unit(env.facts(params))}
    batch, periods = 256, 400
    run = jax.jit(
        lambda key: simulate(
            env, params, rule, levels, key, batch=batch, periods=periods, warm_up=100
        )
    )
    costs = -np.asarray(run(jax.random.key(8)).reward, np.float64) / periods
    assert optimum.error < 2e-4 * optimum.average_cost
    assert abs(costs.mean() - optimum.average_cost) < 3.5 * costs.std(ddof=1) / batch**0.5
    assert costs.std() / batch**0.5 < 0.005 * optimum.average_cost


def test_equal_holding_costs_push_everything_to_the_customer():
    """Then the chain is one newsvendor over all of its lead times, and transit costs what it costs
    anywhere.
    """
    env, params = jaxinv.make(
        "serial",
        lead_times=(2, 1),
        holding_costs=(1.0, 1.0),
        demand="poisson",
        mean=3.0,
        integer_orders=True,
    )
    ahead, demand = poisson(3.0 * (2 + 1 + 1)), np.arange(len(poisson(12.0)))
    costs = [(np.maximum(y - demand, 0) + 9 * np.maximum(demand - y, 0)) @ ahead for y in range(40)]
    assert np.isclose(solve_serial(env, params).average_cost, min(costs) + 1.0 * 1 * 3.0, rtol=1e-6)


def test_what_clark_and_scarf_do_not_know_is_refused():
    with pytest.raises(UserError, match="stages in a row"):
        env, params = jaxinv.make("dual_sourcing")
        solve_serial(env, params)
    with pytest.raises(UserError, match="is for backlog"):
        solve_serial(*jaxinv.make("one_warehouse_many_stores"))
    with pytest.raises(UserError, match="above 0"):
        solve_serial(*jaxinv.make("serial", shortage_cost=0.0))
