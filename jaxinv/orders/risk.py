"""What an order is worth: the risk of a stock-out with and without it, and what it costs to order otherwise.

Each question is played in the one transition, on the same demand paths and lead times: today's orders as they are, and
with one line changed. The first period has those orders. From the next order day on a level rule restores the position
that today's order aims at, whatever it was: so all that is changed comes to an end with the next order, and what the
difference costs is the matter of this line alone, not of a policy that would answer one surprise with another. The rule
orders once a position is at its reorder point; where today's policy orders at every opportunity that point is its level.

- without: nothing is ordered on the line now.
- a review later: nothing now, and the position is restored on the next order day.
- nothing: nothing now, and what it would have brought is not made up for before its cover is over.
- a pack less, a pack more: restored on the next order day.

What is left at the end counts as what it costs to bring there. A stock-out is demand that was not served at once at the
destination; where it faces no demand, requests of the places that it supplies beyond its stock.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.exogenous import Exogenous, draw_uniforms
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.landed import stock_value
from jaxinv.evaluation.rollout import BATCH, rollout
from jaxinv.keys import Role, key_of, root
from jaxinv.orders.futures import Futures
from jaxinv.orders.lines import Lines, downstream, in_chunks, refill, take
from jaxinv.orders.today import Today

PATHS = 128
"""Demand paths that a line is judged on."""

TOGETHER = 1024
"""Instances whose demand is drawn at a time."""

CELLS = 1 << 17
"""Paths of all cases that are played in one program; it bounds the memory."""

CASES = ("nothing", "pack_less", "pack_more", "review_later")
"""What is ordered otherwise, beside the order as it is."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found of each line, `[S, E, K]`.

    Attributes:
      forecast, low, high: median, 10% and 90% of demand over the cover.
      mean: its mean; base, plain: the same in a period like all others, and without what is announced.
      risk_with, risk_without: of a stock-out before the next order could be here.
      risk_before: of one before this order could be here.
      costs: money more than the order's `[len(CASES), S, E, K]`, NaN where nothing is ordered (a pack more: where it was not
        asked for).
    """

    forecast: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    base: np.ndarray
    plain: np.ndarray
    risk_with: np.ndarray
    risk_without: np.ndarray
    risk_before: np.ndarray
    costs: np.ndarray

    def cost(self, case: str) -> np.ndarray:
        return self.costs[CASES.index(case)]


def judge(
    today: Today, lines: Lines, futures: Futures, *, paths: int = PATHS, reorder: np.ndarray | None = None, seed: int = 0,
    rows: np.ndarray | None = None, only: tuple[str, ...] = CASES, everywhere: bool = False,
) -> Judged:  # fmt: skip
    """Plays every line.

    Args:
      reorder: `[S, E, K]` positions at or below which later orders are placed; the levels where not given.
      rows: instances to look at `[R]`; all where not given. Others are NaN.
      only: what is ordered otherwise is played in these cases alone, where something is ordered.
      everywhere: also where nothing is ordered and something could be.
    """
    size, edges, products = lines.quantity.shape
    env = today.problem.env
    level = np.where(np.isfinite(lines.target), lines.target, lines.position)
    level = np.maximum(level, lines.position + lines.quantity).astype(np.float32) if reorder is None else level
    level = np.where(lines.quantity > 0, np.maximum(lines.target, lines.position + lines.quantity), level).astype(np.float32)
    reorder = level if reorder is None else np.minimum(np.asarray(reorder, np.float32), level)
    horizon = min(futures.horizon, np.asarray(today.open).shape[-1])
    names = ("forecast", "low", "high", "mean", "base", "plain", "risk_with", "risk_without", "risk_before")
    found = {name: np.full((size, edges, products), np.nan, np.float32) for name in names}
    money = np.full((len(CASES), size, edges, products), np.nan, np.float32)
    served = downstream(today)
    rows = np.arange(size) if rows is None else np.asarray(rows)
    for number, part in enumerate(in_chunks(rows, TOGETHER)):
        drawn = futures.paths(part, paths)[:, :, :horizon]  # [P, R, H, D]
        sums = _over_cover(drawn, lines.cover[part], served)  # [P, R, E]
        found["low"][part], found["forecast"][part], found["high"][part] = (
            np.quantile(sums, share, 0)[..., None] for share in (0.1, 0.5, 0.9)
        )
        for name, values in (("mean", drawn.mean(0)), ("base", futures.base(part)), ("plain", futures.plain(part))):
            found[name][part] = _over_cover(values[None, :, :horizon], lines.cover[part], served)[0][..., None]
        play = _Player(env, today, lines, level, reorder, part, drawn, key_of(root(seed), Role.FUTURES, number))
        place, edge, product = np.nonzero(np.ones((len(part), edges, products), bool))
        ordered = lines.quantity[part][place, edge, product]
        risk, before, base = play(place, edge, product, np.zeros(len(place)), np.zeros(len(place), int))
        at = (part[place], edge, product)
        found["risk_with"][at], found["risk_before"][at], found["risk_without"][at] = risk, before, risk
        able = np.asarray(today.open)[part[place], edge, 0]
        some = np.flatnonzero((ordered > 0) | (everywhere & able))
        if not len(some):
            continue
        line = (place[some], edge[some], product[some])
        at = tuple(axis[some] for axis in at)
        pack = lines.pack[at]
        at_once = np.zeros(len(some), int)
        changes = {
            "nothing": (-ordered[some], lines.cover[at[0], at[1]]),
            "pack_less": (-np.minimum(pack, ordered[some]), at_once),
            "pack_more": (pack, at_once),
            "review_later": (-ordered[some], at_once),
        }
        for name, (change, until) in changes.items():
            if name not in only:
                continue
            risk, _, cost = play(*line, change, until)
            money[(CASES.index(name), *at)] = (cost - base[some]).mean(1)
            if name == "nothing":
                found["risk_without"][at] = risk
    return Judged(**found, costs=money)


def _over_cover(paths: np.ndarray, cover: np.ndarray, served: np.ndarray) -> np.ndarray:
    """Demand `[P, R, H, D]` over the cover `[R, E]` of each edge and all that it serves `[P, R, E]`."""
    total = np.concatenate([np.zeros_like(paths[:, :, :1]), paths.cumsum(2)], 2)
    ends = np.minimum(cover, paths.shape[2])
    by_place = np.take_along_axis(total, ends[None, :, :, None].repeat(paths.shape[0], 0), 2)  # [P, R, E, D]
    return np.einsum("pred,ed->pre", by_place, served)


class _Player:
    """Plays cases of a chunk of instances on the same paths."""

    def __init__(self, env, today, lines, level, reorder, rows, paths, key):
        self.env, self.count, self.horizon = env, paths.shape[0], paths.shape[2]
        products = env.topology.products
        demand = np.ascontiguousarray(np.moveaxis(paths, (2, 3, 1, 0), (0, 1, 2, 3)))  # [H, D, R, P]
        places = len(env.topology.demand_nodes)
        self.demand = jnp.asarray(demand.reshape(self.horizon, places, products, len(rows), self.count))
        self.params = today.params.replace(demand=None)
        self.state, self.rows = today.state, rows
        self.lines, self.level, self.reorder = lines, level, reorder
        self.open = np.moveaxis(np.asarray(today.open)[..., : self.horizon], -1, 1).astype(np.float32)  # [S, H, E]
        self.key = key
        self.cells = max(CELLS // self.count, 1)

    def __call__(self, place, edge, product, change, until):
        """Risks `[n]` until the next order could be here and until this one is, and costs `[n, P]`, of cases on a line."""
        parts = []
        for part in in_chunks(np.arange(len(place)), self.cells):
            rows = self.rows[place[part]]
            first = self.lines.quantity[rows].copy()
            spot = (np.arange(len(part)), edge[part], product[part])
            first[spot] = np.maximum(first[spot] + change[part], 0.0)
            lowered = np.zeros_like(first)
            lowered[spot] = np.where(until[part] > 0, -change[part], 0.0)
            case = {
                "first": first, "lowered": lowered, "until": until[part], "level": self.level[rows],
                "reorder": self.reorder[rows], "edge": edge[part], "product": product[part],
                "open": self.open[rows], "cover": self.lines.cover[rows, edge[part]], "lead": np.ceil(self.lines.lead[rows, edge[part]] - 1e-4),
            }  # fmt: skip
            params, state = take(self.params, rows), take(self.state, rows)
            parts.append(
                jax.device_get(_play(self.env, self.count, params, state, case, self.demand, place[part], self.key))
            )
        size = len(place)
        return tuple(np.concatenate(values)[:size] for values in zip(*parts))


@partial(jax.jit, static_argnums=(0, 1))
def _play(env: InventoryNetwork, count: int, params, state, case, demand, place, key):
    """Risks `[C]` and costs `[C, P]` of C cases on P paths."""
    topology = env.topology
    cases, horizon = len(place), demand.shape[0]

    def spread(tree):
        """`[C, ...]` as `[..., C * P]`."""
        return jax.tree.map(lambda leaf: jnp.repeat(jnp.moveaxis(jnp.asarray(leaf), 0, BATCH), count, BATCH), tree)

    lead, share = _lead_times(env, params, horizon, count, key)
    exogenous = Exogenous(
        demand=demand[:, :, :, place].reshape(*demand.shape[:3], cases * count), lead_time=lead, arrival=share
    )
    if topology.has("calendar"):
        exogenous = exogenous.replace(open=jnp.repeat(jnp.moveaxis(case["open"], 0, BATCH), count, BATCH))
    start = spread(state)
    if state.due is not None:
        start = start.replace(due=_due(env, params, state, count, key))

    def act(case, observation, time):
        target = case["level"] - jnp.where(time < case["until"], case["lowered"], 0.0)
        point = case["reorder"] - jnp.where(time < case["until"], case["lowered"], 0.0)
        later = refill(env, observation, target, point) * case["open"][time][:, None]
        orders = jnp.where(time == 0, case["first"], later)
        wanted = topology.out_of_nodes(orders) if topology.internal else jnp.zeros_like(observation.on_hand)
        return orders, wanted

    faces = np.isin(np.arange(topology.nodes), topology.demand_nodes)

    def record(observation, outcome, wanted):
        lacks = outcome.short > 1e-4
        if topology.internal and not faces.all():
            stock = observation.on_hand.sum(-1) if topology.ages > 1 else observation.on_hand
            lacks = jnp.where(faces[:, None], lacks, wanted > stock * (1 + 1e-5) + 1e-4)
        return -outcome.reward, lacks

    time = jnp.repeat(jnp.arange(horizon)[:, None], cases * count, 1)
    last, (cost, lacks), _ = rollout(
        env, spread(params), act, spread(case), start, exogenous, time, axis=BATCH, policy_axis=BATCH, record=record
    )
    worth = jax.vmap(partial(stock_value, topology), BATCH)(last, spread(params))
    cost = (cost.sum(0) - worth).reshape(cases, count)
    lacks = lacks.reshape(horizon, topology.nodes, topology.products, cases, count)
    nodes = jnp.asarray(topology.destinations)[case["edge"]]
    at = jax.vmap(lambda own, node, product: own[:, node, product], (3, 0, 0))(lacks, nodes, case["product"])  # [C, H, P]
    times = jnp.arange(horizon)[None, :, None]
    until_next = (at & (times < case["cover"][:, None, None])).any(1).mean(1)
    until_this = (at & (times < case["lead"][:, None, None])).any(1).mean(1)
    return until_next, until_this, cost


def _lead_times(env, params, horizon, count, key):
    """Lead times and shares of arrival `[H, E, C * P]`, the same for all instances but for their laws; None where fixed."""
    world = env.world
    if not world.lead_time and not world.arrival:
        return None, None
    noise = {**(world.lead_time.noise if world.lead_time else {}), **(world.arrival.noise if world.arrival else {})}
    start = world.lead_time.start_noise if world.lead_time else {}
    first = draw_uniforms(key, 0, start, (count,)) if start else {}

    def one(params, uniforms, path_state):
        share = world.arrival.shares(uniforms, params) if world.arrival else None
        lead = None
        if world.lead_time:
            path_state, lead = world.lead_time.step(path_state, uniforms, params)
            if share is not None:  # nobody knows that an order is lost before the last day it could come
                lead = jnp.where(share > 0, lead, world.lead_time.latest(params))
        return path_state, (lead, share)

    over_paths = jax.vmap(one, (None, BATCH, BATCH), (BATCH, BATCH))
    over_cases = jax.vmap(over_paths, (0, None, 0), (0, -2))

    def period(states, time):
        uniforms = draw_uniforms(key, time + 1, noise, (count,))
        return over_cases(params, uniforms, states)

    def begin(params):
        made = jax.vmap(lambda uniforms: world.lead_time.init(uniforms, params), BATCH, BATCH, axis_size=count)
        return made(first)

    states = jax.vmap(begin)(params) if world.lead_time else None
    if states is None:
        states = jnp.zeros((len(jax.tree.leaves(params)[0]), count))
    _, drawn = jax.lax.scan(period, states, jnp.arange(horizon))
    return tuple(None if leaf is None else leaf.reshape(horizon, -1, leaf.shape[-2] * leaf.shape[-1]) for leaf in drawn)


def _due(env, params, state, count, key):
    """When what is on its way will be here `[E, L - 1, C * P]`.

    An order whose lead time is that which is quoted has no date of its own: where lead times are random it takes one of
    the law, given that it is not here yet. One that is overdue comes next.
    """
    slots = env.topology.slots
    least = jnp.arange(slots) + (1 if env.topology.has("orders_first") else 2)
    due = jnp.maximum(state.due, least)  # [C, E, L - 1]
    law = params.lead_time_law
    if law is None:
        return jnp.repeat(jnp.moveaxis(due, 0, BATCH), count, BATCH)
    uniforms = jax.random.uniform(jax.random.fold_in(key, 1), (env.topology.edges, slots, count))

    def one(cdf, due, quoted):
        """cdf `[L, E]`, due `[E, L - 1]`, quoted `[E]`."""
        below = jnp.take(cdf, jnp.minimum(least - 1, cdf.shape[0] - 1), 0).T  # [E, L - 1]: here already by then
        drawn = below[..., None] + uniforms * (1.0 - below[..., None])  # [E, L - 1, P]
        lead = jnp.maximum(jnp.sum(drawn[None] >= cdf.reshape(cdf.shape[0], -1, 1, 1), 0), least[:, None])
        lead = jnp.minimum(lead, env.topology.max_lead_time)
        own = jnp.abs(due - jnp.maximum(jnp.round(quoted)[:, None], least)) > 0.5
        return jnp.where(own[..., None], due[..., None], lead.astype(due.dtype))

    found = jax.vmap(one, out_axes=-2)(law.cdf[:, 0], due, params.lead_time)
    return found.reshape(env.topology.edges, slots, -1)
