"""Pipelines: what is on its way on each edge, when it is due, and how much of it arrives.

Axes as in `jaxinv.envs.network`.
"""

import jax
import jax.numpy as jnp
import numpy as np


def due_at_once(topology, order, exogenous):
    """Shipments that are due in the period they are shipped in `[E, K]`: those of lead time 0."""
    if topology.random_lead_time:
        return order * (exogenous.lead_time == 0)[:, None]
    if 0 not in topology.lead_times:
        return jnp.zeros_like(order)
    return order * jnp.asarray([[lead == 0] for lead in topology.lead_times], order.dtype)


def arrived(topology, due, share):
    """Units that arrive of shipments that are due `[E, K, ...]`, given the share of each `[E, ...]`
    (None: all of them).

    Goods that are ordered in packs arrive in whole units; the gradient ignores this rounding.
    """
    if not topology.has("arrivals"):
        return due
    part = due * share[:, None]
    if topology.has("packs"):
        part = part + jax.lax.stop_gradient(jnp.minimum(jnp.round(part), due) - part)
    return part


def advance(topology, state, shipped, exogenous):
    """Pipelines grow older by one period.

    Returns:
      Pipeline `[E, K, L - 1]`; realised lead times and shares of its orders (None where all are the
      same); what is due at the start of the next period `[E, K]` (in this one, where orders come
      first), and what arrives of it `[E, K]`.
    """
    if topology.max_lead_time == 0 and not topology.has("orders_first"):
        nothing = jnp.zeros_like(shipped)
        return state.pipeline, state.due, state.arriving, nothing, nothing
    underway = jnp.concatenate(
        [shipped[..., None], state.pipeline], -1
    )  # [E, K, L], the latest order first
    lead = share = None
    if topology.random_lead_time:
        lead = jnp.concatenate([exogenous.lead_time[:, None], state.due], -1)
    if topology.has("arrivals"):
        share = jnp.concatenate([exogenous.arrival[:, None], state.arriving], -1)
    due, pipeline = _due(topology, underway, lead)
    arrivals = due if share is None else _due(topology, arrived(topology, underway, share), lead)[0]
    return (
        pipeline,
        *(None if known is None else known[:, :-1] for known in (lead, share)),
        due,
        arrivals,
    )


def _due(topology, underway, lead):
    """Splits the pipeline `[E, K, L]` into the units that are due `[E, K]` and those still on their
    way `[E, K, L - 1]`, all but the oldest slot.
    """
    # lead times of the orders that are due, the latest order first: at the start of the next period
    # it is 1 period old
    ages = np.arange(underway.shape[-1]) + (0 if topology.has("orders_first") else 1)
    if topology.random_lead_time:
        due = (lead == ages)[:, None, :]
        return jnp.sum(jnp.where(due, underway, 0.0), -1), jnp.where(due, 0.0, underway)[..., :-1]
    leads = topology.lead_times
    if len(set(leads)) == 1:
        return underway[..., -1], underway[..., :-1]
    due = jnp.stack([underway[edge, :, max(lead - ages[0], 0)] for edge, lead in enumerate(leads)])
    still = jnp.asarray([[age < lead for age in ages[:-1]] for lead in leads], jnp.float32)
    return due, underway[..., :-1] * still[:, None, :]
