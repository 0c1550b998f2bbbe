"""What nature does with shipments on demand paths to come: lead times, and shares that arrive."""

import jax
import jax.numpy as jnp

from jaxinv.demand.exogenous import draw_uniforms
from jaxinv.evaluation.rollout import BATCH
from jaxinv.keys import Role, key_of


def lead_times(env, params, horizon, count, key):
    """Lead times and shares of arrival `[H, E, C * P]`, the same for all instances but for their
    laws; None where fixed."""
    world = env.world
    if not world.lead_time and not world.arrival:
        return None, None
    noise = {
        **(world.lead_time.noise if world.lead_time else {}),
        **(world.arrival.noise if world.arrival else {}),
    }
    start = world.lead_time.start_noise if world.lead_time else {}
    first = draw_uniforms(key, 0, start, (count,)) if start else {}

    def one(params, uniforms, path_state):
        share = world.arrival.shares(uniforms, params) if world.arrival else None
        lead = None
        if world.lead_time:
            path_state, lead = world.lead_time.step(path_state, uniforms, params)
            if (
                share is not None
            ):  # nobody knows that an order is lost before the last day it could come
                lead = jnp.where(share > 0, lead, world.lead_time.latest(params))
        return path_state, (lead, share)

    over_paths = jax.vmap(one, (None, BATCH, BATCH), (BATCH, BATCH))
    over_cases = jax.vmap(over_paths, (0, None, 0), (0, -2))

    def period(states, time):
        uniforms = draw_uniforms(key, time + 1, noise, (count,))
        return over_cases(params, uniforms, states)

    def begin(params):
        made = jax.vmap(
            lambda uniforms: world.lead_time.init(uniforms, params), BATCH, BATCH, axis_size=count
        )
        return made(first)

    states = jax.vmap(begin)(params) if world.lead_time else None
    if states is None:
        states = jnp.zeros((len(jax.tree.leaves(params)[0]), count))
    _, drawn = jax.lax.scan(period, states, jnp.arange(horizon))
    return tuple(
        None if leaf is None else leaf.reshape(horizon, -1, leaf.shape[-2] * leaf.shape[-1])
        for leaf in drawn
    )


def due(env, params, state, count, key):
    """When what is on its way will be here `[E, L - 1, C * P]`.

    An order whose lead time is that which is quoted has no date of its own: where lead times are
    random it takes one of the law, given that it is not here yet. One that is overdue comes next.
    """
    slots = env.topology.slots
    least = jnp.arange(slots) + (1 if env.topology.has("orders_first") else 2)
    due = jnp.maximum(state.due, least)  # [C, E, L - 1]
    law = params.lead_time_law
    if law is None:
        return jnp.repeat(jnp.moveaxis(due, 0, BATCH), count, BATCH)
    shape = {"lead_time": (env.topology.edges, slots)}
    uniforms = draw_uniforms(key_of(key, Role.FUTURES), 0, shape, (count,))["lead_time"]

    def one(cdf, due, quoted):
        """cdf `[L, E]`, due `[E, L - 1]`, quoted `[E]`."""
        below = jnp.take(
            cdf, jnp.minimum(least - 1, cdf.shape[0] - 1), 0
        ).T  # [E, L - 1]: here already by then
        drawn = below[..., None] + uniforms * (1.0 - below[..., None])  # [E, L - 1, P]
        lead = jnp.maximum(
            jnp.sum(drawn[None] >= cdf.reshape(cdf.shape[0], -1, 1, 1), 0), least[:, None]
        )
        lead = jnp.minimum(lead, env.topology.max_lead_time)
        own = jnp.abs(due - jnp.maximum(jnp.round(quoted)[:, None], least)) > 0.5
        return jnp.where(own[..., None], due[..., None], lead.astype(due.dtype))

    found = jax.vmap(one, out_axes=-2)(law.cdf[:, 0], due, params.lead_time)
    return found.reshape(env.topology.edges, slots, -1)
