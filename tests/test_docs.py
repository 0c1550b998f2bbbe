"""The documentation: every snippet runs, the site is built without a warning, and what is made from
the code and from bench/results leaves nothing out.
"""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import LANGUAGES, ROOT, Snippet, pages, snippets

import jaxinv
from jaxinv import cli
from jaxinv.agents.registry import AGENTS
from jaxinv.envs.registry import PRESETS
from jaxinv.policies.registry import RULES

sys.path.insert(0, str(ROOT / "docs"))
import generate_reference
import generate_results

pytestmark = pytest.mark.usefixtures("quick_compilation")

WRITTEN = pages()


@pytest.fixture(scope="module")
def generated():
    return generate_reference.pages()


# --- every snippet runs ---------------------------------------------------------------------------


class Parsed(Exception):
    """A command has read its arguments and would now begin."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder but for the configurations of the project, and rules that are tuned in no
    time.
    """
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("jaxinv.evidence.LEAST_PERIODS", 60_000)
    monkeypatch.setattr("jaxinv.evidence.default_rules", lambda problem: ["base_stock"])
    return tmp_path


@pytest.mark.parametrize("page", [page for page, text in WRITTEN.items() if "```" in text])
def test_every_snippet_of_a_page_runs(page, folder, monkeypatch, capsys):
    play(snippets(WRITTEN[page]), monkeypatch, capsys, page)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_example_of_a_preset_runs(preset, folder, monkeypatch, capsys, generated):
    play(snippets(generated[f"reference/presets/{preset}.md"]), monkeypatch, capsys, preset)


@pytest.mark.parametrize("page", ["learners", "rules"])
def test_the_examples_of_learners_and_rules_run(page, folder, monkeypatch, capsys, generated):
    play(snippets(generated[f"reference/{page}.md"]), monkeypatch, capsys, page)


def play(blocks: list[Snippet], monkeypatch, capsys, page: str) -> None:
    """Runs the blocks of a page in order; those in Python share their names."""
    names: dict[str, object] = {"__name__": "snippet"}
    for block in blocks:
        assert block.language in LANGUAGES, f"{page}: a block of {block.language}"
        if block.language == "python" and not block.reason:
            exec(compile(block.text, page, "exec"), names)  # noqa: S102
        if block.language in ("sh", "console"):
            for words in block.commands:
                run(words, block, monkeypatch, capsys)


def run(words: list[str], block: Snippet, monkeypatch, capsys) -> None:
    """A command of a block: ours in this process, or its arguments alone read where it is not
    run.
    """
    main = main_of(words)
    if main is None:
        assert block.reason, f"{' '.join(words)}: no command of jaxinv; say why it is not run"
    elif block.reason:
        with monkeypatch.context() as patch:
            patch.setattr(cli._Parser, "parse_args", _parsed)
            with pytest.raises(Parsed):
                main(words)
    else:
        capsys.readouterr()
        main(words)
        printed = capsys.readouterr().out
        if block.language == "console":
            for line in block.text.splitlines():
                assert line.startswith("$ ") or line.strip() in printed, f"{words}: {line}"


def main_of(words: list[str]):
    """The `main` of `python -m jaxinv.NAME …` or `jaxinv NAME …`, and its arguments left in
    `words`.
    """
    line = " ".join(words)
    found = re.match(r"(?:python -m jaxinv\.|jaxinv )(\w+)", line)
    if not found:
        return None
    del words[: 3 if words[0] == "python" else 2]
    module = "jaxinv.report.__main__" if found[1] == "report" else f"jaxinv.{found[1]}"
    return importlib.import_module(module).main


def _parsed(parser, args):
    read, rest = parser.parse_known_intermixed_args(args, None)
    assert not rest, f"no such option: {rest}"
    positional, overrides = cli.split_arguments(read.arguments)
    check_keys(parser.prog.rpartition(".")[2], read, positional, overrides)
    raise Parsed


def check_keys(command, args, positional, overrides):
    """The names that a command is given, where they do not hang on a reader's files."""
    if command == "reproduce":
        importlib.import_module(f"jaxinv.studies.{positional[0]}")
        return
    if command == "tune":
        rule, env = positional
        assert rule in RULES
    else:
        env = getattr(args, "env", None) or (positional[0] if command == "solve" else None)
    if command in ("train", "tune", "solve", "ablate"):
        files = [Path(one) for one in positional if one.startswith("configs/")]
        if command == "train" and positional and not files:
            return  # a plan of the reader's own
        from jaxinv.experiment import expand

        if env and ":" in env:
            return  # a class of the reader's own
        own = [f"env={env}"] if env else []
        expand(files[0] if files else None, [*overrides, *own], getattr(args, "sweep", None) or [])
