"""Evaluation documents for the tiny model: held-out sentences with six facts hidden among them, made as the training's documents are.

usage: python scripts/golden/tiny-documents.py CORPUS.json      writes test/golden/tiny-documents.json

Also asks the model itself, with the full cache in f32, and prints how often the answer is right.
"""
import json
import random
import sys
from pathlib import Path

import torch
from gguf_model import load
from tokenizers_of import TINY

sys.path.insert(0, str(TINY / "train"))
from tasks import BOS, USER, Tasks, facts  # noqa: E402  (the training's own tasks)
from tokenizers import Tokenizer  # noqa: E402

OUT = Path(__file__).parents[2] / "test" / "golden" / "tiny-documents.json"
DOCUMENTS = 60
LENGTH = 1024  # of a document, its longest question and the answer to it
FACTS = 6


def document(tasks, r):
    """One document: the prompt's ids, every fact's question and answer, and which one is asked."""
    lines = tasks.text(r, "held")
    known = facts(r, FACTS)
    questions = [{"question": tasks.ask(fact), "answer": tasks.answer(fact), "value": fact.value} for fact in known]
    longest = max(len(asked["question"]) + len(asked["answer"]) for asked in questions)
    pieces = tasks.hide(r, lines, known, LENGTH - 2 - longest)
    return {"prompt": [BOS, USER] + [token for ids, _ in pieces for token in ids], "facts": questions, "asked": r.randrange(FACTS)}


@torch.no_grad()
def answers(model, prompt, fact):
    """Whether the model's greedy answer is exactly the fact's: each of its tokens must be the best guess after those before it."""
    ids = torch.tensor([prompt + fact["question"] + fact["answer"]])
    said = model(ids, logits_to_keep=len(fact["answer"]) + 1).logits[0, :-1].argmax(-1)
    return said.tolist() == fact["answer"]


if __name__ == "__main__":
    torch.set_num_threads(2)
    corpus = json.loads(Path(sys.argv[1]).read_text())
    made_of = Tasks(Tokenizer.from_file(str(TINY / "tokenizer.json")), {"held": corpus["held"]})
    seeded = random.Random(2024)
    documents = [document(made_of, seeded) for _ in range(DOCUMENTS)]
    OUT.write_text("[\n" + ",\n".join(json.dumps(made, separators=(",", ":")) for made in documents) + "\n]\n")
    net, _ = load(TINY / "tiny-q8_0.gguf")
    right = [answers(net, made["prompt"], made["facts"][made["asked"]]) for made in documents]
    lengths = [len(made["prompt"]) for made in documents]
    print(f"prompts of {min(lengths)} to {max(lengths)} tokens, {OUT.stat().st_size} bytes")
    print(f"the asked fact: first 30 documents {sum(right[:30])}/30, all {sum(right)}/{len(right)}")
    print("right, document by document:", "".join(str(int(x)) for x in right))
