"""Trainings of several seeds side by side, on seeds that no setting was chosen with."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxinv.agents.learner import Learner
from jaxinv.agents.loop import Trainer, select_run, stack_agents
from jaxinv.agents.transfer import taken_over
from jaxinv.agents.validation import Validation
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.keys import Role, keys_of, root
from jaxinv.studies.rows import RESERVED_SEED


def trained(
    name: str, agent: Learner, updates: int, seeds: int, validation: Validation | None = None,
    donor: Any = None, layers: int | None = None,
) -> list[Contestant]:  # fmt: skip
    """The policies of several seeds, trained in one program.

    Args:
      name: what they are called, with their seed.
      validation: chooses among the parameters of a training; None to keep the latest.
      donor, layers: parameters whose first layers all of them begin with
        (`jaxinv.agents.transfer`); None to begin fresh.
    """
    trainer = Trainer(stack_agents([agent], seeds), seeds, validation)
    state = trainer.init(keys_of(root(RESERVED_SEED), Role.TRAINING, seeds))
    if donor is not None:
        state = trainer.place(taken_over(state, donor, layers))
    params = trainer.go_on(state, updates).params
    return [
        Contestant(f"{name} seed {seed}", agent.policy, select_run(params, seed))
        for seed in range(seeds)
    ]


def costs_of_all(problem: Problem, contestants: Sequence[Contestant], paths: int) -> np.ndarray:
    """Cost a period `[contestants, B]`, in each period where series share these
    `[contestants, T, B]`; on the same noise.
    """
    return np.stack(
        [costs(problem, contestant, root(RESERVED_SEED), paths) for contestant in contestants]
    )
