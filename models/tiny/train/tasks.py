"""Training samples. Every task returns (token ids, loss weight of each token).

A lookup is a conversation: <|bos|><|user|> text with facts in it, then a question <|assistant|> answer <|end|> <|user|> question <|assistant|> ...
"""
import functools
import json
import random
import re
from typing import NamedTuple

from words import ADJECTIVES, COLOURS, NOUNS

BOS, USER, ASSISTANT, END = range(4)
FIRST_WORD = 300  # ids below are special tokens and single bytes
VOCAB = 3072


class Fact(NamedTuple):
    kind: str  # "key" or "colour"
    name: str
    value: str

    def statement(self):
        return f"The pass key for the {self.name} is {self.value}." if self.kind == "key" else f"The colour of the {self.name} is {self.value}."

    def question(self):
        return f"What is the pass key for the {self.name}?" if self.kind == "key" else f"What is the colour of the {self.name}?"


def facts(r, count):
    """Facts about different names; three quarters are six-digit keys, the others colours."""
    made = {}
    while len(made) < count:
        kind = "key" if r.random() < 0.75 else "colour"
        name = f"{r.choice(ADJECTIVES)} {r.choice(NOUNS)}"
        value = str(r.randint(100000, 999999)) if kind == "key" else r.choice(COLOURS)
        made.setdefault(name, Fact(kind, name, value))
    return list(made.values())


def sentences(paragraphs):
    """A text's sentences of a middling length."""
    parts = (part for paragraph in paragraphs for part in re.split(r"(?<=[.!?;])\s+", paragraph))
    return [part for part in parts if 15 < len(part) < 260]


class Sample:
    """Ids and their loss weights, built from left to right."""

    def __init__(self):
        self.ids = []
        self.weights = []

    def add(self, ids, weight):
        self.ids += ids
        self.weights += [weight] * len(ids)

    def pair(self, length=None):
        return self.ids[:length], self.weights[:length]


def copies(r, length):
    """Random segments said two or three times: teaches copying."""
    size = r.randint(6, 30)
    sample = Sample()
    sample.add([BOS], 0.0)
    while len(sample.ids) < length:
        segment = [r.randrange(FIRST_WORD, VOCAB) for _ in range(size)]
        for turn in range(r.randint(2, 3)):
            sample.add(segment, 0.0 if turn == 0 else 1.0)
    return sample.pair(length)


class Tasks:
    """The tasks that need a tokenizer and texts. `tokens` (whole texts as ids) is needed for prose only."""

    def __init__(self, tokenizer, corpus, tokens=None):
        self.tokenizer = tokenizer
        self.tokens = tokens
        self.sentences = {}  # of texts with more than 50 of them
        for part in corpus:
            lists = [sentences(text) for _, text in corpus[part]]
            self.sentences[part] = [lines for lines in lists if len(lines) > 50]
        self.encode_cached = functools.lru_cache(200000)(self.encode)

    @staticmethod
    def load():
        """The tasks on the files that corpus.py and tokenizer.py left in the working directory."""
        from tokenizers import Tokenizer

        with open("corpus.json") as corpus, open("tokens.json") as tokens:
            return Tasks(Tokenizer.from_file("tokenizer.json"), json.load(corpus), json.load(tokens))

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def prose(self, r, length):
        """A stretch of some text, longer texts more often."""
        text = r.choices(self.tokens["train"], [len(t) for t in self.tokens["train"]])[0]
        at = r.randrange(max(1, len(text) - length + 1))
        ids = [BOS] + text[at : at + length - 1]
        return ids, [1.0] * len(ids)

    def random_facts(self, r, length, most=6):
        """Facts whose names and values are random tokens: the lookup itself, without the ambiguity of digits."""

        def words(count):
            return [r.randrange(FIRST_WORD, VOCAB) for _ in range(count)]

        known = [(words(2), words(r.randint(1, 4))) for _ in range(r.randint(1, most))]
        key, of, dot = self.encode("The pass key for the"), self.encode(" is "), self.encode(".")
        sample = Sample()
        sample.add([BOS, USER], 0.0)
        for turn, (name, value) in enumerate(known):
            sample.add((self.encode(" The pass key for the") if turn else key) + name + of + value + dot, 0.0)
        first = True
        while True:
            name, value = r.choice(known)
            asked = ([] if first else [USER]) + self.encode("What is the pass key for the") + name + self.encode("?") + [ASSISTANT]
            lead = key + name + of
            if len(sample.ids) + len(asked) + len(lead) + len(value) + 2 > length and not first:
                return sample.pair()
            first = False
            sample.add(asked, 0.05)
            sample.add(lead, 0.2)
            sample.add(value, 2.0)
            sample.add(dot + [END], 0.2)

    def bare_facts(self, r, length, most=6):
        """Real facts, nothing between them."""
        known = facts(r, r.randint(1, most))
        sample = Sample()
        sample.add([BOS], 0.0)
        sample.add([USER], 0.2)
        for turn, fact in enumerate(known):
            sample.add(self.encode((" " if turn else "") + fact.statement()), 0.2)
        first = True
        while True:
            fact = r.choice(known)
            asked = ([] if first else [USER]) + self.ask(fact)
            answer = self.answer(fact)
            if len(sample.ids) + len(asked) + len(answer) > length and not first:
                return sample.pair()
            first = False
            sample.add(asked, 0.2)
            sample.add(answer[:-8], 0.3)
            sample.add(answer[-8:], 2.0)

    def ask(self, fact):
        """The ids of a question, up to where the answer begins."""
        return self.encode(fact.question()) + [ASSISTANT]

    def answer(self, fact):
        return self.encode(fact.statement()) + [END]

    def hide(self, r, lines, known, room):
        """Pieces [(ids, is a fact)] of at most `room` tokens: sentences from a random place on, the facts at random places among them."""
        hidden = [self.encode(" " + fact.statement()) for fact in known]
        room -= sum(map(len, hidden))
        if room < 8:
            return None
        at = r.randrange(len(lines))
        body = []
        used = 0
        while True:
            ids = self.encode_cached((" " if body else "") + lines[at % len(lines)])
            at += 1
            if used + len(ids) > room:
                break
            body.append(ids)
            used += len(ids)
        places = sorted(r.choices(range(len(body) + 1), k=len(hidden)))
        r.shuffle(hidden)
        pieces = []
        for place in range(len(body) + 1):
            while places and places[0] == place:
                places.pop(0)
                pieces.append((hidden.pop(), True))
            if place < len(body):
                pieces.append((body[place], False))
        return pieces

    def text(self, r, part):
        """The sentences of one text, longer texts more often."""
        return r.choices(self.sentences[part], [len(lines) for lines in self.sentences[part]])[0]

    def document(self, r, length, part="train", count=None):
        """Sentences of one text with facts hidden among them, then questions. None where the length leaves no room."""
        lines = self.text(r, part)
        known = facts(r, count or r.choice([1, 2, 3, 4, 6, 8]))
        asked = r.sample(known, min(len(known), r.choice([1, 1, 2, 3, 4])))
        tail = Sample()
        for turn, fact in enumerate(asked):
            answer = self.answer(fact)
            value = len(self.encode(f" {fact.value}.")) + 1
            tail.add(([USER] if turn else []) + self.ask(fact), 0.2)  # the first question belongs to the turn that brings the document
            tail.add(answer[:-value], 0.3)
            tail.add(answer[-value:], 3.0)
        pieces = self.hide(r, lines, known, length - 4 - len(tail.ids))
        if pieces is None:
            return None
        sample = Sample()
        sample.add([BOS], 0.0)
        sample.add([USER], 0.3)
        for ids, is_fact in pieces:
            sample.add(ids, 0.3 if is_fact else 0.5)
        return sample.ids + tail.ids, sample.weights + tail.weights
