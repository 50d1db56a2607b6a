from dataclasses import dataclass
from typing import Any


@dataclass
class Base:
    model: Any
    tokenizer: Any
    name: str = ""
def render(base, messages, prefix=""):
    return base.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True) + prefix
def load_base(name):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.set_num_threads(2)
    folder={"embedded":"/tmp/p5/hf_base","embedded-amortised":"/tmp/p5/hf_amort"}.get(name,name)
    return Base(AutoModelForCausalLM.from_pretrained(folder),AutoTokenizer.from_pretrained(folder),name)
