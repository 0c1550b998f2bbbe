"""Transshipment between equals: what one location can spare goes to another that is short (Xu,
Evers & Fu 2003).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError
from jaxinv.policies.rule import of_supply
from jaxinv.policies.rules import EchelonBaseStock


@dataclass(frozen=True)
class Transshipment(EchelonBaseStock):
    """Base-stock from suppliers, and transfers with hold-back levels between equals.

    Along a lateral edge a location is sent what its stock, with what arrives as soon as a transfer,
    lacks of the `level` of that edge, but of the stock of the other no more than lies above the
    `hold` of that edge. A location shares among several that are short, and one that is short among
    several that can spare, in proportion to what each could have by itself. All other edges are
    then ordered on up to their `level`, transfers counted. The `hold` of an edge that is not
    lateral has no meaning. Levels are multiples of demand over the coverage of an order at its end,
    `hold` over as long at its beginning.
    """

    name = "transshipment"
    ranges = {"level": (0.0, 4.0), "hold": (0.0, 4.0)}
    levels = EchelonBaseStock.levels | {"hold"}

    @classmethod
    def applies(cls, problem):
        return bool(problem.env.topology.transfers)

    def __post_init__(self):
        super().__post_init__()
        if not self.topology.transfers:
            raise UserError(
                f"{self.name} needs lateral edges between nodes that hold stock, as in"
                " two_warehouses; try base_stock"
            )

    def natural(self, params, facts):
        return super().natural(params, facts) | {
            "hold": params["hold"] * self._at_source(self.level_unit(facts), facts)
        }

    def act(self, params, observation, context):
        topology, unit = self.topology, self.units(params, observation, context).level
        target, position = params["level"] * unit, self.position(observation)
        hold = params["hold"] * self._at_source(unit, observation.instance)
        sent = transfers(topology, observation, jnp.maximum(target - position, 0.0), hold)
        moved = topology.into_nodes(sent) - topology.out_of_nodes(sent)
        late = jnp.tensordot(_later(topology, observation), sent, axes=1, precision="highest")
        position = position + topology.at_destination(views.echelon_sum(topology, moved)) - late
        return sent + self.fill(observation, target, position)

    def _at_source(self, level: jax.Array, facts: Facts) -> jax.Array:
        """The unit of levels at the beginning of each lateral edge `[E, K]`, from that at its end;
        of other edges, that itself.
        """
        topology, cover = self.topology, self.coverage(facts)[:, None]
        entry = [
            topology.destinations.index(node) if node in topology.destinations else 0
            for node in range(topology.nodes)
        ]
        flow = (level / cover)[np.asarray(entry)]  # [N, K] demand a period that passes each node
        return of_supply(topology, level, topology.at_source(flow) * cover)


def transfers(
    topology: Topology, observation: Observation, lacking: jax.Array, hold: jax.Array
) -> jax.Array:
    """What goes along each lateral edge `[E, K]`, zero along others.

    Args:
      lacking: `[E, K]` what the end of each edge is short of.
      hold: `[E, K]` what its beginning keeps.
    """
    stock = topology.at_source(views.net_inventory(topology, observation))
    spare = of_supply(topology, 0.0, jnp.maximum(stock - hold, 0.0))
    if topology.storeless:
        spare = jnp.where(topology.fulfilment[:, None], 0.0, spare)
    wanted = jnp.minimum(of_supply(topology, 0.0, lacking), spare)
    sources, ends = np.asarray(topology.sources), np.asarray(topology.destinations)
    sent = wanted * _part(spare, wanted, np.equal.outer(sources, sources))
    return sent * _part(lacking, sent, np.equal.outer(ends, ends))


def _part(most: jax.Array, wanted: jax.Array, rivals: np.ndarray) -> jax.Array:
    """The share of what is wanted on each edge that its rivals, itself among them, leave to it
    `[E, K]`, so that all together get no more than the most that one of them may have."""
    total = jnp.tensordot(rivals.astype(np.float32), wanted, axes=1, precision="highest")
    bound = jnp.max(jnp.where(rivals[..., None] & (wanted > 0)[None], most[None], 0.0), 1)
    return jnp.where(total > bound, bound / jnp.where(total > 0, total, 1.0), 1.0)


def _later(topology: Topology, observation: Observation) -> np.ndarray | jax.Array:
    """`[E, E]`, 1 where the column's lateral edge enters the same node and what goes along it now
    comes later.
    """
    lead = views.known_lead_times(topology, observation)
    lateral = np.isin(np.arange(topology.edges), topology.lateral)
    same = np.equal.outer(topology.destinations, topology.destinations) & lateral
    return 1.0 * (same & (lead[None, :] > lead[:, None]))
