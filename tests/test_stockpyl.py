"""Figures of stockpyl 1.0.2, recorded: it needs NumPy below 2, so it cannot be installed beside
this package.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.evaluation.simulate import simulate
from jaxinv.policies.rules import make_rule


@pytest.mark.parametrize(
    ("options", "cost"),
    [
        (dict(lead_time=0), 4.22109),  # newsvendor_poisson
        (dict(lead_time=3), 8.18643),  # newsvendor_poisson of the demand of four periods
        (dict(lead_time=0, fixed_cost=20.0), 14.65717),  # s_s_discrete_exact
    ],
)
def test_optimal_costs_of_a_store(options, cost):
    env, params = jaxinv.make("backlog", demand="poisson", mean=5.0, shortage_cost=9.0, **options)
    assert abs(jaxinv.exact.solve(env, params).average_cost - cost) < 1e-5


def test_two_stages_cost_what_its_simulation_says():
    """Levels of 16 at both stages, Poisson demand of 5, holding 1 and 2, what is under way
    included: 33.000 +- 0.046 in ten runs of 1900 periods. stockpyl orders once demand is seen, so
    its lead times of 2 and 1 are 1 and 0 here.
    """
    env, params = jaxinv.make(
        "serial",
        lead_times=(1, 0),
        holding_costs=(1.0, 2.0),
        shortage_cost=9.0,
        demand="poisson",
        integer_orders=True,
    )
    rule = make_rule("echelon_base_stock", env.topology)
    levels = jnp.asarray([[32.0], [16.0]]) / rule.level_unit(env.facts(params))
    totals = simulate(
        env, params, rule, {"level": levels}, jax.random.key(0), batch=128, periods=500, warm_up=50
    )
    costs = -np.asarray(totals.reward) / 500
    error = np.hypot(costs.std() / 128**0.5, 0.046)
    assert abs(costs.mean() - 33.000) < 3 * error
    assert error < 0.1
