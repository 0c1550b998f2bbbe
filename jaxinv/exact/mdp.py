"""A network in whole units as a finite Markov decision process, tabulated from the network's own
transition.

A state is on-hand stock and pipeline. In the networks covered here the pipeline reaches the stock
only at the end of a period, so one period is three smaller steps, and the transition splits in the
same way:

    decide   orders are taken from stock     (stock, order) -> stock on offer
    serve    demand takes from it            stock on offer, demand -> stock left
    move     the pipeline advances           (pipeline, order) -> arrivals, next pipeline

Where only a random share of what is due arrives, the share is drawn when it is due, and a pipeline
and an order have several possible arrivals. The next state is (stock left + arrivals, next
pipeline), and the cost is the sum of a part of serving and a part of moving. So three small tables
replace one table over all states, orders and demands. Each is filled by calling `env.transition` on
states where the other parts are empty, and a sample checks that the parts add up to the whole
transition. The dynamics are not written a second time, and a Bellman sweep is one product of
matrices.

Axes: X stock vectors, R pipelines, A orders, W demands, Y stocks that demand can leave, F arrivals,
S shares that arrive.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.pipeline import due_at_once
from jaxinv.envs.shipping import ship
from jaxinv.envs.stock import receive
from jaxinv.errors import UserError
from jaxinv.exact.state_space import StateSpace, network_state, open_slots, vectors
from jaxinv.keys import Role, generator

DENSE = 1 << 22
"""Largest kernel of serving, X * Y entries, that is kept as a full matrix."""

SAMPLE = 512
"""States on which the tables are checked against the transition."""

CHUNKS = 1 << 12, 1 << 18
"""Transitions tabulated in one call, on small and on large problems."""


@struct.dataclass
class Kernel:
    """Probabilities of the stock that demand leaves, full or by the outcomes that can occur."""

    mass: jax.Array  # [X, Y], or [X, O] with `outcome`
    outcome: jax.Array | None = None  # [X, O]

    def expect(self, values: jax.Array) -> jax.Array:
        """Expectation `[X, C]` of values `[Y, C]` of the stock left."""
        if self.outcome is None:
            return self.mass @ values

        def row(outcome, mass):
            return mass @ values[outcome]

        return jax.lax.map(lambda x: row(*x), (self.outcome, self.mass), batch_size=64)


@struct.dataclass
class MDP:
    """The tables of a finite problem."""

    grid: StateSpace = struct.field(pytree_node=False)
    kernel: Kernel
    serve_cost: jax.Array  # [X] expected cost of serving from the stock on offer
    on_offer: (
        jax.Array | None
    )  # [X, A] stock on offer; None where orders take nothing from stock and bring nothing at once
    infeasible: jax.Array | None  # [X, A] 0, or infinite where an order cannot be carried out
    landing: jax.Array  # [S, Y, F] next stock
    share: jax.Array  # [S] probability of the share that arrives
    arrival: jax.Array  # [R, A] which of the F arrivals
    onward: jax.Array  # [R, A] next pipeline
    move_cost: jax.Array  # [R, A] expected
    routes: "Routes"
    cut: jax.Array  # [X] probability that demand leaves less stock than the grid holds
    spill: jax.Array  # [Y, F] probability that arrivals lift the stock above the grid


@struct.dataclass
class Routes:
    """The tables of moving, arranged for a sweep: pipelines in G groups of M that bring the same n
    arrivals.

    What is to come after a group then are whole rows of the values, and nothing is looked up twice:
    orders that move the same goods, such as those that arrive at once, share a column.
    """

    arrivals: jax.Array  # [G, n] of the F arrivals, one for each order that arrives next
    rows: jax.Array  # [G, M] numbers of the pipelines
    columns: (
        jax.Array | None
    )  # [G, M, A] of the n * R pairs (arrival, next pipeline); None where they run from 0 up
    place: (
        jax.Array | None
    )  # [R] of each pipeline in `rows`, read row by row; None where they run from 0 up

    @classmethod
    def of(cls, arrival: np.ndarray, onward: np.ndarray) -> "Routes":
        pipelines, orders = arrival.shape
        kinds, group = np.unique(arrival, axis=0, return_inverse=True)
        rows = np.argsort(group.reshape(-1), kind="stable").reshape(
            len(kinds), -1
        )  # even: slots vary independently
        arrivals = np.stack([np.unique(kind) for kind in kinds])
        which = np.stack(
            [np.searchsorted(known, kind) for known, kind in zip(arrivals, kinds)]
        )  # [G, A]
        columns = (which[:, None, :] * pipelines + onward[rows]).astype(np.int32)
        in_order = (
            columns[0].size == arrivals.shape[1] * pipelines
            and (columns.reshape(len(kinds), -1) == np.arange(columns[0].size)).all()
        )
        sorted_rows = (rows.reshape(-1) == np.arange(pipelines)).all()
        return cls(
            arrivals.astype(np.int32),
            rows.astype(np.int32),
            None if in_order else columns,
            None if sorted_rows else np.argsort(rows.reshape(-1)).astype(np.int32),
        )


def tabulate(env: InventoryNetwork, params: InstanceParams, grid: StateSpace) -> MDP:
    """The tables of a network on a grid, as NumPy arrays in double precision.

    Raises:
      UserError: for a network whose periods do not split in this way, or whose demand has no finite
        support.
    """
    covered(env)
    play, offer = (
        partial(_in_chunks, partial(_play, env, params)),
        partial(_in_chunks, partial(_offer, env, params)),
    )
    stocks, pipelines, orders = grid.stock.points(), grid.pipeline.points(), grid.orders.points()
    demand, mass = env.world.demand.support(params.demand)
    shares, chance = arriving_shares(env, params)
    nothing = np.zeros_like(demand[:1])

    left, _, cost = play(*_pairs(stocks, demand), orders[:1], pipelines[:1], shares[:1])
    left = left.reshape(len(stocks), len(demand), -1)
    cut = (left < np.array(grid.stock.low)).any(-1) @ mass
    serve_cost = cost.reshape(len(stocks), len(demand)) @ mass
    reached, outcome = np.unique(grid.stock.index(left), return_inverse=True)
    kernel = _kernel(outcome.reshape(len(stocks), -1), mass, len(reached))

    # orders are moved from a stock that allows them all, whose own cost is taken off again
    full = np.array([grid.stock.high])
    offered = offer(full, orders)[0]
    standing, _, standing_cost = play(offered, nothing, orders[:1], pipelines[:1], shares[:1])
    before, ordered = _pairs(pipelines, np.arange(len(orders)))
    moved = [play(full, nothing, orders[ordered], before, share[None]) for share in shares]
    onward = moved[0][1]
    came = np.stack([landed - standing[ordered] for landed, _, _ in moved], 1)  # [R * A, S, C]
    arrivals, arrival = np.unique(came.reshape(len(came), -1), axis=0, return_inverse=True)
    arrivals = arrivals.reshape(-1, *came.shape[1:])
    move_cost = (
        chance @ np.stack([cost for _, _, cost in moved]).astype(np.float64)
        - standing_cost[ordered]
    )
    shape = (len(pipelines), len(orders))

    on_offer, carried = offer(*_pairs(stocks, orders))
    on_offer = grid.stock.index(on_offer).reshape(len(stocks), -1)
    plain = (on_offer == np.arange(len(stocks))[:, None]).all()
    landing = stocks[reached][:, None] + np.moveaxis(arrivals, 1, 0)[:, None]  # [S, Y, F, C]
    arrival, onward = (
        arrival.reshape(shape).astype(np.int32),
        grid.pipeline.index(onward).reshape(shape).astype(np.int32),
    )
    mdp = MDP(
        grid=grid,
        kernel=kernel,
        serve_cost=serve_cost,
        on_offer=None if plain else on_offer.astype(np.int32),
        infeasible=(
            None if carried.all() else np.where(carried.reshape(on_offer.shape), 0.0, np.inf)
        ),
        landing=grid.stock.index(landing).astype(np.int32),
        share=chance,
        arrival=arrival,
        onward=onward,
        move_cost=move_cost.reshape(shape),
        routes=Routes.of(arrival, onward),
        cut=cut,
        spill=np.tensordot(chance, (landing > full).any(-1), 1),
    )
    _check_sum(mdp, play, offer, demand, shares, arrivals)
    return mdp


def arriving_shares(env: InventoryNetwork, params: InstanceParams) -> tuple[np.ndarray, np.ndarray]:
    """The shares `[S, E]` of what is due that may arrive, and the probability of each `[S]`."""
    if not env.topology.has("arrivals"):
        return np.ones((1, env.topology.edges), np.float32), np.ones(1)
    shares, chance = params.arrival_law.support()
    return shares.astype(np.float32), chance


def covered(env: InventoryNetwork, what: str = "the exact solver") -> None:
    """Refuses a network that the tables cannot hold, saying why; `what` needs them."""
    topology = env.topology
    reason = None
    if topology.random_lead_time:
        reason = "lead times that are random or differ between instances"
    elif topology.return_lags:
        reason = "returns"
    elif topology.advance_nodes:
        reason = "customers who order ahead"
    elif topology.order_memory or topology.internal_backlog:
        reason = "orders that travel or are owed between nodes"
    elif topology.has("review") or topology.has("calendar"):
        reason = "a review calendar"
    elif any(map(topology.has, ("orders_first", "goodwill", "processing_yield", "waiting"))):
        reason = "arrivals after orders, goodwill, losses in processing, or customers who may wait"
    elif topology.has("arrivals") and 0 in topology.lead_times:
        reason = "lead times of 0 where a part of what is shipped does not arrive"
    elif not topology.has("packs"):
        reason = "divisible orders (set integer_orders=true)"
    if reason:
        raise UserError(
            f"{what} works on whole units and fixed lead times; it does not cover {reason}"
        )


@partial(jax.jit, static_argnums=0)
def _play(env, params, stock, demand, order, pipeline, share):
    """The transition of many networks at once, where the share `[E]` of all that is due arrives:
    next stock, next pipeline and cost."""

    def single(stock, demand, order, pipeline, share):
        state = network_state(env.topology, stock, pipeline, share)
        action = order.astype(jnp.float32).reshape(env.topology.edges, env.topology.products)
        arrival = share if env.topology.has("arrivals") else None
        exogenous = Exogenous(demand=demand.astype(jnp.float32), arrival=arrival)
        state, outcome = env.transition(state, action, exogenous, params)
        return *vectors(env.topology, state), -outcome.reward

    return jax.vmap(single)(stock, demand, order, pipeline, share)


@partial(jax.jit, static_argnums=0)
def _offer(env, params, stock, order):
    """Stock on offer `[B, C]` after orders, and whether each order is carried out as it stands
    `[B]`.
    """
    topology = env.topology

    def single(stock, order):
        state = network_state(topology, stock, jnp.zeros(len(open_slots(topology))))
        action = order.astype(jnp.float32).reshape(topology.edges, topology.products)
        ordered, left, *_ = ship(topology, state, action, params)
        at_once = topology.into_nodes(due_at_once(topology, ordered, Exogenous(demand=None)))
        state = state.replace(on_hand=receive(topology, left, at_once, params))
        return vectors(topology, state)[0], jnp.all(jnp.abs(ordered - action) < 1e-3)

    return jax.vmap(single)(stock, order)


def _in_chunks(function, *columns: np.ndarray) -> list[np.ndarray]:
    """A function of rows `[B, ...]`, in host arrays and in chunks of one of two sizes, so that it
    is compiled twice at most.
    """
    count = max(len(column) for column in columns)
    size = CHUNKS[count > 8 * CHUNKS[0]]
    outputs = []
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        done = function(
            *[column[rows] if len(column) > 1 else np.repeat(column, size, 0) for column in columns]
        )
        outputs.append([np.asarray(leaf)[: count - start] for leaf in done])
    return [np.concatenate(leaves) for leaves in zip(*outputs)]


def _pairs(first, second):
    """Every row of the first with every row of the second, the second running fastest."""
    return np.repeat(first, len(second), 0), np.tile(
        second, (len(first),) + (1,) * (second.ndim - 1)
    )


def _kernel(outcome: np.ndarray, mass: np.ndarray, reached: int) -> Kernel:
    """Adds up the probabilities of demands that leave the same stock; outcome `[X, W]` numbers the
    Y stocks.
    """
    count = len(outcome)
    if count * reached <= DENSE:
        full = np.zeros((count, reached))
        np.add.at(full, (np.arange(count)[:, None], outcome), mass)
        return Kernel(full)
    order = np.argsort(outcome, 1, kind="stable")
    outcome, mass = np.take_along_axis(outcome, order, 1), mass[order]
    first = np.concatenate([np.ones((count, 1), bool), outcome[:, 1:] != outcome[:, :-1]], 1)
    place = np.cumsum(first, 1) - 1
    width = place[:, -1].max() + 1
    merged = np.zeros((count, width))
    np.add.at(merged, (np.arange(count)[:, None], place), mass)
    index = np.zeros((count, width), np.int32)
    np.put_along_axis(index, place, outcome.astype(np.int32), 1)
    return Kernel(merged, index)


def _check_sum(mdp, play, offer, demand, shares, arrivals) -> None:
    """Raises where serving and moving do not add up to the transition, on a sample of states,
    orders and demands.
    """
    grid, draw = mdp.grid, generator(Role.CHECK, 0)
    sizes = (grid.stock.size, grid.pipeline.size, grid.orders.size, len(demand), len(shares))
    stock, pipeline, order, world, share = (draw.integers(0, size, SAMPLE) for size in sizes)
    offered = stock if mdp.on_offer is None else mdp.on_offer[stock, order]
    stocks, pipelines, orders = grid.stock.points(), grid.pipeline.points(), grid.orders.points()
    inside = (
        np.ones(SAMPLE, bool)
        if mdp.infeasible is None
        else np.isfinite(mdp.infeasible[stock, order])
    )
    true_offer, _ = offer(stocks[stock], orders[order])
    inside &= (true_offer == stocks[offered]).all(-1)  # beyond the grid, stock counts as its bound
    landed, onward, cost = play(
        stocks[stock], demand[world], orders[order], pipelines[pipeline], shares[share]
    )
    left, _, serve_cost = play(
        stocks[offered], demand[world], orders[:1], pipelines[:1], shares[share]
    )
    expected = left + arrivals[mdp.arrival[pipeline, order], share]
    same = (landed == expected).all(-1) & (
        grid.pipeline.index(onward) == mdp.onward[pipeline, order]
    )
    if len(shares) == 1:  # elsewhere the cost of moving is a mean over what arrives
        together = serve_cost + mdp.move_cost[pipeline, order]
        same &= np.abs(cost - together) <= 1e-4 * (1.0 + np.abs(cost))
    if not same[inside].all():
        raise UserError(
            "the exact solver does not cover this network: what is served and what is on its way do"
            " not add up to its transition. A bound is given by the clairvoyant instead"
        )
