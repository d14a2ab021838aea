"""The tiny model: Qwen2's architecture (RMSNorm, GQA with QKV biases, half-split RoPE, SwiGLU, tied embeddings), 2.17 million parameters."""
import math

import torch
import torch.nn.functional as F
from torch import nn

VOCAB = 3072
WIDTH = 192
LAYERS = 4
HEADS = 6
KV_HEADS = 2
HEAD = 32
FFN = 512
THETA = 10000.0
EPS = 1e-5


class RMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.w


def frequencies():
    """Radians a position turns each pair of channels by."""
    return THETA ** (-torch.arange(0, HEAD, 2) / HEAD)


def rope(x, cos, sin):
    """Turns the channel pairs (i, i + HEAD / 2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1 = RMSNorm()
        self.n2 = RMSNorm()
        self.q = nn.Linear(WIDTH, HEADS * HEAD)
        self.k = nn.Linear(WIDTH, KV_HEADS * HEAD)
        self.v = nn.Linear(WIDTH, KV_HEADS * HEAD)
        self.o = nn.Linear(HEADS * HEAD, WIDTH, bias=False)
        self.g = nn.Linear(WIDTH, FFN, bias=False)
        self.u = nn.Linear(WIDTH, FFN, bias=False)
        self.d = nn.Linear(FFN, WIDTH, bias=False)

    def attention(self, x, cos, sin):
        batch, tokens, _ = x.shape

        def heads(y):
            return y.view(batch, tokens, -1, HEAD).transpose(1, 2)

        q = rope(heads(self.q(x)), cos, sin)
        k = rope(heads(self.k(x)), cos, sin).repeat_interleave(HEADS // KV_HEADS, 1)
        v = heads(self.v(x)).repeat_interleave(HEADS // KV_HEADS, 1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(mixed.transpose(1, 2).reshape(batch, tokens, -1))

    def forward(self, x, cos, sin):
        x = x + self.attention(self.n1(x), cos, sin)
        h = self.n2(x)
        return x + self.d(F.silu(self.g(h)) * self.u(h))


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(VOCAB, WIDTH)
        self.b = nn.ModuleList(Block() for _ in range(LAYERS))
        self.n = RMSNorm()
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 if p.shape[0] == VOCAB else 1 / math.sqrt(p.shape[1]))
        for block in self.b:
            block.o.weight.data *= 0.3
            block.d.weight.data *= 0.3
            for linear in (block.q, block.k, block.v):
                linear.bias.data.zero_()
        self.start_with_neighbours()

    def start_with_neighbours(self):
        """Layer 0 starts with heads that look 1, 2, 3, 1, 2 and 4 tokens back, through the biases alone: copying is then learned in minutes."""
        turn = frequencies()
        first = self.b[0]
        size = torch.where(torch.arange(HEAD // 2) < 7, 4.0, 0.0)
        looks = [torch.cat([size * torch.cos(turn * back), -size * torch.sin(turn * back)]) for back in (1, 2, 3, 1, 2, 4)]
        first.q.bias.data.copy_(torch.cat(looks))
        first.k.bias.data.copy_(torch.cat([size, torch.zeros_like(size)] * KV_HEADS))
        first.q.weight.data *= 0.3
        first.k.weight.data *= 0.3

    def forward(self, ids):
        angle = torch.arange(ids.shape[1])[:, None] * frequencies()[None]
        cos, sin = angle.cos(), angle.sin()
        x = self.e(ids)
        for block in self.b:
            x = block(x, cos, sin)
        return self.n(x) @ self.e.weight.T
