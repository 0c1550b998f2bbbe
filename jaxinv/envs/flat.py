"""The flat observation of the gymnax environment: one vector whose entries have names and bounds.

It holds the stock and what is on its way, how many periods each edge is from its next review, what
a planner knows of the instance (lead times, typical demand, limits, and costs, each times the
weight of its part), and the last W signal vectors.
"""

import itertools
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from jaxinv.envs import network
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError

BOUND = 1e7
"""Largest signal, cost or limit that an observation shows."""

STOCK = {
    "on_hand": ("node", "product", "age"),
    "pipeline": ("edge", "product", "placed"),
    "backorder": ("node", "product"),
    "owed": ("edge", "product"),
    "orders": ("edge", "product", "placed"),
    "returns": ("node", "product"),
    "goodwill": ("node", "product"),
    "booked": ("node", "product"),
}
"""Parts of an observation that are amounts, and the axes of each."""

INSTANCE = {
    "scale": ("node", "product"),
    "pack_size": ("edge", "product"),
    "minimum_order": ("edge", "product"),
    "order_limit": ("edge",),
    "budget": (),
    "shipping_capacity": ("node",),
    "processing_yield": ("edge",),
    "capacity": ("node",),
    "shelf_life": ("node", "product"),
    "freight_breaks": ("edge", "tier"),
}
"""Numbers of an instance that are amounts, where it has them."""

MONEY = {
    "holding": ("holding", "node", "product"),
    "transit_holding": ("holding", "edge", "product"),
    "shortage": ("shortage", "node", "product"),
    "unit_cost": ("ordering", "edge", "product"),
    "fixed_cost": ("ordering", "edge", "product"),
    "freight_fixed": ("transport", "edge"),
    "freight_rates": ("transport", "edge", "tier"),
    "duty": ("duty", "edge", "product"),
    "return_cost": ("returns", "node", "product"),
    "return_fixed_cost": ("returns", "node"),
    "liquidation_value": ("returns", "node", "product"),
    "expiry_cost": ("expiry", "node", "product"),
    "overflow_cost": ("overflow", "node"),
    "price": ("revenue", "node", "product"),
    "loss_cost": ("loss", "edge", "product"),
}
"""Costs and prices of an instance, where it has them: the part of the cost vector that each goes
into, and its axes.
"""


def flatten(env: Any, observation: Any, params: network.InstanceParams) -> jax.Array:
    """The vector `[F]` of an observation with signals."""
    return jnp.concatenate(
        [values.reshape(-1) for values in _parts(env, observation, params).values()]
    )


def names(env: Any, params: network.InstanceParams) -> tuple[str, ...]:
    """What each entry of the vector is, such as `on_hand[store]` or
    `pipeline[supplier-store, 2 ago]`.
    """
    found = []
    for part, values in _shapes(env, params).items():
        if part == "signals":
            found += [
                f"{_open(signal.name)}, {env.history - row} ago]"
                for row in range(env.history)
                for signal in env.signals
            ]
            continue
        axes = _axes(part)
        entries = [
            labels(env.topology, axis, size) for axis, size in zip(axes, values.shape, strict=False)
        ]
        for chosen in itertools.product(*entries):
            where = ", ".join(filter(None, chosen))
            found.append(f"{part}[{where}]" if where else part)
    return tuple(found)


def known_entries(
    env: Any, params: network.InstanceParams, nodes: Collection[int]
) -> tuple[int, ...]:
    """The entries of the vector that are known at some nodes: what is there and on the edges that
    lead to them or from them, what signals they own, and what nobody's in particular is."""
    topology = env.topology
    ends = np.stack([topology.sources, topology.destinations])
    rows = {"node": np.isin(np.arange(topology.nodes), nodes), "edge": np.isin(ends, nodes).any(0)}
    hidden = {name for node, name in enumerate(labels(topology, "node")) if node not in nodes}
    rows["signal"] = np.asarray([signal.owner not in hidden for signal in env.signals])
    known = []
    for part, values in _shapes(env, params).items():
        if part == "signals":
            known.append(np.broadcast_to(rows["signal"], values.shape))
            continue
        place = (_axes(part) or ("",))[0]
        shape = (-1,) + (1,) * (len(values.shape) - 1)
        known.append(
            np.broadcast_to(rows[place].reshape(shape) if place in rows else True, values.shape)
        )
    return tuple(np.flatnonzero(np.concatenate([part.reshape(-1) for part in known])).tolist())


def changing(env: Any, params: network.InstanceParams) -> tuple[int, ...]:
    """The entries of the vector that change while an instance is played: stock, what is on its way,
    the time to the next review, and signals. The rest says what the instance is.
    """
    shapes = _shapes(env, params)
    moves = [
        np.full(values.size, part in STOCK or part in ("until_review", "signals"))
        for part, values in shapes.items()
    ]
    return tuple(np.flatnonzero(np.concatenate(moves)).tolist())


def units(env: Any, params: network.InstanceParams) -> jax.Array:
    """What the entries of the vector have to be divided by `[F]` to be of about unit size.

    Stock at a node is counted in what typical demand uses over the longest coverage (lead time and
    review) of its orders; each order on its way, in typical demand between two reviews at its end;
    demand, and a forecast of it, in typical demand; the time to a review in the time between two.
    What has no size of that kind, other covariates and the facts of the instance among it, stays as
    it is, and so does what has a typical demand of 0.
    """
    topology, facts = env.topology, env.facts(params)
    coverage = (
        jnp.ones(topology.nodes)
        .at[np.asarray(topology.destinations)]
        .max(facts.lead_time + facts.review_period)
    )
    usual = {
        "node": facts.scale * coverage[:, None],
        "edge": topology.at_destination(facts.scale) * facts.review_period[:, None],
    }
    demand = facts.scale[np.asarray(topology.demand_nodes)].reshape(-1)
    places = labels(topology, "node")
    told = [
        facts.scale[places.index(signal.owner)].mean() if signal.unit == "units" else 1.0
        for signal in env.signals[demand.size :]
    ]
    signals = jnp.concatenate([demand, jnp.asarray(told, jnp.float32)])
    found = []
    for part, values in _shapes(env, params).items():
        unit = jnp.ones(values.shape)
        if part in STOCK and part != "goodwill":  # which is a factor
            own = usual[STOCK[part][0]]
            unit = own.reshape(*own.shape, *(1,) * (len(values.shape) - own.ndim)) * unit
        elif part == "until_review":
            unit = facts.review_period * unit
        elif part == "signals":
            unit = signals * unit
        found.append(unit.reshape(-1))
    found = jnp.concatenate(found)
    return jnp.where(found > 0, found, 1.0)


def unflatten(env: Any, vector: Any, params: network.InstanceParams) -> Any:
    """The observation that a vector `[F]` of the environment shows; its facts are those of
    `params`.

    Raises:
      UserError: for a vector of another length.
    """
    shapes = _shapes(env, params)
    vector = jnp.asarray(vector, jnp.float32)
    length = sum(values.size for values in shapes.values())
    if vector.shape != (length,):
        raise UserError(
            f"an observation of {env.name} is a vector of {length} numbers, not"
            f" {list(vector.shape)}"
        )
    found, start = {}, 0
    for part, values in shapes.items():
        found[part] = vector[start : start + values.size].reshape(values.shape)
        start += values.size
    state = network.NetworkState(
        time=_time(found),
        sales=(
            jnp.zeros_like(params.return_share)
            if "returns" in found and env.topology.returns_of == "sales"
            else None
        ),
        **{part: found.get(part) for part in STOCK if part != "returns"},
    )
    return env.view(state, params, found["signals"]).replace(returns=found.get("returns"))


def _time(found: dict[str, jax.Array]) -> jax.Array:
    """A period from which every edge is as far from its next review as the vector says."""
    if "until_review" not in found:
        return jnp.int32(0)
    periods = np.asarray(found["review_period"], int)
    times = np.arange(np.lcm.reduce(periods))[:, None]
    return jnp.int32(np.argmax(np.all(-times % periods == np.asarray(found["until_review"]), 1)))


def space(env: Any, params: network.InstanceParams) -> spaces.Box:
    """Bounds: stock grows by at most what every edge may carry in every period, and backorders by
    all demand.

    Packs and minimum orders may raise an order, to twice what was asked for each.
    """
    topology = env.topology
    rounded = 2.0 ** sum(topology.has(mechanism) for mechanism in ("packs", "minimum_order"))
    most = jnp.maximum(jnp.max(params.initial_high), 0.0) + 1.0
    most += (
        (jnp.sum(params.initial_pipeline) + 1.0)
        * topology.nodes
        * (topology.max_lead_time + topology.order_memory)
    )
    most += rounded * jnp.sum(params.max_order) * params.max_steps_in_episode
    if topology.return_lags or topology.backlog or topology.advance_nodes:
        most += BOUND
    low, high = [], []
    for part, values in _shapes(env, params).items():
        amount = part in STOCK or part == "until_review"
        low.append(jnp.full(values.size, 0.0 if amount else -BOUND))
        high.append(jnp.full(values.size, most if part in STOCK else BOUND))
    low, high = jnp.concatenate(low), jnp.concatenate(high)
    return spaces.Box(low, high, low.shape)


def _parts(env, observation, params) -> dict[str, jax.Array]:
    found = {part: getattr(observation, part) for part in STOCK}
    if env.topology.has("review"):
        found["until_review"] = (-observation.time % params.review_period).astype(jnp.float32)
        found["review_period"] = params.review_period
    found["lead_time"] = observation.instance.lead_time
    found |= {name: getattr(params, name) for name in INSTANCE}
    for name, (part, *_) in MONEY.items():
        if (money := getattr(params, name)) is not None:
            found[name] = money * params.weights[network.COSTS.index(part)]
    found["signals"] = observation.signals
    return {
        part: values if part in STOCK else jnp.clip(jnp.asarray(values, jnp.float32), -BOUND, BOUND)
        for part, values in found.items()
        if values is not None
    }


def _shapes(env, params) -> dict[str, jax.ShapeDtypeStruct]:
    """The parts of an observation, without their values."""

    def parts(key, params):
        state = env.reset_env(key, params)[1]
        return _parts(env, env.view(state.network, params, state.signals), params)

    shapes = jax.eval_shape(parts, jax.random.key(0), params)
    return {
        part: shapes[part]
        for part in (*STOCK, *EDGES, *INSTANCE, *MONEY, "signals")
        if part in shapes
    }


EDGES = ("until_review", "review_period", "lead_time")
"""Parts with a number an edge: periods to the next review, and between them, and the lead time that
is quoted.
"""


def _axes(part: str) -> tuple[str, ...]:
    return (
        STOCK.get(part)
        or INSTANCE.get(part)
        or (("edge",) if part in EDGES else MONEY.get(part, ())[1:])
    )


def labels(topology: Topology, axis: str, size: int | None = None) -> list[str]:
    """What the entries along an axis are called; a lone product has no name."""
    size = (
        {"node": topology.nodes, "edge": topology.edges, "product": topology.products}[axis]
        if size is None
        else size
    )
    if axis == "product":
        return [f"product {number}" for number in range(size)] if size > 1 else [""]
    if axis == "placed":
        return [f"{age} ago" for age in range(1, size + 1)]
    given = {"node": topology.node_names, "edge": topology.edge_names}.get(axis, ())
    return list(given) or [f"{axis} {number}" for number in range(size)]


def _open(name: str) -> str:
    """The name of a signal up to what may follow within its brackets: `demand[store`, and
    `known[season sine` of what has none.
    """
    return name.removesuffix("]") if name.endswith("]") else f"known[{name}"
