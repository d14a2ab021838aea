// ring-received: importance of the ring's tokens from the attention they received, whatever part of the ring is filled, and wherever it begins.

import { afterAll, beforeAll, test } from "vitest";
import { type RingReceivedArgs, ringReceived } from "../../src/kernels/ring-received";
import { norm } from "../reference/expected-attention";
import { scoringCase } from "../reference/scoring-case";
import { expectClose, tolerances } from "../tolerances";
import { stepOf } from "./fixtures";
import { testGpu } from "./gpu";
import { KernelBench, uploadSlots } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

const [G, D, sinks, ring, epsilon] = [3, 32, 4, 9, 0.25];
const slots = sinks + ring;
const { values } = scoringCase({ T: slots, H: G, G, D, sinks: 0 }, "half");
const means = Float64Array.from({ length: G * slots }, (_, n) => Math.fround(Math.abs(Math.sin(n * n))));
const plane = Float64Array.from({ length: G * slots }, (_, n) => Math.fround(2 + Math.cos(n)));

const forms: Pick<RingReceivedArgs, "shared" | "summed" | "part" | "distance">[] = [
  {},
  { shared: true, part: 0.25 },
  { summed: true },
  { shared: true, distance: true },
];

test.each(forms.flatMap((form) => ([undefined, "values", "plane"] as const).map((norms) => [form, norms] as const)))("%o, norms %s", async (form, norms) => {
  for (const [next, held] of [
    [40, 9],
    [45, 6],
    [11, 1],
  ] as const) {
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
    const want = new Float64Array(G * slots);
    for (let g = 0; g < G; g++)
      for (let position = next - held; position < next; position++) {
        const row = sinks + (position % ring);
        const distance = next - position;
        let score = form.shared ? (means[row]! + means[slots + row]! + means[2 * slots + row]!) / 3 : means[g * slots + row]!;
        if (form.summed) score *= distance / next;
        score *= form.part ?? 1;
        if (form.distance) score *= Math.sqrt(1 + distance);
        if (norms) score = (score + epsilon) * (norms === "plane" ? plane[g * slots + row]! : norm(values, (g * slots + row) * D, D));
        want[g * slots + row] = score;
      }
    expectClose(await bench.run(op, importance, G * slots), want, tolerances.score);
  }
});
