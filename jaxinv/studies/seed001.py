"""Two warehouses that send each other stock (seed 001): the paper's arithmetic, what its Q-learning
learns, and what it is worth.

as_written     the paper's two days by its own formula, beside what it prints
one_period     transfers once demand is known: the classical result, from the transition
forecasts      how far the forecaster is off, beside simple ones
curve          the cost of an episode while a joint table and independent ones learn, 1000 episodes
cooperation    one planner, and warehouses that share information, costs, both or neither
and the parts of `jaxinv.studies.tabular`, beside the exact optimum of a small instance
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtri
from scipy.stats import norm

from jaxinv.agents.diffsim import DiffSim
from jaxinv.agents.loop import Trainer, stack_agents
from jaxinv.agents.tabular import TabularQ
from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.as_written import DAYS
from jaxinv.envs.problem import Problem
from jaxinv.envs.two_warehouses import WAREHOUSES, TwoWarehouses
from jaxinv.errors import unknown
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.rollout import rollout
from jaxinv.evaluation.statistics import mean_of, relative_difference
from jaxinv.evaluation.tuning import rule_for, tune
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.report.figures import save_curves
from jaxinv.studies import tabular
from jaxinv.studies.rows import RESERVED_SEED, row
from jaxinv.studies.seeds import costs_of_all, trained

SOURCE = (
    "Dong et al., cross-border e-commerce inventory multi-agent system construction (seed 001),"
    " section 4.5"
)

TRANSFERS = "Two locations, N(100, 20) each, holding 1, shortage 4, transfer 0.5; 4 million draws"

SLICES = 128
"""Of a law of demand, each of the same probability, at their means."""

RULES = ("base_stock", "base_stock_regression", "transshipment", "transshipment_regression")

AGENTS = {
    "warehouses, shared information, team": dict(
        roles="warehouses", information="shared", form="none"
    ),
    "warehouses, own information, team": dict(roles="warehouses", form="none"),
    "warehouses, shared information, own costs": dict(
        roles="warehouses", information="shared", form="none", team_share=0.0
    ),
    "warehouses, own information, own costs": dict(roles="warehouses", form="none", team_share=0.0),
}
"""Who sends does not see where it goes to, with own information: so agents say what to send, not up
to what.
"""

PATHS = 256


@dataclass(frozen=True)
class Seed001Size:
    """How much is spent."""

    quick: bool

    @property
    def seeds(self) -> int:
        return 1 if self.quick else 5

    @property
    def updates(self) -> int:
        return 60 if self.quick else 600

    @property
    def tuning(self) -> int:
        """Periods that a rule is tuned with."""
        return 200_000 if self.quick else 2_000_000

    @property
    def tables(self) -> int:
        """Seeds of the tables whose curve is drawn."""
        return 20 if self.quick else 200


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`), one by one.

    Args:
      quick: few seeds and short trainings.
      parts: of `PARTS` and `jaxinv.studies.tabular.PARTS`; all where not given.
    """
    for part in parts:
        if part not in PARTS and part not in tabular.PARTS:
            raise unknown("part of the study", part, [*PARTS, *tabular.PARTS])
    size = Seed001Size(quick)
    for part in parts or PARTS:
        if part in PARTS:
            yield from PARTS[part](size)
    own = [part for part in parts if part in tabular.PARTS]
    if own or not parts:
        yield from tabular.run(quick, own)


def as_written(size: Seed001Size) -> Iterator[dict[str, Any]]:
    """The rewards that the environment gives for the paper's own actions, by warehouse."""
    problem = TwoWarehouses(mode="literal").build()
    env, params = problem.env, problem.first
    roles, state = problem.roles["warehouses"], env.start({"stock": jnp.zeros((2, 1))}, params)
    for number, day in enumerate(DAYS, 1):
        exogenous = Exogenous(demand=jnp.asarray(day.demand, jnp.float32)[:, None])
        state, outcome = env.transition(state, jnp.asarray(day.action), exogenous, params)
        ours = roles.rewards(env.topology, params.weights, outcome.places, 0.0)
        for name, reward, printed in zip(WAREHOUSES, np.asarray(ours), day.printed):
            holds = abs(reward - printed) < 1e-3
            yield row(
                f"day {number}, {name}: reward by the paper's formula",
                float(reward),
                holds=holds,
                reference=printed,
                source=SOURCE,
            )


def one_period(size: Seed001Size) -> Iterator[dict[str, Any]]:
    for sends, best, least in ((True, 112.0, 41.39), (False, 116.8, 55.99)):
        level, cost = best_level(sends)
        how = "with transfers" if sends else "without transfers"
        yield row(
            f"one period {how}: least cost",
            cost,
            holds=abs(cost - least) <= 0.05,
            reference=least,
            source=TRANSFERS,
        )
        yield row(
            f"one period {how}: best level",
            level,
            holds=abs(level - best) <= 0.75,
            reference=best,
            source=TRANSFERS,
        )


def best_level(sends: bool) -> tuple[float, float]:
    """The best base-stock level of both locations, and its cost: ordered on the first day, for
    customers who are served on the second, in the morning of which the one may send the other what
    it has left.

    Demand is at the means of equal slices of its law, each with each.
    """
    problem = TwoWarehouses(
        demand=("normal(100, 20)",),
        lead_time=1,
        reactive=True,
        initial_stock=(0.0,),
        ends=True,
        horizon=2,
        integer_orders=False,
    ).build()
    env, params = problem.env, problem.first.replace(initial_pipeline=jnp.zeros((4, 1)))
    ends = norm.pdf(ndtri(np.linspace(0, 1, SLICES + 1)))
    normal = 100 + 20 * SLICES * (ends[:-1] - ends[1:])
    both = np.stack(np.meshgrid(normal, normal), -1).reshape(-1, 2)
    demand = jnp.asarray(np.stack([both.T, 0 * both.T])[:, :, None], jnp.float32)  # [T, D, K, B]
    start = jax.vmap(lambda stock: env.start({"stock": stock}, params), -1, -1)(
        jnp.zeros((2, 1, len(both)))
    )

    def act(level, observation, _):
        net = observation.on_hand[:, 0] - observation.booked[:, 0]
        given = jnp.minimum(jnp.maximum(net, 0.0), jnp.maximum(-net[::-1], 0.0)) * sends
        first, then = (
            jnp.asarray([1.0, 1.0, 0.0, 0.0]) * level,
            jnp.concatenate([jnp.zeros(2), given]),
        )
        return jnp.where(observation.time == 0, first, then)[:, None], None

    def cost(level):
        return -rollout(env, params, act, level, start, Exogenous(demand=demand))[1].sum(0).mean()

    levels = np.linspace(106.0, 122.0, 33)
    found = np.asarray(jax.jit(lambda levels: jax.lax.map(cost, levels))(jnp.asarray(levels)))
    return float(levels[found.argmin()]), float(found.min())


def forecasts(size: Seed001Size) -> Iterator[dict[str, Any]]:
    for found in TwoWarehouses().forecaster[1]:
        note = f"root mean square {found['rmse']:.2f}, bias {found['bias']:.2f}"
        yield row(
            f"{found['forecast']}, day {found['ahead']} from now: mean absolute error, units",
            found["mae"],
            note=note,
        )


# Learning


def q_learning_curves(size: Seed001Size) -> Iterator[dict[str, Any]]:
    """Costs of episodes of 100 days, with what is tried out in them."""
    kinds = {
        "joint": tabular.JOINT,
        "independent, shared information": replace(
            tabular.JOINT, learners="independent", information="shared"
        ),
        "independent, own information": replace(
            tabular.JOINT, learners="independent", information="own"
        ),
    }
    curves = {}
    for name, config in kinds.items():
        agent = TabularQ.create(tabular.small(), replace(config, updates=1000))
        trainer = Trainer(stack_agents([agent], size.tables), size.tables)
        state = trainer.init(keys_of(root(RESERVED_SEED), Role.TRAINING, size.tables))
        _, metrics = trainer.advance(state, 1000)
        curves[name] = metrics["cost"].mean(1)
        last = mean_of(metrics["cost"][-100:].mean(0), ("seeds",))
        yield row(
            f"{name}: cost a day in episodes 901 to 1000",
            last,
            reference=float(metrics["cost"][:100].mean()),
            note="beside episodes 1 to 100",
        )
    yield row("optimal: cost a day", tabular.least_average_cost()) | {
        "curves": {name: found.round(4).tolist() for name, found in curves.items()}
    }


def cooperation(size: Seed001Size) -> Iterator[dict[str, Any]]:
    """Paired on the same noise; the planner decides everything at once."""
    problem = TwoWarehouses().build()
    planner = learned_costs(problem, size, {})
    yield row("one planner (diffsim): cost", mean_of(planner))
    for name, setting in AGENTS.items():
        change = relative_difference(learned_costs(problem, size, setting), planner).times(100)
        yield row(f"{name}, above the planner: cost, %", change)
    for name in RULES:
        tuned = tune(
            problem, rule_for(problem, name), key_of(root(RESERVED_SEED), Role.STUDY), size.tuning
        )
        cost = costs(
            problem,
            Contestant(name, tuned.rule, tuned.params, tuned.policy_axis),
            root(RESERVED_SEED),
            PATHS,
        )
        change = relative_difference(np.broadcast_to(cost, planner.shape), planner).times(100)
        yield row(f"{name}, tuned, above the planner: cost, %", change)


def learned_costs(problem: Problem, size: Seed001Size, setting: dict[str, Any]) -> np.ndarray:
    """What policies of differentiable simulation cost a day `[seeds, paths]`."""
    config = replace(
        DiffSim.Config.suited("two_warehouses", problem.env.history),
        updates=size.updates,
        **setting,
    )
    policies = trained("diffsim", DiffSim.create(problem, config), size.updates, size.seeds)
    return costs_of_all(problem, policies, PATHS)


def save(rows: list[dict[str, Any]], folder: Path) -> None:
    """Writes the learning curves of the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for found in rows:
        if "curves" in found:
            save_curves(
                folder / "learning.png",
                found["curves"],
                found["ours"],
                "episode of 100 days",
                "cost a day in training",
            )


PARTS = dict(
    as_written=as_written,
    one_period=one_period,
    forecasts=forecasts,
    curve=q_learning_curves,
    cooperation=cooperation,
)
