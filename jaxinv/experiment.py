"""An experiment as the commands see it: one typed configuration, the problem and agent it makes, and its saved runs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.agents.agent import traced_fields
from jaxinv.agents.loop import Trainer, select_run, stack_numbers
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.agents.validation import Validation
from jaxinv.config import chosen, parse_sweep, resolve, to_yaml
from jaxinv.envs.network import COSTS
from jaxinv.envs.problem import Preset, Problem
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.compare import Contestant
from jaxinv.runs import Run

AGENTS = {"ppo": (PPOConfig, PPO)}

VALIDATION = 2
"""Folded into the key of a run, so that no noise of its own is that of its validation; 1 is for the evidence."""

STOCK_ONLY = dict(
    updates=150, envs=1024, rollout=32, epochs=4, encoder="none", hidden=(32, 32), forecast=0, pathwise=False
)
"""Hyper-parameters of agents for presets whose demand has no history worth reading: a small MLP on stock alone."""

@dataclass(frozen=True)
class EvaluationConfig:
    """How policies are judged.

    Attributes:
      paths: independent test episodes of a problem with one instance; with several, each instance is one.
      rules: rules to compare with; empty for all that apply.
      tune_periods: simulated periods that each rule is tuned with; 0 for as many as the agent trained with.
      per_instance: rules that are also tuned for every instance by itself, where there are several.
    """

    paths: int = 512
    rules: tuple[str, ...] = ()
    tune_periods: int = 0
    per_instance: tuple[str, ...] = ("base_stock",)

    def __post_init__(self):
        if self.paths < 1:
            raise UserError(f"paths={self.paths} must be at least 1")
        if self.tune_periods < 0:
            raise UserError(f"tune_periods={self.tune_periods} must be at least 0")


@dataclass(frozen=True)
class Experiment:
    """A resolved configuration and what it makes. A `--sweep` over traced numbers and `--seeds` are runs of one program.

    Attributes:
      config: the dataclass that `yaml` writes and `load` reads back.
    """

    config: Any

    @classmethod
    def load(cls, file: Path | None = None, overrides: Sequence[str] = ()) -> "Experiment":
        """Resolves defaults, file and overrides; the preset and the agent decide which keys there are."""
        env = chosen("env", "cross_border", file=file, overrides=overrides)
        agent = chosen("agent", "ppo", file=file, overrides=overrides)
        if agent not in AGENTS:
            raise unknown("agent", agent, AGENTS)
        schema = _schema(env, preset(env), AGENTS[agent][0])
        return cls(resolve(schema, file=file, overrides=overrides, names={"instance.weights": COSTS}))

    @property
    def yaml(self) -> str:
        return to_yaml(self.config)

    @cached_property
    def problem(self) -> Problem:
        return self.config.instance.build()

    @property
    def points(self) -> list[dict[str, float]]:
        """The swept hyper-parameters of each point; one empty point without a sweep."""
        return [{key: float(value) for key, value in point.items()} for point in parse_sweep(self.config.sweep)]

    @property
    def labels(self) -> list[str]:
        """What tells the runs apart, points first, then seeds; one empty label for a single run."""
        points = [" ".join(f"{key}={value:g}" for key, value in point.items()) for point in self.points]
        seeds = [f"seed {seed}" for seed in range(self.config.seeds)] if self.config.seeds > 1 else [""]
        return [" ".join(filter(None, (point, seed))) for point in points for seed in seeds]

    @property
    def runs(self) -> int | None:
        """How many runs are trained side by side; None for a single one, whose arrays have no axis for it."""
        return None if len(self.labels) == 1 else len(self.labels)

    @cached_property
    def agent(self) -> Any:
        """The agent; with several runs its numbers have a leading axis."""
        create = AGENTS[self.config.agent][1].create
        agents = [create(self.problem, dataclasses.replace(self.config.learner, **point)) for point in self.points]
        return agents[0] if self.runs is None else stack_numbers(agents, self.config.seeds)

    @property
    def keys(self) -> jax.Array:
        """The key of the run, or `[runs]`; the points of a sweep share their seeds."""
        key = jax.random.key(self.config.seed)
        if self.runs is None:
            return key
        return jnp.tile(jax.random.split(key, self.config.seeds), len(self.points))

    @cached_property
    def trainer(self) -> Trainer:
        key = jax.random.fold_in(jax.random.key(self.config.seed), VALIDATION)
        return Trainer(self.agent, self.runs, Validation.of(self.problem, key))

    def contestants(self, state: Any, name: str) -> list[Contestant]:
        """The learned policy of every run."""
        return [
            Contestant(f"{name} {label}".strip(), self.agent.policy, select_run(state, run).params)
            for label, run in zip(self.labels, [None] if self.runs is None else range(self.runs))
        ]


def expand(file: Path | None, overrides: Sequence[str], sweep: Sequence[str]) -> list[Experiment]:
    """The experiments of a sweep: traced numbers stay together in one program, other keys make one experiment each."""
    traced, static = [], []
    for text in sweep:
        key = text.partition("=")[0].removeprefix("learner.")
        numbers = {name for config, _ in AGENTS.values() for name in traced_fields(config)}
        (traced if key in numbers else static).append(text.removeprefix("learner."))
    parse_sweep(sweep)
    experiments = [
        Experiment.load(file, [*overrides, *(f"{key}={value}" for key, value in point.items())])
        for point in parse_sweep(static)
    ]
    if not traced:
        return experiments
    return [Experiment(dataclasses.replace(experiment.config, sweep=tuple(traced))) for experiment in experiments]


def trained_policies(name: str, root: str | Path = "runs") -> tuple[Experiment, list[Contestant]]:
    """The experiment and the learned policies of a saved run."""
    run = Run.open(name, root)
    experiment = Experiment.load(run.config_path)
    _, state = run.restore(jax.eval_shape(experiment.trainer.init, experiment.keys))
    return experiment, experiment.contestants(state, run.name)


def _schema(env: str, instance: type[Preset], learner: type) -> type:
    """The configuration of a preset and an agent, with defaults that suit the preset."""

    def suited():
        return learner(**STOCK_ONLY) if instance.__dataclass_fields__["history"].default == 1 else learner()

    return dataclasses.make_dataclass(
        "ExperimentConfig",
        [
            ("env", str, field(default=env)),
            ("agent", str, field(default="ppo")),
            ("seed", int, field(default=0)),
            ("seeds", int, field(default=1)),
            ("sweep", tuple[str, ...], field(default=())),
            ("instance", instance, field(default_factory=instance)),
            ("learner", learner, field(default_factory=suited)),
            ("evaluation", EvaluationConfig, field(default_factory=EvaluationConfig)),
        ],
        frozen=True,
        namespace={"__post_init__": _check},
    )


def _check(config: Any) -> None:
    if config.seeds < 1:
        raise UserError(f"seeds={config.seeds} must be at least 1")
    for point in parse_sweep(config.sweep):
        for key, value in point.items():
            if key not in traced_fields(config.learner):
                raise unknown("number to sweep", key, traced_fields(config.learner))
            try:
                dataclasses.replace(config.learner, **{key: float(value)})
            except UserError:
                raise
            except ValueError:
                raise UserError(f"--sweep {key}: {value!r} is not a number") from None
