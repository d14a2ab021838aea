// cli-install: the parts of the installer that can be judged without installing: reading apt's sources, finding what is there.

import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { mirrors } from "../../scripts/install.mjs";
import { browserEnvironment, dependenciesCurrent, onPath, vulkanEnvironment } from "../../scripts/machine.mjs";

test("the mirror of a release is found in a one-line list", () => {
  const list =
    "# comment\ndeb-src http://sources.example/debian bookworm main\ndeb [arch=amd64 signed-by=/keys/d.gpg] http://mirror.example/debian bookworm main contrib\n";
  expect(mirrors(list, "bookworm")).toEqual([{ uri: "http://mirror.example/debian", signedBy: "/keys/d.gpg" }]);
  expect(mirrors("deb http://vendor.example/linux/debian bookworm stable\n", "bookworm")).toEqual([]);
  expect(mirrors("deb http://mirror.example/debian bookworm main\n", "bookworm")).toEqual([{ uri: "http://mirror.example/debian", signedBy: undefined }]);
});

test("the mirror of a release is found in a deb822 file; its security suite is not the release", () => {
  const file = `Types: deb deb-src
# URIs: http://snapshot.example/
URIs: http://mirror.example/debian http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/d.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;
  expect(mirrors(file, "bookworm")).toEqual([{ uri: "http://mirror.example/debian", signedBy: "/keys/d.gpg" }]);
  expect(mirrors(file, "trixie")).toEqual([]);
});

test("the lock file and node_modules agree, or this test could not run", () => {
  expect(dependenciesCurrent()).toBe(true);
});

test("a program on PATH is found by its first name that is there", () => {
  const node = process.platform === "win32" ? "node.exe" : "node";
  expect(existsSync(onPath(["no-such-program", node]) ?? "")).toBe(true);
  expect(onPath(["no-such-program"])).toBeUndefined();
});

test("a browser never sees Node's choice of Vulkan driver, and a driver chosen by hand is left alone", () => {
  const before = process.env.VK_ICD_FILENAMES;
  process.env.VK_ICD_FILENAMES = "/chosen/by/hand.json";
  try {
    expect(browserEnvironment()).not.toHaveProperty("VK_ICD_FILENAMES");
    expect(browserEnvironment()).toHaveProperty("PATH");
    expect(vulkanEnvironment()).toEqual({});
  } finally {
    if (before === undefined) delete process.env.VK_ICD_FILENAMES;
    else process.env.VK_ICD_FILENAMES = before;
  }
});
