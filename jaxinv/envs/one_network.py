"""Several problems on one network: one compiled program for all of them."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp

from jaxinv.demand.exogenous import QuotedLeadTimes
from jaxinv.demand.processes import TableParams
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError


class DifferentNetworks(UserError):
    """Problems that no one environment can play."""


def on_one_network(problems: Sequence[Problem]) -> list[Problem]:
    """The same problems on one and the same environment, so that one compiled program plays them
    side by side.

    Where lead times differ they become numbers of the instance, and shorter demand tables are
    filled up. What the problems are about does not change; only their arrays get a common shape.

    Raises:
      DifferentNetworks: if they differ in more than numbers.
    """
    first = problems[0].env
    if any(problem.env != first for problem in problems):
        longest = max(problem.env.topology.max_lead_time for problem in problems)
        problems = [_quote_lead_times(problem, longest) for problem in problems]
    problems = _fill_up_tables(problems)
    env = problems[0].env

    def sizes(problem):
        return (
            problem.env,
            problem.instances,
            jax.tree.map(jnp.shape, (problem.train, problem.test)),
            problem.horizon,
        )

    if any(sizes(problem) != sizes(problems[0]) for problem in problems):
        raise DifferentNetworks(
            "these instances differ in more than numbers and cannot share one program"
        )
    return [replace(problem, env=env) for problem in problems]


def _quote_lead_times(problem: Problem, longest: int) -> Problem:
    """The problem with fixed lead times as numbers of the instance, up to `longest`."""
    env, topology = problem.env, problem.env.topology
    if topology.lead_times is None or longest < 1 or topology.storeless:
        return problem
    topology = replace(topology, lead_times=None, max_lead_time=longest)
    world = replace(env.world, lead_time=QuotedLeadTimes())
    return replace(
        problem, env=type(env)(topology, world, env.default_params, env.history, env.name)
    )


def _fill_up_tables(problems: Sequence[Problem]) -> list[Problem]:
    """The problems with their tables of demand of one length; a distribution function ends in
    ones.
    """
    laws = [params.demand for problem in problems for params in (problem.train, problem.test)]
    if not all(isinstance(law, TableParams) for law in laws):
        return list(problems)
    longest = max(law.cdf.shape[-3] for law in laws)
    return [
        replace(
            problem,
            train=problem.train.replace(demand=problem.train.demand.filled(longest)),
            test=problem.test.replace(demand=problem.test.demand.filled(longest)),
        )
        for problem in problems
    ]
