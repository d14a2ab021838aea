// serve: builds the page and serves it, as a host of static files would. For start.mjs and the browser tests.
// Leaves to others: what a build holds (vite.config.ts).

import { join } from "node:path";
import { root } from "./machine.mjs";

/**
 * Builds into `outDir` and serves that on localhost.
 * @param {{ port?: number, strictPort?: boolean, outDir?: string }} [options] port 0 takes any free one
 * @returns {Promise<{ address: string, close: () => Promise<void> }>}
 */
export async function buildAndServe({ port = 5173, strictPort = false, outDir = join(root, "dist") } = {}) {
  const { build, preview } = await import("vite"); // not before `npm ci`
  const shared = { configFile: join(root, "vite.config.ts"), logLevel: /** @type {const} */ ("warn"), build: { outDir } };
  await build(shared);
  const server = await preview({ ...shared, preview: { port, strictPort } });
  const bound = server.httpServer.address();
  if (!bound || typeof bound === "string") throw new Error("The preview server has no port.");
  return { address: `http://localhost:${bound.port}/`, close: () => server.close() };
}
