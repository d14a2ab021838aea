// cache-info: the words of shaders/lib/cache.wgsl's CacheInfo, from plan and policy. Leaves to others: the plan (cache-buffers).

import type { Policy } from "../policy/policy";
import type { CachePlan } from "./cache-plan";
import { type Format, keptChannels, keyWords, MOST_FORMATS, sharesScales, valueWords } from "./formats";

/** Words of shaders/lib/cache.wgsl's CacheInfo: pinned spans, formats, and its numbers (a multiple of four words). */
const FORMAT_WORDS = 12;
const FIRST_FORMAT = 16;
const FIRST_NUMBER = FIRST_FORMAT + MOST_FORMATS * FORMAT_WORDS;
export const INFO_BYTES = (FIRST_NUMBER + 28) * 4;

export function cacheInfo(plan: CachePlan, policy: Policy): ArrayBufferView {
  const data = new DataView(new ArrayBuffer(INFO_BYTES));
  const u32 = (at: number, ...values: number[]): void => {
    for (const [index, value] of values.entries()) data.setUint32((at + index) * 4, value, true);
  };
  const f32 = (at: number, ...values: number[]): void => {
    for (const [index, value] of values.entries()) data.setFloat32((at + index) * 4, value, true);
  };
  for (const [index, [start, end]] of policy.pinned.entries()) u32(4 * index, start, end);
  policy.formats.forEach((format, index) => {
    const slots = plan.layout.slotsPerPage[index] ?? 1;
    const errors = plan.errors[index] ?? { key: 0, value: 0 };
    const at = FIRST_FORMAT + FORMAT_WORDS * index;
    u32(at, Math.floor(format.keyBits), format.valueBits, plan.layout.slotWords[index] ?? 0, slots);
    f32(at + 4, errors.key, errors.value, policy.thresholds[index] ?? 1, plan.layout.pageBytes / slots);
    u32(at + 8, ...keyWordsOf(format, plan.shape.headSize));
  });
  const mode = { static: 0, tiers: 1, "rate-distortion": 2 }[policy.mode];
  u32(FIRST_NUMBER, policy.formats.length, mode, policy.budget.perHead ? 1 : 0);
  f32(FIRST_NUMBER + 3, policy.budget.safeguard);
  u32(FIRST_NUMBER + 4, policy.sinks, plan.ringSlots, plan.layout.pageWords, policy.pinned.length);
  f32(FIRST_NUMBER + 8, policy.kappa, policy.power);
  u32(FIRST_NUMBER + 10, plan.maxPages, plan.shape.headSize, plan.shape.kvHeads, plan.ringPlane);
  f32(FIRST_NUMBER + 14, policy.recency);
  u32(FIRST_NUMBER + 15, plan.meanStart);
  f32(FIRST_NUMBER + 16, policy.deviations, policy.recencySpan);
  u32(FIRST_NUMBER + 18, plan.extras.guests, plan.extras.markers, plan.extraStart, policy.markers.kind === "plain" ? 1 : 0);
  u32(FIRST_NUMBER + 22, policy.reevaluate ? 1 : 0, plan.extras.guestBits, plan.ringBits);
  return new Uint8Array(data.buffer);
}

/** Bits of a calibrated key's groups, a byte each, or the channels that a sparse format keeps, the top bit set; words of the key's codes; where the scales of key and value stand in a slot. */
function keyWordsOf(format: Format, headSize: number): number[] {
  const bits = format.basis === "klt" ? format.keyGroups.reduce<number>((word, group, index) => word | (group << (8 * index)), 0) : 0;
  const kept = format.basis === "none" ? 2 ** 31 + keptChannels(format.kept, headSize) : 0;
  const codes = keyWords(format, headSize);
  const keyScale = codes + valueWords(format, headSize);
  return [bits + kept, codes, keyScale, keyScale + (format.keyBits === 16 || sharesScales(format) ? 0 : 1)];
}
