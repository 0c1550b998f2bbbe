"""Which preset, learner and rules a command is asked for.

They are checked by name, before anything is imported that takes seconds.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxinv.agents.registry import AGENTS
from jaxinv.config import chosen
from jaxinv.envs.registry import PRESETS
from jaxinv.errors import unknown
from jaxinv.outside import check_name
from jaxinv.policies.registry import RULES
from jaxinv.runs import Run


def chosen_env(file: Path | None = None, overrides: Sequence[str] = ()) -> str:
    return chosen("env", "cross_border", file=file, overrides=overrides)


def chosen_agent(file: Path | None = None, overrides: Sequence[str] = ()) -> str:
    return chosen("agent", "ppo", file=file, overrides=overrides)


def check_choices(
    file: Path | None = None, overrides: Sequence[str] = (), rules: Iterable[str] = ()
) -> None:
    """Refuses a preset, a learner or rules that there are not.

    Raises:
      UserError: with the nearest name; or for a file that cannot be read.
    """
    for rule in rules:
        check_name("rule", rule, RULES)
    check_name("preset", chosen_env(file, overrides), PRESETS)
    check_name("agent", chosen_agent(file, overrides), AGENTS)


def run_among_rules(name: str | Path, folder: str | Path) -> Run:
    """The run of a name that is no rule.

    Raises:
      UserError: where it is no run either, with the nearest names of both.
    """
    if Run.place(name, folder) is None:
        raise unknown("run or rule", str(name), [*RULES, "optimal", *Run.names(folder)])
    return Run.open(name, folder)
