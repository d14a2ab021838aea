"""Golden logits by Transformers in f32: two texts of 64 and 512 tokens, every position, and 32 greedy tokens after each.

usage: python scripts/golden/logits.py SMOLLM2.gguf     writes test/golden/logits-smollm2.json and logits-tiny.json (layout: test/golden/README.md)

Whole rows would take 100 MB. What is kept of a row catches any error in it: its 16 greatest logits, its log-sum-exp, the true token's logit, and
16 random projections of all of it.
"""
import base64
import json
import sys
from pathlib import Path

import numpy as np
import torch
from gguf_model import load
from tokenizers_of import TINY, plain, smollm2_tokenizer, tiny_tokenizer

OUT = Path(__file__).parents[2] / "test" / "golden"
TEXTS = (("persuasion", 64), ("address-2013", 512))
TOP = 16
PROJECTIONS = 16
GREEDY = 32


def signs(vocabulary):
    """(vocabulary, PROJECTIONS) of +1 and -1: the lowest bit of the PCG hash of token * PROJECTIONS + projection, 1 meaning -1."""
    with np.errstate(over="ignore"):
        state = np.arange(vocabulary * PROJECTIONS, dtype=np.uint32) * np.uint32(747796405) + np.uint32(2891336453)
        word = ((state >> ((state >> np.uint32(28)) + np.uint32(4))) ^ state) * np.uint32(277803737)
    bit = ((word >> np.uint32(22)) ^ word) & np.uint32(1)
    return (1.0 - 2.0 * bit).reshape(vocabulary, PROJECTIONS)


def encode(values, kind="<f4"):
    """Numbers in base64, little-endian."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids])).logits[0].numpy().astype(np.float64)


@torch.no_grad()
def greedy(model, ids):
    """The next GREEDY tokens, never stopping, and by how much each beats the second best."""
    made, margins, cache, feed = [], [], None, list(ids)
    for _ in range(GREEDY):
        out = model(torch.tensor([feed]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        best = out.logits[0, -1].topk(2)
        feed = [best.indices[0].item()]
        made += feed
        margins.append((best.values[0] - best.values[1]).item())
    return made, margins


def case(model, name, ids, rows):
    """Everything kept of one text; `ids` has one token more than is fed."""
    feed, following = ids[:-1], np.array(ids[1:])
    logits = logits_of(model, feed)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
    top = np.take_along_axis(logits, order, 1)
    greatest = logits.max(1, keepdims=True)
    made, margins = greedy(model, feed)
    kept = {
        "name": name,
        "ids": feed,
        "next": following.tolist(),
        "topIds": encode(order, "<u4"),
        "topLogits": encode(top),
        "logSumExp": encode(greatest[:, 0] + np.log(np.exp(logits - greatest).sum(1))),
        "nextLogits": encode(logits[np.arange(len(feed)), following]),
        "projections": encode(logits @ signs(logits.shape[1]) / np.sqrt(logits.shape[1])),
        "greedyIds": made,
        "greedyMargins": [round(margin, 5) for margin in margins],
        "rowPositions": rows,
        "rows": encode(logits[rows]),
    }
    return kept, logits


def write(name, path, tokenizer, prefix, whole_rows):
    """One golden file. `prefix`: the ids a text begins with."""
    model, sha256 = load(path)
    cases = []
    for text, length in TEXTS:
        ids = prefix + plain(tokenizer, (OUT / "texts" / f"{text}.txt").read_text(encoding="utf8").strip())
        assert len(ids) > length, f"{text} has only {len(ids)} tokens"
        rows = [0, length // 3, length // 2, length - 1] if whole_rows else []
        kept, logits = case(model, text, ids[: length + 1], rows)
        exact = logits_of(model.double(), kept["ids"])
        model.float()
        loss = np.mean(np.frombuffer(base64.b64decode(kept["logSumExp"]), "<f4") - np.frombuffer(base64.b64decode(kept["nextLogits"]), "<f4"))
        print(f"{name} {text}: loss {loss:.3f}, f32 differs from f64 by at most {np.abs(logits - exact).max():.2e}, smallest greedy margin {min(kept['greedyMargins'])}")
        print(f"  ...{tokenizer.decode(kept['ids'][-12:])} || {tokenizer.decode(kept['greedyIds'])}")
        cases.append(kept)
    golden = {"model": name, "sha256": sha256, "vocabulary": logits.shape[1], "top": TOP, "projections": PROJECTIONS, "texts": cases}
    out = OUT / f"logits-{name}.json"
    out.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    torch.set_num_threads(2)
    write("tiny", TINY / "tiny-q8_0.gguf", tiny_tokenizer(), [0], whole_rows=True)
    write("smollm2", sys.argv[1], smollm2_tokenizer(sys.argv[1]), [], whole_rows=False)
