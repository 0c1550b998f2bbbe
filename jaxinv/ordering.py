"""From a plan to its order list: who acts, where the shop stands, and what is ordered."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, called
from jaxinv.evaluation.compare import Evaluation, contestants_of
from jaxinv.evaluation.held_out import Contestant, costs_of
from jaxinv.evaluation.service import TO_SERVICE, to_service, told_service
from jaxinv.evaluation.tuning import Tuned
from jaxinv.evidence import Contest, evaluate_contests, ready_of, tune_rules, with_rows
from jaxinv.experiment import Experiment, trained_policies
from jaxinv.keys import root
from jaxinv.orders.competing import CompetitionResult, budget, compete, competitors, decider_of
from jaxinv.orders.lines import Acting
from jaxinv.orders.order_list import OrderList, make_list
from jaxinv.orders.today import Today, today_of
from jaxinv.policies.decider import Decider
from jaxinv.policies.ready import READY
from jaxinv.policies.registry import RULES
from jaxinv.report.page import write_report
from jaxinv.report.results import about, write_results
from jaxinv.runs import Run, json_text

TUNE_PERIODS = 400_000
"""Simulated periods that each rule is tuned with, where no option says how many: a list is wanted
in minutes."""


class Recommended(NamedTuple):
    """An order list and the evidence for who made it.

    Attributes:
      list: the orders.
      judged: who competed, and what they did on the held-out periods.
      outcome: who won; experiment: whose problem it was.
    """

    list: OrderList
    judged: list[Evaluation]
    outcome: CompetitionResult
    experiment: Experiment

    def write(self, folder: Path) -> None:
        """Writes the list, the evidence (`evaluation.json`, `by_sku.csv`, `worst.csv`), where there
        is any, and `report.html`: all or nothing."""
        if not self.judged:
            self.list.write(folder, {}, write_report)
            return
        document = {
            "env": "network",
            "notes": list(self.experiment.problem.notes),
            "held_out": about(self.judged),
            "evaluation": self.judged[0].rows,
        }
        self.list.write(
            folder,
            {"evaluation.json": json_text(document) + "\n"},
            lambda made: write_results(made, self.judged),
        )


def recommend(
    plan: str | Path,
    overrides: Sequence[str] = (),
    *,
    policy: str = "",
    run: Run | None = None,
    runs: str | Path = "runs",
    date: datetime.date | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Recommended:
    """The order list of a plan.

    Args:
      plan: a plan, a folder of tables, or a table of sales.
      overrides: options of the preset `network` and of the evaluation, as `key=value`.
      policy: a rule that acts, or "ready", which acts at once, without evidence; empty for what is
        proven cheapest.
      run: that acts instead, whatever it costs.
      runs: folder of runs; finished ones of this plan compete.
      date: the day that is decided; that of the plan where not given.
      say: told how the work stands, a line at a time.
    """
    if run is not None:
        experiment, learned = trained_policies(run, str(plan))
        if experiment.config.env != "network":
            raise UserError(
                f"run {run.name!r} is of env={experiment.config.env}, and orders need one of a"
                f" plan: {called('train')} {plan}"
            )
        learned = learned[:1]
    else:
        experiment = Experiment.load(
            None, [f"seed={seed}", "env=network", f"data={plan}", *overrides]
        )
        learned = [] if policy else _finished(runs, experiment, say)
    today = today_for(experiment, date)
    problem = experiment.problem
    for text in problem.notes:
        if not text.startswith("validation="):  # that is about trainings
            say(text)
    if str(today.date) < str(today.plan.settings.as_of):
        say(
            f"the list is that of {today.date}, the last {problem.shared.period} that is not over "
            f"before {today.plan.settings.as_of}: what was sold since then is not looked at"
        )
    if policy == READY:
        return _ready(experiment, today, seed)
    say("tuning rules on training demand, judging them on held-out demand")
    rules = _rules(experiment, policy, seed)
    to_wanted = None
    if problem.service and run is None:
        tuned, to_wanted = _to_service(problem, rules, today, seed)
        rules[to_wanted.deciders[0].name] = tuned
    judged: list[Evaluation] = []
    rows = evaluate_contests(
        [Contest("", problem, learned, rules)],
        experiment.config.evaluation,
        0,
        seed,
        watch=judged.append,
    )
    played = {name: costs_of(problem, total) for name, total in judged[0].totals.items()}
    ready = [] if policy else ready_of(problem, experiment.config.evaluation.ready)
    contestants = [*learned, *ready, *contestants_of(rules)]
    outcome = compete(
        problem,
        {one.name: played[one.name] for one in contestants},
        today.categories[: problem.tested],
    )
    best_rule = compete(problem, {name: played[name] for name in rules}).acting(
        problem, contestants
    )
    if run is not None:
        acting = _as_asked(problem, learned[0], outcome, len(today.skus))
    else:
        acting = to_wanted or outcome.acting(problem, contestants)
    if problem.service:
        total = judged[0].totals[acting.deciders[0].name]
        why = (*acting.why, *told_service(problem, total.demand, total.short))
        acting = dataclasses.replace(acting, why=why)
    for text in acting.why:
        say(text)
    names = {decider.name for decider in acting.deciders}
    for row in rows:
        row["chosen"] = row["policy"] in names or None
    all_rules = names <= set(rules)
    found = make_list(today, acting, None if all_rules else best_rule, seed=seed)
    return Recommended(found, with_rows(judged, rows), outcome, experiment)


def _ready(experiment: Experiment, today: Today, seed: int) -> Recommended:
    """What the ready policy orders: nothing is tuned, and nothing is judged."""
    (ready,) = ready_of(experiment.problem, True)
    why = (
        "the ready policy acts, as asked: it was trained on invented sales, and was not judged here"
    )
    decider = decider_of(experiment.problem, ready)
    acting = dataclasses.replace(Acting.of(decider, len(today.skus)), why=(why,))
    outcome = CompetitionResult((READY,), acting.which, acting.why, {})
    return Recommended(make_list(today, acting, None, seed=seed), [], outcome, experiment)


def today_for(experiment: Experiment, date: datetime.date | None = None) -> Today:
    """Where the shop of an experiment stands, on the day of its plan or on another one: then with
    what was sold before it."""
    instance, problem = experiment.config.instance, experiment.problem
    preset = problem.settled or instance
    plan = instance.files if date is None else preset.plan(as_of=date)
    return today_of(preset, preset.shop(plan), problem)


def _rules(experiment: Experiment, policy: str, seed: int) -> dict[str, Tuned]:
    """The rule that is asked for, or all that are tried, tuned."""
    config, problem = experiment.config.evaluation, experiment.problem
    rules = (policy,) if policy in RULES else config.rules or tuple(competitors(problem))
    periods = config.tune_periods or budget(problem, TUNE_PERIODS)
    asked = dataclasses.replace(config, rules=rules, tune_periods=periods, per_instance=())
    return tune_rules(problem, asked, 0, root(seed))


def _to_service(
    problem: Problem, rules: dict[str, Tuned], today: Today, seed: int
) -> tuple[Tuned, Acting]:
    """The cheapest rule tuned to the wanted service of each class: with numbers for every instance
    that was learned from, and as what acts for those of today."""
    name = min(rules, key=lambda name: rules[name].cost)
    whole, classes = to_service(problem, name, seed)
    deciders = tuple(
        Decider(name + TO_SERVICE, problem, tuned.rule, tuned.params, tuned.policy_axis)
        for tuned in classes.values()
    )
    wanted = today.plan.full_items["service"].reindex(today.skus).to_numpy(float)
    # A new one may want what nobody else does: the nearest then. To want nothing is to want 0.
    which = np.abs(np.subtract.outer(np.nan_to_num(wanted), np.nan_to_num(list(classes)))).argmin(1)
    why = f"{name} acts, tuned for each wanted fill rate by itself"
    if len(rules) > 1:
        why += "; of all rules it costs least on the past that was learned from"
    return whole, Acting(deciders, which, (why,))


def _as_asked(
    problem: Problem, learned: Contestant, outcome: CompetitionResult, instances: int
) -> Acting:
    """A run that acts since it was named."""
    mine, best = outcome.costs[learned.name].value, next(iter(outcome.costs))
    why = (
        f"{learned.name} acts, as asked: it costs {mine:.4g} a period and series on periods that"
        " nothing was learned from"
    )
    if best != learned.name:
        why += f"; {best} would cost {outcome.costs[best].value:.4g}"
    return dataclasses.replace(Acting.of(decider_of(problem, learned), instances), why=(why,))


def _finished(
    folder: str | Path, experiment: Experiment, say: Callable[[str], None]
) -> list[Contestant]:
    """Learned policies of finished runs of the same plan."""
    found: list[Contestant] = []
    for name in Run.names(folder) if Path(folder).is_dir() else []:
        try:
            run = Run.open(name, folder)
            config = Experiment.load(run.config_path).config
            if (
                config.env != "network"
                or config.instance.data != experiment.config.instance.data
                or not run.summary_path.exists()
            ):
                continue
            other, policies = trained_policies(run)
            if (
                other.problem.env == experiment.problem.env
                and other.problem.labels == experiment.problem.labels
            ):
                found += policies
        except UserError as error:
            say(f"run {name!r} does not compete: {error}")
    return found
