// unknown fields and kinds: what no part of a policy has is refused by name, with what there is, not ignored in silence.

import { expect, test } from "vitest";
import type { PolicySpec } from "../../../src/engine-types";
import { isEngineError } from "../../../src/errors";
import { resolvePolicy } from "../../../src/policy/policy";

const precision = { kind: "evict-only" };
const uniform = { kind: "uniform", format: "k8v8" };

/** What is refused of a policy: the part, the field found, the ones it has. */
function refusal(policy: unknown): { readonly field: unknown; readonly found: unknown; readonly expected: unknown; readonly message: string } | "accepted" {
  try {
    resolvePolicy(policy as PolicySpec);
    return "accepted";
  } catch (error) {
    if (!isEngineError(error) || error.code !== "BAD_OPTION") throw error;
    const { field, found, expected } = error.details;
    return { field, found, expected, message: error.message };
  }
}

test.each<[string, unknown, string, string]>([
  ["policy", { precision, presicion: 1 }, "presicion", "precision"],
  ["precision", { precision: { kind: "agacc", treshold: 1 } }, "treshold", "thresholds"],
  ["precision.prune", { precision: { kind: "agacc", bits: [4, 8], prune: { most: 0.9, rate: 1 } } }, "rate", "sparsity"],
  ["score", { precision, score: { kind: "snapkv", widow: 8 } }, "widow", "window"],
  ["score", { precision, score: { kind: "snapkv", sinks: 8 } }, "sinks", "window"], // a policy's, not a score's
  ["score", { precision, score: { kind: "snapkv", toString: 8 } }, "toString", "window"],
  ["score", { precision: uniform, score: { kind: "snapkv", widow: 8 } }, "widow", "window"], // where nothing is scored, too
  ["budget", { precision, budget: { kind: "ada", safegaurd: 0.5 } }, "safegaurd", "safeguard"],
  ["schedule", { precision, schedule: { kind: "every", every: 8 } }, "every", "tokens"],
  ["reevaluate", { precision, reevaluate: { often: 8 } }, "often", "every"],
  ["propagate", { precision, propagate: { part: 0.5 } }, "part", "rate"],
  ["read", { precision: uniform, read: { kind: "quest", pages: 8 } }, "pages", "chunk"],
  ["read", { precision: uniform, read: { kind: "all", pages: 8 } }, "pages", "chunk"],
  ["read.turn", { precision: uniform, read: { kind: "rocket", turn: { queries: 8 } } }, "queries", "window"],
  ["markers", { precision, markers: { count: 8, kinds: "plain" } }, "kinds", "kind"],
])("a field that %s has not: %j", (part, policy, found, known) => {
  const refused = refusal(policy);
  expect(refused).toMatchObject({ field: part, found, message: expect.stringContaining(found) });
  expect(refused).toMatchObject({ expected: expect.stringMatching(new RegExp(`\\b${known}\\b`)) });
});

test.each<[string, unknown]>([
  ["precision.prune", { precision: { kind: "agacc", bits: [4, 8], prune: 0.9 } }],
  ["score", { precision, score: "snapkv" }],
  ["budget", { precision, budget: 0.5 }],
  ["schedule", { precision, schedule: "every" }],
  ["reevaluate", { precision, reevaluate: 64 }],
  ["propagate", { precision, propagate: null }],
  ["read", { precision: uniform, read: "quest" }],
  ["read.turn", { precision: uniform, read: { kind: "rocket", turn: 32 } }],
  ["markers", { precision, markers: 8 }],
])("a part that is no object: %s", (field, policy) => {
  expect(refusal(policy)).toMatchObject({ field });
});

test.each(["toString", "constructor", "__proto__", "hasOwnProperty"])("a kind that every object has by that name is none: %s", (kind) => {
  expect(refusal({ precision: { kind } })).toMatchObject({ field: "precision.kind", found: kind });
  expect(refusal({ precision, budget: { kind } })).toMatchObject({ field: "budget.kind", found: kind });
  expect(refusal({ precision, score: { kind } })).toMatchObject({ field: "score.kind", found: kind });
  expect(refusal({ precision, schedule: { kind } })).toMatchObject({ field: "schedule.kind", found: kind });
  expect(refusal({ precision: uniform, read: { kind } })).toMatchObject({ field: "read.kind", found: kind });
  expect(refusal(kind)).toMatchObject({ field: "policy", found: kind });
});
