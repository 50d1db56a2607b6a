"""V5: effects of traits over a sampled population: as large as cited, and never larger than evidence allows."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import parse_time
from propersim_env.persona import TRAITS, Persona

from .values import Size, Value, references, sampled, threshold


def _features(persona: Persona) -> dict[str, float]:
    """What traits might show in, as numbers."""
    routine = persona.routine
    found = {
        "morningness": -float(parse_time(routine["wake"])), "bedtime": float(parse_time(routine["sleep"])),
        "consistency": float(routine["consistency"]), "per_day": float(np.log(persona.per_day)),
        "min_gap": float(np.log(persona.min_gap)), "max_words": float(persona.communication["max_words"]),
        "exercise": persona.liking.get("fitness", 0.0),
    }
    found |= {f"liking {t}": persona.liking.get(t, 0.0) for t in persona.setting.topic_ids}
    for tone in persona.setting.tones:
        liked, avoided = persona.communication["tones"], persona.communication["avoid_tones"]
        found[f"tone {tone.id}"] = float(tone.id in liked) - float(tone.id in avoided)
    return found


@lru_cache(maxsize=2)
def correlations(n: int) -> tuple[list[str], NDArray[np.float64]]:
    """Names of features, the traits first, and their correlations over n sampled personas."""
    people = sampled(n)
    features = [_features(p) for p in people]
    names = [*TRAITS, *features[0]]
    table = np.array([[*(p.traits[t] for t in TRAITS), *f.values()] for p, f in zip(people, features, strict=True)])
    return names, np.corrcoef(table.T)


def traits(size: Size) -> list[Value]:
    """V5: cited trait effects, correlations among traits, and the largest effect of all."""
    n = 1000 if size == "small" else 4000
    names, r = correlations(n)
    what = f"{n} sampled personas, preferences as they are stated"
    most, values = threshold("trait_error"), []
    for trait, feature, cited, source in references()["trait_effects"]:
        found = float(r[names.index(trait), names.index(feature)])
        limit = (max(cited - most, 0.001), cited + most) if cited > 0 else (cited - most, min(cited + most, -0.001))
        values.append(Value("V5", f"{trait} with {feature}, cited {cited:+.2f} ({source})", found,
                            (round(limit[0], 3), round(limit[1], 3)), "within", what))
    pairs = references()["trait_correlations"]
    errors = [abs(float(r[names.index(a), names.index(b)]) - cited)
              for (a, b), cited in ((pair.split("-"), cited) for pair, cited in pairs.items())]
    values.append(Value("V5", "largest departure of a correlation between traits", max(errors), most, "<=", what))
    effects = np.abs(r[:5, 5:])
    place = np.unravel_index(effects.argmax(), effects.shape)
    values.append(Value("V5", f"largest effect of a trait ({names[place[0]]} with {names[5 + place[1]]})",
                        float(effects.max()), threshold("trait_most"), "<=", what))
    return values
