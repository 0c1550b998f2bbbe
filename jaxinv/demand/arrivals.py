"""How much of a shipment arrives: orders that are lost, yields that are random and deliveries in
part are one thing.

The share is nature's, drawn when the order is placed, and known to the planner when it is due.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.demand.exogenous import Shapes
from jaxinv.errors import UserError


@struct.dataclass
class ArrivalLaw:
    """Numbers of `Arrivals`."""

    shares: jax.Array  # [M, E] shares of a shipment that may arrive, rising
    cdf: jax.Array  # [M - 1, E] probability of at most each of them, the last aside

    @classmethod
    def of(cls, edges: dict[int, dict[float, float]], count: int) -> "ArrivalLaw":
        """The law of a network of `count` edges: by edge the shares that may arrive and the
        probability of each; all of a shipment arrives on edges that are not named.

        Raises:
          UserError: a share or a probability outside 0..1, or probabilities that do not sum to 1.
        """
        for edge, law in edges.items():
            check_shares(tuple(law), tuple(law.values()), f"edge {edge}")
        longest = max((len(law) for law in edges.values()), default=1)
        shares, mass = np.ones((longest, count)), np.zeros((longest, count))
        mass[-1] = 1.0
        for edge, law in edges.items():
            known = sorted(law.items())
            shares[:, edge], mass[:, edge] = (
                known[-1][0],
                0.0,
            )  # the law is filled up at its end, with what has no mass
            shares[: len(known), edge], mass[: len(known), edge] = zip(*known)
        cdf = np.cumsum(mass, 0)[:-1]
        cdf[cdf > 1.0 - 1e-9] = 1.0
        return cls(shares.astype(np.float32), cdf.astype(np.float32))

    def mean(self) -> jax.Array:
        """The mean share of a shipment that arrives on each edge `[E]`."""
        return self.shares[0] + jnp.sum((1.0 - self.cdf) * jnp.diff(self.shares, axis=0), 0)

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        """All that can arrive of the shipments that are due at once: shares `[S, E]` and the
        probability of each `[S]`.
        """
        shares, cdf = np.asarray(self.shares, float), np.asarray(self.cdf, float)
        mass = np.diff(cdf, axis=0, prepend=0.0, append=1.0)
        possible = [np.flatnonzero(column > 0) for column in mass.T]
        chosen = np.array(list(itertools.product(*possible)))  # [S, E]
        edges = np.arange(shares.shape[1])
        return shares[chosen, edges], np.prod(mass[chosen, edges], 1)


@dataclass(frozen=True)
class Arrivals:
    """The share of each shipment that arrives, independent of all else; the numbers are
    `params.arrival_law`.

    Monotone in the uniforms of "arrival".
    """

    edges: int

    @property
    def noise(self) -> Shapes:
        return {"arrival": (self.edges,)}

    def shares(self, uniforms: dict[str, jax.Array], params: Any) -> jax.Array:
        """Shares `[E]` of the shipments of a period, of the whole `InstanceParams`."""
        law: ArrivalLaw = params.arrival_law
        reached = jnp.sum(uniforms["arrival"] >= law.cdf, 0)
        return jnp.sum(
            jnp.where(jnp.arange(len(law.shares))[:, None] == reached, law.shares, 0.0), 0
        )


def check_shares(shares: tuple[float, ...], mass: tuple[float, ...], where: str) -> None:
    """Refuses what is no law of arrivals.

    Raises:
      UserError: it names the share or the probability.
    """
    if not shares or len(shares) != len(mass):
        raise UserError(
            f"{where}: {len(shares)} shares that may arrive and {len(mass)} probabilities; give one"
            " of each"
        )
    for value in shares:
        if not 0 <= value <= 1:
            raise UserError(f"{where}: a share of {value} cannot arrive; it must lie in 0..1")
    if len(set(shares)) < len(shares):
        raise UserError(
            f"{where}: the shares {tuple(shares)} hold one twice; add its probabilities up"
        )
    for value in mass:
        if not 0 <= value <= 1:
            raise UserError(f"{where}: {value} is not a probability; it must lie in 0..1")
    if abs(sum(mass) - 1) > 1e-6:
        raise UserError(
            f"{where}: the probabilities of what arrives sum to {sum(mass):g}, and must sum to 1"
        )
