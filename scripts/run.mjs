// run: `node scripts/run.mjs [--no-gpu] ENTRY.ts ARGS` loads a TypeScript entry through Vite (so that WGSL imports work), calls its
// main(argv) and ends with the code it returns. Installs what the entry needs first; `--no-gpu` before ENTRY leaves the GPU out.
// Only main() may write to stdout.

import { resolve } from "node:path";
import { installDependencies, installVulkan, say } from "./install.mjs";
import { root, vulkanEnvironment } from "./machine.mjs";

const words = process.argv.slice(2);
const gpu = words[0] !== "--no-gpu";
const [entry, ...argv] = gpu ? words : words.slice(1);
if (!entry) {
  say("usage: node scripts/run.mjs [--no-gpu] ENTRY.ts [ARGS]");
  process.exit(2);
}
console.log = console.info = console.debug = console.error; // stdout belongs to main()
installDependencies();
if (gpu) installVulkan();
if (gpu) Object.assign(process.env, vulkanEnvironment()); // before Dawn loads: the Vulkan loader reads it once

const { createServer } = await import("vite");
const server = await createServer({
  root,
  configFile: false,
  logLevel: "silent",
  appType: "custom",
  server: { middlewareMode: true, hmr: false, watch: null, ws: false },
  optimizeDeps: { noDiscovery: true },
});
let code = 1;
try {
  const { main } = await server.ssrLoadModule(resolve(entry), { fixStacktrace: true });
  code = await main(argv);
} catch (error) {
  console.error(error);
}
await new Promise((done) => process.stdout.write("", done)); // a pipe may still hold text
process.exit(code); // Dawn's threads keep a process alive
