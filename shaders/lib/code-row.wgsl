// code-row: a row of a ring that keeps 8 bits a channel: codes of a vector turned by a Hadamard matrix, rounded between its smallest and its largest channel, as
// guests are, so not centred. Needs lib/turn-channels with the vector in `channels`, and the binding rows.
fn codeRow(to: u32, lane: u32) {
  turnChannels(lane);
  var least = channels[0];
  var most = channels[0];
  for (var c = 1u; c < D; c++) { least = min(least, channels[c]); most = max(most, channels[c]); }
  let scale = nearestHalf(clamp(vec2f((most - least) / 255.0, least), vec2f(-65504.0), vec2f(65504.0)));
  let inverse = select(0.0, 1.0 / scale.x, scale.x > 0.0);
  for (var word = lane; word < D / 4u; word += WG) {
    let x = vec4f(channels[4u * word], channels[4u * word + 1u], channels[4u * word + 2u], channels[4u * word + 3u]);
    let codes = vec4u(clamp(floor((x - scale.y) * inverse + 0.5), vec4f(0.0), vec4f(255.0)));
    rows[to + word] = codes.x | (codes.y << 8u) | (codes.z << 16u) | (codes.w << 24u);
  }
  if (lane == 0u) { rows[to + D / 4u] = pack2x16float(scale); }
  workgroupBarrier();                                  // before `channels` gets the next vector
}
