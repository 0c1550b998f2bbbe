"""The small sales files that went wrong once (`make_cases.py`, which lies beside the data), by
name.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

MAKER = Path(__file__).parents[2] / "shared/cases/make_cases.py"


def case(name: str, folder: Path, seed: int | None = None) -> Path:
    """The path of the file of that name, written into a folder; skips the test where the maker is
    not there.

    Args:
      seed: of another draw of the same kind; None for the file as the maker's own command writes
        it.
    """
    if not MAKER.exists():
        pytest.skip(f"{MAKER.name} is not here")
    spec = importlib.util.spec_from_file_location("make_cases", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make, _ = module.CASES[name]
    made = make(np.random.default_rng(list(module.CASES).index(name) if seed is None else seed))
    path = folder / f"{name}.csv"
    path.write_text(made if isinstance(made, str) else made.to_csv(index=False))
    return path
