"""The documentation: every snippet runs, the site is built without a warning, and what is made from
the code and from bench/results leaves nothing out.
"""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from marks import slow_but
from snippets import LANGUAGES, ROOT, Snippet, pages, snippets

import jaxinv
from jaxinv import cli
from jaxinv.agents.registry import AGENTS
from jaxinv.envs.registry import PRESETS
from jaxinv.experiment import expand
from jaxinv.policies.registry import RULES
from jaxinv.reproduce import STUDIES

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
    monkeypatch.setattr(PRESETS, "data", dict(PRESETS.data))
    monkeypatch.setattr(AGENTS, "data", dict(AGENTS.data))
    monkeypatch.setattr(RULES, "data", dict(RULES.data))
    monkeypatch.setattr("jaxinv.evidence.LEAST_PERIODS", 60_000)
    monkeypatch.setattr("jaxinv.evidence.default_rules", lambda problem: ["base_stock"])
    yield tmp_path
    for name in {path.stem for path in tmp_path.glob("*.py")}:
        sys.modules.pop(name, None)


FIRST_PAGES = ("README.md", "docs/tutorials/planner.md", "docs/tutorials/operations_research.md")
"""Pages that a newcomer reads first: their snippets run every time."""


@pytest.mark.parametrize(
    "page", slow_but(FIRST_PAGES, [page for page, text in WRITTEN.items() if "```" in text])
)
def test_every_snippet_of_a_page_runs(page, folder, monkeypatch, capsys):
    play(snippets(WRITTEN[page]), monkeypatch, capsys, page)


@pytest.mark.parametrize("preset", slow_but(["lost_sales", "serial"], PRESETS))
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
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        if block.language == "python" and not block.reason:
            exec(compile(block.text, page, "exec"), names)  # noqa: S102
        if block.language in ("sh", "console"):
            for words in block.commands:
                run(words, block, monkeypatch, capsys)


def run(words: list[str], block: Snippet, monkeypatch, capsys) -> None:
    """A command of a block, in this process; of one that is not run the arguments are read."""
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
    """Reads arguments as a command does, and then its names and keys, where they do not hang on a
    reader's files.
    """
    read, rest = parser.parse_known_intermixed_args(args, None)
    assert not rest, f"no such option: {rest}"
    words, keys = cli.split_arguments(read.arguments)
    check_names(parser.prog.rpartition(".")[2], read, words, keys)
    raise Parsed


def check_names(command: str, args, words: list[str], keys: list[str]) -> None:
    env = getattr(args, "env", None)
    if command == "reproduce":
        assert words[0] in (*STUDIES, "STUDY")
    elif command in ("tune", "solve"):
        *rules, env = words
        assert set(rules) <= set(RULES)
    if command in ("train", "tune", "solve") and not (env and ":" in env):
        files = [Path(word) for word in words if word.startswith("configs/")]
        plan = command == "train" and words and not files
        if not plan:
            own = [f"env={env}"] if env else []
            expand(files[0] if files else None, [*keys, *own], getattr(args, "sweep", []))


# --- nothing is left out --------------------------------------------------------------------------


def test_every_preset_learner_and_rule_has_its_entry(generated):
    table = generated["reference/presets/index.md"]
    assert [name for name in PRESETS if f"[`{name}`]({name}.md)" not in table] == []
    learners, rules = generated["reference/learners.md"], generated["reference/rules.md"]
    assert [name for name in AGENTS if f"\n## {name}\n" not in learners] == []
    assert [name for name in RULES if not re.search(rf"## {name}\n|`{name}`[,.]", rules)] == []


@pytest.mark.parametrize("kind", [*PRESETS, *AGENTS])
def test_every_option_is_told(kind):
    options = PRESETS[kind] if kind in PRESETS else AGENTS[kind].Config
    told = generate_reference.descriptions(options)
    assert sorted(generate_reference._options(options).keys() - told.keys()) == []


def test_every_public_name_has_an_example():
    page = WRITTEN["docs/reference/python.md"]
    for name in jaxinv.__all__:
        heading = page.index(f"\n## {name}\n")
        part = page[heading : page.find("\n## ", heading + 1)]
        assert "```python" in part and name in part, name


def test_every_file_of_results_is_on_a_page():
    asked = "\n".join(
        generate_results.filled(text)
        for page, text in WRITTEN.items()
        if page.startswith("docs/") and "{{" in text
    )
    files = generate_results.files()
    assert files and [name for name in files if f"`bench/results/{name}.json`" not in asked] == []


def test_a_claim_that_is_gone_ends_the_build():
    with pytest.raises(KeyError, match="0 claims 'no such claim'"):
        generate_results.filled('{{ value("pareto", "no such claim") }}')
    with pytest.raises(KeyError, match="nowhere: no such file of results"):
        generate_results.filled('{{ rows("nowhere") }}')


def test_a_number_of_a_page_is_that_of_the_file():
    rows = generate_results.claims("pareto")
    low, high = rows[0]["interval"]
    told = generate_results.filled(f'{{{{ value("pareto", "{rows[0]["claim"]}", 6) }}}}')
    assert told == f"{rows[0]['ours']:.6g} [{low:.6g}, {high:.6g}]"


def test_the_figure_of_the_period_is_as_it_is_drawn():
    sys.path.insert(0, str(ROOT / "docs" / "concepts"))
    import draw_period

    drawn = (ROOT / "docs" / "concepts" / "period.svg").read_text(encoding="utf-8")
    assert drawn == draw_period.svg()


def test_links_of_the_readme_lead_somewhere():
    for place in re.findall(r"\]\((?!https?:)([^)#]+)", WRITTEN["README.md"]):
        assert (ROOT / place).exists(), place


# --- the site -------------------------------------------------------------------------------------


def test_the_site_is_built_without_a_warning_and_asks_for_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("material", reason="pip install 'jaxinv[docs]'")
    pytest.importorskip("mkdocstrings_handlers.python", reason="pip install 'jaxinv[docs]'")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.search(r'<(script|img|link rel="stylesheet")[^>]+(src|href)="https?:', html)
        assert "{{" not in re.sub(r"<(code|pre|script).*?</\1>", "", html, flags=re.S), page
