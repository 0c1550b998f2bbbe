"""What a policy orders today, line by line: an instance, an edge and a product, with what it stands
on.

Everything here is an array `[S, E, K]` over instances, edges and products, in units and periods
unless it says otherwise.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import shipping, views
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import Action
from jaxinv.envs.stock import receive
from jaxinv.errors import UserError
from jaxinv.orders.today import Today
from jaxinv.policies.decider import Decider
from jaxinv.policies.policy import Policy, fill_to, filled_to
from jaxinv.policies.rule import Rule

CHUNK = 4096
"""Instances that are decided at a time."""


@dataclass(frozen=True, eq=False)
class Acting:
    """Who decides for which instance.

    Attributes:
      deciders: one or more policies for the same problem.
      which: number of the decider of each instance `[S]`.
      why: what is said of the choice, one line each.
    """

    deciders: tuple[Decider, ...]
    which: np.ndarray
    why: tuple[str, ...] = ()

    @classmethod
    def of(cls, decider: Decider, instances: int) -> "Acting":
        """One policy for all."""
        return cls((decider,), np.zeros(instances, int))

    def over(self, instances: int, alike: Mapping[int, int]) -> "Acting":
        """Those who act for all instances of today: for a new one, who does for the one that it is
        like, else the first.
        """
        new = range(len(self.which), instances)
        more = [
            self.which[alike[s]] if alike.get(s, instances) < len(self.which) else 0 for s in new
        ]
        return replace(self, which=np.concatenate([self.which, np.asarray(more, int)]))

    @property
    def names(self) -> np.ndarray:
        """Name of the decider of each instance `[S]`."""
        return np.asarray([decider.name for decider in self.deciders], object)[self.which]


@dataclass(frozen=True, eq=False)
class Lines:
    """Order lines, and the numbers they rest on.

    Attributes:
      asked: quantity that the policy asks for.
      quantity: quantity that is ordered, after whole packs, minimum orders, limits and the stock of
        sources.
      target: inventory position that the order aims at. Without an order: the level of the policy
        where that is below the position, else the position.
      usual: target of later orders. For perishable goods, the target on a day that begins with
        stock for the demand over the lead time; else the target of today.
      position: inventory position `target - asked`: on-hand and on-order of the echelon that the
        edge leads to, minus backorders and units that expire before an order could arrive.
      on_hand, on_order: at the destination of each edge, and on all edges to it.
      pack: units of a pack, 1 where there are none.
      lead, review: periods from order to arrival, as quoted, and until the edge may order next `[S,
        E]`.
      early, late: periods to arrival that 10% and 90% of orders take at most `[S, E]`.
    """

    asked: np.ndarray
    quantity: np.ndarray
    target: np.ndarray
    usual: np.ndarray
    position: np.ndarray
    on_hand: np.ndarray
    on_order: np.ndarray
    pack: np.ndarray
    lead: np.ndarray
    review: np.ndarray
    early: np.ndarray
    late: np.ndarray

    @property
    def cover(self) -> np.ndarray:
        """Whole periods that an order has to cover `[S, E]`: until the next order could be here."""
        return np.ceil(self.lead - 1e-4).astype(int) + self.review


def lines_of(today: Today, acting: Acting) -> Lines:
    """What the policies order today."""
    size, topology = len(today.skus), today.problem.env.topology
    shape = (size, topology.edges, topology.products)
    found = {
        name: np.zeros(shape, np.float32)
        for name in ("asked", "quantity", "target", "usual", "position", "on_hand", "on_order")
    }
    for number, decider in enumerate(acting.deciders):
        for name, rows, values in ask(today, decider, np.flatnonzero(acting.which == number)):
            found[name][rows] = values
    packs = (
        np.asarray(today.params.pack_size) if topology.has("packs") else np.ones(shape, np.float32)
    )
    lead = np.asarray(today.params.lead_time, float)
    if topology.order_delays:
        lead = lead + np.asarray(topology.order_delays)
    review = next_open(today.open)
    early, late = _spread(today, lead)
    return Lines(
        **found,
        pack=np.broadcast_to(packs, shape),
        lead=lead,
        review=review,
        early=early,
        late=late,
    )


def ask(
    today: Today, decider: Decider, rows: np.ndarray, **changed: Any
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """What a policy says for some instances, as (name of a field of `Lines`, rows, values).

    Args:
      changed: `params` or `signals` of all instances that are put in the place of today's.
    """
    env, policy = today.problem.env, decider.policy
    check_decider(today, decider)
    instance = changed.get("params", today.params).replace(demand=None)
    signals = changed.get("signals", today.signals)
    params, axis = decider.params, None
    if decider.policy_axis is not None:
        params, axis = (
            jax.tree.map(
                lambda leaf: jnp.moveaxis(jnp.asarray(leaf), decider.policy_axis, 0), params
            ),
            0,
        )
    open_now = np.asarray(today.open)[:, :, 0].astype(np.float32)
    promised = np.zeros(today.state.on_hand.shape[:2]) if today.promised is None else today.promised
    for part in in_chunks(rows, CHUNK):
        own = params if axis is None else take(params, part)
        said = _ask(
            env,
            policy,
            axis,
            own,
            take(instance, part),
            take(today.state, part),
            jnp.asarray(signals[part]),
            jnp.asarray(open_now[part]),
            jnp.asarray(promised[part], jnp.float32),
        )
        there = np.isin(part, rows) & (np.arange(len(part)) < len(rows))
        for name, values in jax.device_get(said).items():
            yield name, part[there], values[there]


def check_decider(today: Today, decider: Decider) -> None:
    """Refuses a policy of another network, or one that cannot be asked once.

    Raises:
      UserError: it names what differs.
    """
    if decider.policy.topology != today.problem.env.topology:
        raise UserError(
            f"{decider.name} orders for another network than that of today; train or tune it for"
            " this plan"
        )
    if decider.policy.remembers or decider.policy.draws:
        raise UserError(
            f"{decider.name} remembers or draws, and a list of one day cannot give it its memory"
        )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _ask(
    env: InventoryNetwork,
    policy: Policy,
    axis,
    params,
    instance,
    state,
    signals,
    open_now,
    promised,
):
    topology = env.topology

    def single(params, instance, state, signals, open_now, promised):
        observation = env.view(state, instance, signals)
        asked = jnp.maximum(Action.of(policy(params, observation)).orders, 0.0) * open_now[:, None]
        position = views.edge_position(topology, observation)
        target = filled_to(topology, observation, asked, position)
        aim = jnp.where(
            asked > 0,
            target,
            jnp.minimum(target, _wanted(topology, policy, params, observation, instance)),
        )
        if topology.order_memory or topology.internal_backlog:  # what is asked for is shipped later
            quantity = asked
        else:
            if topology.internal:
                left = jnp.maximum(state.on_hand - promised[:, None], 0.0)
                state = state.replace(on_hand=left)
            quantity = shipping.ship(topology, state, asked, instance)[0]
        stock, coming = (
            views.on_hand(topology, observation),
            topology.into_nodes(views.on_order(topology, observation)),
        )
        return {
            "asked": asked, "quantity": quantity, "target": aim, "position": target - asked,
            "usual": _usual(topology, policy, params, observation, instance, aim),
            "on_hand": topology.at_destination(stock), "on_order": topology.at_destination(coming),
        }  # fmt: skip

    return jax.vmap(single, (axis, 0, 0, 0, 0, 0))(
        params, instance, state, signals, open_now, promised
    )


def _wanted(topology, policy, params, observation, instance):
    """What a rule aims at where it orders nothing: what it would order if there was nothing."""
    if not isinstance(policy, Rule):
        return jnp.full((topology.edges, topology.products), jnp.inf)
    empty = observation.replace(
        on_hand=jnp.zeros_like(observation.on_hand), pipeline=jnp.zeros_like(observation.pipeline)
    )
    if observation.backorder is not None:
        empty = empty.replace(backorder=jnp.zeros_like(observation.backorder))
    asked = jnp.maximum(Action.of(policy(params, empty)).orders, 0.0)
    wanted = filled_to(topology, empty, asked, views.edge_position(topology, empty))
    return jnp.where(wanted > 0, wanted, jnp.inf)


def _usual(topology, policy, params, observation, instance, aim):
    """What a rule aims at where demand until an order is there is covered.

    Of what spoils a rule orders less where stock is out until then, for that demand will not wait.
    """
    if not (isinstance(policy, Rule) and topology.has("shelf_lives")):
        return aim
    nothing = jnp.zeros_like(observation.on_hand)
    coming = jnp.arange(1, topology.slots + 1) < jnp.round(instance.lead_time)[:, None]
    rate = topology.at_destination(instance.scale)
    covered = observation.replace(
        on_hand=receive(topology, nothing, instance.scale, instance),
        pipeline=jnp.where(coming[:, None, :], rate[..., None], 0.0),
    )
    asked = jnp.maximum(Action.of(policy(params, covered)).orders, 0.0)
    usual = filled_to(topology, covered, asked, views.edge_position(topology, covered))
    return jnp.where((topology.at_destination(instance.shelf_life) > 0) & (asked > 0), usual, aim)


def refill(env: InventoryNetwork, observation, level, reorder):
    """Orders `[E, K]` of a rule that brings each edge's position up to a level once it is at or
    below a reorder point; nothing moves along lateral edges."""
    topology = env.topology
    position = views.edge_position(topology, observation)
    lateral = np.isin(np.arange(topology.edges), topology.lateral)[:, None]
    order = fill_to(topology, observation, jnp.where(lateral, -jnp.inf, level), position)
    return jnp.where(position <= reorder + 1e-4, order, 0.0)


def next_open(calendar: np.ndarray) -> np.ndarray:
    """Periods until each edge may order after today `[S, E]`, of a calendar `[S, E, H]`; 1 where it
    never may."""
    later = np.asarray(calendar, bool)[..., 1:]
    return np.where(later.any(-1), later.argmax(-1) + 1, 1).astype(int)


def period_dates(today: Today, periods: int) -> np.ndarray:
    """First days of all past periods and of some to come `[T + H]`."""
    if today.period_days > 27:  # months
        step = round(today.period_days / 30.4)
        later = (np.datetime64(today.date, "M") + step * np.arange(periods)).astype("datetime64[D]")
    else:
        later = np.datetime64(today.date, "D") + round(today.period_days) * np.arange(periods)
    return np.concatenate([np.asarray(today.dates).astype("datetime64[D]"), later])


def _spread(today: Today, lead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Periods that 10% and 90% of orders take at most `[S, E]`."""
    law = today.params.lead_time_law
    if law is None:
        return lead, lead
    cdf = np.asarray(law.cdf)[:, 0]  # [S, L, E], of a calm world
    return tuple((cdf < share - 1e-6).sum(1).astype(float) for share in (0.1, 0.9))


def demand_reach(today: Today) -> np.ndarray:
    """`[E, D]`, 1 where demand at a place is met through an edge."""
    topology = today.problem.env.topology
    reach = topology.echelon[np.asarray(topology.destinations)]
    return reach[:, np.asarray(topology.demand_nodes)]


def in_chunks(rows: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Rows in parts of one length, the last filled up with its first row."""
    if not len(rows):
        return
    size = math.ceil(len(rows) / math.ceil(len(rows) / most))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield np.concatenate([part, np.repeat(rows[:1], size - len(part))])


def take(tree: Any, rows: np.ndarray | Sequence[int]) -> Any:
    """The instances at `rows` of a tree of arrays with a leading axis."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)[rows]), tree)
