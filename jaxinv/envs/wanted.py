"""Fill rates that are wanted, as factors on the costs of shortages (`jaxinv.evaluation.service`
finds them).
"""

import dataclasses

import numpy as np

from jaxinv.envs.problem import Problem


def with_factors(problem: Problem, factors: dict[float, float]) -> Problem:
    """The problem with shortage costs times the factor of each instance's wanted fill rate."""
    wanted = np.asarray(problem.service, float)
    factor = np.ones(len(wanted), np.float32)
    for level, value in factors.items():
        factor[wanted == level] = value

    def priced(one: Problem | None) -> Problem | None:
        if one is None:
            return None
        train, test = (
            params.replace(shortage=params.shortage * factor[:, None, None])
            for params in (one.train, one.test)
        )
        return dataclasses.replace(one, train=train, test=test, choice=priced(one.choice))

    return dataclasses.replace(priced(problem), rehearsal=priced(problem.rehearsal))
