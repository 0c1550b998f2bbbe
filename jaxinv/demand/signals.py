"""The columns of what a policy may know of a world: each has a name, a unit and an owner."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jaxinv.errors import UserError, unknown

CALENDAR = "calendar"
"""Owner of what comes as it always does and announces nothing, such as the sine of the weekday."""

WORLD = "world"
"""Owner of what all may know."""


@dataclass(frozen=True)
class Signal:
    """One column.

    Attributes:
      name: such as "promotion", or "promotion[store 1]" once the owner is a node.
      unit: what it is counted in; empty for a pure number.
      owner: who knows it first: the name of a node, `CALENDAR`, `WORLD`; in a demand process the
        number of a location, which the network that it is in has a name for.
    """

    name: str
    unit: str = ""
    owner: str | int = WORLD

    def at(self, places: Sequence[str]) -> "Signal":
        """The same with its owner by name, one of `places` by location."""
        if not isinstance(self.owner, int):
            return self
        place = places[self.owner]
        return Signal(f"{self.name}[{place}]", self.unit, place)


def check_unique_names(signals: Iterable[Signal]) -> None:
    """Refuses signals of which two have one name."""
    names = [signal.name for signal in signals]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two signals are called {name!r}; give each a name of its own")


def columns_of(signals: Sequence[Signal], wanted: Iterable[str]) -> tuple[int, ...]:
    """Columns of the signals that are wanted, rising.

    Args:
      wanted: whole names, beginnings before the bracket ("demand" for demand everywhere), or "@"
        and an owner.

    Raises:
      UserError: for a name that no signal has.
    """
    known: dict[str, list[int]] = {}
    for column, signal in enumerate(signals):
        for name in {signal.name, signal.name.partition("[")[0], f"@{signal.owner}"}:
            known.setdefault(name, []).append(column)
    for name in wanted:
        if name not in known:
            raise unknown("signal", name, known)
    return tuple(sorted({column for name in wanted for column in known[name]}))
