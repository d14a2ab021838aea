"""Contexts for measuring the drift of a compressed cache on SmolLM2: 1,024 tokens of prompt, then 192 tokens to force.

usage: python scripts/golden/smollm2-contexts.py SMOLLM2.gguf CORPUS.json      writes test/golden/smollm2-contexts.json

"prose": a text that goes on. "qa": a text with four pass keys hidden in its first 1,024 tokens; the questions and answers follow, around and
around until the tokens are full, so that every fact is asked for after compression. Raw text without a chat template.
"""
import json
import random
import sys
from pathlib import Path

import numpy as np
import torch
from gguf_model import load
from tokenizers_of import TINY, plain, smollm2_tokenizer

sys.path.insert(0, str(TINY / "train"))
from tasks import Fact, sentences  # noqa: E402
from words import ADJECTIVES, NOUNS  # noqa: E402

OUT = Path(__file__).parents[2] / "test" / "golden" / "smollm2-contexts.json"
FROM = 1024
FORCED = 192
KEYS = 4


def prose(tokenizer, paragraphs):
    """The first FROM + FORCED tokens of a text."""
    ids = plain(tokenizer, " ".join(paragraphs)[:20000])
    return ids[: FROM + FORCED]


def pass_keys(r, count):
    """Pass keys of six digits for different names."""
    names = r.sample([f"{adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS], count)
    return [Fact("key", name, str(r.randint(100000, 999999))) for name in names]


def lookups(tokenizer, paragraphs, r):
    """A text with keys hidden one in each quarter, exactly FROM tokens long, then the questions with their answers."""
    known = pass_keys(r, KEYS)
    said = [plain(tokenizer, " " + fact.statement()) for fact in known]
    body = [plain(tokenizer, (" " if i else "") + line) for i, line in enumerate(sentences(paragraphs))]
    room = FROM - sum(map(len, said))
    places = [round(room * (turn + r.random()) / KEYS) for turn in range(KEYS)]
    ids, used, turn = [], 0, 0
    for line in body:
        if turn < KEYS and used >= places[turn]:
            ids += said[turn]
            turn += 1
        ids += line[: room - used]
        used += len(line[: room - used])
        if used == room:
            break
    for rest in said[turn:]:  # a place in the last sentence
        ids += rest
    assert len(ids) == FROM
    asked = []
    while len(asked) < FORCED:
        for fact in r.sample(known, KEYS):
            asked += plain(tokenizer, f"\n\nQuestion: {fact.question()}\nAnswer: {fact.statement()}")
    return ids + asked[:FORCED]


@torch.no_grad()
def losses(model, ids):
    """Nats of every forced token under the full cache."""
    logits = model(torch.tensor([ids]), logits_to_keep=FORCED + 1).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[FROM:]), reduction="none").numpy()


if __name__ == "__main__":
    torch.set_num_threads(2)
    tokenizer = smollm2_tokenizer(sys.argv[1])
    held = json.loads(Path(sys.argv[2]).read_text())["held"]
    novel = held[0][1]
    addresses = [text for source, text in held if source == "sotu"]
    r = random.Random(1024)
    made = [
        ("persuasion", "prose", prose(tokenizer, novel[novel.index("Chapter 4") + 1 :])),
        ("address-2009", "prose", prose(tokenizer, addresses[9])),
        ("persuasion-keys", "qa", lookups(tokenizer, novel[novel.index("Chapter 10") + 1 :], r)),
        ("address-2015-keys", "qa", lookups(tokenizer, addresses[15], r)),
    ]
    contexts = [{"name": name, "kind": kind, "from": FROM, "ids": ids} for name, kind, ids in made]
    OUT.write_text("[\n" + ",\n".join(json.dumps(context, separators=(",", ":")) for context in contexts) + "\n]\n")
    model, _ = load(sys.argv[1])
    for context in contexts:
        assert len(context["ids"]) == FROM + FORCED
        nats = losses(model, context["ids"])
        start = tokenizer.decode(context["ids"][FROM - 12 : FROM + 30])
        print(f"{context['name']}: loss of the forced tokens {nats.mean():.3f} (median {np.median(nats):.4f}): ...{start!r}")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")
