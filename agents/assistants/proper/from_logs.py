"""From logged episodes to rated moments: the log is lived again with a `Recall` beside it, which makes the prompts."""

from __future__ import annotations

from collections.abc import Iterator

from propersim_env.evaluation.relive import observations
from propersim_env.feedback import Feedback
from propersim_env.log import Episode
from propersim_env.observation import read_observation

from .chronicle import Complete, Count, reason_of
from .pairs import Moment, Option
from .recall import Recall, RecallSettings
from .tallies import Judged


def moments_of(episode: Episode, settings: RecallSettings, setting: str | None = None, count: Count | None = None,
               complete: Complete | None = None, recall: Recall | None = None) -> Iterator[Moment]:
    """The rated moments of a log, each with the prompt that ProPerAssistant would have had there.

    Whatever assistant wrote the log: what it said and what it had rated becomes memory and pairs. Moments at which nothing but
    silence was rated are left out.

    Args:
        episode: From `propersim_env.log.read_episode`.
        settings: What is remembered and shown.
        setting: Where the persona lives; by default as the log says.
        count: As for `Recall`, where the settings have a budget of tokens.
        complete: As for `Recall`, where the settings have summaries by a model.
        recall: A memory of nobody yet, of these settings, for who wants to know what is in it at the end; made if None.

    Raises:
        LogError: The log is of another version of rubric or persona, or was edited.
    """
    recall = recall or Recall(settings, setting or episode.begin["setting"], count=count, complete=complete)
    feedback = Feedback.parse(episode.begin.get("feedback", "full"))
    seed, persona = episode.begin["seed"], episode.begin["persona"]["id"]
    considered: list[Judged] = []
    reasons: dict[int, str] = {}
    day = 0
    for observation, decision in observations(episode, setting):
        seen = read_observation(observation)
        if seen.day > day:
            recall.learn(considered)
            recall.night()
            recall.told(reasons)
            considered, reasons, day = [], {}, seen.day
        recall.see(seen)
        told = feedback.full or (bool(decision.text) and feedback.rated(seed, persona, seen.tick))
        marks = decision.marks if told else None
        options = [Option(decision.text, None if marks is None else marks.bit_count(), marks, True)]
        for text, of_other in decision.alternatives:
            options.append(Option(text, of_other.bit_count(), of_other, False))
            if text:
                considered.append(Judged(recall.instant(seen), text, of_other, False))
        if any(option.text for option in options):
            known = recall.expectation.count > 0
            memory = recall.expectation.moment(recall.instant(seen)) if known else None
            yield Moment(seen.tick, recall.messages(seen), tuple(options), memory)
        if decision.text:
            recall.spoke(seen, decision.text)
            if marks is not None and decision.event is not None:
                reasons[seen.tick] = reason_of(decision.event.get("reasons", {}), marks)
