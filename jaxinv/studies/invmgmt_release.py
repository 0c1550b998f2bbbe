"""The published results of gym-invmgmt's benchmark, read from a folder of its release.

The folder is `results` of the repository r2barati/gym-invmgmt-paper: the profit of every agent on
every seed (`cache_v2/bench_AGENT.csv`), and the window of M5 (`m5_window_metadata.json`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.errors import UserError
from jaxinv.studies.invmgmt_scenarios import PERIODS, SEEDS, Scenario

ORACLE = "Oracle"
INFORMED, BLIND = "MSSP-I", "MSSP"
"""Stochastic programming that is told the law of demand, and that is not."""

RULES = {
    *("EchelonApprox", "ExpSmoothing", "Newsvendor", "s,S"),
    *("EchelonApprox-I", "ExpSmoothing-I", "Newsvendor-I", "s,S-I"),
}
PLANS = {INFORMED, BLIND, "DLP", "DLP-I"}
"""The other agents but the oracle are learners."""


@dataclass(frozen=True)
class Release:
    """Published profits by agent, scenario and seed.

    Attributes:
      profits: `[seeds]` by (agent, key of the scenario).
      seconds: mean of an episode by the same.
      window: of M5, `[T]`.
    """

    profits: dict[tuple[str, str], np.ndarray]
    seconds: dict[tuple[str, str], float]
    window: tuple[float, ...]

    def of(self, agent: str, scenarios: Sequence[Scenario]) -> np.ndarray:
        """Profits `[scenarios, seeds]`."""
        return np.stack([self.profits[agent, scenario.key] for scenario in scenarios])

    def whole(self, scenarios: Sequence[Scenario]) -> list[str]:
        """Agents that played all of some scenarios."""
        agents = {agent for agent, _ in self.profits}
        return sorted(
            agent
            for agent in agents
            if all((agent, scenario.key) in self.profits for scenario in scenarios)
        )


def read(folder: str | Path) -> Release:
    """The release in a folder.

    Raises:
      UserError: it is not there, or lacks something.
    """
    folder = Path(folder)
    files = sorted((folder / "cache_v2").glob("bench_*.csv"))
    if not any(file.stem == f"bench_{ORACLE}" for file in files):
        raise UserError(
            f"{folder} has no cache_v2/bench_{ORACLE}.csv; give the folder `results` of a copy of"
            " github.com/r2barati/gym-invmgmt-paper"
        )
    profits, seconds = {}, {}
    for file in files:
        agent, table = file.stem.removeprefix("bench_"), _table(file)
        for key, rows in table.groupby("ScenarioKey"):
            found = rows.drop_duplicates("Seed").set_index("Seed").reindex(list(SEEDS))
            if found["Profit"].notna().all():
                profits[agent, str(key)] = found["Profit"].to_numpy(float)
                seconds[agent, str(key)] = float(found["Latency"].mean())
    return Release(profits, seconds, _window(folder / "m5_window_metadata.json"))


def _table(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as CSV: {error}") from None
    lacking = [name for name in ("ScenarioKey", "Seed", "Profit", "Latency") if name not in table]
    if lacking:
        raise UserError(f"{file} has no column {lacking[0]}; take the file as it was published")
    return table


def _window(file: Path) -> tuple[float, ...]:
    try:
        window = tuple(float(value) for value in json.loads(file.read_text())["scaled_series"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} has no window of M5 ({error}); take it as published") from None
    if len(window) != PERIODS:
        raise UserError(f"{file}: a window of {len(window)} periods; episodes have {PERIODS}")
    return window
