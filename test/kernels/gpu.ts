// gpu: opens the device of a kernel test, Dawn in Node and the browser's own in Chromium.

import { type Gpu, openGpu } from "../../src/gpu/device";

/** Dawn's instances: one that is collected while its device lives takes the process with it. */
const instances: GPU[] = [];

/** A device of one's own; dispose it in afterAll. */
export async function testGpu(without: readonly ("shader-f16" | "subgroups")[] = []): Promise<Gpu> {
  const gpu = typeof window === "undefined" ? await (await import("../../src/node/open-gpu")).nodeGpu() : navigator.gpu;
  instances.push(gpu);
  return openGpu({ gpu, without });
}

/** The same adapter, taken for a real GPU: wider tiles and workgroups, columns split over slices, no broadcasts. Neither shader-f16 nor subgroups. */
export async function hardwareLikeGpu(): Promise<Gpu> {
  return Object.assign(await testGpu(["shader-f16", "subgroups"]), { software: false });
}
