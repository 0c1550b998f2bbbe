"""The DeepStock study (seed 003): does the form `base` make differentiable simulation, DDPG and PPO
better and easier to tune?

For each of the four synthetic settings, each method (DS is differentiable simulation) and each of
the forms `none` and `base`: random search, the best trials again over seeds, and the loss of the
median seed on test trajectories, as its gap to the best known policy
(`jaxinv.studies.deepstock_levels`): the optimum in settings 1 and 4; in 2 and 3, where none is
known, the best base-stock level that follows the same feature, by the law itself. Beside them stand
the rules that the papers leave out: the base-stock whose level is linear in the feature, two
numbers tuned on the same training trajectories, and the constant one.

Intervals are over seeds and test trajectories, those after few trials over the trials; the training
trajectories are the published ones. What differs from the published runs is said in
`jaxinv.envs.deepstock` and `jaxinv.studies.deepstock_search`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxinv.demand.deepstock_paths import SETTINGS
from jaxinv.envs.deepstock import DeepStock
from jaxinv.envs.problem import Problem
from jaxinv.errors import unknown
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.statistics import Estimate
from jaxinv.evaluation.tuning import tune
from jaxinv.keys import Role, generator, keys_of, root
from jaxinv.policies.feature import FeatureBaseStock
from jaxinv.policies.rules import BaseStock
from jaxinv.report.figures import save_best_so_far
from jaxinv.studies.deepstock_levels import policy_and_params
from jaxinv.studies.deepstock_search import (
    METHODS,
    START,
    Search,
    SearchResult,
    Trained,
    costs_on_test,
    of_one_size,
    training_alone,
)
from jaxinv.studies.rows import row

FORMS = ("none", "base")

SIZE = 10
"""Training trajectories that all settings are brought to; 20 SKUs where their number is what is
studied.
"""

FEW = 5
"""Trials after which a method is said to be easy to tune or not."""

RESAMPLES = 2000

SOURCE = "DeepStock (seed 003); methods A.5 to A.7"

PRINTED = {
    (1, "optimum"): 0.8592, (4, "optimum"): 2.3580,
    (2, "linear"): 2.4152, (3, "linear"): 2.3974,
    (1, "constant"): 1.6270, (2, "constant"): 2.9127,
}  # fmt: skip
"""Test losses of an independent programme with the published generators (methods A.5); the papers
print none.
"""

FIVE_SKUS = 8.0
"""The gap in % that the authors report for DS with form base from five trajectories of setting 4,
at T = 129.
"""


@dataclass(frozen=True)
class DeepStockSize:
    """How large a study is.

    Attributes:
      trials, seeds: of a search, and runs of each of its `trials / seeds` best.
      updates: share of the updates of a full study.
      settings: what is searched.
      skus, days, grid: of setting 4, and the (points, seeds) that each pair of them is trained
        with.
    """

    trials: int = 25
    seeds: int = 5
    updates: float = 1.0
    settings: tuple[int, ...] = SETTINGS
    skus: tuple[int, ...] = (5, 10, 20)
    days: tuple[int, ...] = (5, 17, 33, 65, 129)
    grid: tuple[int, int] = (4, 3)


FULL = DeepStockSize()
QUICK = DeepStockSize(
    trials=6, seeds=3, updates=0.1, settings=(1, 2), skus=(5, 20), days=(5, 17), grid=(2, 2)
)


def run(
    quick: bool = False, parts: Sequence[str] = (), size: DeepStockSize | None = None
) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`), those of a search with its `best_so_far_curve`.

    Args:
      quick: fewer trials, updates and settings.
      parts: settings, such as 1 and 4; all of them where not given.
      size: instead of the one that `quick` names.
    """
    size = size or (QUICK if quick else FULL)
    for part in parts:
        if part not in map(str, SETTINGS):
            raise unknown("setting", part, map(str, SETTINGS))
    chosen = [int(part) for part in parts] or size.settings
    search, changes = Search(size.trials, size.seeds), []
    for setting in chosen:
        found, rows = yield from _setting(setting, size, search)
        changes.append(found)
        yield from rows
    if len(chosen) > 1:
        yield from _over_settings(changes)
    if 4 in chosen or not parts:
        yield from _skus_and_days(size)


def save(rows: list[dict[str, Any]], folder: Path) -> None:
    """Writes `best_so_far.csv` and `best_so_far.png`: the gap of the best trial so far against the
    number of trials.
    """
    folder.mkdir(parents=True, exist_ok=True)
    curves = {tuple(row["of"]): row["curve"] for row in rows if "curve" in row}
    lines = ["setting,method,form,trials,gap,low,high"]
    for of, curve in curves.items():
        lines += [
            ",".join(map(str, (*of, number, *point))) for number, point in enumerate(curve, 1)
        ]
    (folder / "best_so_far.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if curves:
        save_best_so_far(folder / "best_so_far.png", curves)


# --- one setting
# --------------------------------------------------------------------------------------


def _setting(setting: int, size: DeepStockSize, search: Search):
    """Yields the rows of a setting as they come; returns base against none of each method, and the
    rows about them.
    """
    preset = DeepStock(setting=setting)
    plain = preset.build()
    problem = of_one_size(plain, SIZE)
    best = best_known(preset, problem)
    bootstrap = Bootstrap(size.seeds, len(best))
    name = "optimum" if setting in (1, 4) else "best level by the feature"
    yield _printed(setting, "optimum", f"setting {setting}, {name}: test loss", best, bootstrap)
    if setting in (2, 3):
        knowing = best_known(preset, problem, knowing_law=True)
        note = "knows phi, base and sigma of each trajectory, which no policy of the study sees"
        yield _printed(
            setting,
            "",
            f"setting {setting}, best level by the law: test loss",
            knowing,
            bootstrap,
            note,
        )
    for rule in ("linear", "constant"):
        costs, numbers = tuned_rule(problem, rule)
        yield _printed(
            setting,
            rule,
            f"setting {setting}, {rule} base-stock: test loss",
            costs,
            bootstrap,
            numbers,
        )
        gap = costs.mean() / best.mean() - 1, bootstrap.means(costs) / bootstrap.means(best) - 1
        yield _in_percent(f"setting {setting}, {rule} base-stock: gap, %", *gap)

    tuned: dict[tuple[str, str], SearchResult] = {}
    for method in METHODS:
        for form in FORMS:
            result = search.tune(method.lasting(size.updates), form, problem, root(0))
            tuned[method.name, form] = result
            gap = bootstrap.medians(result.seeds.test, best)
            told = ", ".join(
                f"{key}={value:.3g}" for key, value in result.points[result.best].items()
            )
            found = _in_percent(f"setting {setting}, {method.name} {form}: gap, %", *gap, note=told)
            yield {
                **found,
                "of": (setting, method.name, form),
                "curve": best_so_far_curve(result.trials, best),
            }
    changes, rows = {}, []
    for method in METHODS:
        pair = [tuned[method.name, form] for form in FORMS]
        changes[method.name] = change = _change([one.seeds for one in pair], bootstrap)
        what = f"setting {setting}, {method.name}: base against none"
        rows.append(_in_percent(f"{what}, loss of the tuned policy, %", *change, below=True))
        rows.append(
            _in_percent(
                f"{what}, loss after {FEW} trials, %",
                *_few([one.trials for one in pair]),
                below=True,
            )
        )
    ds, others = tuned["DS", "base"], [tuned[name, "base"] for name in ("DDPG", "PPO")]
    for name, other in zip(("DDPG", "PPO"), others):
        against = _change([ds.seeds, other.seeds], bootstrap)
        rows.append(
            _in_percent(
                f"setting {setting}, base: {name} against DS, loss of the tuned policy, %",
                *against,
                below=True,
            )
        )
    return changes, rows


def best_known(preset: DeepStock, problem: Problem, knowing_law: bool = False) -> np.ndarray:
    """Test costs `[paths]` of the best known policy."""
    policy, params = policy_and_params(preset, problem.env.topology, knowing_law)
    return costs_on_test(problem, Contestant("best known", policy, params, BATCH))


def tuned_rule(problem: Problem, name: str) -> tuple[np.ndarray, str]:
    """Test costs `[paths]` of a rule that is tuned on the training trajectories alone, and its
    numbers.
    """
    topology = problem.env.topology
    rule = FeatureBaseStock(topology) if name == "linear" else BaseStock(topology)
    learned = training_alone(problem)
    found = tune(learned, rule, root(0))
    numbers = ", ".join(
        f"{key}={float(value.reshape(-1)[0]):.4g}" for key, value in found.natural(learned).items()
    )
    return costs_on_test(problem, Contestant(name, rule, found.params)), numbers


def best_so_far_curve(trials: Trained, reference: np.ndarray) -> list[tuple[float, float, float]]:
    """Gap in % of the best trial so far, by validation, and its 95% band, after 1, 2, … trials."""
    gaps = 100 * (_best_so_far(trials) / reference.mean() - 1)
    return [(float(now.mean()), *map(float, np.quantile(now, (0.025, 0.975)))) for now in gaps.T]


def _best_so_far(trials: Trained) -> np.ndarray:
    """Test loss of the best trial so far `[RESAMPLES, trials]`, with trials drawn again in any
    order.
    """
    count = len(trials.validation)
    drawn = generator(Role.BOOTSTRAP, 0).integers(count, size=(RESAMPLES, count))
    cost = trials.validation[drawn]
    leads = np.minimum.accumulate(cost, 1) == cost  # a trial that is the best of those up to it
    latest = np.maximum.accumulate(np.where(leads, np.arange(count), 0), 1)
    return trials.test.mean(1)[np.take_along_axis(drawn, latest, 1)]


def _few(pair: list[Trained]):
    """Base against none after `FEW` trials: the change of the mean loss, and it in each
    resample.
    """
    none, base = (
        _best_so_far(trials)[:, FEW - 1 if len(trials.validation) >= FEW else -1] for trials in pair
    )
    return base.mean() / none.mean() - 1, base / none - 1


def _change(pair: list[Trained], bootstrap: "Bootstrap"):
    """The second against the first: the change of the median seed's loss, and it in each
    resample.
    """
    (first, firsts), (second, seconds) = (bootstrap.losses(runs.test) for runs in pair)
    return second / first - 1, seconds / firsts - 1


class Bootstrap:
    """Resamples of seeds and of test trajectories, the same for all that is compared."""

    def __init__(self, seeds: int, paths: int):
        draw = generator(Role.BOOTSTRAP, 0)
        self.weights = draw.multinomial(paths, np.full(paths, 1 / paths), RESAMPLES) / paths
        self.seeds = draw.integers(seeds, size=(RESAMPLES, seeds))

    def means(self, costs: np.ndarray) -> np.ndarray:
        """Means `[RESAMPLES]` of `[paths]`."""
        return self.weights @ costs

    def losses(self, costs: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss of the median seed of costs `[seeds, paths]`, and it in each resample."""
        means = np.take_along_axis(self.weights @ costs.T, self.seeds, 1)
        return float(np.median(costs.mean(1))), np.median(means, 1)

    def medians(self, costs: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
        """Gap of the median seed to a reference `[paths]`, and it in each resample."""
        loss, losses = self.losses(costs)
        return loss / reference.mean() - 1, losses / self.means(reference) - 1


def _over_settings(changes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for method in METHODS:
        values, resampled = zip(*[change[method.name] for change in changes])
        claim = (
            f"{method.name}: base against none, loss of the tuned policy, mean of {len(changes)}"
            " settings, %"
        )
        yield _in_percent(claim, np.mean(values), np.mean(resampled, 0), below=True)


# --- setting 4: many SKUs or many days
# ------------------------------------------------------------------


def _skus_and_days(size: DeepStockSize) -> Iterator[dict[str, Any]]:
    """The gap of DS with form base to the newsvendor, by SKUs that are learned from and by days."""
    points, seeds = size.grid
    most, method, search = (
        max(size.skus),
        METHODS[0].lasting(0.3 * size.updates),
        Search(points * seeds, seeds),
    )
    found: dict[tuple[int, int], tuple[float, np.ndarray]] = {}
    for days in size.days:
        config = dataclasses.replace(method.config, rollout=days, envs=most)
        for skus in size.skus:
            preset = DeepStock(setting=4, training=skus, horizon=days)
            problem = of_one_size(preset.build(), most)
            drawn = [point for point in method.trials(points) for _ in range(seeds)]
            keys = jnp.tile(keys_of(root(0), Role.TRAINING, seeds), points)
            runs = search.train(
                dataclasses.replace(method, config=config), "base", problem, drawn, keys
            )
            best = int(np.argmin(runs.validation.reshape(points, seeds).mean(1)))
            test, reference = (
                runs.test.reshape(points, seeds, -1)[best],
                best_known(preset, problem),
            )
            found[skus, days] = gap = Bootstrap(seeds, len(reference)).medians(test, reference)
            paper = FIVE_SKUS if (skus, days) == (5, 129) else None
            note = (
                f"learning_rate={drawn[best * seeds]['learning_rate']:.3g},"
                f" {START}={drawn[best * seeds][START]:.3g}"
            )
            yield _in_percent(
                f"setting 4, DS base, n={skus}, T={days}: gap, %", *gap, note=note, paper=paper
            )

    def between(pairs):
        """The mean difference of gaps, in percentage points."""
        values = [found[late][0] - found[early][0] for early, late in pairs]
        return np.mean(values), np.mean(
            [found[late][1] - found[early][1] for early, late in pairs], 0
        )

    few, many = min(size.skus), most
    short, long = min(size.days), max(size.days)
    more_skus = between([((few, days), (many, days)) for days in size.days])
    yield _in_percent(
        f"setting 4, DS base: gap at n={many} less that at n={few}, points", *more_skus, below=True
    )
    more_days = between([((skus, short), (skus, long)) for skus in size.skus])
    note = "the claim is that it does not fall"
    yield _in_percent(
        f"setting 4, DS base: gap at T={long} less that at T={short}, points",
        *more_days,
        below=False,
        note=note,
    )


# --- rows
# -----------------------------------------------------------------------------------------------


def _printed(setting, what, claim, costs, bootstrap, note="") -> dict[str, Any]:
    """A test loss, beside the one that is printed where there is one; it holds within the error of
    the test trajectories.
    """
    paper, ours = PRINTED.get((setting, what)), _estimate(costs.mean(), bootstrap.means(costs))
    if paper is None:
        return row(claim, ours, note=note, source=SOURCE)
    spread = 1.96 * costs.std() / np.sqrt(len(costs))
    holds = abs(ours.value - paper) <= spread
    verdict = "within error" if holds else "differs"
    return row(claim, ours, holds=holds, reference=paper, verdict=verdict, note=note, source=SOURCE)


def _in_percent(
    claim: str,
    value: float,
    resampled: np.ndarray,
    *,
    below: bool | None = None,
    note: str = "",
    paper=None,
):
    """A row of a number and it in each resample.

    Args:
      below: the claim is that the number is below 0 (True: all of its interval is), or that it is
        not (False: not all is).
    """
    ours = _estimate(value, resampled).times(100)
    holds = None if below is None else (ours.high < 0) == below
    return row(claim, ours, holds=holds, reference=paper, note=note, source=SOURCE)


def _estimate(value: float, resampled: np.ndarray) -> Estimate:
    low, high = (float(end) for end in np.quantile(resampled, (0.025, 0.975)))
    return Estimate(float(value), low, high, "resampled seeds, trials and paths")
