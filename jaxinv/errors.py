"""Mistakes a user can make, told in one message.

Commands catch `UserError`, print its text and end with exit code 2; library callers see an ordinary
`ValueError`.
"""

import difflib
import sys
from collections.abc import Iterable
from pathlib import Path

MANY, FEW = 16, 5
"""Names that are not all listed where none is near, and how many of them are then named."""


class UserError(ValueError):
    """A mistake in what the user gave: the message names the place and the fix."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest one that does.

    Args:
      kind: what the name stands for, such as "preset" or "key".
      name: what the user wrote.
      known: every right name.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif len(known) > MANY:
        hint = (
            f"of {len(known)} the nearest are"
            f" {', '.join(difflib.get_close_matches(name, known, n=FEW, cutoff=0.0))}"
        )
    else:
        hint = f"known: {', '.join(known)}"
    return UserError(f"unknown {kind} {name!r}; {hint}")


def called(command: str) -> str:
    """A command as it has to be typed: `jaxinv train` by those who have come through the console
    script, `python -m jaxinv.train` by all others, who may have none on their path.
    """
    return (
        f"jaxinv {command}" if Path(sys.argv[0]).stem == "jaxinv" else f"python -m jaxinv.{command}"
    )
