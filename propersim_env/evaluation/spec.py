"""Comparisons as files: a TOML file says who is compared with whom, and everything is checked before anything runs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from propersim_env.names import near_matches
from propersim_env.schema import DATA, DataError, read_json, validate

SCHEMA = "compare"
EXAMPLE = """\
# A comparison: propersim compare this-file.toml
title = "Does knowing other people help?"
assistants = ["linucb", "thompson-pooled", "fixed-rate"]   # names, options after a colon, or my_file.py:MyAssistant
personas = "test:16"                                       # people whom no bundled assistant has learned from
days = 14
seeds = 2
against = "linucb"                                         # differences to this one, paired person by person
"""


def read_spec(path: Path) -> dict[str, Any]:
    """Read and check the file of a comparison.

    Returns:
        Its values; `out` is there, ``runs/NAME-OF-THE-FILE`` if the file does not say.

    Raises:
        DataError: It cannot be read, is no TOML, or has a key or a value that means nothing; the key is named.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), "", f"cannot be read ({error})", "propersim compare --example prints one") from error
    except tomllib.TOMLDecodeError as error:
        raise DataError(str(path), "", f"is no valid TOML ({error})", "propersim compare --example prints one") from error
    known = describe()
    for key in values:
        if key not in known:
            raise DataError(str(path), key, "means nothing here", near_matches(key, known))
    validate(values, SCHEMA, str(path))
    return {"out": f"runs/{path.stem}", **values}


def describe() -> Mapping[str, str]:
    """The keys of such a file, and what they mean."""
    schema = read_json(DATA / "schemas" / f"{SCHEMA}.schema.json")
    return {key: entry["description"] for key, entry in schema["properties"].items()}
