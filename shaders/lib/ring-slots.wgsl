// ring-slots: which rows of the ring a score is for, and their positions. Its twin for the prompt is prompt-slots.
override SLOTS: u32; // sinks and ring
override SINKS: u32;

@group(0) @binding(0) var<uniform> step: Step; // firstPosition: the next token's; context: tokens in the ring

fn numSlots() -> u32 { return SLOTS; }
fn numRows() -> u32 { return SLOTS; }
fn firstSlot() -> u32 { return SINKS; }

// Positions between a row's token and the newest one.
fn ageOf(slot: u32) -> u32 { return (step.firstPosition - 1u + (SLOTS - SINKS) - (slot - SINKS)) % (SLOTS - SINKS); }
fn isScored(slot: u32) -> bool { return slot >= SINKS && ageOf(slot) < step.context; }
fn positionOf(slot: u32) -> u32 { return step.firstPosition - 1u - ageOf(slot); }
fn rowOf(position: u32) -> u32 { return SINKS + position % (SLOTS - SINKS); }

// The older tokens of the ring, which are judged, are compared with the newer half, which stays.
fn lagSpan(part: u32, lag: u32) -> vec4u {
  let newer = (SLOTS - SINKS) / 2u;
  let older = max(step.context, newer) - newer;
  return select(vec4u(step.firstPosition - newer - older, older, step.firstPosition - newer, newer), vec4u(SLOTS, 0u, 0u, 0u), older == 0u);
}
fn restScore(position: u32, lag: u32) -> f32 { return 0.0; }
