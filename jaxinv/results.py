"""What `jaxinv.fit`, `compare`, `tuned` and `load_run` give: small objects with tables (`.table`)
and with policies that order for numbers of one's own (`jaxinv.policies.decider`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.ending import told
from jaxinv.envs import flat
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, called
from jaxinv.evaluation.compare import Evaluation
from jaxinv.evaluation.tuning import Tuned
from jaxinv.evidence import verdict
from jaxinv.experiment import Experiment
from jaxinv.policies.decider import Decider
from jaxinv.report.by_sku import FILE as BY_SKU
from jaxinv.report.by_sku import TEXT, sku_table
from jaxinv.runs import Run
from jaxinv.sheets import read_table


@dataclass(frozen=True, repr=False)
class Comparison:
    """Policies that were judged on the same held-out demand.

    Attributes:
      rows: one mapping a policy, as in the document of `evaluate --json`.
      judged: what each of them did.
    """

    rows: list[dict[str, Any]]
    judged: tuple[Evaluation, ...] = field(default=(), kw_only=True)

    @property
    def by_sku(self) -> pd.DataFrame:
        """A row a series and policy or rule, of problems whose series have names: costs, service,
        stock and orders a period, see `jaxinv.report.by_sku.sku_table`."""
        return sku_table(self.judged)

    @property
    def table(self) -> pd.DataFrame:
        """A row a policy: its `cost` a period, what it differs by from the best tuned rule, each
        with the ends of its 95% interval in `_low` and `_high`, service, and its cost parts as
        `parts.NAME`."""
        return pd.DataFrame([dict(_columns(row)) for row in self.rows]).set_index("policy")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(str(row['policy']) for row in self.rows)})"

    @property
    def verdict(self) -> str:
        """What the first row's comparison with the best rule says, in a sentence."""
        return verdict(self.rows)


@dataclass(frozen=True, eq=False, repr=False)
class Fitted(Comparison):
    """A trained run.

    Attributes:
      run: its folder.
      experiment: its resolved configuration (`.config`) and what that makes (`.problem`).
      policies: what it learned, by name: one, or one a seed and point of a sweep.
    """

    run: Run
    experiment: Experiment
    policies: dict[str, Decider]

    @property
    def by_sku(self) -> pd.DataFrame:
        """As of every comparison, from the `by_sku.csv` of the run.

        Raises:
          UserError: the run has none: its series have no names, or it was trained before there was
            one.
        """
        path = self.run.path / BY_SKU
        if not path.exists():
            raise UserError(
                f"{path}: no such file; make it with: {called('train')} --resume {self.run.name}"
            )
        return read_table(path, TEXT)

    @property
    def verdict(self) -> str:
        """As of every comparison, and what the run ended with where that was chosen
        (`jaxinv.ending`)."""
        ending = self.run.ending()
        return ". ".join([super().verdict, *([told(ending)] if ending else [])])

    @property
    def policy(self) -> Decider:
        """The learned policy; of several, that which costs least in the evaluation of the run."""
        order = [row["policy"] for row in sorted(self.rows, key=lambda row: row["cost"])]
        names = [
            self.experiment.config.agent + name.removeprefix(self.run.name)
            for name in self.policies
        ]
        best = min(range(len(names)), key=lambda number: _place(order, names[number]))
        return list(self.policies.values())[best]


@dataclass(frozen=True, eq=False, repr=False)
class TunedRules(Mapping[str, Tuned]):
    """Rules tuned on the training demand of a problem, by name."""

    problem: Problem
    rules: dict[str, Tuned]

    def __getitem__(self, name: str) -> Tuned:
        return self.rules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def __repr__(self) -> str:
        return f"TunedRules({', '.join(self.rules)} on {self.problem.env.name})"

    @property
    def policies(self) -> dict[str, Decider]:
        return {
            name: Decider(name, self.problem, one.rule, one.params, one.policy_axis)
            for name, one in self.rules.items()
        }

    @property
    def documents(self) -> list[dict[str, Any]]:
        """For each rule the document of `tune --json`; parameters in product units."""
        edges = flat.labels(self.problem.env.topology, "edge")
        return [
            {
                "rule": name,
                "parameters": {
                    key: np.asarray(value).tolist()
                    for key, value in one.natural(self.problem).items()
                },
                "cost": one.cost,
                "cost_interval": list(one.cost_interval),
                "simulated_periods": one.simulated_periods,
                "at_end": one.at_end,
                "edges": edges,
                "instances": list(self.problem.labels),
            }
            for name, one in self.rules.items()
        ]

    @property
    def table(self) -> pd.DataFrame:
        """A row a rule: cost a period on training demand with the ends of its 95% interval, and its
        parameters in units, a mean over instances, as `NAME` or `NAME[EDGE]`."""
        rows = []
        for document in self.documents:
            low, high = document["cost_interval"]
            row = {
                "rule": document["rule"],
                "cost": document["cost"],
                "cost_low": low,
                "cost_high": high,
            }
            for name, value in document["parameters"].items():
                row |= _by_edge(name, np.asarray(value), document["edges"])
            rows.append(row)
        return pd.DataFrame(rows).set_index("rule")


def _columns(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if key.endswith("_interval"):
            low, high = value or (float("nan"), float("nan"))
            yield from (
                (key.replace("_interval", "_low"), low),
                (key.replace("_interval", "_high"), high),
            )
        elif isinstance(value, Mapping):
            yield from ((f"{key}.{name}", entry) for name, entry in _columns(value))
        else:
            yield key, float("nan") if value is None else value


def _by_edge(name: str, value: np.ndarray, edges: Sequence[str]) -> dict[str, float]:
    """A parameter `[E, K, ...]`, or of other shape, as columns."""
    if value.ndim < 2 or len(value) != len(edges) or len(edges) == 1:
        return {name: float(value.mean())}
    return {f"{name}[{edge}]": float(row.mean()) for edge, row in zip(edges, value)}


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)
