"""What is wrong with a rubric: nothing usable, another language, missing parts, contradictions."""

from __future__ import annotations

from dataclasses import dataclass

from .clauses import content_words
from .compiler import CompiledRubric
from .documents import SECTIONS
from .times import clock_text
from .words import is_english, pattern, sentences, tidy


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to mend. `level` is ``error`` (nothing can be made of it), ``warning`` or ``note``."""

    level: str
    place: str
    problem: str
    remedy: str


def lint(rubric: CompiledRubric) -> list[Finding]:
    """All findings, the worst first.

    A rubric with an error still compiles: everything in it is then a marked default.
    """
    found = [*_language(rubric), *_usable(rubric), *_missing(rubric), *_contradictions(rubric), *_unread(rubric)]
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(found, key=lambda f: order[f.level])


def _language(rubric: CompiledRubric) -> list[Finding]:
    found = []
    for section in SECTIONS:
        text = tidy(rubric.document.sections[section])
        if text and not rubric.document.english and not is_english(text):
            found.append(Finding("error", section, "does not read as English, so that nothing in it was used on purpose",
                                 "translate it: the compiler knows English alone"))
    if rubric.document.running and not rubric.document.english and not found:
        found.append(Finding("error", "text", "does not read as English, so that nothing in it was used on purpose",
                             "translate it: the compiler knows English alone"))
    return found


def _usable(rubric: CompiledRubric) -> list[Finding]:
    stated = [w for w in rubric.wants if w.kind != "profile" and not w.guessed]
    if stated or rubric.moments or rubric.rate.stated or "communication.tones" not in rubric.defaults:
        return []
    return [Finding("error", "rubric", "has no usable statement: every preference is a default",
                    'say what you want, when, how often and how, e.g. "Quick recipes when I cook, twice a day, warmly."')]


def _missing(rubric: CompiledRubric) -> list[Finding]:
    found, heard = list[Finding](), {
        "Personal_Preference": any(w.kind in ("tied", "general") for w in rubric.wants),
        "Timing": bool(rubric.moments), "Frequency": rubric.rate.stated,
        "Communication_&_Safety": "communication.tones" not in rubric.defaults,
    }
    examples = {
        "Personal_Preference": "I like recipes when I am cooking.", "Timing": "In the late morning, never during lunch.",
        "Frequency": "About three times a day.", "Communication_&_Safety": "In a friendly tone; respect my privacy.",
    }
    for section in SECTIONS:
        if not heard[section]:
            what = "is empty" if not rubric.document.sections[section].strip() else "says nothing that was understood"
            found.append(Finding("warning", section, f"{what}; defaults are used", f'for example: "{examples[section]}"'))
    found += [Finding("warning", key, value, "keep the day within 00:00-24:00") for key, value in rubric.adjusted.items()]
    for want in rubric.wants:
        if want.guessed:
            written = rubric.document.said.get(want.sentence, want.sentence)
            problem = f"guessed, with a small weight, that {want.content!r} is wanted: {written[:120]}"
            remedy = 'say "I like … when …" if it is, and leave it out if not'
            found.append(Finding("warning", "Personal_Preference", problem, remedy))
    for key, value in rubric.defaults.items():
        if not key.startswith(("timing", "frequency", "communication.tones")):
            found.append(Finding("note", key, f"default ({value})", "state it to replace the default"))
    return found


def _contradictions(rubric: CompiledRubric) -> list[Finding]:
    found = list[Finding]()
    for yes in rubric.wanted():
        for no in rubric.unwanted():
            # An activity that is unwanted only at a part of the day, or a mere reason, does not contradict a time.
            clash = next(((a, b) for a in yes.spans for b in no.spans if a.overlaps(b)), None)
            if clash and not no.soft and not (no.concepts and clash[1].kind != "clock"):
                a, b = clash
                found.append(Finding(
                    "warning", "Timing", f"{a.label!r} ({clock_text(a.start)}-{clock_text(a.end)}) is wanted and {b.label!r} "
                    f"({clock_text(b.start)}-{clock_text(b.end)}) is not, and they overlap; the unwanted one wins"
                    + (" while that is done" if no.concepts else ""), "let them not overlap"))
    found += [Finding("warning", "Frequency", problem, "keep one of them") for problem in rubric.rate.conflicts]
    return found + _contents(rubric)


def _contents(rubric: CompiledRubric) -> list[Finding]:
    found = list[Finding]()
    wanted = [w for w in rubric.wants if w.kind in ("tied", "general")]
    for want in (w for w in rubric.wants if w.kind == "refused"):
        topics = {t for t, share in want.topics if share > 0.3}
        for other in wanted:
            shared = topics & {t for t, share in other.topics if share > 0.3} or (
                content_words(want.content) & content_words(other.content))
            if shared:
                found.append(Finding("warning", "Personal_Preference", f"{', '.join(sorted(shared))}: wanted ({other.content}) "
                                     f"and refused ({want.content})", "say when it is wanted and when it is not"))
    both = sorted(set(rubric.tones) & set(rubric.avoid_tones))
    text = rubric.document.sections["Communication_&_Safety"].lower()
    opposed = [p for p in (("formal", "casual"), ("formal", "playful"), ("direct", "gentle")) if all(
        t in rubric.tones for t in p) and pattern("but|and|or").search(text)]
    if both or opposed:
        names = ", ".join(both) or " and ".join(opposed[0])
        found.append(Finding("note", "Communication_&_Safety", f"tones that rarely go together: {names}",
                             "keep the one you mean"))
    return found


def _unread(rubric: CompiledRubric) -> list[Finding]:
    unread = [n for n in rubric.notes if not n.understood]
    total = sum(len(sentences(tidy(rubric.document.sections[s]))) for s in SECTIONS)
    if total and len(unread) == total:
        return [Finding("warning", "rubric", "no sentence was understood", "use plain statements, one thing a sentence")]
    remedy = "rephrase it if it states a preference"
    return [Finding("warning" if n.section == "unsorted" else "note", n.section, f"not used: {n.sentence[:120]}", remedy)
            for n in unread]
