"""The medium clock: a teacher is distilled into a student of at most a quarter of its parameters
(seed 000, equation 9).

Equation 9 has two readings (methods D.3). With values Q_T of the teacher and Q_S of the student on
the grid g of multipliers,

    9a  L = E_s sum_k w_k(s) (Q_S(s, g_k) - Q_T(s, g_k))^2,   w = softmax(Q_T / temperature)
    9b  L = E_s (Q_T(s, a_S(s)) - Q_T(s, a_T(s)))^2,
        the teacher's own Q, at the student's and at its own action,

and to either are added  weight * KL(pi_T || pi_S)  and the student's forecast loss. Reading and
numbers are traced, so a whole fleet of students, of any seeds, temperatures and readings, is one
program.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.adapt.online import ADAM, Recent, kl_divergence, simulate_recent
from jaxinv.agents.agent import split_config, traced
from jaxinv.agents.losses import by_environment, flat, pinball
from jaxinv.agents.ppo import LEVELS, PPO
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.observation import Observation
from jaxinv.envs.problem import first_of
from jaxinv.errors import UserError
from jaxinv.keys import Role, key_of
from jaxinv.policies.decode import factor
from jaxinv.policies.learned import LearnedPolicy

SHARE = 0.25
"""Most parameters of a student, as a share of its teacher's."""

STEPS = 10
"""Of Adam on each lesson."""


@dataclass(frozen=True)
class StudentConfig:
    """A student and how it is taught.

    Attributes:
      features, heads, layers, hidden: of its network; the rest is as the teacher's.
      learning_rate: of Adam.
      reading: 0 for equation 9a, 1 for 9b; between them, a mix.
      temperature: of the weights of 9a, in units of the spread of the teacher's values at a state.
      kl_weight, forecast_weight: of the further losses.
    """

    features: int = 16
    heads: int = 2
    layers: int = 1
    hidden: tuple[int, ...] = (16, 16)
    learning_rate: float = traced(3e-3)
    reading: float = traced(0.0)
    temperature: float = traced(1.0)
    kl_weight: float = traced(1.0)
    forecast_weight: float = traced(1.0)

    def __post_init__(self):
        for name in ("learning_rate", "reading", "temperature", "kl_weight", "forecast_weight"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise UserError(f"{name}={getattr(self, name)} must be at least 0")
        if self.reading is not None and self.reading > 1:
            raise UserError(f"reading={self.reading} must lie in 0..1: 0 is equation 9a, 1 is 9b")


@struct.dataclass
class Lesson:
    """States that a teacher came through on given noise, and what came of them; environments
    first.
    """

    tokens: jax.Array  # [B, W + T, C]
    stock: jax.Array  # [B, T, F]
    recent: jax.Array  # [B, T, D * K]
    demand: jax.Array  # [B, T, D * K]

    @classmethod
    def of(
        cls,
        teacher: PPO,
        params: Any,
        network: NetworkState,
        recent: Recent,
        instance: InstanceParams,
    ) -> "Lesson":
        """The states of the teacher's mode policy on a replay that begins with stock `network`."""
        played = simulate_recent(teacher, params, network, recent, instance)
        return cls(
            tokens=teacher.tokens(recent.signals, instance),
            stock=by_environment(played.stock[:-1]),
            recent=by_environment(flat(played.contexts.recent)),
            demand=by_environment(flat(recent.exogenous.demand)),
        )


@struct.dataclass
class StudentState:
    params: Any
    optimiser: Any


@struct.dataclass
class Distiller:
    """Teaches a student. Its functions are pure and map over states, keys and numbers."""

    teacher: LearnedPolicy = struct.field(pytree_node=False)
    student: LearnedPolicy = struct.field(pytree_node=False)
    numbers: dict[str, jax.Array]

    @classmethod
    def create(cls, teacher: PPO, config: StudentConfig) -> "Distiller":
        """A student for an agent's policy.

        Raises:
          UserError: the teacher values no actions, or the student is too large.
        """
        smaller = {
            name: getattr(config, name) for name in ("features", "heads", "layers", "hidden")
        }
        student = teacher.make_policy(teacher.worlds.env, replace(teacher.config, **smaller))
        made = cls(teacher.policy, student, split_config(config)[1])
        check_pair(teacher.policy, student)
        share = made.parameter_ratio(teacher)
        if share > SHARE:
            raise UserError(
                f"this student has {share:.2f} of its teacher's parameters, at most {SHARE:g} is a"
                " student; give it a smaller hidden or features, or the teacher larger ones"
            )
        return made

    def init(self, key: jax.Array, observation: Observation) -> StudentState:
        params = self.student.init(key, observation)
        return StudentState(params, ADAM.init(params))

    def step(
        self, state: StudentState, teacher_params: Any, lesson: Lesson
    ) -> tuple[StudentState, dict[str, jax.Array]]:
        """One step of Adam down the loss."""
        (_, metrics), grads = jax.value_and_grad(self.loss, has_aux=True)(
            state.params, teacher_params, lesson
        )
        steps, optimiser = ADAM.update(grads, state.optimiser)
        rate = self.numbers["learning_rate"]
        params = jax.tree.map(lambda leaf, step: leaf - rate * step, state.params, steps)
        return StudentState(params, optimiser), metrics

    def loss(
        self, params: Any, teacher_params: Any, lesson: Lesson
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss, and its parts: `equation_9`, `kl` and `forecast_loss`."""
        numbers = self.numbers
        told, _ = _decide(self.teacher, jax.lax.stop_gradient(teacher_params), lesson)
        said, forecast = _decide(self.student, params, lesson)
        # values of a state are read beside each other: in units of their spread over the grid
        spread = told.q.std(-1, keepdims=True) + 1e-3
        weight = jax.nn.softmax(told.q / (spread * jnp.maximum(numbers["temperature"], 1e-3)), -1)
        regression = jnp.sum(weight * (said.q - told.q) ** 2, -1).mean()
        regret = jnp.mean((value_at(told.q, said.mean) - value_at(told.q, told.mean)) ** 2)
        equation = (1.0 - numbers["reading"]) * regression + numbers["reading"] * regret
        kl = kl_divergence(told, said).mean()
        metrics = {"equation_9": equation, "kl": kl}
        loss = equation + numbers["kl_weight"] * kl
        if forecast is not None:
            metrics["forecast_loss"] = pinball(forecast, lesson.demand, lesson.recent)
            loss += numbers["forecast_weight"] * metrics["forecast_loss"]
        return loss, metrics

    def parameter_ratio(self, teacher: PPO) -> float:
        """Parameters of the student over those of the teacher."""
        return count(teacher, self.student) / count(teacher, self.teacher)


def study(
    distiller: Distiller,
    student: StudentState,
    teacher_params: Any,
    lesson: Lesson,
    rate: jax.Array,
) -> tuple[StudentState, dict[str, jax.Array]]:
    """A student after `STEPS` on a lesson at a learning rate, and the losses of the last."""
    own = distiller.replace(numbers=distiller.numbers | {"learning_rate": rate})
    student, metrics = jax.lax.scan(
        lambda student, _: own.step(student, teacher_params, lesson), student, length=STEPS
    )
    return student, jax.tree.map(lambda values: values[-1], metrics)


def teach(
    distiller: Distiller,
    key: jax.Array,
    teacher_params: Any,
    lesson_of: Callable[[jax.Array], Lesson],
    observation: Observation,
    lessons: int,
) -> tuple[StudentState, dict[str, jax.Array]]:
    """A student after so many lessons, its learning rate falling to 0 along a cosine, and the
    losses of the last; maps over distillers' numbers and keys.

    Args:
      lesson_of: a lesson by key; on one and the same a student learns its noise by heart.
    """
    student = distiller.init(key, observation)

    def step(student, number):
        rate = 0.5 * (1.0 + jnp.cos(jnp.pi * number / lessons)) * distiller.numbers["learning_rate"]
        return study(
            distiller, student, teacher_params, lesson_of(key_of(key, Role.TEACHING, number)), rate
        )

    student, metrics = jax.lax.scan(step, student, jnp.arange(lessons))
    return student, jax.tree.map(lambda values: values[-1], metrics)


def teach_fleet(
    distiller: Distiller, numbers: dict[str, jax.Array], keys: jax.Array, teacher_params: Any,
    lesson_of: Callable[[jax.Array], Lesson], observation: Observation, lessons: int,
) -> tuple[StudentState, dict[str, jax.Array]]:  # fmt: skip
    """Students side by side, each with its own key `[R]` and its own numbers, those of
    `StudentConfig` `[R]`, where given.
    """
    size = keys.shape[0]
    own = {
        name: jnp.broadcast_to(numbers.get(name, value), (size,))
        for name, value in distiller.numbers.items()
    }

    def single(numbers, key):
        return teach(
            distiller.replace(numbers=numbers), key, teacher_params, lesson_of, observation, lessons
        )

    return jax.vmap(single)(own, keys)


def check_pair(teacher: LearnedPolicy, student: LearnedPolicy) -> None:
    """Refuses a student that cannot be taught by this teacher.

    Raises:
      UserError: their action spaces differ, or one of them values no actions.
    """
    if teacher.decode != student.decode:
        raise UserError(
            "teacher and student differ in their action spaces: the teacher's is"
            f" {_actions(teacher)}, the student's {_actions(student)}; distil on one network and"
            " with one form"
        )
    for who, policy in (("teacher", teacher), ("student", student)):
        if not getattr(policy.network, "levels", 0):
            raise UserError(
                f"the {who} values no actions, which equation 9 needs: train it with agent=ppo"
                " action_values=true"
            )


def value_at(q: jax.Array, raw: jax.Array) -> jax.Array:
    """Values `[..., A]` at the multipliers of raw outputs `[..., A]`: linear between levels,
    constant beyond the last.
    """
    place = jnp.clip(factor(raw) / (LEVELS[1] - LEVELS[0]), 0.0, len(LEVELS) - 1.0)
    hats = jnp.maximum(1.0 - jnp.abs(place[..., None] - np.arange(len(LEVELS))), 0.0)
    return jnp.sum(hats * q, -1)


def count(agent: PPO, policy: LearnedPolicy) -> int:
    """Numbers that a policy has learned."""
    observation = jax.eval_shape(example, agent)
    params = jax.eval_shape(policy.init, jax.random.key(0), observation)
    return sum(leaf.size for leaf in jax.tree.leaves(params["params"]))


def example(agent: PPO) -> Observation:
    """An observation of the agent's worlds, for the shapes of networks."""
    worlds = agent.worlds
    params = first_of(worlds.params)
    noise = {name: jnp.zeros(shape) for name, shape in worlds.env.start_noise.items()}
    signals = jnp.zeros((worlds.env.history, worlds.env.world.signals))
    return worlds.env.view(worlds.env.start(noise, params), params, signals)


def decision_seconds(
    policy: LearnedPolicy, params: Any, observation: Observation, batch: int, repeats: int = 30
) -> float:
    """Median time of one compiled decision for `batch` states at once, window and all, in
    seconds.
    """
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *jnp.shape(leaf))), observation)
    decide = jax.jit(jax.vmap(policy, in_axes=(None, 0)))
    jax.block_until_ready(decide(params, many))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(decide(params, many))
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def _decide(policy, params, lesson):
    states, forecast = policy.encode_decisions(params, lesson.tokens)
    return policy.network.apply(params, states, lesson.stock, method="decide"), forecast


def _actions(policy: LearnedPolicy) -> str:
    decode = policy.decode
    return (
        f"{decode.topology.edges} edges x {decode.topology.products} products in form={decode.form}"
    )
