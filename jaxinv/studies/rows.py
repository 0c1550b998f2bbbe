"""Rows of a study: a claim, the number that it is compared with beside ours, and whether it
holds.
"""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

from jaxinv.evaluation.statistics import Estimate

RESERVED_SEED = 1001
"""Of trainings and figures whose settings were chosen with other seeds, so that nothing is told of
what it was chosen on.
"""

VERDICTS = {None: "measured", True: "holds", False: "fails"}


def row(
    claim: str, ours: Estimate | float, *, holds: bool | None = None,
    reference: float | None = None, verdict: str = "",
    note: str = "", source: str = "",
) -> dict[str, Any]:  # fmt: skip
    """A row of what `python -m jaxinv.reproduce` prints.

    Args:
      ours: with its interval, where it has one, and what that is over (`interval_over`).
      holds: None where a number is only told.
      reference: what it is compared with: the number in print, or a bar. `paper` in the row.
      verdict: in words, where it is not one of `VERDICTS`.
      note: how it was measured. source: where the claim is made.
    """
    value, low, high, over = (
        ours if isinstance(ours, Estimate) else Estimate(float(ours), math.nan, math.nan)
    )
    holds = None if holds is None else bool(holds)
    ends = [None if math.isnan(end) else float(end) for end in (low, high)]
    return {
        "claim": claim,
        "paper": None if reference is None else float(reference),
        "ours": float(value),
        "interval": None if ends == [None, None] else ends,
        "interval_over": None if ends == [None, None] else over or None,
        "holds": holds,
        "verdict": verdict or VERDICTS[holds],
        "note": note,
        "source": source,
    }


def timed(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows with the `seconds` since the one before."""
    began = time.monotonic()
    for found in rows:
        yield {**found, "seconds": time.monotonic() - began}
        began = time.monotonic()
