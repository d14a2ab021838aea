"""Which slots kvpress's methods keep of SmolLM2's cache: two texts of about 512 tokens, every layer and kv head, two ratios.

usage: python scripts/golden/kvpress_keep.py SMOLLM2.gguf      writes test/golden/kvpress-keep.json

Needs: pip install kvpress gguf   (kvpress 0.5.5 wants transformers < 5.3; a virtual environment of its own keeps the other scripts' version)
The methods' options are in METHODS, as kvpress calls them, and in the file, as Lacuna does. Everything in f32; the cache stays whole, so every layer sees exact inputs.
"""
import base64
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import transformers
from gguf_model import load
from kvpress import (
    AdaKVPress,
    CriticalAdaKVPress,
    CriticalKVPress,
    ExpectedAttentionPress,
    KeyDiffPress,
    KnormPress,
    LagKVPress,
    ObservedAttentionPress,
    PyramidKVPress,
    SnapKVPress,
    StreamingLLMPress,
    TOVAPress,
)
from kvpress_probe import kept_slots, run

GOLDEN = Path(__file__).parents[2] / "test" / "golden"
TEXTS = [("persuasion", 512), ("address-2015-keys", 503)]  # of smollm2-contexts.json, and how many of their tokens
REMOVED = [0.5, 0.75]


def expected(**options):
    return ExpectedAttentionPress(n_future_positions=512, n_sink=4, **options)


METHODS = {
    "expected-attention": (lambda: expected(epsilon=1e-2), {"score": "expected-attention", "epsilon": 0.01, "budget": "uniform", "sinks": 4}),
    "expected-attention-ada": (lambda: AdaKVPress(expected(epsilon=1e-2)), {"score": "expected-attention", "epsilon": 0.01, "budget": "ada", "sinks": 4}),
    "expected-attention-bare": (
        lambda: expected(use_vnorm=False, use_covariance=False),
        {"score": "expected-attention", "valueNorm": False, "covariance": False, "budget": "uniform", "sinks": 4},
    ),
    "expected-attention-no-value-norm": (
        lambda: expected(use_vnorm=False),
        {"score": "expected-attention", "valueNorm": False, "budget": "uniform", "sinks": 4},
    ),
    "snapkv": (lambda: SnapKVPress(window_size=64, kernel_size=5), {"score": "snapkv", "window": 64, "pool": "mean", "kernel": 5, "budget": "uniform"}),
    "snapkv-ada": (lambda: AdaKVPress(SnapKVPress(window_size=32, kernel_size=5)), {"score": "snapkv", "window": 32, "pool": "mean", "kernel": 5, "budget": "ada"}),
    "pyramidkv": (
        lambda: PyramidKVPress(window_size=6, kernel_size=5, beta=20),
        {"score": "snapkv", "window": 6, "pool": "mean", "kernel": 5, "budget": "pyramid", "beta": 20},
    ),
    "tova": (TOVAPress, {"score": "tova", "budget": "uniform"}),
    "observed-attention": (ObservedAttentionPress, {"score": "h2o", "exposed": True, "budget": "uniform"}),
    "observed-attention-ada": (lambda: AdaKVPress(ObservedAttentionPress()), {"score": "h2o", "exposed": True, "budget": "ada"}),
    "critical": (
        lambda: CriticalKVPress(expected(use_vnorm=False)),
        {"score": "critical", "base": "expected-attention", "norm": "L1", "budget": "uniform", "sinks": 4},
    ),
    "critical-ada": (
        lambda: CriticalAdaKVPress(expected(use_vnorm=False)),
        {"score": "critical", "base": "expected-attention", "norm": "L1", "budget": "ada", "sinks": 4},
    ),
    "critical-snapkv": (
        lambda: CriticalKVPress(SnapKVPress(window_size=32, kernel_size=5)),
        {"score": "critical", "base": "snapkv", "window": 32, "pool": "mean", "kernel": 5, "norm": "L1", "budget": "uniform"},
    ),
    "knorm": (KnormPress, {"score": "knorm", "budget": "uniform"}),
    "keydiff": (KeyDiffPress, {"score": "keydiff", "budget": "uniform"}),
    "keydiff-ada": (lambda: AdaKVPress(KeyDiffPress()), {"score": "keydiff", "budget": "ada"}),
    # With 56 tokens a partition, every partition of both texts keeps the same number at both ratios: no tie between equal ranks has to be broken.
    "lagkv": (lambda: LagKVPress(n_sink=4, lag_size=56), {"score": "lagkv", "lag": 56, "budget": "uniform", "sinks": 4}),
    "streaming-llm": (lambda: StreamingLLMPress(n_sink=4), {"score": "streaming-llm", "budget": "uniform", "sinks": 4}),
}


def asked(model, ids):
    """{(method, removed): (L, G, n) of bool}."""
    layers = {}

    def ask(module, *tensors):
        for name, (make, _) in METHODS.items():
            for removed in REMOVED:
                press = make()
                press.post_init_from_model(model)
                press.compression_ratio = removed
                layers.setdefault((name, removed), []).append(kept_slots(press, module, *tensors))

    run(model, ids, ask)
    return {key: np.stack(kept) for key, kept in layers.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    model, sha256 = load(sys.argv[1])
    contexts = {context["name"]: context["ids"] for context in json.loads((GOLDEN / "smollm2-contexts.json").read_text())}
    texts = [(name, contexts[name][:length]) for name, length in TEXTS]
    results = [asked(model, ids) for _, ids in texts]
    methods = []
    for name, (_, options) in METHODS.items():
        bits = [[base64.b64encode(np.packbits(found[name, removed], bitorder="little")).decode() for removed in REMOVED] for found in results]
        methods.append({"name": name, "options": options, "kept": bits})
    head = {
        "sha256": sha256,
        "versions": {"kvpress": version("kvpress"), "transformers": transformers.__version__},
        "layers": model.config.num_hidden_layers,
        "heads": model.config.num_key_value_heads,
        "removed": REMOVED,
        "texts": [{"name": name, "ids": ids} for name, ids in texts],
    }
    rows = ",\n".join(json.dumps(method, separators=(",", ":")) for method in methods)
    out = GOLDEN / "kvpress-keep.json"
    out.write_text(json.dumps(head, separators=(",", ":"))[:-1] + ',"methods":[\n' + rows + "\n]}\n")
    for name in METHODS:
        print(name, [[int(found[name, removed].sum()) for removed in REMOVED] for found in results])
    print(f"{out.name}: {out.stat().st_size} bytes")
