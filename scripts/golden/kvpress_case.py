"""What kvpress's methods compute in f64 at one layer of a small random model, ragged on purpose (37 tokens, 6 query heads on 2 kv heads).

usage: python scripts/golden/kvpress_case.py      writes test/golden/kvpress-case.json

Needs: pip install kvpress   (0.5.5: transformers < 5.3). `scores` are what a method ranks by, `kept` what it leaves at REMOVED; both from kvpress alone.
"""
import base64
import json
from pathlib import Path

import numpy as np
import torch
from kvpress import (
    AdaKVPress,
    BlockPress,
    CapPress,
    ChunkKVPress,
    ChunkPress,
    CriticalAdaKVPress,
    CriticalKVPress,
    CURPress,
    ExpectedAttentionPress,
    ExpectedAttentionStatsPress,
    KeyDiffPress,
    KeyRerotationPress,
    KnormPress,
    LagKVPress,
    MergingPress,
    NonCausalAttnPress,
    ObservedAttentionPress,
    PyramidKVPress,
    SnapKVPress,
    StreamingLLMPress,
    ThinKPress,
    TOVAPress,
)
from kvpress_probe import kept_slots, run
from transformers import LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).parents[2] / "test" / "golden" / "kvpress-case.json"
T, H, G, D, LAYERS, LAYER = 37, 6, 2, 8, 4, 1
REMOVED, FUTURE, SINKS = 0.5, 16, 4


def expected(**options):
    return ExpectedAttentionPress(n_future_positions=FUTURE, n_sink=SINKS, **options)


SCORERS = {
    "expected-attention": expected(),
    "expected-attention-epsilon": expected(epsilon=0.02),
    "expected-attention-no-value-norm": expected(use_vnorm=False),
    "expected-attention-no-covariance": expected(use_covariance=False),
    "snapkv": SnapKVPress(window_size=6, kernel_size=3),
    "tova": TOVAPress(),
    "observed-attention": ObservedAttentionPress(),
    "knorm": KnormPress(),
    "keydiff": KeyDiffPress(),
    "lagkv": LagKVPress(n_sink=2, lag_size=6),
    "lagkv-cross": LagKVPress(n_sink=2, lag_size=6, cross_scoring=True),
    "lagkv-short": LagKVPress(n_sink=4, lag_size=20),
    "streaming-llm": StreamingLLMPress(n_sink=SINKS),
    "cur": CURPress(local_window_size=8),
    "cap": CapPress(n_future_positions=FUTURE, n_sink=SINKS),
    "non-causal": NonCausalAttnPress(chunk_size=8),
}
CHOOSERS = {
    "ada-expected-attention": AdaKVPress(expected(epsilon=0.01)),
    "ada-snapkv": AdaKVPress(SnapKVPress(window_size=6, kernel_size=3)),
    "critical-expected-attention": CriticalKVPress(expected(use_vnorm=False)),
    "critical-snapkv": CriticalKVPress(SnapKVPress(window_size=6, kernel_size=3)),
    "critical-ada-expected-attention": CriticalAdaKVPress(expected(use_vnorm=False)),
    "chunkkv-knorm": ChunkKVPress(KnormPress(), chunk_length=5),
    "chunk-knorm": ChunkPress(KnormPress(), chunk_length=7),
    "block-knorm": BlockPress(KnormPress(), block_size=8),
}


def packed(tensor):
    return base64.b64encode(np.ascontiguousarray(tensor.detach().double().numpy()).astype("<f8").tobytes()).decode()


def slots(kept):
    return [np.flatnonzero(row).tolist() for row in kept]


def stored_statistics():
    """Made-up statistics of queries before RoPE: (LAYERS, H, D) and (LAYERS, H, D, D)."""
    mean = torch.randn(LAYERS, H, D)
    factor = 0.3 * torch.randn(LAYERS, H, D, D)
    return mean, factor @ factor.transpose(-1, -2)


def main():
    torch.manual_seed(4)
    torch.set_default_dtype(torch.float64)
    config = LlamaConfig(
        vocab_size=64, hidden_size=40, head_dim=D, intermediate_size=64, num_hidden_layers=LAYERS, num_attention_heads=H, num_key_value_heads=G,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, initializer_range=0.25, attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).double().eval()
    ids = torch.randint(0, 64, (T,)).tolist()
    mean, covariance = stored_statistics()
    result = {"dims": {"T": T, "H": H, "G": G, "D": D, "hidden": 40}, "removed": REMOVED, "future": FUTURE, "pyramid": []}

    def ask(module, hidden, keys, values, attentions, kwargs):
        pyramid = PyramidKVPress(compression_ratio=REMOVED, window_size=3, kernel_size=3, beta=4)
        result["pyramid"].append(int(kept_slots(pyramid, module, hidden, keys, values, attentions, kwargs)[0].sum()))
        if module.layer_idx != LAYER:
            return
        tensors = (module, hidden, keys, values, attentions, kwargs)
        result.update(
            queries=packed(module.q_proj(hidden)[0]), keys=packed(keys[0]), values=packed(values[0]), output=packed(module.o_proj.weight),
            storedMean=packed(mean[LAYER]), storedCovariance=packed(covariance[LAYER]), scores={}, kept={},
        )
        stored = ExpectedAttentionStatsPress(n_future_positions=FUTURE, n_sink=SINKS)
        stored.mu, stored.cov = mean, covariance
        for name, press in {**SCORERS, "expected-attention-stored": stored}.items():
            press.compression_ratio = REMOVED
            result["scores"][name] = packed(press.score(module, hidden, keys, values, attentions, kwargs)[0])
            result["kept"][name] = slots(kept_slots(press, *tensors))
        for name, press in CHOOSERS.items():
            press.compression_ratio = REMOVED
            seen = None if name.startswith(("chunk", "block")) else attentions  # these refuse attention matrices
            result["kept"][name] = slots(kept_slots(press, module, hidden, keys, values, seen, kwargs))
        thin, _ = ThinKPress(key_channel_compression_ratio=0.5, window_size=5).compress(module, hidden, keys.clone(), values, attentions, kwargs)
        result["droppedChannels"] = [[i for i in range(D) if bool((thin[0, g, :, i] == 0).all())] for g in range(G)]
        turned, _ = KeyRerotationPress(KnormPress(compression_ratio=REMOVED)).compress(*tensors)
        result["rerotatedKeys"] = packed(turned[0])
        _, merged = MergingPress(KnormPress(compression_ratio=REMOVED)).compress(module, hidden, keys.clone(), values.clone(), attentions, kwargs)
        result["mergedValues"] = packed(merged[0])
        result["mergedOrder"] = torch.topk(-keys[0].norm(dim=-1), int(T * (1 - REMOVED)), dim=-1).indices.tolist()

    run(model, ids, ask)
    OUT.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes; pyramid {result['pyramid']}")


if __name__ == "__main__":
    main()
