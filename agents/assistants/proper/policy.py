"""A causal language model as a policy: whether to speak, and what to say, for many residents at once.

One base model serves all residents; each may have a LoRA adapter of its own. A decision is a choice between two short answers
(`SILENT` and `SAY:`), scored and not sampled, so that it can never be malformed; the text after `SAY:` is sampled. Prompts that
several completions share are computed once.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propersim_env.agents.users.simulated.encoder import Encoder

from .answer import SILENT, SPEAK, Answer, read_text
from .labels import labels_of
from .plan import TOPIC_TOKEN, Plan, without_plan
from .prefill import Prefill, Prefilled

if TYPE_CHECKING:
    import torch

    from .models import Base

Message = dict[str, str]
SMALL = 50_000_000
"""Parameters up to which a policy computes with a copy, so that training leaves it alone."""
NO_ADAPTER = "__base__"
"""What peft calls the base model in a batch of several adapters."""


@dataclass(frozen=True, slots=True)
class Written:
    """A sampled text, the log-probability of its words, and the number of tokens that it and its plan took."""

    answer: Answer
    log_probability: float
    tokens: int


class Policy:
    """A base model and the adapters of residents.

    Args:
        base: From `models.load_base`.
        most_tokens: New tokens of a text at most.
        batch: Sequences computed together at most; lower it where memory is short.
        setting: Whose topics and tones plans name (see `plan.Plan`).
    """

    def __init__(self, base: Base, most_tokens: int = 64, batch: int = 64, setting: str = "house") -> None:
        self.base, self.most_tokens, self.batch = base, most_tokens, batch
        self._apart = sum(p.numel() for p in base.model.parameters()) <= SMALL
        self.model: Any = deepcopy(base.model) if self._apart else base.model
        self.model.eval()
        self._folders: dict[str, str] = {}
        self._uses: dict[str, str] = {}
        self._loaded = 0
        self._prefill = Prefill()
        plans = bool(getattr(base.model.config, "propersim_plan", False))
        self.plan = Plan(labels_of(setting, Encoder.load())) if plans else None
        tokenizer = base.tokenizer
        self._places = self.plan.tokens(tokenizer) if self.plan else []
        self._choices = [tokenizer.encode(answer, add_special_tokens=False) for answer in (SILENT, SPEAK)]
        self._pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.tokens_read = self.tokens_written = 0

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Leave the base free for training: a large model is there only once, so its adapters are taken off meanwhile."""
        if self._apart or not self._folders:
            yield
            return
        self._prefill.forget()
        uses = {name: place for name, key in self._uses.items() for place, k in self._folders.items() if k == key}
        self.model = self.model.unload()
        self._folders, self._uses = {}, {}
        try:
            yield
        finally:
            for name, place in uses.items():
                self.assign(name, Path(place))

    def assign(self, name: str, folder: Path | None) -> None:
        """Give the resident of this name the adapter in a folder, in place of the one it has; None gives the base model.

        An adapter is loaded once, however many residents use it, and dropped when none does.
        """
        self._prefill.forget()
        before = self._uses.pop(name, None)
        if folder is not None:
            place = str(folder.resolve())
            if place not in self._folders:
                self._folders[place] = self._load(place)
            self._uses[name] = self._folders[place]
        if before is not None and before not in self._uses.values():
            self._folders = {place: key for place, key in self._folders.items() if key != before}
            if self._folders:
                self.model.set_adapter(next(iter(self._folders.values())))  # never delete the one that is active
                self.model.delete_adapter(before)
            else:
                self.model = self.model.unload()

    def _load(self, place: str) -> str:
        from .models import check_adapter, need, quietly

        check_adapter(self.base, Path(place))
        peft_model = need("peft").PeftModel
        self._loaded += 1
        key = f"adapter-{self._loaded}"
        with quietly():
            if isinstance(self.model, peft_model):
                self.model.load_adapter(place, adapter_name=key)
            else:
                self.model = peft_model.from_pretrained(self.model, place, adapter_name=key)
        self.model.eval()
        return key

    @contextmanager
    def _computing(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Keywords for a forward pass in which row i uses the adapter of names[i], if there is one."""
        import torch

        with torch.inference_mode():
            chosen = [self._uses.get(name, NO_ADAPTER) for name in names]
            if not hasattr(self.model, "disable_adapter"):
                yield {}
            elif set(chosen) == {NO_ADAPTER}:
                with self.model.disable_adapter():
                    yield {}
            elif len(set(chosen)) == 1:
                if self.model.active_adapters != [chosen[0]]:  # switching walks through all layers, and a text has many tokens
                    self.model.set_adapter(chosen[0])
                yield {}
            else:
                yield {"adapter_names": chosen}

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of tokens, padded on the left, and their attention mask."""
        import torch

        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self._pad, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, row in enumerate(rows):
            ids[i, longest - len(row) :] = torch.tensor(row)
            mask[i, longest - len(row) :] = 1
        self.tokens_read += int(mask.sum())
        return ids.to(self.model.device), mask.to(self.model.device)

    def encode(self, messages: Sequence[Message], prefix: str = "") -> list[int]:
        """Tokens of a prompt."""
        from .models import render

        return list(self.base.tokenizer.encode(render(self.base, messages, prefix), add_special_tokens=False))

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.base.tokenizer.encode(text, add_special_tokens=False))

    def complete(self, messages: Sequence[Message], most_tokens: int) -> tuple[str, bool]:
        """The base model's likeliest answer to chat messages, token by token, and whether it ended it itself.

        No adapter takes part: adapters are trained to decide and to recommend.
        """
        (text, ended, _), = self.answers([messages], [0], 0.0, most_tokens)
        return text, ended

    def answers(self, prompts: Sequence[Sequence[Message]], seeds: Sequence[int], temperature: float,
                most_tokens: int) -> list[tuple[str, bool, int]]:
        """An answer of the base model to each of several chats: its words, whether it ended it itself, and its tokens.

        Args:
            prompts: Chat messages.
            seeds: One for each; without effect at temperature 0.
            temperature: Of sampling; 0 takes the likeliest words.
            most_tokens: Of an answer.
        """
        found: list[tuple[str, bool, int]] = []
        for start in range(0, len(prompts), self.batch):
            part = slice(start, start + self.batch)
            rows = [self.encode(messages) for messages in prompts[part]]
            for tokens, _ in self._generate(rows, [NO_ADAPTER] * len(rows), 1, seeds[part], (temperature,) * 2, most_tokens):
                ended = bool(tokens) and tokens[-1] == self.base.tokenizer.eos_token_id
                words = self.base.tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=False)
                found.append((str(words), ended, len(tokens)))
        return found

    def speak_log_odds(self, prompts: Sequence[Sequence[Message]], names: Sequence[str]) -> list[float]:
        """Log-odds of speaking against silence in each situation.

        Args:
            prompts: Chat messages.
            names: Whose adapter decides each; a name without one means the base model.
        """
        result = [0.0] * len(prompts)
        for part in self._parts(names, self.batch):
            odds = self._log_odds([self.encode(prompts[i]) for i in part], [names[i] for i in part])
            for i, value in zip(part, odds, strict=True):
                result[i] = value
        return result

    def _parts(self, names: Sequence[str], size: int) -> Iterator[list[int]]:
        """Which rows are computed together, at most so many.

        On a processor a large model gains little from batches, and more from reading each resident's prompt from where it
        differs from the last one: rows of different adapters are apart there.
        """
        groups: dict[str, list[int]] = {}
        alike = self._apart or self.model.device.type != "cpu"
        for i, name in enumerate(names):
            groups.setdefault("" if alike else self._uses.get(name, NO_ADAPTER), []).append(i)
        for members in groups.values():
            for start in range(0, len(members), size):
                yield members[start : start + size]

    def _read_prompts(self, rows: list[list[int]], names: Sequence[str]) -> Prefilled:
        """Prompts of a large model, read from where they differ from the last one of the same adapter."""
        adapters = {self._uses.get(name, NO_ADAPTER) for name in names}
        key = next(iter(adapters)) if len(adapters) == 1 else None
        self.tokens_read += sum(map(len, rows)) - self._prefill.shared(rows, key) * len(rows)
        with self._computing(names) as more:
            return self._prefill.read(self.model, rows, self._pad, key, more)

    def _log_odds(self, rows: list[list[int]], names: Sequence[str]) -> list[float]:
        silent, speak = self._choices
        if silent[0] != speak[0]:  # the first tokens tell the answers apart: one pass over the prompts is enough
            if self._apart:
                ids, mask = self._padded(rows)
                with self._computing(names) as more:
                    logits = self.model(input_ids=ids, attention_mask=mask, logits_to_keep=1, **more).logits[:, -1].float()
            else:
                logits = self._read_prompts(rows, names).logits
            return [float(x) for x in (logits[:, speak[0]] - logits[:, silent[0]])]
        if not self._apart:
            return self._long_log_odds(rows, names)
        prompts = [row for row in rows for _ in self._choices]
        scores = self.log_probabilities(prompts, self._choices * len(rows), [name for name in names for _ in self._choices])
        return [scores[i + 1] - scores[i] for i in range(0, len(scores), 2)]

    def _long_log_odds(self, rows: list[list[int]], names: Sequence[str]) -> list[float]:
        """As `_log_odds` where both answers begin alike: what follows their first token is read after the prompt."""
        import torch

        read, device = self._read_prompts(rows, names), self.model.device
        longest = max(map(len, self._choices)) - 1
        if longest == 0:
            return [0.0] * len(rows)
        ends = torch.full((2, longest), self._pad, dtype=torch.long)
        for i, choice in enumerate(self._choices):
            ends[i, : len(choice) - 1] = torch.tensor(choice[:-1])
        read.cache.batch_repeat_interleave(2)
        mask = read.mask.repeat_interleave(2, 0)
        positions = read.next_position.repeat_interleave(2, 0) + torch.arange(longest, device=device)
        with self._computing([name for name in names for _ in range(2)]) as more:
            logits = self.model(
                input_ids=ends.repeat(len(rows), 1).to(device), position_ids=positions, past_key_values=read.cache,
                attention_mask=torch.cat([mask, mask.new_ones((len(mask), longest))], 1), use_cache=True, **more).logits
        log_p = torch.log_softmax(logits.float(), -1)
        scores = [sum(float(log_p[2 * i + k, j, token]) for j, token in enumerate(choice[1:]))
                  for i in range(len(rows)) for k, choice in enumerate(self._choices)]
        return [scores[i + 1] - scores[i] for i in range(0, len(scores), 2)]

    def log_probabilities(self, prompts: Sequence[Sequence[int]], ends: Sequence[Sequence[int]],
                          names: Sequence[str]) -> list[float]:
        """Log-probability of each end (tokens) after its prompt (tokens)."""
        import torch

        result: list[float] = []
        for start in range(0, len(prompts), self.batch):
            part = slice(start, start + self.batch)
            ids, mask = self._padded([[*p, *e] for p, e in zip(prompts[part], ends[part], strict=True)])
            longest = max(map(len, ends[part]))
            with self._computing(names[part]) as more:
                logits = self.model(input_ids=ids, attention_mask=mask, logits_to_keep=longest + 1, **more).logits
            for i, end in enumerate(ends[part]):  # row by row: a batch of all words of a large vocabulary is much memory
                log_p = torch.log_softmax(logits[i, -len(end) - 1 : -1].float(), -1)
                result.append(sum(log_p[range(len(end)), list(end)].tolist()))
        return result

    def write(self, prompts: Sequence[Sequence[Message]], names: Sequence[str], n: int, seeds: Sequence[int],
              temperature: float = 1.0, plan_temperature: float = 1.0) -> list[list[Written]]:
        """Sample n texts for each situation.

        Args:
            prompts: Chat messages.
            names: Whose adapter writes each.
            n: Texts for each prompt; the prompt itself is computed once.
            seeds: One for each prompt: what is sampled for a resident does not depend on who else is in the batch (up to
                rounding of the model's arithmetic).
            temperature: Of sampling words, above 0.
            plan_temperature: Of sampling what they are about, for models that plan: topics may vary more than words.
        """
        heat = (temperature, plan_temperature if self.plan else temperature)
        result: list[list[Written]] = [[] for _ in prompts]
        for part in self._parts(names, max(1, self.batch // n)):
            written = self._write([self.encode(prompts[i], SPEAK) for i in part], [names[i] for i in part], n,
                                  [seeds[i] for i in part], heat)
            for i, texts in zip(part, written, strict=True):
                result[i] = texts
        return result

    def _read_to_write(self, rows: list[list[int]], names: Sequence[str]) -> Prefilled:
        """Prompts after which texts are written."""
        if not self._apart:
            return self._read_prompts(rows, names)
        ids, mask = self._padded(rows)
        with self._computing(names) as more:
            out = self.model(input_ids=ids, attention_mask=mask, use_cache=True, logits_to_keep=1, **more)
        return Prefilled(out.logits[:, -1].float(), out.past_key_values, mask, mask.new_full((len(rows), 1), mask.shape[1]))

    def _write(self, rows: list[list[int]], names: Sequence[str], n: int, seeds: Sequence[int],
               heat: tuple[float, float]) -> list[list[Written]]:
        end = self.base.tokenizer.eos_token_id
        places = self._places
        read = [self._read(t, end, p) for t, p in self._generate(rows, names, n, seeds, heat, self.most_tokens, places)]
        return [read[i : i + n] for i in range(0, len(read), n)]

    def _generate(self, rows: list[list[int]], names: Sequence[str], n: int, seeds: Sequence[int],
                  heat: tuple[float, float], most_tokens: int,
                  places: Sequence[Sequence[int]] = ()) -> list[tuple[list[int], float]]:
        """Tokens of n completions of each row, and log-probabilities of what follows the plan.

        The temperatures are those of words and of topics; 0 takes the likeliest token. Completions begin with a plan, one of
        these tokens at each of its places.
        """
        import torch

        end = self.base.tokenizer.eos_token_id
        read = self._read_to_write(rows, names)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        cache, logits = read.cache, read.logits.cpu().repeat_interleave(n, 0)
        cache.batch_repeat_interleave(n)
        mask, position = read.mask.repeat_interleave(n, 0), read.next_position.repeat_interleave(n, 0)
        spread = [name for name in names for _ in range(n)]
        tokens: list[list[int]] = [[] for _ in spread]
        total, running = [0.0] * len(spread), [True] * len(spread)
        for k in range(most_tokens):
            log_p, temperature = torch.log_softmax(logits, -1), heat[bool(places) and k == TOPIC_TOKEN]
            if k < len(places):
                logits = torch.full_like(logits, -torch.inf).index_copy_(1, at := torch.tensor(places[k]), logits[:, at])
            if temperature:
                weights = torch.softmax(logits / temperature, -1)
                chosen = torch.cat([torch.multinomial(weights[i * n : (i + 1) * n], 1, generator=g)
                                    for i, g in enumerate(generators)])
            else:
                chosen = logits.argmax(-1, keepdim=True)
            for i, token in enumerate(chosen[:, 0].tolist()):
                if running[i]:
                    total[i] += float(log_p[i, token]) * (k >= len(places))
                    tokens[i].append(token)
                    running[i] = token != end
            if not any(running):
                break
            mask = torch.cat([mask, mask.new_ones((len(mask), 1))], 1)
            with self._computing(spread) as more:
                out = self.model(input_ids=chosen.to(mask.device), attention_mask=mask, position_ids=position,
                                 past_key_values=cache, use_cache=True, **more)
            logits, position = out.logits[:, -1].float().cpu(), position + 1
        self.tokens_written += sum(map(len, tokens))
        return list(zip(tokens, total, strict=True))

    def _read(self, tokens: list[int], end: int, log_probability: float) -> Written:
        ended = bool(tokens) and tokens[-1] == end
        words = self.base.tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=False)
        return Written(read_text(without_plan(words) if self.plan else words, ended), log_probability, len(tokens))

    def spell(self, text: str) -> str:
        """A text as the model would write it: with its plan, where it plans."""
        return self.plan.spell(text) if self.plan else text


@lru_cache(maxsize=4)
def shared_policy(base: str, load_in_4bit: bool = False) -> Policy:
    """The policy of a base model by name, shared by all residents of this process."""
    from .models import load_base, need

    if multiprocessing.parent_process() is not None:
        need("torch").set_num_threads(1)  # workers share the cores among themselves; threads that wait for each other lose
    return Policy(load_base(base, load_in_4bit=load_in_4bit))
