"""The optimum of an instance, by a closed form where there is one and state by state where there is
none.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Problem, first_of
from jaxinv.envs.scenarios import changes
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.errors import UserError
from jaxinv.exact.clark_scarf import solve_serial
from jaxinv.exact.enumeration import MEMORY, Enumeration, enumerate_states
from jaxinv.exact.finite_horizon import solve_season
from jaxinv.exact.reorder_point import optimal_order_up_to, read_store
from jaxinv.policies.policy import Policy
from jaxinv.policies.rules import Rule, make_rule

BACKWARD = "backward induction"
"""What solves episodes that end."""


@dataclass(frozen=True)
class Solution:
    """A solved instance.

    Attributes:
      average_cost: of the best policy, a period.
      interval: bounds that were proved for it.
      method: what solved it.
      policy, params: the optimal policy, to be rolled out, compared and saved like any other.
      seconds: it took.
      enumeration: the tables, where the instance was solved state by state.
    """

    average_cost: float
    interval: tuple[float, float]
    method: str
    policy: Policy
    params: Any
    seconds: float
    enumeration: Enumeration | None = None


def solve(
    env: InventoryNetwork,
    params: InstanceParams | None = None,
    *,
    discount: float = 1.0,
    tolerance: float = 1e-7,
    memory: float = MEMORY,
    most: float = math.inf,
) -> Solution:
    """The policy of least average cost a period among all policies.

    A chain with backlog is solved by Clark and Scarf's recursion, a store with backlog by Zheng and
    Federgruen's (s, S), anything else by value iteration over all states.

    Args:
      params: of one instance; the environment's own where not given.
      discount: below 1, the policy of least discounted cost instead, by value iteration.
      tolerance: of value iteration, relative to the cost.
      memory, most: bytes that value iteration may use, and states times orders.

    Raises:
      UserError: an instance that no method covers, or one too large.
    """
    params = env.default_params if params is None else params
    if changes(params):
        raise UserError(
            f"{env.name} changes with time here, and exact solvers need a world that stays as it is"
        )
    began = time.monotonic()
    closed_form = closed_form_of(env.topology) if discount == 1 else None
    if closed_form:
        cost, error, rule, numbers = closed_form(env, params)
        pure = pure_numbers(rule, numbers, env, params)
        method = CLOSED_FORMS[closed_form]
        return Solution(
            cost, (cost - error, cost + error), method, rule, pure, time.monotonic() - began
        )
    found = enumerate_states(
        env, params, discount=discount, tolerance=tolerance, memory=memory, most=most
    )
    return Solution(
        found.cost,
        found.interval,
        "value iteration",
        found.policy,
        found.params,
        time.monotonic() - began,
        found,
    )


def solve_problem(
    problem: Problem,
    *,
    discount: float = 1.0,
    tolerance: float = 1e-7,
    memory: float = MEMORY,
    most: float = math.inf,
) -> Solution:
    """The optimum of what policies of a problem with one instance are judged on: of its episodes
    where they end for good, by backward induction, and else of the long run (`solve`).

    Raises:
      UserError: as `solve`; several instances; or a discount where episodes end.
    """
    env, params = problem.env, first_of(problem.test)
    if not problem.single:
        raise UserError(
            f"optimal: these are {problem.instances} instances, each a problem of its own"
        )
    if not problem.ends:
        return solve(env, params, discount=discount, tolerance=tolerance, memory=memory, most=most)
    if discount != 1 or problem.warm_up or changes(params):
        raise UserError(
            "episodes that end are solved whole: without a discount, a warm-up or a change of the"
            " world"
        )
    began = time.monotonic()
    found = solve_season(env, params, problem.test_periods, memory=memory, most=most)
    return Solution(
        found.cost,
        (found.cost, found.cost),
        BACKWARD,
        found.plan.policy,
        found.plan.params,
        time.monotonic() - began,
    )


def pure_numbers(
    rule: Rule, numbers: dict[str, Any], env: InventoryNetwork, params: InstanceParams
) -> dict[str, Any]:
    """Parameters of a rule, which are pure numbers, from values in product units: the inverse of
    `Rule.natural`.
    """
    units = rule.natural(dict.fromkeys(numbers, 1.0), env.facts(params))
    return {name: jnp.asarray(value, jnp.float32) / units[name] for name, value in numbers.items()}


def closed_form_of(topology: Topology):
    """The closed form that solves a network, or None."""
    chain = topology.sources == (
        SUPPLIER,
        *range(topology.nodes - 1),
    ) and topology.destinations == tuple(range(topology.nodes))
    owing = topology.order_memory or topology.internal_backlog or topology.advance_nodes
    if owing or not (
        chain
        and topology.backlog
        and topology.lead_times
        and topology.demand_nodes == (topology.nodes - 1,)
    ):
        return None
    if topology.nodes > 1:
        return _chain if topology.mechanisms <= {"packs", "unit_cost", "transit_holding"} else None
    return _store if topology.mechanisms <= {"packs", "unit_cost", "fixed_cost"} else None


def _chain(env, params):
    found = solve_serial(env, params)
    rule = make_rule("echelon_base_stock", env.topology)
    return found.average_cost, found.error, rule, {"level": found.levels[:, None]}


def _store(env, params):
    found = optimal_order_up_to(read_store(env, params))
    if not env.topology.has("fixed_cost"):
        return (
            found.average_cost,
            0.0,
            make_rule("base_stock", env.topology),
            {"level": np.full((1, 1), found.up_to)},
        )
    numbers = {"reorder": np.full((1, 1), found.reorder), "gap": np.full((1, 1), found.quantity)}
    return found.average_cost, 0.0, make_rule("s_S", env.topology), numbers


CLOSED_FORMS = {_chain: "Clark & Scarf", _store: "Zheng & Federgruen"}
"""Who found them."""
