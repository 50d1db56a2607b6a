"""Names that a user typed: near matches for a message, and objects by import path."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zlib import crc32


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
    is_file = module_name.endswith(".py")
    try:
        module = _import_file(Path(module_name)) if is_file else _import_module(module_name)
    except ImportError as error:
        raise ValueError(f"{path!r}: cannot import {module_name!r} ({error})") from error
    if not hasattr(module, attribute):
        own = [n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__]
        raise ValueError(f"{path!r}: {module_name} has no {attribute!r}; {near_matches(attribute, own)}")
    return getattr(module, attribute)


def _import_module(name: str) -> Any:
    """Import, looking in the working directory too, where a console script does not look by itself."""
    if not name:
        raise ImportError("no module is named before the colon")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return importlib.import_module(name)


def _import_file(path: Path) -> Any:
    """Import a file once, however many homes ask for it, and again when it has changed since."""
    if not path.is_file():
        raise ImportError(f"no file {path}")
    path = path.resolve()
    name = f"propersim_file_{path.stem}_{crc32(f'{path} {path.stat().st_mtime_ns}'.encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
