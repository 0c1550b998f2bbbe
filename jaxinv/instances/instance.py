"""What the registry holds of a published instance."""

from dataclasses import dataclass, field
from typing import Any

from jaxinv.envs.problem import Problem
from jaxinv.envs.registry import preset


@dataclass(frozen=True)
class Published:
    """A number in print.

    Attributes:
      value: as printed.
      error: what it may be off by: half a unit of its last digit, or its stated error where it was
        simulated.
      excuse: why a difference is no surprise, where the source leaves something open.
    """

    value: float
    error: float
    excuse: str = ""


@dataclass(frozen=True)
class Instance:
    """A published instance.

    Attributes:
      name: short and unique.
      family: one of `FAMILIES`.
      source: author, year and table.
      preset, options: what builds it; without a preset, the options of a closed form.
      published: numbers by what was measured: "optimal", the name of a rule at its best, or a name
        that the study of the family knows.
      slow: whether it takes minutes rather than seconds.
    """

    name: str
    family: str
    source: str
    preset: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    published: dict[str, Published] = field(default_factory=dict)
    slow: bool = False

    def problem(self) -> Problem:
        return preset(self.preset)(**self.options).build()
