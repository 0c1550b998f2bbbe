"""Order days: a calendar opens the periods in which an edge takes orders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import Reference, Shipment, Stock

import jaxinv
from jaxinv.demand.exogenous import World
from jaxinv.demand.order_days import OrderDays
from jaxinv.demand.processes import TraceParams, TraceReplay
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.problem import Preset
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import begin, rollout, unroll_world
from jaxinv.policies.rules import applicable_rules

pytestmark = pytest.mark.usefixtures("quick_compilation")

MONDAY_AND_THURSDAY = (1, 0, 0, 1, 0, 0, 0)


def network(**given):
    net = jaxinv.Network(period="day", whole_units=True)
    net.supplier("factory")
    net.node("depot", holding_cost_per_unit_period=0.5)
    net.node(
        "shop", demand="poisson(5)", holding_cost_per_unit_period=1.0, shortage_cost_per_unit=9.0
    )
    net.edge("factory", "depot", lead_time_days=3, order_cycle=MONDAY_AND_THURSDAY)
    net.edge("depot", "shop", lead_time_days=1, **given)
    return net


def test_orders_go_out_on_order_days_alone_and_the_rest_is_as_ever():
    net = network(order_cycle=(1, 0))
    problem = net.problem(Preset(history=2))
    env, params = problem.env, problem.first
    assert params.order_days.shape == (14, 2) and params.review_period.tolist() == [3.5, 2.0]
    episodes, trace = unroll_world(env, begin(env, jax.random.key(0), params, 1), params, 60)
    asked = np.random.default_rng(0).integers(1, 9, (60, 2, 1, 1)).astype(np.float32)

    def act(_, observation, wanted):
        return wanted, None

    start = episodes.network

    def record(observation, outcome, note):
        return outcome.ordered, outcome.on_hand

    wanted = jnp.asarray(asked)
    _, (ordered, held), _ = rollout(
        env, params, act, None, start, trace.exogenous, wanted, record=record
    )
    open = np.asarray(params.order_days)[(np.arange(60) + env.history) % 14]
    assert np.array_equal(np.asarray(ordered)[:, 0, 0, 0] > 0, open[:, 0] > 0)
    assert not np.asarray(ordered)[:, 1, 0, 0][open[:, 1] == 0].any()

    numbers = {
        name: np.asarray(value)
        for name, value in vars(params).items()
        if value is not None and name != "demand"
    }
    numbers["order_days"] = np.roll(numbers["order_days"], -env.history, 0)
    pipeline = np.asarray(start.pipeline)[:, 0, :, 0]
    leads = env.topology.lead_times
    under_way = [
        Shipment(edge, 0, pipeline[edge, slot], -1 - slot, leads[edge] - 1 - slot)
        for edge in range(2) for slot in range(pipeline.shape[1]) if pipeline[edge, slot]
    ]  # fmt: skip
    stock, simulator = (
        Stock(0, np.array(start.on_hand), under_way),
        Reference(env.topology, numbers),
    )
    for t in range(60):
        period = simulator.play(
            stock, asked[t, :, :, 0], np.asarray(trace.exogenous.demand)[t, :, :, 0]
        )
        assert np.allclose(period.ordered, np.asarray(ordered)[t, :, :, 0], atol=1e-4)
        assert np.allclose(period.on_hand, np.asarray(held)[t, :, :, 0], atol=1e-3)


def test_recorded_demand_has_the_days_of_its_own_rows():
    net = network()
    topology, numbers = net.topology(), net.params(30)
    demand = np.zeros((40, 1, 1), np.float32)
    for first in (0, 3, 5):
        law = TraceParams(demand, np.zeros((40, 0), np.float32), np.int32(first), np.int32(first))
        params = jax.device_put(numbers.replace(demand=law))
        env = InventoryNetwork(topology, World(TraceReplay(), order_days=OrderDays()), params, 2)
        _, trace = unroll_world(env, begin(env, jax.random.key(1), params, 1), params, 14)
        expected = [MONDAY_AND_THURSDAY[(first + 2 + t) % 7] for t in range(14)]
        assert np.asarray(trace.exogenous.open)[:, 0, 0].tolist() == expected


def test_rules_are_tuned_on_it():
    problem = network().problem(Preset(history=2), test_periods=60, warm_up=10)
    assert "base_stock" in applicable_rules(problem)
    facts = problem.env.facts(problem.first)
    assert facts.review_period.tolist() == [3.5, 1.0]


@pytest.mark.parametrize("cycle", [(), (0, 0), (0.5, 1), 1])
def test_a_calendar_that_means_nothing_is_refused(cycle):
    with pytest.raises(UserError, match="order_cycle"):
        network(order_cycle=cycle)


def test_two_calendars_are_refused():
    with pytest.raises(UserError, match="both say when"):
        network(order_cycle=(1, 0), review_periods=2)
