"""Converts the folder that train/export.py writes into one GGUF: matrices in Q8_0, norms and biases in F32, tokenizer and chat template inside.

usage: python models/tiny/convert.py FOLDER [OUT.gguf]
  FOLDER    holds model.safetensors, config.json, tokenizer.json, tokenizer_config.json
  OUT.gguf  default: tiny-q8_0.gguf beside this script

Needs: pip install gguf numpy safetensors. The result is the same, byte for byte, every time.
"""
import hashlib
import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

QUANTIZED = gguf.GGMLQuantizationType.Q8_0
NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    """The GGUF name of a tensor: model.layers.0.self_attn.q_proj.bias -> blk.0.attn_q.bias."""
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("model.layers."):
        return f"{NAMES[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def add_architecture(writer, config):
    """The numbers a loader needs. No RoPE permutation: qwen2 pairs channels (i, i + D/2), as Transformers does."""
    writer.add_name("Lacuna tiny")
    writer.add_description("2.2M parameters trained on public-domain text and synthetic lookups; looks facts up, is no assistant")
    writer.add_license("MIT")
    writer.add_size_label("2M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def add_tokenizer(writer, folder, config):
    """Tokens, merges, special tokens and the chat template. The split is GGUF's `llama-bpe`: digits in groups of up to three."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf8"))
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf8"))
    vocab = tokenizer["model"]["vocab"]
    special = {token["id"] for token in tokenizer["added_tokens"] if token["special"]}
    tokens = sorted(vocab, key=vocab.get)
    assert [vocab[token] for token in tokens] == list(range(config["vocab_size"])), "token ids are not 0 to vocab_size - 1"
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(len(tokens))])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)  # the chat template writes <|bos|> itself
    writer.add_chat_template(settings["chat_template"])


def add_tensors(writer, tensors):
    """Matrices in Q8_0, vectors in F32. The output head is the embedding (tied): there is no output.weight."""
    for name, tensor in tensors.items():
        values = tensor.astype(np.float32)
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values)
        else:
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, QUANTIZED), raw_dtype=QUANTIZED)


def convert(folder, out):
    """Writes the GGUF and says how large it is and what its hash is."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(out, "qwen2")
    add_architecture(writer, config)
    add_tokenizer(writer, folder, config)
    add_tensors(writer, load_file(folder / "model.safetensors"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = out.read_bytes()
    print(f"{out.name}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "tiny-q8_0.gguf")
