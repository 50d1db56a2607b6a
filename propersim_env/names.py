"""Names that a user typed: near matches for a message, and objects by import path."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def near_matches(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'p01'? Known: …"`` for a message about an unknown name."""
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    listed = ", ".join(options[:40]) + (", …" if len(options) > 40 else "")
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{hint}known: {listed}"


def import_object(path: str) -> Any:
    """Import ``"package.module:Name"`` or ``"folder/file.py:Name"``.

    Raises:
        ValueError: When the module or the name is not there, saying which.
    """
    module_name, _, attribute = path.rpartition(":")
    try:
        is_file = module_name.endswith(".py")
        module = _import_file(Path(module_name)) if is_file else importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"{path!r}: cannot import {module_name!r} ({error})") from error
    if not hasattr(module, attribute):
        public = [n for n in vars(module) if not n.startswith("_")]
        raise ValueError(f"{path!r}: {module_name} has no {attribute!r}; {near_matches(attribute, public)}")
    return getattr(module, attribute)


def _import_file(path: Path) -> Any:
    if not path.exists():
        raise ImportError(f"no file {path}")
    name = f"propersim_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
