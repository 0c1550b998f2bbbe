"""Those who order in table 2 of seed 000: D3S-CI, its rivals, and whom the paper left out.

Every learner gets the same seeds, as many learning rates to be tried with, and the worlds of the
same training periods; `ready` is fitted to nothing, `rule` is the best of the tuned classical rules
in training. Any other name is that of an agent (`jaxinv.agents.registry`).
"""

import time
from dataclasses import fields, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxinv.agents.loop import Trainer, stack_agents
from jaxinv.agents.registry import AGENTS, learner
from jaxinv.agents.validation import Validation
from jaxinv.envs.problem import Problem
from jaxinv.errors import unknown
from jaxinv.evaluation.compare import best_of, contestants_of
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.tuning import tune_many
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.policies.ready import READY, load, ready_policy
from jaxinv.policies.rules import applicable_rules, default_rules
from jaxinv.studies.d3sci_worlds import Size
from jaxinv.studies.rows import RESERVED_SEED
from jaxinv.studies.seeds import trained

D3SCI, RULE, CLAIRVOYANT = "d3sci", "rule", "clairvoyant"

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {D3SCI: ("ppo", dict(action_values=True))}
"""Agent and options of methods that are no agent by name."""

DEFAULT = (D3SCI, "fdim", "diffsim", READY, RULE, "dqn")

RATES = (1.0, 0.3, 3.0, 0.1, 10.0, 0.5, 2.0, 0.2)
"""Factors on the learning rate that suits a learner, in the order that they are tried in."""


class Ordering(NamedTuple):
    """Policies of a method, one a seed, and what there is to say of them."""

    policies: list[Contestant]
    seconds: float
    note: str


def check_methods(names: list[str]) -> None:
    """Refuses a name that is no method."""
    known = (*DEFAULT, *AGENTS)
    for name in names:
        if name not in known:
            raise unknown("method, and no file or folder,", name, known)


def ahead(problem: Problem) -> int:
    """L + P, the periods that an order covers, a mean over the instances."""
    return int(np.round(np.mean(np.asarray(problem.train.lead_time)))) + 1


def ordering(problem: Problem, name: str, size: Size) -> Ordering:
    """Trains, tunes or takes what orders by a method."""
    began = time.monotonic()
    if name == READY:
        return Ordering([Contestant(READY, *ready_policy(problem.env))], 0.0, "")
    if name == RULE:
        key = key_of(root(RESERVED_SEED), Role.TUNING)
        tuned = tune_many(problem, key, default_rules(problem), size.tune_periods)
        best = best_of(tuned)
        note = f"{best}, the best of {len(tuned)} in training"
        return Ordering(contestants_of({best: tuned[best]}), time.monotonic() - began, note)
    kind = learner(SETTINGS.get(name, (name, {}))[0])
    config = _config(kind, name, problem, size)
    noise = key_of(root(RESERVED_SEED), Role.VALIDATION)
    validation = Validation.of(problem, noise, settles=kind.settles)
    config = _best_rate(kind, config, problem, validation, size.trials)
    agent = kind.create(problem, config)
    policies = trained(name, agent, config.updates, size.seeds, validation)
    note = f"{config.updates} updates, learning rate {config.learning_rate:.3g}"
    return Ordering(policies, time.monotonic() - began, note)


def setting(problem: Problem, name: str, size: Size) -> str:
    """What a method is made with, in words: another setting is another cell."""
    if name == READY:
        return str(load()[0])
    if name == RULE:
        return ", ".join(applicable_rules(problem))
    kind = learner(SETTINGS.get(name, (name, {}))[0])
    return repr(_config(kind, name, problem, size))


def _config(kind, name, problem, size):
    """What suits the learner, at the size of the study; heads look as far as orders cover."""
    config = kind.Config.suited("retail", problem.env.history)
    wanted = {
        "updates": max(config.updates // size.shorter, 1),
        "envs": min(config.envs, size.envs),
        "forecast": ahead(problem),
    }
    known = {field.name for field in fields(config)}
    options = {option: value for option, value in wanted.items() if option in known}
    return replace(config, **options, **SETTINGS.get(name, (name, {}))[1])


def _best_rate(kind, config, problem, validation, trials):
    """The configuration with the rate of which a training costs least on what it was not shown."""
    if trials < 2 or validation is None:
        return config
    tried = [
        replace(config, learning_rate=factor * config.learning_rate) for factor in RATES[:trials]
    ]
    agents = [kind.create(problem, one) for one in tried]
    trainer = Trainer(stack_agents(agents, 1), len(tried), validation)
    keys = keys_of(root(RESERVED_SEED), Role.SEARCH_TRIALS, 1)
    state = trainer.train(jnp.tile(keys, len(tried)), config.updates)
    return tried[int(np.argmin(np.asarray(state.best.cost)))]
