"""A GGUF as a Transformers model in f32: weights dequantized by the Python package `gguf`, without any code of the engine."""
import hashlib
from pathlib import Path

import gguf
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OTHER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CLASSES = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}


def transformers_name(name):
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blk."):
        return f"{OTHER_NAMES[stem]}.{kind}"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.{kind}"


def unpermute(rows, heads):
    """From GGUF's order for llama, where RoPE turns rows (2i, 2i + 1) of a head, to Transformers', where it turns (i, i + D/2)."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, half, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def load(path):
    """The model, in f32 and eager attention, and the SHA-256 of its file."""
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()

    def number(key):
        return reader.fields[f"{architecture}.{key}"].contents()

    heads, kv_heads = number("attention.head_count"), number("attention.head_count_kv")
    tensors = {}
    for tensor in reader.tensors:
        values = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        if architecture == "llama" and ".attn_q." in tensor.name:
            values = unpermute(values, heads)
        if architecture == "llama" and ".attn_k." in tensor.name:
            values = unpermute(values, kv_heads)
        tensors[transformers_name(tensor.name)] = values
    make_config, make_model = CLASSES[architecture]
    tied = "lm_head.weight" not in tensors
    config = make_config(
        vocab_size=tensors["model.embed_tokens.weight"].shape[0],
        hidden_size=number("embedding_length"),
        intermediate_size=number("feed_forward_length"),
        num_hidden_layers=number("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=number("context_length"),
        rms_norm_eps=number("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": number("rope.freq_base")},
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    model = make_model(config).float().eval()
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not unexpected and missing == (["lm_head.weight"] if tied else []), (missing, unexpected)
    model.tie_weights()
    return model, hashlib.sha256(Path(path).read_bytes()).hexdigest()
