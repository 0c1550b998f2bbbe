"""How long the goods of a plan keep, in periods of its world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxinv.data.plan import Plan

LONGEST = 60
"""Periods from which on goods count as keeping for ever.

Every period of life is a class of stock in every state. Order lists look no further ahead than
this, and an order that lasts longer is told as a surplus whether it spoils or not.
"""


@dataclass(frozen=True, eq=False)
class ShelfLives:
    """What the shelf lives of items are in the world.

    Attributes:
      periods: in which a unit of each instance can be sold, the one it arrives in included, 0 where
        it keeps for ever `[S]`.
      longest: of any item, so that the world does not depend on which of them are sold; 0 where
        nothing spoils.
      notes: what is said of them.
    """

    periods: np.ndarray
    longest: int
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls, plan: Plan, skus: Sequence[str], days: float, period: str, apart: bool, longest: int
    ) -> "ShelfLives":
        """Those of a plan.

        Args:
          skus: of each instance. days, period: of a period, and what it is called.
          apart: whether each instance is a store of its own.
          longest: that a run has found before; 0 to look.
        """
        told = plan.full_items["shelf_life"]
        if not apart:
            return cls(np.zeros(len(skus)), 0, _ONLY_WATCHED if told.notna().any() else ())
        whole = np.maximum(np.floor(told / days + 1e-9), 1.0)
        lives = whole.where(whole <= LONGEST, 0.0)
        longest = longest or int(lives.max())
        own = np.minimum(lives.reindex(skus).to_numpy(float), longest)
        spoil = own > 0
        if not spoil.any():
            return cls(own, longest, ())
        few, most = int(own[spoil].min()), int(own[spoil].max())
        span = f"{few}" if few == most else f"{few} to {most}"
        said = [
            (
                f"{spoil.sum():,} of {len(own):,} series spoil: what is not sold within {span}"
                f" {period}{'s' * (most > 1)} from its arrival is wasted, and costs what it takes"
                " to buy and to bring it; the oldest is sold first"
            ),
            "no file says how old the stock of today is: it is taken to be of all ages alike",
        ]
        if (told.reindex(skus) < days * (1 - 1e-9)).any():
            said.append(f"shelf lives below a {period} count as one {period}")
        return cls(own, longest, tuple(said))


_ONLY_WATCHED = (
    (
        "shelf_life is only watched in the order list (may spoil): goods that locations send each"
        " other have no age in the simulator, so no policy knows that they spoil"
    ),
)
