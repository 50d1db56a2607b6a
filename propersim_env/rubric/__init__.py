"""Rubrics in words, compiled offline into structured preferences.

Follow the data: `documents` (a file or plain words) -> `clauses`, `times`, `rates` (grammar) -> `compiler` (statements, with
notes) -> `lint` (what is missing or contradicts itself) -> `assemble` (a persona of this package). Words and numbers stand in
``data/rubric/lexicon.json``. Nothing here knows an agent: meaning comes from a reader that the caller gives.
"""

from .compiler import CompiledRubric, Moment, Note, WantText, compile_rubric
from .documents import SECTIONS, Document, document_from_dict, document_from_words, read_document

__all__ = [
    "SECTIONS", "CompiledRubric", "Document", "Moment", "Note", "WantText", "compile_rubric", "document_from_dict",
    "document_from_words", "read_document",
]
