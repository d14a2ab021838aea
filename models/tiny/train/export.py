"""Writes a checkpoint in Hugging Face's layout, for Qwen2ForCausalLM: config.json, model.safetensors (f16) and the tokenizer's files.

usage: python export.py tiny.pt tokenizer.json OUT_DIR
"""
import json
import shutil
import sys
from pathlib import Path

import model
import torch
from safetensors.torch import save_file

NAMES = {
    "n1": "input_layernorm",
    "n2": "post_attention_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "g": "mlp.gate_proj",
    "u": "mlp.up_proj",
    "d": "mlp.down_proj",
}
CHAT = (
    "{{ '<|bos|>' }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|assistant|>' + m['content'] + '<|end|>' }}"
    "{% else %}{{ '<|user|>' + m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": model.VOCAB,
    "hidden_size": model.WIDTH,
    "intermediate_size": model.FFN,
    "num_hidden_layers": model.LAYERS,
    "num_attention_heads": model.HEADS,
    "num_key_value_heads": model.KV_HEADS,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": model.EPS,
    "rope_theta": model.THETA,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "bos_token_id": 0,
    "eos_token_id": 3,
    "torch_dtype": "float16",
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|bos|>",
    "eos_token": "<|end|>",
    "model_max_length": 2048,
    "chat_template": CHAT,
}


def rename(name):
    """The name Transformers has for a tensor: b.0.q.bias -> model.layers.0.self_attn.q_proj.bias, b.0.n1.w -> model.layers.0.input_layernorm.weight."""
    if name == "e.weight":
        return "model.embed_tokens.weight"
    if name == "n.w":
        return "model.norm.weight"
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.{'weight' if kind == 'w' else kind}"


def export(checkpoint, tokenizer, out):
    tensors = {rename(name): value.half().contiguous() for name, value in torch.load(checkpoint).items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(CONFIG, indent=1))
    (out / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG, indent=1))
    shutil.copy(tokenizer, out / "tokenizer.json")


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
