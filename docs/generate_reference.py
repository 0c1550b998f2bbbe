"""Pages of the reference that are made from the code: presets, learners, rules and commands.

A hook of mkdocs (`mkdocs.yml`). The pages are made while the site is built and lie nowhere, so they
say what the code says.
"""

import contextlib
import dataclasses
import importlib
import inspect
import io
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

COMMANDS = (
    "train", "evaluate", "solve", "tune", "log", "reproduce", "ablate", "inspect", "recommend",
    "report",
)  # fmt: skip
"""Modules of `jaxinv` with a `main`."""

SALES = """import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
days = pd.date_range("2023-01-02", periods=800)
sales = pd.DataFrame(
    [(day, sku, location, rng.poisson(mean))
     for location in ("north", "south")
     for sku, mean in (("tea", 9), ("rice", 4), ("soap", 2), ("jam", 1))
     for day in days],
    columns=["date", "sku", "location", "sales"],
)
sales.to_csv("sales.csv", index=False)
"""
"""A shop's sales, for examples of presets that read a file."""

FILE_OPTIONS = {
    "retail": dict(data="sales.csv", frequency="week"),
    "retail_network": dict(
        data="sales.csv", frequency="week", links=["11"], lead_times=[[1, 1]],
        warehouse_holding_costs=[0.5], purchase_costs=[1.0], price=[2.0, 4.0],
    ),
    "network": dict(data="sales.csv"),
}  # fmt: skip
"""What the examples of presets that read a file are given; all others are played as they come."""


# --- the hook -------------------------------------------------------------------------------------


def on_config(config):
    """Puts the page of each preset into the navigation, below their table."""
    from jaxinv.envs.registry import PRESETS

    _section(config.nav, "Presets").extend(f"reference/presets/{name}.md" for name in PRESETS)
    return config


def on_files(files, config):
    """Adds the generated pages to the site."""
    from mkdocs.structure.files import File

    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def _section(nav: list, title: str) -> list:
    for entry in nav:
        for name, inside in entry.items() if isinstance(entry, dict) else ():
            if name == title:
                return inside
            if isinstance(inside, list) and (found := _section(inside, title)) is not None:
                return found
    return None


def pages() -> dict[str, str]:
    """Markdown of every generated page, by its place in the site."""
    from jaxinv.envs.registry import PRESETS

    return {
        "reference/presets/index.md": presets_page(),
        **{f"reference/presets/{name}.md": preset_page(name) for name in PRESETS},
        "reference/learners.md": learners_page(),
        "reference/rules.md": rules_page(),
        "reference/commands.md": commands_page(),
    }


# --- presets --------------------------------------------------------------------------------------


def presets_page() -> str:
    from jaxinv.envs.registry import PRESETS

    rows = [
        (f"[`{name}`]({name}.md)", _summary(PRESETS[name]), str(len(_options(PRESETS[name]))))
        for name in PRESETS
    ]
    return "\n\n".join(
        (
            "# Presets",
            "A preset is a ready inventory problem: a supply network, demand, costs, and instances"
            " to learn on and to be judged on. Its options are given as `key=value` on the command"
            " line and as keyword arguments in Python. Every command takes the name of a preset.",
            _table(("preset", "what it is", "options"), rows),
            "Demand that is drawn from a law can be written with its numbers, such as"
            ' `demand="moving_poisson(5, trend=0.01)"`. The laws are:',
            _laws(),
        )
    )


def preset_page(name: str) -> str:
    from jaxinv.envs.registry import PRESETS

    kind = PRESETS[name]
    reads_file = name in FILE_OPTIONS
    given = FILE_OPTIONS.get(name, {})
    code = "".join(f", {key}={value!r}" for key, value in given.items()).replace("'", '"')
    example = [
        *([SALES] if reads_file else []),
        "import jax",
        "import jaxinv",
        "",
        f'env, params = jaxinv.make("{name}"{code})',
        "observation, state = env.reset(jax.random.key(0), params)",
        "order = env.action_space(params).sample(jax.random.key(1))",
        "observation, state, reward, terminated, truncated, info = env.step(",
        "    jax.random.key(2), state, order, params",
        ")",
        'print(env.topology.node_names, "cost of the first period:", -float(reward))',
    ]
    words = "".join(f" {key}={_word(value)}" for key, value in given.items())
    return "\n\n".join(
        (
            f"# {name}",
            _prose(kind),
            *(() if reads_file else (_network(name),)),
            "## Example",
            "```python\n" + "\n".join(example) + "\n```",
            "Train a policy on it, or tune a rule:",
            "<!-- not run: trainings and tunings of full length take minutes -->\n"
            f"```sh\npython -m jaxinv.train --env {name}{words}\n"
            f"python -m jaxinv.tune {_first_rule(name)} {name}{words}\n```",
            "## Options",
            _options_table(kind, _own_first(kind)),
        )
    )


@cache
def _problem(name: str):
    from jaxinv.envs.registry import problem

    return problem(name)


def _network(name: str) -> str:
    """What the topology of a preset with its default options is."""
    from jaxinv.envs.problem import charged_costs
    from jaxinv.policies.rules import applicable_rules

    problem = _problem(name)
    topology = problem.env.topology
    own = [rule for rule in applicable_rules(problem) if not rule.endswith(_forecasts())]
    rows = [
        ("nodes that hold stock", ", ".join(topology.node_names)),
        ("edges that can be ordered on", ", ".join(_edges(topology))),
        ("parts of the cost", ", ".join(charged_costs(topology))),
        ("instances", f"{problem.instances:,}"),
        ("rules that apply", ", ".join(f"[`{rule}`](../rules.md#{rule.lower()})" for rule in own)),
    ]
    return _table(("the network", "with its default options"), rows)


def _first_rule(preset: str) -> str:
    from jaxinv.policies.rules import applicable_rules

    return "base_stock" if preset in FILE_OPTIONS else applicable_rules(_problem(preset))[0]


def _edges(topology) -> list[str]:
    """Each edge by its ends, and its own name where the ends do not tell it."""
    from jaxinv.envs import flat
    from jaxinv.envs.topology import SUPPLIER

    names, found = topology.node_names, []
    for label, source, end in zip(
        flat.labels(topology, "edge"), topology.sources, topology.destinations
    ):
        begin = "supplier" if source == SUPPLIER else names[source]
        own = label.startswith("edge ") or label == f"{begin}-{names[end]}"
        found.append(f"{begin} → {names[end]}" + ("" if own else f" ({label})"))
    return found


def _forecasts() -> tuple[str, ...]:
    from jaxinv.policies.registry import FORECASTS

    return tuple(f"_{name}" for name in FORECASTS)


def _laws() -> str:
    from jaxinv.demand.laws import NUMBERS

    rows = [
        (f"`{law}`", ", ".join(f"`{number}`" for number in numbers))
        for law, numbers in NUMBERS.items()
    ]
    return _table(("law", "numbers"), rows)


def _word(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, list):
        return f"[{','.join(map(_word, value))}]"
    return str(value)


# --- learners -------------------------------------------------------------------------------------


def learners_page() -> str:
    from jaxinv.agents.configuration import LearnerConfig
    from jaxinv.agents.offpolicy import OffPolicyConfig
    from jaxinv.agents.registry import AGENTS, OFFLINE

    parts = [
        "# Learners",
        "`agent=NAME` chooses the learner of a training. All of them share one network, one"
        " simulation and one training loop. A number that is marked *swept* can take several values"
        " in one compiled program (`--sweep learning_rate=1e-3,3e-3`). What a preset is trained"
        " with where you give nothing stands under *settings*.",
        _table(
            ("learner", "what it is"),
            [(f"[`{name}`](#{name})", _summary(AGENTS[name])) for name in AGENTS],
        ),
        "## Example",
        "```python\nimport jaxinv\n\n"
        'run = jaxinv.fit("lost_sales", "diffsim", lead_time=2, updates=40, name="first")\n'
        'print(run.table[["cost", "gap"]])\n```',
        "## Options of every learner",
        _options_table(LearnerConfig, _options(LearnerConfig)),
        "## Options of learners from a replay buffer",
        "`dqn`, `srdqn`, `ddpg` and `sac`, and from a log alone `bc`, `cql` and `mcq`, also take:",
        _options_table(OffPolicyConfig, _own(OffPolicyConfig, LearnerConfig)),
    ]
    shared = {LearnerConfig, OffPolicyConfig}
    for name in AGENTS:
        kind, config = AGENTS[name], AGENTS[name].Config
        base = next((one for one in config.__mro__[1:] if one in shared), None)
        parts += [
            f"## {name}",
            _prose(kind),
            "<!-- not run: trainings of full length take minutes -->\n"
            f"```sh\npython -m jaxinv.train agent={name} --env {_home(name)}"
            + (" log=log.npz" if name in OFFLINE else "")
            + "\n```",
            _options_table(config, _own(config, base) if base else _options(config)),
            _settings(config),
        ]
    return "\n\n".join(part for part in parts if part)


def _home(agent: str) -> str:
    return "two_warehouses" if agent == "tabular_q" else "lost_sales"


def _settings(config: type) -> str:
    """The hyper-parameters that suit presets."""
    suits = {"stock alone": getattr(config, "stock_only", {}), **getattr(config, "suits", {})}
    rows = [
        (name if " " in name else f"`{name}`", ", ".join(f"`{k}={_word(v)}`" for k, v in o.items()))
        for name, o in suits.items()
        if o
    ]
    if not rows:
        return ""
    return "Settings by preset, where they differ from the defaults:\n\n" + _table(
        ("preset", "settings"), rows
    )


# --- rules ----------------------------------------------------------------------------------------


def rules_page() -> str:
    from jaxinv.policies.registry import FORECASTS, RULES
    from jaxinv.report import words

    plain = [name for name in RULES if not name.endswith(_forecasts())]
    following = [name for name in RULES if name.endswith(_forecasts())]
    parts = [
        "# Rules",
        "A rule is a classical policy with a few numbers. Tuning finds the numbers that cost least"
        " on training demand. A level is searched as a multiple of typical demand over the time"
        " that an order covers (lead time and review period), a quantity as a multiple of the"
        " demand of one review period; results are printed in units.",
        _table(
            ("rule", "in words"),
            [(f"[`{name}`](#{name.lower()})", words.RULES[name][0]) for name in plain],
        ),
        "## Example",
        "```python\nimport jaxinv\n\n"
        'rules = jaxinv.tuned("lost_sales", ["base_stock", "capped_base_stock"], lead_time=2,'
        " periods=100_000)\nprint(rules.table)\n```",
        "```sh\npython -m jaxinv.tune base_stock lost_sales lead_time=2 --periods 100000\n```",
    ]
    for name in plain:
        rule = RULES[name]
        rows = [
            (f"`{number}`", _kind_of(rule, number), f"{low:g} to {high:g}")
            for number, (low, high) in rule.ranges.items()
        ]
        parts += [
            f"## {name}",
            words.RULES[name][1],
            _prose(rule),
            _table(("number", "kind", "searched first"), rows),
            _where(name),
        ]
    parts += [
        "## Rules that follow a forecast",
        "The levels and quantities of these are multiples of a forecast in the place of typical"
        " demand.",
        _table(
            ("ending", "forecast"),
            [(f"`_{name}`", _prose(FORECASTS[name]).replace("\n", " ")) for name in FORECASTS],
        ),
        "All of them: " + ", ".join(f"`{name}`" for name in following) + ".",
    ]
    return "\n\n".join(part for part in parts if part)


def _kind_of(rule: type, number: str) -> str:
    kind = "level" if number in rule.levels else ""
    kind = kind or ("quantity" if number in rule.quantities else "plain number")
    return kind + (", one for all edges" if number in rule.scalars else ", one an edge")


def _where(rule: str) -> str:
    """A command that tunes the rule on the first preset that it applies to."""
    from jaxinv.envs.registry import PRESETS
    from jaxinv.policies.rules import applicable_rules

    for name in PRESETS:
        if name not in FILE_OPTIONS and rule in applicable_rules(_problem(name)):
            return (
                "<!-- not run: a tuning of full length takes up to minutes -->\n"
                f"```sh\npython -m jaxinv.tune {rule} {name}\n```"
            )
    return ""


# --- commands -------------------------------------------------------------------------------------


def commands_page() -> str:
    parts = [
        "# Commands",
        "Every command is a module: `python -m jaxinv.NAME`. A mistake ends with exit code 2 and"
        " one line that names it. `--json` prints one JSON document and nothing else.",
    ]
    for name in COMMANDS:
        parts += [f"## {name}", f"```text\n{_help(name)}\n```"]
    return "\n\n".join(parts)


def _help(command: str) -> str:
    module = "jaxinv.report.__main__" if command == "report" else f"jaxinv.{command}"
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        importlib.import_module(module).main(["--help"])
    return out.getvalue().strip()


# --- docstrings and options -----------------------------------------------------------------------


def _prose(kind: type) -> str:
    """The docstring of a class without its `Attributes`."""
    text = inspect.cleandoc(kind.__doc__ or "")
    return text.partition("\nAttributes:")[0].strip()


def _summary(kind: type) -> str:
    return " ".join(_prose(kind).split("\n\n")[0].split())


def _options(kind: type) -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(kind)}


def _own_first(preset: type) -> dict[str, dataclasses.Field]:
    """The options of a preset, those that all presets have last."""
    from jaxinv.envs.problem import Preset

    shared = _options(Preset)
    return dict(sorted(_options(preset).items(), key=lambda option: option[0] in shared))


def _own(kind: type, base: type) -> dict[str, dataclasses.Field]:
    """The options that a class has beside those of its base, or with another default."""
    theirs = _options(base)
    return {
        name: field
        for name, field in _options(kind).items()
        if name not in theirs or _default(field) != _default(theirs[name])
    }


def _options_table(kind: type, options: dict[str, dataclasses.Field]) -> str:
    said = descriptions(kind)
    rows = []
    for name, field in options.items():
        swept = " *(swept)*" if field.metadata.get("traced") else ""
        rows.append((f"`{name}`", f"`{_default(field)}`", said.get(name, "") + swept))
    return _table(("option", "default", "what it says"), rows) if rows else ""


def _default(field: dataclasses.Field) -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "must be given"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value) if value != "" else '""'


def descriptions(kind: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of each of its options."""
    found: dict[str, str] = {}
    for one in kind.__mro__:
        if dataclasses.is_dataclass(one):
            for names, text in _entries(one, set(_options(kind))):
                for name in names:
                    found.setdefault(name, text)
    return found


def _entries(kind: type, options: set[str]) -> Iterator[tuple[list[str], str]]:
    """The entries `name, name: text` of a docstring's `Attributes`; one line may hold several."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("\nAttributes:\n")[2]
    text = text.partition("\n\n")[0]
    flat = re.sub(r"\n {3,}", " ", text)
    for line in flat.splitlines():
        starts = [
            match
            for match in re.finditer(r"(?:^|(?<=[.;] ))\s*(\w+(?:, \w+)*): ", line)
            if set(match[1].split(", ")) <= options
        ]
        ends = [match.start() for match in starts[1:]] + [len(line)]
        for match, end in zip(starts, ends):
            yield match[1].split(", "), line[match.end() : end].strip()


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
