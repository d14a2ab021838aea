// open-ring: rows of a ring that keeps 8 bits a channel, as f16 pairs, for all that compresses it. Needs lib/turn-channels, the uniform info.
@group(0) @binding(3) var<storage, read> ring: array<u32>;           // (2, ringPlane)
@group(0) @binding(4) var<storage, read_write> opened: array<u32>;   // (2, G, ringSlots, D/2), a plane padded to half of it

fn ringRows() -> u32 { return 2u * G * info.ringSlots; }

fn openRow(index: u32, lane: u32) {
  let part = index / (G * info.ringSlots);
  let row = index % (G * info.ringSlots);
  let at = part * info.ringPlane + row * ringRowWords();
  let scale = unpack2x16float(ring[at + D / 4u]);
  for (var c = lane; c < D; c += WG) { channels[c] = scale.y + scale.x * f32((ring[at + c / 4u] >> (8u * (c % 4u))) & 255u); }
  turnChannels(lane);
  for (var pair = lane; pair < D / 2u; pair += WG) {
    let x = vec2f(channels[2u * pair], channels[2u * pair + 1u]);
    opened[part * arrayLength(&opened) / 2u + row * (D / 2u) + pair] = pack2x16float(nearestHalf(clamp(x, vec2f(-65504.0), vec2f(65504.0))));
  }
}
