"""Asks many kvpress methods at every layer of one forward pass what they would keep, without letting any of them touch the cache."""
import numpy as np
import torch
from kvpress.presses.base_press import BasePress


class Probe(BasePress):
    """`ask(module, hidden_states, keys, values, attentions, kwargs)` is called once a layer, in kvpress's own hook."""

    def __init__(self, ask):
        self.ask = ask

    def compress(self, module, hidden_states, keys, values, attentions, kwargs):
        self.ask(module, hidden_states, keys, values, attentions, kwargs)
        return keys, values


def kept_slots(press, module, hidden_states, keys, values, attentions, kwargs):
    """What `press` keeps: (G, n) of bool. Methods that only mask tell it by indices, the others by the keys that come back."""
    module.masked_key_indices = None
    implementation = module.config._attn_implementation
    module.config._attn_implementation = "sdpa"  # the masking methods refuse eager attention, which is needed for observed attention
    left, _ = press.compress(module, hidden_states, keys.clone(), values.clone(), attentions, kwargs)
    module.config._attn_implementation = implementation
    kept = np.zeros(keys.shape[1:3], dtype=bool)
    if module.masked_key_indices is not None:
        _, heads, slots = (index.cpu().numpy() for index in module.masked_key_indices)
        kept[:] = True
        kept[heads, slots] = False
        module.masked_key_indices = None
        return kept
    for head in range(keys.shape[1]):
        slot_of = {row.numpy().tobytes(): slot for slot, row in enumerate(keys[0, head].contiguous())}
        assert len(slot_of) == keys.shape[2], "two equal keys"
        kept[head, [slot_of[row.numpy().tobytes()] for row in left[0, head].contiguous()]] = True
    return kept


@torch.no_grad()
def run(model, ids, ask):
    """One prefill with the full cache; `ask` as for Probe."""
    with Probe(ask)(model):
        model.model(torch.tensor([ids]), output_attentions=True, use_cache=True)
