// adapter: the canary. Where there is no GPU adapter every other kernel test proves nothing, so this one must be red, not skipped.

import { expect, test } from "vitest";

test("an adapter and a device can be had, and a buffer written there comes back", async () => {
  const gpu = typeof window === "undefined" ? await (await import("../../src/node/open-gpu")).nodeGpu() : navigator.gpu;
  expect(gpu, "navigator.gpu").toBeDefined();
  const adapter = await gpu.requestAdapter();
  expect(adapter, "requestAdapter()").not.toBeNull();
  if (!adapter) return;
  const { info } = adapter;
  console.error(
    `adapter: ${[info.vendor, info.architecture, info.description].filter(Boolean).join(" ")}; features: ${[...adapter.features].sort().join(" ")}`,
  );
  const device = await adapter.requestDevice();
  const source = device.createBuffer({ label: "canary.source", size: 16, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  const target = device.createBuffer({ label: "canary.target", size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(source, 0, new Uint32Array([1, 2, 3, 5]));
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, target, 0, 16);
  device.queue.submit([encoder.finish()]);
  await target.mapAsync(GPUMapMode.READ);
  expect([...new Uint32Array(target.getMappedRange())]).toEqual([1, 2, 3, 5]);
  device.destroy();
});
