"""Trainings of several seeds side by side, on seeds that no setting was chosen with."""

from collections.abc import Sequence

import numpy as np

from jaxinv.agents.learner import Learner
from jaxinv.agents.loop import Trainer, select_run, stack_agents
from jaxinv.agents.validation import Validation
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.keys import Role, keys_of, root
from jaxinv.studies.rows import RESERVED_SEED


def trained(
    name: str, agent: Learner, updates: int, seeds: int, validation: Validation | None = None
) -> list[Contestant]:
    """The policies of several seeds, trained in one program.

    Args:
      name: what they are called, with their seed.
      validation: chooses among the parameters of a training; None to keep the latest.
    """
    trainer = Trainer(stack_agents([agent], seeds), seeds, validation)
    params = trainer.train(keys_of(root(RESERVED_SEED), Role.TRAINING, seeds), updates).params
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
