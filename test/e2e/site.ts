// site: builds the page once for all browser tests and serves it on a free port, as `npm start` does.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { buildAndServe } from "../../scripts/serve.mjs";

declare module "vitest" {
  export interface ProvidedContext {
    /** Where the page is, with a slash at the end. */
    address: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const outDir = join(fileURLToPath(new URL("../..", import.meta.url)), "test-results/site");
  const site = await buildAndServe({ port: 0, outDir });
  project.provide("address", site.address);
  return site.close;
}
