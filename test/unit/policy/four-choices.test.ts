// four choices: any score, budget, precision and schedule go together, but for the exceptions written here, which are refused by name.

import { expect, test } from "vitest";
import type { BudgetSpec, PolicySpec, ScoreSpec } from "../../../src/engine-types";
import { isEngineError } from "../../../src/errors";
import { resolvePolicy } from "../../../src/policy/policy";
import { SCHEDULE_KINDS } from "../../../src/policy/schedules";
import { SCORERS } from "../../../src/policy/scorers";

type PrecisionKind = PolicySpec["precision"]["kind"];
interface Choices {
  readonly score: ScoreSpec["kind"];
  readonly budget: BudgetSpec["kind"];
  readonly precision: PrecisionKind;
}

const SCORES: readonly ScoreSpec["kind"][] = ["none", ...SCORERS.map(({ name }) => name)];
const BUDGETS: Readonly<Record<BudgetSpec["kind"], BudgetSpec>> = {
  uniform: { kind: "uniform" },
  ada: { kind: "ada" },
  shares: { kind: "shares" },
  pyramid: { kind: "pyramid" },
  table: { kind: "table", table: [2, 1] },
  global: { kind: "global" },
  dynamic: { kind: "dynamic" },
  cake: { kind: "cake" },
};
const PRECISIONS = Object.keys({ "evict-only": 0, uniform: 0, tiers: 0, agacc: 0, "rate-distortion": 0 } satisfies Record<PrecisionKind, 0>) as PrecisionKind[];

/** The exceptions, each with the field that is refused. */
const REFUSED: readonly { readonly why: string; readonly field: string; readonly applies: (choices: Choices) => boolean }[] = [
  {
    why: "what drops tokens or chooses their bits must know which matter",
    field: "score.kind",
    applies: ({ score, precision }) => score === "none" && precision !== "uniform",
  },
  {
    why: "layers are weighed against each other by importance alone: uniform precision looks at none, rate-distortion at the damage a byte saves",
    field: "budget.kind",
    applies: ({ budget, precision }) => ["global", "dynamic", "cake"].includes(budget) && ["uniform", "rate-distortion"].includes(precision),
  },
];

/** The field that is refused, or undefined. */
function refusedField(spec: PolicySpec): unknown {
  try {
    resolvePolicy(spec);
    return undefined;
  } catch (error) {
    if (!isEngineError(error) || error.code !== "BAD_OPTION") throw error;
    return error.details.field;
  }
}

test.each(PRECISIONS)("%s goes with every score, budget and schedule but for the exceptions", (precision) => {
  const seen = { accepted: 0, refused: 0 };
  for (const score of SCORES)
    for (const budget of Object.values(BUDGETS))
      for (const kind of SCHEDULE_KINDS) {
        const wanted = REFUSED.find(({ applies }) => applies({ score, budget: budget.kind, precision }))?.field;
        const spec: PolicySpec = { score: { kind: score }, budget, precision: { kind: precision }, schedule: { kind } };
        expect(refusedField(spec), JSON.stringify(spec)).toBe(wanted);
        seen[wanted ? "refused" : "accepted"]++;
      }
  expect(seen.accepted).toBeGreaterThan(0);
  expect(seen.refused).toBeGreaterThan(0);
});

test.each(["global", "dynamic", "cake"] as const)("where %s is refused, the precisions it goes with are told, all of them and no other", (kind) => {
  const going = PRECISIONS.filter((precision) => refusedField({ budget: { kind }, precision: { kind: precision } }) === undefined);
  expect(going).toHaveLength(3);
  for (const precision of PRECISIONS.filter((name) => !going.includes(name)))
    expect(() => resolvePolicy({ budget: { kind }, precision: { kind: precision } })).toThrowError(
      expect.objectContaining({ details: expect.objectContaining({ found: kind, expected: expect.stringContaining(`precision ${going.join(", ")},`) }) }),
    );
});
