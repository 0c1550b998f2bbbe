"""The two players of the study `gym_invmgmt`: specialists, one a scenario, and a generalist.

Both are trained in our world by differentiable simulation, and on nothing that is judged: demand is
drawn anew from its law in every episode.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.keys import Role, generator, key_of, root
from jaxinv.studies.cells import Cells
from jaxinv.studies.invmgmt_play import play
from jaxinv.studies.invmgmt_scenarios import MEAN, PERIODS, SEEDS, Law, Scenario, mean_of, world
from jaxinv.studies.rows import RESERVED_SEED

SPECIALIST = DiffSimConfig(
    updates=300,
    envs=64,
    rollout=PERIODS,
    encoder="known",
    hidden=(64, 64),
    form="none",
    allocation="softmax",
    learning_rate=5e-3,
)
GENERALIST = dataclasses.replace(
    SPECIALIST, updates=800, envs=128, hidden=(128, 128), learning_rate=2e-3
)

TRIALS = ((5e-3, 0.5), (1e-3, 2.0))
"""Learning rate, and share of demand unserved at which goodwill falls in full while a policy is
trained, of each training of a specialist. At a fast rate a policy can end in the first weeks that
it tries, out of which no small step leads. That training is kept which earns most in our world,
where goodwill falls at once."""

TOLERANCE = 0.5
"""Of the generalist's training."""

REHEARSAL = 1024
"""Paths of our world that trainings are compared on."""

LAWS = 1024
"""That the generalist is trained on."""


@dataclass(frozen=True)
class Cell:
    """What a player earned in a scenario.

    Attributes:
      profit: `[seeds]` in their environment.
      rehearsed: mean of an episode in ours.
      training_seconds, episode_seconds: what that took.
    """

    profit: np.ndarray
    rehearsed: float
    training_seconds: float
    episode_seconds: float


def kept(cells: Cells, name: str, make: Callable[[], Cell]) -> Cell:
    """What `make` gives, or what it gave before (`jaxinv.studies.cells`)."""
    found = cells.cell(name, {}, lambda: vars(make()))
    return Cell(found.pop("profit"), **{part: float(value) for part, value in found.items()})


def specialists(
    scenarios: Sequence[Scenario], cells: Cells, config: DiffSimConfig = SPECIALIST
) -> Iterator[tuple[Scenario, Cell]]:
    """A policy for each scenario, trained on its law alone: the better one of `TRIALS`."""
    trainers: dict[str, Trainer] = {}
    for scenario in scenarios:
        tried = []
        for rate, tolerance in TRIALS:

            def made(scenario=scenario, rate=rate, tolerance=tolerance):
                own = dataclasses.replace(config, learning_rate=rate)
                agent = DiffSim.create(scenario.ours(tolerance), own)
                first = trainers.setdefault(scenario.network, Trainer(agent))
                return played(scenario, agent, *_trained(first.on(agent, None), config))

            name = f"specialist {scenario.alone.key} {rate:g} {tolerance:g}"
            tried.append(kept(cells, name, made))
        best = max(tried, key=lambda cell: cell.rehearsed)
        seconds = sum(cell.training_seconds for cell in tried)
        yield scenario, dataclasses.replace(best, training_seconds=seconds)


def generalist(
    network: str, scenarios: Sequence[Scenario], cells: Cells, config: DiffSimConfig = GENERALIST
) -> Iterator[tuple[Scenario, Cell]]:
    """One policy for all scenarios of a network, trained once on laws that are drawn."""

    @cache
    def trained():
        agent = DiffSim.create(world(network, drawn_laws(LAWS), TOLERANCE), config)
        return agent, *_trained(Trainer(agent), config)

    for scenario in scenarios:

        def made(scenario=scenario):
            return played(scenario, *trained())

        yield scenario, kept(cells, f"generalist {scenario.alone.key}", made)


def played(scenario: Scenario, agent: DiffSim, params: Any, seconds: float) -> Cell:
    """What a trained policy earns in their environment."""
    ours = scenario.ours()
    contestant = Contestant("trained", agent.policy, params)
    cost = costs(ours, contestant, key_of(root(RESERVED_SEED), Role.CHOICE), REHEARSAL).mean()
    play(scenario, ours.env, ours.first, agent.policy, params, SEEDS[:1])  # compiles
    began = time.monotonic()
    found = play(scenario, ours.env, ours.first, agent.policy, params, SEEDS)
    took = (time.monotonic() - began) / len(SEEDS)
    return Cell(found.profit, float(-PERIODS * cost), seconds, took)


def _trained(trainer: Trainer, config: DiffSimConfig) -> tuple[Any, float]:
    began = time.monotonic()
    params = trainer.train(key_of(root(RESERVED_SEED), Role.TRAINING, 0), config.updates).params
    return jax.block_until_ready(params), time.monotonic() - began


def drawn_laws(count: int) -> list[Law]:
    """Laws of demand to train a generalist on: trend, season and shock each in half of them, with
    numbers around the published ones, half with goodwill, half whose customers wait, noise from a
    half to twice Poisson's; and, one in six, a course without noise that jumps as sales of one item
    do.
    """
    draw = generator(Role.STUDY, RESERVED_SEED)
    return [_drawn_law(draw) for _ in range(count)]


def _drawn_law(draw: np.random.Generator) -> Law:
    effects = [name for name in ("trend", "seasonal", "shock") if draw.random() < 0.5]
    mean = mean_of(
        *effects,
        slope=draw.uniform(0.02, 0.08),
        amplitude=draw.uniform(0.3, 0.7),
        shock=draw.integers(8, 22),
        factor=draw.uniform(1.4, 2.6),
    )
    noise = draw.uniform(0.5, 2.0)
    if draw.random() < 1 / 6:
        level = np.repeat(draw.lognormal(0.0, 1.2, PERIODS), draw.integers(1, 12, PERIODS))
        bumpy = level[:PERIODS] * draw.lognormal(0.0, 0.4, PERIODS)
        mean, noise = MEAN * bumpy / bumpy.mean(), 0.0
    return Law(mean, noise, float(draw.random() < 0.5), float(draw.random() < 0.5))
