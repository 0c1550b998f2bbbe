"""Differentiable simulation on networks: one setting of the learner beside optima, tuned rules and
published learners.

Parts: `serial` and `dual_sourcing` beside the optimal policy and `one_warehouse` beside the tuned
echelon base-stock and the published PPO, each paired on the same noise, orders in whole units where
the instance has them. A folder or file of Favorita's weekly sales as a further part adds the
profits of one store (`favorita`) and of three warehouses with 21 stores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.validation import Validation
from jaxinv.envs.one_warehouse import KAYNOV
from jaxinv.envs.problem import Problem
from jaxinv.envs.registry import preset
from jaxinv.envs.retail import FAVORITA
from jaxinv.errors import unknown
from jaxinv.evaluation.compare import contestants_of, units_of
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.just_in_time import unavoidable_cost
from jaxinv.evaluation.statistics import Estimate, mean_of, ratio_of_sums, relative_difference
from jaxinv.evaluation.tuning import rule_for, tune
from jaxinv.exact import solve
from jaxinv.instances import instances_of
from jaxinv.instances.networks import (
    CHAIN,
    CHAIN_CONSTANT,
    CHAIN_IN_PERIODS,
    KAYNOV_COSTS,
    KAYNOV_PPO,
)
from jaxinv.keys import Role, key_of, root
from jaxinv.studies.rows import RESERVED_SEED, row
from jaxinv.studies.seeds import costs_of_all, trained

SETTING = DiffSimConfig(
    updates=1600, envs=256, rollout=50, encoder="none", hidden=(64, 64), learning_rate=2e-3
)
"""Of all networks without a history; the quick size has a quarter of the updates and half of the
environments.
"""

RETAIL_SETTING = DiffSimConfig(
    updates=300,
    envs=256,
    rollout=40,
    encoder="transformer",
    features=32,
    hidden=(64, 64),
    learning_rate=3e-3,
)

SERIAL_GAP, DUAL_SOURCING_GAP = 0.3, 0.1
"""Per cent above the optimum that a claim allows, at the upper end of the interval."""

NO_WORSE = 0.1
"""Per cent above a tuned rule that still counts as no worse, at the upper end of the interval."""

SEEDS, PATHS = 3, 2048


@dataclass(frozen=True)
class NetworksSize:
    """How much is spent."""

    quick: bool

    @property
    def seeds(self) -> int:
        return 1 if self.quick else SEEDS

    @property
    def tuning(self) -> int:
        """Periods that a rule is tuned with."""
        return 2_000_000 if self.quick else 10_000_000

    @property
    def network_tuning(self) -> int:
        """The same on many stores, where a period takes as long as dozens of one store."""
        return 1_000_000 if self.quick else 3_000_000

    def of(self, setting: DiffSimConfig) -> DiffSimConfig:
        if not self.quick:
            return setting
        return replace(setting, updates=setting.updates // 4, envs=setting.envs // 2)


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`), one by one.

    Args:
      quick: one seed, a short training, and few of the rows.
      parts: names of `PARTS`, and files or folders of Favorita's sales; all of `PARTS` where none
        is named.
    """
    files = [part for part in parts if Path(part).exists()]
    names = [part for part in parts if part not in files]
    for name in names:
        if name not in PARTS:
            raise unknown("part, and no file or folder,", name, PARTS)
    size = NetworksSize(quick)
    for name in names or ([] if files else PARTS):
        yield from PARTS[name](size)
    for file in files:
        yield from favorita(size, file)
        yield from favorita_network(size, file)


def serial(size: NetworksSize) -> Iterator[dict[str, Any]]:
    chains = {
        CHAIN.name: (CHAIN_IN_PERIODS, CHAIN_CONSTANT, CHAIN.source),
        "serial, four stages": (
            dict(integer_orders=False),
            0.0,
            "Alvo et al. 2306.11246, serial system; Clark & Scarf",
        ),
    }
    for name, (options, constant, source) in chains.items():
        yield beside_optimum(
            name, preset("serial")(**options).build(), size, SERIAL_GAP, source, constant
        )


def dual_sourcing(size: NetworksSize) -> Iterator[dict[str, Any]]:
    for instance in instances_of("dual_sourcing")[: 2 if size.quick else None]:
        yield beside_optimum(
            instance.name, instance.problem(), size, DUAL_SOURCING_GAP, instance.source
        )


def one_warehouse(size: NetworksSize) -> Iterator[dict[str, Any]]:
    """Two rows an instance: beside the published learner, and beside the rule tuned here."""
    source = (
        "Kaynov et al. 2024, International Journal of Production Economics 267: 109088, table A.3"
    )
    for number in (1, 9) if size.quick else KAYNOV_PPO:
        problem = preset("one_warehouse_many_stores")(**KAYNOV[number]).build()
        learned = train_policies(problem, size.of(SETTING), size.seeds)
        tuned = tune(
            problem, rule_for(problem, "echelon_base_stock"), root(RESERVED_SEED), size.tuning
        )
        (rule,) = contestants_of({"echelon_base_stock": tuned})
        costs, rival = _costs(problem, learned), _costs(problem, [rule])
        total = mean_of(costs).times(problem.horizon)
        printed = KAYNOV_PPO[number]
        claim = f"row {number}: cost of 100 periods, below PPO in print"
        yield row(claim, total, holds=total.high < printed, reference=printed, source=source)
        change = relative_difference(costs, rival[0]).times(100)
        note = (
            f"the tuned rule costs {rival.mean() * problem.horizon:.1f}, the rule in print"
            f" {KAYNOV_COSTS[number][0]}"
        )
        holds = change.high < NO_WORSE
        yield row(
            f"row {number}: % above tuned echelon base-stock",
            change,
            holds=holds,
            note=note,
            source=source,
        )


def favorita(size: NetworksSize, file: str) -> Iterator[dict[str, Any]]:
    """One store with lost sales; learned on costs per mean demand, which no large series drowns
    out, and judged on money.
    """
    options = dict(FAVORITA, data=file)
    problem = preset("retail")(**options).build()
    shown = preset("retail")(**options | dict(relative_costs=True, min_active=0.3)).build()
    learned = train_policies(shown, size.of(RETAIL_SETTING), size.seeds, problem)
    names = (
        "newsvendor_quantile",
        "newsvendor_smoothing",
        "capped_base_stock_smoothing",
        "base_stock",
    )
    yield from _profits("favorita, one store", problem, learned, names, size.tuning)


def favorita_network(size: NetworksSize, file: str) -> Iterator[dict[str, Any]]:
    problem = preset("retail_network")(data=file, published_split=True, life_cycles=False).build()
    setting = replace(RETAIL_SETTING, encoder="none", envs=64, updates=1000)
    learned = train_policies(problem, size.of(setting), size.seeds, problem)
    name = "favorita, 3 warehouses and 21 stores"
    names = (
        "dual_index",
        "dual_index_smoothing",
        "dual_index_regression",
        "capped_base_stock_smoothing",
    )
    yield from _profits(name, problem, learned, names, size.network_tuning, method="gradient")


PARTS = {"serial": serial, "dual_sourcing": dual_sourcing, "one_warehouse": one_warehouse}


def beside_optimum(
    name: str,
    problem: Problem,
    size: NetworksSize,
    allowed: float,
    source: str,
    constant: float = 0.0,
) -> dict[str, Any]:
    """The cost of the learned policy: the optimum and the gap measured beside the optimal policy on
    the same noise.

    Args:
      allowed: per cent of the optimum that the upper end of the gap may reach.
      constant: what the published model charges beyond the simulator's, whatever the policy.
    """
    solution = solve(problem.env, problem.first)
    costs = _costs(problem, train_policies(problem, size.of(SETTING), size.seeds))
    optimal = _costs(problem, [Contestant("optimal", solution.policy, solution.params)])
    gap = relative_difference(costs, optimal[0])
    ours = Estimate(*(solution.average_cost * (1 + end) + constant for end in gap[:3]), gap.over)
    note = (
        f"gap {100 * gap.value:.3f}% [{100 * gap.low:.3f}, {100 * gap.high:.3f}], at most"
        f" {allowed}%"
    )
    optimum = solution.average_cost + constant
    claim = f"{name}: learned cost beside the optimum"
    return row(
        claim, ours, holds=100 * gap.high <= allowed, reference=optimum, note=note, source=source
    )


def train_policies(
    problem: Problem, config: DiffSimConfig, seeds: int, judged: Problem | None = None
) -> list[Contestant]:
    """The policies of several seeds, trained side by side in one program.

    Args:
      judged: whose held-out series choose among the parameters of a training; None to keep the
        latest.
    """
    validation = (
        None
        if judged is None
        else Validation.of(judged, key_of(root(RESERVED_SEED), Role.VALIDATION))
    )
    return trained("diffsim", DiffSim.create(problem, config), config.updates, seeds, validation)


def _profits(
    name: str,
    problem: Problem,
    learned: list[Contestant],
    rules: Sequence[str],
    budget: int,
    method=None,
):
    """Profit a period and instance of the clairvoyant, of tuned rules and of the learned policies,
    each on the test weeks.
    """
    source = (
        "Alvo et al. 2306.11246: settings, split and laws of the costs; draws and profits are ours"
    )
    clairvoyant = -unavoidable_cost(problem, root(RESERVED_SEED), PATHS)
    note = "sells all demand from no stock"
    over = ("seeds", *units_of(problem))
    yield row(
        f"{name}: profit of the clairvoyant",
        mean_of(clairvoyant, ("series",)),
        note=note,
        source=source,
    )
    best = None
    for rule in rules:
        tuned = tune(problem, rule_for(problem, rule), root(RESERVED_SEED), budget, method)
        profit = -_costs(problem, contestants_of({rule: tuned}))
        best = profit if best is None or profit.mean() > best.mean() else best
        yield row(
            f"{name}: profit of {rule}",
            mean_of(profit, over),
            note=_share(profit, clairvoyant, over),
            source=source,
        )
    profit = -_costs(problem, learned)
    more = relative_difference(profit, best[0], over)
    change = (
        f"{100 * more.value:+.2f}% [{100 * more.low:+.2f}, {100 * more.high:+.2f}] on the best rule"
    )
    note = f"{_share(profit, clairvoyant, over)}; {change}"
    claim = f"{name}: profit of diffsim, above the best rule"
    yield row(claim, mean_of(profit, over), holds=more.low > 0, note=note, source=source)


def _share(profit, clairvoyant, over) -> str:
    share = ratio_of_sums(profit, clairvoyant, over)
    return f"{100 * share.value:.2f}% of the clairvoyant's"


def _costs(problem: Problem, contestants: list[Contestant]) -> np.ndarray:
    """Cost a period `[contestants, B]`, in each period where series share these
    `[contestants, T, B]`; on the same noise.
    """
    return costs_of_all(problem, contestants, PATHS)
