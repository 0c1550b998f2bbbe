"""What an order is worth: the risk of a stock-out with and without it, and what it costs to order
otherwise.

Each question is played in the one transition, on the same demand paths and lead times: today's
orders as they are, and with one line changed. The first period has those orders. From the next
order day on a level rule restores the position that today's order aims at, whatever it was: so all
that is changed comes to an end with the next order, and what the difference costs is the matter of
this line alone, not of a policy that would answer one surprise with another. The rule orders once a
position is at its reorder point; where today's policy orders at every opportunity that point is its
level.

- without: nothing is ordered on the line now.
- a review later: nothing now, and the position is restored on the next order day.
- nothing: nothing now, and what it would have brought is not made up for before its cover is over.
- a pack less, a pack more: restored on the next order day.

What is left at the end counts as what it costs to bring there. A stock-out is demand that was not
served at once at the destination; where that faces no demand, at the places below it that do, the
mean of their risks, until what it would send on could be there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs import views
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.landed import stock_value
from jaxinv.evaluation.rollout import BATCH, rollout
from jaxinv.keys import Role, key_of, root
from jaxinv.orders.futures import Futures
from jaxinv.orders.lines import Lines, demand_reach, in_chunks, refill, take
from jaxinv.orders.nature import due, lead_times
from jaxinv.orders.today import Today

PATHS = 128
"""Demand paths that a line is judged on."""

TOGETHER = 1024
"""Instances whose demand is drawn at a time."""

SHORTER = 3
"""Lines whose cover is short are played for one over so many of the periods."""

CELLS = 1 << 17
"""Paths of all cases that are played in one program; it bounds the memory."""

CASES = ("nothing", "pack_less", "pack_more", "review_later")
"""What is ordered otherwise, beside the order as it is."""


@dataclass(frozen=True, eq=False)
class LineRisks:
    """What was found of each line, `[S, E, K]`.

    Attributes:
      forecast, low, high: median, 10% and 90% of demand over the cover.
      mean: its mean; base, plain: the same in a period like all others, and without what is
        announced.
      risk_with, risk_without: of a stock-out before the next order could be here.
      risk_before: of one before this order could be here.
      costs: money more than the order's `[len(CASES), S, E, K]`, NaN where nothing is ordered (a
        pack more: where it was not asked for).
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


def line_risks(
    today: Today, lines: Lines, futures: Futures, *, paths: int = PATHS,
    reorder: np.ndarray | None = None, seed: int = 0,
    rows: np.ndarray | None = None, only: tuple[str, ...] = CASES, everywhere: bool = False,
) -> LineRisks:  # fmt: skip
    """Plays every line.

    Args:
      reorder: `[S, E, K]` positions at or below which later orders are placed; the levels where not
        given.
      rows: instances to look at `[R]`; all where not given. Others are NaN.
      only: what is ordered otherwise is played in these cases alone, where something is ordered.
      everywhere: also where nothing is ordered and something could be.
    """
    size, edges, products = lines.quantity.shape
    env = today.problem.env
    level = np.where(np.isfinite(lines.target), lines.target, lines.position)
    level = (
        np.maximum(level, lines.position + lines.quantity).astype(np.float32)
        if reorder is None
        else level
    )
    level = np.where(
        lines.quantity > 0, np.maximum(lines.target, lines.position + lines.quantity), level
    ).astype(np.float32)
    level = np.where(np.isfinite(lines.usual), np.maximum(level, lines.usual), level)
    reorder = level if reorder is None else np.minimum(np.asarray(reorder, np.float32), level)
    horizon = min(futures.horizon, np.asarray(today.open).shape[-1])
    names = (
        "forecast",
        "low",
        "high",
        "mean",
        "base",
        "plain",
        "risk_with",
        "risk_without",
        "risk_before",
    )
    found = {name: np.full((size, edges, products), np.nan, np.float32) for name in names}
    money = np.full((len(CASES), size, edges, products), np.nan, np.float32)
    served, there = demand_reach(today), np.asarray(today.destinations) != ""
    window = np.minimum(lines.cover + _onward(env, today), horizon)
    rows = np.arange(size) if rows is None else np.asarray(rows)
    for number, part in enumerate(in_chunks(rows, TOGETHER)):
        drawn = futures.paths(part, paths)[:, :, :horizon]  # [P, R, H, D]
        sums = _over_cover(drawn, lines.cover[part], served)  # [P, R, E]
        found["low"][part], found["forecast"][part], found["high"][part] = (
            np.quantile(sums, share, 0)[..., None] for share in (0.1, 0.5, 0.9)
        )
        for name, values in (
            ("mean", drawn.mean(0)),
            ("base", futures.base(part)),
            ("plain", futures.plain(part)),
        ):
            found[name][part] = _over_cover(values[None, :, :horizon], lines.cover[part], served)[
                0
            ][..., None]
        place, edge, product = np.nonzero(
            np.broadcast_to(there[part][..., None], (len(part), edges, products))
        )
        for periods, mine in _by_length(window[part[place], edge], horizon):
            play = _Player(
                env,
                today,
                lines,
                window,
                level,
                reorder,
                part,
                drawn[:, :, :periods],
                key_of(root(seed), Role.FUTURES, number),
            )
            line = (place[mine], edge[mine], product[mine])
            at = (part[line[0]], line[1], line[2])
            own, back = np.unique(line[0], return_inverse=True)
            risk, before, base = play.as_they_are(own)
            found["risk_with"][at] = found["risk_without"][at] = risk[back, line[1], line[2]]
            found["risk_before"][at] = before[back, line[1], line[2]]
            ordered = lines.quantity[at]
            some = np.flatnonzero(
                (ordered > 0) | (everywhere & np.asarray(today.open)[at[0], at[1], 0])
            )
            if not len(some):
                continue
            line, at = (tuple(axis[some] for axis in axes) for axes in (line, at))
            ordered, pack, at_once = ordered[some], lines.pack[at], np.zeros(len(some), int)
            changes = {
                "nothing": (-ordered, lines.cover[at[0], at[1]]),
                "pack_less": (-np.minimum(pack, ordered), at_once),
                "pack_more": (pack, at_once),
                "review_later": (-ordered, at_once),
            }
            for name in only:
                risk, cost = play.otherwise(*line, *changes[name])
                money[(CASES.index(name), *at)] = (cost - base[back[some]]).mean(1)
                if name == "nothing":
                    found["risk_without"][at] = risk
    return LineRisks(**found, costs=money)


def _onward(env: InventoryNetwork, today: Today) -> np.ndarray:
    """Periods `[S, E]` from the destination of each edge, where it faces no demand, to the farthest
    place below."""
    facts = jax.vmap(env.facts)(today.params.replace(demand=None))
    own = jax.vmap(views.coverage)(facts)
    all_the_way = jax.vmap(partial(views.echelon_coverage, env.topology))(facts)
    faces = np.isin(env.topology.destinations, env.topology.demand_nodes)
    return np.where(faces, 0, np.ceil(np.asarray(all_the_way - own) - 1e-4)).astype(int)


def _over_cover(paths: np.ndarray, cover: np.ndarray, served: np.ndarray) -> np.ndarray:
    """Demand `[P, R, H, D]` over the cover `[R, E]` of each edge and all that it serves `[P, R,
    E]`."""
    total = np.concatenate([np.zeros_like(paths[:, :, :1]), paths.cumsum(2)], 2)
    ends = np.minimum(cover, paths.shape[2])
    by_place = np.take_along_axis(
        total, ends[None, :, :, None].repeat(paths.shape[0], 0), 2
    )  # [P, R, E, D]
    return np.einsum("pred,ed->pre", by_place, served)


def _by_length(cover: np.ndarray, horizon: int) -> Iterator[tuple[int, np.ndarray]]:
    """Lines in two groups, with the periods that each is played: short covers need not be played
    for long."""
    short = max(-(-horizon // SHORTER), 4)
    brief = 2 * cover + 1 <= short
    for periods, mine in ((min(short, horizon), brief), (horizon, ~brief)):
        if mine.any():
            yield periods, np.flatnonzero(mine)


class _Player:
    """Plays cases of a chunk of instances on the same paths."""

    def __init__(self, env, today, lines, window, level, reorder, rows, paths, key):
        self.env, self.count, horizon = env, paths.shape[0], paths.shape[2]
        demand = np.ascontiguousarray(
            np.moveaxis(paths, (2, 3, 1, 0), (0, 1, 2, 3))
        )  # [H, D, R, P]
        places, products = len(env.topology.demand_nodes), env.topology.products
        self.demand = jnp.asarray(demand.reshape(horizon, places, products, len(rows), self.count))
        self.params, self.state = today.params.replace(demand=None), today.state
        self.lines, self.level, self.reorder, self.rows = lines, level, reorder, rows
        self.window = window
        self.open = np.moveaxis(np.asarray(today.open)[..., :horizon], -1, 1).astype(
            np.float32
        )  # [S, H, E]
        self.key = key

    def as_they_are(self, place):
        """Risks `[n, E, K]` until the next order on each edge could be here and until this one is,
        and costs `[n, P]`."""

        def case(part, rows):
            return {
                "first": self.lines.quantity[rows],
                "cover": self.window[rows],
                "lead": (
                    np.ceil(self.lines.lead[rows] - 1e-4)
                    + self.window[rows]
                    - self.lines.cover[rows]
                ),
            }

        return self._played(place, True, case)

    def otherwise(self, place, edge, product, change, until):
        """Risks `[n]` until the next order could be here, and costs `[n, P]`, of cases with one
        line changed."""

        def case(part, rows):
            spot = (np.arange(len(part)), edge[part], product[part])
            first = self.lines.quantity[rows].copy()
            first[spot] = np.maximum(first[spot] + change[part], 0.0)
            lowered = np.zeros_like(first)
            lowered[spot] = np.where(until[part] > 0, -change[part], 0.0)
            return {
                "first": first, "lowered": lowered, "until": until[part], "edge": edge[part],
                "product": product[part],
                "cover": self.window[rows, edge[part]],
            }  # fmt: skip

        return self._played(place, False, case)

    def _played(self, place, whole, case_of):
        parts = []
        for part in in_chunks(np.arange(len(place)), max(CELLS // self.count, 1)):
            rows = self.rows[place[part]]
            case = {
                "level": self.level[rows],
                "reorder": self.reorder[rows],
                "open": self.open[rows],
                **case_of(part, rows),
            }
            params, state = take(self.params, rows), take(self.state, rows)
            parts.append(
                jax.device_get(
                    _play(
                        self.env,
                        self.count,
                        whole,
                        params,
                        state,
                        case,
                        self.demand,
                        place[part],
                        self.key,
                    )
                )
            )
        return tuple(np.concatenate(values)[: len(place)] for values in zip(*parts))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _play(env: InventoryNetwork, count: int, whole: bool, params, state, case, demand, place, key):
    """What C cases come to on P paths: risks of all edges `[C, E, K]` twice, or of the edge of the
    case `[C]`, and costs `[C, P]`."""
    topology = env.topology
    cases, horizon = len(place), demand.shape[0]

    def spread(tree):
        """`[C, ...]` as `[..., C * P]`."""
        return jax.tree.map(
            lambda leaf: jnp.repeat(jnp.moveaxis(jnp.asarray(leaf), 0, BATCH), count, BATCH), tree
        )

    lead, share = lead_times(env, params, horizon, count, key)
    exogenous = Exogenous(
        demand=demand[:, :, :, place].reshape(*demand.shape[:3], cases * count),
        lead_time=lead,
        arrival=share,
    )
    if topology.has("calendar"):
        exogenous = exogenous.replace(
            open=jnp.repeat(jnp.moveaxis(case["open"], 0, BATCH), count, BATCH)
        )
    start = spread(state)
    if state.due is not None:
        start = start.replace(due=due(env, params, state, count, key))

    def act(case, observation, time):
        lowered = 0.0 if whole else jnp.where(time < case["until"], case["lowered"], 0.0)
        later = (
            refill(env, observation, case["level"] - lowered, case["reorder"] - lowered)
            * case["open"][time][:, None]
        )
        return jnp.where(time == 0, case["first"], later), None

    def record(observation, outcome, _):
        return -outcome.reward, outcome.short > 1e-4

    time = jnp.repeat(jnp.arange(horizon)[:, None], cases * count, 1)
    last, (cost, lacks), _ = rollout(
        env,
        spread(params),
        act,
        spread(case),
        start,
        exogenous,
        time,
        axis=BATCH,
        policy_axis=BATCH,
        record=record,
    )
    worth = jax.vmap(partial(stock_value, topology), BATCH)(last, spread(params))
    cost = (cost.sum(0) - worth).reshape(cases, count)
    lacks = lacks.reshape(horizon, topology.nodes, topology.products, cases, count)
    if whole:
        return *(_risks(topology, lacks, case[within]) for within in ("cover", "lead")), cost
    inside = jnp.arange(horizon)[:, None] < case["cover"][None]  # [H, C]
    short = (lacks & inside[:, None, None, :, None]).any(0).mean(-1)  # [N, K, C]
    weights = jnp.asarray(_served_by(topology))[case["edge"]]  # [C, N]
    return jnp.einsum("cn,nc->c", weights, short[:, case["product"], jnp.arange(cases)]), cost


def _served_by(topology) -> np.ndarray:
    """Weights `[E, N]` of the places whose risk is that of an order on each edge: its destination,
    or all below it that face demand."""
    faces = topology.among(topology.demand_nodes)[:, 0]
    below = np.asarray(topology.echelon) * faces
    ends = list(topology.destinations)
    own = np.where(faces[:, None], np.eye(topology.nodes), below)[ends]
    return (own / np.maximum(own.sum(1, keepdims=True), 1)).astype(np.float32)


def _risks(topology, lacks, periods):
    """Shares of paths `[C, E, K]` on which the places of each edge (`_served_by`) lack something
    within some periods `[C, E]`, a mean over these places.

    What is lacked first tells it: `lacks` is `[H, N, K, C, P]`.
    """
    weights, horizon = _served_by(topology), lacks.shape[0]
    first = jnp.where(lacks.any(0), jnp.argmax(lacks, 0), horizon + 1)  # [N, K, C, P]

    def of(edge):
        within = [
            weights[edge, node] * (first[node] < periods[None, :, edge, None]).mean(-1).T
            for node in np.flatnonzero(weights[edge])
        ]
        return sum(within)  # [C, K]

    return jnp.stack([of(edge) for edge in range(topology.edges)], 1)
