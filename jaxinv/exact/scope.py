"""What a closed form says something about: refuses other networks, and reads the costs of an
instance.
"""

import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import COSTS, InstanceParams
from jaxinv.errors import UserError


def require(
    env: InventoryNetwork, what: str, mechanisms: set[str], backlog: bool | None = None
) -> None:
    """Refuses a network that a closed form says nothing about.

    Args:
      what: the closed form, for the message.
      mechanisms: those it knows.
      backlog: what it asks for; None where lost sales are fine too.
    """
    topology = env.topology
    strange = sorted(topology.mechanisms - mechanisms)
    if strange:
        raise UserError(f"{what} does not know {', '.join(strange)}, which {env.name} has")
    if backlog is not None and topology.backlog != backlog:
        raise UserError(
            f"{what} is for {'backlog' if backlog else 'lost sales'}, and {env.name} has the other"
        )
    if topology.lead_times is None or topology.ages > 1 or topology.return_lags:
        raise UserError(f"{what} is for fixed lead times, without ageing or returns")
    if topology.advance_nodes:
        raise UserError(f"{what} does not know customers who order ahead, which {env.name} has")
    if topology.products > 1:
        raise UserError(f"{what} is for one product, and {env.name} has {topology.products}")


def require_store(
    env: InventoryNetwork, what: str, mechanisms: set[str], backlog: bool | None = None
) -> None:
    """As `require`, for one store with one supplier."""
    if env.topology.nodes > 1 or env.topology.edges > 1:
        raise UserError(f"{what} is for one store with one supplier, and {env.name} has more")
    require(env, what, mechanisms, backlog)


def weighted(params: InstanceParams, part: str, field: str) -> np.ndarray:
    """A cost of one product by node or edge, `[N]` or `[E]`, times the weight of its part in the
    reward.
    """
    return (
        float(np.asarray(params.weights)[COSTS.index(part)])
        * np.asarray(getattr(params, field), float)[:, 0]
    )
