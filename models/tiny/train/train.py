"""Trains the tiny model on a CPU and writes tiny.pt. usage: python train.py MINUTES [CHECKPOINT]

Four stages, because lookups are learned in a jump or not at all: copying -> facts of random tokens -> real facts -> prose and documents with
questions, at 256, 512, 1,024, then 2,048 tokens. Stages 0 to 2 end when their task is solved. Matrices learn by Muon, the rest by AdamW.
"""
import random
import sys
import time

import torch
import torch.nn.functional as F
from model import VOCAB, Tiny
from tasks import ASSISTANT, BOS, END, FIRST_WORD, Tasks, copies

RATE = 3e-3
MUON_RATE = 0.02
MUON_MOMENTUM = 0.95
LENGTHS = ((0, 256), (0.25, 512), (0.5, 1024), (0.82, 2048))  # share of the last stage's time from which a length holds


def orthogonal(g, steps=5):
    """Muon's Newton-Schulz iteration: g with its singular values pushed towards 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    tall = x.size(0) > x.size(1)
    if tall:
        x = x.T
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


class Optimizer:
    """Muon for the matrices, AdamW for embedding, norms and biases."""

    def __init__(self, net):
        named = list(net.named_parameters())
        self.matrices = [p for name, p in named if p.dim() == 2 and not name.startswith("e.")]
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        rest = [p for name, p in named if p.dim() != 2 or name.startswith("e.")]
        self.adam = torch.optim.AdamW(rest, lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)

    @torch.no_grad()
    def step(self, pace):
        """One step at `pace` (0 to 1) times the learning rates."""
        for group in self.adam.param_groups:
            group["lr"] = RATE * pace
        self.adam.step()
        for p, m in zip(self.matrices, self.momentum):
            m.mul_(MUON_MOMENTUM).add_(p.grad)
            shape = max(1, p.size(0) / p.size(1)) ** 0.5
            p.add_(orthogonal(p.grad + MUON_MOMENTUM * m), alpha=-MUON_RATE * pace * shape)


def sample(tasks, r, stage, length):
    """One sample of the stage's mixture: (ids, weights), mostly of `length` tokens."""
    u = r.random()
    if stage == 0:
        return copies(r, length) if u < 0.5 else tasks.bare_facts(r, 128, 2)
    if stage < 3:
        copied, random_too = (0.15, 0.6) if stage == 1 else (0.05, 0.25)
        if u < copied:
            return copies(r, length)
        return tasks.random_facts(r, 128) if u < random_too else tasks.bare_facts(r, 128)
    if u < 0.45 or length < 90:
        return tasks.prose(r, length)
    if u < 0.47:
        return copies(r, min(length, 256))
    if u < 0.50:
        return tasks.random_facts(r, min(length, 200), 8)
    if u < 0.55:
        return tasks.bare_facts(r, min(length, 200), 8)
    return tasks.document(r, length if r.random() < 0.6 else r.randint(90, length)) or tasks.prose(r, length)


def batch_of(tasks, r, stage, length, rows):
    """Rows filled with samples one after the other: inputs and targets (rows, length + 1), and the targets' weights."""
    ids, weights = [], []
    for _ in range(rows):
        row_ids, row_weights = [], []
        while len(row_ids) <= length:
            made = sample(tasks, r, stage, length + 1 - len(row_ids))
            row_ids += made[0]
            row_weights += made[1]
        ids.append(row_ids[: length + 1])
        weights.append(row_weights[: length + 1])
    return torch.tensor(ids), torch.tensor(weights)[:, 1:]


@torch.no_grad()
def solved(net, make, count=40, seed=9):
    """Share of samples whose first answer is right, token by token."""
    r = random.Random(seed)
    right = done = 0
    while done < count:
        made = make(r)
        if made is None:
            continue
        ids = made[0]
        start = ids.index(ASSISTANT)
        end = ids.index(END, start)
        said = net(torch.tensor([ids[:end]]))[0, start:end].argmax(-1).tolist()
        right += said == ids[start + 1 : end + 1]
        done += 1
    return right / count


@torch.no_grad()
def copying(net, count=20):
    """Share of tokens right when a random segment of 30 tokens comes again."""
    r = random.Random(3)
    right = 0
    for _ in range(count):
        segment = [r.randrange(FIRST_WORD, VOCAB) for _ in range(30)]
        said = net(torch.tensor([[BOS] + segment + segment]))[0].argmax(-1).tolist()
        right += sum(said[30 + j] == segment[j] for j in range(3, 30)) / 27
    return right / count


@torch.no_grad()
def held_out_loss(net, texts, length=512, count=12):
    """Nats a token on texts that training never saw."""
    total = 0
    for i in range(count):
        text = texts[i % len(texts)]
        at = (i * 7919) % max(1, len(text) - length - 1)
        x = torch.tensor([[BOS] + text[at : at + length]])
        total += F.cross_entropy(net(x[:, :-1])[0], x[0, 1:]).item()
    return total / count


def report(net, tasks, lengths, count=30):
    """Prints the held-out figures: prose, and documents with three facts."""
    shares = [(length, solved(net, lambda r: tasks.document(r, length, "held", 3), count)) for length in lengths]
    documents = " ".join(f"@{length} {share:.2f}" for length, share in shares)
    print(f"   held-out prose {held_out_loss(net, tasks.tokens['held']):.3f} documents {documents}", flush=True)


def passed(net, tasks, stage):
    """Whether the stage's task is solved; prints all three."""
    copy = copying(net)
    random_facts = solved(net, lambda r: tasks.random_facts(r, 200))
    real_facts = solved(net, lambda r: tasks.bare_facts(r, 200))
    print(f"   copy {copy:.2f} random facts {random_facts:.2f} facts {real_facts:.2f}", flush=True)
    return stage == 0 and copy > 0.9 or stage == 1 and random_facts > 0.8 or stage == 2 and real_facts > 0.9


def train(net, tasks, seconds, stage):
    """Runs for that many seconds, a quarter of them at most on stages 0 to 2."""
    r = random.Random(1)
    optimizer = Optimizer(net)
    start = time.time()
    began = None  # when the last stage began
    step = seen = 0
    losses = []
    while True:
        now = time.time()
        if stage < 3 and now - start > seconds / 4:
            stage = 3
        if stage == 3 and began is None:
            began = now
        done = 0 if began is None else (now - began) / max(1, seconds - (began - start))
        if done >= 1:
            return
        length, tokens = 128, 2048
        if stage == 3:
            length, tokens = [length for share, length in LENGTHS if done >= share][-1], 4096
        pace = min(1, (step + 1) / 50) * (1 if done < 0.5 else max(0.02, (1 - done) / 0.5))
        x, weights = batch_of(tasks, r, stage, length, max(1, tokens // length))
        each = F.cross_entropy(net(x[:, :-1]).reshape(-1, VOCAB), x[:, 1:].reshape(-1), reduction="none").view(weights.shape)
        loss = (each * weights).sum() / weights.sum()
        net.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step(pace)
        step += 1
        seen += weights.numel()
        losses.append(loss.item())
        if step % 100 == 0:
            minutes = (time.time() - start) / 60
            print(f"{step} stage {stage} length {length} loss {sum(losses[-100:]) / 100:.3f} {seen / 1e6:.2f}M tokens {minutes:.1f} min", flush=True)
            stage += passed(net, tasks, stage)
        if step % 400 == 0 and stage == 3:
            report(net, tasks, (256, 512, 1024))
            torch.save(net.state_dict(), "tiny.pt")


if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = Tiny()
    if len(sys.argv) > 2:
        model.load_state_dict(torch.load(sys.argv[2]))
    all_tasks = Tasks.load()
    train(model, all_tasks, float(sys.argv[1]) * 60, stage=3 if len(sys.argv) > 2 else 0)
    torch.save(model.state_dict(), "tiny.pt")
    report(model, all_tasks, (256, 512, 1024, 1536, 2048), 60)
