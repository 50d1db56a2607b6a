"""A sampled person in words: background and habits, and the rubric, which says exactly what is structured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from propersim_env.clock import parse_time
from propersim_env.persona import TRAITS
from propersim_env.population.tables import Draw, Json, Tables

STRONG_LIKE, STRONG_DISLIKE = 0.6, -0.4
"""From these likings on (persona format) the rubric names a topic that no want names."""


def write_person(
    draw: Draw, t: Tables, traits: Sequence[float], occupation: Json, routine: Json, activities: Sequence[Json],
    liking: dict[str, float],
) -> Json:
    """Background, interests, lifestyle, goals and daily plan."""
    words = t.wording
    place = max(range(len(traits)), key=lambda i: abs(traits[i]))
    character = draw.pick(words["trait_sentence"][TRAITS[place]]["high" if traits[place] > 0 else "low"])
    return {
        "background": f"{draw.pick(occupation['background'])} {character}",
        "interests": _interests(draw, t, liking),
        "lifestyle": _lifestyle(draw, t, routine, activities),
        "goals": draw.pick(occupation["goals"]),
        "daily_plan": _plan(draw, t, routine, activities),
    }


def _interests(draw: Draw, t: Tables, liking: dict[str, float]) -> list[str]:
    """Phrases about the best-liked topics, from the pieces of the topics' descriptions."""
    phrases = []
    for topic in list(liking)[:3]:
        piece = draw.pick(t.setting.topics[t.setting.topic_index[topic]].description.split(", "))
        phrases.append(draw.pick(t.wording["interest"]).format(name=_name(t, topic), piece=piece))
    return phrases


def _lifestyle(draw: Draw, t: Tables, routine: Json, activities: Sequence[Json]) -> list[str]:
    habit = t.wording["habit"]
    activity = draw.pick([a for a in activities if a["category"] != "work"] or activities)
    habits = [draw.pick(habit["activity"]).format(text=draw.pick(activity["texts"]))]
    if routine["consistency"] >= 0.7:
        habits.append(draw.pick(habit["steady"]))
    elif routine["consistency"] <= 0.5:
        habits.append(draw.pick(habit["loose"]))
    if routine["weekend_shift_minutes"] >= 60:
        habits.append(draw.pick(habit["late_weekend"]))
    times = draw.some(habit["always"], max(0, 3 - len(habits)))
    return [text.format(**routine) for text in times] + habits


def _plan(draw: Draw, t: Tables, routine: Json, activities: Sequence[Json]) -> list[str]:
    plan = t.wording["plan"]
    lines = [draw.pick(plan["work"]).format(**block) for block in routine["work"][:1]]
    free = draw.some([a for a in activities if a["category"] != "work"], 2 - len(lines))
    lines += [draw.pick(plan["activity"]).format(text=draw.pick(a["texts"])) for a in free]
    return lines + [text.format(**routine) for text in draw.some(plan["meal"], 3 - len(lines))]


def write_rubric(draw: Draw, t: Tables, preferences: Json, routine: Json, activities: Sequence[Json]) -> dict[str, str]:
    """The four paragraphs, from the setting's templates: every structured preference and no other.

    Where even the shortest wording is too long for a paragraph, situations of wants are narrowed in `preferences`.
    """
    least, most = t.n.rubric_words
    rubric = {}
    for title, keys in t.rubric["paragraphs"].items():
        writer, terse = (_Writer(draw, t, preferences, activities, terse=brief) for brief in (False, True))
        text = writer.paragraph(keys)
        if len(text.split()) > most:
            text = terse.paragraph(keys)
        while len(text.split()) > most and _narrow(preferences["wants"]):
            text = terse.paragraph(keys)
        extras = list(t.wording["rubric_extra"].get(title, ()))
        while extras and len(text.split()) < least:
            extra = extras.pop(0 if title == "Frequency" else int(draw.between(0, len(extras) - 0.001)))
            text += " " + extra.format(interval=writer.duration(_interval(preferences, routine)))
        rubric[title] = text
    return rubric


def _narrow(wants: Sequence[Json]) -> bool:
    """Take the last activity from the widest situation, so that the rubric can still name all that is wanted."""
    widest = max(wants, key=lambda w: len(w["activities"]))
    if len(widest["activities"]) < 2:
        return False
    widest["activities"].pop()
    return True


def _interval(preferences: Json, routine: Json) -> int:
    waking = parse_time(routine["sleep"]) - parse_time(routine["wake"])
    per_day: float = preferences["frequency"]["per_day"]
    return max(15, round(waking / per_day / 15) * 15)


class _Writer:
    """Fills the rubric templates of a setting; `terse` takes the shortest variants throughout."""

    def __init__(self, draw: Draw, t: Tables, preferences: Json, activities: Sequence[Json], terse: bool) -> None:
        self.draw, self.t, self.templates, self.preferences, self.terse = draw, t, t.rubric, preferences, terse
        self.texts: dict[str, Sequence[str]] = {k.id: k.texts for k in t.setting.activities}
        self.texts |= {a["id"]: a["texts"] for a in activities}
        self.write: dict[str, Callable[[], list[str]]] = {
            "preference_want": self._wants, "preference_like": self._likes, "preference_dislike": self._dislikes,
            "timing_wanted": self._wanted, "timing_unwanted_window": self._unwanted,
            "timing_unwanted_activity": self._alone, "frequency": self._frequency,
            "communication_tones": lambda: self._tones("tones", "communication_tones", " and "),
            "communication_avoid": lambda: self._tones("avoid_tones", "communication_avoid", " or "),
            "communication_length": self._length, "communication_boundaries": self._boundaries,
        }

    def paragraph(self, keys: Sequence[str]) -> str:
        """The sentences of these templates."""
        return " ".join(sentence for key in keys for sentence in self.write[key]())

    def duration(self, minutes: int) -> str:
        """Minutes in words: whole and half hours as such."""
        words = self.t.wording["number_words"]
        hours, rest = divmod(minutes, 60)
        if rest == 0 and 0 < hours < len(words):
            return "an hour" if hours == 1 else f"{words[hours]} hours"
        if rest == 30 and 0 < hours < len(words):
            return f"{words[hours]} and a half hours"
        return f"{minutes} minutes"

    def _variant(self, variants: Sequence[str]) -> str:
        return variants[0] if self.terse else self.draw.pick(variants)

    def _sentence(self, key: str, **values: str) -> str:
        text = self._variant(self.templates[key]).format(**values)
        return text[0].upper() + text[1:]

    def _activity(self, name: str) -> str:
        """A category by its phrase, a single activity by the shortest of its texts."""
        phrases = self.templates["category_phrases"]
        return str(phrases[name]) if name in phrases else min(self.texts[name], key=lambda text: (text.count(" "), text))

    def _window(self, window: Json) -> str:
        return self._variant(self.templates["window_phrases"][window["days"]]).format(**window)

    def _topics(self, topics: Sequence[str]) -> str:
        return "; ".join(self.templates["topic_phrases"].get(k, _name(self.t, k)) for k in topics)

    def _wants(self) -> list[str]:
        sentences = []
        for want in self.preferences["wants"]:
            phrases = self.templates["situation_phrases"]["some" if want["activities"] else "any"]
            doing = _join([self._activity(a) for a in want["activities"]], " or ")
            situation = self._variant(phrases).format(activity=doing)
            sentences.append(
                self._sentence(
                    "preference_want", situation=situation, window=self._window(want), topic=self._topics([want["topic"]])
                )
            )
        return sentences

    def _strong(self, liked: bool) -> list[str]:
        wanted = {w["topic"] for w in self.preferences["wants"]}
        liking = self.preferences["topics"]
        if liked:
            return [k for k, v in liking.items() if v >= STRONG_LIKE and k not in wanted]
        return [k for k, v in liking.items() if v <= STRONG_DISLIKE]

    def _likes(self) -> list[str]:
        topics = self._strong(True)
        return [self._sentence("preference_like", topic=self._topics(topics))] if topics else []

    def _dislikes(self) -> list[str]:
        topics = self._strong(False)
        return [self._sentence("preference_dislike", topic=self._topics(topics))] if topics else []

    def _windows(self, key: str, windows: Sequence[Json]) -> list[str]:
        if not windows:
            return []
        place = 0 if self.terse else int(self.draw.between(0, 0.999) * 3)
        phrases = [self.templates["window_phrases"][w["days"]] for w in windows]
        texts = [p[min(place, len(p) - 1)].format(**w) for p, w in zip(phrases, windows, strict=True)]
        return [self._sentence(key, window=_join(texts, " and "))]

    def _wanted(self) -> list[str]:
        return self._windows("timing_wanted", self.preferences["timing"]["wanted"])

    def _unwanted(self) -> list[str]:
        return self._windows("timing_unwanted_window", self.preferences["timing"]["unwanted"])

    def _alone(self) -> list[str]:
        names = self.preferences["timing"]["unwanted_activities"]
        doing = _join([self._activity(a) for a in names], " or ")
        return [self._sentence("timing_unwanted_activity", activity=doing)] if names else []

    def _frequency(self) -> list[str]:
        spec, words = self.preferences["frequency"], self.t.wording["number_words"]
        low = int(spec["per_day"])
        count = words[low] if spec["per_day"] == low else f"{words[low]} or {words[low + 1]}"
        variants = [v for v in self.templates["frequency"] if low > 1 or "{count} times" not in v]
        text = self._variant(variants).format(count=count, gap=self.duration(spec["min_gap_minutes"]))
        return [text[0].upper() + text[1:]]

    def _tones(self, field: str, key: str, link: str) -> list[str]:
        names = [self.templates["tone_phrases"].get(k, k) for k in self.preferences["communication"][field]]
        return [self._sentence(key, tones=_join(names, link))] if names else []

    def _length(self) -> list[str]:
        return [self._sentence("communication_length", words=str(self.preferences["communication"]["max_words"]))]

    def _boundaries(self) -> list[str]:
        names = [self.templates["boundary_phrases"][k] for k in self.preferences["communication"]["boundaries"]]
        return [self._sentence("communication_boundaries", boundaries=_join(names, " or "))] if names else []


def _join(parts: Sequence[str], link: str) -> str:
    return ", ".join(parts[:-1]) + link + parts[-1] if len(parts) > 1 else "".join(parts)


def _name(t: Tables, topic: str) -> str:
    return t.setting.topics[t.setting.topic_index[topic]].name.lower()
