"""Told numbers as arrays: those of a place as rows, and the rows of all places as a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxinv.envs.words import EDGE, Number
from jaxinv.errors import UserError


@dataclass(frozen=True)
class Arrays:
    """The axes of what is told of a network.

    Attributes:
      products: their names.
      instances: number of instances, which come first; None where there is one, without an axis.
    """

    products: tuple[str, ...]
    instances: int | None = None

    @property
    def batch(self) -> tuple[int, ...]:
        return () if self.instances is None else (self.instances,)

    def row(self, number: Number, name: str, where: str, value: Any) -> np.ndarray:
        """A checked value as `[*instances, K]`, or `[*instances]` where products cannot differ.

        Raises:
          UserError: no number, out of bounds, or of another shape.
        """
        if isinstance(value, Mapping):
            if set(value) != set(self.products):
                told, known = ", ".join(map(str, value)), ", ".join(self.products)
                raise UserError(f"{where}: {name} names {told}; the products are {known}")
            by_product = [value[product] for product in self.products]
            value = [by_product] if self.batch else by_product
        numbers = number.check(name, where, value)
        if number.per_product and self.batch and numbers.ndim == 1:
            numbers = numbers[:, None]
        shape = (*self.batch, len(self.products)) if number.per_product else self.batch
        try:
            return np.broadcast_to(numbers, shape)
        except ValueError:
            raise UserError(
                f"{where}: {name} has shape {numbers.shape}, and {shape} or one number is wanted"
            ) from None

    def table(
        self,
        places: Sequence[Mapping[str, Any]],
        words: Mapping[str, Number],
        name: str,
        default: Any = None,
    ) -> np.ndarray:
        """An argument of all places: `[*instances, places, K]`, or without products.

        Args:
          words: the arguments of such a place, by name.
          default: what places have that were told none, in the same shape; else that of the number.
        """
        number = words[name]
        if default is None:
            plain = self.row(number, name, "", number.default)
            return stack([spec.get(name, plain) for spec in places], number)
        rows = [spec.get(name, default[..., place, :]) for place, spec in enumerate(places)]
        return stack(rows, number)

    def tariff(self, edges: Sequence[Mapping[str, Any]], tiers: int) -> dict[str, np.ndarray]:
        """Breaks and rates `[*instances, E, B]`; a tariff with fewer tiers has the others start at
        infinity."""
        shape = (*self.batch, len(edges), tiers)
        breaks, rates = np.full(shape, np.inf), np.zeros(shape)
        breaks[..., 0] = 0.0
        for number, spec in enumerate(edges):
            start = np.asarray(spec.get("freight_from_units", ()), float)
            breaks[..., number, : start.shape[-1]] = start
            rate = np.asarray(spec.get("freight_rate_per_unit", ()), float)
            rates[..., number, : start.shape[-1]] = rate
        name = "freight_cost_per_shipment"
        return {
            "freight_fixed": self.table(edges, EDGE, name),
            "freight_breaks": breaks.astype(np.float32),
            "freight_rates": rates.astype(np.float32),
        }

    def order_days(self, edges: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """The calendar of order days `[*instances, W, E]`, and the mean of periods between them
        `[*instances, E]`.

        W is the shortest cycle in which those of all edges repeat. Where an instance has no order
        day at all on an edge, it has a whole cycle between them.
        """
        cycles = [np.asarray(spec.get("order_cycle", (1,)), np.float32) for spec in edges]
        length = math.lcm(*(cycle.shape[-1] for cycle in cycles))
        repeated = [np.tile(cycle, length // cycle.shape[-1]) for cycle in cycles]
        open = np.stack([np.broadcast_to(cycle, (*self.batch, length)) for cycle in repeated], -1)
        return {"order_days": open, "review_period": length / np.maximum(open.sum(-2), 1.0)}

    def copies(self, law: Any) -> Any:
        """A law of one instance for all of them."""
        if self.instances is None:
            return law
        return jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], self.instances, 0), law)


def stack(rows: Sequence[np.ndarray], number: Number) -> np.ndarray:
    """The rows of places as a table."""
    return np.stack(rows, -2 if number.per_product else -1).astype(np.float32)
