"""A YAML file as plain values, and where its keys stand; every fault of the file is one message."""

import difflib
import itertools
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jaxinv.errors import UserError

MOST_VALUES = 100_000
"""Values of a file, its aliases written out: a few lines of aliases can stand for billions."""


def load_yaml(file: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], int]]:
    """The file's values, and the line of each key."""
    file = Path(file)
    try:
        text = file.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return {}, {}
        if not isinstance(root, yaml.MappingNode):
            raise UserError(
                f"{file}: a configuration is lines of `key: value`; this file is something else"
            )
        if _written_out(root, {}) > MOST_VALUES:
            raise UserError(
                f"{file}: its aliases (*name) stand for more than {MOST_VALUES:,} values; write"
                " them out"
            )
        lines = {}
        _note_lines(root, (), lines)
        return OmegaConf.to_container(OmegaConf.create(text)), lines
    except FileNotFoundError:
        raise UserError(f"no configuration file {str(file)!r}{_nearest_file(file)}") from None
    except IsADirectoryError:
        raise UserError(
            f"{file}: is a directory, not a configuration file{_nearest_file(file / '_')}"
        ) from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise UserError(f"{file}: is not a text file; a configuration is YAML in UTF-8") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(
            f"{file}{line}: is not valid YAML: {error.problem or error.context}"
        ) from None
    except OmegaConfBaseException as error:
        raise UserError(f"{file}: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise UserError(f"{file}: is nested too deeply for a configuration") from None
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file}: {error}") from None  # a number or date that Python cannot hold


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node holds once every alias is replaced by what it stands for."""
    if id(node) not in known:
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        pairs = isinstance(node, yaml.MappingNode)
        inner = itertools.chain.from_iterable(parts) if pairs else parts
        known[id(node)] = 1 + sum(_written_out(part, known) for part in inner)
    return known[id(node)]


def _note_lines(
    node: yaml.MappingNode, path: tuple[str, ...], lines: dict[tuple[str, ...], int]
) -> None:
    for key, value in node.value:
        here = (*path, str(key.value))
        lines[here] = key.start_mark.line + 1
        if isinstance(value, yaml.MappingNode):
            _note_lines(value, here, lines)


def _nearest_file(file: Path) -> str:
    try:
        siblings = sorted(
            path.name for path in file.parent.iterdir() if path.suffix in (".yaml", ".yml")
        )
    except OSError:
        return ""
    near = difflib.get_close_matches(file.name, siblings, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {str(file.parent / near[0])!r}?"
    return f"; {file.parent} has {', '.join(siblings)}" if siblings else ""
