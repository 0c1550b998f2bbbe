"""The omni-channel retailer (seed 002): what its agents learn in 1000 episodes, beside tuned rules,
and what cooperation is worth.

The paper tells one thing that can be checked: the service level rises from 85% to 96.8% in 1000
episodes while costs fall. Its untrained agent is no rival, so the claim that counts here is the one
against classical rules, tuned, on the same noise. All costs are money a day. Parts:

    curve          the paper's agents (DQN, mean of proposals): fill rate and cost after 0, 200, 600
                   and 1000 episodes
    rules          classical rules, tuned, and the learned policy beside the cheapest and beside
                   those that serve as well
    coordination   one decision by each way of coordinating, less that without any
    returns        deciding every day what becomes of returns, less putting back all that can be
                   sold again
    yardstick      one planner by differentiable simulation, and the gap of all to a bound
    frontier       fill rate against what it takes, of each where a lost sale weighs less or more

Service is the fill rate: the share of units that are served on the day they are asked for.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.dqn import DQN, DQNConfig
from jaxinv.agents.learner import Learner
from jaxinv.agents.loop import Trainer, Training, select_run, stack_agents, stretch_length
from jaxinv.agents.validation import Validation
from jaxinv.envs.network import COSTS
from jaxinv.envs.omnichannel import OmniChannel
from jaxinv.envs.problem import Problem
from jaxinv.errors import unknown
from jaxinv.evaluation.compare import best_of, contestants_of
from jaxinv.evaluation.held_out import Contestant, costs_of, measure
from jaxinv.evaluation.rollout import begin
from jaxinv.evaluation.simulate import Totals
from jaxinv.evaluation.statistics import mean_of, relative_difference
from jaxinv.evaluation.trajectories import record
from jaxinv.evaluation.tuning import Tuned, rule_for, tune
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.nets.council import COORDINATORS
from jaxinv.report.figures import save_fronts, save_learning, save_stock_maps
from jaxinv.studies.rows import RESERVED_SEED, row
from jaxinv.studies.seeds import costs_of_all

SOURCE = (
    "Ma & Ding, omni-channel inventory management by deep reinforcement learning (seed 002),"
    " section 3"
)

PRINTED = {0: 85.0, 1000: 96.8}
"""Service levels in print, in per cent, by the number of episodes."""

CHECKPOINTS = (0, 200, 600, 1000)
"""Episodes after which the paper describes its curve."""

AGENTS = DQNConfig(
    updates=1000, envs=10, rollout=10, capacity=20_000, batch=64, steps=8, encoder="last",
    hidden=(64, 64), actions=11, knots=8,
    largest=2.0, roles="functions", coordinator="mean", learning_rate=2e-3, discount=0.95,
    target_rate=0.02, exploration=0.05,
    reach=1.0, exploring=0.6,
)  # fmt: skip
"""Three agents, as in the paper, which leaves all numbers open. An update plays as many periods as
an episode has. Of what was tried on three stores, learning_rate=5e-4 with discount=0.99 and
target_rate=0.005 cost 1.7 times as much after 600 episodes."""

PLANNER = DiffSimConfig(
    updates=400,
    envs=64,
    rollout=40,
    encoder="last",
    hidden=(64, 64),
    activation="elu",
    learning_rate=3e-3,
)

RULES = (
    "base_stock",
    "echelon_base_stock",
    "capped_base_stock",
    "s_S",
    "echelon_base_stock_regression",
)

PATHS, DAYS_SHOWN = 128, 56

FEWER = 5
"""Times less training in the quick size."""


@dataclass(frozen=True)
class Seed002Size:
    """How much is spent."""

    quick: bool

    @property
    def options(self) -> dict[str, Any]:
        return dict(stores=3) if self.quick else {}

    @property
    def seeds(self) -> int:
        return 5

    @property
    def checkpoints(self) -> tuple[int, ...]:
        return tuple(episodes // (FEWER if self.quick else 1) for episodes in CHECKPOINTS)

    @property
    def tuning(self) -> int:
        """Periods that a rule is tuned with."""
        return 100_000 if self.quick else 1_000_000

    def of(self, setting: Any) -> Any:
        return replace(setting, updates=setting.updates // FEWER) if self.quick else setting


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`), one by one.

    Args:
      quick: three stores, and a fifth of the training.
      parts: of `PARTS`; all where not given.
    """
    for part in parts:
        if part not in PARTS:
            raise unknown("part of the study", part, PARTS)
    size = Seed002Size(quick)
    for part in parts or PARTS:
        yield from PARTS[part](size)


# The paper's curve


def learning_curve(size: Seed002Size) -> Iterator[dict[str, Any]]:
    problem, setting = world(size), size.of(AGENTS)
    agent, trainer, state = started(setting, size)
    metrics, services, done, length = [], {}, 0, math.gcd(*size.checkpoints)
    for episodes in size.checkpoints:
        for _ in range(done, episodes, length):
            state, learned = trainer.advance(state, length)
            metrics.append(learned["cost"])
        done = episodes
        totals = [
            _measured(problem, each) for each in _policies(agent, state.learner.params, size.seeds)
        ]
        services[episodes] = [100 * fill_rate(total) for total in totals]
        printed = PRINTED.get(episodes)
        told = mean_of(np.asarray(services[episodes]), ("seeds",))
        holds = None if printed is None or episodes == 0 else told.high >= printed
        claim = f"mean of proposals: fill rate after {episodes} episodes, %"
        yield row(claim, told, holds=holds, reference=printed, source=SOURCE if printed else "")
        cost = np.asarray([costs_of(problem, total).mean() for total in totals])
        yield row(f"mean of proposals: cost after {episodes} episodes", mean_of(cost, ("seeds",)))
    found = row(
        "cost of a day in training, last episode", float(np.concatenate(metrics)[-1].mean())
    )
    untrained = started(setting, size)[2]
    maps = {
        name: stock_of(problem, agent, select_run(training.learner.params, 0)).round(3).tolist()
        for name, training in (("untrained", untrained), ("trained", state))
    }
    yield found | {
        "curve": np.concatenate(metrics).round(3).tolist(),
        "service": services,
        "maps": maps,
        "nodes": holders(problem),
    }


def stock_of(problem: Problem, agent: Learner, params: Any) -> np.ndarray:
    """Stock of each node on each of some days, in days of its mean demand `[T, N]`: one path of the
    policy.
    """
    env, instance = problem.env, problem.first
    periods = problem.warm_up + DAYS_SHOWN
    _, played = record(
        env, instance, agent.policy, params, begin(env, root(RESERVED_SEED), instance, 1), periods
    )
    stock = np.asarray(played.observation.on_hand[problem.warm_up : -1, ..., 0]).sum(-1)
    scale = np.asarray(instance.scale).sum(-1)
    return (stock / scale)[:, ~env.topology.among(env.topology.storeless)[:, 0]]


def holders(problem: Problem) -> list[str]:
    """Names of the nodes that hold stock."""
    topology = problem.env.topology
    return [name for node, name in enumerate(topology.node_names) if node not in topology.storeless]


def save(rows: list[dict[str, Any]], folder: Path) -> None:
    """Writes the learning curve, stock before and after training as heat maps (the paper's figures
    2, 3 and 4), and the frontier."""
    folder.mkdir(parents=True, exist_ok=True)
    for found in rows:
        if "curve" in found:
            save_learning(folder / "learning.png", found["curve"], found["service"], PRINTED)
            save_stock_maps(folder / "stock.png", found["maps"], found["nodes"])
    points = [
        (found["of"], np.mean(found["service"]), found["ours"]) for found in rows if "of" in found
    ]
    if points:
        fronts = {
            of: np.asarray([point[1:] for point in points if point[0] == of])
            for of, *_ in reversed(points)
        }
        save_fronts(
            folder / "frontier.png",
            ("fill rate, %", "cost a day without lost sales"),
            fronts,
            FRONTIER,
        )


# Beside rules


def rules(size: Seed002Size) -> Iterator[dict[str, Any]]:
    problem, tuned = world(size), tuned_rules(size)
    judged = {name: _measured(problem, each) for name, each in zip(tuned, contestants_of(tuned))}
    for name, total in judged.items():
        yield row(
            f"{name}, tuned: cost",
            mean_of(costs_of(problem, total), ("paths",)),
            note=f"fill rate {fill_rate(total):.1%}",
        )
    totals = [_measured(problem, each) for each in train_seeds(size.of(AGENTS), size)]
    cost, service = (
        np.stack([costs_of(problem, total) for total in totals]),
        np.mean([fill_rate(total) for total in totals]),
    )
    cheapest = judged[best_of(tuned)]
    claim = (
        f"mean of proposals (fill rate {service:.1%}), less {best_of(tuned)} (fill rate"
        f" {fill_rate(cheapest):.1%}): cost, %"
    )
    change = relative_difference(cost, costs_of(problem, cheapest)).times(100)
    yield row(
        claim,
        change,
        holds=bool(change.high <= 0 and service >= 0.968),
        note="to serve 96.8% at no higher cost",
    )


@cache
def tuned_rules(size: Seed002Size, **instance: Any) -> dict[str, Tuned]:
    """The classical rules, each tuned on noise of its own; `instance` as of `world`."""
    problem = world(size, **instance)
    key = key_of(root(RESERVED_SEED), Role.STUDY)
    return {name: tune(problem, rule_for(problem, name), key, size.tuning) for name in RULES}


# What cooperation is worth


def coordination(size: Seed002Size) -> Iterator[dict[str, Any]]:
    alone = learned_costs(replace(size.of(AGENTS), coordinator="none"), size)
    yield row("agents without coordination: cost", mean_of(alone))
    for name in COORDINATORS:
        cost = learned_costs(replace(size.of(AGENTS), coordinator=name), size)
        yield row(
            f"coordinator {name}, less none: cost, %", relative_difference(cost, alone).times(100)
        )
    selfish = learned_costs(replace(size.of(AGENTS), coordinator="none", team_share=0.0), size)
    yield row(
        "agents rewarded with own costs, less a team: cost, %",
        relative_difference(selfish, alone).times(100),
    )


def returns(size: Seed002Size) -> Iterator[dict[str, Any]]:
    for who, setting in (("agents", AGENTS), ("one planner by differentiable simulation", PLANNER)):
        decided, constant = (
            learned_costs(size.of(setting), size, **one) for one in ({}, {"decide_returns": False})
        )
        change = relative_difference(decided, constant).times(100)
        yield row(
            f"{who}: returns decided every day, less put back by constant shares: cost, %", change
        )


# The yardstick


def yardstick(size: Seed002Size) -> Iterator[dict[str, Any]]:
    problem, tuned = world(size), tuned_rules(size)
    (rule,) = contestants_of({best_of(tuned): tuned[best_of(tuned)]})
    least = cost_bound(problem, OmniChannel(**size.options))
    candidates = {
        "one planner by differentiable simulation": learned_costs(size.of(PLANNER), size)[0],
        f"{rule.name}, tuned": costs_of(problem, _measured(problem, rule)),
        "agents, mean of proposals": learned_costs(size.of(AGENTS), size),
    }
    for name, cost in candidates.items():
        told = mean_of(cost)
        yield row(
            f"{name}: cost",
            told,
            note=f"{100 * (told.value / least - 1):.0f}% above the bound of {least:.1f}",
        )
    planned = candidates["one planner by differentiable simulation"]
    for name, cost in list(candidates.items())[1:]:
        yield row(
            f"{name}, above the planner: cost, %", relative_difference(cost, planned).times(100)
        )


WEIGHTS = (0.3, 1.0, 3.0, 10.0)
"""Of lost sales, times what they cost: each gives a point of the frontier."""

FRONTIER = "Where lost sales weigh 0.3, 1, 3 and 10 times what they cost"


def frontier(size: Seed002Size) -> Iterator[dict[str, Any]]:
    for weight in WEIGHTS:
        instance = (
            {} if weight == 1.0 else {"shortage": weight}
        )  # what was learned before is not again
        problem, tuned = world(size, **instance), tuned_rules(size, **instance)
        (rule,) = contestants_of({best_of(tuned): tuned[best_of(tuned)]})
        points = {
            "best tuned rule": [rule],
            "one planner by differentiable simulation": train_seeds(
                size.of(PLANNER), size, **instance
            ),
            "agents, mean of proposals": train_seeds(size.of(AGENTS), size, **instance),
        }
        for name, policies in points.items():
            totals = [_measured(problem, each) for each in policies]
            spent = np.stack([spent_of(problem, total) for total in totals])
            service = 100 * np.asarray([fill_rate(total) for total in totals])
            claim = f"lost sales at {weight:g} times their cost, {name}: cost without them"
            note = f"fill rate {service.mean():.1f}%" + (
                f", {rule.name}" if name == "best tuned rule" else ""
            )
            found = row(claim, mean_of(spent if len(spent) > 1 else spent[0]), note=note)
            yield found | {"of": name, "service": service.round(2).tolist()}


def spent_of(problem: Problem, total: Totals) -> np.ndarray:
    """What a policy costs a day on each path but for lost sales `[B]`."""
    parts = np.asarray(total.costs).sum(0) - np.asarray(total.costs)[COSTS.index("shortage")]
    return parts / (problem.test_periods - problem.warm_up)


def cost_bound(problem: Problem, preset: OmniChannel) -> float:
    """No policy costs less a day in the long run: for each unit of demand the lower of what it
    costs to lose and to serve it.

    To serve a unit takes at least the cheapest rate per unit from the centre, or, online, from
    anywhere, but for the share that returns put back where it is; and what comes back of it costs
    its processing and, where it cannot be sold again, what is written off. Stock, fixed costs of
    shipments and of returns, and capacities only add to it.
    """
    drawn = preset.drawn
    rate = np.array([preset.rates(km).min() for km in drawn.from_centre])
    rate[-1] = min([rate[-1], *(preset.rates(km).min() for km in drawn.to_customers)])
    again = preset.resaleable_share * drawn.return_rates
    reused = np.where(np.arange(len(rate))[:, None] < len(rate) - 1, again, 0.0)
    back = drawn.return_rates * (
        preset.return_unit_cost
        + (1.0 - preset.resaleable_share) * preset.liquidation_loss * preset.value
    )
    serve = rate[:, None] * (1.0 - reused) + back
    return float((drawn.mean * np.minimum(serve, drawn.shortage[:, None])).sum())


# Worlds, trainings and costs


@cache
def world(size: Seed002Size, decide_returns: bool = True, shortage: float = 1.0) -> Problem:
    """The instance; a lost sale weighs `shortage` times what it costs."""
    options = dict(decide_returns=decide_returns, weights={"shortage": shortage})
    return OmniChannel(**size.options, **options).build()


def fill_rate(total: Totals) -> float:
    return float(1.0 - total.short.sum() / total.demand.sum())


@cache
def train_seeds(
    setting: DQNConfig | DiffSimConfig, size: Seed002Size, **instance: Any
) -> list[Contestant]:
    """The policy of each seed: the best on noise that none of them learned on, or of a planner the
    last.

    Args:
      instance: see `world`.
    """
    agent, trainer, state = started(setting, size, **instance)
    length = stretch_length(setting.updates, 10)
    for _ in range(setting.updates // length):
        state, _ = trainer.advance(state, length)
    return _policies(agent, state.params, trainer.runs)


def started(
    setting: DQNConfig | DiffSimConfig, size: Seed002Size, **instance: Any
) -> tuple[Learner, Trainer, Training]:
    """An agent, and the training of all its seeds before its first update; a planner has one
    seed.
    """
    kind, seeds = (DQN, size.seeds) if isinstance(setting, DQNConfig) else (DiffSim, 1)
    problem = world(size, **instance)
    agent = kind.create(problem, setting)
    validation = Validation.of(
        problem, key_of(root(RESERVED_SEED), Role.VALIDATION), settles=agent.settles
    )
    trainer = Trainer(stack_agents([agent], seeds), seeds, validation)
    return agent, trainer, trainer.init(keys_of(root(RESERVED_SEED), Role.TRAINING, seeds))


def _policies(agent: Learner, params: Any, seeds: int) -> list[Contestant]:
    return [Contestant("learned", agent.policy, select_run(params, seed)) for seed in range(seeds)]


def learned_costs(
    setting: DQNConfig | DiffSimConfig, size: Seed002Size, **instance: Any
) -> np.ndarray:
    """What learned policies cost a day `[seeds, paths]`; `instance` as of `world`."""
    return costs_of_all(world(size, **instance), train_seeds(setting, size, **instance), PATHS)


def _measured(problem: Problem, contestant: Contestant) -> Totals:
    """What a policy does on the noise that all are judged on."""
    return measure(problem, contestant, root(RESERVED_SEED), PATHS)


PARTS = dict(
    curve=learning_curve,
    rules=rules,
    coordination=coordination,
    returns=returns,
    yardstick=yardstick,
    frontier=frontier,
)
