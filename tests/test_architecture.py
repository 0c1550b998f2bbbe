"""Who may import whom (DESIGN section 3), and the habits that a reader relies on."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jaxinv"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = (
    ("studies", "report", "orders"),
    ("adapt",),
    ("agents",),
    ("evaluation", "policies", "nets", "exact", "instances"),
    ("envs",),
    ("demand", "data"),
)
"""Rooms from top to bottom: a room may import its own layer and those below. Commands stand above
all of them.
"""

ROOMS = {room: level for level, layer in enumerate(LAYERS) for room in layer}
COMMANDS = {
    *("train", "evaluate", "solve", "tune", "recommend", "reproduce", "ablate", "inspect", "log"),
    "__main__",
}
BESIDE_COMMANDS = {
    "api",
    "results",
    "choices",
    "ending",
    "experiment",
    "evidence",
    "ordering",
    "training",
}
"""What several commands share; theirs alone."""
FOR_ANYONE = {
    "errors",
    "config",
    "yaml_file",
    "limits",
    "config_types",
    "keys",
    "outside",
    "whole",
    "sheets",
    "packages",
    "placement",
}
FOR_THE_OUTSIDE = {"runs", "metrics_file", "checkpoint", "cli", "progress"}
"""Run folders and the command line: for commands, for the loop that runs any agent, and for reports
on a run.
"""
THE_LOOP = "agents/loop.py"
COMMANDS_IN_ROOMS = {"report/__main__.py"}
"""Commands that are a room's own: `python -m jaxinv.report`."""

LONG_FOR_A_REASON = {
    "envs/builder.py": "arguments with their units, one a line, and what each of them means",
}
"""Modules that may exceed `LONGEST` lines, and why."""
LONGEST = 450


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> list[str]:
    """Dotted names of everything of jaxinv that a module imports, wherever in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, (
                f"{name_of(path)}:{node.lineno} imports relative to itself; write the whole name"
            )
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.split(".")[0] == "jaxinv"]


def part(path: Path) -> str:
    """The room a module is in, or its own name where it stands beside the rooms."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def may_import(path: Path, target: str) -> bool:
    """Whether a module may import `target`, a room or a module beside the rooms ("" is the package
    itself).
    """
    source = part(path)
    if target == source or target in FOR_ANYONE or source == "__init__":
        return True
    if source in COMMANDS | BESIDE_COMMANDS:
        above = COMMANDS if source in COMMANDS else set()
        return target in ROOMS.keys() | FOR_THE_OUTSIDE | BESIDE_COMMANDS | above | {""}
    if target == "runs" and (name_of(path) == THE_LOOP or source == "report"):
        return True
    if target == "cli" and name_of(path) in COMMANDS_IN_ROOMS:
        return True
    if target in FOR_THE_OUTSIDE:
        return source in FOR_THE_OUTSIDE
    if source in FOR_THE_OUTSIDE or source in FOR_ANYONE:
        return False
    if source in ROOMS and target in ROOMS:
        return ROOMS[target] >= ROOMS[source] and target != "studies"
    return False


def test_imports_go_down_only():
    wrong = []
    for path in MODULES:
        for name in imports(path):
            words = name.split(".")
            target = words[1] if len(words) > 1 else ""
            if not (PACKAGE / target).is_dir() and not (PACKAGE / f"{target}.py").is_file():
                target = ""  # a name that `jaxinv` itself offers
            if not may_import(path, target):
                wrong.append(f"{name_of(path)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_module_has_its_place():
    places = {
        *ROOMS,
        *COMMANDS,
        *BESIDE_COMMANDS,
        *FOR_ANYONE,
        *FOR_THE_OUTSIDE,
        "__init__",
    }
    assert not {part(path) for path in MODULES} - places


@pytest.mark.parametrize(
    "source, target, allowed",
    [
        ("agents/ppo.py", "policies", True),
        ("agents/ppo.py", "agents", True),
        ("policies/rules.py", "evaluation", True),
        ("policies/rules.py", "agents", False),
        ("envs/network.py", "policies", False),
        ("demand/laws.py", "envs", False),
        ("envs/presets.py", "data", True),
        ("report/html.py", "studies", False),
        ("evaluation/table.py", "cli", False),
        ("agents/ppo.py", "runs", False),
        ("agents/loop.py", "runs", True),
        ("report/figures.py", "runs", True),
        ("report/__main__.py", "cli", True),
        ("report/page.py", "cli", False),
        ("train.py", "studies", True),
        ("train.py", "evidence", True),
        ("evidence.py", "cli", True),
        ("evidence.py", "train", False),
        ("agents/loop.py", "evidence", False),
        ("runs.py", "envs", False),
    ],
)
def test_the_rule_itself(source, target, allowed):
    assert may_import(PACKAGE / source, target) == allowed


def test_nothing_is_pickled():
    """A checkpoint or a data file is never code."""
    banned = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, (ast.Import, ast.ImportFrom))
                else []
            )
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & banned, (
                f"{name_of(path)}:{node.lineno}"
            )
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, name_of(
                    path
                )
            assert not (
                isinstance(node, ast.Attribute) and node.attr in ("to_pickle", "read_pickle")
            ), name_of(path)


def test_no_module_is_longer_than_a_readers_patience():
    lines = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    long = {
        name: count
        for name, count in lines.items()
        if count > LONGEST and name not in LONG_FOR_A_REASON
    }
    assert not long, f"split by idea, or give a reason in LONG_FOR_A_REASON: {long}"
    assert not {name for name in LONG_FOR_A_REASON if lines.get(name, 0) <= LONGEST}, (
        "reason no longer needed"
    )


def test_every_module_says_what_it_is():
    for path in MODULES:
        source = path.read_text()
        if source.strip():
            assert ast.get_docstring(ast.parse(source)), f"{name_of(path)} has no docstring"
