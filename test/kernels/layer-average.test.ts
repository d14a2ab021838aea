// layer-average: mean over kv heads, of a layer alone and over the layers so far; layer 0 forgets what was there.

import { afterAll, beforeAll, test } from "vitest";
import { layerAverage } from "../../src/kernels/layer-average";
import { expectClose, tolerances } from "../tolerances";
import { testGpu } from "./gpu";
import { KernelBench } from "./score-bench";

let bench: KernelBench;
beforeAll(async () => {
  bench = new KernelBench(await testGpu());
});
afterAll(() => bench.dispose());

test.each([63, 65])("%d slots, three layers, then the first of another prompt", async (T) => {
  const G = 3;
  const planes = [0, 1, 2, 3].map((seed) => Float64Array.from({ length: G * T }, (_, n) => Math.fround(Math.sin(n * (seed + 1)))));
  const means = planes.map((plane) => Float64Array.from({ length: T }, (_, t) => (plane[t]! + plane[T + t]! + plane[2 * T + t]!) / 3));
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  const layer = bench.keep(bench.gpu.createBuffer("test.layer", 16, "scratch", { usage }));
  const received = bench.floats(G * T);
  const average = bench.floats(new Float64Array(T).fill(1e6));
  const shared = { params: bench.params({ T, sinks: 4 }), layer, received, average, tokens: T };
  const so = (layers: readonly Float64Array[]): Float64Array => means[0]!.map((_, t) => layers.reduce((sum, mean) => sum + mean[t]! / layers.length, 0));
  const wanted = [means.slice(0, 1), means.slice(0, 2), means.slice(0, 3), means.slice(3)];
  for (const [n, layers] of wanted.entries()) {
    bench.gpu.write(layer, 0, new Uint32Array([n % 3]));
    bench.gpu.write(received, 0, Float32Array.from(planes[n]!));
    expectClose(await bench.run(layerAverage(bench.gpu, { kvHeads: G }, { ...shared, overLayers: true }), average, T), so(layers), tolerances.moments);
  }
  bench.gpu.write(layer, 0, new Uint32Array([2]));
  expectClose(await bench.run(layerAverage(bench.gpu, { kvHeads: G }, { ...shared, overLayers: false }), average, T), means[3]!, tolerances.moments);
});
