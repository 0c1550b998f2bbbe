"""What each module of D3S-CI contributes (seed 000, tables 3 to 6): every variant and seed in one
compiled program.

Variants switch three things of one network on and off (methods D.1, row 20): the state
representation (off: a perceptron of the last observation), the core decision (off: base-stock on
the forecast head acts, one tuned level an edge for all SKUs) and the adaptive module (off: the
policy stays as it was trained; on, it has no students). The first two are numbers of the network,
so 2 x 2 x seeds are trained side by side; the third is a number of the stream that follows, in
which all 2 x 2 x 2 x seeds meet the same noise. The stream is a year and more in which the market
changes one thing after another; a variant's cost is its mean there.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.clock_steps import ClocksConfig
from jaxinv.adapt.clocks import ADAPTIVE, NEVER, TOTALS, Clocks, Diary
from jaxinv.adapt.streams import StreamConfig, Streams, changeable, one_after_another
from jaxinv.agents.loop import Trainer, stack_agents
from jaxinv.agents.switched import SwitchedConfig, SwitchedPPO
from jaxinv.config import resolve
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.network import COSTS
from jaxinv.errors import UserError
from jaxinv.evaluation.five_metrics import f1_score, stockout_ahead
from jaxinv.evaluation.statistics import Estimate, each_of, relative_difference
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.studies.rows import row


class Variant(NamedTuple):
    """Which modules are on."""

    state: bool
    core: bool
    adaptive: bool


VARIANTS = {
    "D3S-CI": Variant(True, True, True),
    "w/o state": Variant(False, True, True),
    "w/o core": Variant(True, False, True),
    "w/o adaptive": Variant(True, True, False),
    "w/o state & core": Variant(False, False, True),
    "w/o state & adaptive": Variant(False, True, False),
    "w/o core & adaptive": Variant(True, False, False),
    "w/o all": Variant(False, False, False),
}

MOST_MINUTES = 30.0
"""What all variants times ten seeds may take on two cores."""

MEASURES = ("cost", "mae", "turnover", "f1")

PUBLISHED = {
    # total cost, MAE, inventory turnover, F1, and cumulative reward, which is not measured here:
    # tables 3 and 5, then 4 and 6
    "Retailrocket": {
        "D3S-CI": (3500, 0.15, 1.75, 92, 1950),
        "w/o state": (3900, 0.17, 1.50, 87, 1700),
        "w/o core": (3800, 0.16, 1.60, 89, 1800),
        "w/o adaptive": (3700, 0.16, 1.55, 88, 1850),
        "w/o state & core": (4200, 0.19, 1.40, 84, 1600),
        "w/o state & adaptive": (4100, 0.18, 1.45, 83, 1650),
        "w/o core & adaptive": (3900, 0.17, 1.50, 86, 1700),
        "w/o all": (4500, 0.22, 1.30, 80, 1400),
    },
    "Retail Store Inventory": {
        "D3S-CI": (3000, 0.13, 2.10, 94, 2200),
        "w/o state": (3400, 0.15, 1.90, 89, 2000),
        "w/o core": (3200, 0.14, 2.00, 91, 2100),
        "w/o adaptive": (3100, 0.14, 1.95, 90, 2050),
        "w/o state & core": (3500, 0.16, 1.70, 87, 1900),
        "w/o state & adaptive": (3400, 0.17, 1.75, 88, 1950),
        "w/o core & adaptive": (3300, 0.15, 1.80, 89, 2000),
        "w/o all": (3800, 0.18, 1.60, 85, 1700),
    },
}


def _learner(**options) -> SwitchedConfig:
    return SwitchedConfig(
        **{"updates": 160, "epochs": 1, "envs": 24, "rollout": 63, "learning_rate": 2e-3, **options}
    )


@dataclass(frozen=True)
class AblationConfig:
    """Everything that `python -m jaxinv.ablate key=value` can change.

    Attributes:
      seeds: trainings of each variant.
      instance: the world; learner: the training; clocks: the adaptive module; stream: the days that
        follow.
    """

    seeds: int = 10
    seed: int = 0
    instance: CrossBorder = field(default_factory=lambda: CrossBorder(skus=24))
    learner: SwitchedConfig = field(default_factory=_learner)
    clocks: ClocksConfig = field(
        default_factory=lambda: ClocksConfig(retraining=21, daily_updates=1)
    )
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self):
        if self.seeds < 1:
            raise UserError(f"seeds={self.seeds} must be at least 1")


QUICK = (
    "seeds=2", "skus=8", "updates=12", "learner.envs=8", "rollout=28", "history=14",
    "learner.features=8", "learner.heads=2",
    "learner.layers=1", "learner.hidden=16,16", "online.days=21", "segment=28",
    "ocean_lead_times=7,10", "max_lead_time=20",
)  # fmt: skip
"""The same code at a size of minutes; what is learned there says nothing about the modules."""


def configure(overrides: Sequence[str] = (), quick: bool = False) -> AblationConfig:
    """The configuration of an ablation; overrides come after those of the quick size."""
    given = [*(QUICK if quick else ()), *overrides]
    return resolve(AblationConfig, overrides=given, names={"instance.weights": COSTS})


def run(
    quick: bool = False, parts: Sequence[str] = (), config: AblationConfig | None = None
) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`): each variant against D3S-CI, in percent, for the paper's four
    measures.

    `holds` where ours differs from D3S-CI in the direction that is in print, its 95% interval
    without zero. What is in print is the mean of the paper's two datasets, which it measures and we
    do not.

    Args:
      parts: none.
      config: where the defaults of `quick` are not wanted.
    """
    config = configure(quick=quick) if config is None else config
    if parts:
        raise UserError(f"the ablation is one program and has no parts; leave out {parts[0]!r}")
    study = Ablation.of(config)
    diary, seconds = study.run(list(VARIANTS.values()), config.seeds)
    yield from _rows(measures(diary, config))
    yield from _speed_rows(study, seconds)


class Ablation(NamedTuple):
    """The program and what it is run on."""

    config: AblationConfig
    agent: SwitchedPPO
    clocks: Clocks
    streams: Streams

    @classmethod
    def of(cls, config: AblationConfig) -> "Ablation":
        problem = changeable(config.instance.build(), config.stream.scenarios)
        streams = one_after_another(
            problem, config.stream, config.clocks.online.days, _key(config, Role.STREAM)
        )
        agent = SwitchedPPO.create(problem, config.learner)
        clocks = Clocks.create(problem.env, agent, config.clocks, problem.instances)
        return cls(config, agent, clocks, streams)

    def run(self, variants: list[Variant], seeds: int) -> tuple[Diary, float]:
        """The diaries `[V, seeds, days, ...]`, and the seconds of the compiled program."""
        keys = keys_of(root(self.config.seed), Role.TRAINING, seeds)
        given = (keys, self.clocks, self.streams)
        program = jax.jit(partial(self._program, variants)).lower(*given).compile()
        began = time.monotonic()
        diary = jax.device_get(program(*given))
        return diary, time.monotonic() - began

    def _program(
        self, variants: list[Variant], keys: jax.Array, clocks: Clocks, streams: Streams
    ) -> Diary:
        """Trains every variant with each of some keys `[S]`, then sends all through the stream:
        diaries `[V, S, days, ...]`.
        """
        seeds = keys.shape[0]
        trained = list(dict.fromkeys((variant.state, variant.core) for variant in variants))
        agents = stack_agents([self._agent(*modules) for modules in trained], seeds)
        trainer = Trainer(agents, len(trained) * seeds)
        learners, _ = trainer.updates(
            agents, trainer.begin(agents, jnp.tile(keys, len(trained))), self.config.learner.updates
        )
        index = np.array([trained.index((variant.state, variant.core)) for variant in variants])
        index = (index[:, None] * seeds + np.arange(seeds)).reshape(-1)
        params = jax.tree.map(lambda leaf: leaf[index][None], learners.params)
        switches = [
            ADAPTIVE if variant.adaptive else NEVER for variant in variants for _ in range(seeds)
        ]
        switches = jax.tree.map(lambda *leaves: jnp.asarray(leaves, jnp.float32)[None], *switches)
        _, diary = clocks.run(params, switches, _key(self.config, Role.CLOCKS), streams)
        return jax.tree.map(
            lambda leaf: leaf[0].reshape(len(variants), seeds, *leaf.shape[2:]), diary
        )

    def _agent(self, state: bool, core: bool) -> SwitchedPPO:
        learner = dataclasses.replace(self.config.learner, state=float(state), core=float(core))
        numbers = dataclasses.asdict(learner)
        return self.agent.replace(
            numbers={name: jnp.float32(numbers[name]) for name in self.agent.numbers}
        )


def _key(config: AblationConfig, role: Role) -> jax.Array:
    return key_of(root(config.seed), role)


def measures(diary: Diary, config: AblationConfig) -> dict[str, dict[str, np.ndarray]]:
    """For each variant the paper's measures over the stream: cost `[seeds, B]`, the others
    `[seeds]`.
    """
    found = {}
    for number, name in enumerate(VARIANTS):
        cost, short, risk = (
            np.asarray(leaf)[number] for leaf in (diary.cost, diary.short, diary.risk)
        )
        totals = dict(zip(TOTALS, np.moveaxis(np.asarray(diary.totals)[number].sum(1), -1, 0)))
        units = cost.shape[1] * cost.shape[2]
        found[name] = {
            "cost": cost.mean(1),
            "mae": totals["forecast_error"] / units,
            "turnover": 365 * totals["sold"] / np.maximum(totals["on_hand"], 1e-6),
            "f1": np.array(
                [
                    f1_score(
                        risk[seed] > 0, stockout_ahead(short[seed], config.learner.forecast)[0]
                    )
                    for seed in range(config.seeds)
                ]
            ),
        }
    return found


def _rows(found: dict[str, dict[str, np.ndarray]]) -> Iterator[dict[str, Any]]:
    """The changes against the full method; their intervals hold all at once, for there are many."""
    full = found["D3S-CI"]
    family = (len(VARIANTS) - 1) * len(MEASURES)
    for name in list(VARIANTS)[1:]:
        for number, measure in enumerate(MEASURES):
            changes = {
                dataset: 100 * (rows[name][number] / rows["D3S-CI"][number] - 1)
                for dataset, rows in PUBLISHED.items()
            }
            value, reference = found[name][measure], full[measure]
            if value.ndim == 1:  # of a seed as a whole
                value, reference = value[:, None], reference[:, None]
            note = "in print " + " and ".join(
                f"{change:+.1f}% on {dataset}" for dataset, change in changes.items()
            )
            ours = relative_difference(value, reference, ("seeds", "SKUs"), each_of(family))
            ours = ours._replace(
                over=f"{ours.over}; all {family} hold at once with 95% (Bonferroni)"
            )
            yield _against(f"{name}, {measure}", np.mean(list(changes.values())), ours, note)


def _against(claim: str, paper: float, ours: Estimate, note: str) -> dict[str, Any]:
    dearer, cheaper = ours.low > 0, ours.high < 0
    holds, opposite = (dearer, cheaper) if paper > 0 else (cheaper, dearer)
    verdict = "same direction" if holds else "opposite" if opposite else "no difference"
    return row(
        f"{claim} against D3S-CI, %",
        ours.times(100),
        holds=holds,
        reference=paper,
        verdict=verdict,
        note=note,
    )


def _speed_rows(study: Ablation, seconds: float) -> Iterator[dict[str, Any]]:
    """The minutes, and the factor against the same runs one after another, from the time of one run
    of either kind: the adaptive module takes most of a run, and what else is switched off takes as
    long as what is on.
    """
    kinds, runs = ("D3S-CI", "w/o adaptive"), len(VARIANTS) * study.config.seeds
    minutes = seconds / 60
    yield row(
        f"{runs} runs in one program, minutes",
        minutes,
        holds=minutes <= MOST_MINUTES,
        reference=MOST_MINUTES,
    )
    singles = [study.run([VARIANTS[kind]], 1)[1] for kind in kinds]
    factor = runs * sum(singles) / len(singles) / seconds
    note = "from one run with and one without the adaptive module: " + " and ".join(
        f"{single:.1f} s" for single in singles
    )
    yield row(
        "times faster than one after another (both compiled)", factor, holds=factor > 1, note=note
    )
