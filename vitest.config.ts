// vitest.config: the test projects. unit: plain Node. kernels: the same files on Dawn (Node) and, as kernels-chromium, on
// SwiftShader in Chromium (and, as kernels-firefox, in Firefox where asked for). model, worker and e2e: whole engine in Node, the worker boundary, the page in Chromium.

import { playwright } from "@vitest/browser-playwright";
import type { LaunchOptions } from "playwright";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { chromiumLaunch, firefoxLaunch, vulkanEnvironment } from "./scripts/machine.mjs";

const kernelTests = ["test/kernels/**/*.test.ts"];

const patient = { testTimeout: 300_000, hookTimeout: 300_000 };

/** One GPU, two cores: GPU tests run one file after the other. */
const oneAtATime = { ...patient, fileParallelism: false };

/** But kernels in Node, which spend most of their time in compilers and f64 references, by two. */
const twoAtATime = { ...patient, maxWorkers: 2 };

/** The kernel tests in a page of this machine's browser. */
function inBrowser(browser: "chromium" | "firefox", launchOptions: LaunchOptions): TestProjectConfiguration {
  return {
    extends: true,
    test: {
      ...oneAtATime,
      name: `kernels-${browser}`,
      include: kernelTests,
      browser: { enabled: true, headless: true, screenshotFailures: false, provider: playwright({ launchOptions }), instances: [{ browser }] },
    },
  };
}

export default defineConfig({
  test: {
    reporters: ["default"],
    projects: [
      { extends: true, test: { name: "unit", include: ["test/unit/**/*.test.ts", "test/worker/**/*.test.ts"], testTimeout: 60_000 } },
      { extends: true, test: { ...twoAtATime, name: "kernels", include: kernelTests, pool: "forks", env: vulkanEnvironment() } },
      inBrowser("chromium", chromiumLaunch()),
      inBrowser("firefox", firefoxLaunch()),
      { extends: true, test: { ...oneAtATime, name: "model", include: ["test/model/**/*.test.ts"], pool: "forks", env: vulkanEnvironment() } },
      { extends: true, test: { ...oneAtATime, name: "e2e", include: ["test/e2e/**/*.test.ts"], globalSetup: ["test/e2e/site.ts"], pool: "forks" } },
    ],
  },
});
