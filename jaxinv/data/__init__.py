"""Files of sales -> validated tables (`load`, `validate`) -> panels of series, split honestly
(`Panel`).
"""

from jaxinv.data.panel import FAVORITA_SPLIT, Panel, TimeSplit, calendar_features
from jaxinv.data.readers import READERS, load
from jaxinv.data.schema import validate

__all__ = [
    "FAVORITA_SPLIT",
    "READERS",
    "Panel",
    "TimeSplit",
    "calendar_features",
    "load",
    "validate",
]
