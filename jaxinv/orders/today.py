"""Today: where a shop stands when the orders of a date are decided, in the world that its policies
learned in.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxinv.data.grid import Frequency
from jaxinv.data.plan import Plan
from jaxinv.envs.environment import EnvState
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.plan_calendar import AHEAD
from jaxinv.envs.plan_network import PlanNetwork
from jaxinv.envs.plan_world import PlanWorld
from jaxinv.envs.problem import Problem
from jaxinv.envs.stock import receive
from jaxinv.keys import Role, key_of, root
from jaxinv.orders.silence import silent


@dataclass(frozen=True, eq=False)
class Today:
    """S instances on a network of N nodes and E edges, T periods of the past, H to come.

    Attributes:
      date: first day of the period that is decided now.
      problem: whose environment and instances these are.
      plan: the files; None where there are none.
      state: of the network, before the orders of today, arrays with a leading axis `[S, ...]`.
      signals: what policies see of the past `[S, W, C]`.
      params: numbers of the instances as of today `[S, ...]`; their recorded demand is that of the
        past.
      demand: of the past periods, an estimate where stock was out, NaN before a series begins
        `[S, T, D]`.
      dates: first days of these periods `[T]`.
      known: what is known ahead of the past and the coming periods `[S, T + H, C]`.
      open: in which coming periods each edge takes orders, the first of them today's, bool
        `[S, E, H]`.
      period_days: days of a period.
      skus: of each instance `[S]`.
      nodes: name of each node of each instance `[S][N]`.
      sources, destinations: names of the ends of each edge of each instance `[S, E]`; empty where
        it has no such lane.
      lane: rows of the plan's lanes `[S, E]`, -1 where there is none.
      labels: what the instances are called; those of the problem come first, and then new ones.
      late: rows of the plan's open orders that are overdue; they are taken to come in the next
        period.
      beyond: rows of open orders that nothing could be done with, and why.
      promised: units in stock of each node that an open order of today takes to another place
        `[S, N]`; policies see them, as they did when that order was made, and they are not sent
        twice.
    """

    date: np.datetime64
    problem: Problem
    plan: Plan | None
    state: NetworkState
    signals: np.ndarray
    params: InstanceParams
    demand: np.ndarray
    dates: np.ndarray
    known: np.ndarray
    open: np.ndarray
    period_days: float
    skus: np.ndarray
    nodes: tuple[tuple[str, ...], ...]
    sources: np.ndarray
    destinations: np.ndarray
    lane: np.ndarray
    labels: tuple[str, ...] = ()
    late: tuple[int, ...] = ()
    beyond: tuple[tuple[int, str], ...] = ()
    promised: np.ndarray | None = None

    @property
    def categories(self) -> np.ndarray | None:
        """Category of each instance `[S]`, empty for none; None without a plan."""
        if self.plan is None:
            return None
        return self.plan.full_items["category"].reindex(self.skus).fillna("").to_numpy(str)


def today_of(preset: PlanNetwork, shop: PlanWorld, problem: Problem) -> Today:
    """The state of a plan's shop at the end of its sales: stock, pipeline and history.

    Args:
      preset: the options that the problem was built with.
      shop: what its files say, those of today.
      problem: of the same instances.
    """
    env, placed, ways = problem.env, shop.placed, shop.ways
    count, periods = len(placed.demand), placed.demand.shape[-1]
    days = Frequency.parse(shop.panel.frequency).days
    date = shop.next_date
    numbers = shop.numbers(preset)
    first = np.full(count, periods - env.history)
    demand = shop.trace(count)(periods, first, int(first[0]), 0.0)
    params = numbers.replace(demand=demand.replace(covariates=jnp.asarray(placed.covariates)))
    signals = _signals(env, jax.device_put(params))
    on_hand = _on_hand(shop)
    pipeline, due, late, beyond, arrived = _under_way(shop, date, days)
    params = params.replace(initial_low=on_hand[..., None], initial_high=on_hand[..., None])
    start = jax.vmap(lambda numbers: env.start({"stock": jnp.zeros((shop.nodes, 1))}, numbers))(
        jax.device_put(params)
    )
    state = start.replace(
        on_hand=_shelves(env.topology, params, on_hand, arrived),
        pipeline=jnp.asarray(pipeline, jnp.float32)[:, :, None],
        due=jnp.asarray(due, jnp.float32),
    )
    began = np.arange(periods) >= placed.launched[..., None]
    demand_of_past = np.moveaxis(np.where(began, placed.demand, np.nan), 1, 2)
    sources, destinations = shop.ends
    return Today(
        date=date,
        problem=problem,
        plan=shop.plan,
        state=state,
        signals=np.asarray(signals),
        params=params,
        demand=demand_of_past,
        dates=shop.panel.dates,
        known=placed.covariates,
        open=_open(shop, periods)
        & ~_ended(shop, date, days)
        & ~_unsold(shop, demand_of_past, days),
        period_days=days,
        skus=placed.series["sku"].to_numpy(str),
        nodes=shop.places,
        sources=sources,
        destinations=destinations,
        lane=ways.lane,
        labels=placed.labels,
        late=late,
        beyond=beyond,
        promised=_promised(shop, date),
    )


@partial(jax.jit, static_argnums=0)
def _signals(env, params) -> jax.Array:
    """What policies see at the end of recorded demand `[S, W, C]`."""

    def of_one(params):
        state: EnvState = env.reset_env(key_of(root(0), Role.MOMENTS), params)[1]
        return state.signals

    return jax.vmap(of_one)(params)


def _on_hand(shop: PlanWorld) -> np.ndarray:
    """Units in stock `[S, N]`: of the table of stock, else what the last period of sales began with
    less what it sold, else 0.
    """
    found = _nothing(shop)
    if shop.placed.stock is not None:
        last = shop.placed.stock[..., -1] - shop.placed.demand[..., -1]
        found[:, list(shop.selling)] = np.maximum(np.nan_to_num(last), 0.0)
    rows = shop.plan.stock
    if len(rows):
        found[:] = 0.0
    for sku, location, units in zip(rows["sku"], rows["location"], rows["stock"]):
        if (sku, location) in shop.spots:
            found[shop.spots[sku, location]] = units
    return found


def _shelves(topology, params, on_hand: np.ndarray, arrived: np.ndarray) -> jax.Array:
    """Stock `[S, N]`, and what arrives now, as the state holds it.

    Where goods age no file says how old they are. They are spread over all the ages that they can
    have: taken as fresh, what is about to spoil would be counted on. Where stock is sold within its
    life that makes no difference, for the oldest goes first. Whole units stay whole, and odd ones
    are fresh.
    """
    if topology.ages == 1:
        return jnp.asarray(on_hand + arrived, jnp.float32)[..., None]
    stock, life = on_hand[..., None, None], np.asarray(params.shelf_life)[..., None]  # [S, N, 1, 1]
    ages = np.arange(topology.ages + 1)
    older = stock * ages / np.maximum(life, 1)
    older = np.where(ages < life, np.floor(older) if topology.has("packs") else older, stock)
    older = np.where(
        (life == 0) & (ages < topology.ages), 0.0, older
    )  # for ever: all in the last class
    shelves = jnp.asarray(np.diff(older, axis=-1), jnp.float32)
    return receive(topology, shelves, jnp.asarray(arrived, jnp.float32)[..., None], params)


def _under_way(shop: PlanWorld, date, days):
    """Open orders as a pipeline `[S, E, L - 1]` with the lead time of each slot `[S, E, L - 1]`,
    rows that are late, rows that are passed over with the reason, and units that are due now
    `[S, N]`.

    A slot holds what was ordered one period longer ago than the one before it, and all in a slot
    arrive together. An order that is due in d periods lies where one with the quoted lead time
    would, or in the nearest slot that is free.
    """
    ways, lead = shop.ways, shop.lead
    slots = max(lead.longest - 1, 0)
    shape = (*ways.lane.shape, slots)
    quoted = np.round(lead.mean)
    pipeline, due = np.zeros(shape), np.broadcast_to(quoted[..., None], shape).copy()
    arrived = _nothing(shop)
    source = ways.text("source")
    late, beyond = [], []
    orders = shop.plan.open_orders.reset_index(drop=True)
    for row, order in enumerate(orders.itertuples(index=False)):
        if (order.sku, order.destination) not in shop.spots:
            beyond.append((row, "its SKU is not among those that are planned"))
            continue
        s, n = shop.spots[order.sku, order.destination]
        into = [
            edge
            for edge, end in enumerate(ways.destinations)
            if ways.nodes.index(end) == n and ways.there[s, edge]
        ]
        if not into:
            beyond.append((row, "no lane leads there"))
            continue
        edge = next((edge for edge in into if source[s, edge] == order.source), into[0])
        expected = order.due
        if pd.isna(expected):
            begun = date if pd.isna(order.ordered) else np.datetime64(order.ordered, "D")
            expected = pd.Timestamp(
                begun + np.timedelta64(int(np.ceil(lead.mean[s, edge] * days)), "D")
            )
        wait = (np.datetime64(expected, "D") - date).astype(int) / days
        if wait < 0:
            late.append(row)
        periods = 1 if wait < 0 else int(np.floor(wait + 1e-9))
        if periods == 0 or not slots:
            arrived[s, n] += order.quantity
            continue
        slot = _free_slot(pipeline[s, edge], due[s, edge], min(periods, slots), quoted[s, edge])
        pipeline[s, edge, slot] += order.quantity
        due[s, edge, slot] = slot + 1 + min(periods, slots)
    return pipeline, due, tuple(late), tuple(beyond), arrived


def _promised(shop: PlanWorld, date) -> np.ndarray:
    """Units that open orders of this day, or a later one, take out of each node `[S, N]`: they are
    in its stock still.
    """
    found = _nothing(shop)
    orders = shop.plan.open_orders
    new = orders[orders["ordered"] >= pd.Timestamp(date)]
    for sku, source, units in zip(new["sku"], new["source"], new["quantity"]):
        if (sku, source) in shop.spots:
            found[shop.spots[sku, source]] += units
    return found


def _nothing(shop: PlanWorld) -> np.ndarray:
    return np.zeros((len(shop.placed.series), shop.nodes))


def _free_slot(held: np.ndarray, due: np.ndarray, periods: int, quoted: float) -> int:
    """The slot for goods that arrive in so many periods: one with others that do, else the free one
    nearest to its place.
    """
    wish = int(np.clip(quoted - periods - 1, 0, len(held) - periods))
    able = np.arange(len(held) - periods + 1)  # the oldest leave before they could arrive
    same = [slot for slot in able if held[slot] > 0 and due[slot] == slot + 1 + periods]
    free = [slot for slot in able if held[slot] == 0]
    return same[0] if same else min(free or [wish], key=lambda slot: (abs(slot - wish), slot))


def _open(shop: PlanWorld, periods: int) -> np.ndarray:
    """In which coming periods each edge of each instance takes orders `[S, E, H]`."""
    there = shop.ways.there
    if shop.cycles is None:
        return np.broadcast_to(there[..., None], (*there.shape, AHEAD))
    rows = periods + np.arange(AHEAD)
    return np.stack([cycle[:, rows % cycle.shape[-1]] > 0 for cycle in shop.cycles], 1)


def _ended(shop: PlanWorld, date: np.datetime64, days: float) -> np.ndarray:
    """Whether what is ordered in a coming period would be there after the last day of its SKU
    `[S, E, H]`.
    """
    end = shop.plan.full_items.loc[shop.placed.series["sku"], "end"].to_numpy("datetime64[D]")
    left = np.where(np.isnat(end), np.inf, (end - date).astype(float) / days)
    arrives = shop.lead.mean[..., None] + np.arange(AHEAD)
    return arrives > left[:, None, None]


def _unsold(shop: PlanWorld, demand: np.ndarray, days: float) -> np.ndarray:
    """Whether all places that each edge leads to no longer sell an SKU `[S, E, 1]`: nothing is
    ordered for them.
    """
    gone, ways = silent(demand, days), shop.ways
    below = shop.reach[:, list(shop.selling)]  # [N, D]
    ends = [ways.nodes.index(end) for end in ways.destinations]
    return np.stack([gone[:, below[end] > 0].all(1) for end in ends], 1)[..., None]
