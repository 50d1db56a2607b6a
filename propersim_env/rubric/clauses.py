"""What a sentence welcomes and what it refuses, and which content it ties to which situation."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .clock_words import as_times
from .words import lexicon, pattern, sentences, tidy


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch of a sentence of one polarity.

    Attributes:
        text: The words.
        wanted: False if it says what is not wanted.
        weak: True for "I do not mind" and "occasionally".
        sentence: The whole sentence.
    """

    text: str
    wanted: bool
    weak: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A content and the situation in which it is wanted (both in words; the situation may be empty).

    `guessed` is true where no word says that it is wanted: it stands beside a time or a situation, and that is all.
    """

    content: str
    situation: str
    sentence: str
    guessed: bool = False


def clauses(text: str) -> list[Clause]:
    """Cut a paragraph into stretches that welcome or refuse.

    Example:
        >>> [(c.wanted, c.text) for c in clauses("Mornings are good, but never during lunch.")]
        [(True, 'mornings are good, '), (False, 'never during lunch.')]
    """
    rules = lexicon()["polarity"]
    after, whole, praise = pattern(rules["after"]), pattern(rules["whole"]), pattern(rules["praise"])
    negative, turn, weak = pattern(rules["negative"]), re.compile(rules["turn"]), pattern(rules["weak"])
    result: list[Clause] = []
    for sentence in sentences(tidy(text)):
        lowered = re.sub(pattern(rules["idle"]), "", as_times(sentence.lower()))
        is_weak, position, wanted = bool(weak.search(lowered)), 0, True
        refused = whole.search(lowered) or (after.search(lowered) and not negative.search(lowered))
        if refused and not praise.search(lowered):
            result.append(Clause(lowered, False, False, sentence))  # "the mornings are closed": refused from its beginning
            continue
        while position < len(lowered):
            if wanted:
                cue = negative.search(lowered, position)
                end, following = (cue.start(), cue.start()) if cue else (len(lowered), len(lowered))
            else:
                change = turn.search(lowered, position + 3)
                end, following = (change.start(), change.end()) if change else (len(lowered), len(lowered))
            piece = lowered[position:end]
            if re.search(r"\w", piece):
                words = piece.lstrip(" ,") if wanted else piece.strip(" ")
                clause = Clause(words, wanted, is_weak and wanted, sentence)
                before = result[-1].text if result and result[-1].sentence is sentence and result[-1].wanted else ""
                if not wanted and before and (_only_situation(before, words) or _empty(words, negative)):
                    clause = Clause(f"{words.strip(' .,')} {result.pop().text.strip(' .,')}", False, False, sentence)
                result.append(clause)
            position, wanted = max(following, position + (0 if wanted else 1)), not wanted
            if position >= len(lowered):
                break
    return result


def _empty(refusal: str, negative: re.Pattern[str]) -> bool:
    """Whether nothing follows a refusal: "gym talk is not for me" refuses what was said before it."""
    return not re.search(r"[a-z]{3,}|\d", negative.sub(" ", refusal).replace("please", ""))


def _only_situation(before: str, refusal: str) -> bool:
    """Whether a refusal is about the situation said before it: "When I'm asleep, I don't want to be bothered"."""
    marker = lexicon()["asks"]["strong_marker"]
    return bool(re.match(rf"(?:and |but |also )?{marker}", before)) and not re.search(marker, refusal) and not re.search(
        lexicon()["asks"]["main"], before)


def asks(text: str) -> list[Ask]:
    """The contents and their situations that a paragraph asks for (positive clauses only).

    Example:
        >>> [(a.content, a.situation) for a in asks("I like quick recipes when I'm cooking, and jazz while I iron.")]
        [('quick recipes', "i'm cooking"), ('jazz', 'i iron')]
    """
    found: list[Ask] = []
    for clause in clauses(text):
        for part in clause.text.split(";") if clause.wanted else ():
            if len(part) > 8:
                found += _asks_of(Clause(part.strip(), True, clause.weak, clause.sentence)) or _loose(part.strip(" .,"), clause)
    return [a for a in found if content_words(a.content)]


def _loose(part: str, clause: Clause) -> list[Ask]:
    """A statement without "I like … when …": all of it is content, and situation where it names a time or a marker."""
    rules = lexicon()
    if re.search(rules["timing"]["elaboration"], part) or pattern(rules["asks"]["vague"]).search(part):
        return []
    if len(content_words(part)) < 2 or not re.search(rules["asks"]["loose"], part):
        return []
    return [Ask(part, part, clause.sentence, True)]


def content_words(text: str) -> set[str]:
    """The words of a content that say what it is about."""
    filler = pattern(lexicon()["asks"]["filler"])
    return set(re.findall(r"[a-z]{3,}", filler.sub(" ", text)))


def _asks_of(clause: Clause) -> list[Ask]:
    rules = lexicon()["asks"]
    lowered = re.sub(rules["reason"], "", clause.text.strip(" .,"))
    lowered, praised = re.subn(rules["praise"], "", lowered)
    lowered = re.sub(rf"^(?:(?:{rules['discourse']}),? )+", "", lowered)
    if re.search(rf"(?<!\w)(?:{rules['vague']})", lowered) and not re.search(rules["strong_marker"], lowered):
        return [Ask(_strip_lead(lowered), "", clause.sentence)]
    lead = re.match(rf"^(?:{rules['strong_marker']}|on|at|over|in the|for)\s.+?,? (?={rules['main']})", lowered)
    if not lead and (praised or re.search(rf"(?<!\w)(?:{rules['noun']})(?!\w)", lowered)):
        lead = re.match(rf"^(?:{rules['strong_marker']}) [^,]+, (?!and |or )", lowered)
    if lead:  # the situation comes first
        rest = lowered[lead.end():]
        marker = re.search(rules["strong_marker"], rest)
        content = _strip_lead(rest[: marker.start()] if marker else rest)
        return [Ask(content, lead[0].strip(" ,"), clause.sentence)]
    markers = list(re.finditer(rules["strong_marker"], lowered)) or list(re.finditer(rules["marker"], lowered))
    if not markers:
        return [Ask(_strip_lead(lowered), "", clause.sentence)] if praised or re.search(rules["lead"], lowered) else []
    guessed = not (praised or re.search(rules["lead"], lowered) or pattern(rules["noun"]).search(lowered))
    found, content, position = list[Ask](), lowered[: markers[0].start()], 0
    for i, marker in enumerate(markers):
        if marker.start() < position:
            continue
        following = next((m for m in markers[i + 1:]), None)
        body = lowered[marker.end(): following.start() if following else len(lowered)]
        body = f"{marker[0]} {body.strip()}" if marker[0] in ("before", "after", "during") else body
        situation, nxt = _split_next(body, bool(following))
        if nxt is None and following and found and not content:
            found[-1] = replace(found[-1], situation=f"{found[-1].situation}, {situation}")
        elif content:
            content, ahead = _ahead(_strip_lead(content))
            found.append(Ask(content, f"{ahead}{situation}".strip(" ,"), clause.sentence, guessed))
        elif found:
            found[-1] = replace(found[-1], situation=f"{found[-1].situation}, {situation}".strip(" ,"))
        content = nxt or ""
    if content and found:  # what follows "and about" or "and on" has no situation of its own
        found.append(Ask(_strip_lead(content), "", clause.sentence, guessed))
    return found


def _ahead(content: str) -> tuple[str, str]:
    """Part "recipes an hour" (before dinner) into the content and what belongs to the situation."""
    amount = re.search(r" (?:half an hour|an hour|\d+ minutes|(?:two|three|a couple of) hours|just|shortly|right)$", content)
    return (content[: amount.start()], f"{amount[0].strip()} ") if amount else (content, "")


def _split_next(body: str, more: bool) -> tuple[str, str | None]:
    """Part a situation from the next content, which follows a comma or "and" and names a kind of recommendation."""
    rules = lexicon()["asks"]
    other = re.search(r",? and (?:also )?(?=(?:about|on|to hear about|something (?:about|on)) )", body)
    if other:
        return body[: other.start()], re.sub(r"^(?:about|on|to hear about|something (?:about|on)) ", "", body[other.end():])
    if not more:
        return body, None
    for border in reversed(list(re.finditer(r",? and |; |, ", body))):
        rest = body[border.end():].strip()
        short = border[0] in (", and ", "; ") and 0 < len(_ahead(rest)[0].split()) <= 5
        if short or re.search(rf"(?<!\w)(?:{rules['noun']})(?!\w)", rest):
            return body[: border.start()], rest
    return body, None


def _strip_lead(text: str) -> str:
    return re.sub(rf"^[\s,]*(?:{lexicon()['asks']['lead']})(?!\w)\s*", "", text.strip()).strip(" ,.")
