"""The public scoreboard: policies trained here play in gym-invmgmt's own environment.

    python -m jaxinv.reproduce gym_invmgmt RESULTS [WORD ...]

RESULTS is the folder `results` of github.com/r2barati/gym-invmgmt-paper: profits of 28 agents and
of an oracle that knows demand, on ten seeds of 26 scenarios (Barati & Hu 2026, arXiv 2605.11355).
Words keep the scenarios whose names hold one of them, and a player by its name ("specialists" or
"generalist"). The gap of a scenario is what the oracle
earns more on its seeds, as a share of what the oracle earns.

The oracle is an upper bound where demand does not depend on what is ordered; with goodwill it does,
and theirs is a plan that was found by trying, which can be beaten.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.errors import UserError
from jaxinv.evaluation.statistics import Estimate, mean_of, relative_difference
from jaxinv.exact.network_plan import best_plan
from jaxinv.studies import invmgmt_release as published
from jaxinv.studies.cells import Cells
from jaxinv.studies.invmgmt_play import play_orders
from jaxinv.studies.invmgmt_release import BLIND, INFORMED, ORACLE, Release
from jaxinv.studies.invmgmt_scenarios import NETWORKS, SEEDS, Scenario, scenarios
from jaxinv.studies.invmgmt_training import (
    GENERALIST,
    LAWS,
    SPECIALIST,
    TOLERANCE,
    Cell,
    generalist,
    specialists,
)
from jaxinv.studies.rows import row

SOURCE = "Barati & Hu 2026, arXiv 2605.11355; release of r2barati/gym-invmgmt-paper"

FOLDER = Path("runs/gym_invmgmt")
"""Where finished cells are kept."""

LARGEST_GAP = {"specialists": 3.0, "generalist": 10.0}
"""Mean gaps in % that a claim allows."""

QUICK = 0.05
"""Share of the updates of a full training."""


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`): the oracle checked, both players by scenario, and means beside what is
    in print.

    Args:
      quick: short trainings, on the scenarios of one network.
      parts: the folder of the release, then words and players.
    """
    if not parts:
        raise UserError(
            "name the folder of the published results: reproduce gym_invmgmt RESULTS, of"
            " github.com/r2barati/gym-invmgmt-paper"
        )
    release = published.read(parts[0])
    named = [part for part in parts[1:] if part in LARGEST_GAP]
    words = [part for part in parts[1:] if part not in named]
    chosen = _chosen(scenarios(release.window), ["serial, stationary"] if quick else words)
    yield from _oracle(release, chosen)
    found: dict[str, list[tuple[Scenario, Cell]]] = {}
    for player, cells in _players(chosen, quick):
        if named and player not in named:
            continue
        found[player] = []
        for scenario, cell in cells:
            found[player].append((scenario, cell))
            yield _of_scenario(player, release, scenario, cell)
    for name, kept in _groups(chosen).items():
        yield from _means(release, name, kept, found)


def _chosen(every: list[Scenario], words: Sequence[str]) -> list[Scenario]:
    chosen = [one for one in every if not words or any(word in one.name for word in words)]
    if not chosen:
        raise UserError(
            f"no scenario is called {' or '.join(words)}; their names are such as"
            f" {every[0].name!r} and {every[-1].name!r}"
        )
    return chosen


def _players(chosen, quick) -> Iterator[tuple[str, Iterator[tuple[Scenario, Cell]]]]:
    share = QUICK if quick else 1.0

    def shorter(config):
        return config.__class__(**vars(config) | {"updates": int(share * config.updates)})

    def kept(config, **more):
        return Cells(FOLDER, vars(config) | more)

    config = shorter(SPECIALIST)
    yield "specialists", specialists(chosen, kept(config), config)
    config = shorter(GENERALIST)
    cells = kept(config, laws=LAWS, tolerance=TOLERANCE)

    def of_networks():
        for network in NETWORKS:
            mine = [scenario for scenario in chosen if scenario.network == network]
            if mine:
                yield from generalist(network, mine, cells, config)

    yield "generalist", of_networks()


def _oracle(release: Release, chosen: list[Scenario]) -> Iterator[dict[str, Any]]:
    """Our programme beside their oracle, on the demand of the seeds, and its plan in their
    environment.
    """
    cells, off = Cells(FOLDER), {}
    for scenario in chosen:
        if scenario.goodwill or scenario.alone in off:
            continue

        def made(scenario=scenario):
            return dict(profit=np.stack(_bound(scenario)))

        bound, there = cells.cell(f"oracle {scenario.alone.key}", {}, made)["profit"]
        theirs = release.profits[ORACLE, scenario.key]
        off[scenario.alone] = max(np.abs(bound - theirs).max(), np.abs(bound - there).max())
    if off:
        yield row(
            "profit of our programme, of their oracle, and of the plan in their environment:"
            " largest difference of any seed",
            max(off.values()),
            holds=max(off.values()) < 0.01,
            note=f"{len(off)} scenarios without goodwill, {len(SEEDS)} seeds each",
            source=SOURCE,
        )


def _bound(scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """Profits `[seeds]` of our programme, and of its plan in their environment."""
    ours = scenario.ours()
    edges = ours.env.topology.edges
    silent = play_orders(scenario, lambda period, seen: np.zeros((len(SEEDS), edges)), SEEDS)
    plans = [best_plan(ours.env.topology, ours.first, demand) for demand in silent.demand]
    orders = np.stack([plan.orders for plan in plans], 1)
    there = play_orders(scenario, lambda period, seen: orders[period], SEEDS)
    return np.array([plan.profit for plan in plans]), there.profit


def _of_scenario(player: str, release: Release, scenario: Scenario, cell: Cell) -> dict[str, Any]:
    oracle = release.profits[ORACLE, scenario.key]
    learner, learned = _best(release, [scenario], published.RULES | published.PLANS)
    informed = release.profits[INFORMED, scenario.key]
    more = relative_difference(cell.profit, informed).times(100)
    return row(
        f"{player}, {scenario.name}: gap to the oracle, %",
        _gap(cell.profit, oracle),
        reference=_gap(informed, oracle).value,
        verdict=_beside(more),
        note=(
            f"profit {cell.profit.mean():.1f}, of the oracle {oracle.mean():.1f}; beside informed"
            f" stochastic programming {more.value:+.2f}% [{more.low:+.2f}, {more.high:+.2f}];"
            f" best learner in print {learner}, {learned.value:.1f}%"
        ),
        source=SOURCE,
    )


def _means(release, name, kept, found) -> Iterator[dict[str, Any]]:
    """Means over a group of scenarios: ours, then what is in print."""
    oracle = release.of(ORACLE, kept)
    informed = _mean_gap(release.of(INFORMED, kept), oracle)
    for player, cells in found.items():
        profit = {scenario: cell.profit for scenario, cell in cells}
        ours = np.stack([profit[scenario] for scenario in kept])
        less = _mean_gap(release.of(INFORMED, kept), ours, oracle)
        gap, most = _mean_gap(ours, oracle), LARGEST_GAP[player]
        seconds = {scenario.alone: cell for scenario, cell in cells}.values()
        trained = {cell.training_seconds for cell in seconds}
        yield row(
            f"{player}: mean gap to the oracle, {name}, %",
            gap,
            holds=gap.high <= most,
            reference=informed.value,
            note=(
                f"at most {most:g}% claimed; {-less.value:+.2f} points [{-less.high:+.2f},"
                f" {-less.low:+.2f}] on informed stochastic programming, paired;"
                f" {len(trained)} trainings of {np.mean(list(trained)):.0f} s,"
                f" {1000 * np.mean([cell.episode_seconds for cell in seconds]):.0f} ms an episode"
            ),
            source=SOURCE,
        )
    for title, agent in _in_print(release, kept):
        time = np.mean([release.seconds[agent, scenario.key] for scenario in kept])
        yield row(
            f"in print, {title}, {agent}: mean gap to the oracle, {name}, %",
            _mean_gap(release.of(agent, kept), oracle),
            note=f"{time:.2g} s an episode, in print",
            source=SOURCE,
        )


def _in_print(release, kept) -> list[tuple[str, str]]:
    best, _ = _best(release, kept, published.RULES | published.PLANS)
    others = set(release.whole(kept)) - published.RULES
    rule, _ = _best(release, kept, others)
    return [
        ("stochastic programming, informed", INFORMED),
        ("stochastic programming, blind", BLIND),
        ("best learner", best),
        ("best rule", rule),
    ]


def _best(release: Release, kept: list[Scenario], but: set[str]) -> tuple[str, Estimate]:
    """The agent of the least mean gap, some left out."""
    oracle = release.of(ORACLE, kept)
    gaps = {
        agent: _mean_gap(release.of(agent, kept), oracle)
        for agent in release.whole(kept)
        if agent != ORACLE and agent not in but
    }
    agent = min(gaps, key=lambda agent: gaps[agent].value)
    return agent, gaps[agent]


def _groups(chosen: list[Scenario]) -> dict[str, list[Scenario]]:
    """Scenarios that means are taken over, by what they are called."""
    groups = {
        "all": chosen,
        "without MARL twins": [one for one in chosen if not one.marl],
        "without goodwill, MARL twins and M5": [
            one for one in chosen if not (one.goodwill or one.marl or one.window)
        ],
        "goodwill": [one for one in chosen if one.goodwill],
    }
    found: dict[str, list[Scenario]] = {}
    for name, kept in groups.items():
        if kept and kept not in found.values():
            found[f"{name} ({len(kept)} scenarios)"] = kept
    return found


def _gap(profit, oracle) -> Estimate:
    return relative_difference(profit, oracle, ("seeds",)).times(-100)


def _mean_gap(profit, against, oracle=None) -> Estimate:
    """Mean over scenarios of the gap in %, its interval over seeds, which all scenarios share;
    profits `[scenarios, seeds]`.
    """
    oracle = against if oracle is None else oracle
    share = (against - profit) / oracle.mean(1, keepdims=True)
    return mean_of(100 * share.mean(0), ("seeds",))


def _beside(more: Estimate) -> str:
    if more.low > 0:
        return "above informed stochastic programming"
    return "below informed stochastic programming" if more.high < 0 else "indistinguishable from it"
