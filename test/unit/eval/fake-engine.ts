// fake-engine: an engine for the tests of `npm run eval`: its tokenizer knows letters, its figures are made up from what is asked of it.

import type { EngineInfo, ScoredToken } from "../../../src/engine-types";
import { EngineError } from "../../../src/errors";
import type { CacheScore, ScoreManyRequest } from "../../../src/generate/score-many";
import type { EvalEngine } from "../../eval/run";

export interface FakeEngine extends EvalEngine {
  /** Policies of every call, in order. */
  readonly calls: string[][];
  /** Called before each; throws to break a run. */
  before?: () => void;
  dispose(): Promise<void>;
}

/** KL of every token under a budget: 0.01 over the ratio. The compressed cache guesses tokens with an even id right, the full one all. */
export function fakeEngine(context = 100_000): FakeEngine {
  const engine: FakeEngine = {
    calls: [],
    info: { model: { name: "fake", sha256: "f".repeat(64), context } } as EngineInfo,
    tokenize: async (prompt) => ("text" in prompt ? [...prompt.text].map((letter) => letter.codePointAt(0) ?? 0) : []),
    async scoreMany({ prompt, from, caches, onProgress, onForced }: ScoreManyRequest) {
      engine.before?.();
      engine.calls.push(caches.map(({ policy }) => String(policy)));
      const ids = "ids" in prompt ? prompt.ids : [];
      onProgress?.({ phase: "prefill", done: 1, total: 2 });
      onForced?.(1, 2);
      const kv = (ratio: number): CacheScore["kv"] => ({
        bytes: ratio * ids.length * 100,
        fullBytes: ids.length * 100,
        peakBytes: 1e6 + ratio * 1000,
        bytesByFormat: {},
        bytesReadPerToken: 50,
        slotsKept: 0,
        slotsEvicted: Math.round((1 - ratio) * 1000),
      });
      const timings = { prefillMs: 1000, decodeMs: 500, prefillTokensPerSecond: 1, decodeTokensPerSecond: 1 };
      const score = ({ budget }: ScoreManyRequest["caches"][number]): CacheScore => {
        const ratio = budget && "ratio" in budget ? budget.ratio : 0.5;
        const tokens = ids.slice(from).map((id): ScoredToken => {
          const even = id % 2 === 0;
          return { id, logprob: -2, fullLogprob: -1, kl: 0.01 / ratio, top1: even, first: even ? id : -1, fullFirst: id };
        });
        return { tokens, kv: kv(ratio), timings };
      };
      return { full: { tokens: [], kv: kv(1), timings }, caches: caches.map(score) };
    },
    async checkCaches(caches, tokens) {
      const small = caches.findIndex(({ budget }) => budget && "ratio" in budget && budget.ratio * tokens < 10);
      if (small >= 0) throw new EngineError("BUDGET_TOO_SMALL", "Too small.", { cache: small });
    },
    dispose: async () => {},
  };
  return engine;
}
