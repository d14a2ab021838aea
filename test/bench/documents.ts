// documents: does the tiny model still find the fact? Documents with six facts are compressed, then one fact is asked for.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/machine.mjs";
import { fullBytesPerToken } from "../../src/cache/page-layout";
import type { PresetName } from "../../src/engine-types";
import type { Runtime } from "../../src/generate/runtime";
import { scoreMany } from "../../src/generate/score-many";
import { openBenchModel } from "./bench-model";
import { type Candidate, cacheOptions, candidateName } from "./candidate";
import { defineSection, mean, percent, table, target } from "./section";

/** test/golden/README.md tells the layout. */
interface GoldenDocument {
  readonly prompt: readonly number[];
  readonly facts: readonly { readonly question: readonly number[]; readonly answer: readonly number[] }[];
  readonly asked: number;
}

interface PolicyFigures extends Candidate {
  /** Document by document: every token of the answer was the cache's first choice, which is what greedy decoding would have written. */
  readonly right: readonly boolean[];
  /** KL(full || compressed), nats, over the answers' tokens. */
  readonly meanKl: number;
  /** Measured bytes over those of the 16-bit cache. */
  readonly share: number;
}

interface DocumentFigures {
  readonly model: string;
  readonly promptTokens: number; // mean
  readonly policies: readonly PolicyFigures[];
}

const RATIOS = [0.25, 0.125, 0.0625] as const;
const CANDIDATES: readonly Candidate[] = [
  ...(["rate-distortion", "expected-attention"] as const).flatMap((policy) => RATIOS.map((ratio) => ({ policy, ratio }))),
  { policy: "uniform-4" },
];

export const documents = defineSection<DocumentFigures>({
  name: "documents",
  title: "tiny model, one of six facts asked for after its document was compressed",
  async run({ documents: count, say, keep }) {
    const all = JSON.parse(readFileSync(join(root, "test/golden/tiny-documents.json"), "utf8")) as GoldenDocument[];
    const chosen = all.slice(0, count);
    const model = await openBenchModel("tiny", say);
    try {
      const answers: Answer[][] = [];
      for (const [index, document] of chosen.entries()) {
        const answer = await ask(model.runtime, document);
        answers.push(answer);
        say(
          `  document ${index + 1} of ${chosen.length}: right with ${
            answer
              .filter(({ right }) => right)
              .map(candidateName)
              .join(", ") || "none"
          }`,
        );
      }
      keep({ model: "tiny", promptTokens: mean(chosen.map(({ prompt }) => prompt.length)), policies: summarize(answers) }, model.gpu.description);
    } finally {
      model.dispose();
    }
  },
  describe({ promptTokens, policies }) {
    const full = rightOf(policies, "full");
    const rows = policies.map(({ right, meanKl, share, ...candidate }) => [
      candidateName(candidate),
      percent(share),
      `${right.filter(Boolean).length} of ${right.length}`,
      candidate.policy === "full" ? "" : meanKl.toPrecision(3),
    ]);
    return [
      table(["policy and budget", "bytes", "right", "mean KL of answers"], rows),
      `  Prompts of ${promptTokens.toFixed(0)} tokens on average; bytes are measured, over the 16-bit cache for prompt, question and answer.`,
      target("rate-distortion at 12.5 %: right answers against the full cache", rightOf(policies, "rate-distortion", 0.125), 0.9 * full, "at least"),
    ].join("\n");
  },
});

interface Answer extends Candidate {
  readonly right: boolean;
  readonly kl: readonly number[];
  readonly share: number;
}

async function ask(runtime: Runtime, { prompt, facts, asked }: GoldenDocument): Promise<Answer[]> {
  const { question = [], answer = [] } = facts[asked] ?? {};
  const ids = [...prompt, ...question, ...answer];
  const { full, caches } = await scoreMany(runtime, { prompt: { ids }, from: prompt.length, caches: CANDIDATES.map(cacheOptions) });
  const bytes = ids.length * fullBytesPerToken(runtime.transformer.config);
  const answers = caches.map(({ tokens }) => tokens.slice(question.length));
  const exact: Answer = {
    policy: "full",
    right: (answers[0] ?? []).every(({ fullFirst, id }) => fullFirst === id), // the same beside every policy
    kl: [],
    share: full.kv.bytes / bytes,
  };
  const others = CANDIDATES.map((candidate, side) => {
    const own = answers[side] ?? [];
    const share = (caches[side]?.kv.bytes ?? Number.NaN) / bytes;
    return { ...candidate, right: own.every(({ first, id }) => first === id), kl: own.map(({ kl }) => kl), share };
  });
  return [exact, ...others];
}

/** Rows of answers, one per document, to figures, one per policy. */
function summarize(answers: readonly (readonly Answer[])[]): PolicyFigures[] {
  return (answers[0] ?? []).map(({ policy, ratio }, index) => {
    const own = answers.flatMap((row) => row[index] ?? []);
    const kl = own.flatMap((answer) => answer.kl);
    return {
      policy,
      ...(ratio === undefined ? {} : { ratio }),
      right: own.map(({ right }) => right),
      meanKl: kl.length > 0 ? mean(kl) : 0,
      share: mean(own.map(({ share }) => share)),
    };
  });
}

function rightOf(policies: readonly PolicyFigures[], policy: PresetName, ratio?: number): number {
  return policies.find((row) => row.policy === policy && row.ratio === ratio)?.right.filter(Boolean).length ?? Number.NaN;
}
