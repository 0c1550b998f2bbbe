"""Random search as DeepStock tunes: trials drawn from a space, the best by validation run again
over seeds.

All trials of a method and a form are one compiled program, and so are the runs over seeds; the
programs are compiled once and serve every setting, because all settings are brought to one size.
What the published spaces (methods A.6) vary and a program has fixed is fixed here: network, batch,
and for PPO the length of a rollout and its epochs. Their learning rates fall linearly or on
plateaus, here on a cosine, from the one drawn to the other. Their first order or level, a share
U(.2, .7) of a largest order of 100, is here a multiple of what typical demand needs.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.agents.actor_q import DDPG, DDPGConfig
from jaxinv.agents.agent import Agent
from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.learner import LearnerConfig
from jaxinv.agents.loop import Trainer, Training, select_run, stack_agents, stretch_length
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.agents.validation import Validation
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.rollout import take_instances
from jaxinv.keys import Role, generator, key_of, keys_of, root
from jaxinv.policies.decode import raw_of


class Range(NamedTuple):
    """What a number is drawn from: uniformly, or uniformly in its logarithm."""

    low: float
    high: float
    log: bool = True

    def draw(self, draw: np.random.Generator) -> float:
        if self.log:
            return float(np.exp(draw.uniform(np.log(self.low), np.log(self.high))))
        return float(draw.uniform(self.low, self.high))


START = "start"
"""The number that is none of the learner's: the first order or level, in multiples of what typical
demand needs.
"""

BIAS = {START: Range(0.5, 1.75, log=False)}


@dataclass(frozen=True)
class Method:
    """A learner, its fixed hyper-parameters and the space of the others."""

    name: str
    agent: type[Agent]
    config: LearnerConfig
    space: dict[str, Range]

    def trials(self, count: int) -> list[dict[str, float]]:
        """Points of the space; the same for every form and setting."""
        draw = generator(Role.TRIALS, 0)
        return [
            {name: range.draw(draw) for name, range in self.space.items()} for _ in range(count)
        ]

    def lasting(self, share: float) -> "Method":
        """The same method with a share of its updates."""
        updates = max(round(self.config.updates * share), 1)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, updates=updates))


REVIEWS = dict(rollout=28, encoder="known", activation="elu", aligned_rewards=True)

METHODS = (
    Method(
        "DS",
        DiffSim,
        DiffSimConfig(
            updates=1000, envs=10, rollout=29, encoder="known", hidden=(32, 32), max_grad_norm=5.0
        ),
        {"learning_rate": Range(4e-4, 1e-1), "final_learning_rate": Range(1e-5, 1e-3), **BIAS},
    ),
    Method(
        "DDPG",
        DDPG,
        DDPGConfig(
            updates=200,
            envs=10,
            hidden=(32, 32),
            capacity=28000,
            batch=128,
            steps=10,
            critics=1,
            **REVIEWS,
        ),
        {
            "learning_rate": Range(3e-4, 9e-3),
            "final_learning_rate": Range(6e-5, 3e-4),
            # published 1e-3 to 1e-2, for a hundred times as many steps
            "target_rate": Range(5e-3, 5e-2),
            "discount": Range(0.98, 1.0, log=False),
            **BIAS,
        },
    ),
    Method(
        "PPO",
        PPO,
        PPOConfig(
            updates=100,
            envs=64,
            hidden=(32, 32),
            epochs=5,
            minibatches=4,
            forecast=0,
            pathwise=False,
            max_grad_norm=0.5,
            **REVIEWS,
        ),
        {
            "learning_rate": Range(5e-5, 9e-3),
            "final_learning_rate": Range(1e-5, 5e-5),
            "clip": Range(0.1, 0.3, log=False),
            "entropy_weight": Range(1e-4, 0.5),
            "discount": Range(0.98, 1.0, log=False),
            "gae_lambda": Range(0.5, 1.0, log=False),
            **BIAS,
        },
    ),
)

METHOD_NAMES = tuple(method.name for method in METHODS)


class Trained(NamedTuple):
    """Runs of one program: cost `[R]` on the validation, and cost `[R, paths]` on the test."""

    validation: np.ndarray
    test: np.ndarray


class SearchResult(NamedTuple):
    """What a search came to.

    Attributes:
      trials: all of them, one seed each.
      points: their hyper-parameters.
      best: which of them the seeds chose.
      seeds: its runs.
    """

    trials: Trained
    points: list[dict[str, float]]
    best: int
    seeds: Trained


class Search:
    """Searches that share their compiled programs.

    Attributes:
      trials: how many; also how many runs go over seeds, so that both are one program.
      seeds: runs of each of the `trials / seeds` best trials.
    """

    def __init__(self, trials: int, seeds: int):
        if trials % seeds:
            raise ValueError(f"{trials} runs are no whole number of {seeds} seeds")
        self.count, self.seeds = trials, seeds
        self._trainers: dict[Any, Trainer] = {}

    def tune(self, method: Method, form: str, problem: Problem, key: jax.Array) -> SearchResult:
        """Draws trials, and runs the best again over seeds; the one with the least mean validation
        is chosen.
        """
        points = method.trials(self.count)
        trials = self.train(
            method, form, problem, points, keys_of(key, Role.SEARCH_TRIALS, self.count)
        )
        top = np.argsort(trials.validation)[: self.count // self.seeds]
        keys = jnp.tile(keys_of(key, Role.TRAINING, self.seeds), len(top))
        runs = self.train(
            method, form, problem, [points[one] for one in np.repeat(top, self.seeds)], keys
        )
        best = int(np.argmin(runs.validation.reshape(-1, self.seeds).mean(1)))
        own = slice(best * self.seeds, (best + 1) * self.seeds)
        return SearchResult(
            trials, points, int(top[best]), Trained(runs.validation[own], runs.test[own])
        )

    def train(
        self, method: Method, form: str, problem: Problem, points: list[dict[str, float]], keys
    ) -> Trained:
        """Trains one run for each point and key side by side, and judges the policies that their
        validations chose.
        """
        config, updates = dataclasses.replace(method.config, form=form), method.config.updates
        agent = stack_agents(
            [method.agent.create(problem, _with(config, point)) for point in points], 1
        )
        validation = Validation.of(problem, key_of(root(0), Role.VALIDATION))
        program = (problem.env, config, len(points), problem.instances, problem.horizon)
        if program not in self._trainers:
            self._trainers[program] = Trainer(agent, len(points), validation)
        trainer = self._trainers[program].on(agent, validation)
        state = _started(trainer.init(keys), config, np.array([point[START] for point in points]))
        length = stretch_length(updates, 25)
        for _ in range(
            updates // length
        ):  # a trial that breaks down is no mistake: no validation chooses it
            state, _ = trainer.advance(state, length)
        test = [
            costs_on_test(problem, Contestant("", agent.policy, select_run(state.params, run)))
            for run in range(len(points))
        ]
        return Trained(np.asarray(state.best.cost), np.stack(test))


def _with(config: LearnerConfig, point: dict[str, float]) -> LearnerConfig:
    return dataclasses.replace(
        config, **{name: value for name, value in point.items() if name != START}
    )


def _started(training: Training, config: LearnerConfig, start: np.ndarray) -> Training:
    """The same state with the actor's last bias `[R, 1]` moved to a first order or level, its
    targets too.
    """
    bias, moved = f"Dense_{len(config.hidden)}", jnp.asarray(raw_of(start), jnp.float32)[:, None]

    def move(path, leaf):
        names = [getattr(part, "key", None) for part in path]
        return leaf + moved if names[-3:] == ["actor", bias, "bias"] else leaf

    learner = training.learner
    changed = {
        name: jax.tree_util.tree_map_with_path(move, getattr(learner, name))
        for name in ("params", "target")
        if hasattr(learner, name)
    }
    return training.replace(learner=learner.replace(**changed))


def costs_on_test(problem: Problem, contestant: Contestant) -> np.ndarray:
    """Cost a counted day `[paths]` of a policy on the test."""
    return costs(problem, contestant, root(0))


def of_one_size(problem: Problem, size: int) -> Problem:
    """The problem with its training trajectories repeated up to `size`, and as many to validate on.

    Each is as likely to be drawn as before, so nothing is learned that was not there; problems of
    one size share a program.
    """
    count = problem.instances - len(problem.held_out)
    index = np.concatenate([np.resize(np.arange(count), size), np.resize(problem.held_out, size)])
    return dataclasses.replace(
        problem,
        train=take_instances(problem.train, index),
        instances=2 * size,
        held_out=tuple(range(size, 2 * size)),
    )


def training_alone(problem: Problem) -> Problem:
    """The problem without what its policies are chosen on: what a rule is tuned on."""
    count = problem.instances - len(problem.held_out)
    train = take_instances(problem.train, np.arange(count))
    return dataclasses.replace(problem, train=train, instances=count, held_out=())
