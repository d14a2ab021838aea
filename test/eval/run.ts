// run: every policy at every budget on every sample, as far as it is not known yet. Policies of a sample share one pass over its prompt.

import type { ToolEngine } from "../../src/engine";
import { EngineError, isEngineError } from "../../src/errors";
import { Bar } from "./bar";
import { type Cell, type CellFile, type CellOrigin, cellKey, cellOf } from "./cells";
import { type Candidate, type EvalOptions, FULL } from "./options";
import { inOrder, type Row, rowOf } from "./rows";
import { type Kind, makeSample, type Sample, type SampleMaker } from "./samples";
import { readTexts } from "./texts";
import { wording, wordingFor } from "./wording";

/** What a run needs of an engine; tests bring their own. */
export type EvalEngine = Pick<ToolEngine, "info" | "tokenize" | "scoreMany" | "checkCaches">;

export interface RunHost {
  readonly cells: CellFile;
  readonly code: string;
  readonly signal: AbortSignal;
  readonly terminal: boolean;
  stderr(text: string): void;
}

interface Work {
  readonly sample: Sample;
  readonly kind: Kind;
  readonly candidate: Candidate;
  readonly key: string;
}

/** All rows, kind by kind. Finished cells are kept at once: the same call goes on where a killed one stopped. */
export async function run(engine: EvalEngine, options: EvalOptions, host: RunHost): Promise<Row[]> {
  const samples = await makeSamples(engine, options);
  const origin: CellOrigin = { model: engine.info.model.sha256, code: host.code };
  const candidates = inOrder(options.candidates);
  const work = samples.flatMap(({ sample, kind }) =>
    candidates.map((candidate): Work => ({ sample, kind, candidate, key: cellKey(origin, candidate, sample) })),
  );
  const known = (item: Work): Cell | undefined => (options.fresh ? undefined : host.cells.get(item.key));
  const found = new Map(work.flatMap((item) => [known(item)].flatMap((cell) => (cell ? [[item.key, cell] as const] : []))));
  await checkBudgets(
    engine,
    work.filter(({ key }) => !found.has(key)),
  );
  const bar = new Bar(work.length, work.filter(({ key }) => found.has(key)).length, host.stderr, host.terminal);
  for (const { sample } of samples) {
    const missing = work.filter((item) => item.sample === sample && !found.has(item.key));
    for (const group of groups(missing, options.together)) {
      for (const [item, cell] of await measure(engine, sample, group, bar, host)) {
        found.set(item.key, cell);
        host.cells.add(item.key, cell, { model: engine.info.model.name, sample: sample.name, policy: item.candidate.policy, budget: item.candidate.budget });
      }
      bar.add(group.length, sample.name);
    }
  }
  return options.kinds.flatMap((kind) =>
    candidates.map((candidate) => {
      const own = work.filter((item) => item.kind === kind && item.candidate === candidate);
      return rowOf(
        options,
        kind,
        candidate,
        own.flatMap(({ key }) => found.get(key) ?? []),
      );
    }),
  );
}

/** The full cache goes with the first group; a group is never the full cache alone where others are missing too. */
export function groups<Item extends { readonly candidate: Candidate }>(missing: readonly Item[], together: number): Item[][] {
  const full = missing.filter(({ candidate }) => candidate === FULL);
  const others = missing.filter(({ candidate }) => candidate !== FULL);
  const parts = Array.from({ length: Math.ceil(others.length / together) }, (_, part) => others.slice(part * together, (part + 1) * together));
  if (parts.length === 0) return full.length > 0 ? [full] : [];
  return parts.map((part, index) => (index === 0 ? [...full, ...part] : part));
}

async function makeSamples(engine: EvalEngine, options: EvalOptions): Promise<{ readonly sample: Sample; readonly kind: Kind }[]> {
  const { context, sha256 } = engine.info.model;
  const maker = await sampleMaker(engine, sha256);
  const made: { sample: Sample; kind: Kind }[] = [];
  for (const kind of options.kinds)
    for (let index = 0; index < options.samples; index++) {
      const sample = await makeSample(maker, { ...options, kind, index, count: options.samples });
      if (sample.ids.length >= context)
        throw new EngineError(
          "CONTEXT_FULL",
          `A sample of --length ${options.length} takes ${sample.ids.length} tokens, this model has ${context} positions. Choose a shorter length.`,
          { option: "--length", found: sample.ids.length, expected: context - 1 },
        );
      made.push({ sample, kind });
    }
  return made;
}

export async function sampleMaker(engine: EvalEngine, sha256: string): Promise<SampleMaker> {
  const lead = (await engine.tokenize({ text: "a" })).slice(0, -1); // what the engine puts in front of a raw prompt
  const known = new Map<string, readonly number[]>();
  const encode = async (text: string): Promise<readonly number[]> => {
    const ids = known.get(text) ?? (await engine.tokenize({ text })).slice(lead.length);
    known.set(text, ids);
    return ids;
  };
  return { encode, lead, wording: wording(wordingFor(sha256)), texts: readTexts() };
}

/** Refuses at once what would be refused hours later, in the middle of the run. Shorter samples have smaller budgets. */
async function checkBudgets(engine: EvalEngine, missing: readonly Work[]): Promise<void> {
  const shortest = Math.min(...missing.map(({ sample }) => sample.ids.length));
  const wanted = missing.filter(({ sample }) => sample.ids.length === shortest);
  const caches = wanted.map(({ candidate }) => candidate.options);
  if (missing.length > 0)
    await engine.checkCaches(caches, shortest).catch((error: unknown) => {
      throw named(error, wanted);
    });
}

async function measure(engine: EvalEngine, sample: Sample, group: readonly Work[], bar: Bar, host: RunHost): Promise<(readonly [Work, Cell])[]> {
  const others = group.filter(({ candidate }) => candidate !== FULL);
  // The full cache's guesses come beside those of another one, so that it is never run alone: at worst beside itself.
  const caches = others.length > 0 ? others.map(({ candidate }) => candidate.options) : [FULL.options];
  const promptPart = sample.from / (sample.from + 4 * (sample.ids.length - sample.from) * (caches.length + 1)); // a new token costs about four of a prompt
  const scores = await engine
    .scoreMany({
      prompt: { ids: sample.ids },
      from: sample.from,
      caches,
      signal: host.signal,
      onProgress: ({ done, total }) => bar.within(group.length * promptPart * (done / total), sample.name),
      onForced: (done, total) => bar.within(group.length * (promptPart + (1 - promptPart) * (done / total)), sample.name),
    })
    .catch((error: unknown) => {
      throw named(error, others);
    });
  const beside = scores.caches[0]?.tokens ?? [];
  return group.map((item) => {
    const at = others.indexOf(item);
    const own = scores.caches[at];
    return [item, own ? cellOf(sample, own, own.tokens, false) : cellOf(sample, scores.full, beside, true)] as const;
  });
}

/** The same error, saying whose cache it was. */
function named(error: unknown, group: readonly Work[]): unknown {
  const candidate = isEngineError(error) && typeof error.details.cache === "number" ? group[error.details.cache]?.candidate : undefined;
  if (!isEngineError(error) || !candidate) return error;
  const { policy, budget } = candidate;
  return new EngineError(error.code, `${policy} at budget ${budget}: ${error.message}`, { ...error.details, policy, budget }, { cause: error });
}
