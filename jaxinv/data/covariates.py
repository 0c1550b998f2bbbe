"""What policies are told of a period before it begins: the calendar, and covariates in units of their spread in training."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxinv.data.panel import Panel, calendar_features
from jaxinv.errors import UserError


def known_covariates(panel: Panel, fitted: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """What is known of each period before it begins, standardised by the training periods (`moments`): `[series, T, C]`."""
    return with_calendar(panel, len(panel.sales), [values[..., None] for values in standardised(panel, fitted)])


def with_calendar(panel: Panel, instances: int, columns: Sequence[np.ndarray]) -> np.ndarray:
    """What the calendar tells of each period, then columns `[instances, T, ...]`: float32 `[instances, T, C]`."""
    calendar, _ = calendar_features(panel.dates, panel.frequency)
    calendar = np.broadcast_to(calendar, (instances, *calendar.shape))
    return np.concatenate([calendar, *columns], -1).astype(np.float32)


def moments(panel: Panel, train: slice) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation in training of each covariate that changes there.

    The lead time is none of them: it is a number of the instance, which policies are told.
    """
    seen = {name: values[:, train] for name, values in panel.covariates.items() if name != "lead_time"}
    return {name: (float(values.mean()), float(values.std())) for name, values in seen.items() if values.std() > 0}


def standardised(panel: Panel, fitted: Mapping[str, tuple[float, float]]) -> list[np.ndarray]:
    """Covariates in standard deviations from their mean (`moments`): `[series, T]` each.

    Raises:
      UserError: for one that the panel lacks.
    """
    missing = [name for name in fitted if name not in panel.covariates]
    if missing:
        raise UserError(f"the covariate {missing[0]!r} cannot be told of these sales; fill its gaps, as in those of training")
    return [
        np.clip((panel.covariates[name] - np.float32(mean)) / np.float32(deviation), -5, 5)
        for name, (mean, deviation) in fitted.items()
    ]
