"""Numbers on pages, read from bench/results.

A hook of mkdocs (`mkdocs.yml`). In a page, `{{ rows("pareto") }}` stands for the rows of
bench/results/pareto.json as a table, `{{ value("pareto", "CLAIM") }}` for one number with its
interval, `{{ made("pareto") }}` for how the file was made; `NAMES` holds all that can be called. So
no number of a study is typed by hand, and one that is no longer there ends the build.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
PICTURES = "results/pictures"
"""Folder of the site that pictures of bench/results are copied to."""

Row = dict[str, Any]


# --- the hook -------------------------------------------------------------------------------------


def on_files(files, config):
    """Copies the pictures of studies into the site."""
    from mkdocs.structure.files import File

    for picture in sorted(RESULTS.rglob("*.png")):
        place = f"{PICTURES}/{picture.relative_to(RESULTS).as_posix()}"
        files.append(File.generated(config, place, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    return filled(markdown) if "{{" in markdown else markdown


def filled(markdown: str) -> str:
    """A page with its numbers.

    Raises:
      KeyError: no such file or claim.
    """
    import jinja2

    made = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    return made.from_string(markdown).render(**NAMES)


# --- what pages ask for ---------------------------------------------------------------------------


def rows(file: str, *containing: str) -> str:
    """The claims of a study as a table; of those with one of some texts in the claim, if given."""
    kept = [
        row
        for row in claims(file)
        if not containing or any(text in row["claim"] for text in containing)
    ]
    if not kept:
        raise KeyError(f"{file}: no claim with {containing}")
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("claim", lambda row: row["claim"]),
        ("to compare with", lambda row: _number(row["paper"])),
        ("ours", lambda row: _number(row["ours"])),
        ("95% interval", lambda row: _interval(row["interval"])),
        ("over", lambda row: row.get("interval_over") or ""),
        ("verdict", lambda row: row["verdict"]),
        ("note", lambda row: row["note"]),
        ("source", lambda row: row["source"]),
    ]
    return _table(kept, columns)


def value(file: str, claim: str, digits: int = 3) -> str:
    """Our number of one claim, and its interval where it has one."""
    row = _claim(file, claim)
    interval = f" {_interval(row['interval'], digits)}" if row["interval"] else ""
    return _number(row["ours"], digits) + interval


def number(file: str, claim: str, digits: int = 3) -> str:
    """Our number of one claim alone."""
    return _number(_claim(file, claim)["ours"], digits)


def note(file: str, claim: str) -> str:
    """The note of one claim."""
    return _claim(file, claim)["note"]


def verdicts(file: str) -> str:
    """How many claims of a study hold."""
    judged = [row["holds"] for row in claims(file) if row["holds"] is not None]
    return f"{sum(judged)} of {len(judged)} claims hold" if judged else "nothing is claimed"


def made(file: str, command: str = "") -> str:
    """How a file was made, and what its intervals are over: what a referee asks first.

    Args:
      command: where the file does not hold it.
    """
    document = _read(file)
    about = document if isinstance(document, dict) else {}
    about = about.get("about", about.get("machine", about))
    command = about.get("command") or command
    if not command:
        raise KeyError(f"{file}: holds no command; give it")
    said = [f"`{command}`"]
    if device := about.get("device"):
        cores = f", {about['cores']} cores" if "cores" in about else ""
        threads = f", NPROC={about['NPROC']}" if "NPROC" in about else ""
        versions = about.get("versions", {"jax": about.get("jax"), "python": about.get("python")})
        named = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        changed = " with changed files" if about.get("changed_files") else ""
        date = f" on {about['date'][:10]}" if "date" in about else ""
        said.append(f"{device}{cores}{threads}")
        said.append(f"commit `{about['commit'][:7]}`{changed}{date}")
        said.append(named)
    else:
        said.append("the file does not hold device, versions and commit")
    made_by = f"Made by {'; '.join(said)}. Rows: `bench/results/{file}.json`."
    return f'!!! note "How it was made"\n    {made_by} {_over(file)}'


def _over(file: str) -> str:
    """The sentence on intervals."""
    document = _read(file)
    listed = document if isinstance(document, list) else document.get("rows", [])
    with_interval = [row for row in listed if row.get("interval") or row.get("cost_interval")]
    if not with_interval:
        return "It has no intervals."
    over = dict.fromkeys(row.get("interval_over") or "" for row in with_interval)
    named = [text for text in over if text]
    if not named:
        return "What its intervals are over is said above; the file does not hold it."
    some = "" if len(named) == len(over) else ", where the row says so"
    return f"Intervals are at 95%, over {'; or over '.join(named)}{some}."


def learners() -> str:
    """Each learner in both forms on the 32 instances of Zipkin: mean gap and worst."""
    body = []
    for name in ("diffsim", "ppo", "ddpg", "dqn", "sac"):
        cells = [f"`{name}`"]
        for form in ("base", "none"):
            found = claims(f"learners/{name}_{form}")
            mean = next(row for row in found if "mean" in row["claim"])
            worst = next(row for row in found if "worst" in row["claim"])
            cells += [
                f"{_number(mean['ours'], 2)} {_interval(mean['interval'], 2)}",
                _number(worst["ours"], 2),
            ]
        body.append(cells)
    head = ("learner", "mean gap, `form=base`", "worst", "mean gap, `form=none`", "worst")
    return markdown_table(head, body)


def decisions(file: str) -> str:
    """An evaluation: every policy and rule on the same held-out demand."""
    columns = [
        ("policy", lambda row: f"`{row['policy']}`"),
        ("cost", lambda row: _number(row["cost"])),
        ("95% interval", lambda row: _interval(row["cost_interval"])),
        ("against the best rule, %", lambda row: _percent(row["relative_difference"])),
        ("95% interval", lambda row: _percents(row["relative_difference_interval"])),
        ("fill rate, %", lambda row: _percent(row["fill_rate"])),
        ("turns a year", lambda row: _number(row["turnover"], 3)),
    ]
    return _table(_read(file), columns)


def against_best_rule(file: str, policy: str) -> str:
    """The paired difference of a policy from the best tuned rule, in per cent."""
    row = next(row for row in _read(file) if row["policy"] == policy)
    return (
        f"{_percent(row['relative_difference'])}% {_percents(row['relative_difference_interval'])}"
    )


def best_rule(file: str) -> str:
    """The tuned rule that turned out cheapest on the held-out demand."""
    return next(f"`{row['policy']}`" for row in _read(file) if row["difference"] == 0.0)


def table(file: str, part: str = "rows", columns: Sequence[str] = ()) -> str:
    """A part of a benchmark as a table, a column for each number; nested ones as `outer.inner`."""
    flat = [dict(_flat(row)) for row in _read(file)[part]]
    names = columns or tuple(dict.fromkeys(name for row in flat for name in row))
    named = [(name, lambda row, name=name: _number(row.get(name))) for name in names]
    return _table(flat, [(name.replace("_", " "), cell) for name, cell in named])


def entry(file: str, *path: str, digits: int = 3) -> str:
    """A number of a benchmark by its keys, the numbers of lists included."""
    found = _read(file)
    for key in path:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return _number(found, digits)


def results() -> str:
    """Files of results with what they hold, for the page that lists them."""
    body = []
    for file in files():
        document = _read(file)
        listed = document if isinstance(document, list) else document.get("rows", [])
        claimed = listed and "claim" in listed[0]
        body.append((f"`{file}.json`", str(len(listed)), verdicts(file) if claimed else ""))
    return markdown_table(("file of `bench/results`", "rows", "claims"), body)


NAMES = {
    one.__name__: one
    for one in (
        rows, value, number, note, verdicts, made, learners, decisions, against_best_rule,
        best_rule, table, entry, results,
    )
}  # fmt: skip
"""What pages may call."""


# --- files and cells ------------------------------------------------------------------------------


def files() -> list[str]:
    """Every file of results, as pages name it."""
    found = sorted(RESULTS.rglob("*.json"))
    return [path.relative_to(RESULTS).with_suffix("").as_posix() for path in found]


@cache
def _read(file: str) -> Any:
    path = RESULTS / f"{file}.json"
    if not path.exists():
        raise KeyError(f"{file}: no such file of results")
    return json.loads(path.read_text(encoding="utf-8"))


def claims(file: str) -> list[Row]:
    document = _read(file)
    return document if isinstance(document, list) else document["rows"]


def _claim(file: str, claim: str) -> Row:
    found = [row for row in claims(file) if row["claim"] == claim]
    if len(found) != 1:
        near = [row["claim"] for row in claims(file) if claim[:12] in row["claim"]]
        raise KeyError(f"{file}: {len(found)} claims {claim!r}; near: {near[:8]}")
    return found[0]


def _flat(row: Any, before: str = "") -> Iterable[tuple[str, Any]]:
    for key, inside in row.items():
        if isinstance(inside, dict):
            yield from _flat(inside, f"{before}{key}, ")
        else:
            yield f"{before}{key}", inside


def _number(number: Any, digits: int = 4) -> str:
    if number is None:
        return ""
    if isinstance(number, bool) or not isinstance(number, int | float):
        if isinstance(number, list) and len(number) == 2 and not isinstance(number[0], str):
            return _interval(number, digits)
        return str(number)
    if isinstance(number, int) or (abs(number) >= 10**digits and math.isfinite(number)):
        return f"{number:,.0f}"
    text = f"{number:.{digits}g}"
    return "0" if text in ("-0", "0") else text


def _interval(interval: Sequence[float] | None, digits: int = 4) -> str:
    if not interval:
        return ""
    return f"[{_number(interval[0], digits)}, {_number(interval[1], digits)}]"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _percents(interval: Sequence[float] | None) -> str:
    return "" if not interval else f"[{_percent(interval[0])}, {_percent(interval[1])}]"


def _table(listed: Iterable[Row], columns: Sequence[tuple[str, Callable[[Row], str]]]) -> str:
    """A table without the columns that are empty in every row."""
    cells = [[cell(row) for _, cell in columns] for row in listed]
    kept = [at for at in range(len(columns)) if any(line[at] for line in cells)]
    return markdown_table(
        [columns[at][0] for at in kept], [[line[at] for at in kept] for line in cells]
    )


def markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
