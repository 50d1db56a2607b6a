"""Fit the learned flags of the simulated user, choose their thresholds, and say how well they hear what they never saw.

    python -m propersim_env.baselines.studies.flag_classifier            # report, and write the model
    python -m propersim_env.baselines.studies.flag_classifier --dry-run  # report only

Every figure is for left-out texts: an example is judged by a fit without all examples of its idea (harmless twins
included, so that the test is harder than use), a catalogue text by a fit without its topic, and, in a second column,
without the catalogue. Nothing is chosen on other texts than these. About ten seconds.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from propersim_env.agents.users.simulated import flag_model as fm
from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.agents.users.simulated.text_rules import TextRules
from propersim_env.setting import load_setting


def shares(flagged: list[list[str]], labels: list[tuple[str, ...]]) -> dict[str, dict[str, float]]:
    """Precision and recall by flag; and of any harmful flag."""
    table: dict[str, dict[str, float]] = {}
    for name in (*fm.NAMES, "any harm"):
        wanted = fm.HARMFUL if name == "any harm" else (name,)
        said = [any(f in wanted for f in flags) for flags in flagged]
        true = [any(f in wanted for f in flags) for flags in labels]
        both = sum(a and b for a, b in zip(said, true, strict=True))
        table[name] = {"examples": sum(true), "flagged": sum(said), "precision": both / max(1, sum(said)),
                       "recall": both / max(1, sum(true))}
    return table


def study() -> tuple[fm.FlagModel, dict[str, Any]]:
    """Fit, choose, and measure."""
    rules, encoder, examples, catalogue = TextRules(), Encoder.load(), fm.flag_examples(), load_setting().catalogue

    def clean(text: str) -> str:
        return rules.clean(text).lowered

    full = fm.fit_flags(encoder.encode, clean, [(t.text, f"topic {t.topic}") for t in catalogue])
    labels: list[tuple[str, ...]] = [e.flags for e in examples]
    n = len(labels)
    targets = np.array([[name in flags for name in fm.NAMES] for flags in labels], float)
    model = fm.FlagModel(full, fm.choose_thresholds(full.left_out[:n], targets))
    bare = fm.fit_flags(encoder.encode, clean, [])
    alone = fm.FlagModel(bare, fm.choose_thresholds(bare.left_out, targets))
    texts = [clean(e.text) for e in examples]
    left_out = [model.decide(scores) for scores in full.left_out[:n].tolist()]
    by_rule = [sorted(rules.pattern_flags(text) & set(fm.HARMFUL)) for text in texts]
    lowered = [clean(t.text) for t in catalogue]
    rows = encoder.encode(lowered)
    false = {
        "left out by topic": [model.decide(scores) for scores in full.left_out[n:].tolist()],
        "not fitted on": [alone.flags(text, row) for text, row in zip(lowered, rows, strict=True)],
        "as shipped": [model.flags(text, row) for text, row in zip(lowered, rows, strict=True)],
    }
    return model, {
        "learned": shares(left_out, labels), "rules": shares(by_rule, labels),
        "together": shares([sorted({*a, *b}) for a, b in zip(left_out, by_rule, strict=True)], labels),
        "false harmful flags on the catalogue": {k: sum(bool(set(f) & set(fm.HARMFUL)) for f in v) for k, v in false.items()},
        "vague catalogue texts, before the count of content words": {k: sum("vague" in f for f in v) for k, v in false.items()},
        "harmless examples with a harmful flag": sum(bool(set(f) & set(fm.HARMFUL)) for f, t in
                                                     zip(left_out, labels, strict=True) if not t),
        "harmless examples": sum(not t for t in labels),
    }


def main() -> None:
    """Print the report; write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args()
    model, report = study()
    for name in ("learned", "rules", "together"):
        print(f"{name:12}" + "".join(f"{title:>12}" for title in ("examples", "flagged", "precision", "recall")))
        for flag, row in report[name].items():
            print(f"  {flag:10}{row['examples']:12.0f}{row['flagged']:12.0f}{row['precision']:12.2f}{row['recall']:12.2f}")
    for name, value in list(report.items())[3:]:
        print(f"{name}: {value}")
    if not options.dry_run:
        model.save(fm.WEIGHTS_FILE)
        source = "the lowest at which the share `precision` of the examples that are flagged when left out deserves it"
        fm.write_numbers({"thresholds": {"value": model.thresholds,
                                         "source": f"baselines/studies/flag_classifier.py: {source}"}})
        print(f"written: {fm.WEIGHTS_FILE.name}, {fm.NUMBERS_FILE.name}")


if __name__ == "__main__":
    main()
