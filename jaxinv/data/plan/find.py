"""Which files a plan is made of: those that a YAML names, those in a folder or the sheets of a
workbook, or one file of sales.
"""

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from jaxinv.data.files import check_file, sheets_of
from jaxinv.data.plan.names import FILE_NAMES
from jaxinv.data.plan.settings import Given
from jaxinv.data.plan.tables import TABLES
from jaxinv.data.words import snake_case
from jaxinv.errors import UserError

YAML = ("plan.yaml", "plan.yml")
KINDS = (".csv", ".csv.gz", ".tsv", ".txt", ".xlsx", ".parquet", ".npz")


@dataclass
class Files:
    """Where the tables lie.

    Attributes:
      yaml: the plan's own file, or None.
      folder: what names in messages are relative to.
      paths: file of each table.
      sheets: of workbooks, by table.
      notes, problems: one line each.
    """

    yaml: Path | None
    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)
    sheets: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def shown(self, table: str) -> str:
        """What messages call the file of a table."""
        path = self.paths[table]
        name = str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else str(path)
        return f"{name} ({self.sheets[table]})" if table in self.sheets else name


def yaml_of(path: Path) -> Path | None:
    """The YAML of a plan given as a YAML or as a folder that holds one."""
    if path.suffix in (".yaml", ".yml"):
        return path
    return (
        next((path / name for name in YAML if (path / name).is_file()), None)
        if path.is_dir()
        else None
    )


def find_files(path: Path, given: Given) -> Files:
    """The files of the plan at `path`.

    Raises:
      UserError: there is no such file, or no sales among its files.
    """
    yaml = yaml_of(path)
    if not path.is_dir():
        check_file(path)
    found = Files(yaml, path if path.is_dir() else path.parent)
    if yaml is not None:
        missing = _named(found, given, f"{yaml.name}: ")
        if "sales" not in found.paths and "sales" not in missing:
            if given.files:
                found.problems.append(
                    f"{yaml.name}: no sales; add a line such as `sales: sales.csv`"
                )
            else:
                _in_folder(found)
    elif path.is_dir():
        _in_folder(found)
    else:
        names = sheets_of(path)
        tables = {table: name for name in names if (table := table_of(name))}
        if len(tables) > 1:
            found.paths, found.sheets = dict.fromkeys(tables, path), tables
            unread = [name for name in names if name not in tables.values()]
            found.notes += (
                [f"sheets that no table is named like, not read: {', '.join(unread)}"]
                if unread
                else []
            )
            if "sales" not in tables:
                found.problems.append(
                    f"{path.name}: no sheet of sales among {', '.join(names)}; name it sales"
                )
        else:
            found.paths["sales"] = path
    if yaml is None:
        _named(found, given, "")
    return found


def _named(found: Files, given: Given, where: str) -> list[str]:
    """Takes the files that are given by name; the tables of which there is none."""
    missing = []
    for table, name in given.files.items():
        path = found.folder / Path(name).expanduser()
        if not path.is_file() and "#" in name:
            file, _, found.sheets[table] = name.partition("#")
            path = found.folder / Path(file).expanduser()
        if path.is_file():
            found.paths[table] = path
            continue
        missing.append(table)
        others = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, others, n=1)
        found.problems.append(
            f"{where}{table}: no file {str(path)!r}; "
            + (
                f"did you mean {near[0]!r}?"
                if near
                else "check the path, which is relative to the plan's own folder"
            )
        )
    return missing


def table_of(name: str) -> str | None:
    """The table that a file or sheet is named like."""
    text = snake_case(name)
    for table, words in FILE_NAMES.items():
        if text == table or text in words:
            return table
    return None


def stem_of(path: Path) -> str:
    kind = next(
        (kind for kind in sorted(KINDS, key=len, reverse=True) if path.name.lower().endswith(kind)),
        "",
    )
    return path.name[: len(path.name) - len(kind)] if kind else ""


def _in_folder(found: Files) -> None:
    try:
        files = sorted(
            file
            for file in found.folder.iterdir()
            if file.is_file() and not file.name.startswith((".", "~$"))
        )
    except OSError as error:
        raise UserError(f"{found.folder}: cannot be read ({error.strerror})") from None
    tables = [file for file in files if stem_of(file)]
    unread = []
    for file in tables:
        table = table_of(stem_of(file))
        if table is None:
            unread.append(file.name)
        elif table in found.paths:
            found.problems.append(
                f"{file.name} and {found.paths[table].name} may both be the table {table}; keep"
                f" one, or name it in a plan.yaml (`{table}: {file.name}`)"
            )
        else:
            found.paths[table] = file
            if snake_case(stem_of(file)) != table:
                found.notes.append(f"{file.name} is read as the table {table}")
    if unread:
        known = ", ".join(("sales", *TABLES))
        found.notes.append(
            f"not read, since no table is named so: {', '.join(unread)} (tables: {known})"
        )
    if "sales" not in found.paths:
        shown = ", ".join(file.name for file in tables[:8]) or "no table"
        found.problems.append(
            f"no table of sales in the folder, which has {shown}; name it sales.csv, or write a"
            f" plan.yaml with a line such as `sales: {tables[0].name if tables else 'sales.csv'}`"
        )
