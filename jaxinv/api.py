"""What the commands do, as functions: `jaxinv.fit`, `compare`, `tuned` and `load_run`.

Options are those of the command line under the same names, such as `lead_time=4` or `updates=200`;
a section takes a mapping, as in `evaluation={"paths": 64}`. Results are small objects with tables
(`.table`) and with policies that order for one's own numbers (`jaxinv.policies.decider`). Times are
periods, quantities product units, costs money a period.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax

_BEFORE = jax.live_arrays()  # of the caller; what comes with the imports that follow is nobody's

# ruff: noqa: E402
import numpy as np
import pandas as pd

from jaxinv import training
from jaxinv.choices import check_choices, run_among_rules
from jaxinv.cli import many_runs
from jaxinv.ending import told
from jaxinv.envs import flat
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.compare import Contestant, Judged
from jaxinv.evaluation.tuning import Tuned, tune
from jaxinv.evidence import (
    Contest,
    Watch,
    check_rules,
    judge_all,
    verdict,
    with_rows,
    with_wanted_points,
)
from jaxinv.experiment import Experiment, trained_policies
from jaxinv.keys import root
from jaxinv.limits import check_seed
from jaxinv.policies.decider import Decider
from jaxinv.policies.registry import RULES
from jaxinv.policies.rules import rule_for
from jaxinv.report.by_sku import FILE as BY_SKU
from jaxinv.report.by_sku import TEXT, by_sku
from jaxinv.runs import Run
from jaxinv.sheets import read_table

_OURS = [array for array in jax.live_arrays() if all(array is not before for before in _BEFORE)]
del _BEFORE


@dataclass(frozen=True, repr=False)
class Comparison:
    """Policies that were judged on the same held-out demand.

    Attributes:
      rows: one mapping a policy, as in the document of `evaluate --json`.
      judged: what each of them did.
    """

    rows: list[dict[str, Any]]
    judged: tuple[Judged, ...] = field(default=(), kw_only=True)

    @property
    def by_sku(self) -> pd.DataFrame:
        """A row a series and policy or rule, of problems whose series have names: costs, service,
        stock and orders a period, see `jaxinv.report.by_sku.by_sku`."""
        return by_sku(self.judged)

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
                f"{path}: no such file; make it with: python -m jaxinv.train --resume"
                f" {self.run.name}"
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


def fit(
    env: str = "cross_border",
    agent: str = "ppo",
    *,
    config: str | Path | None = None,
    name: str | None = None,
    runs: str | Path = "runs",
    quiet: bool = True,
    **options: Any,
) -> Fitted:
    """Trains a policy and judges it against tuned rules on held-out demand, as
    `python -m jaxinv.train` does.

    Args:
      env, agent: preset and learner.
      config: a YAML file of options, which those given here go before; it then says `env` and
        `agent` where it has them.
      name: of the run, a folder in `runs`; the time where not given.
      quiet: whether progress is kept off standard error.
      **options: of the preset, the learner and the evaluation, and `seed` and `seeds`.

    Raises:
      UserError: a mistake in a name or a value, or a training that came to nothing.
    """
    overrides = _overrides(options)
    if config is None or env != "cross_border":
        overrides.append(f"env={env}")
    if config is None or agent != "ppo":
        overrides.append(f"agent={agent}")
    file = None if config is None else Path(config)
    check_choices(file, overrides)
    experiment = Experiment.load(file, overrides)
    (document,) = training.begin([experiment], name, runs, quiet, one_thread)
    return load_run(document["run"], runs)


def load_run(name: str | Path, runs: str | Path = "runs", data: str | Path = "") -> Fitted:
    """A run that was trained before, by its name in the folder `runs` or by its path.

    Args:
      data: a file of sales that go on after those of the run. What was fitted to its own sales
        (series, scales, lead times) is applied to them as it is; `compare` then judges on these.

    Raises:
      UserError: no such run, one that is not finished, or sales that are no longer those it was
        made of.
    """
    run = Run.open(name, runs)
    if not run.summary_path.exists():
        raise UserError(
            f"run {run.name!r} is not finished; go on with: python -m jaxinv.train --resume"
            f" {run.name}"
        )
    rows = json.loads(run.summary_path.read_text(encoding="utf-8"))["evaluation"]
    experiment, found = trained_policies(run, str(data))
    policies = {
        one.name: Decider(one.name, contest.problem, one.policy, one.params, one.policy_axis)
        for contest in experiment.contests(found)
        for one in contest.policies
    }
    return Fitted(rows, run, experiment, policies)


def tuned(
    env: str,
    rules: str | Sequence[str],
    *,
    periods: int = 4_000_000,
    method: str | None = None,
    per_instance: bool = False,
    seed: int = 0,
    **options: Any,
) -> TunedRules:
    """Tunes classical rules on the training demand of a preset, as `python -m jaxinv.tune` does.

    Args:
      rules: names, such as "base_stock".
      periods: simulated periods to spend on each.
      method: "search", "gradient" or "both"; what suits the number of parameters where not given.
      per_instance: numbers of its own for every series.
      **options: of the preset.

    Raises:
      UserError: a mistake in a name or a value, or a budget too small.
    """
    rules = [rules] if isinstance(rules, str) else list(rules)
    if not rules:
        raise UserError(f"name a rule to tune: {', '.join(RULES)}")
    check_seed(seed)
    overrides = [*_overrides(options), f"env={env}"]
    check_choices(None, overrides, rules)
    return tune_rules(
        Experiment.load(None, overrides).problem, rules, periods, method, per_instance, seed
    )


def tune_rules(
    problem: Problem,
    rules: Sequence[str],
    periods: int,
    method: str | None,
    per_instance: bool,
    seed: int,
) -> TunedRules:
    found = {
        name: tune(problem, rule_for(problem, name), root(seed), periods, method, per_instance)
        for name in rules
    }
    return TunedRules(problem, found)


def compare(
    *policies: Any,
    env: str | None = None,
    runs: str | Path = "runs",
    preference: Mapping[str, float] | None = None,
    service: float | None = None,
    seed: int = 0,
    **options: Any,
) -> Comparison:
    """Judges runs, rules and the optimal policy on the same held-out demand, as
    `python -m jaxinv.evaluate` does.

    Args:
      *policies: runs (`Fitted`, or their names), names of rules, which are tuned first, and
        "optimal"; without rules, all that apply are tried.
      env: the preset, where there is no run among them.
      preference, service: objectives or a fill rate that runs trained with `preferences=True` are
        also judged at.
      **options: of the preset, where there is no run; with runs only `data`, a file of later sales
        (`load_run`).

    Raises:
      UserError: a mistake in a name or a value.
    """
    check_seed(seed)
    for one in policies:
        if not isinstance(one, Fitted | str | Path):
            raise UserError(
                f"compare takes runs, their names, names of rules and 'optimal', not {one!r}"
            )
    rules = [name for name in policies if isinstance(name, str) and name in RULES]
    others = [one for one in policies if not (isinstance(one, str) and one in (*RULES, "optimal"))]
    later = options.pop("data", "") if others else ""
    fitted = []
    for one in others:
        if later or not isinstance(one, Fitted):
            run = one.run if isinstance(one, Fitted) else run_among_rules(one, runs)
            one = load_run(run.path, data=later)
        fitted.append(one)
    if fitted and (env or options):
        raise UserError(
            "a run is judged on the problem it was trained for; leave out env and options"
        )
    if not fitted and env is None:
        raise UserError(
            "rules need a problem: give env, as in compare('base_stock', env='lost_sales')"
        )
    trained = [(one.experiment, _contestants(one)) for one in fitted]
    if not trained:
        overrides = [*_overrides(options), f"env={env}"]
        check_choices(None, overrides, rules)
        experiment = Experiment.load(None, overrides)
    else:
        experiment = trained[0][0]
    judged: list[Judged] = []
    rows = judge(
        experiment,
        trained,
        rules,
        "optimal" in policies,
        preference,
        service,
        seed,
        watch=judged.append,
    )
    return Comparison(rows, judged=tuple(with_rows(judged, rows)))


def judge(
    experiment: Experiment,
    trained: Sequence[tuple[Experiment, list[Contestant]]],
    rules: Sequence[str],
    optimum: bool,
    preference: Mapping[str, float] | None,
    service: float | None,
    seed: int,
    announce: Callable[[], None] = lambda: None,
    watch: Watch | None = None,
) -> list[dict[str, Any]]:
    """Rows of the policies of several trainings for one problem, and of rules tuned for it.

    Args:
      experiment: whose problem and evaluation count.
      trained: experiments with their learned policies; none for rules alone.
      announce: called once everything has been checked, before what takes its time.
      watch: called with all that were judged, problem by problem (`jaxinv.evidence.judge`).
    """
    if not trained and (preference or service is not None):
        raise UserError(
            "a preference or a service level is for a run that was trained with preferences=true;"
            " name one"
        )
    for other, _ in trained:
        if other.config.instance != experiment.config.instance:
            raise UserError(
                "these runs were trained for different problems; evaluate them one by one"
            )
    periods = max([other.agent.simulated_periods for other, _ in trained], default=0)
    contests: dict[tuple, Contest] = {}
    for other, found in trained:
        for contest in other.contests(found):
            place = contests.setdefault(
                (contest.label, contest.problem.env), Contest(contest.label, contest.problem, [])
            )
            place.policies.extend(contest.policies)
    asked = dataclasses.replace(experiment.config.evaluation, rules=tuple(rules))
    check_rules(experiment.problem, asked)
    everything = list(contests.values()) or [Contest("", experiment.problem, [])]
    if preference or service is not None:
        everything = [
            with_wanted_points(contest, preference or {}, service, seed) for contest in everything
        ]
    announce()
    return judge_all(everything, asked, periods, seed, optimum, watch)


def one_thread() -> None:
    """`many_runs` where arrays of the caller may be about, which it would take away.

    Raises:
      UserError: where there are some.
    """
    if "NPROC" in os.environ or jax.default_backend() != "cpu" or os.cpu_count() == 1:
        return
    if any(all(array is not own for own in _OURS) for array in jax.live_arrays()):
        raise UserError(
            "several runs at once can stand still for ever where XLA has several threads on a CPU,"
            " and it is too late for one without losing the arrays that there are; set"
            " os.environ['NPROC'] = '1' before jax is used"
        )
    many_runs()


def _contestants(fitted: Fitted) -> list[Contestant]:
    return [
        Contestant(name, one.policy, one.params, one.policy_axis)
        for name, one in fitted.policies.items()
    ]


def _overrides(options: Mapping[str, Any], within: str = "") -> list[str]:
    """Options of Python as the texts `key=value` of the command line."""
    texts = []
    for key, value in options.items():
        if isinstance(value, Mapping):
            texts += _overrides(value, f"{within}{key}.")
        else:
            texts.append(f"{within}{key}={_text(value)}")
    return texts


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, list | tuple | np.ndarray):
        return f"[{','.join(map(_text, value))}]"
    return str(value)


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
