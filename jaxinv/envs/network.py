"""The one transition: everything that moves stock, in every preset, is `transition` below.

A period runs in this order: `ship` (`jaxinv.envs.shipping`), `advance` (`jaxinv.envs.pipeline`),
`receive`, `serve`, `take_back` and `age` (`jaxinv.envs.stock`), and `charge` (`jaxinv.envs.costs`)
for all of it. The transition is deterministic and differentiable; what is random comes in as
`Exogenous` values, so the same noise can be replayed under any policy. Axes: N nodes, E edges, K
products, L largest lead time, A ages, R return lags, B freight tiers. Quantities are in product
units, time in periods, money in one currency.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments.environment import EnvParams

from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.costs import COSTS, Flows, Places, by_place, charge, totals
from jaxinv.envs.pipeline import advance, arrived, due_at_once
from jaxinv.envs.shipping import ship, taken
from jaxinv.envs.stock import (
    age,
    book,
    goodwill_after,
    handed_over,
    receive,
    serve,
    take_back,
    wait,
)
from jaxinv.envs.topology import Topology


@struct.dataclass
class InstanceParams(EnvParams):
    """The numbers of one instance; a batch of instances is this struct with a leading axis on every
    array.

    A field is None where the topology has no use for it.
    """

    max_steps_in_episode: int = 100
    holding: jax.Array | None = None  # [N, K] money per unit on hand at the end of a period
    # [N, K] money per unit of lost sales, or per unit and period of backorders, internal ones
    # included
    shortage: jax.Array | None = None
    weights: jax.Array | None = None  # [len(COSTS)] weight of each cost part in the reward
    preference: jax.Array | None = (
        None  # [len(COSTS)] factors that `weights` hold and a policy is told; None: 1 each
    )
    scale: jax.Array | None = (
        None  # [N, K] typical demand a period that passes the node; scales what networks see
    )
    initial_low: jax.Array | None = None  # [N, K] stock at reset is uniform between these two
    initial_high: jax.Array | None = None  # [N, K]
    initial_pipeline: jax.Array | None = (
        None  # [E, K] units in every open pipeline slot and past order at reset
    )
    lead_time: jax.Array | None = None  # [E] quoted lead time in periods, from shipment to arrival
    max_order: jax.Array | None = None  # [E, K] upper end of the action space
    demand: Any = None  # parameters of the demand process
    lead_time_law: Any = None  # parameters of the lead-time process
    arrival_law: Any = None  # parameters of the process of what arrives
    intervention: Any = (
        None  # what changes the world, where it is open to change (`jaxinv.demand.interventions`)
    )
    unit_cost: jax.Array | None = None  # [E, K] money per unit ordered
    fixed_cost: jax.Array | None = None  # [E, K] money per order
    freight_fixed: jax.Array | None = None  # [E] money per shipment
    freight_breaks: jax.Array | None = (
        None  # [E, B] quantity at which each tier starts; the first is 0
    )
    freight_rates: jax.Array | None = None  # [E, B] money per further unit within each tier
    duty: jax.Array | None = None  # [E, K] money per unit
    transit_holding: jax.Array | None = (
        None  # [E, K] money per unit in transit at the end of a period
    )
    loss_cost: jax.Array | None = None  # [E, K] money per unit that was shipped and does not arrive
    pack_size: jax.Array | None = None  # [E, K] units
    minimum_order: jax.Array | None = None  # [E, K] units
    order_limit: jax.Array | None = None  # [E] volume a period
    budget: jax.Array | None = None  # [] money a period for what suppliers are paid
    shipping_capacity: jax.Array | None = None  # [N] volume a period that leaves a node
    processing_yield: jax.Array | None = (
        None  # [E] units shipped per unit taken from the source, above 0 and at most 1
    )
    review_period: jax.Array | None = (
        None  # [E] periods between ordering opportunities, with a calendar their mean
    )
    order_days: jax.Array | None = (
        None  # [W, E] 1 in the periods of a cycle in which an edge takes orders, else 0
    )
    volume: jax.Array | None = None  # [K] volume of a unit
    capacity: jax.Array | None = None  # [N] volume
    overflow_cost: jax.Array | None = None  # [N] money per unit of volume above capacity and period
    expiry_cost: jax.Array | None = None  # [N, K] money per unit expired
    # [N, K] periods 1 .. A in which a unit can be sold, the one it arrives in included; 0: it keeps
    # for ever
    shelf_life: jax.Array | None = None
    price: jax.Array | None = None  # [N, K] money per unit sold
    # Goodwill moves with each period by a factor between growth, where all are served, and decay,
    # where the share of demand that waits or is lost is the tolerance or more; tolerance 0: one
    # unit unserved is enough.
    goodwill_growth: jax.Array | None = None  # [N, K] factor a period, at least 1
    goodwill_decay: jax.Array | None = None  # [N, K] factor a period, at most 1
    goodwill_tolerance: jax.Array | None = None  # [N, K] share of demand
    goodwill_low: jax.Array | None = None  # [N, K] bounds of the level
    goodwill_high: jax.Array | None = None  # [N, K]
    waiting_share: jax.Array | None = None  # [N, K] share of backorders that wait on
    return_share: jax.Array | None = (
        None  # [N, K, R] share of a unit sold r+1 periods ago that comes back now
    )
    resaleable_share: jax.Array | None = (
        None  # [N, K] share of what is restocked or forwarded that can be sold again
    )
    restock_share: jax.Array | None = (
        None  # [N, K] share of returns that is put back into stock here
    )
    forward_share: jax.Array | None = (
        None  # [N, K] share that is sent on to `return_to`; the rest is liquidated
    )
    return_cost: jax.Array | None = None  # [N, K] money per returned unit
    return_fixed_cost: jax.Array | None = None  # [N] money per period with returns
    liquidation_value: jax.Array | None = None  # [N, K] money earned per liquidated unit


@struct.dataclass
class Action:
    """The decisions of a period where a topology leaves more than orders to decide; an array alone
    is orders.
    """

    orders: (
        jax.Array
    )  # [E, K] requested quantities; infeasible parts are cut (`jaxinv.envs.shipping.ship`)
    # [N, K, 3] shares of returns to restock, to forward and to liquidate, with
    # mechanism "dispositions"; negative shares count as 0, and all are scaled to the sum 1
    dispositions: jax.Array | None = None

    @classmethod
    def of(cls, action: Any) -> "Action":
        """An action from itself, or from orders alone."""
        return action if isinstance(action, cls) else cls(action)


@struct.dataclass
class NetworkState:
    """Stock and what is on its way, as it stands after this period's arrivals (before them, with
    `orders_first`).

    The pipeline is kept by the age of the order: slot i holds what was ordered i + 1 periods ago
    and has not arrived, which is what a planner knows; the realised lead time of each order, and
    the share of it that will arrive, are kept beside it and are never observed. What is lost leaves
    the pipeline when it is due.
    """

    time: jax.Array  # [] int32
    # [N, K], or [N, K, A] where goods age; age class 0 expires first, and goods that do not
    # expire stay in the last
    on_hand: jax.Array
    pipeline: jax.Array  # [E, K, L - 1]; L - 1 here is `Topology.slots`
    due: jax.Array | None = (
        None  # [E, L - 1] realised lead time of the order in each slot, where it is random
    )
    arriving: jax.Array | None = (
        None  # [E, L - 1] share of the order in each slot that will arrive, where not all do
    )
    backorder: jax.Array | None = None  # [N, K], with backlog
    owed: jax.Array | None = (
        None  # [E, K] internal backorders: units that the source still has to ship
    )
    orders: jax.Array | None = (
        None  # [E, K, M] orders placed 1 .. M periods ago, where orders travel or are remembered
    )
    sales: jax.Array | None = None  # [N, K, R] units sold 1 .. R periods ago, with returns
    goodwill: jax.Array | None = (
        None  # [N, K] factor on demand, with that mechanism; 1 at nodes without demand
    )
    booked: jax.Array | None = (
        None  # [N, K] what customers of `advance_nodes` ordered for this period; 0 at other nodes
    )


@struct.dataclass
class Outcome:
    """What happened in one period."""

    reward: jax.Array  # [] minus the weighted costs
    costs: jax.Array  # [len(COSTS)]
    ordered: (
        jax.Array
    )  # [E, K] units shipped, after post-processing and rationing; these are paid for
    demand: jax.Array  # [N, K] new demand
    sold: jax.Array  # [N, K] units handed over, backorders included
    short: jax.Array  # [N, K] new demand not served at once
    on_hand: jax.Array  # [N, K] stock that is held at the end of the period
    expired: jax.Array  # [N, K]
    returned: jax.Array  # [N, K] units that came back
    liquidated: jax.Array  # [N, K]
    # [E, K] units that were due and did not arrive, or were taken from the source and lost in
    # processing
    lost: jax.Array
    places: Places  # the costs by node and by edge; where nobody reads them, they are not computed


def transition(
    topology: Topology,
    state: NetworkState,
    action: jax.Array | Action,
    exogenous: Exogenous,
    params: InstanceParams,
) -> tuple[NetworkState, Outcome]:
    """One period of the network.

    Args:
      topology: the static shape.
      state: stock after this period's arrivals.
      action: `[E, K]` requested order quantities, whose infeasible part is cut (see `ship`), or an
        `Action`.
      exogenous: demand, and lead times, prices, shares of arrival and order days where the topology
        leaves them open.
      params: the numbers of the instance.

    Returns:
      The state after the next period's arrivals, and what happened.
    """
    action = Action.of(action)
    if topology.has("calendar"):
        action = action.replace(orders=action.orders * exogenous.open[:, None])
    ordered, stock, owed, orders = ship(topology, state, action.orders, params)
    if topology.has("orders_first"):
        pipeline, due, arriving, due_now, arriving_now = advance(
            topology, state, ordered, exogenous
        )
        due_next = arrivals = jnp.zeros_like(ordered)
    else:
        due_now = due_at_once(topology, ordered, exogenous)
        arriving_now = arrived(topology, due_now, exogenous.arrival)
        pipeline, due, arriving, due_next, arrivals = advance(
            topology, state, ordered - due_now, exogenous
        )
    stock = receive(topology, stock, topology.into_nodes(arriving_now), params)
    demand = topology.at_demand_nodes(exogenous.demand)
    if topology.has("goodwill"):
        demand = demand * state.goodwill
    demand, booked = book(topology, demand, state.booked)
    stock = handed_over(topology, stock, demand, state.backorder)
    stock, sold, short, backorder = serve(topology, stock, demand, state.backorder)
    stock, sales, returned, liquidated = take_back(
        topology, stock, demand, sold, state.sales, action.dispositions, params
    )
    lost = (
        due_now + due_next - arriving_now - arrivals
        if topology.has("arrivals")
        else jnp.zeros_like(ordered)
    )
    if topology.has("processing_yield"):
        lost = lost + taken(topology, ordered, params) - ordered
    stock_held = stock.sum(-1) if topology.ages > 1 else stock
    stock, expired = age(topology, stock, params)
    waiting = short if backorder is None else backorder
    goodwill = goodwill_after(topology, state.goodwill, demand, waiting, params)
    if owed is not None:
        waiting = waiting + topology.out_of_nodes(owed)
    charges = charge(
        topology,
        params,
        Flows(
            ordered=ordered,
            in_transit=pipeline.sum(-1) + due_next,
            lost=lost,
            on_hand=stock_held,
            sold=sold,
            price=params.price if exogenous.price is None else exogenous.price,
            unmet=waiting,
            returned=returned,
            liquidated=liquidated,
            expired=expired,
        ),
    )
    next_state = NetworkState(
        time=state.time + 1,
        on_hand=receive(topology, stock, topology.into_nodes(arrivals), params),
        pipeline=pipeline,
        due=due,
        arriving=arriving,
        backorder=wait(topology, backorder, params),
        owed=owed,
        orders=orders,
        sales=sales,
        goodwill=goodwill,
        booked=booked,
    )
    parts = totals(charges)
    # part by part rather than a product with the cost vector, which nothing but its own readers
    # then has to build
    reward = -sum(params.weights[COSTS.index(name)] * part for name, part in parts.items())
    costs = jnp.stack([parts.get(name, jnp.zeros_like(reward)) for name in COSTS])
    outcome = Outcome(
        reward=reward,
        costs=costs,
        ordered=ordered,
        demand=demand,
        sold=sold,
        short=short,
        on_hand=stock_held,
        expired=expired,
        returned=returned,
        liquidated=liquidated,
        lost=lost,
        places=by_place(topology, charges),
    )
    return next_state, outcome
