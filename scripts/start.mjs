// start: builds the page, serves it and prints its address; gets the real model meanwhile, if it is not there yet.
// The page always works with the bundled tiny model. `--port N` (default 5173, the next free one if taken), `--no-model`.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fail, installDependencies, say } from "./install.mjs";
import { root } from "./machine.mjs";
import { buildAndServe } from "./serve.mjs";

const MODEL = "smollm2-135m";

const { port, model } = options();
installDependencies();
say("building the page");
const site = await buildAndServe({ ...(port !== undefined && { port, strictPort: true }) }).catch((error) =>
  fail(`the page could not be served: ${error.message}`),
);
console.log(site.address);
say("Ctrl-C ends it.");
const download = model ? getModel() : undefined;
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"]))
  process.once(signal, () => {
    download?.kill();
    process.exit(0);
  });

function options() {
  try {
    const { values } = parseArgs({ options: { port: { type: "string" }, "no-model": { type: "boolean" } } });
    const port = values.port === undefined ? undefined : Number(values.port);
    if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port < 65536)) fail(`--port was "${values.port}", expected 0 to 65535.`);
    return { port, model: !values["no-model"] };
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : error} Options: --port N, --no-model.`);
  }
}

/** Fetches the real model beside the server. A failure is a line here, and the tiny model on the page. */
function getModel() {
  if (existsSync(join(root, "models/cache", `${MODEL}.gguf`))) return undefined;
  say(`getting ${MODEL} in the background; until then, and offline, the page runs the bundled tiny model`);
  const child = spawn(process.execPath, [join(root, "scripts/run.mjs"), "--no-gpu", "src/node/model.ts", MODEL], { cwd: root, stdio: ["ignore", "ignore", 2] });
  child.on("exit", (code, signal) => {
    if (code === 0) say(`${MODEL} is there: reload the page to choose it`);
    else if (!signal) say(`${MODEL} could not be had; the page runs the tiny model. Try again with: npm run model -- ${MODEL}`);
  });
  return child;
}
