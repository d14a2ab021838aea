// machine: what this machine has: dependencies in step with the lock file, a Chromium, a Firefox, a Vulkan driver for Node.
// Looks only; install.mjs adds what is missing. Plain Node without packages: it runs before `npm ci`.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** Chromium's flags: WebGPU without a GPU (SwiftShader), and no traffic of its own. */
export const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-unsafe-swiftshader",
  "--disable-background-networking",
];

/** Mesa's lavapipe is refused by Dawn before this major version. */
export const MESA_NEEDED = 23;

/** True if node_modules holds what package-lock.json asks for. Compares versions, not dates: a checkout changes dates. */
export function dependenciesCurrent() {
  const installed = readJson(join(root, "node_modules/.package-lock.json"))?.packages;
  const wanted = readJson(join(root, "package-lock.json"))?.packages;
  if (!installed || !wanted) return false;
  return Object.entries(wanted).every(([path, entry]) => path === "" || entry.optional || entry.devOptional || installed[path]?.version === entry.version);
}

/** Path of a Chrome or Chromium, or undefined. LACUNA_CHROMIUM names one by hand. */
export function findChromium() {
  const own = process.env.LACUNA_CHROMIUM ?? process.env.CHROME_BIN;
  if (own && existsSync(own)) return own;
  return (
    onPath(["chromium", "google-chrome", "google-chrome-stable", "chromium-browser", "microsoft-edge"]) ??
    CHROMIUM_PATHS.find(existsSync) ??
    playwrightChromium()
  );
}

/** Path of a Firefox (ESR), or undefined. LACUNA_FIREFOX names one by hand. */
export function findFirefox() {
  const own = process.env.LACUNA_FIREFOX;
  return own && existsSync(own) ? own : onPath(["firefox-esr", "firefox"]);
}

/**
 * The environment in which Node's WebGPU (Dawn) finds an adapter: nothing where there is a hardware driver or the caller chose one,
 * lavapipe otherwise. Chromium must not see these: it brings its own driver and breaks even on an empty VK_ICD_FILENAMES.
 * @returns {Record<string, string>}
 */
export function vulkanEnvironment() {
  if (process.platform !== "linux" || process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES || hasGpuNode()) return {};
  const icd = findLavapipe();
  return icd ? { VK_ICD_FILENAMES: icd, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? "/tmp" } : {};
}

/** The environment of a browser: this one without a choice of Vulkan driver, which is Node's own. @returns {Record<string, string>} */
export function browserEnvironment() {
  const { VK_ICD_FILENAMES: _icd, VK_DRIVER_FILES: _driver, ...rest } = process.env;
  return Object.fromEntries(Object.entries(rest).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** How Playwright launches the Chromium of this machine; without one, it looks for its own. */
export function chromiumLaunch() {
  const executablePath = findChromium();
  return { ...(executablePath && { executablePath }), args: [...CHROMIUM_FLAGS], env: browserEnvironment() };
}

/** How Playwright launches the Firefox of this machine: over WebDriver BiDi, on the Vulkan driver that Node uses too. */
export function firefoxLaunch() {
  const executablePath = findFirefox();
  return {
    ...(executablePath && { executablePath }),
    channel: "moz-firefox",
    env: { ...browserEnvironment(), ...vulkanEnvironment() },
    firefoxUserPrefs: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true },
  };
}

/** The manifest of a lavapipe that Dawn accepts, or undefined. */
export function findLavapipe() {
  const version = mesaVersion();
  if (version !== undefined && version < MESA_NEEDED) return undefined;
  const folder = "/usr/share/vulkan/icd.d";
  if (!existsSync(folder)) return undefined;
  const manifest = readdirSync(folder).find((name) => /^lvp_icd.*\.json$/.test(name));
  return manifest && join(folder, manifest);
}

/** True if a GPU's device file is there, so that its driver is tried first. */
export function hasGpuNode() {
  const nodes = existsSync("/dev/dri") ? readdirSync("/dev/dri") : [];
  return nodes.some((name) => name.startsWith("renderD")) || existsSync("/dev/nvidia0") || existsSync("/dev/dxg");
}

/** True if apt can be used without asking: Debian or Ubuntu, as root. */
export function canApt() {
  return process.platform === "linux" && process.getuid?.() === 0 && onPath(["apt-get"]) !== undefined;
}

/** Path of the first of these programs that PATH holds. @param {string[]} names */
export function onPath(names) {
  for (const name of names)
    for (const folder of (process.env.PATH ?? "").split(process.platform === "win32" ? ";" : ":")) {
      const path = join(folder, name);
      if (folder && existsSync(path)) return path;
    }
  return undefined;
}

const CHROMIUM_PATHS = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  join(homedir(), "Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe",
];

/** The browser that `npx playwright install chromium` put into its cache. */
function playwrightChromium() {
  try {
    const path = createRequire(import.meta.url)("playwright").chromium.executablePath();
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined; // dependencies are not installed yet
  }
}

/** Mesa's major version as Debian's package tells it; undefined where there is no dpkg (then the manifest is trusted). */
function mesaVersion() {
  if (!onPath(["dpkg-query"])) return undefined;
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query replaces it
  const asked = spawnSync("dpkg-query", ["-W", "-f=${Version}", "mesa-vulkan-drivers"], { encoding: "utf8" });
  return asked.status === 0 ? Number.parseInt(asked.stdout.replace(/^\d+:/, ""), 10) : 0;
}

/** @param {string} path */
function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined; // missing or half written: the same as not installed
  }
}

/** The commit this tree stands at, "unknown" outside git; benchmarks print it. */
export function commit() {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}
