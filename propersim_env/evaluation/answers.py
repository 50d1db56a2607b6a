"""What assistants answer, checked: each wrong answer is named with what to return instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from propersim_env.evaluation.metrics import COSTS, is_cost
from propersim_env.log import encode

ActTogether = Callable[[Sequence[Any], Sequence[str]], Sequence[Any]]
_RESERVED = ("event", "day")


def checked_together(answers: Any, homes: int) -> list[str | BaseException]:
    """What act_together() gave, one text or exception a home; an exception for each home whose answer is neither.

    Raises:
        TypeError, ValueError: It is no list, or not of this length.
    """
    if not isinstance(answers, (list, tuple)):
        raise TypeError(f"act_together() returned {type(answers).__name__} {answers!r:.80}; return a list, one str a home")
    if len(answers) != homes:
        raise ValueError(f"act_together() returned {len(answers)} answers for {homes} homes; return one for each, in order")
    return [answer if type(answer) is str or isinstance(answer, BaseException) else
            TypeError(f"act_together() returned {type(answer).__name__} {answer!r:.80} for a home; give a str, '' for silence")
            for answer in answers]


def checked_alternatives(texts: Any) -> Sequence[str]:
    """What alternatives() gave, if it is a sequence of texts.

    Raises:
        TypeError: It is not.
    """
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Sequence):
        raise TypeError(f"alternatives() returned {type(texts).__name__} {texts!r:.80}; return a list of str, () for none")
    for text in texts:
        if type(text) is not str:
            raise TypeError(f"alternatives() gave {type(text).__name__} {text!r:.80} among its texts; give str, '' for silence")
    return texts


def checked_notes(notes: Any, day: int) -> dict[str, Any]:
    """What notes() gave at the beginning of a day, if a log can hold it.

    Raises:
        TypeError, ValueError: It is no mapping of names to JSON values, uses a name that the log needs, or a cost is none.
    """
    if not isinstance(notes, Mapping):
        raise TypeError(f"notes() returned {type(notes).__name__} {notes!r:.80}; return a dict of JSON values, {{}} for none")
    for name in notes:
        if type(name) is not str or name in _RESERVED:
            raise ValueError(f"notes() has the name {name!r}; names are str, and {' and '.join(_RESERVED)} are the log's own")
    try:
        encode(notes := dict(notes))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"notes() of day {day} are no JSON values: {error}; use dict, list, str, int, float, bool and None, "
                         f"array.tolist() for arrays, None for what is not a number") from error
    cost = notes.get("cost")
    for name in COSTS if isinstance(cost, Mapping) else ():
        if cost.get(name) is not None and not is_cost(cost[name]):
            raise ValueError(f"notes() of day {day} has the cost {name} = {cost[name]!r}: give a number of at least 0, or "
                             "leave it out where it is not known")
    return notes
