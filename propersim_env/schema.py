"""Reading data files and checking them against a JSON Schema, with errors that teach.

Every data file of the package (home, activities, personas, catalogue…) has a schema in ``data/schemas``. The
``description`` of each property there is written as a remedy, and becomes part of the message when the property is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


class DataError(ValueError):
    """A data file that cannot be used: the message names the file, the field and the remedy."""

    def __init__(self, source: str, field: str, problem: str, remedy: str = "") -> None:
        self.source, self.field, self.problem, self.remedy = source, field, problem, remedy
        where = f"{source}: {field}" if field else source
        super().__init__(f"{where}: {problem}" + (f" - {remedy}" if remedy else ""))


def read_json(path: Path) -> Any:
    """Parse a JSON file; a syntax error names the file, line and column."""
    return parse_json(_read_text(path), str(path))


def sourced_values(table: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The values of a table whose every entry is ``{"value": …, "source": "…"}``, without ``version`` and ``about``.

    Raises:
        DataError: An entry has no source.
    """
    entries = {name: entry for name, entry in table.items() if name not in ("version", "about")}
    for name, entry in entries.items():
        if not (isinstance(entry, dict) and entry.get("source")):
            raise DataError(source, name, "has no source", 'write {"value": …, "source": "…"}; an assumption says so')
    return {name: entry["value"] for name, entry in entries.items()}


def parse_json(text: str, source: str) -> Any:
    """Parse JSON text that came from ``source``."""
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DataError(source, place, f"is not valid JSON ({error.msg})", "check quotes and commas there") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise json.JSONDecodeError(f"{twice!r} is given twice in one object", twice, 0)
    return values


def _refuse(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no number that JSON knows", name, 0)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), "", f"cannot be read ({error})", "check the path and the permissions") from error


def read_json_lines(path: Path) -> list[Any]:
    """Parse a JSON Lines file, skipping blank lines."""
    lines = _read_text(path).splitlines()
    return [parse_json(line, f"{path} line {i}") for i, line in enumerate(lines, 1) if line.strip()]


@lru_cache(maxsize=32)
def _validator(name: str) -> Any:
    # Imported here: validation happens once per file, and the import costs more than the rest of this module.
    import jsonschema
    import referencing

    schema = read_json(DATA / "schemas" / f"{name}.schema.json")
    common = read_json(DATA / "schemas" / "common.schema.json")
    registry: Any = referencing.Registry().with_resource(
        common["$id"], referencing.Resource.from_contents(common)
    )
    return jsonschema.Draft202012Validator(schema, registry=registry)


def validate(value: Any, schema: str, source: str) -> None:
    """Check ``value`` against ``data/schemas/<schema>.schema.json``.

    Args:
        value: Parsed JSON.
        schema: Name of the schema.
        source: Where the value came from, for the message.

    Raises:
        DataError: Naming the file, the field and the remedy of the first and most specific problem.
    """
    errors = sorted(_validator(schema).iter_errors(value), key=lambda e: (len(list(e.absolute_path)), str(e.path)))
    if not errors:
        return
    error = errors[0]
    field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
    remedy = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    message = error.message if len(error.message) < 200 else error.message[:197] + "…"
    if error.validator == "required":
        missing = error.message.split("'")[1]
        remedy = error.schema.get("properties", {}).get(missing, {}).get("description", remedy)
    raise DataError(source, field or "(top level)", message, remedy)
