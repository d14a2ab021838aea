// open-gpu: WebGPU in Node, through Dawn (npm `webgpu`). Puts WebGPU's constants on globalThis, as a browser has them.
// Leaves to others: opening the device (gpu/device.ts), choosing a driver (scripts/machine.mjs sets it before Node's loader reads it).

import { EngineError } from "../errors";
import { isSoftware } from "../gpu/device";
import { pollGently } from "./poll-gently";

/** Dawn's one instance. Kept for good: an instance that is collected while its device lives takes the process with it (webgpu 0.6.2). */
const kept: { gpu?: GPU } = {};

/**
 * Dawn's entry point, checked to offer an adapter. End the process with process.exit: Dawn's threads keep it alive.
 * Throws NO_WEBGPU if the package cannot be loaded, NO_ADAPTER if no driver answers.
 */
export async function nodeGpu(): Promise<GPU> {
  const { create, globals } = await import("webgpu").catch((cause: unknown) => {
    throw new EngineError(
      "NO_WEBGPU",
      `Node's WebGPU (npm package webgpu) did not load on ${process.platform}-${process.arch}. Run npm ci, or use the page in a browser.`,
      {},
      { cause },
    );
  });
  if (typeof GPUBufferUsage === "undefined") Object.assign(globalThis, globals);
  const isFirst = kept.gpu === undefined;
  kept.gpu ??= create([]);
  const { gpu } = kept;
  const adapter = await gpu.requestAdapter().catch(() => null);
  if (!adapter)
    throw new EngineError(
      "NO_ADAPTER",
      "Dawn found no GPU adapter: no Vulkan, Metal or Direct3D driver answers. Install a driver; without a GPU, Mesa 23 or newer (Debian: mesa-vulkan-drivers; on Debian 12 from bookworm-backports).",
      {
        icd: process.env.VK_ICD_FILENAMES ?? null,
      },
    );
  if (isFirst && isSoftware(adapter.info)) pollGently();
  return gpu;
}
