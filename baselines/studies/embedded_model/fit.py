"""The tokenizer and the two supervised stages of the embedded language model.

`language`: any prompt, a fitting catalogue text: it learns to write, to follow what the prompt says is welcome (half of the
time), and to speak at a fixed small share of moments, whatever the moment. This is the untrained base of the *cold* regime.

`outcomes`: moments of train personas with what they rated: it learns to speak where timing and frequency were both welcome,
and to say what was rated well by this resident, given the memory in the prompt. This is the base of the *amortised* regime.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from propersim_env.agents.assistants.proper.answer import SILENT, SPEAK
from propersim_env.agents.assistants.proper.pairs import OF_CONTENT, OF_MOMENT
from propersim_env.setting import Setting

from .rollouts import Sample

PAD, END, USER, ASSISTANT = "<pad>", "<end>", "<user>", "<assistant>"
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<assistant>{{ m['content'] }}<end>"
    "{% else %}<user>{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
PIECES = r" ?\d+/\d+[.,]?|\n| ?[A-Za-z']+| ?\d+| ?[^\sA-Za-z\d]+"
"""What the tokenizer never merges across, after the names of topics: shares such as 5/6 are pieces of their own."""
VOCABULARY = 3500
HIDDEN, LAYERS, HEADS = 192, 4, 6
CONTEXT = 1024
SPEAKS = 0.05
"""How often the base speaks, whatever the moment: about 19 times a waking day, chatty as the published first day is."""
FOLLOWS = 0.5
BATCH = 48
PLAN_TOKENS, PLAN_WEIGHT = 5, 3.0
"""The plan, ``(topic, tone)``, is where the choice is made: its tokens count so many times in the loss."""
Batch = tuple[torch.Tensor, list[int], list[int], list[int], torch.Tensor, torch.Tensor]


def make_tokenizer(samples: Sequence[Sample], setting: Setting, spell: Callable[[str], str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of our prompts and texts, with a chat template.

    Names of topics and tones become single tokens, the same in the memory and in the plan of a text.
    """
    names = sorted([t.name.lower() for t in setting.topics] + [t.name.lower() for t in setting.tones], key=len, reverse=True)
    pieces = "|".join(f" ?{re.escape(name)}(?![a-z])" for name in names) + f"|{PIECES}"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pieces), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [s.prompt for s in samples] + [f" {spell(entry.text)}" for entry in setting.catalogue] * 30
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[PAD, END, USER, ASSISTANT, SILENT, SPEAK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A small Llama with random weights."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=HIDDEN, intermediate_size=HIDDEN * 8 // 3, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, tie_word_embeddings=True, max_position_embeddings=CONTEXT,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None, propersim_plan=True))


class LanguageTargets:
    """What the first stage writes: a catalogue text that fits the activity or what the prompt calls welcome."""

    def __init__(self, setting: Setting, rng: random.Random) -> None:
        self.rng, self.catalogue = rng, setting.catalogue
        self.topics = {t.id: t.name.lower() for t in setting.topics}
        self.tones = {t.id: t.name.lower() for t in setting.tones}
        self.by_topic: dict[str, list[Any]] = {}
        for entry in setting.catalogue:
            self.by_topic.setdefault(entry.topic, []).append(entry)

    def __call__(self, sample: Sample) -> tuple[str, float]:
        """A text, and the share of moments at which to speak."""
        lines = sample.prompt.split("\n")
        unwelcome = " ".join(line for line in lines if line.startswith("Topics unwelcome"))
        tones = " ".join(line for line in lines if line.startswith("Tones welcome"))
        follows = self.rng.random() < FOLLOWS
        for _ in range(8):
            on_topic = sample.topics and self.rng.random() < 0.6
            entry = self.rng.choice(self.by_topic[self.rng.choice(sample.topics)] if on_topic else self.catalogue)
            if not follows or (self.topics[entry.topic] not in unwelcome and (not tones or self.tones[entry.tone] in tones)):
                break
        return str(entry.text), SPEAKS


class OutcomeTargets:
    """What the second stage writes: a text that this resident rated well on what was said; to speak where that was welcome."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def __call__(self, sample: Sample) -> tuple[str, float]:
        """A text (``""`` if none was rated well), and whether to speak, 0 or 1."""
        good = [text for text, marks in sample.rated if marks & OF_CONTENT == OF_CONTENT]
        welcome = all(marks & OF_MOMENT == OF_MOMENT for _, marks in sample.rated)
        return (self.rng.choice(good) if good else ""), float(welcome)


Targets = Callable[[Sample], tuple[str, float]]


class Trainer:
    """Supervised training of both answers at once: the decision at the end of the prompt, and the text after ``SAY:``.

    Args:
        model, tokenizer: What is trained.
        samples: To learn from.
        targets: What to answer.
        spell: Puts the plan before a text.
        seed: Of the order.
    """

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, samples: Sequence[Sample],
                 targets: Targets, spell: Callable[[str], str], seed: int) -> None:
        self.spell = spell
        self.model, self.tokenizer, self.samples, self.targets = model, tokenizer, samples, targets
        self.rng = random.Random(seed)
        self.choices = torch.tensor([tokenizer.convert_tokens_to_ids(SILENT), tokenizer.convert_tokens_to_ids(SPEAK)])

    def _batch(self, chosen: Sequence[Sample]) -> tuple[Batch, torch.Tensor]:
        encode, rows, starts, speaks = self.tokenizer.encode, list[list[int]](), list[int](), list[float]()
        for sample in chosen:
            text, speak = self.targets(sample)
            prompt = encode(f"{USER}{sample.prompt}{ASSISTANT}", add_special_tokens=False)
            answer = encode(f"{SPEAK} {self.spell(text)}{END}", add_special_tokens=False) if text else []
            rows.append(prompt + answer)
            starts.append(len(prompt))
            speaks.append(speak)
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        row, column, token, weight = list[int](), list[int](), list[int](), list[float]()
        for i, tokens in enumerate(rows):
            ids[i, : len(tokens)] = torch.tensor(tokens)
            for j in range(starts[i] + 1, len(tokens)):
                row.append(i)
                column.append(j - 1)
                token.append(tokens[j])
                weight.append(PLAN_WEIGHT if j - starts[i] <= PLAN_TOKENS else 1.0)
        return (ids, [s - 1 for s in starts], row, column, torch.tensor(token), torch.tensor(weight)), torch.tensor(speaks)

    def losses(self, chosen: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Cross-entropy of texts and of decisions, and the log-odds of speaking."""
        (ids, last, row, column, token, weight), speaks = self._batch(chosen)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.model.model(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
            words = self.model.lm_head(hidden[row, column])
            decisions = self.model.lm_head(hidden[torch.arange(len(ids)), last])
        log_p = torch.log_softmax(decisions.float(), -1)[:, self.choices]
        decided = -(log_p[:, 0] * (1 - speaks) + log_p[:, 1] * speaks).mean()
        written = (functional.cross_entropy(words.float(), token, reduction="none") * weight).sum() / weight.sum()
        return written, decided, (log_p[:, 1] - log_p[:, 0]).detach()

    def run(self, steps: int, learning_rate: float, decision_weight: float) -> Iterator[tuple[int, float, float]]:
        """Train; gives step, text loss and decision loss after every step."""
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.model.train()
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * min(1, (step + 1) / 50) * max(0.03, 1 - step / steps)
            text, decided, _ = self.losses(self.rng.sample(self.samples, BATCH))
            (text + decision_weight * decided).backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            yield step, float(text.detach()), float(decided.detach())
        self.model.eval()


def decision_quality(trainer: Trainer, samples: Sequence[Sample]) -> dict[str, float]:
    """On moments of other personas: area under the ROC curve of the decision, and text loss."""
    odds, labels, losses = list[float](), list[float](), list[float]()
    trainer.model.eval()
    with torch.no_grad():
        for start in range(0, len(samples), 64):
            part = samples[start : start + 64]
            text, _, log_odds = trainer.losses(part)
            losses.append(float(text))
            odds += log_odds.tolist()
            labels += [OutcomeTargets(random.Random(0))(s)[1] for s in part]
    ranks, right = np.argsort(np.argsort(odds)) + 1, np.array(labels, bool)
    positives = int(right.sum())
    area = (ranks[right].sum() - positives * (positives + 1) / 2) / max(1, positives * (len(right) - positives))
    values = {"auc": float(area), "text_loss": float(np.mean(losses)), "welcome": positives / len(right)}
    return {name: round(value, 4) for name, value in values.items()}


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a model as 16-bit safetensors, with its tokenizer."""
    model.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    model.to(torch.float32)
