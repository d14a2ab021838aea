// agacc: AGACC's bits (seed document 001, section 2.4) as tiers: which formats it uses and from which importance a slot gets each.
// Leaves to others: the score (scorers/attention-history.ts), the common factor of the thresholds (the budget's search), the codes.

import { type Format, SPARSE_FORMATS } from "../cache/formats";
import type { FormatName, PolicySpec } from "../engine-types";
import { bad, whole, within } from "./checks";

/** Formats unless told, up to the most bits: those in which key and value have the same. */
export const AGACC_FORMATS: readonly FormatName[] = ["k2v2", "k4v4", "k8v8", "k16v16"];

/** The document leaves the thresholds open, but for evict << low; relative to uniform importance, before the budget's factor. */
const THRESHOLDS = [0.1, 1, 10] as const;

/**
 * AGACC's adaptive quantization and eviction. Of importance I, with thresholds [evict, low, high] and bits [least, most]:
 * - below `evict` a slot is dropped (2.4.3); from there to `low` it has the least bits ("aggressive compression");
 * - between `low` and `high`: b = least + floor((I - low) (most - least) / (high - low)), which is 2.4.1's line, rounded down to bits that a format
 *   has: b bits begin where I is low + (high - low) (b - least) / (most - least), the format's threshold;
 * - from `high` on the most bits ("full precision or minimal compression").
 *
 * With `prune` slots below `low` lose channels too (2.4.2): the rate p = p_max (1 - min(1, I / low)) is rounded down to what a sparse format of the least
 * bits leaves out, a half or three quarters, of which those below `sparsity` are not used. So a format that leaves out s ends where p = s, at
 * I = low (1 - s / p_max).
 *
 * Where it departs: a budget of bytes instead of fixed thresholds, which the budget's search multiplies by one factor (of a head, or of a layer's heads
 * together), so that `low` and `high` stand where 2.4.1 takes the least and the greatest importance of all tokens; a slot that was demoted gets its bits back
 * from the cold tier alone (src/cold; 2.6 decompresses, which restores nothing that was rounded off); pruned channels stand at the head's mean, not at zero.
 * @param formats by rising bytes; a format's bits are the mean of key's and value's, and those with more than the most are left out
 * @param precision thresholds positive and rising, default [.1, 1, 10]; bits whole, 2 to 16, default [2, 8]; prune of 0 to 1, sparsity .5. Throws BAD_OPTION.
 */
export function agaccTiers(
  formats: readonly Format[],
  { bits = [2, 8], thresholds = THRESHOLDS, prune }: PolicySpec["precision"],
): { readonly formats: readonly Format[]; readonly thresholds: readonly number[] } {
  if (!Array.isArray(bits) || bits.length !== 2) throw bad("precision.bits", bits, "[least, most]");
  const least = whole("precision.bits", bits[0], 2, 16);
  const most = whole("precision.bits", bits[1], least, 16);
  const [evict = 0, low = 0, high = 0] = thresholds;
  if (thresholds.length !== 3) throw bad("precision.thresholds", thresholds.length, "three numbers, [evict, low, high]");
  if (!(evict > 0 && evict <= low && low <= high)) throw bad("precision.thresholds", thresholds.join(","), "positive and rising");
  const lowest = formats.findLast((format) => bitsOf(format) <= least) ?? formats[0];
  const above = formats.filter((format) => format !== lowest && bitsOf(format) > least && bitsOf(format) <= most);
  const step = most > least ? (high - low) / (most - least) : 0;
  const pruned = prune && lowest ? prunedTiers(lowest, prune, evict, low) : [];
  return {
    formats: [...pruned.map(({ format }) => format), ...(lowest ? [lowest, ...above] : above)],
    thresholds: [evict, ...pruned.map(({ end }) => end), ...above.map((format) => low + step * (Math.ceil(bitsOf(format)) - least))],
  };
}

/** Sparse formats of a format's bits, by rising bytes, and the importance where each ends. */
function prunedTiers(
  lowest: Format,
  prune: NonNullable<PolicySpec["precision"]["prune"]>,
  evict: number,
  low: number,
): readonly { readonly format: Format; readonly end: number }[] {
  const most = within("precision.prune.most", prune.most, 0, 1);
  const sparsity = within("precision.prune.sparsity", prune.sparsity ?? 0.5, 0, 1);
  const { keyBits, valueBits } = lowest;
  const sparse = SPARSE_FORMATS.flatMap((format) => (format.basis === "none" && format.keyBits === keyBits && format.valueBits === valueBits ? [format] : []));
  if (sparse.length === 0)
    throw bad("precision.prune", `least bits of ${lowest.name}`, "4 or 8 bits of key and value: there are no others with pruned channels");
  return sparse
    .sort((a, b) => a.kept - b.kept)
    .filter(({ kept }) => 1 - kept >= sparsity && 1 - kept < most)
    .map((format) => ({ format, end: low * (1 - (1 - format.kept) / most) }))
    .filter(({ end }) => end > evict);
}

function bitsOf({ keyBits, valueBits }: Format): number {
  return (keyBits + valueBits) / 2;
}
