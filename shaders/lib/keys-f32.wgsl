// keys-f32: four channels of a key or value as they are; for tests against references that never rounded their keys.
alias Quad = vec4f;
fn unpackQuad(stored: Quad) -> vec4f {
  return stored;
}
