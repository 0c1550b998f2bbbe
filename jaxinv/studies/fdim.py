"""What parties gain from forecasting together, and whether it is any better than smoothing.

    python -m jaxinv.reproduce fdim DATA [DATA ...]

On each data set (`jaxinv.studies.d3sci_worlds`) the same forecaster is trained on the retailer's
own columns, by all parties together (vertical), and by one who has all columns (pooled). Their
errors on the held-out periods stand beside those of exponential smoothing, whose constant is the
best of a grid in training. Differences are paired, over seeds, weeks in blocks, and series; those
of a data set hold at once with 95%.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxinv.agents.fdim import FDIM, FDIMConfig
from jaxinv.agents.validation import Validation
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.probes import knowledge
from jaxinv.evaluation.statistics import each_of, relative_difference
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.federated import shared_among
from jaxinv.policies.rules import rule_for
from jaxinv.studies.d3sci_measures import Ground
from jaxinv.studies.d3sci_methods import ahead
from jaxinv.studies.d3sci_play import Stage, truth, units
from jaxinv.studies.d3sci_worlds import FULL, QUICK, DataSet, Size, data_set
from jaxinv.studies.rows import RESERVED_SEED, row
from jaxinv.studies.seeds import trained

CONSTANTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
"""Of smoothing."""


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`) of each data set.

    Args:
      parts: files or folders of sales.
    """
    if not parts:
        raise UserError("name the sales: reproduce fdim DATA [DATA ...]")
    size = QUICK if quick else FULL
    for file in parts:
        yield from on_sales(data_set(file, size), size)


def on_sales(data: DataSet, size: Size) -> Iterator[dict[str, Any]]:
    """Errors of the three federations, and of smoothing."""
    problem = data.problem
    seen = Stage(problem).reference()
    ground = Ground(problem, truth(problem, seen))
    errors = {name: _errors(ground, seen, _policies(data, size, name)) for name in PARTIES}
    errors["smoothing"] = _errors(ground, seen, [_smoothing(data, seen)])
    for name, found in errors.items():
        yield row(f"{data.title}, {name}: MAE, z-units", float(found.mean()))
    level = each_of(len(COMPARED))
    for one, other in COMPARED:
        found = relative_difference(errors[one], errors[other], ground.over, level).times(100)
        verdict = "better" if found.high < 0 else "worse" if found.low > 0 else "no difference"
        yield row(
            f"{data.title}: error of {one} less {other}, %", found, holds=bool(found.low <= 0),
            reference=0.0, verdict=verdict,
        )  # fmt: skip


PARTIES = ("retailer alone", "vertical", "pooled")
COMPARED = (("vertical", "retailer alone"), ("pooled", "vertical"), ("vertical", "smoothing"))
"""The first is claimed to be no worse than the second."""


def _policies(data: DataSet, size: Size, name: str) -> list[Contestant]:
    """Trained forecasters of one federation, one a seed."""
    problem, env = data.problem, data.problem.env
    split = dict(shared_among(env, ()))
    everything = "+".join(signal.name for signal in env.signals)
    parties = {
        "retailer alone": ("retailer:demand",),
        "vertical": tuple(
            f"{party}:{'+'.join(env.signals[column].name for column in columns)}"
            for party, columns in split.items()
        ),
        "pooled": (f"everybody:{everything}",),
    }[name]
    config = FDIMConfig.suited("retail", env.history)
    config = replace(
        config, parties=parties, forecast=ahead(problem), envs=min(config.envs, size.envs),
        updates=max(config.updates // size.shorter, 1),
    )  # fmt: skip
    agent, noise = FDIM.create(problem, config), key_of(root(RESERVED_SEED), Role.VALIDATION)
    validation = Validation.of(problem, noise, settles=agent.settles)
    return trained(name, agent, config.updates, size.seeds, validation)


def _smoothing(data: DataSet, seen) -> Contestant:
    """Smoothing with the constant that errs least in the periods that train."""
    rule, env = rule_for(data.problem, "newsvendor_smoothing"), data.problem.env
    demand = units(seen[0].demand)
    tried = [{"smoothing": jnp.float32(constant)} for constant in CONSTANTS]
    error = [
        np.abs(knowledge(env, rule, params, seen[0]).forecast - demand).mean() for params in tried
    ]
    return Contestant("smoothing", rule, tried[int(np.argmin(error))])


def _errors(ground: Ground, seen, policies: list[Contestant]) -> np.ndarray:
    """Absolute errors of each seed on the held-out periods, in z-units `[S, T, B]`."""
    problem = ground.problem
    forecast = [
        knowledge(problem.env, one.policy, one.params, seen[1]).forecast[problem.warm_up :]
        for one in policies
    ]
    return ground.errors({"forecast": np.stack(forecast)})
