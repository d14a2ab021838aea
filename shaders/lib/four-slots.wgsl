// four-slots: four channels of four slots, turned so that each of the four vectors is one channel over the slots. Needs `keys`.
fn loadQuads(rows: vec4u) -> mat4x4f {
  return transpose(mat4x4f(unpackQuad(keys[rows.x]), unpackQuad(keys[rows.y]), unpackQuad(keys[rows.z]), unpackQuad(keys[rows.w])));
}
