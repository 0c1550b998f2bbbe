"""Scenarios: a problem whose test world changes at a given day, for policies that have to notice
and adapt.
"""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.exogenous import QuotedLeadTimes
from jaxinv.demand.interventions import Intervened, Intervention, check_movable
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, unknown

SCENARIOS = {
    "none": Intervention(),
    "demand_step": Intervention(demand=1.5),
    "promotion_burst": Intervention(promotion=3.0, stop=21.0),
    "lead_time": Intervention(lead_time=4.0),
    "outage": Intervention(outage=1.0, stop=14.0),
    "trend": Intervention(trend=math.log(2) / 180, stop=180.0),
}
"""The suite of methods.md D.4, from day 0 on: demand up by half, three weeks of promotion at 3
times the demand, lead times 4 days longer (3 become 7), two weeks without the supplier, demand that
doubles within 180 days, and no change."""


def open_to_change(problem: Problem, room: int = 0) -> Problem:
    """The same problem on an environment that interventions can change; nothing is changed yet.

    All its scenarios are numbers of this one environment, so a policy that is trained on it runs in
    each of them, and one compiled program plays them all.

    Args:
      room: periods by which lead times may exceed the longest that the network knows now. Fixed
        lead times then become numbers of the instance. More room means more pipeline in the state.
    """
    env, topology = problem.env, problem.env.topology
    if room:
        world = (
            env.world
            if topology.random_lead_time
            else replace(env.world, lead_time=QuotedLeadTimes())
        )
        topology = replace(topology, lead_times=None, max_lead_time=topology.max_lead_time + room)
    else:
        world = env.world
    suppliers = tuple(topology.from_supplier.tolist())
    world = Intervened(
        world.demand,
        world.lead_time,
        world.clock,
        world.arrival,
        world.order_days,
        suppliers,
        topology.max_lead_time,
    )
    params = env.default_params.replace(intervention=_arrays(Intervention(), None))
    return replace(
        problem,
        env=type(env)(topology, world, params, env.history, env.name),
        train=intervene(problem.train, Intervention(), problem.instances),
        test=intervene(problem.test, Intervention(), problem.instances),
    )


def scenario(problem: Problem, name: str, start: int) -> Problem:
    """The problem with a scenario in its test world; training stays in the world as it was.

    Args:
      problem: any; one that `open_to_change` made keeps its environment.
      name: of `SCENARIOS`.
      start: period of the first decision whose demand and lead time are changed
        (`Observation.time`).

    Raises:
      UserError: for a name that does not exist, or a change of what the problem's world cannot
        move.
    """
    if name not in SCENARIOS:
        raise unknown("scenario", name, SCENARIOS)
    return under_intervention(problem, SCENARIOS[name].from_day(start))


def under_intervention(problem: Problem, change: Intervention) -> Problem:
    """The problem with any intervention in its test world; its days count from the first
    decision.
    """
    if not isinstance(problem.env.world, Intervened):
        problem = open_to_change(problem)
    env = problem.env
    check_movable(env.world, change, env.name)
    _check_room(problem, change)
    return replace(
        problem, test=intervene(problem.test, change.from_day(env.history), problem.instances)
    )


def suite(problem: Problem, start: int, names: tuple[str, ...] = tuple(SCENARIOS)) -> Intervention:
    """Scenarios as one intervention with arrays `[len(names)]`, to vmap over `intervene`; the days
    are the world's.
    """
    changes = [SCENARIOS[name].from_day(start) for name in names]
    for change in changes:
        under_intervention(problem, change)
    stacked = jax.tree.map(lambda *numbers: jnp.asarray(numbers, jnp.float32), *changes)
    return stacked.from_day(problem.env.history)


def intervene(
    params: InstanceParams, change: Intervention, instances: int | None = None
) -> InstanceParams:
    """Parameters under an intervention, which all `instances` share; its days are those of the
    world. Pure.
    """
    return params.replace(intervention=_arrays(change, instances))


def changes(params: InstanceParams) -> bool:
    """Whether an intervention is in force, at any time; for concrete parameters."""
    return params.intervention is not None and bool(params.intervention.touches())


def _arrays(change: Intervention, instances: int | None) -> Intervention:
    def full(number):
        number = jnp.asarray(number, jnp.float32)
        return number if instances is None else jnp.broadcast_to(number, (instances, *number.shape))

    return jax.tree.map(full, change)


def _check_room(problem: Problem, change: Intervention) -> None:
    """Refuses lead times that the pipeline of the network cannot hold."""
    if "lead_time" not in change.touches():
        return
    outage = np.any(np.asarray(change.outage) > 0)
    if outage and not np.all(np.isfinite(change.stop)):
        raise UserError("an outage needs a last day: give the intervention a stop")
    longest, edges = problem.env.topology.max_lead_time, problem.env.world.suppliers
    quoted = np.asarray(problem.test.lead_time).reshape(-1, len(edges)).max(0)
    waiting = np.max(np.asarray(change.stop) - np.asarray(change.start)) if outage else 0.0
    needed = math.ceil(np.max(quoted + np.max(change.lead_time) + waiting * np.asarray(edges)))
    if needed > longest:
        raise UserError(
            f"this change takes lead times to {needed} periods and {problem.env.name} holds"
            f" {longest}; open it to change with room={needed - longest} or more (open_to_change)"
        )
