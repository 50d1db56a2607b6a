"""How a changed decision would be rated: later, shorter, on another topic, in another tone, with other noise.

Exact: what is asked for is done, in a branch of the home that nobody else sees. Silence until the later moment is lived
through tick by tick, and the texts that are tried are real ones.
"""

from __future__ import annotations

import re
from math import ceil, inf
from typing import TYPE_CHECKING, Any

from propersim_env.clock import MINUTES_PER_TICK, moment_text
from propersim_env.names import near_matches
from propersim_env.setting import CatalogueText
from propersim_env.what_if import WhatIf

if TYPE_CHECKING:
    from .user import Resident, SimulatedUsers

OTHER = "other"
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")


def what_if(
    users: SimulatedUsers, i: int, text: str, *, minutes_later: float = 0, shorter: bool = False, topic: str = "",
    tone: str = "", instead: str | None = None, noise: str | int = "same", horizon: int | None = None,
) -> WhatIf:
    """Rate a changed decision of home i; nothing of the users changes.

    `propersim_env.single_agent.ProPerSimEnv.what_if` says what the changes mean and what is raised; `horizon` is the absolute
    tick at which the episode ends, None if it is not known.
    """
    asked = [name for name, given in (("shorter", shorter), ("instead", instead is not None), ("topic or tone", topic or tone))
             if given]
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(asked)} change the text in several ways at once: ask for one of them")
    waited = _ticks("minutes_later", minutes_later)
    branch = users.branch(i, **_noise(users.options, noise))
    for n in range(waited + 1):
        _within(branch, horizon, n)
        if n < waited:
            branch.act([""])
    resident = branch.resident(0)
    said = text if instead is None else instead
    if shorter:
        said = _shorter(resident, text)
    elif topic or tone:
        said = _another(resident, text, topic, tone)
    return WhatIf(users.explain(i, text), branch.explain(0, said), waited)


def best_moment(
    users: SimulatedUsers, i: int, text: str, *, within_minutes: float = 120, horizon: int | None = None
) -> WhatIf:
    """The earliest of the next moments at which home i rates a text best, if nothing is said until then.

    Args:
        users: The residents; nothing of them changes.
        i: The home.
        text: What is to be said.
        within_minutes: Waking minutes to look ahead.
        horizon: Absolute tick at which the episode ends; later moments are not looked at.
    """
    ticks = _ticks("within_minutes", within_minutes)
    branch = users.branch(i)
    _within(branch, horizon, 0)
    best, waited, total = users.explain(i, text), 0, users.rate(i, text).total
    for n in range(1, ticks + 1):
        if total == 4:
            break
        branch.act([""])
        if horizon is not None and branch.resident(0).now >= horizon:
            break
        if (there := branch.rate(0, text).total) > total:
            best, waited, total = branch.explain(0, text), n, there
    return WhatIf(users.explain(i, text), best, waited)


def _ticks(name: str, minutes: float) -> int:
    if not 0 <= minutes < inf:
        raise ValueError(f"{name}={minutes!r}: give minutes from 0 on; for an earlier moment, ask there (propersim explain)")
    return ceil(minutes / MINUTES_PER_TICK)


def _within(branch: SimulatedUsers, horizon: int | None, waited: int) -> None:
    now = branch.resident(0).now
    if horizon is not None and now >= horizon:
        raise ValueError(f"the episode ends before {moment_text(now)}, {waited} decisions later: ask for an earlier moment")


def _noise(options: dict[str, Any], noise: str | int) -> dict[str, Any]:
    """The options of a branch with this noise."""
    if noise == "same":
        return {}
    if noise == "none":
        return {"noise": 0.0}
    number = 1 if noise == "fresh" else noise
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"noise={noise!r}: choose 'same', 'none', 'fresh', or a number n >= 1 for the n-th fresh draw")
    parameters = dict(options["parameters"])
    return {"parameters": {**parameters, "noise_stream": parameters.get("noise_stream", 0) + number}}


def _shorter(resident: Resident, text: str) -> str:
    """The longest prefix of whole sentences within the resident's limit, else the shortest catalogue text on the topic.

    Of the catalogue, one in the tone of the text is taken where there is one.

    Raises:
        ValueError: There is nothing shorter.
    """
    rater = resident.rater
    limit, words = resident.persona.communication["max_words"], rater.hear(text).reading.words
    for end in [m.start() for m in reversed(list(_SENTENCE_END.finditer(text.strip())))]:
        prefix = text.strip()[:end]
        if prefix and rater.hear(prefix).reading.words <= min(limit, words - 1):
            return prefix
    texts = [t for t in _on_topic(resident, text, _topic_of(resident, text)) if rater.hear(t.text).reading.words < words]
    if not texts:
        raise ValueError(f"there is nothing shorter than {text!r:.80} ({words} words): no whole sentence of it, and no text of "
                         f"the catalogue on its topic")
    tone = _tone_of(resident, text)
    return min(texts, key=lambda t: (t.tone != tone, rater.hear(t.text).reading.words)).text


def _another(resident: Resident, text: str, topic: str, tone: str) -> str:
    """The catalogue text on a topic and in a tone that is nearest in meaning to the text.

    What is not given stays as it is heard in the text, as far as the catalogue allows; `OTHER` takes what is most welcome.

    Raises:
        ValueError: An unknown topic or tone, or one that the catalogue has no text for.
    """
    rater, setting = resident.rater, resident.persona.setting
    tones, reading = [t.id for t in setting.tones], rater.hear(text).reading
    for name, given, known in (("topic", topic, setting.topic_ids), ("tone", tone, tones)):
        if given and given != OTHER and given not in known:
            raise ValueError(f"{name}={given!r}: {near_matches(given, known)}; or {OTHER!r}, which takes the most welcome one")
    if topic == OTHER:
        mine = _topic_of(resident, text, "") if text else ""
        margins = {t: rater.topic_margin(resident.plan, resident.tick, resident.mind, k)[0]
                   for k, t in enumerate(setting.topic_ids) if t != mine and any(c.topic == t for c in setting.catalogue)}
        topic = max(margins, key=lambda t: margins[t])
    texts = _on_topic(resident, text, topic or _topic_of(resident, text))
    heard = _tone_of(resident, text)
    if tone == OTHER:
        there = {t.tone for t in texts} - {heard}
        tone = max((t for t in tones if t in there), key=lambda t: rater.tone_score[tones.index(t)], default=tone)
    wanted = [t for t in texts if t.tone == (tone or heard)]
    if not texts or (tone and not wanted):
        raise ValueError(f"the catalogue has no further text on topic {topic or _topic_of(resident, text)!r}"
                         + (f" in tone {tone!r}" if tone else ""))

    def nearness(entry: CatalogueText) -> tuple[float, float]:
        other = rater.hear(entry.text)
        return rater.reader.similarity(reading, other.reading), other.communication

    return max(wanted or texts, key=nearness).text


def _topic_of(resident: Resident, text: str, default: str | None = None) -> str:
    """The topic that a text is mainly heard as."""
    heard = resident.rater.hear(text)
    if heard.reading.grounded and heard.topics:
        return resident.persona.setting.topic_ids[heard.topics[0][0]]
    if default is None:
        what = f"{text!r:.80} is about no known topic" if text else "silence is about nothing"
        raise ValueError(f"{what}: name one with topic=, or a text with instead=")
    return default


def _tone_of(resident: Resident, text: str) -> str:
    """The tone in which a text is mainly heard; "" for none."""
    tones = resident.rater.hear(text).reading.tones
    return resident.persona.setting.tones[int(tones.argmax())].id if tones.any() else ""


def _on_topic(resident: Resident, text: str, topic: str) -> list[CatalogueText]:
    return [t for t in resident.persona.setting.catalogue if t.topic == topic and t.text != text]
