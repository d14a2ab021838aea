// keys-f16: four channels of a key or value as two words of f16 pairs, the engine's own storage.
alias Quad = vec2u;
fn unpackQuad(stored: Quad) -> vec4f {
  return vec4f(unpack2x16float(stored.x), unpack2x16float(stored.y));
}
