// layering: who may import whom, how long a file may be, and that every kernel has its wrapper and its test. Reads the source text.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Leaves of plain types, constants and pure formulas: every module of src may read them, they read only each other. */
const DATA = [
  "src/errors",
  "src/config",
  "src/engine-types",
  "src/session-types",
  "src/map-types",
  "src/cold-types",
  "src/model/model-config",
  "src/model/weights",
  "src/cache/formats",
  "src/cache/page-layout",
  "src/policy/presets",
  "src/policy/spec-parts",
  "src/policy/calibration",
  "src/policy/checks",
  "src/policy/schedules",
  "src/load/float16",
];

interface Row {
  /** Modules (a file without extension, or a folder) that may be imported, besides the own folder and, inside src, DATA. */
  readonly modules: readonly string[];
  /** Modules of which only types may be imported. */
  readonly types?: readonly string[];
  /** Packages; `node:` is Node's own. */
  readonly packages?: readonly string[];
  /** Modules that stay forbidden although another rule would allow them. */
  readonly never?: readonly string[];
}

/** The row of a file is that of the longest name it starts with. */
const TABLE: Readonly<Record<string, Row>> = {
  demo: { modules: ["workers/client", "src/engine-types", "src/errors", "src/policy/presets", "models"], packages: ["preact", "@preact/signals"] },
  workers: { modules: ["src/engine-types", "src/errors"], packages: ["comlink"], never: ["workers/engine-worker"] },
  "workers/engine-worker": { modules: ["src/engine", "src/engine-types", "src/errors"], packages: ["comlink"] },
  "src/index": { modules: ["src/engine", "src/openai", "workers/client"] },
  "src/engine": {
    modules: ["src/openai", "src/calibrate", "src/text", "src/generate", "src/model", "src/cache", "src/policy", "src/load", "src/gpu", "models"],
  },
  "src/openai": { modules: [] },
  "src/text": { modules: [], packages: ["@huggingface/tokenizers", "@huggingface/jinja"] },
  "src/calibrate": { modules: ["src/generate", "src/model", "src/cache", "src/policy", "src/kernels", "src/gpu", "src/load", "src/text", "models"] },
  "src/generate": { modules: ["src/model", "src/cold", "src/cache", "src/policy", "src/text"], types: ["src/gpu"] }, // text: stop strings end a generation
  "src/cold": { modules: ["src/cache", "src/kernels", "src/gpu", "src/load/scratch-file"], types: ["src/policy"] },
  "src/model": { modules: ["src/cold", "src/cache", "src/kernels", "src/gpu", "src/policy"] }, // policy: a sequence joins one to its cache
  "src/policy": { modules: ["src/kernels", "models"], types: ["src/gpu"] },
  "src/cache": { modules: ["src/kernels", "src/gpu"], types: ["src/policy"] },
  "src/kernels": { modules: ["src/gpu"] }, // and its own shader, see below
  "src/gpu": { modules: [] },
  "src/load": { modules: ["src/gpu", "models"], types: ["src/text"], packages: ["@huggingface/gguf", "@noble/hashes"] },
  "src/node": { modules: ["src/engine", "src/calibrate", "src/load", "src/gpu", "models"], packages: ["node:", "webgpu", "fflate"] },
  ...Object.fromEntries(DATA.map((name) => [name, { modules: [] }])),
};

const LINES = { ".ts": 350, ".tsx": 350, ".mjs": 350, ".wgsl": 200 } as const;

interface Import {
  readonly file: string;
  readonly target: string; // a path from the root without extension, or a package
  readonly typeOnly: boolean;
}

test("imports follow the table", () => {
  const imports = filesIn(["src", "workers", "demo"], /\.tsx?$/).flatMap(importsOf);
  expect(imports.length).toBeGreaterThan(10);
  expect(imports.filter((item) => !allowed(item)).map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
});

test("the table itself refuses what it should", () => {
  const refused = (file: string, target: string, typeOnly = false): boolean => !allowed({ file, target, typeOnly });
  expect(refused("demo/main.tsx", "src/engine")).toBe(true);
  expect(refused("demo/main.tsx", "workers/client")).toBe(false);
  expect(refused("workers/client.ts", "src/engine")).toBe(true);
  expect(refused("workers/engine-worker.ts", "src/engine")).toBe(false);
  expect(refused("workers/engine-worker.ts", "src/gpu/device")).toBe(true);
  expect(refused("src/generate/generate.ts", "src/gpu/recorder")).toBe(true);
  expect(refused("src/generate/generate.ts", "src/gpu/recorder", true)).toBe(false);
  expect(refused("src/kernels/rope.ts", "shaders/rope.wgsl")).toBe(false);
  expect(refused("src/kernels/rope.ts", "shaders/norm.wgsl")).toBe(true);
  expect(refused("src/kernels/rope.ts", "src/cache/page-table")).toBe(true);
  expect(refused("src/engine.ts", "shaders/rope.wgsl")).toBe(true);
  expect(refused("src/text/tokenizer.ts", "node:fs")).toBe(true);
  expect(refused("src/cache/page-layout.ts", "src/cache/pool")).toBe(true);
  expect(refused("src/new-folder/file.ts", "src/errors")).toBe(true);
});

test("every shader has a wrapper and a test of its name", () => {
  const stems = filesIn(["shaders"], /\.wgsl$/)
    .filter((file) => !file.startsWith("shaders/lib/"))
    .map((file) => posix.basename(file, ".wgsl"));
  const wanted = stems.flatMap((stem) => [`src/kernels/${stem}.ts`, `test/kernels/${stem}.test.ts`]);
  expect(wanted.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

test("no file is longer than one idea", () => {
  const files = filesIn(["src", "workers", "demo", "shaders", "scripts", "test"], /\.(tsx?|mjs|wgsl)$/);
  const long = files.map((file) => ({ file, lines: text(file).split("\n").length - 1, most: LINES[posix.extname(file) as keyof typeof LINES] }));
  expect(long.filter(({ lines, most }) => lines > most).map(({ file, lines, most }) => `${file}: ${lines} lines, at most ${most}`)).toEqual([]);
});

test("every file begins by saying what it does", () => {
  const files = filesIn(["src", "workers", "demo", "shaders", "scripts"], /\.(tsx?|mjs|wgsl)$/);
  expect(files.filter((file) => !/^(#!.*\n)?(\/\/|\/\*\*?) ?[\w-]+/.test(text(file)))).toEqual([]);
});

function allowed({ file, target, typeOnly }: Import): boolean {
  const module = withoutExtension(file);
  const name = longest(Object.keys(TABLE), module);
  const row = TABLE[name ?? ""];
  if (!name || !row) return false; // a new folder needs a row
  if (row.never?.includes(target)) return false;
  if (target.startsWith("shaders/"))
    return target.startsWith("shaders/lib/")
      ? /^src\/(kernels|gpu)\//.test(file)
      : target === `shaders/${posix.basename(module)}.wgsl` && name === "src/kernels";
  if (!/^(src|workers|demo|models|test|scripts)\//.test(target))
    return (row.packages ?? []).some((name) => target === name || target.startsWith(name.endsWith(":") ? name : `${name}/`));
  if (DATA.includes(module)) return DATA.includes(target);
  if (module.startsWith("src/") && DATA.includes(target)) return true;
  if (!DATA.includes(target) && inside(target, folderOf(name))) return true;
  return inside(target, ...row.modules) || (typeOnly && inside(target, ...(row.types ?? [])));
}

/** A row of a folder owns that folder; a row of a file owns the file alone, except in workers/. */
function folderOf(row: string): string {
  return row.startsWith("workers") ? "workers" : row;
}

function inside(target: string, ...modules: readonly string[]): boolean {
  return modules.some((name) => target === name || target.startsWith(`${name}/`));
}

function longest(names: readonly string[], module: string): string | undefined {
  return names.filter((name) => module === name || module.startsWith(`${name}/`)).sort((a, b) => b.length - a.length)[0];
}

function importsOf(file: string): Import[] {
  const code = text(file);
  const statements = [...code.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:[\w*{][^;"']*?\sfrom\s+)?["']([^"']+)["']/gm)];
  const dynamic = [...code.matchAll(/\bimport\(\s*["']([^"']+)["']/g)];
  const found = [...statements.map((hit) => [hit[2], hit[1] !== undefined] as const), ...dynamic.map((hit) => [hit[1], false] as const)];
  return found.map(([specifier = "", typeOnly]) => ({ file, target: resolve(file, specifier), typeOnly }));
}

function resolve(file: string, specifier: string): string {
  if (!specifier.startsWith(".")) return specifier;
  return withoutExtension(posix.join(posix.dirname(file), specifier).replace(/\?.*$/, ""));
}

/** Drops .ts and .tsx; shaders keep theirs, which tells them from modules. */
function withoutExtension(path: string): string {
  return path.replace(/\.tsx?$/, "");
}

function filesIn(folders: readonly string[], pattern: RegExp): string[] {
  return folders.flatMap((folder) =>
    existsSync(join(root, folder))
      ? readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
          .map((name) => posix.join(folder, name.replaceAll("\\", "/")))
          .filter((name) => pattern.test(name))
      : [],
  );
}

function text(file: string): string {
  return readFileSync(join(root, file), "utf8");
}
