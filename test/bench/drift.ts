// drift: how far SmolLM2 drifts from itself when its cache is compressed, at equal measured bytes: on prose that goes on, and where hidden
// pass keys are asked for afterwards. Takes many minutes without a GPU; what a context gave is kept, so that a run can go on later.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/machine.mjs";
import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { Runtime } from "../../src/generate/runtime";
import { scoreMany } from "../../src/generate/score-many";
import { treeStand } from "./bench-file";
import { openBenchModel } from "./bench-model";
import { type Candidate, cacheOptions, candidateName, promptAlone } from "./candidate";
import { defineSection, mean, percent, table, target } from "./section";

/** test/golden/README.md tells the layout. */
interface GoldenContext {
  readonly name: string;
  readonly kind: "prose" | "qa";
  readonly from: number;
  readonly ids: readonly number[];
}

interface DriftRow extends Candidate {
  readonly context: string;
  readonly kind: "prose" | "qa";
  readonly forced: number;
  readonly meanKl: number; // nats
  readonly maxKl: number;
  readonly top1: number; // share of forced tokens for which both caches put the same one first
  readonly share: number; // measured bytes over the 16-bit cache for all tokens
  readonly commit: string;
  readonly date: string;
}

interface DriftFigures {
  readonly model: string;
  readonly rows: readonly DriftRow[];
}

const CANDIDATES: readonly Candidate[] = [{ policy: "expected-attention", ratio: 0.25 }, { policy: "rate-distortion", ratio: 0.25 }, { policy: "uniform-4" }];
const OURS = ["lacuna", "lacuna-thorough"] as const;
const MORE: readonly Candidate[] = [
  ...[0.25, 0.125, 0.0625].flatMap((ratio) => OURS.map((policy) => ({ policy, ratio }))),
  ...[0.125, 0.0625].flatMap((ratio) => OURS.map((policy) => ({ policy, ratio, promptAlone: true }))),
  ...[0.25, 0.125, 0.0625].map((ratio) => ({ policy: "diffkv" as const, ratio })),
];

/** Limits on mean KL, nats, by candidate and kind of text. */
const LIMITS: Readonly<Record<string, { readonly prose: number; readonly qa: number }>> = {
  "rate-distortion 0.25": { prose: 0.003, qa: 0.005 },
  "lacuna 0.25": { prose: 0.0015, qa: 0.0025 },
  "lacuna 0.125": { prose: 0.014, qa: 0.025 },
  "lacuna 0.0625": { prose: 0.05, qa: 0.3 },
  "lacuna-thorough 0.25": { prose: 0.001, qa: 0.002 },
  "lacuna-thorough 0.125": { prose: 0.008, qa: 0.01 },
  "lacuna-thorough 0.0625": { prose: 0.035, qa: 0.06 },
};

export const drift = defineSection<DriftFigures>({
  name: "drift",
  title: "SmolLM2-135M, 1,024 tokens compressed, 192 forced: KL(full || compressed)",
  async run({ contexts, more, fresh, previous, say, keep }) {
    const all = JSON.parse(readFileSync(join(root, "test/golden/smollm2-contexts.json"), "utf8")) as GoldenContext[];
    const unknown = contexts.find((name) => !all.some((context) => context.name === name));
    if (unknown !== undefined) throw new Error(`There is no context ${unknown}; there are ${all.map(({ name }) => name).join(", ")}.`);
    const chosen = all.filter(({ name }) => contexts.length === 0 || contexts.includes(name));
    const wanted = [...CANDIDATES, ...(more ? MORE : [])];
    let rows = previous?.rows ?? [];
    const stand = treeStand(); // of the code that runs; the tree may move on meanwhile
    const model = await openBenchModel("smollm2-135m", say);
    try {
      for (const context of chosen) {
        const missing = fresh
          ? wanted
          : wanted.filter((candidate) => !rows.some((row) => row.context === context.name && candidateName(row) === candidateName(candidate)));
        if (missing.length === 0) {
          say(`  ${context.name}: measured already (--fresh measures again)`);
          continue;
        }
        say(`  ${context.name}: ${missing.map(candidateName).join(", ")}`);
        const found = (await measure(model.runtime, context, missing, say)).map((row) => ({ ...row, commit: stand, date: new Date().toISOString() }));
        rows = [...rows.filter((row) => !found.some((other) => other.context === row.context && candidateName(other) === candidateName(row))), ...found];
        keep({ model: "smollm2-135m", rows }, model.gpu.description);
      }
    } finally {
      model.dispose();
    }
  },
  describe({ rows }) {
    const names = [...new Set([...CANDIDATES, ...MORE, ...rows].map(candidateName))].filter((name) => rows.some((row) => candidateName(row) === name));
    const kinds = ["prose", "qa"] as const;
    const of = (name: string, kind: "prose" | "qa"): DriftRow[] => rows.filter((row) => candidateName(row) === name && row.kind === kind);
    const summary = names.map((name) => {
      const own = rows.filter((row) => candidateName(row) === name);
      const cells = kinds.flatMap((kind) => {
        const part = of(name, kind);
        return part.length === 0 ? ["-", "-"] : [mean(part.map(({ meanKl }) => meanKl)).toPrecision(2), mean(part.map(({ top1 }) => top1)).toFixed(3)];
      });
      return [name, percent(mean(own.map(({ share }) => share))), ...cells];
    });
    const single = rows.map((row) => [
      `${row.context}, ${candidateName(row)}`,
      percent(row.share),
      row.meanKl.toPrecision(2),
      row.maxKl.toPrecision(2),
      row.top1.toFixed(3),
      row.commit,
    ]);
    const targets = names.flatMap((name) =>
      kinds.flatMap((kind) => {
        const limit = LIMITS[name.replace(", prompt alone", "")];
        const part = of(name, kind).map(({ meanKl }) => meanKl);
        return limit && part.length > 0 ? [target(`${name}, mean KL on ${kind} (${part.length} contexts)`, mean(part), limit[kind], "at most", " nats")] : [];
      }),
    );
    return [
      table(["policy and budget", "bytes", "prose KL", "top-1", "qa KL", "top-1"], summary),
      "",
      table(["context by context", "bytes", "mean KL", "most", "top-1", "commit"], single),
      "  Bytes are measured, over the 16-bit cache for all 1,216 tokens; uniform-4 takes what it takes.",
      "  Prompt alone: over the 16-bit cache of the prompt's 1,024, without what is set aside for later tokens.",
      ...targets,
    ].join("\n");
  },
});

async function measure(
  runtime: Runtime,
  { name, kind, from, ids }: GoldenContext,
  candidates: readonly Candidate[],
  say: (line: string) => void,
): Promise<Omit<DriftRow, "commit" | "date">[]> {
  const every = tenths(say);
  const started = performance.now();
  const length = { tokens: ids.length, prompt: from };
  const wanted = candidates.map((candidate) =>
    candidate.promptAlone ? promptAlone(runtime.transformer, candidate, length) : { cache: cacheOptions(candidate), aside: 0 },
  );
  const { caches } = await scoreMany(runtime, {
    prompt: { ids },
    from,
    caches: wanted.map(({ cache }) => cache),
    onProgress: ({ done, total }) => every("prompt", done, total, started),
    onForced: (done, total) => every("forced", done, total, started),
  });
  const perToken = fullBytesPerToken(runtime.transformer.config);
  return candidates.map((candidate, side) => {
    const { tokens, kv } = caches[side] ?? raise(`no figures of ${candidateName(candidate)}`);
    const kl = tokens.map((token) => token.kl);
    return {
      context: name,
      kind,
      ...candidate,
      forced: tokens.length,
      meanKl: mean(kl),
      maxKl: Math.max(...kl),
      top1: mean(tokens.map(({ top1 }) => (top1 ? 1 : 0))),
      share: (kv.bytes - (wanted[side]?.aside ?? 0)) / ((candidate.promptAlone ? from : ids.length) * perToken),
    };
  });
}

function raise(message: string): never {
  throw new Error(message);
}

/** Says how far something is, ten times on its way. */
function tenths(say: (line: string) => void): (what: string, done: number, total: number, startedMs: number) => void {
  let said = "";
  return (what, done, total, startedMs) => {
    const mark = `${what} ${Math.floor((10 * done) / total)}`;
    if (mark === said) return;
    said = mark;
    say(`    ${what} ${percent(done / total, 0)}, ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
  };
}
