// calibrate: `npm run calibrate -- --model M` measures a model and writes its calibration. The file's path goes to stdout, all else to stderr.
// Leaves to others: the measuring (src/calibrate).

import { parseArgs } from "node:util";
import { type CalibrationProgress, calibrate } from "../calibrate/calibrate";
import { encodeCalibration } from "../calibrate/file";
import { openModel } from "../calibrate/open";
import { EngineError, isEngineError } from "../errors";
import type { Calibration } from "../policy/calibration";
import { calibrationPath, writeCalibration } from "./calibration-files";
import { fetchModel } from "./fetch-model";
import { fileSource } from "./file-source";
import { nodeGpu } from "./open-gpu";
import { parseSource } from "./options";
import { progressPrinter } from "./progress";

const USAGE = `Usage: npm run calibrate -- --model tiny|smollm2-135m|PATH.gguf [options]

  --model NAME|PATH   a model of models/catalog.ts, or a GGUF file (default tiny)
  --out FILE          where the calibration goes (default where every load of this file looks for it: the bundled file if its model has one, else
                      models/cache/SHA256.calibration)
  --quick             statistics only: no sensitivities, no trying of shares (the default on software adapters above 8 layers)
  --thorough          everything, however long it takes
  --json              one JSON object on stdout instead of the file's path
`;

const OPTIONS = {
  model: { type: "string", default: "tiny" },
  out: { type: "string" },
  quick: { type: "boolean", default: false },
  thorough: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/** Returns the process's exit code. @param argv what follows the command's name */
export async function main(argv: string[]): Promise<number> {
  try {
    const words = parse(argv);
    if (words.help) process.stdout.write(USAGE);
    else await run(words);
    return 0;
  } catch (error) {
    process.stderr.write(`${isEngineError(error) ? `${error.code}: ${error.message}` : error instanceof Error ? error.stack : String(error)}\n`);
    return 1;
  }
}

type Words = ReturnType<typeof parse>;

function parse(argv: string[]) {
  try {
    const { values } = parseArgs({ args: argv, options: OPTIONS, strict: true, allowPositionals: false });
    if (values.quick && values.thorough) throw new Error("--quick and --thorough exclude each other");
    return values;
  } catch (cause) {
    throw new EngineError("BAD_OPTION", `${cause instanceof Error ? cause.message : String(cause)}. See --help.`, {}, { cause });
  }
}

async function run({ model, out, quick, thorough, json }: Words): Promise<void> {
  const started = performance.now();
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const controller = new AbortController();
  process.once("SIGINT", () => controller.abort());
  const { signal } = controller;
  const named = parseSource(model);
  const source = await fileSource("path" in named ? named.path : await fetchModel(named.model, { say, signal }));
  const opened = await openModel(source, {
    gpu: await nodeGpu(),
    signal,
    onProgress: progressPrinter((text) => process.stderr.write(text), process.stderr.isTTY === true),
  });
  try {
    const options = { model: opened.sha256, signal, say, onProgress: tenths(say) };
    const calibration = await calibrate(opened.runtime, { ...options, ...((quick || thorough) && { measure: thorough }) });
    const path = out ?? calibrationPath(opened.sha256);
    const bytes = encodeCalibration(calibration);
    await writeCalibration(path, bytes);
    say(`${path}: ${bytes.length} bytes, ${((performance.now() - started) / 1000).toFixed(0)} s on ${opened.adapter}`);
    say(`key floor: ${calibration.keyFloor ?? "none"}`);
    process.stdout.write(json ? `${JSON.stringify(summary(calibration, path, bytes.length))}\n` : `${path}\n`);
  } finally {
    opened.dispose();
    await source.close?.();
  }
}

/** What people and scripts want to know of a calibration; the bases stay in the file. */
function summary({ model, layers, heads, kvHeads, headSize, errors, residualPower, sensitivity, shares, keyFloor }: Calibration, path: string, bytes: number) {
  const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    path,
    bytes,
    model,
    layers,
    heads,
    kvHeads,
    headSize,
    errors: errors.map(({ format, key, value }) => ({ format, key: mean(key), value: mean(value) })),
    residualPower: [...residualPower],
    sensitivity: [...sensitivity],
    shares,
    keyFloor: keyFloor ?? null,
  };
}

/** Says how far a stage is, ten times on its way. */
function tenths(say: (line: string) => void): (progress: CalibrationProgress) => void {
  let said = "";
  return ({ stage, done, total }) => {
    const mark = `${stage}: ${Math.floor((10 * done) / total) * 10} %`;
    if (mark === said) return;
    said = mark;
    say(mark);
  };
}
