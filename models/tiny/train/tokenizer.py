"""Trains the 3,072-entry byte-level BPE on corpus.json and synthetic facts, and writes tokenizer.json and tokens.json.

The split is Llama 3's: digits in groups of up to three. The same texts give the same tokenizer.
"""
import json
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from words import ADJECTIVES, COLOURS, NOUNS

SPECIAL = ["<|bos|>", "<|user|>", "<|assistant|>", "<|end|>"]
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def synthetic(r):
    """Facts and questions, so that their words and all groups of digits become tokens."""

    def name():
        return f"{r.choice(ADJECTIVES)} {r.choice(NOUNS)}"

    for _ in range(120000):
        fact = f"The pass key for the {name()} is {r.randint(10000, 999999)}."
        yield f"{fact} {r.randint(0, 999):03d} {r.randint(0, 99):02d} {r.randint(0, 999):03d}"
    for _ in range(6000):
        thing = name()
        facts = f"The pass word for the {thing} is {r.choice(NOUNS)}. The colour of the {thing} is {r.choice(COLOURS)}."
        yield f"{facts} What is the pass key for the {thing}? What is the colour of the {thing}? Question Answer"


def train(texts):
    """The tokenizer learned from these texts and the synthetic sentences."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    lines = [paragraph + "\n" for _, text in texts for paragraph in text]
    lines += [sentence + "\n" for sentence in synthetic(random.Random(0))]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=3072, special_tokens=SPECIAL, initial_alphabet=alphabet))
    return tokenizer


if __name__ == "__main__":
    with open("corpus.json") as file:
        corpus = json.load(file)
    learned = train(corpus["train"])
    learned.save("tokenizer.json")
    tokens = {part: [learned.encode("\n".join(text) + "\n", add_special_tokens=False).ids for _, text in corpus[part]] for part in ("train", "held")}
    with open("tokens.json", "w") as file:
        json.dump(tokens, file)
