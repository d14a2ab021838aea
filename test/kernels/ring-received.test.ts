// ring-received: importance of the ring's tokens from the attention they received, whatever part of the ring is filled, and wherever it begins.

import { afterAll, beforeAll, test } from "vitest";
import { type RingReceivedArgs, ringReceived } from "../../src/kernels/ring-received";
import { DEFAULTS } from "../../src/policy/scorers";
import { attentionHistory } from "../../src/policy/scorers/attention-history";
import type { RingView } from "../../src/policy/scorers/scorer";
import { norm } from "../reference/expected-attention";
import { positionFactor } from "../reference/scorers/attention-history";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { stepOf } from "./fixtures";
import { testGpu } from "./gpu";
import { KernelBench, scoringDims, uploadSlots } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

const [G, D, sinks, ring, epsilon] = [3, 32, 4, 9, 0.25];
const slots = sinks + ring;
const given = scoringCase({ T: slots, H: G, G, D, sinks: 0 }, "half");
const { values } = given;
const means = Float64Array.from({ length: G * slots }, (_, n) => Math.fround(Math.abs(Math.sin(n * n))));
const plane = Float64Array.from({ length: G * slots }, (_, n) => Math.fround(2 + Math.cos(n)));

const forms: Pick<RingReceivedArgs, "shared" | "summed" | "part" | "distance">[] = [
  {},
  { shared: true, part: 0.25 },
  { summed: true },
  { shared: true, distance: 0.5 },
  { distance: 0.8 },
];

/** Next position, and tokens in the ring. */
const fillings = [
  [40, 9],
  [45, 6],
  [11, 1],
] as const;

test.each(forms.flatMap((form) => ([undefined, "values", "plane"] as const).map((norms) => [form, norms] as const)))("%o, norms %s", async (form, norms) => {
  for (const [next, held] of fillings) {
    const importance = bench.floats(G * slots);
    const op = ringReceived(
      bench.gpu,
      { kvHeads: G, headSize: D },
      {
        range: { step: bench.keep(stepOf(bench.gpu, { firstPosition: next, context: held })), slots, sinks },
        received: bench.floats(means),
        values: bench.keep(uploadSlots(bench.gpu, values, { T: slots, G, D }, slots, "f16")),
        importance,
        ...form,
        ...(norms ? { norms: norms === "plane" ? bench.floats(plane) : norms } : {}),
        epsilon,
        storage: "f16",
      },
    );
    expectClose(await bench.run(op, importance, G * slots), expected(form, norms, next, held), tolerances.score);
  }
});

test.each([undefined, 0, 0.25, 1])("attention history's ring, exponent %s", async (distance) => {
  for (const [next, held] of fillings) {
    const importance = bench.floats(G * slots);
    const view = {
      gpu: bench.gpu,
      dims: scoringDims(given),
      step: bench.keep(stepOf(bench.gpu, { firstPosition: next, context: held })),
      slots,
      values: bench.keep(uploadSlots(bench.gpu, values, { T: slots, G, D }, slots, "f16")),
      received: bench.floats(means),
      importance,
      storage: "f16",
    } as Partial<RingView> as RingView; // all that is asked for
    const options = { ...DEFAULTS, ...attentionHistory.defaults, kind: attentionHistory.name, sinks, ...(distance !== undefined && { distance }) };
    const op = attentionHistory.ring(view, options);
    const want = expected({ shared: true, distance: distance ?? 0.5 }, undefined, next, held);
    expectClose(await bench.run(op, importance, G * slots), want, tolerances.score);
  }
});

/** Importance by (kv head, row), with `held` tokens in the ring before position `next`. */
function expected(form: (typeof forms)[number], norms: "values" | "plane" | undefined, next: number, held: number): Float64Array {
  const want = new Float64Array(G * slots);
  for (let g = 0; g < G; g++)
    for (let position = next - held; position < next; position++) {
      const row = sinks + (position % ring);
      const distance = next - position;
      let score = form.shared ? (means[row]! + means[slots + row]! + means[2 * slots + row]!) / 3 : means[g * slots + row]!;
      if (form.summed) score *= distance / next;
      score *= form.part ?? 1;
      score /= positionFactor(distance, form.distance ?? 0);
      if (norms) score = (score + epsilon) * (norms === "plane" ? plane[g * slots + row]! : norm(values, (g * slots + row) * D, D));
      want[g * slots + row] = score;
    }
  return want;
}
