"""The evidence at the end of a training or evaluation: policies and tuned rules on the same unseen
demand.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jaxinv.cli import table
from jaxinv.envs.problem import Problem, first_of
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.compare import COLUMNS, Evaluation, contestants_of, evaluate
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.just_in_time import just_in_time
from jaxinv.evaluation.pareto import acting_preference, at_preference, at_service
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.tuning import Tuned, tune_many
from jaxinv.exact import solve_problem
from jaxinv.exact.bounds import lower_bound
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.ready import READY, outside, ready_policy
from jaxinv.policies.relative import refusal
from jaxinv.policies.rules import RULES, applicable_rules, default_rules
from jaxinv.policies.theirs import MIN_MAX, OWN_ORDERS, OwnMinMax, OwnOrders

LEAST_PERIODS = 4_000_000
"""Rules are tuned on as many simulated periods where a training was shorter, unless the user says
how many.
"""

PER_INSTANCE_EPISODES = 300
"""Episodes of every instance that a tuning of each instance by itself needs to find its way."""

OWN = " per instance"
"""What the name of a rule ends with where each instance has numbers of its own."""

QUICK = 4e6
"""States times orders up to which an optimum is worked out unasked: seconds."""


Watch = Callable[[Evaluation], None]
"""Gets to know who was judged, on what, and what each of them did."""


class Contest(NamedTuple):
    """Policies that are judged on one problem.

    Attributes:
      label: what tells the problem from the others; empty where there is but one.
      rules: to compare with, where they are tuned already.
    """

    label: str
    problem: Problem
    policies: list[Contestant]
    rules: dict[str, Tuned] | None = None


def evaluate_contests(
    contests: Sequence[Contest],
    config: Any,
    trained_periods: int,
    seed: int,
    optimum: bool = False,
    watch: Watch | None = None,
) -> list[dict[str, Any]]:
    """The rows of `evaluate_contest` for every contest, each with its label as `instance`; names of
    rules end with the label too, as those of policies do.
    """
    rows = []
    for label, problem, policies, rules in contests:
        own = (lambda judged, label=label: watch(judged._replace(label=label))) if watch else None
        found = evaluate_contest(
            problem, policies, config, trained_periods, seed, optimum, rules, own
        )
        for row in found:
            row["best_rule"] = row["best_rule"] and f"{row['best_rule']} {label}".strip()
            if row["kind"] in ("rule", "optimum"):
                row["policy"] = f"{row['policy']} {label}".strip()
        rows += [{**row, "instance": label} for row in found]
    return rows


def with_rows(judged: Sequence[Evaluation], rows: list[dict[str, Any]]) -> list[Evaluation]:
    """What `evaluate_contests` told its watch, each with its share of the rows that it returned."""
    found, start = [], 0
    for one in judged:
        found.append(one._replace(rows=rows[start : start + len(one.rows)]))
        start += len(one.rows)
    return found


def evaluate_contest(
    problem: Problem, policies: list[Contestant], config: Any, trained_periods: int, seed: int,
    optimum: bool = False,
    rules: dict[str, Tuned] | None = None, watch: Watch | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Evaluation rows of policies and of rules tuned with as many simulated periods.

    Args:
      policies: learned ones; their rows come first.
      config: an `EvaluationConfig`.
      trained_periods: simulated periods that the policies were trained with.
      seed: of tuning and of the held-out noise (both streams are apart from training's).
      optimum: whether the optimal policy has to be there; otherwise it is where it takes seconds to
        find.
      rules: those of `tune_rules`, where it was asked already.
      watch: called with all that were judged.

    A `gap` is to the optimal policy on the same noise or, where that is not known, to a lower
    bound.

    All are compared with the rule that is cheapest on the held-out demand itself. This favours the
    rules: on real sales, the rule that was cheapest in training can cost much more later.
    """
    key = root(seed)
    optimal = optimal_policy(
        problem, optimum
    )  # first, so that what cannot be is refused before rules are tuned
    ready = ready_of(problem, config.ready)
    rules = rules or tune_rules(problem, config, trained_periods, key)
    theirs = theirs_of(problem)
    contestants = policies + ready + contestants_of(rules) + optimal + theirs
    totals = {one.name: measure(problem, one, key, config.paths) for one in contestants}
    rows = evaluate(
        problem, contestants, key, paths=config.paths, baseline=list(rules), totals=totals,
        theirs=[one.name for one in theirs],
        reference=optimal[0].name if optimal else best_bound(problem, key, config.paths),
    )  # fmt: skip
    learned = {one.name for one in policies}
    for row, contestant in zip(rows, contestants):
        row["preference"] = acting_preference(contestant)
        tuned = rules.get(row["policy"])
        kinds = {"policy": learned, "ready": {READY}, "rule": rules}
        kinds["theirs"] = {one.name for one in theirs}
        row["kind"] = next(
            (kind for kind, names in kinds.items() if row["policy"] in names), "optimum"
        )
        row["simulated_periods"] = (
            tuned.simulated_periods if tuned else trained_periods if row["policy"] in learned else 0
        )
        row["at_end"] = tuned.at_end if tuned else None
        row["reference"] = "optimum" if optimal else None if row["gap"] is None else "lower bound"
    if watch:
        watch(Evaluation(problem, contestants, key, totals, rows))
    return rows


def theirs_of(problem: Problem) -> list[Contestant]:
    """What the shop did itself, as far as it is known: its own orders, and its own minimum and
    maximum.
    """
    shop, found = problem.shop, []
    if shop and shop.ordered is not None:
        orders = {"orders": jax.numpy.asarray(shop.ordered, jax.numpy.float32)}
        found.append(Contestant(OWN_ORDERS, OwnOrders(problem.env.topology), orders, BATCH))
    if shop and shop.min_max is not None:
        levels = dict(zip(("minimum", "maximum"), map(jax.numpy.float32, shop.min_max)))
        found.append(Contestant(MIN_MAX, OwnMinMax(problem.env.topology), levels, BATCH))
    return found


def ready_of(problem: Problem, asked: bool | None) -> list[Contestant]:
    """The policy that ships ready, alone in a list; an empty one where it is not asked for, or not
    for this problem.

    Raises:
      UserError: where it is asked for and knows nothing of such a problem.
    """
    recorded = problem.preparation is not None or problem.shop is not None
    if asked is False or (asked is None and not recorded):
        return []
    if asked is None and refusal(problem.env.topology):
        return []
    ready = ready_policy(problem.env)
    why = outside(problem.env, problem.test)
    if why and asked:
        raise UserError(f"the ready policy is no help here: there are {why}")
    return [] if why else [Contestant(READY, *ready)]


def with_wanted_points(
    contest: Contest, preference: Mapping[str, float], service: float | None, seed: int
) -> Contest:
    """A contest in which every policy also acts at a wanted preference or, where one is given, at a
    service level.

    The level is sought on training demand, with `preference` as the proportions of the other
    objectives, so what is reached on held-out demand is a forecast come true or not.
    """
    problem, policies = contest.problem, list(contest.policies)
    for policy in contest.policies:
        if service is None:
            policies.append(at_preference(policy, preference))
            continue
        known = dataclasses.replace(
            problem,
            test=problem.unaugmented,
            test_periods=problem.warm_up + problem.counted_periods,
        )
        key = key_of(root(seed), Role.SERVICE)
        policies.append(at_service(known, policy, service, key, others=preference).contestant)
    return contest._replace(policies=policies)


def optimal_policy(problem: Problem, required: bool) -> list[Contestant]:
    """The optimal policy, alone in a list; an empty one where it is not known and not required."""
    try:
        solution = solve_problem(problem, most=math.inf if required else QUICK)
    except UserError:
        if required:
            raise
        return []
    return [Contestant("optimal", solution.policy, solution.params)]


def best_bound(problem: Problem, key: jax.Array, paths: int):
    """A lower bound on the cost a period, one number or one a path; None where none is known.

    Of episodes that end for good none is: those known are of the long run, and a policy may live on
    its first stock.
    """
    if problem.ends:
        return None
    clairvoyant = just_in_time(problem, key, paths)
    bound = lower_bound(problem.env, first_of(problem.test), QUICK) if problem.single else None
    if clairvoyant is None or (bound is not None and bound > clairvoyant.mean()):
        return bound
    return clairvoyant


def tune_rules(problem: Problem, config: Any, periods: int, key: jax.Array) -> dict[str, Tuned]:
    """All rules of an evaluation, tuned on the training demand; `NAME per instance` where each has
    its own numbers.

    Args:
      periods: that the policies were trained with. Rules get `config.tune_periods`, or where that
        is 0 as many as the policies, but `LEAST_PERIODS`, and `PER_INSTANCE_EPISODES` where each
        instance is tuned by itself, if these are more.
    """
    names = rules_of(problem, config)
    given = config.tune_periods
    try:
        rules = tune_many(problem, key, names, given or max(periods, LEAST_PERIODS))
        if (
            problem.instances > 1 and not problem.test_instances
        ):  # numbers of an instance's own are of no use to others
            apart = [name for name in config.per_instance if name in names]
            least = (
                PER_INSTANCE_EPISODES
                * problem.instances
                * int(jax.numpy.max(problem.train.max_steps_in_episode))
            )
            own = tune_many(
                problem, key, apart, given or max(periods, LEAST_PERIODS, least), per_instance=True
            )
            rules |= {name + OWN: rule for name, rule in own.items()}
    except UserError as error:
        raise UserError(
            f"evaluation.tune_periods={given}: {error}" if given else str(error)
        ) from None
    return rules


def rules_of(problem: Problem, config: Any) -> list[str]:
    """Names of the rules of an evaluation, checked: those that are asked for, or those that are
    tried unasked.
    """
    check_rules(problem, config)
    return list(config.rules) or default_rules(problem)


def check_rules(problem: Problem, config: Any) -> None:
    """Refuses rules that there are not or that do not apply. Which are tried unasked takes
    forecasts to tell, so it is asked once, when they are tuned."""
    known = applicable_rules(problem)
    for name in (*config.rules, *config.per_instance):
        if name not in RULES:
            raise unknown("rule", name, RULES)
    for name in config.rules:
        if name not in known:
            raise UserError(
                f"rule {name} does not apply to this network or history; these do:"
                f" {', '.join(known)}"
            )


HOPELESS = 2.0
"""A learned policy that costs this many times what the cheapest tuned rule does, or earns so many
times less, has not learned.
"""


def check_learned(contests: Sequence[Contest], rows: list[dict[str, Any]]) -> None:
    """Raises where a training ends without a result, with the likely cause and the setting to
    change.

    Of several policies for a problem, such as those of a sweep of learning rates, one has to have
    learned.

    Args:
      rows: of all contests, of `evaluate_contests`.
    """
    for label, _, policies, _ in contests:
        names = {policy.name for policy in policies}
        mine = min((row for row in rows if row["policy"] in names), key=lambda row: row["cost"])
        others = [
            row
            for row in rows
            if row["instance"] == label
            and row["policy"] not in names
            and row.get("kind") != "theirs"
        ]
        best = min(others, key=lambda row: row["cost"])
        earns = best["cost"] < 0
        if mine["cost"] <= (best["cost"] / HOPELESS if earns else HOPELESS * best["cost"]):
            continue
        silent = mine["fill_rate"] is not None and mine["fill_rate"] < 0.01
        raise UserError(
            f"{mine['policy']} did not learn: it {money(mine['cost'])} a period, "
            f"{'less than half of what' if earns else f'over {HOPELESS:g} times the'} "
            f"{abs(best['cost']):.4g}{' is' if earns else ''} of {best['policy']}. "
            + (
                "It never orders; a smaller learning_rate, another seed or, if it has another form,"
                " form=base usually helps"
                if silent
                else "It diverged or was trained too briefly; a smaller learning_rate or more"
                " updates usually help"
            )
        )


def evidence_table(rows: list[dict[str, Any]], title: str):
    """Rows as a table for people, cheapest first below the learned policies."""
    shown = [
        {key: _in_percent(value) if "%" in _heading(key) else value for key, value in row.items()}
        for row in rows
    ]
    columns = {
        key: heading
        for key, heading in COLUMNS.items()
        if any(row.get(key) is not None for row in rows)
    }
    if all(
        row["relative_difference"] is not None or row["difference"] is None for row in rows
    ):  # shares say it all
        columns = {
            key: heading
            for key, heading in columns.items()
            if key not in ("difference", "difference_interval")
        }
    over = list(dict.fromkeys(row["interval_over"] for row in rows if row.get("interval_over")))
    return table(
        shown, columns, title="; ".join([title, *(f"95% intervals over {units}" for units in over)])
    )


def _heading(key: str) -> str:
    """The heading of a column; an interval has that of what it is of."""
    return COLUMNS.get(key.removesuffix("_interval"), "")


def _in_percent(share):
    """A share, or an interval of shares, in percent; documents hold shares alone."""
    if share is None:
        return None
    return [100 * end for end in share] if isinstance(share, Sequence) else 100 * share


def tuning_notes(rows: list[dict[str, Any]]) -> str:
    """How many periods the rules were tuned with, and which of them may be better beyond what was
    searched.
    """
    tuned = [row for row in rows if row["at_end"] is not None]
    if not tuned:
        return ""
    spent = sorted(row["simulated_periods"] for row in tuned)
    span = f"{spent[0]:,}" if spent[0] == spent[-1] else f"{spent[0]:,} to {spent[-1]:,}"
    trained = max((row["simulated_periods"] for row in rows if row["at_end"] is None), default=0)
    said = [
        f"rules were tuned with {span} simulated periods each"
        + (f", the policy with {trained:,}" if trained else "")
    ]
    for row in tuned:
        if row["at_end"]:
            found = ", ".join(
                f"{name} ({_in_percent(share):.0f}%)" for name, share in row["at_end"].items()
            )
            said.append(
                f"{row['policy']} may be better beyond the range that was searched: at an end of it"
                f" lies {found}"
            )
    return "\n".join(said)


def verdict(rows: list[dict[str, Any]]) -> str:
    """What the first row's comparison with the best tuned rule says, and its gap, in a sentence
    each.

    In per cent of what the rule costs; in money where the rule earns, for a share of a profit is
    none of a cost.
    """
    first = rows[0]
    if first["difference"] is None:
        return f"{first['policy']} is compared with no rule"
    if first["difference_interval"] is None:
        return "one path leaves no interval; evaluate on more"
    in_money = first["relative_difference"] is None  # a share of a profit says nothing
    kind, unit = ("difference", " a period") if in_money else ("relative_difference", "%")

    def written(number: float, sign: str = "+") -> str:
        return f"{number:{sign}.4g}" if in_money else f"{_in_percent(number):{sign}.2f}"

    difference, (low, high) = first[kind], first[f"{kind}_interval"]
    size = written(abs(difference), "") + unit
    if difference == low == high == 0:
        said = f"{first['policy']} is the best of the tuned rules"
    else:
        if low <= 0 <= high:
            said = f"is not distinguishable from the best tuned rule ({written(difference)}{unit})"
        elif in_money:
            said = f"earns {size} {'more' if high < 0 else 'less'} than the best tuned rule"
        else:
            said = f"is {'cheaper' if high < 0 else 'dearer'} than the best tuned rule by {size}"
        said = (
            f"{first['policy']} {said}; 95% interval of the paired"
            f" difference{' in cost' if in_money else ''}"
        )
        said = f"{said} {written(low)} to {written(high)}{unit}"
    if first["reference"] != "optimum":
        return said
    low, high = _in_percent(first["gap_interval"])
    return (
        f"{said}. It is {_in_percent(first['gap']):.2f}% above the optimum ({low:.2f} to"
        f" {high:.2f}%)"
    )


def money(cost: float) -> str:
    """A cost, or below zero a profit, with its verb."""
    return f"costs {cost:.4g}" if cost >= 0 else f"earns {-cost:.4g}"
