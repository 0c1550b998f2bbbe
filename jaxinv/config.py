"""Configurations: typed frozen dataclasses filled from defaults, a YAML file and `key=value`
overrides.

The dataclasses live beside what they configure; this module knows none of them. A field is an int,
float, bool, str, Literal, Optional or tuple of these, another such dataclass (a section), or a
`dict[str, Any]` of free-form keyword arguments that whoever takes them checks. Every mistake is one
`UserError` that begins with its place: the file and line, or the override as it was typed.
"""

import dataclasses
import difflib
import itertools
import logging
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from jaxinv.config_types import (
    as_kind,
    at_place,
    is_dict,
    is_literal,
    is_tuple,
    item_kinds,
    without_none,
)
from jaxinv.errors import UserError, unknown
from jaxinv.yaml_file import load_yaml

Schema = typing.TypeVar("Schema")


def resolve(
    schema: type[Schema],
    *,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    names: Mapping[str, Iterable[str]] | None = None,
    written_for: type | None = None,
) -> Schema:
    """An instance of `schema`: its defaults, overlaid by the file's values, overlaid by the
    overrides.

    The key of an override, or of the file's top level, is a full dotted place
    (`agent.learning_rate`) or the end of exactly one such place (`learning_rate`). A whole number
    may be written `1e6`; in an override a tuple may be `64,64` as well as `[64, 64]`, and text
    needs no quotes.

    Args:
      schema: a dataclass. A `__post_init__` that raises UserError rejects impossible values; its
        message gets the place of the first field that it names.
      file: a YAML file, its nesting that of the sections.
      overrides: `key=value` texts; a later one wins.
      names: for the dotted place of a free-form dict, the keys that it takes. They can then be
        given by their own names (`lead_time=4`), and others are errors. A dict that is not listed
        takes any key.
      written_for: the schema that the file's own choices make, where overrides choose otherwise. A
        section that is of another type there has nothing to say here: what the file gives in it is
        left out with a warning.

    Raises:
      UserError: the file cannot be read, or a key or value is wrong.
    """
    names = {place: tuple(keys) for place, keys in (names or {}).items()}
    given = [*_from_file(written_for or schema, file, names)] if file is not None else []
    if written_for is not None:
        given = _of_this_choice(given, written_for, schema, file)
    for override in overrides:
        given += _from_override(schema, override, names)

    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for assignment in given:
        _put(values, assignment.path, assignment.value)
        origins[".".join(assignment.path)] = assignment.origin
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), values)
        plain = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} has no default; give {error.full_key}=VALUE") from None
    except OmegaConfBaseException as error:
        key = error.full_key or ""
        origin = origins.get(key, key)
        raise UserError(f"{origin}: {str(error).splitlines()[0]}") from None
    return _build(schema, plain, (), origins)


def to_yaml(config: Any) -> str:
    """The YAML text of a configuration; `resolve` reads it back to an equal one."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def chosen(
    key: str, default: str, *, file: Path | None = None, overrides: Sequence[str] = ()
) -> str:
    """What the overrides, else the file, give for one key, read before the schema is known.

    A choice such as the preset or the agent decides which dataclasses make up the schema, so a
    command reads it first and calls `resolve` with the schema that follows from it.
    """
    for override in reversed(overrides):
        name, value = _split(override)
        if name == key:
            return value
    value: Any = load_yaml(file)[0] if file is not None else {}
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return default if value is None else str(value)


def parse_sweep(sweeps: Sequence[str]) -> list[dict[str, str]]:
    """Every combination of `key=a,b,c` sweeps, the last key varying fastest.

    Values stay as they were typed, so that `f"{key}={value}"` is an override for `resolve`. A comma
    inside brackets does not separate: `hidden=[64,64],[128]` has two values.

    Raises:
      UserError: a sweep is not `key=a,b,c`, has an empty value, or repeats a key.
    """
    axes: dict[str, list[str]] = {}
    for sweep in sweeps:
        key, _, text = sweep.partition("=")
        values = _pieces(text)
        if not key or not all(values):
            raise UserError(
                f"{sweep}: a sweep is written key=a,b,c with at least one value and none empty"
            )
        if key in axes:
            raise UserError(f"{sweep}: {key!r} is swept twice; give all its values in one sweep")
        axes[key] = values
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


# --- what was given: the file and the overrides as assignments to the schema's leaves -------------


@dataclasses.dataclass(frozen=True)
class _Assignment:
    path: tuple[str, ...]
    value: Any
    origin: str  # where the user wrote it, as messages begin


def _from_file(
    schema: type, file: Path, names: Mapping[str, tuple[str, ...]]
) -> Iterator[_Assignment]:
    values, lines = load_yaml(file)
    kinds = _kinds(schema, names)
    seen = set()
    for key, value in values.items():
        start = f"{file}, line {lines[(str(key),)]}" if (str(key),) in lines else str(file)
        place = tuple(_locate(str(key), kinds, names, start).split("."))
        depth = len(place)

        def origin(path: tuple[str, ...], key=str(key), depth=depth, start=start) -> str:
            line = lines.get((key, *path[depth:]))
            return f"{file}, line {line}" if line else start

        for assignment in _assign(_kind_at(".".join(place), kinds), value, place, names, origin):
            if assignment.path in seen:
                raise UserError(
                    f"{assignment.origin}: {'.'.join(assignment.path)} is given twice in this file"
                )
            seen.add(assignment.path)
            yield assignment


def _of_this_choice(
    given: list[_Assignment], theirs: type, ours: type, file: Path
) -> list[_Assignment]:
    """The assignments but those of sections that the file's own choices give another type."""
    there, here = typing.get_type_hints(theirs), typing.get_type_hints(ours)
    foreign = [each for each in given if there[each.path[0]] is not here.get(each.path[0])]
    if foreign:
        keys = ", ".join(dict.fromkeys(".".join(each.path) for each in foreign))
        logging.getLogger(__name__).warning(
            "%s: not used, because these are for the choices that the file itself makes: %s",
            file,
            keys,
        )
    return [each for each in given if each not in foreign]


def _from_override(
    schema: type, override: str, names: Mapping[str, tuple[str, ...]]
) -> list[_Assignment]:
    key, text = _split(override)
    kinds = _kinds(schema, names)
    place = _locate(key, kinds, names, override)
    try:
        value = _read(_kind_at(place, kinds), text)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError):
        raise UserError(
            f"{override}: cannot read the value {text!r}; check its brackets and quotes"
        ) from None
    path = tuple(place.split("."))
    return [*_assign(_kind_at(place, kinds), value, path, names, lambda _: override)]


def _flatten(section: type, values: Mapping, path, names, origin) -> Iterator[_Assignment]:
    kinds = typing.get_type_hints(section)
    fields = [field.name for field in dataclasses.fields(section)]
    for key, value in values.items():
        here = (*path, str(key))
        if key not in fields:
            raise at_place(
                origin(here), UserError(f"{unknown('key', str(key), fields)} (in {'.'.join(path)})")
            )
        yield from _assign(kinds[key], value, here, names, origin)


def _assign(kind: Any, value: Any, path, names, origin) -> Iterator[_Assignment]:
    inner, optional = without_none(kind)
    where, place = origin(path), ".".join(path)
    if dataclasses.is_dataclass(inner):
        if isinstance(value, Mapping):
            yield from _flatten(inner, value, path, names, origin)
        elif value is not None:
            keys = ", ".join(field.name for field in dataclasses.fields(inner))
            raise UserError(
                f"{where}: {place} is a section with the keys {keys}; it cannot be {value!r} itself"
            )
        elif optional:
            yield _Assignment(path, None, where)
        # A section with nothing under it, as when all its lines are commented out, gives nothing.
    elif is_dict(inner):
        if not isinstance(value, Mapping | None):
            raise UserError(f"{where}: {place} must be keys with values, not {value!r}")
        values = Any if inner is dict else typing.get_args(inner)[1]
        for key, item in (value or {}).items():
            if place in names and key not in names[place]:
                raise at_place(origin((*path, str(key))), unknown("key", str(key), names[place]))
            here = (*path, str(key))
            yield _Assignment(
                here, as_kind(values, item, ".".join(here), origin(here)), origin(here)
            )
    else:
        yield _Assignment(path, as_kind(kind, value, place, where), where)


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        inner = values.get(part)
        if not isinstance(inner, dict):  # absent, or a section that was set to null before
            inner = values[part] = {}
        values = inner
    values[path[-1]] = value


def _build(section: type[Schema], values: Mapping[str, Any], path, origins) -> Schema:
    kinds = typing.get_type_hints(section)
    arguments = {}
    for name, value in values.items():
        inner, _ = without_none(kinds[name])
        nested = dataclasses.is_dataclass(inner) and value is not None
        arguments[name] = (
            _build(inner, value, (*path, name), origins) if nested else _frozen(inner, value)
        )
    try:
        return section(**arguments)
    except UserError as error:
        words = re.findall(r"\w+", str(error))
        places = [".".join((*path, word)) for word in words]
        origin = next((origins[place] for place in places if place in origins), ".".join(path))
        raise (at_place(origin, error) if origin else error) from None


def _frozen(kind: Any, value: Any) -> Any:
    """Lists as the tuples that a field of tuples holds, however deep."""
    if not is_tuple(kind) or value is None:
        return value
    return tuple(
        _frozen(item, each) for item, each in zip(item_kinds(kind, len(value)), value, strict=True)
    )


# --- texts -------------------------------------------------------------------------------------


def _split(override: str) -> tuple[str, str]:
    key, equals, text = override.partition("=")
    if not key.strip() or not equals:
        raise UserError(f"{override}: an override is written key=value")
    return key.strip(), text.strip()


def _read(kind: Any, text: str) -> Any:
    """The value that a text on the command line stands for where `kind` is wanted."""
    inner, optional = without_none(kind)
    if optional and text == "null":
        return None
    words = is_literal(inner) and all(isinstance(choice, str) for choice in typing.get_args(inner))
    if inner is str or words:
        return text  # verbatim: a product called `no` or `1e5` is text
    if is_tuple(inner):
        bracketed = text[:1] + text[-1:] in ("[]", "()") and len(text) > 1
        pieces = _pieces(text[1:-1] if bracketed else text)
        pieces = [] if pieces == [""] else pieces
        items = item_kinds(inner, len(pieces))
        items = (
            items if len(items) == len(pieces) else [Any] * len(pieces)
        )  # `as_kind` says what is wrong
        return [_read(item, piece) for item, piece in zip(items, pieces, strict=True)]
    return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]


def _pieces(text: str) -> list[str]:
    """The text split at commas that are outside brackets."""
    pieces, depth = [""], 0
    for character in text:
        depth += (character in "[({") - (character in "])}")
        if character == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += character
    return [piece.strip() for piece in pieces]


# --- keys -----------------------------------------------------------------------------------------


def _kinds(
    section: type, names: Mapping[str, tuple[str, ...]], path: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The type at every dotted place of the schema, sections and named free-form keys included."""
    kinds = {}
    hints = typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        here = (*path, field.name)
        place = ".".join(here)
        kinds[place] = hints[field.name]
        inner, _ = without_none(hints[field.name])
        if dataclasses.is_dataclass(inner):
            kinds |= _kinds(inner, names, here)
        for name in names.get(place, ()):
            kinds[f"{place}.{name}"] = Any
    return kinds


def _kind_at(place: str, kinds: Mapping[str, Any]) -> Any:
    """The type at a dotted place; inside a free-form dict, that of its values."""
    inner, _ = without_none(kinds.get(place.rpartition(".")[0], Any))
    values = typing.get_args(inner)[1] if is_dict(inner) and inner is not dict else Any
    return kinds.get(place, values)


def _locate(
    key: str, kinds: Mapping[str, Any], names: Mapping[str, tuple[str, ...]], origin: str
) -> str:
    """The one dotted place that `key`, full or shortened, means; `kinds` lacks it inside a
    free-form dict.
    """
    if key in kinds:
        return key
    for place, kind in kinds.items():
        if is_dict(without_none(kind)[0]) and key.startswith(f"{place}."):
            name = key.removeprefix(f"{place}.").split(".")[0]
            if place in names and name not in names[place]:
                raise at_place(origin, unknown("key", name, names[place]))
            return key
        if (
            is_dict(without_none(kind)[0])
            and place not in names
            and key.startswith(f"{place.rpartition('.')[2]}.")
        ):
            return f"{place.rpartition('.')[0]}.{key}"  # `columns.sku` for `instance.columns.sku`
    places = [place for place in kinds if place.endswith(f".{key}")]
    if len(places) == 1:
        return places[0]
    if places:
        raise UserError(
            f"{origin}: {key!r} could be {' or '.join(places)}; write one of them in full"
        )
    leaves = [
        place
        for place, kind in kinds.items()
        if not dataclasses.is_dataclass(without_none(kind)[0])
    ]
    every = {*kinds, *(place.rpartition(".")[2] for place in kinds)}
    near = difflib.get_close_matches(key, every, n=1, cutoff=0.5)
    raise at_place(origin, unknown("key", key, near or leaves))
