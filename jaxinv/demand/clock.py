"""Time as a signal: where in a season the coming period lies, and what is left of an episode."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxinv.demand.signals import CALENDAR, Signal
from jaxinv.errors import UserError, unknown

TELLS = ("season(PERIODS)", "left")


@dataclass(frozen=True)
class Clock:
    """What policies are told of the time. Periods are counted from the first decision on.

    Attributes:
      history: periods that are played before it.
      season: periods of a season, of whose turn the sine and cosine are told; 0 for none.
      horizon: periods of an episode, of which the share that is left is told; 0 for none.
    """

    history: int
    season: float = 0.0
    horizon: int = 0

    @classmethod
    def of(cls, tell: Iterable[str], horizon: int, history: int) -> "Clock | None":
        """A clock from words such as "season(7)" and "left"; None where nothing is told.

        Raises:
          UserError: for another word, or a season without length.
        """
        season, left = 0.0, 0
        for word in tell:
            found = re.fullmatch(r"season\((.*)\)", word.replace(" ", ""))
            if word == "left":
                left = horizon
            elif found:
                season = _length(word, found[1])
            else:
                raise unknown("word in tell", word, TELLS)
        return cls(history, season, left) if season or left else None

    @property
    def told(self) -> tuple[Signal, ...]:
        """A `Signal` for each column of `known`."""
        turns = (
            [Signal("time sine", owner=CALENDAR), Signal("time cosine", owner=CALENDAR)]
            if self.season
            else []
        )
        return (
            *turns,
            *([Signal("time left", "share of the episode", CALENDAR)] if self.horizon else []),
        )

    def known(self, period: jax.Array) -> jax.Array:
        """The columns `[C]` of a period, counted from the first that was played."""
        time, found = period - self.history, []
        if self.season:
            turn = 2 * jnp.pi * (time % self.season) / self.season
            found += [jnp.sin(turn), jnp.cos(turn)]
        if self.horizon:
            found += [jnp.clip(1.0 - time / self.horizon, 0.0, 1.0)]
        return jnp.stack(found)


def _length(word, text):
    try:
        length = float(text)
    except ValueError:
        length = 0.0
    if not 1 < length < float("inf"):
        raise UserError(f"tell={word}: a season has a number of periods above 1, such as season(7)")
    return length
