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
from jaxinv.yaml_file import load_yaml

BESIDE = ("optimal", "ready")
"""What can be judged beside runs and rules: the exact optimum, and the policy that ships ready."""

TABLES = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet", ".xlsx")
"""How the names of tables end."""


def chosen_env(file: Path | None = None, overrides: Sequence[str] = ()) -> str:
    return chosen("env", "cross_border", file=file, overrides=overrides)


def chosen_agent(file: Path | None = None, overrides: Sequence[str] = ()) -> str:
    return chosen("agent", "ppo", file=file, overrides=overrides)


def of_plan(file: Path | None, overrides: Sequence[str] = ()) -> tuple[Path | None, list[str]]:
    """A configuration and overrides, of which the one may be, and `env=` of the others may name, a
    shop's own files: a plan, a folder of tables, or a table of sales. They become options of the
    preset `network`."""
    if file is not None and _is_plan(file):
        return None, ["env=network", f"data={file}", *overrides]
    env = chosen("env", "", overrides=overrides)
    if env and env not in PRESETS and _is_plan(Path(env)):
        others = [text for text in overrides if not text.startswith("env=")]
        return file, ["env=network", f"data={env}", *others]
    return file, list(overrides)


def _is_plan(path: Path) -> bool:
    if path.is_dir():
        return any(inside.name.lower().endswith(TABLES) for inside in path.iterdir())
    if path.is_file() and path.name.lower().endswith(TABLES):
        return True
    return path.is_file() and path.suffix in (".yaml", ".yml") and "sales" in load_yaml(path)[0]


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


def run_among_rules(name: str | Path, folder: str | Path, beside: Iterable[str] = BESIDE) -> Run:
    """The run of a name that is no rule.

    Args:
      beside: what else could have been meant.

    Raises:
      UserError: where it is no run either, with the nearest of all names.
    """
    if Run.place(name, folder) is None:
        raise unknown("run or rule", str(name), [*RULES, *beside, *Run.names(folder)])
    return Run.open(name, folder)
