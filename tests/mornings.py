"""Mornings to order on: `Today` of small invented networks, and of a `retail` problem at the end of
its sales.
"""

import jax
import numpy as np

import jaxinv
from jaxinv.envs.network import NetworkState
from jaxinv.envs.problem import Preset
from jaxinv.orders.today import Today
from jaxinv.policies.decider import Decider
from jaxinv.policies.rules import rule_for

START = np.datetime64("2024-01-01")


def shop(
    demand,
    stock,
    *,
    lead=2,
    pipeline=None,
    pack=1.0,
    holding=1.0,
    shortage=9.0,
    cost=0.0,
    days=7,
    history=8,
    calendar=None,
    known=None,
    coming=16,
    pmf=None,
    plan=None,
    **edge,
):
    """S SKUs of one shop and one supplier.

    Args:
      demand: `[S, T]` of the past; stock: `[S]` on hand; pipeline: `[S, lead - 1]` on the way, the
        latest order first.
    """
    demand = np.asarray(demand, np.float32)
    size, periods = demand.shape
    scale = np.maximum(np.nanmean(demand, 1), 0.01)
    net = jaxinv.Network(
        instances=size,
        whole_units=True,
        **({"longest_lead_time_periods": len(pmf) - 1} if pmf else {}),
    )
    net.supplier("supplier")
    net.node(
        "shop",
        demand=True,
        typical_demand_units_per_period=scale,
        holding_cost_per_unit_period=holding,
        shortage_cost_per_unit=shortage,
    )
    when = {"lead_time_pmf": pmf} if pmf else {"lead_time_periods": lead}
    net.edge("supplier", "shop", **when, pack_units=pack, cost_per_unit=cost, **edge)
    return today_of_network(
        net,
        demand[..., None],
        np.asarray(stock, np.float32)[:, None],
        pipeline,
        days,
        history,
        calendar,
        known,
        coming,
        plan,
    )


def today_of_network(
    net,
    demand,
    stock,
    pipeline=None,
    days=7,
    history=8,
    calendar=None,
    known=None,
    coming=16,
    plan=None,
):
    """Of a network with instances: `demand` `[S, T, D]`, `stock` `[S, N]`, `pipeline`
    `[S, E, L - 1]`.
    """
    from jaxinv.demand.processes import TraceParams, TraceReplay
    from jaxinv.demand.signals import Signal

    size, periods, places = demand.shape
    columns = 0 if known is None else known.shape[-1]
    told = tuple(Signal(f"promotion{number or ''}") for number in range(columns))
    filled = np.nan_to_num(demand)[..., None].astype(np.float32)
    covariates = (
        np.zeros((size, periods, 0), np.float32)
        if known is None
        else known[:, :periods].astype(np.float32)
    )
    trace = TraceParams(
        filled,
        covariates,
        np.zeros(size, np.int32),
        np.full(size, max(periods - 60, 0), np.int32),
        np.zeros(size, np.float32),
    )
    problem = net.problem(
        Preset(horizon=20, history=history),
        demand=(TraceReplay(places, 1, told=told), trace),
        test_periods=40,
        warm_up=10,
        labels=tuple(f"SKU {number}" for number in range(size)),
    )
    topology, params = problem.env.topology, problem.test
    slots = (size, topology.edges, 1, topology.slots)
    state = NetworkState(
        time=np.zeros(size, np.int32),
        on_hand=np.asarray(stock, np.float32)[..., None],
        pipeline=np.zeros(slots, np.float32)
        if pipeline is None
        else np.asarray(pipeline, np.float32).reshape(slots),
        due=np.broadcast_to(
            np.asarray(params.lead_time)[..., None], (size, topology.edges, topology.slots)
        ).copy()
        if topology.random_lead_time
        else None,
    )
    rows = filled[:, -history:].reshape(size, history, -1)
    if columns:
        rows = np.concatenate([rows, known[:, periods - history + 1 : periods + 1]], -1).astype(
            np.float32
        )
    dates = START + days * np.arange(periods)
    ends = np.array([_ends(topology, number) for number in range(topology.edges)], object)
    return Today(
        date=dates[-1] + days, problem=problem, plan=plan, state=state, signals=rows, params=params,
        demand=demand, dates=dates,
        known=np.zeros((size, periods + coming, 0), np.float32) if known is None else known,
        open=np.ones((size, topology.edges, coming), bool) if calendar is None else calendar,
        period_days=float(days),
        skus=np.array(problem.labels), nodes=(topology.node_names,) * size,
        sources=np.tile(ends[:, 0], (size, 1)), destinations=np.tile(ends[:, 1], (size, 1)),
        lane=np.tile(np.arange(topology.edges), (size, 1)),
    )  # fmt: skip


def _ends(topology, edge):
    source = topology.sources[edge]
    return ("supplier" if source < 0 else topology.node_names[source]), topology.node_names[
        topology.destinations[edge]
    ]


def rule(today, name="base_stock", **numbers):
    """A rule with numbers that are told."""
    made = rule_for(today.problem, name)
    params = {
        key: np.broadcast_to(np.float32(numbers[key]), shape)
        for key, shape in made.shapes().items()
    }
    return Decider(name, today.problem, made, jax.tree.map(jax.numpy.asarray, params))
