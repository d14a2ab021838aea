// test: installs what is missing, runs every stage and prints as its last line `N passed, N failed, N skipped`.
// A stage that crashes, runs out of time or finds no test counts as a failure. Arguments name stages to run (default: all);
// `--firefox` adds the kernels on Firefox. Reports of the stages: test-results/STAGE.json.

import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CHECKS } from "./check.mjs";
import { fail, installChromium, installDependencies, installFirefox, installVulkan } from "./install.mjs";
import { root } from "./machine.mjs";

/** A run that is not done by then hangs: what is left is killed and red. Two quiet cores take a third of it. */
const DEADLINE = Date.now() + 75 * 60_000;
const COMMANDS = ["types", "lint"]; // layering is one of the unit tests
const PROJECTS = ["unit", "kernels", "model", "kernels-chromium", "e2e"];
/** Each of these keeps one thread busy, so that the lanes run side by side; all other stages run before, one after the other. */
const LANES = [["model"], ["kernels-chromium", "e2e"]];

/** What kills the stages that run. @type {Set<() => void>} */
const running = new Set();
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"]))
  process.once(signal, () => {
    for (const kill of running) kill();
    process.exit(130);
  });

/** @typedef {{ passed: number, failed: number, skipped: number, notes: string[] }} Count */

const stages = chosenStages(process.argv.slice(2));
installDependencies();
if (stages.some((stage) => stage === "kernels" || stage === "model")) installVulkan();
if (stages.some((stage) => stage === "kernels-chromium" || stage === "e2e")) installChromium();
if (stages.includes("kernels-firefox")) installFirefox();

if (stages.includes("model")) await fetchRealModel();

const results = join(root, "test-results");
rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });

/** @type {Count} */
const total = { passed: 0, failed: 0, skipped: 0, notes: [] };
await runAll(stages.filter((stage) => !LANES.flat().includes(stage)));
await Promise.all(LANES.map((lane) => runAll(lane.filter((stage) => stages.includes(stage)))));
for (const note of total.notes) console.log(note);
console.log(summary(total));
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

/** @param {readonly string[]} stages */
async function runAll(stages) {
  for (const stage of stages) await runStage(stage);
}

/** @param {string} stage */
async function runStage(stage) {
  const start = Date.now();
  const count = COMMANDS.includes(stage) ? await runCheck(stage) : await runProject(stage);
  console.log(`== ${stage}: ${summary(count)} (${((Date.now() - start) / 1000).toFixed(0)} s)\n`);
  total.passed += count.passed;
  total.failed += count.failed;
  total.skipped += count.skipped;
  total.notes.push(...count.notes.map((note) => `${stage}: ${note}`));
}

/** SmolLM2, for its acceptance tests: they run where it can be had and say so where it cannot. */
async function fetchRealModel() {
  const end = await node(["../scripts/run.mjs", "--no-gpu", join(root, "src", "node", "model.ts"), "smollm2-135m"]);
  if (end) console.log(`SmolLM2 could not be fetched (${end}): its tests are skipped.`);
}

/** @param {string[]} args */
function chosenStages(args) {
  const known = [...COMMANDS, ...PROJECTS, "kernels-firefox"];
  const named = args.filter((arg) => arg !== "--firefox");
  const unknown = named.find((name) => !known.includes(name));
  if (unknown) fail(`no stage ${unknown}. Stages: ${known.join(", ")}.`);
  const chosen = named.length > 0 ? known.filter((name) => named.includes(name)) : [...COMMANDS, ...PROJECTS];
  return args.includes("--firefox") && !chosen.includes("kernels-firefox") ? [...chosen, "kernels-firefox"] : chosen;
}

/** @param {string} name @returns {Promise<Count>} */
async function runCheck(name) {
  const end = await node(CHECKS[name] ?? []);
  return { passed: end ? 0 : 1, failed: end ? 1 : 0, skipped: 0, notes: end ? [`FAILED ${end}`] : [] };
}

/** @param {string} project @returns {Promise<Count>} */
async function runProject(project) {
  const report = join(results, `${project}.json`);
  const end = await node(["vitest/vitest.mjs", "run", "--project", project, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`]);
  return countReport(readReport(report), end);
}

/**
 * Counts a Vitest report. Files that did not load, and an end in failure that no test explains, are failures too.
 * @param {any} report @param {string} end how the process failed, empty if it did not @returns {Count}
 */
function countReport(report, end) {
  /** @type {Count} */
  const count = { passed: 0, failed: 0, skipped: 0, notes: [] };
  for (const file of report?.testResults ?? []) {
    const name = file.name.replace(root, "");
    for (const test of file.assertionResults) {
      if (test.status === "passed") count.passed++;
      else if (test.status === "failed") count.failed++;
      else count.skipped++;
      if (test.status !== "passed") count.notes.push(`${test.status === "failed" ? "FAILED" : "not run:"} ${name}: ${test.fullName}${why(test)}`);
    }
    if (file.status === "failed" && !file.assertionResults.some((/** @type {any} */ test) => test.status === "failed")) {
      count.failed++;
      count.notes.push(`FAILED ${name}: the file did not run to its end`);
    }
  }
  if (count.failed === 0 && (end || count.passed === 0)) {
    count.failed++;
    count.notes.push(`FAILED ${end || "no test ran"}`);
  }
  return count;
}

/** What a failed test said, its stack apart: a property's seed and counterexample among it. @param {{ failureMessages?: string[] }} test */
function why({ failureMessages = [] }) {
  const lines = failureMessages.join("\n").split("\n");
  return lines
    .filter((line) => line.trim() && !/^\s*at /.test(line))
    .slice(0, 12)
    .map((line) => `\n    ${line.slice(0, 400)}`)
    .join("");
}

/** Runs a program of node_modules; resolves to how it failed, or "". Its group is killed at the deadline. @param {string[]} command @returns {Promise<string>} */
function node([program = "", ...args]) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, "node_modules", program), ...args], {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      detached: process.platform !== "win32",
    });
    const kill = () => void (child.pid && process.kill(process.platform === "win32" ? child.pid : -child.pid, "SIGKILL"));
    let late = false;
    const timer = setTimeout(
      () => {
        late = true;
        kill();
      },
      Math.max(1000, DEADLINE - Date.now()),
    );
    running.add(kill);
    child.on("error", (error) => resolve(error.message));
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      running.delete(kill);
      resolve(late ? "out of time" : code === 0 ? "" : `${program} ended with ${signal ?? `exit code ${code}`}`);
    });
  });
}

/** @param {string} path */
function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined; // the run crashed before it could write one
  }
}

/** @param {Count} count */
function summary({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
