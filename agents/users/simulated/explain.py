"""Why a decision is rated as it is: the parts that each margin adds up from, and what is behind them in words.

Made only when asked for. The parts come from the rater's own laws, so that their sum is the margin of `Rater.judge`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from propersim_env.clock import MINUTES_PER_TICK, span_text, time_text
from propersim_env.messages import DIMENSIONS, Rating
from propersim_env.persona import Window
from propersim_env.what_if import Explanation

from .rater import Judgement, repeated
from .reasons import REASONS, ago, count, doing, end_text, window_name, window_times

if TYPE_CHECKING:
    from .user import Resident

Parts = dict[str, float]
Words = dict[str, str]


def explain(resident: Resident, text: str) -> Explanation:
    """Explain the rating of a text (not silence) that is said now."""
    judgement = resident.judge(text)
    noise = resident.plan.noise[:, resident.tick].tolist()
    parts: dict[str, Parts] = {}
    words: dict[str, Words] = {}
    for k, (name, law) in enumerate(zip(DIMENSIONS, (_preference, _timing, _frequency, _communication), strict=True)):
        parts[name], words[name] = law(resident, judgement)
        if noise[k]:
            parts[name]["noise"], words[name]["noise"] = noise[k], "chance: the same thing is not always rated alike"
    return Explanation(text, resident.now, resident.rating(judgement), parts, words)


def explain_silence(resident: Resident, rating: Rating, waited: int) -> Explanation:
    """Explain the rating of silence now.

    Args:
        resident: Who is not spoken to.
        rating: The rating of silence.
        waited: Waking ticks since something was said last.
    """
    plan, tick, served = resident.plan, resident.tick, resident.mind.served
    needs: Words = {}
    for need in plan.needs:
        if need.start <= tick < need.end:
            felt = int(plan.felt_bits[tick]) >> need.index & 1
            state = "was served" if served >> need.index & 1 else "is unserved" if felt else "is not felt at the moment"
            needs[f"need {need.index}"] = (f"the need {need.want.id!r} ({need.want.why}), open {time_text(need.start)}-"
                                           f"{end_text(need.end)}, {state}")
    missed = _window_words(resident)[1]
    interval, limit = span_text(resident.planner.interval_ticks), span_text(int(plan.overdue_after[tick]))
    words = {
        "preference": needs or {"silent_ok": "no need is open"},
        "timing": {"missed_moment": f"a need is open at a good moment: {missed}"} if not rating.as_dict()["timing"] else
                  {"silent_ok": "no good moment with an open need is missed"},
        "frequency": {"waited": f"{span_text(waited)} of waking since the last, one every {interval} wanted, overdue after "
                                f"{limit}"},
        "communication": {"silent_ok": "silence says nothing wrong"},
    }
    return Explanation("", resident.now, rating, {}, words)


def _preference(resident: Resident, judgement: Judgement) -> tuple[Parts, Words]:
    rater, plan, tick, mind = resident.rater, resident.plan, resident.tick, resident.mind
    p, heard, topics = rater.p, judgement.heard, resident.persona.setting.topics
    if not heard.reading.grounded or not heard.topics:
        return {"ungrounded": p.ungrounded}, {"ungrounded": "it cannot be understood: none of the known topics is in it"}
    if "negated" in heard.reading.flags:
        return {"negated": p.ungrounded}, {"negated": "it says what not to do"}
    main, mass = heard.topics[0]
    base, term, want, _ = rater.topic_base(plan, tick, mind, main)
    parts, words = {term: mass * base}, {term: _topic_words(resident, main, term, want)}
    if base > 0:
        habit, full = rater.levels(mind, main, resident.now)
        if habit:
            parts["habituation"] = -mass * p.habituation_weight * habit
            words["habituation"] = f"{topics[main].name} came often over the last days (level {habit:.2f} of 1)"
        if full:
            parts["satiation"] = -mass * p.satiation_weight * full
            since = ago(resident.now - mind.satiation_tick[main])
            words["satiation"] = f"something on {topics[main].name} was welcome {since} ago (level {full:.2f} of 1)"
    for topic, share in heard.topics[1:]:
        name = f"also {topics[topic].id}"
        parts[name] = share * rater.topic_margin(plan, tick, mind, topic)[0]
        words[name] = f"{share:.0%} of the text is heard as {topics[topic].name}"
    rest = 1.0 - sum(share for _, share in heard.topics)
    if rest > 0:
        parts["rest"], words["rest"] = rest * p.ungrounded, f"{rest:.0%} of the text is about nothing known"
    loss, ticks = rater.repeat_loss(mind, heard.reading, resident.now)
    if loss:
        total = sum(parts.values())
        parts["repeat"] = repeated(total, loss, p.repeat_from) - total
        words["repeat"] = f"the same, or nearly the same, was said {ago(ticks)} ago"
    return parts, words


def _topic_words(resident: Resident, topic: int, term: str, want: int) -> str:
    """Why the main topic of a text is welcome now, or not."""
    persona, plan = resident.persona, resident.plan
    name, like = persona.setting.topics[topic].name, resident.rater.liking[topic]
    if want >= 0:
        wanted = persona.wants[want]
        said = f"{name} is wanted here ({wanted.id}: {wanted.why})"
        if term != "want_open":
            return said
        need = next(n for n in plan.needs if n.want is wanted and n.start <= resident.tick < n.end)
        return f"{said}, and the need is open {time_text(need.start)}-{end_text(need.end)}"
    if term == "fits_activity":
        return f"{name} goes with {doing(resident)}"
    if term == "liked":
        return f"{name} is liked ({like:+.1f}), whatever the situation"
    if term == "absent":
        places = {f"{window_times(w.window)} ({w.id})" for w in persona.wants if w.topic == persona.setting.topics[topic].id}
        return f"{name} is wanted, but in other situations: {', '.join(sorted(places))}"
    return f"{name} is {'disliked' if term == 'disliked' else 'not looked for'} (liking {like:+.1f})"


def _timing(resident: Resident, judgement: Judgement) -> tuple[Parts, Words]:
    rater, plan, tick = resident.rater, resident.plan, resident.tick
    moment, fresh = rater.moment(plan, tick)
    term, said = _window_words(resident)
    crowded = rater.crowded(plan, tick)
    parts, words = {term: float(plan.timing[tick]) - moment + crowded}, {term: said}
    if crowded and plan.company is not None:
        parts["company"], words["company"] = -crowded, f"not alone: {plan.company.seen(tick)}"
    segment = plan.segments[plan.segment[tick]]
    if fresh:
        parts["breakpoint"] = moment
        since = span_text(tick - segment.start / MINUTES_PER_TICK)
        words["breakpoint"] = f"{since} into {segment.text}: the first minutes are a good point"
    elif moment:
        parts["absorption"] = moment
        words["absorption"] = f"absorbed in {segment.text} ({segment.kind.absorption:.2f} of 1)"
    felt = rater.felt(judgement.fatigue)
    if felt:
        parts["fatigue"] = -felt
        words["fatigue"] = (f"fatigue {judgement.fatigue:.1f} of {rater.p.fatigue_limit:g} after {count(judgement.today)}, "
                            f"felt from {rater.p.fatigue_free:g} on")
    return parts, words


def _window_words(resident: Resident) -> tuple[str, str]:
    """Term and words of the activity or window that decides timing now."""
    persona, plan, tick = resident.persona, resident.plan, resident.tick
    minute = tick * MINUTES_PER_TICK

    def on(windows: tuple[Window, ...]) -> Window | None:
        return next((w for w in windows if w.start <= minute < w.end and w.on(plan.day)), None)

    if resident.rater.left_alone(plan.segments[plan.segment[tick]].kind):
        return "unwanted", f"wants to be left alone while {doing(resident)}"
    for term, windows in (("unwanted", persona.unwanted), ("wanted", persona.wanted)):
        window = on(windows)
        if window is not None:
            return term, f"inside the {term} window {window_name(window)!r} ({window_times(window)})"
    later = sorted((w for w in persona.wanted if w.start > minute and w.on(plan.day)), key=lambda w: w.start)
    if not later:
        return "neutral", "outside the wanted windows, none begins later today"
    begins = span_text(later[0].start / MINUTES_PER_TICK - tick)
    return "neutral", f"outside the wanted windows, {window_name(later[0])!r} ({window_times(later[0])}) begins in {begins}"


def _frequency(resident: Resident, judgement: Judgement) -> tuple[Parts, Words]:
    rater, mind = resident.rater, resident.mind
    ticks = resident.now - mind.last_tick
    gap, room = rater.frequency_margins(ticks, judgement.dose)
    term = "gap" if gap <= room else "dose"
    since = f"{ago(ticks)} since the last" if mind.delivered else "nothing was said before"
    words = {
        "gap": f"{since}, about {rater.wanted_gap} wanted",
        "dose": f"{judgement.today} today, about {rater.wanted_number} a day wanted "
                f"(dose {judgement.dose:.1f}, {rater.dose_limit - 1:.1f} is enough)",
    }
    return {term: min(gap, room)}, words


def _communication(resident: Resident, judgement: Judgement) -> tuple[Parts, Words]:
    rater, reading = resident.rater, judgement.heard.reading
    parts = {name: value for name, value in rater.communication_parts(reading) if value}
    overheard = rater.overheard(resident.plan, resident.tick, judgement.heard)
    if overheard:
        parts["company"] = -overheard
    tone = rater.main_tone(reading)
    tone_name = resident.persona.setting.tones[tone].name.lower()
    known = {
        "base": "any clear text starts with this", "tone_liked": f"sounds {tone_name}, which is liked",
        "tone_disliked": f"sounds {tone_name}, which is not liked",
        "length": f"{reading.words} words, at most {resident.persona.communication['max_words']}",
        "unclear": f"{reading.words} words are too few to say something",
    }
    words = {}
    for name in parts:
        boundary = " (a boundary of this person)" if name in rater.boundaries else ""
        words[name] = known.get(name) or f"{name.replace('_', ' ')}: {REASONS['communication'][name]}{boundary}"
    return parts, words
