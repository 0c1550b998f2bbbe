"""What the commands do, as functions: `jaxinv.fit`, `compare`, `tuned` and `load_run`.

Options are those of the command line under the same names, such as `lead_time=4` or `updates=200`;
a section takes a mapping, as in `evaluation={"paths": 64}`. Results are small objects with tables
(`.table`) and with policies that order for one's own numbers (`jaxinv.policies.decider`). Times are
periods, quantities product units, costs money a period.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

_BEFORE = jax.live_arrays()  # of the caller; what comes with the imports that follow is nobody's

# ruff: noqa: E402
import numpy as np

from jaxinv import training
from jaxinv.choices import BESIDE, check_choices, run_among_rules
from jaxinv.cli import many_runs
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, called
from jaxinv.evaluation.compare import Evaluation
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.tuning import tune
from jaxinv.evidence import (
    Contest,
    Watch,
    check_rules,
    evaluate_contests,
    with_rows,
    with_wanted_points,
)
from jaxinv.experiment import Experiment, trained_policies
from jaxinv.keys import root
from jaxinv.limits import check_seed
from jaxinv.policies.decider import Decider
from jaxinv.policies.registry import RULES
from jaxinv.policies.rules import rule_for
from jaxinv.results import Comparison, Fitted, TunedRules
from jaxinv.runs import Run

_OURS = [array for array in jax.live_arrays() if all(array is not before for before in _BEFORE)]
del _BEFORE


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
    (document,) = training.train_in_new_runs([experiment], name, runs, quiet, one_thread)
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
            f"run {run.name!r} is not finished; go on with: {called('train')} --resume {run.name}"
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
    return tune_named(
        Experiment.load(None, overrides).problem, rules, periods, method, per_instance, seed
    )


def tune_named(
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
      *policies: runs (`Fitted`, or their names), names of rules, which are tuned first,
        "optimal" and "ready"; without rules, all that apply are tried.
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
    others = [one for one in policies if not (isinstance(one, str) and one in (*RULES, *BESIDE))]
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
    judged: list[Evaluation] = []
    rows = evaluate_trained(
        experiment,
        trained,
        rules,
        [name for name in BESIDE if name in policies],
        preference,
        service,
        seed,
        watch=judged.append,
    )
    return Comparison(rows, judged=tuple(with_rows(judged, rows)))


def evaluate_trained(
    experiment: Experiment,
    trained: Sequence[tuple[Experiment, list[Contestant]]],
    rules: Sequence[str],
    beside: Sequence[str],
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
      beside: of `BESIDE`, who has to be there.
      announce: called once everything has been checked, before what takes its time.
      watch: called with each `Evaluation` (`jaxinv.evidence.evaluate_contest`).
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
    if "ready" in beside:
        asked = dataclasses.replace(asked, ready=True)
    check_rules(experiment.problem, asked)
    everything = list(contests.values()) or [Contest("", experiment.problem, [])]
    if preference or service is not None:
        everything = [
            with_wanted_points(contest, preference or {}, service, seed) for contest in everything
        ]
    announce()
    return evaluate_contests(everything, asked, periods, seed, "optimal" in beside, watch)


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
