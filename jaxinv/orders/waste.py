"""What of stock, of what is on its way and of today's orders is expected to spoil."""

import jax.numpy as jnp
import numpy as np

from jaxinv.envs.spoiling import fate
from jaxinv.orders.lines import Lines
from jaxinv.orders.today import Today


def wasted(today: Today, lines: Lines, rate: np.ndarray) -> np.ndarray:
    """Units of each node that spoil if demand is so much in every period, until today's orders are
    gone, `[S, N, K]`; 0 where the world knows no shelf lives.

    Args:
      rate: demand a period `[S, N, K]`.
    """
    topology, state = today.problem.env.topology, today.state
    found = np.zeros(rate.shape)
    if not topology.has("shelf_lives"):
        return found
    life = np.asarray(today.params.shelf_life)
    rows = np.flatnonzero((life > 0).any((1, 2)))
    last = max(int(np.ceil(lines.lead[rows].max(initial=0.0))), topology.max_lead_time, 1)
    arriving = np.zeros((*rate.shape, last))
    due = np.broadcast_to(
        lines.lead[..., None] if state.due is None else state.due,
        (*lines.lead.shape, topology.slots),
    )
    for edge, node in enumerate(topology.destinations):
        waits = [due[rows, edge, slot] - slot - 1 for slot in range(topology.slots)]
        units = [np.asarray(state.pipeline)[rows, edge, :, slot] for slot in range(topology.slots)]
        for wait, amount in zip(
            (*waits, lines.lead[rows, edge]), (*units, lines.quantity[rows, edge])
        ):
            when = np.clip(np.ceil(wait - 1e-4), 1, last).astype(int) - 1
            arriving[rows, node, :, when] += amount
    longest = last + topology.ages
    until = np.full((len(rows), rate.shape[1]), longest)
    stock = jnp.asarray(state.on_hand)[rows]
    found[rows] = fate(stock, life[rows], rate[rows], until, longest, arriving[rows]).wasted
    return np.where(life > 0, found, 0.0)
