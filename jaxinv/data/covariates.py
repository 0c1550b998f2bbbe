"""What policies are told of a period before it begins: the calendar, and covariates in units of
their spread in training.
"""

from collections.abc import Mapping

import numpy as np

from jaxinv.data.panel import Panel, calendar_features
from jaxinv.demand.signals import CALENDAR, WORLD, Signal
from jaxinv.errors import UserError


def known_covariates(
    panel: Panel, fitted: Mapping[str, tuple[float, float]]
) -> tuple[tuple[Signal, ...], np.ndarray]:
    """What is known of each period before it begins, standardised by the training periods
    (`moments`): what each column is, and `[series, T, C]`."""
    columns = {name: values[..., None] for name, values in standardised(panel, fitted).items()}
    return with_calendar(panel, len(panel.sales), columns)


def with_calendar(
    panel: Panel, instances: int, columns: Mapping[str, np.ndarray]
) -> tuple[tuple[Signal, ...], np.ndarray]:
    """What the calendar tells of each period, then covariates `[instances, T, D]` by name: what
    each column is, and `[instances, T, C]`. A covariate with a column for each place is that
    place's, and all others are the world's.
    """
    calendar, names = calendar_features(panel.dates, panel.frequency)
    told = [Signal(name, owner=CALENDAR) for name in names]
    for name, values in columns.items():
        places = range(values.shape[-1]) if values.shape[-1] > 1 else [WORLD]
        told += [Signal(name, "standard deviations", place) for place in places]
    calendar = np.broadcast_to(calendar, (instances, *calendar.shape))
    return tuple(told), np.concatenate([calendar, *columns.values()], -1).astype(np.float32)


def moments(panel: Panel, train: slice) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation in training of each covariate that changes there.

    The lead time is none of them: it is a number of the instance, which policies are told.
    """
    seen = {
        name: values[:, train] for name, values in panel.covariates.items() if name != "lead_time"
    }
    return {
        name: (float(values.mean()), float(values.std()))
        for name, values in seen.items()
        if values.std() > 0
    }


def standardised(panel: Panel, fitted: Mapping[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    """Covariates in standard deviations from their mean (`moments`): `[series, T]` by name.

    Raises:
      UserError: for one that the panel lacks.
    """
    missing = [name for name in fitted if name not in panel.covariates]
    if missing:
        raise UserError(
            f"the covariate {missing[0]!r} cannot be told of these sales; fill its gaps, as in"
            " those of training"
        )
    return {
        name: np.clip((panel.covariates[name] - np.float32(mean)) / np.float32(deviation), -5, 5)
        for name, (mean, deviation) in fitted.items()
    }
