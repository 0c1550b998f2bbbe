"""What a training ends with where it had too few series to hold some out: its policy, or the rule
that costs less.

They are compared on the last of the training periods, which were held out of the training and, for
this, of the tuning of the rules (`jaxinv.envs.held_out`). The rule that is chosen is then tuned on
all training periods, as those of an evaluation are.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.evaluation.compare import contestants_of
from jaxinv.evaluation.held_out import Contestant, costs_of, measure
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evidence import OWN, Contest, money, rules_of, tune_rules
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.rules import applicable_rules, rule_for


def choose_policy(
    contest: Contest, config: Any, trained_periods: int, seed: int
) -> tuple[Contest, dict[str, Any]]:
    """The contest with its rules tuned, and what the training ends with.

    Args:
      contest: of a problem with a `choice`.
      config: an `EvaluationConfig`; trained_periods, seed: see `jaxinv.evidence.evaluate_contest`.

    Returns:
      A document for `Run.write_ending`: `policy`, the name of what costs least; `parameters`, its
        numbers where it is a rule,
      else None; `costs` a period of every policy and rule in the held-out periods; `learned`, the
      names of those that were learned; and `periods`, what was held out.
    """
    problem, choice = contest.problem, contest.problem.choice

    def tuned(problem, names, key):
        return tune_rules(
            problem, dataclasses.replace(config, rules=tuple(names)), trained_periods, key
        )

    names = rules_of(problem, config)
    possible = applicable_rules(choice)  # with fewer periods not every forecast can be made
    key = key_of(root(seed), Role.CHOICE)
    rivals = tuned(choice, [name for name in names if name in possible], key)
    contestants = [*contest.policies, *contestants_of(rivals)]
    costs = {
        one.name: float(np.mean(costs_of(choice, measure(choice, one, key)))) for one in contestants
    }
    policy = min(costs, key=lambda name: (math.isnan(costs[name]), costs[name]))
    rules = tuned(problem, names, root(seed))
    document = {
        "policy": policy,
        "parameters": (
            {name: np.asarray(value).tolist() for name, value in rules[policy].params.items()}
            if policy in rules
            else None
        ),
        "costs": costs,
        "learned": [one.name for one in contest.policies],
        "periods": f"{choice.test_periods - choice.warm_up} {problem.shared.period}s",
    }
    return contest._replace(rules=rules), document


def chosen_policy(
    problem: Problem, ending: Mapping[str, Any], policies: Sequence[Contestant], name: str
) -> Contestant:
    """What a run ended with.

    Args:
      ending: the document of `choose_policy`.
      policies: the learned ones, named as there.
      name: of the run.
    """
    if ending["parameters"] is None:
        return next(one for one in policies if one.name == ending["policy"])._replace(name=name)
    rule = rule_for(problem, ending["policy"].removesuffix(OWN))
    params = {key: jnp.asarray(value, jnp.float32) for key, value in ending["parameters"].items()}
    return Contestant(
        f"{name} ({ending['policy']})",
        rule,
        params,
        BATCH if ending["policy"].endswith(OWN) else None,
    )


def notes_of(name: str, problem: Problem, ending: Mapping[str, Any] | None) -> list[str]:
    """What people are told who judge a run by its name."""
    if ending:
        return [f"{name}: {told(ending)}"]
    if not problem.choice:
        return []
    return [
        f"{name} has not chosen yet between its policy and the rules, for it is not finished: its"
        " learned policy is judged"
    ]


def told(ending: Mapping[str, Any]) -> str:
    """What was chosen, beside the best of the other kind, in a sentence."""
    costs, policy = ending["costs"], ending["policy"]
    other_kind = [
        name for name in costs if (name in ending["learned"]) != (policy in ending["learned"])
    ]
    other = min(other_kind, key=costs.get)
    mine, theirs = money(costs[policy]), money(costs[other])
    theirs = theirs.removeprefix(f"{mine.split()[0]} ")  # the verb, said once
    return (
        f"the run ends with {policy}: on the {ending['periods']} held out for the choice it {mine},"
        f" {other} {theirs}"
    )
