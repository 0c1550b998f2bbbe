"""The beer game with one stage that learns, among partners who order by base-stock levels and among
those who order as people do.

The game is that of Oroojlooyjadid et al. (2022, SRDQN) with uniform demand of 0 to 2 a week: orders
travel two weeks (those of the factory one), shipments two; a unit on hand costs 2 a week at every
stage, a unit owed to a customer 2. Clark & Scarf's optimum bounds all that stages can do who see
only what is theirs: an order that travels is a longer lead time (Chen 1999).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.envs.presets import Serial
from jaxinv.envs.problem import Problem
from jaxinv.errors import unknown
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.statistics import Estimate, optimality_gap
from jaxinv.evaluation.tuning import rule_for, tune
from jaxinv.exact import solve
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.partners import Partners
from jaxinv.studies.rows import RESERVED_SEED, row
from jaxinv.studies.seeds import costs_of_all, trained

SOURCE = "Oroojlooyjadid et al. 2022, Manufacturing & Service Operations Management 24(1): 285-304"

LEAD_TIMES, ORDER_DELAYS, HOLDING, SHORTAGE, DEMAND = (
    (2, 2, 2, 2),
    (1, 1, 1, 1),
    2.0,
    2.0,
    "uniform(0, 2)",
)
"""A stage decides before it sees the orders that come in, and so answers to them a week later: with
a delay of one week that makes the two in print."""

PRINTED = (0.0, 0.0, 8.0, 8.0)
"""Base-stock levels in print, the factory first."""

STAGES = ("factory", "distributor", "wholesaler", "retailer")

PEOPLE = "anchor_and_adjust(level=4, adjustment=0.26, supply_line=0.34, smoothing=0.36)"
"""Sterman (1989), means of his players' estimates; the level, four weeks of demand, is ours."""

PATHS = 512


@dataclass(frozen=True)
class BeerGameSize:
    """How much is spent."""

    quick: bool

    @property
    def seeds(self) -> int:
        return 1 if self.quick else 5

    def setting(self, learns: tuple[str, ...], partners: str) -> DiffSimConfig:
        return DiffSimConfig(
            updates=150 if self.quick else 800, envs=64 if self.quick else 128, rollout=50,
            encoder="none", hidden=(32, 32),
            learning_rate=5e-3, roles="nodes", learns=learns, partners=partners,
        )  # fmt: skip

    @property
    def tuning(self) -> int:
        """Periods that levels are tuned with."""
        return 500_000 if self.quick else 5_000_000


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`): costs of the whole chain, in per cent above the optimum.

    Args:
      quick: one seed and a short training.
      parts: stages that learn; all where not given.
    """
    for part in parts:
        if part not in STAGES:
            raise unknown("stage", part, STAGES)
    size = BeerGameSize(quick)
    yield row("optimal cost a week", optimum(), note="Clark & Scarf")
    yield row(
        "levels in print: % above the optimum",
        _gap(cost_by_rule(base_stock_at(PRINTED))),
        source=SOURCE,
    )
    levels = tuned_levels(size)
    partners = {"base-stock partners": base_stock_at(levels), "people": PEOPLE}
    told = ", ".join(f"{stage} {level:g}" for stage, level in zip(STAGES, levels))
    for name, rule in partners.items():
        yield row(
            f"{name} alone: % above the optimum",
            _gap(cost_by_rule(rule)),
            note=told if name.startswith("base") else rule,
        )
    for name, rule in partners.items():
        for stage in parts or STAGES:
            yield row(
                f"{stage} learns among {name}: % above the optimum",
                _gap(_learned(stage, rule, size)),
            )


@cache
def game() -> Problem:
    return Serial(
        lead_times=LEAD_TIMES, order_delays=ORDER_DELAYS, holding_costs=(HOLDING,) * 4,
        transit_holding=False, shortage_cost=SHORTAGE,
        internal_backlog=True, demand=DEMAND, integer_orders=True,
    ).build()  # fmt: skip


@cache
def optimum() -> float:
    """The least cost a week: that of the chain with longer lead times and no delays, less the
    holding of what is in transit there, which costs nothing here: while an order travels, no stage
    holds goods for it."""
    answers = (0, 1, 1, 1)  # weeks in which the stage that an order comes to does not see it yet
    longer = tuple(map(sum, zip(LEAD_TIMES, ORDER_DELAYS, answers)))
    chain = Serial(
        lead_times=longer, holding_costs=(HOLDING,) * 4, shortage_cost=SHORTAGE, demand=DEMAND
    ).build()
    mean = chain.first.scale[-1, 0]
    return float(solve(chain.env, chain.first).average_cost - HOLDING * sum(longer[1:]) * mean)


def tuned_levels(size: BeerGameSize) -> tuple[float, ...]:
    """Base-stock levels of all stages in whole units, tuned together."""
    tuned = tune(
        game(), rule_for(game(), "base_stock"), key_of(root(RESERVED_SEED), Role.STUDY), size.tuning
    )
    return tuple(np.round(np.asarray(tuned.natural(game())["level"]).reshape(-1)).tolist())


def base_stock_at(levels: Sequence[float]) -> str:
    """Base-stock with these levels of all stages, the factory first, as partners are told."""
    return f"base_stock(level=[{', '.join(f'{level:g}' for level in levels)}])"


def cost_by_rule(text: str) -> np.ndarray:
    """What the chain costs a week `[paths]` where all order by a rule."""
    partners = Partners.parse(text, game())
    params = partners.params(game().env.facts(game().first))
    return costs(game(), Contestant(text, partners.rule, params), root(RESERVED_SEED), PATHS)


def _learned(stage: str, partners: str, size: BeerGameSize) -> np.ndarray:
    """The same where one stage has learned to order for the chain `[seeds, paths]`."""
    learns = (f"stage {STAGES.index(stage)}",)
    agent = DiffSim.create(game(), size.setting(learns, partners))
    return costs_of_all(game(), trained(stage, agent, agent.config.updates, size.seeds), PATHS)


def _gap(cost: np.ndarray) -> Estimate:
    return optimality_gap(cost, optimum()).times(100)
