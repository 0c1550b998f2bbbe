"""Partners: who decide by a classical rule with given numbers what the agents that learn leave to
them.
"""

import ast
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.problem import Problem
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, called, unknown
from jaxinv.policies.registry import RULES
from jaxinv.policies.rule import Rule, quantity_unit
from jaxinv.policies.rules import rule_for


@dataclass(frozen=True)
class Partners:
    """A rule with its numbers.

    Attributes:
      rule: the rule, on the whole network.
      numbers: each of its numbers in product units: one for all edges, or one for each.
    """

    rule: Rule
    numbers: tuple[tuple[str, tuple[float, ...]], ...]

    @classmethod
    def parse(cls, text: str, problem: Problem) -> "Partners":
        """Partners of a text such as "base_stock(level=[8, 8, 0, 0])" or
        "anchor_and_adjust(level=17, adjustment=0.5, ...)".

        Raises:
          UserError: for an unknown rule, a rule that remembers or draws, or numbers that are not
            its own.
        """
        name, given = _read(text)
        if name not in RULES:
            raise unknown("rule of partners", name, RULES)
        rule = rule_for(problem, name)
        if rule.remembers or rule.draws:
            raise UserError(
                f"partners={name}: the rule has a memory or draws at random, and partners decide by"
                " their observation alone; give another"
            )
        for number in given:
            if number not in rule.ranges:
                raise unknown(f"number of {name} in partners", number, rule.ranges)
        missing = [number for number in rule.ranges if number not in given]
        if missing:
            raise UserError(
                f"partners={text} lacks {', '.join(missing)} of {name}; `{called('tune')}"
                f" {name}` finds numbers for a preset"
            )
        edges = problem.env.topology.edges
        for number, values in given.items():
            wanted = (1,) if number in rule.scalars else (1, edges)
            if len(values) not in wanted:
                raise UserError(
                    f"partners: {number} of {name} has {len(values)} values; give"
                    f" {' or '.join(map(str, dict.fromkeys(wanted)))}"
                )
        return cls(rule, tuple(given.items()))

    def encode(self, signals: jax.Array, facts: Facts) -> Any:
        """What the rule reads of signals."""
        return self.rule.encode(self.params(facts), signals, facts)

    def orders(self, observation: Observation, context: Any) -> jax.Array:
        """What the rule orders on all edges `[E, K]`."""
        return self.rule.act(self.params(observation.instance), observation, context)

    def params(self, facts: Facts) -> dict[str, jax.Array]:
        """The numbers as the rule has them: levels and quantities as multiples of what demand
        uses.
        """
        topology: Topology = self.rule.topology
        units = dict.fromkeys(self.rule.levels, self.rule.level_unit(facts))
        units |= dict.fromkeys(self.rule.quantities, quantity_unit(topology, facts))
        params = {}
        for name, values in self.numbers:
            if name in self.rule.scalars:
                params[name] = jnp.float32(values[0])
            else:
                value = np.broadcast_to(
                    np.asarray(values, np.float32)[:, None], (topology.edges, topology.products)
                )
                params[name] = value / units.get(name, 1.0)
        return params


def _read(text: str) -> tuple[str, dict[str, tuple[float, ...]]]:
    """The name of the rule, and its numbers."""
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Name):
            return call.id, {}
        if call.args:
            raise ValueError
        given = {
            keyword.arg: np.atleast_1d(np.asarray(ast.literal_eval(keyword.value), float))
            for keyword in call.keywords
        }
        if any(values.ndim != 1 or not np.all(np.isfinite(values)) for values in given.values()):
            raise ValueError
        return call.func.id, {name: tuple(map(float, values)) for name, values in given.items()}
    except (SyntaxError, ValueError, TypeError, AttributeError):
        raise UserError(
            f"partners={text} is not a rule with its numbers, such as base_stock(level=[8, 8, 0,"
            " 0]): names, =, and numbers or lists of them"
        ) from None
