// prompt-slots: which slots of a prompt a score is for, and where their rows stand. Its twin for the ring is ring-slots.
@group(0) @binding(0) var<uniform> params: ScoreParams;

fn numSlots() -> u32 { return params.tokens; }      // of importance, per kv head
fn numRows() -> u32 { return params.capacity; }     // of keys and values, per kv head
fn isScored(slot: u32) -> bool { return slot >= params.sinks; }
fn firstSlot() -> u32 { return params.sinks; }
fn positionOf(slot: u32) -> u32 { return slot; }
fn rowOf(position: u32) -> u32 { return position; }

// Of a partition of `lag` tokens: its first position, its tokens, and the same of the one that it is compared with; no tokens where there is none.
fn lagSpan(part: u32, lag: u32) -> vec4u {
  let start = params.sinks + part * lag;
  let full = (max(params.tokens, params.sinks) - params.sinks) / lag;
  return select(vec4u(start, lag, start + lag, lag), vec4u(start, 0u, 0u, 0u), part + 1u >= full);
}

// Score of a token whose partition has none after it: above all others' 1, and of them the later are better: not all of them may fit.
fn restScore(position: u32, lag: u32) -> f32 {
  let tokens = params.tokens - params.sinks;
  return f32(position - params.sinks + 1u) / f32(tokens + 1u) + select(1.0, 0.0, tokens < 2u * lag);
}
