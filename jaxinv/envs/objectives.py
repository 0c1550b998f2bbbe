"""Objectives, which are groups of cost parts, and preferences among them, which are factors on an
instance's own weights.

A preference is a share of each objective `[G]`, on the simplex. The cost parts of objective g are
charged G * share_g times their own weight, so equal shares are the instance as it is, and no unit
of money or demand enters.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.exogenous import draw_uniforms
from jaxinv.envs.network import COSTS, InstanceParams
from jaxinv.envs.problem import charged_costs
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown

OBJECTIVES = {
    "stock": ("holding", "expiry", "overflow"),
    "service": ("shortage", "revenue"),
    "flow": ("ordering", "transport", "duty", "returns", "loss"),
}
"""Cost parts of each objective; a network has those objectives that it charges a part of."""


def objectives_of(topology: Topology) -> tuple[str, ...]:
    """Names of the G objectives of a network."""
    charged = set(charged_costs(topology))
    return tuple(name for name, parts in OBJECTIVES.items() if charged & set(parts))


def membership(topology: Topology) -> np.ndarray:
    """Which cost parts belong to which objective: `[G, len(COSTS)]` of 0 and 1."""
    rows = [[part in OBJECTIVES[name] for part in COSTS] for name in objectives_of(topology)]
    return np.asarray(rows, np.float32)


def shares(topology: Topology, wanted: Mapping[str, float]) -> np.ndarray:
    """The preference `[G]` that gives objectives some weights relative to their own; 1 where not
    given.

    Raises:
      UserError: an objective that the network does not have, a weight below 0, or no weight above
        it.
    """
    names = objectives_of(topology)
    for name, weight in wanted.items():
        if name not in names:
            raise unknown("objective in preference", name, names)
        if not (np.isfinite(weight) and weight >= 0):
            raise UserError(f"preference.{name}={weight} must be a number of at least 0")
    weights = np.asarray([wanted.get(name, 1.0) for name in names], float)
    if not weights.any():
        raise UserError(f"the preference is all zero; make one of {', '.join(names)} positive")
    return weights / weights.sum()


def factors(topology: Topology, shares: jax.Array) -> jax.Array:
    """Factors on the weights `[len(COSTS), ...]` of a preference `[G, ...]`; 0 on what the network
    has no objective for.
    """
    groups = membership(topology)
    return jnp.tensordot(
        groups.T, len(groups) * jnp.asarray(shares, jnp.float32), axes=1, precision="highest"
    )


def prefer(params: InstanceParams, factors: jax.Array) -> InstanceParams:
    """An instance that is charged by a preference, and whose policy is told so; both
    `[len(COSTS), ...]`.
    """
    return params.replace(weights=params.weights * factors, preference=factors)


def draw_preferences(topology: Topology, key: jax.Array, batch: int) -> jax.Array:
    """Factors `[len(COSTS), B]` of preferences that are uniform on the simplex, Dirichlet(1, ...,
    1) (methods D.2).
    """
    uniforms = draw_uniforms(key, 0, {"preference": (len(objectives_of(topology)),)}, (batch,))[
        "preference"
    ]
    exponential = jnp.maximum(-jnp.log1p(-uniforms), 1e-6)
    return factors(topology, exponential / exponential.sum(0))


def objective_costs(topology: Topology, weights, costs) -> np.ndarray:
    """The cost of each objective `[G, B]` at an instance's own weights `[len(COSTS)]` or
    `[B, len(COSTS)]`, of its cost vectors `[len(COSTS), B]`."""
    weights = np.asarray(weights, float)
    return membership(topology) @ (
        np.reshape(weights.T, (len(COSTS), -1)) * np.asarray(costs, float)
    )
