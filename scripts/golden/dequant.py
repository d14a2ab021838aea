"""Golden blocks: raw bytes of every tensor type the engine reads, and what the Python package `gguf` makes of them.

usage: python scripts/golden/dequant.py        writes test/golden/dequant.json

Blocks of random bytes reach every code and every packed scale; their f16 scales are then set to finite values, from subnormal to large. The
formats that `gguf` can quantize also get four rows of plausible weights, so the file holds 8 to 12 rows of 512 values a type.
"""
import base64
import json
from pathlib import Path

import gguf
import numpy as np

OUT = Path(__file__).parents[2] / "test" / "golden" / "dequant.json"
COLUMNS = 512
# Byte offsets of the f16 numbers in a block. Everything else in a block may take any value.
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
# Ordinary, zero, negative zero, the smallest subnormal, the largest subnormal, the smallest normal, large.
EXTREMES = np.array([0.01, -0.02, 0.0, -0.0, 2**-24, 1023 * 2**-24, 2**-14, -300.0], np.float16)


def random_blocks(r, name, rows):
    """Rows of random, valid blocks; the first eight blocks have the extreme scales, the others scales near 0.01."""
    kind = gguf.GGMLQuantizationType[name]
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = r.integers(0, 256, (rows, COLUMNS // values, size), dtype=np.uint8)
    for turn, offset in enumerate(SCALES[name]):
        scales = r.normal(0, 0.01, blocks.shape[:2]).astype(np.float16)
        scales.flat[: len(EXTREMES)] = np.roll(EXTREMES, 3 * turn)
        blocks[:, :, offset : offset + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def plain_rows(r, name, rows):
    """Rows of F32, F16 or BF16 numbers: normal ones, and in row 0 the smallest and largest that the type can tell apart."""
    values = r.normal(0, 1, (rows, COLUMNS)).astype(np.float32)
    values[0, :8] = [0.0, -0.0, 2**-24, -(2**-14), 65504.0, -65504.0, 1.0, -1.0]
    return gguf.quants.quantize(values, gguf.GGMLQuantizationType[name]).view(np.uint8).reshape(rows, -1)


def weights(r, name, rows):
    """Rows of weights as a model has them, one of them with an outlier, quantized by `gguf`."""
    values = r.normal(0, 0.05, (rows, COLUMNS)).astype(np.float32)
    values[0, 77] = 4.0
    return gguf.quants.quantize(values, gguf.GGMLQuantizationType[name])


def encode(array):
    """An array's bytes in base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def case(name):
    """One type: its bytes, row after row, and the values they stand for."""
    r = np.random.default_rng(sum(name.encode()))
    if name in ("F32", "F16", "BF16"):
        data = plain_rows(r, name, 8)
    else:
        data = random_blocks(r, name, 8)
        try:
            data = np.concatenate([data, weights(r, name, 4)])
        except NotImplementedError:  # `gguf` only reads K-quants
            pass
    values = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name]).astype("<f4")
    assert values.shape == (len(data), COLUMNS) and np.isfinite(values).all()
    return {"type": name, "rows": len(data), "columns": COLUMNS, "bytes": encode(data), "values": encode(values)}


if __name__ == "__main__":
    cases = [case(name) for name in ("F32", "F16", "BF16", *SCALES)]
    OUT.write_text(json.dumps(cases, indent=0) + "\n")
    for made in cases:
        print(made["type"], made["rows"], "rows")
    print(OUT.name, OUT.stat().st_size, "bytes")
