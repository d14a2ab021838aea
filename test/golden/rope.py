"""RoPE scalings by transformers: per pair, the unscaled frequency over the scaled one, and the attention factor.

    pip install torch transformers
    python test/golden/rope.py > test/golden/rope.json
"""

import json

import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HEAD = 32
CASES = [
    {"context": 8192, "theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 1024},
    {"context": 8192, "theta": 10000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048},
    {"context": 8192, "theta": 1000000.0, "rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 4096, "beta_fast": 16.0, "beta_slow": 2.0},
    {"context": 8192, "theta": 10000.0, "rope_type": "longrope", "original_max_position_embeddings": 1024, "long_factor": [1 + i / 2 for i in range(HEAD // 2)], "short_factor": [1.0] * (HEAD // 2)},
    {"context": 8192, "theta": 10000.0, "rope_type": "linear", "factor": 4.0},
]


def main() -> None:
    results = []
    for case in CASES:
        parameters = {name: value for name, value in case.items() if name not in ("context", "theta")}
        config = LlamaConfig(
            hidden_size=2 * HEAD,
            num_attention_heads=2,
            max_position_embeddings=case["context"],
            rope_parameters={"rope_theta": case["theta"], **parameters},
        )
        scaled, magnitude = ROPE_INIT_FUNCTIONS[case["rope_type"]](config, "cpu", seq_len=case["context"])
        plain = case["theta"] ** (-torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
        results.append({**case, "divisors": (plain / scaled.double()).tolist(), "magnitude": magnitude})
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
