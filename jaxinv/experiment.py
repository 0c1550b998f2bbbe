"""An experiment as the commands see it: one typed configuration, the problem and agent it makes,
and its saved runs.
"""

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.agents.agent import traced_fields
from jaxinv.agents.loop import Trainer, Training, select_run, stack_agents, stack_runs
from jaxinv.agents.registry import AGENTS, learner, learner_address
from jaxinv.agents.transfer import taken_over
from jaxinv.agents.validation import Validation
from jaxinv.choices import chosen_agent, chosen_env
from jaxinv.config import parse_sweep, resolve, to_yaml
from jaxinv.data.fingerprint import sales_changed
from jaxinv.data.fitted import Preparation
from jaxinv.ending import chosen_policy
from jaxinv.envs.network import COSTS
from jaxinv.envs.one_network import DifferentNetworks, on_one_network
from jaxinv.envs.problem import Preset, Problem
from jaxinv.envs.registry import preset, preset_address
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.service import served
from jaxinv.evidence import Contest
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.limits import check_numbers
from jaxinv.runs import Run


@dataclass(frozen=True)
class EvaluationConfig:
    """How policies are judged.

    Attributes:
      paths: independent test episodes of a problem with one instance; with several, each instance
        is one.
      rules: rules to compare with; empty for all that apply, of those that follow a forecast those
        of the best.
      tune_periods: simulated periods that each rule is tuned with, taken as they are given; 0 for
        as many as the agent trained with, at least 4,000,000, and for numbers of each instance's
        own at least 300 episodes of each.
      per_instance: rules that are also tuned for every instance by itself, where there are several.
      ready: whether the policy that ships ready is judged too; null for wherever sales are of a
        file.
    """

    paths: int = 512
    rules: tuple[str, ...] = ()
    tune_periods: int = 0
    per_instance: tuple[str, ...] = ("base_stock",)
    ready: bool | None = None

    def __post_init__(self):
        check_numbers(self)
        if self.paths < 1:
            raise UserError(f"paths={self.paths} must be at least 1")
        if self.tune_periods < 0:
            raise UserError(f"tune_periods={self.tune_periods} must be at least 0")


@dataclass(frozen=True)
class Experiment:
    """A resolved configuration and what it makes.

    A `--sweep` over traced numbers of the learner or over instances of one network, and `--seeds`,
    are runs of one program.

    Attributes:
      config: the dataclass that `yaml` writes and `load` reads back.
      preparation: what was fitted to the sales of a run when it began; None before.
      later: a file of sales that go on after those, to be judged on; empty for the run's own.
    """

    config: Any
    preparation: Preparation | None = None
    later: str = ""

    @classmethod
    def load(cls, file: Path | None = None, overrides: Sequence[str] = ()) -> "Experiment":
        """Resolves defaults, file and overrides; the preset and the agent decide which keys there
        are.
        """
        env = preset_address(chosen_env(file, overrides))
        agent = learner_address(chosen_agent(file, overrides))
        overrides = [*overrides, f"env={env}", f"agent={agent}"]
        schema, written_for = _schema(env, preset(env), agent), None
        files_agent = learner_address(chosen_agent(file))
        if files_agent != agent:  # one learner's settings are no advice for another
            written_for = _schema(env, preset(env), files_agent)
        names = {"instance.weights": COSTS}
        return cls(
            resolve(schema, file=file, overrides=overrides, names=names, written_for=written_for)
        )

    @classmethod
    def of_run(cls, run: Run, later: str = "") -> "Experiment":
        """What a run was made of, with what was fitted to its sales then.

        Args:
          later: a file of sales that go on after those of the run.

        Raises:
          UserError: for later sales of a run that holds no preparation.
        """
        config = cls.load(run.config_path).config
        known = run.preparation_path.exists()
        going_on = config.instance.going_on(later) if later else None
        if going_on:
            return cls(dataclasses.replace(config, instance=going_on))
        if later and not known:
            raise UserError(
                f"data={later}: run {run.name!r} has nothing to apply to later sales; that is for"
                " env=retail and env=retail_network without a sweep of their options"
            )
        return cls(config, Preparation.read(run.preparation_path) if known else None, later)

    @property
    def yaml(self) -> str:
        """The configuration as a run keeps it, with what it left open to files."""
        settled = self.problem.settled
        return to_yaml(
            dataclasses.replace(self.config, instance=settled) if settled else self.config
        )

    @cached_property
    def problem(self) -> Problem:
        if self.preparation is None:
            return served(self.config.instance.build(), self.config.seed)
        return self.config.instance.applied(self.preparation, self.later)

    def remember_data(self, run: Run) -> None:
        """Writes beside the configuration which sales the run is made of, if any, and what was
        fitted to them.
        """
        if self.problem.fingerprint:
            run.write_data(self.config.instance.data, self.problem.fingerprint)
        if self.problem.preparation and self.problems[0] is self.problem:
            run.write_preparation(self.problem.preparation.text)

    def check_data(self, run: Run) -> None:
        """Refuses sales that are no longer those of the run.

        Raises:
          UserError: naming the file.
        """
        path = run.data_path
        if path.exists() and self.problem.fingerprint not in path.read_text(encoding="utf-8"):
            raise sales_changed(self.config.instance.data, f"run {run.name!r}")

    @cached_property
    def points(self) -> list[dict[str, Any]]:
        """What is swept at each point, as the configuration's own types; one empty point without a
        sweep.
        """
        return [
            {key: _typed(self.config, key, value) for key, value in point.items()}
            for point in parse_sweep(self.config.sweep)
        ]

    @cached_property
    def problems(self) -> list[Problem]:
        """The problem of each point, all on one network; one and the same where no instance is
        swept.
        """
        options = [
            {key: point[key] for key in point if _of_instance(self.config, key)}
            for point in self.points
        ]
        if not any(options):
            return [self.problem] * len(options)
        distinct = {
            tuple(option.items()): dataclasses.replace(self.config.instance, **option)
            for option in options
        }
        built = on_one_network([instance.build() for instance in distinct.values()])
        by_options = dict(zip(distinct, built))
        return [by_options[tuple(option.items())] for option in options]

    @property
    def labels(self) -> list[str]:
        """What tells the runs apart, points first, then seeds; one empty label for a single run."""
        points = [_label(point) for point in self.points]
        seeds = (
            [f"seed {seed}" for seed in range(self.config.seeds)] if self.config.seeds > 1 else [""]
        )
        return [" ".join(filter(None, (point, seed))) for point in points for seed in seeds]

    @property
    def runs(self) -> int | None:
        """How many runs are trained side by side; None for a single one, whose arrays have no axis
        for it.
        """
        return None if len(self.labels) == 1 else len(self.labels)

    @cached_property
    def agent(self) -> Any:
        """The agent; with several runs its numbers have a leading axis."""
        create = learner(self.config.agent).create
        agents = []
        for problem, point in zip(self.problems, self.points):
            numbers = {key: point[key] for key in point if not _of_instance(self.config, key)}
            agents.append(create(problem, dataclasses.replace(self.config.learner, **numbers)))
        return (
            agents[0]
            if self.runs is None
            else stack_agents(agents, self.config.seeds, self._own_worlds)
        )

    @property
    def keys(self) -> jax.Array:
        """The key of the run, or `[runs]`; the points of a sweep share their seeds."""
        if self.runs is None:
            return key_of(root(self.config.seed), Role.TRAINING, 0)
        return jnp.tile(
            keys_of(root(self.config.seed), Role.TRAINING, self.config.seeds), len(self.points)
        )

    @cached_property
    def trainer(self) -> Trainer:
        Trainer(self.agent, self.runs, worlds_axis=0 if self._own_worlds else None).check_memory(
            self.keys
        )
        key = key_of(root(self.config.seed), Role.VALIDATION)
        options = dict(preferences=self.config.learner.preferences, settles=self.agent.settles)
        if not self._own_worlds:
            return Trainer(self.agent, self.runs, Validation.of(self.problems[0], key, **options))
        validations = [Validation.of(problem, key, **options) for problem in self.problems]
        return Trainer(
            self.agent, self.runs, stack_runs(validations, self.config.seeds), worlds_axis=0
        )

    @property
    def _own_worlds(self) -> bool:
        return any(problem is not self.problems[0] for problem in self.problems)

    def donor(self, runs: str | Path) -> Run | None:
        """The run, of those in a folder, whose network the training takes over; None for none.

        Raises:
          UserError: no such run.
        """
        learner = self.config.learner
        return Run.open(learner.init, runs) if learner.takes_over else None

    def begin(self, runs: str | Path) -> Training:
        """The state before the first update, with what it takes over of a run in a folder."""
        state, donor = self.trainer.init(self.keys), self.donor(runs)
        if donor is None:
            return state
        theirs = Experiment.of_run(donor)
        _, their_state = theirs.restored(donor)
        learned = select_run(their_state, None if theirs.runs is None else 0).params
        return self.trainer.place(taken_over(state, learned, self.config.learner.init_layers))

    def restored(self, run: Run) -> tuple[int, Training]:
        """How many updates a saved run has done that this is the experiment of, and its newest
        state.
        """
        done, state = run.restore(jax.eval_shape(self.trainer.init, self.keys))
        return done, self.trainer.place(state)

    def contestants(self, state: Any, name: str) -> list[Contestant]:
        """The learned policy of every run."""
        return [
            Contestant(f"{name} {label}".strip(), self.agent.policy, select_run(state, run).params)
            for label, run in zip(self.labels, [None] if self.runs is None else range(self.runs))
        ]

    def contests(self, contestants: list[Contestant]) -> list[Contest]:
        """Who is judged on what: each problem and the policies that were trained for it."""
        seeds = self.config.seeds
        found: dict[str, Contest] = {}
        for number, (problem, point) in enumerate(zip(self.problems, self.points)):
            label = _label({key: point[key] for key in point if _of_instance(self.config, key)})
            contest = found.setdefault(label, Contest(label, problem, []))
            contest.policies.extend(contestants[number * seeds : (number + 1) * seeds])
        return list(found.values())


def expand(file: Path | None, overrides: Sequence[str], sweep: Sequence[str]) -> list[Experiment]:
    """The experiments of a sweep: traced numbers stay together in one program, other keys make one
    experiment each.
    """
    together, apart = [], []
    parse_sweep(sweep)
    plain = Experiment.load(file, overrides)
    for text in sweep:
        text = text.removeprefix("learner.").removeprefix("instance.")
        key = text.partition("=")[0]
        known = [kind.Config for kind in AGENTS.values()]
        numbers = {
            name for config in (*known, plain.config.learner) for name in traced_fields(config)
        }
        (together if key in numbers or _in_one_program(plain, text) else apart).append(text)
    experiments = [
        (
            Experiment.load(file, [*overrides, *(f"{key}={value}" for key, value in point.items())])
            if point
            else plain
        )
        for point in parse_sweep(apart)
    ]
    if not together:
        return experiments
    return [
        Experiment(dataclasses.replace(experiment.config, sweep=tuple(together)))
        for experiment in experiments
    ]


def _in_one_program(plain: Experiment, sweep: str) -> bool:
    """Whether a sweep runs over instances of one network. With held-out series or periods each is a
    training of its own.
    """
    held_out = plain.problem.held_out or plain.problem.choice
    if not _of_instance(plain.config, sweep.partition("=")[0]) or held_out:
        return False
    swept = Experiment(dataclasses.replace(plain.config, sweep=(sweep,)))
    try:
        return len(swept.problems) > 0
    except DifferentNetworks:
        return False


def trained_policies(run: Run, later: str = "") -> tuple[Experiment, list[Contestant]]:
    """The experiment of a saved run, and what it ended with: its learned policies, or what was
    chosen among them and the rules (`jaxinv.ending`). `later` as in `Experiment.of_run`."""
    experiment = Experiment.of_run(run, later)
    experiment.check_data(run)
    (_, state), ending = experiment.restored(run), run.ending()
    if ending is None:
        return experiment, experiment.contestants(state, run.name)
    learned = experiment.contestants(state, experiment.config.agent)
    return experiment, [chosen_policy(experiment.problem, ending, learned, run.name)]


def _schema(env: str, instance: type[Preset], agent: str) -> type:
    """The configuration of a preset and an agent, with defaults that suit the preset."""
    history = instance.__dataclass_fields__["history"].default
    config = learner(agent).Config
    return dataclasses.make_dataclass(
        "ExperimentConfig",
        [
            ("env", str, field(default=env)),
            ("agent", str, field(default=agent)),
            ("seed", int, field(default=0)),
            ("seeds", int, field(default=1)),
            ("sweep", tuple[str, ...], field(default=())),
            ("instance", instance, field(default_factory=instance)),
            ("learner", config, field(default_factory=partial(config.suited, env, history))),
            ("evaluation", EvaluationConfig, field(default_factory=EvaluationConfig)),
        ],
        frozen=True,
        namespace={"__post_init__": _check},
    )


def _check(config: Any) -> None:
    check_numbers(config)
    if config.seeds < 1:
        raise UserError(f"seeds={config.seeds} must be at least 1")
    for point in parse_sweep(config.sweep):
        for key, value in point.items():
            section = config.instance if _of_instance(config, key) else config.learner
            if section is config.learner and key not in traced_fields(config.learner):
                raise unknown("number to sweep", key, traced_fields(config.learner))
            dataclasses.replace(section, **{key: _typed(config, key, value)})


def _of_instance(config: Any, key: str) -> bool:
    """Whether a swept key is an option of the instance that one text can give."""
    return _kind(config, key) in (int, float, str)


def _kind(config: Any, key: str) -> Any:
    """The type of an option of the instance, of its value where it may also be null; None where
    there is no such option.
    """
    kind = typing.get_type_hints(type(config.instance)).get(key)
    given = [other for other in typing.get_args(kind) if other is not type(None)]
    return given[0] if len(given) == 1 and type(None) in typing.get_args(kind) else kind


def _typed(config: Any, key: str, value: str) -> Any:
    """A swept value as its key's own type."""
    kind = _kind(config, key) if _of_instance(config, key) else float
    try:
        return kind(value)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise UserError(f"--sweep {key}: {value!r} is not a {what}") from None


def _label(point: dict[str, Any]) -> str:
    return " ".join(
        f"{key}={value if isinstance(value, str) else f'{value:g}'}" for key, value in point.items()
    )
