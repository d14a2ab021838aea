// install: adds what this machine lacks: npm packages, a browser, a software Vulkan driver for Node's WebGPU.
// Everything it runs prints to stderr, so that a command's stdout stays its own. Plain Node without packages.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canApt, dependenciesCurrent, findChromium, findFirefox, findLavapipe, hasGpuNode, MESA_NEEDED, root } from "./machine.mjs";

/** Runs `npm ci` if node_modules is missing or behind package-lock.json. */
export function installDependencies() {
  if (dependenciesCurrent()) return;
  say("installing dependencies (npm ci)");
  if (!run(process.platform === "win32" ? "npm.cmd" : "npm", ["ci", "--include=dev", "--no-audit", "--no-fund"]))
    fail("npm ci failed; its message stands above. Run it by hand, then try again.");
}

/** A Chromium, installed if there is none. @returns {string} its path */
export function installChromium() {
  const found = findChromium();
  if (found) return found;
  say("installing Chromium");
  if (canApt()) aptInstall(["chromium", "fonts-liberation"]);
  else run(process.execPath, [join(root, "node_modules/playwright/cli.js"), "install", "chromium"]);
  return findChromium() ?? fail("no Chromium. Install Chrome or Chromium (Debian: apt-get install chromium), or name one in LACUNA_CHROMIUM.");
}

/** A Firefox, installed by apt where that is possible. @returns {string} its path */
export function installFirefox() {
  if (!findFirefox() && canApt()) aptInstall(["firefox-esr"]);
  return findFirefox() ?? fail("no Firefox. Install Firefox ESR (Debian: apt-get install firefox-esr), or name one in LACUNA_FIREFOX.");
}

/** A Vulkan driver for Node's WebGPU: nothing to do off Linux, beside a GPU, or where the caller chose one. */
export function installVulkan() {
  if (process.platform !== "linux" || hasGpuNode() || process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES || findLavapipe()) return;
  if (canApt()) {
    say("installing Mesa's software Vulkan driver (lavapipe)");
    const release = osRelease();
    if (release === "bookworm") {
      addBackports(release);
      aptInstall(["-t", `${release}-backports`, "mesa-vulkan-drivers"]);
    } else aptInstall(["mesa-vulkan-drivers"]);
  }
  if (!findLavapipe())
    say(`no Vulkan driver for WebGPU in Node. Install Mesa ${MESA_NEEDED} or newer (Debian: mesa-vulkan-drivers, on Debian 12 from bookworm-backports).`);
}

/** @param {string} text */
export function say(text) {
  process.stderr.write(`lacuna: ${text}\n`);
}

/** Prints and ends the process. @param {string} text @returns {never} */
export function fail(text) {
  say(text);
  process.exit(1);
}

/** @param {string[]} packages */
function aptInstall(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["update", "-q"], env);
  return run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...packages], env);
}

/** Adds the backports suite of this Debian, from the mirror the machine already uses. @param {string} release */
function addBackports(release) {
  const sources = aptSources();
  if (sources.some((text) => text.includes(`${release}-backports`))) return;
  const mirror = sources.flatMap((text) => mirrors(text, release))[0];
  if (!mirror) return;
  const signed = mirror.signedBy ? ` [signed-by=${mirror.signedBy}]` : "";
  writeFileSync("/etc/apt/sources.list.d/lacuna-backports.list", `deb${signed} ${mirror.uri} ${release}-backports main\n`);
}

function aptSources() {
  const folder = "/etc/apt/sources.list.d";
  const files = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return ["/etc/apt/sources.list", ...files].filter((path) => /\.(list|sources)$/.test(path) && existsSync(path)).map((path) => readFileSync(path, "utf8"));
}

/**
 * The mirrors of a sources file that serve `release` itself (component main: not a third party's packages for it), in either of apt's formats.
 * @param {string} text @param {string} release @returns {{ uri: string, signedBy: string | undefined }[]}
 */
export function mirrors(text, release) {
  const lines = [...text.matchAll(/^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$/gm)]
    .filter((line) => line[3] === release && /\bmain\b/.test(line[4] ?? ""))
    .map((line) => ({ uri: line[2] ?? "", signedBy: line[1]?.match(/signed-by=(\S+)/)?.[1] }));
  const stanzas = text
    .split(/\n\s*\n/)
    .filter((stanza) => field(stanza, "Suites")?.split(/\s+/).includes(release) && field(stanza, "Components")?.includes("main"));
  return [...lines, ...stanzas.map((stanza) => ({ uri: field(stanza, "URIs")?.split(/\s+/)[0] ?? "", signedBy: field(stanza, "Signed-By") }))];
}

/** @param {string} stanza @param {string} name */
function field(stanza, name) {
  return stanza.match(new RegExp(`^${name}:[ \\t]*(\\S.*)$`, "m"))?.[1]?.trim();
}

function osRelease() {
  const path = "/etc/os-release";
  return existsSync(path) ? readFileSync(path, "utf8").match(/^VERSION_CODENAME="?(\w+)"?$/m)?.[1] : undefined;
}

/** Runs with stdout sent to stderr; true if it ended well. @param {string} command @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
function run(command, args, env = process.env) {
  return spawnSync(command, args, { cwd: root, env, stdio: ["ignore", 2, 2], shell: process.platform === "win32" }).status === 0;
}
