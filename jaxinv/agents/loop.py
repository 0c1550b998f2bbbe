"""The one training loop: compiled stretches of updates, and what happens between them."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.agents.agent import Agent
from jaxinv.agents.validation import Best, Validation
from jaxinv.errors import UserError
from jaxinv.limits import check_memory
from jaxinv.placement import check_divides, shardings


@struct.dataclass
class Training:
    """What the loop carries on: saved whole in a checkpoint."""

    learner: Any
    best: Best | None = None  # None without a validation

    @property
    def params(self) -> Any:
        """Parameters of the policy that a training ends with: the best seen, or else the latest."""
        return self.learner.params if self.best is None else self.best.params


CACHED_ENVIRONMENTS = 1024
"""Environments of all runs that a CPU's caches hold. On one core, a run of 1024 environments (PPO)
takes 1.7 times as long among four side by side as alone; runs of 128 (diffsim) are fastest four to
eight at a time, and 1.3 times slower 32 at a time."""


class Trainer:
    """Runs an agent, or several that differ in seed and traced numbers side by side.

    Attributes:
      agent: the agent; with `runs`, its `numbers` have a leading axis of that size
        (`stack_agents`).
      runs: how many are trained at once in one program, or None for a single one without an axis.
      validation: what the best policy is chosen on, after every stretch of updates; None to end
        with the latest.
      worlds_axis: 0 where every run has worlds and a validation of its own, None where all share
        them.
    """

    def __init__(
        self,
        agent: Agent,
        runs: int | None = None,
        validation: Validation | None = None,
        worlds_axis: int | None = None,
    ):
        self.agent, self.runs, self.validation, self.worlds_axis = (
            agent,
            runs,
            validation,
            worlds_axis,
        )
        check_divides(agent.config.envs, "envs")
        self._compiled: dict[int, Any] = {}
        self._init = jax.jit(self.begin)

    def on(self, agent: Agent, validation: Validation | None) -> "Trainer":
        """The same compiled programs for another agent and validation, which may differ in numbers
        alone.
        """
        other = copy.copy(self)
        other.agent, other.validation = agent, validation
        return other

    def init(self, key: jax.Array) -> Training:
        """The state before the first update; `key` is one, or `[runs]` of them."""
        learner = self._init(self.agent, key)
        return self.place(Training(learner, self._first_best(learner.params)))

    def _first_best(self, params):
        if self.validation is None:
            return None
        best = Best.first(params, self.runs)
        if not getattr(self.agent, "begins_ready", False):
            return best
        return jax.jit(self._map(_judged))(self.agent, best, self.validation)

    def place(self, state: Training) -> Training:
        """The state as it lies over devices (`jaxinv.placement`), wherever it lay before."""
        return jax.device_put(state, shardings(state))

    def check_memory(self, key: jax.Array) -> None:
        """Refuses a training whose state cannot fit into memory, before anything is made.

        Raises:
          UserError: it names the largest part and the options that make it smaller.
        """
        state = jax.eval_shape(self.begin, self.agent, key)
        parts = {name: _bytes(part) for name, part in vars(state).items()}
        largest = max(parts, key=parts.get)
        lower = {"replay": "capacity", "episodes": "envs, history or lead times", "index": "envs"}
        lower |= dict.fromkeys(
            ("tables", "visits"), "seeds, largest_stock, largest_order or largest_transfer"
        )
        check_memory(
            sum(parts.values()),
            f"the state of a training, mostly its {largest},",
            lower.get(largest, "hidden, features or layers"),
        )

    def begin(self, agent: Agent, key: jax.Array) -> Any:
        """The learner before the first update, traced into whatever program calls it."""
        return self._map(lambda agent, key, _: agent.init(key))(agent, key)

    def updates(self, agent: Agent, learner: Any, count: int) -> tuple[Any, dict[str, jax.Array]]:
        """Updates, traced likewise: the learner after them, and metrics `[count]` or
        `[runs, count]` of each.
        """
        return self._map(lambda agent, learner, _: _updates(agent, learner, count))(agent, learner)

    def compile(self, state: Training, updates: int) -> None:
        """Compiles a stretch of `updates` ahead, so that its time is not counted as training."""
        self._stretch(state, updates)

    def advance(self, state: Training, updates: int) -> tuple[Training, dict[str, np.ndarray]]:
        """A stretch of updates: the new state, and metrics `[updates]` or `[updates, runs]` of
        each.
        """
        state, metrics = self._stretch(state, updates)(self.agent, state, self.validation)
        metrics = jax.device_get(metrics)
        return state, (
            metrics if self.runs is None else {name: values.T for name, values in metrics.items()}
        )

    def train(self, key: jax.Array, updates: int) -> Training:
        """A whole training without log or checkpoint, for studies.

        Raises:
          UserError: if it breaks down.
        """
        return self.go_on(self.init(key), updates)

    def go_on(self, state: Training, updates: int) -> Training:
        """The same from a state that is there."""
        length = stretch_length(updates)
        for done in range(0, updates, length):
            state, metrics = self.advance(state, length)
            check_finite(metrics, done)
        check_moving(metrics)
        return state

    def _stretch(self, state, updates):
        if updates not in self._compiled:

            def of_one(agent, state, validation):
                learner, metrics = _updates(agent, state.learner, updates)
                if validation is None:
                    return Training(learner), metrics
                cost = validation.cost(agent.policy, learner.params)
                metrics["validation_cost"] = jnp.broadcast_to(cost, metrics["cost"].shape)
                return Training(learner, state.best.follow(learner.params, cost)), metrics

            lying = shardings(state)
            stretch = jax.jit(
                self._map(of_one), out_shardings=None if lying is None else (lying, None)
            )
            compiled = stretch.lower(self.agent, state, self.validation).compile()
            sizes = compiled.memory_analysis()
            if sizes is not None:
                needed = sizes.temp_size_in_bytes + sizes.output_size_in_bytes
                check_memory(needed, "an update", "envs, rollout, hidden or lead times")
            self._compiled[updates] = compiled
        return self._compiled[updates]

    def _map(self, function: Callable) -> Callable:
        """A function of (agent, key or state, validation) of one run as one of all runs, side by
        side or in groups.
        """
        if self.runs is None:
            return lambda agent, state, validation=None: function(agent, state, validation)

        def of_all(agent, state, validation=None):
            def of_one(own):
                numbers, state, worlds = own
                mine, judge = (agent.worlds, validation) if worlds is None else worlds
                return function(agent.replace(numbers=numbers, worlds=mine), state, judge)

            own = (
                agent.numbers,
                state,
                None if self.worlds_axis is None else (agent.worlds, validation),
            )
            return in_groups(jax.vmap(of_one), own, runs_at_once(self.runs, self.agent.config.envs))

        return of_all


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def runs_at_once(runs: int, environments: int) -> int:
    """How many of some runs go at once: all, but on a CPU as many as its caches hold, in groups of
    equal size.

    Args:
      environments: of each run.
    """
    if jax.default_backend() != "cpu":
        return runs
    most = max(CACHED_ENVIRONMENTS // environments, 1)
    return max(width for width in range(1, min(most, runs) + 1) if runs % width == 0)


def in_groups(function: Callable, runs: Any, width: int) -> Any:
    """A function of `width` runs at once, of all runs: group after group, which a leading axis of
    `runs` is cut into.
    """
    count = jax.tree.leaves(runs)[0].shape[0]
    if width == count:
        return function(runs)
    grouped = jax.tree.map(lambda leaf: leaf.reshape(count // width, width, *leaf.shape[1:]), runs)
    done = jax.lax.map(function, grouped)
    return jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), done)


def _judged(agent: Agent, best: Best, validation: Validation) -> Best:
    """The first policy with its cost, so that a later one has to be better."""
    return best.replace(cost=validation.cost(agent.policy, best.params))


def _updates(agent: Agent, learner: Any, count: int) -> tuple[Any, dict[str, jax.Array]]:
    """A scan of updates of one run."""
    return jax.lax.scan(lambda learner, _: agent.update(learner), learner, length=count)


def stretch_length(updates: int, stretches: int = 40) -> int:
    """The length of stretches that divides `updates` evenly and gives about `stretches` of them."""
    wanted = max(updates // stretches, 1)
    divisors = [length for length in range(1, updates + 1) if updates % length == 0]
    return min(divisors, key=lambda length: abs(length - wanted))


def check_finite(metrics: dict[str, np.ndarray], before: int) -> None:
    """Raises at the first update whose metrics are not all finite.

    Args:
      metrics: of a stretch, as `Trainer.advance` gives them.
      before: updates done before the stretch.
    """
    for name, values in metrics.items():
        wrong = ~np.isfinite(values).reshape(len(values), -1).all(1)
        if wrong.any():
            raise UserError(
                f"training broke down in update {before + int(np.argmax(wrong)) + 1}: {name} is not"
                " a finite number. A smaller learning_rate or max_grad_norm usually helps"
            )


def check_moving(metrics: dict[str, np.ndarray]) -> None:
    """Raises where no update of a stretch had a gradient: the orders no longer depend on the
    network.
    """
    if not np.any(metrics["gradient_norm"], axis=0).all():
        raise UserError(
            "training has stopped learning: every gradient is zero. A smaller learning_rate,"
            " another seed or form=base usually helps, as do costs that depend on orders"
        )


DIVERGED = 100.0
"""Errors of critics are 1 or less in what they are learned in, standard deviations; this is one
that runs away.
"""


def check_critics(metrics: dict[str, np.ndarray], agent: Agent) -> None:
    """Raises where the critics of a stretch ended nowhere; of several runs, all of them.

    Such a policy may still be cheap by chance. A penalty on rewards widens what a critic has to
    tell by its weight.
    """
    if "value_loss" not in metrics:
        return
    error = metrics["value_loss"][-1]
    if np.all(error > DIVERGED * (1.0 + np.asarray(agent.numbers["penalty_weight"])) ** 2):
        raise UserError(
            f"training diverged: the error of the critic is {np.min(error):.4g}, where at most 1 is"
            " usual. A smaller learning_rate usually helps, as does a smaller target_rate or"
            " discount"
        )


def stack_agents(agents: list[Agent], seeds: int, own_worlds: bool = False) -> Agent:
    """One agent whose numbers are those of several agents, each repeated for every seed:
    `[len(agents) * seeds]`.

    Args:
      own_worlds: the agents' worlds differ, in numbers alone, and are stacked likewise; else they
        are the first's.
    """

    stacked = agents[0].replace(numbers=stack_runs([agent.numbers for agent in agents], seeds))
    if own_worlds:
        stacked = stacked.replace(worlds=stack_runs([agent.worlds for agent in agents], seeds))
    return stacked


def stack_runs(trees: list[Any], seeds: int) -> Any:
    """Trees of equal shape as one with a leading axis, each repeated for every seed:
    `[len(trees) * seeds, ...]`.
    """
    return jax.tree.map(lambda *leaves: jnp.repeat(jnp.stack(leaves), seeds, axis=0), *trees)


def select_run(state: Any, run: int | None) -> Any:
    """The state of one run out of several trained at once."""
    return state if run is None else jax.tree.map(partial(_row, run), state)


def _row(index, leaf):
    return leaf[index]
