"""Optimal policies of networks small enough to enumerate, on a grid that the policy itself shows to
be large enough.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jaxinv.demand.quantiles import TAIL
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.errors import UserError
from jaxinv.exact.extent import first_grid, order_cap
from jaxinv.exact.mdp import MDP, covered, tabulate
from jaxinv.exact.state_space import StateSpace, vectors
from jaxinv.exact.value_iteration import block_size, greedy, iterate
from jaxinv.policies.policy import Policy

MEMORY = 6e9
"""Bytes that a problem may need before it is refused."""

RARE = 1e-7
"""Demands less likely than this, and bounds met less often a period, do not count."""

STEPS, SETTLED = 2000, 1e-10
"""Steps to a steady state, and the change that is left when it is there."""

WIDENINGS = 6
"""Times that a grid is widened before giving up."""


@dataclass(frozen=True)
class TablePolicy(Policy):
    """A policy that looks its orders up: `params` is `[X * R, E * K]`, one row a state of the grid,
    or `[T, X * R, E * K]` where the orders of each of T periods differ.

    Attributes:
      grid: how states are numbered; what lies beyond it counts as its bound.
    """

    grid: StateSpace

    def act(self, params, observation, context):
        params = jnp.asarray(params)  # a table of the host cannot be read at a traced state
        stock, pipeline = vectors(self.topology, observation)
        state = self.grid.stock.index(stock) * self.grid.pipeline.size + self.grid.pipeline.index(
            pipeline
        )
        orders = params[state] if params.ndim == 2 else params[observation.time, state]
        return orders.reshape(self.topology.edges, self.topology.products).astype(jnp.float32)


@dataclass(frozen=True)
class Enumeration:
    """An instance solved state by state.

    Attributes:
      cost: average cost a period; where there is a discount, (1 - discount) times the discounted
        cost from a state in the middle of the grid.
      interval: the bounds that value iteration proved.
      mdp, value, orders: the tables, relative values `[X, R]` and numbers of optimal orders
        `[X, R]`.
      iterations: sweeps on the last grid.
      truncated_probability: of a demand, a period, beyond its table or below the grid.
      visits: the steady state of the optimal policy.
    """

    cost: float
    interval: tuple[float, float]
    mdp: MDP
    value: np.ndarray
    orders: np.ndarray
    iterations: int
    truncated_probability: float
    visits: "Visits"

    @property
    def grid(self) -> StateSpace:
        return self.mdp.grid

    @property
    def policy(self) -> TablePolicy:
        return TablePolicy(self.grid.topology, self.grid)

    @property
    def params(self) -> np.ndarray:
        """Parameters of the policy."""
        return self.grid.orders.points()[self.orders.reshape(-1)].astype(np.float32)

    @property
    def visited(self) -> np.ndarray:
        """Share of periods `[X, R]` that the policy spends in each state."""
        return self.visits.share


def enumerate_states(
    env: InventoryNetwork,
    params: InstanceParams,
    *,
    discount: float = 1.0,
    tolerance: float = 1e-7,
    grid: StateSpace | None = None,
    memory: float = MEMORY,
    most: float = math.inf,
) -> Enumeration:
    """The policy of least average (or discounted) cost among all policies, by value iteration.

    Args:
      tolerance: of the bounds on the cost, relative to it.
      grid: states and orders to be considered; by default those of `first_grid`, widened until the
        optimal policy meets none of their bounds.
      memory: bytes that may be used.
      most: states times orders that may be looked at.

    Raises:
      UserError: a network that is not covered (`mdp.covered`), one with too many states, or no
        convergence.
    """
    covered(env)
    given, grid = grid, grid or first_grid(env, params)
    for _ in range(WIDENINGS):
        check_size(grid, memory, most)
        mdp = tabulate(env, params, grid)
        values = iterate(mdp, discount, tolerance)
        orders = greedy(mdp, values.value, discount)
        seen = visits(mdp, orders)
        wider = widened(env, params, grid, seen)
        if given or wider == grid:
            break
        grid = wider
    else:
        raise UserError(
            f"the optimal policy goes beyond every grid tried, the last of {grid.states:,} states"
        )
    low, high = float(values.low), float(values.high)
    cost = (low + high) / 2
    if discount < 1:
        middle, reach = float(values.value.reshape(-1)[_middle(grid)]), (high - low) / 2
        low, high, cost = (
            (1 - discount) * bound for bound in (middle - reach, middle + reach, middle)
        )
    last = env.world.demand.support(params.demand)[1][
        -1
    ]  # small where a table was cut off, as tables are at TAIL
    truncated = max(seen.cut, TAIL if last < 10 * TAIL else 0.0)
    return Enumeration(
        cost, (low, high), mdp, values.value, orders, int(values.sweeps), truncated, seen
    )


def check_size(grid: StateSpace, memory: float = MEMORY, most: float = math.inf) -> None:
    """Refuses a grid that needs more memory or work than allowed, before anything is built."""
    needed = memory_needed(grid)
    if needed > memory or grid.states * grid.orders.size > most:
        raise UserError(
            f"{grid.states:,} states x {grid.orders.size:,} orders need about {needed / 1e9:.1f}"
            f" GB, of {memory / 1e9:.1f} GB allowed. A shorter lead time, a smaller mean demand, a"
            " lower shortage cost or fewer nodes shrink it; without the optimum, `evaluate`"
            " compares with a lower bound where it knows one, and with every tuned rule"
        )


def memory_needed(grid: StateSpace) -> float:
    """Bytes: tables of moving, values of two sweeps, the policy, and the blocks of a sweep."""
    stock, pipelines, orders = grid.stock.size, grid.pipeline.size, grid.orders.size
    moves = pipelines * orders * (2 * 4 + 8)
    block = max(block_size(), grid.group_size) * 8 * 3
    return moves + stock * pipelines * (2 * 8 + 4 + 4 * len(grid.orders.low)) + block


@dataclass(frozen=True)
class Visits:
    """Where a policy spends its time.

    Attributes:
      cost: average cost a period.
      share: `[X, R]` of periods in each state, in the long run.
      most_ordered: `[E * K]` share of periods with the largest order of the grid.
      spilt: share of periods in which stock spills over the grid, and so is not what the network
        would have.
      cut: probability a period that demand leaves less stock than the grid holds.
    """

    cost: float
    share: np.ndarray
    most_ordered: np.ndarray
    spilt: float
    cut: float


def visits(mdp: MDP, orders: np.ndarray) -> Visits:
    """The steady state of a policy `[X, R]`, from the middle of the grid, and its cost: a policy
    evaluation that looks at none but the states that the policy comes to."""
    states, chain, spilt = _reached(mdp, orders, _middle(mdp.grid))
    share = np.zeros(len(states))
    share[0] = 1.0
    for _ in range(STEPS):
        after = 0.5 * (share + chain @ share)  # by halves, so that a periodic policy settles too
        after /= after.sum()
        settled = np.abs(after - share).sum() < SETTLED
        share = after
        if settled:
            break
    order, offered, cost = decided(mdp, orders, states)
    largest = mdp.grid.orders.points()[order] == np.array(mdp.grid.orders.high)
    whole = np.zeros(orders.size)
    whole[states] = share
    return Visits(
        float(share @ cost), whole.reshape(orders.shape), share @ largest, float(share @ spilt),
        float(share @ mdp.cut[offered]),
    )  # fmt: skip


def expected_costs(mdp: MDP, orders: np.ndarray, periods: int, start: int = 0) -> np.ndarray:
    """Expected cost of each of the first periods `[periods]` under a policy `[X, R]`, from the
    state numbered `start`.
    """
    states, chain, _ = _reached(mdp, orders, start)
    cost = decided(mdp, orders, states)[2]
    share, costs = np.zeros(len(states)), np.zeros(periods)
    share[0] = 1.0
    for period in range(periods):
        costs[period] = share @ cost
        share = chain @ share
    return costs


def decided(mdp: MDP, orders: np.ndarray, states: np.ndarray):
    """Number of the order, stock on offer, and expected cost in each state `[V]`."""
    stock, pipeline = np.divmod(states, mdp.grid.pipeline.size)
    order = orders[stock, pipeline]
    offered = stock if mdp.on_offer is None else mdp.on_offer[stock, order]
    return order, offered, mdp.serve_cost[offered] + mdp.move_cost[pipeline, order]


def _reached(mdp: MDP, orders: np.ndarray, start: int):
    """The states a policy can come to, and the chain on them.

    Returns:
      Numbers of the states `[V]`, the start first; the chances `[V, V]` to come to a state (row)
      from one (column); and the probability `[V]` that what arrives next spills over the grid.
    """
    likely = mdp.kernel.mass > RARE
    place = np.full(orders.size, -1)
    ahead = np.array([start])
    place[ahead] = 0
    states, parts, known = [ahead], [], 1
    while len(ahead):
        row, after, chance, spilt = follow(mdp, orders, ahead, likely)
        fresh = np.unique(after[place[after] < 0])
        place[fresh] = known + np.arange(len(fresh))
        parts.append((place[ahead[row]], place[after], chance, spilt))
        known += len(fresh)
        states.append(fresh)
        ahead = fresh
    rows, columns, chances, spilt = (np.concatenate(part) for part in zip(*parts))
    states = np.concatenate(states)
    chain = sparse.csr_matrix((chances, (rows, columns)), (len(states), len(states))).T.tocsr()
    return states, chain, spilt


def follow(mdp: MDP, orders: np.ndarray, states: np.ndarray, likely: np.ndarray):
    """What a policy `[X, R]` leads to in a period from some states `[V]`.

    Args:
      likely: `[X, Y or O]` which outcomes of the kernel are followed.

    Returns:
      Of each way on: the place in `states` it starts from, the state it leads to, and its chance;
        and the probability `[V]`
      that what arrives spills over the grid.
    """
    pipelines, outcome = mdp.grid.pipeline.size, mdp.kernel.outcome
    order, offered, _ = decided(mdp, orders, states)
    pipeline = states % pipelines
    arrival, onward = mdp.arrival[pipeline, order], mdp.onward[pipeline, order]
    row, column = np.nonzero(likely[offered])
    left = column if outcome is None else outcome[offered[row], column]
    after = (
        mdp.landing[:, left, arrival[row]].astype(np.int64) * pipelines + onward[row]
    )  # [S, ways]
    chance = mdp.kernel.mass[offered[row], column]
    spilt = np.bincount(row, chance * mdp.spill[left, arrival[row]], len(states))
    return (
        np.tile(row, len(after)),
        after.reshape(-1),
        (mdp.share[:, None] * chance).reshape(-1),
        spilt,
    )


def _middle(grid: StateSpace) -> int:
    """A state in the middle: half of the stock that fits, and typical orders on their way."""
    stock = np.array(
        [
            max(low, (low + high) // 2 if low >= 0 else high // 2)
            for low, high in zip(grid.stock.low, grid.stock.high)
        ]
    )
    pipeline = np.array(grid.pipeline.high, int) // 2
    return int(grid.stock.index(stock) * grid.pipeline.size + grid.pipeline.index(pipeline))


def widened(
    env: InventoryNetwork, params: InstanceParams, grid: StateSpace, seen: Visits
) -> StateSpace:
    """The grid with room where a policy meets a bound; the same one if it meets none."""
    topology = env.topology
    caps = [
        order_cap(topology, params, edge)
        for edge in range(topology.edges)
        for _ in range(topology.products)
    ]
    orders = [
        int(min(1.3 * high + 1, cap)) if met > RARE else high
        for high, met, cap in zip(grid.orders.high, seen.most_ordered, caps)
    ]
    stock = [int(1.25 * high) + 1 if seen.spilt > RARE else high for high in grid.stock.high]
    return StateSpace.of(topology, grid.stock.low, stock, orders)
