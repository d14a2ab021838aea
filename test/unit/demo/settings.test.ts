// settings: what the page asks for is never what the engine refuses beforehand: no cold tier where a policy cannot have one, whatever is ticked.

import { afterEach, expect, test } from "vitest";
import { policyChoice } from "../../../demo/policies";
import { composed } from "../../../demo/state/compose";
import { coldMiB, coldStore, coldTier, compressedCache } from "../../../demo/state/settings";
import { resolvePolicy } from "../../../src/policy/policy";
import { isBudgeted, PRESET_NAMES } from "../../../src/policy/presets";

afterEach(() => {
  coldTier.value = false;
  coldStore.value = "memory";
});

test("the cold tier is asked for where it is ticked and the policy can have one, a preset's or one's own", () => {
  coldTier.value = true;
  coldMiB.value = 3;
  coldStore.value = "opfs";
  for (const name of PRESET_NAMES) {
    const able = isBudgeted(name) && !resolvePolicy(name).propagate;
    for (const policy of [name, composed(name)]) {
      expect(policyChoice(policy).noCold === undefined, name).toBe(able);
      expect(compressedCache(policy).cold, name).toEqual(able ? { maxBytes: 3 << 20, store: "opfs" } : undefined);
    }
  }
  expect(policyChoice("fastkv").noCold).toMatch(/only part of the prompt/);
  expect(policyChoice("full").noCold).toMatch(/drops nothing/);
  coldTier.value = false;
  expect(compressedCache("lacuna").cold).toBeUndefined();
});
