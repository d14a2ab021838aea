// policy: the four choices, resolved: defaults filled in, everything checked once, here. Presets are in presets.ts.
// Decides; never touches a buffer.

import { ALL_FORMATS, type Format, formatByName, isFloor, MOST_FORMATS } from "../cache/formats";
import type { GuestBits, RingBits } from "../cache/page-layout";
import type { Budget, FormatName, MarkerKind, PolicySpec, PresetName, ScoreSpec } from "../engine-types";
import { EngineError } from "../errors";
import { AGACC_FORMATS, agaccTiers } from "./agacc";
import { type BudgetRule, resolveBudget } from "./budgets";
import type { Calibration } from "./calibration";
import { bad, whole, within } from "./checks";
import { PRESET_NAMES, PRESETS } from "./presets";
import { type Propagation, resolvePropagation } from "./propagation";
import { type ReadRule, resolveReading } from "./reading";
import { type Reevaluation, resolveReevaluation } from "./reevaluation";
import { RING, resolveSchedule, type ScheduleRule, SINKS } from "./schedules";
import { DEFAULTS, SCORERS, scorerByName } from "./scorers";
import type { ScoreOptions } from "./scorers/scorer";
import { checkFields } from "./spec-fields";

/** A policy with every field set. */
export interface Policy {
  readonly name: string;
  /** Absent where nothing is judged. */
  readonly score?: ScoreOptions;
  /** Who gets how much. */
  readonly budget: BudgetRule;
  readonly mode: "static" | "tiers" | "rate-distortion";
  /** By rising bytes. */
  readonly formats: readonly Format[];
  /** tiers: importance relative to uniform (times a common factor found by the budget) from which a slot gets each format. */
  readonly thresholds: readonly number[];
  /** rate-distortion: damage of a saturated logit error, and the power of importance (methods.md 10.3). */
  readonly kappa: number;
  readonly power: number;
  /** rate-distortion: what recent tokens weigh together, halved every `recencySpan` of them; added to importance when bits are chosen. */
  readonly recency: number;
  readonly recencySpan: number;
  /** s of AGACC 2.4.1: standard deviations from the mean to the outermost codes of 8 and 4 bits; 0: these stand for the smallest and the largest channel. */
  readonly deviations: number;
  /** When slots in pages are judged anew; static policies never do. */
  readonly schedule: ScheduleRule;
  /** Importance follows what is decoded; absent: it stays as it was. */
  readonly reevaluate?: Reevaluation;
  /** The prompt's pass goes on with some of its tokens; absent: with all. */
  readonly propagate?: Propagation;
  /** What a decoded token reads of what is held. */
  readonly read: ReadRule;
  readonly ring: number;
  readonly sinks: number;
  /** Of a channel of sinks and ring. */
  readonly ringBits: RingBits;
  readonly pinned: readonly (readonly [number, number])[];
  /** Rows a kv head that stand for what was dropped; count 0 for none. */
  readonly markers: { readonly count: number; readonly kind: MarkerKind };
  /** Rows a kv head that the host may fill with what was evicted (src/cache/extra-rows.ts). */
  readonly guests: number;
  /** Of a guest's channel. */
  readonly guestBits: GuestBits;
}

/**
 * What the last hundred tokens or so weigh together, whatever they are, beside a score that sums to 1 over a head; and the tokens over which it is
 * halved. No score of the prompt can see it, as it moves on with every token. After a replay, which says what of the prompt is looked up again, it is
 * as much as all of that, and half as much where bytes are few.
 */
const RECENCY = { usual: 0.25, replayed: 1, replayedSmall: 0.5, span: 32 } as const;

/** AGACC's s, which the document leaves open: what lies further from the mean is cut off; of a Gaussian, one channel in 370. */
const DEVIATIONS = 3;

/** What Scorer.refuses of every method that is not attention's history. */
const HISTORY_ALONE = { distance: "none, as no score but attention-history is divided by what its distance earns (AGACC 2.3)" } as const;

/** Formats that rate-distortion may choose from unless told, with and without a calibration. */
const CALIBRATED: readonly FormatName[] = ["k1.5v2", "k2v2-klt", "k3v2", "k4v4", "k8v4", "k8v8"];
const PLAIN: readonly FormatName[] = ["k2v2", "k4v2", "k4v4", "k8v8"];

export const MOST_PINNED = 4;
export const MOST_GUESTS = 1024;
export const MOST_MARKERS = 256;

/** True for policies that drop or choose bits, and so need a budget. */
export function needsBudget(policy: Policy): boolean {
  return policy.mode !== "static";
}

/**
 * @param calibration of the model: rate-distortion then has the formats that need one on offer
 * @param ratio the budget as a part of the full cache; where it is small, 16-bit rings and sinks of full length would take most of it
 * Throws BAD_OPTION.
 */
export function resolvePolicy(policy: PresetName | PolicySpec = "full", calibration?: Calibration, ratio = 1): Policy {
  const spec: PolicySpec | undefined = typeof policy === "string" ? PRESETS[policy]?.spec : policy;
  if (typeof spec?.precision?.kind !== "string") throw bad("policy", policy, `${PRESET_NAMES.join(", ")}, or an object with precision.kind`);
  checkFields(spec);
  const { kind } = spec.precision;
  const modes = { "evict-only": "tiers", uniform: "static", tiers: "tiers", agacc: "tiers", "rate-distortion": "rate-distortion" } as const;
  if (!Object.hasOwn(modes, kind)) throw bad("precision.kind", kind, Object.keys(modes).join(", "));
  const mode = modes[kind];
  const { formats, thresholds } = resolveTiers(spec, calibration);
  const guests = whole("guests", spec.guests ?? 0, 0, MOST_GUESTS);
  const isSmall = mode === "rate-distortion" && ratio < RING.below;
  const ring = whole("ring", spec.ring ?? RING[!isSmall ? "usual" : guests > 0 ? "besideGuests" : "small"], 2, 1024);
  const sinks = whole("sinks", spec.sinks ?? SINKS[isSmall ? "small" : "usual"], 0, 64);
  const score = resolveScore(spec, mode, sinks);
  const schedule = resolveSchedule(spec.schedule);
  // Where tokens that come later are never judged, none of those that are will have been recent for long.
  const recency = schedule.kind === "prefill" ? 0 : RECENCY[score && scorerByName(score.kind).replay ? (isSmall ? "replayedSmall" : "replayed") : "usual"];
  const budget = resolveBudget(spec.budget, mode);
  const markers = resolveMarkers(spec, mode);
  return {
    name: typeof policy === "string" ? policy : kind,
    ...(score ? { score } : {}),
    budget,
    mode,
    formats,
    thresholds,
    kappa: within("precision.kappa", spec.precision.kappa ?? 0.3, 0, 1),
    power: within("precision.power", spec.precision.power ?? 1.2, 0.1, 4),
    recency: mode === "rate-distortion" ? within("precision.recency", spec.precision.recency ?? recency, 0, 1) : 0,
    recencySpan: within("precision.recencySpan", spec.precision.recencySpan ?? RECENCY.span, 1, 1e6),
    deviations: resolveDeviations(spec, mode),
    schedule,
    ...(spec.reevaluate && { reevaluate: resolveReevaluation(spec.reevaluate, score) }),
    ...(spec.propagate !== undefined && { propagate: resolvePropagation(spec.propagate, { ...(score && { score }), budget, markers }) }),
    read: resolveReading(spec.read, formats, sinks + ring + 1, spec),
    ring,
    sinks,
    ringBits: resolveRingBits(spec, mode, calibration),
    pinned: resolvePinned(spec, formats),
    markers,
    guests,
    guestBits: resolveGuestBits(spec),
  };
}

/** A budget in bytes. A ratio is one of the full 16-bit cache at the request's end: prompt and new tokens together. */
export function budgetBytes(budget: Budget | undefined, fullBytes: number): number {
  if (!budget)
    throw new EngineError("BAD_OPTION", "This policy needs a budget, none was given. Pass { ratio: 0.25 } or { bytes: 8388608 }.", { field: "budget" });
  if (typeof budget !== "object" || !("bytes" in budget || "ratio" in budget)) throw bad("budget", budget, "{ ratio: 0.25 } or { bytes: 8388608 }");
  if ("bytes" in budget) return whole("budget.bytes", budget.bytes, 1, Number.MAX_SAFE_INTEGER);
  if (!(budget.ratio > 0 && budget.ratio <= 1)) throw bad("budget.ratio", budget.ratio, "above 0, at most 1 (the part that is kept)");
  return Math.floor(budget.ratio * fullBytes);
}

function resolveTiers(spec: PolicySpec, calibration: Calibration | undefined): Pick<Policy, "formats" | "thresholds"> {
  const formats = resolveFormats(spec.precision, calibration);
  return spec.precision.kind === "agacc" ? agaccTiers(formats, spec.precision) : { formats, thresholds: resolveThresholds(spec, formats.length) };
}

function resolveFormats({ kind, format, formats }: PolicySpec["precision"], calibration: Calibration | undefined): Format[] {
  const defaults: Readonly<Record<PolicySpec["precision"]["kind"], readonly FormatName[]>> = {
    "evict-only": ["k16v16"],
    uniform: ["k4v4"],
    tiers: ["k2v2", "k4v4"],
    agacc: AGACC_FORMATS,
    "rate-distortion": calibration ? CALIBRATED : PLAIN,
  };
  const names = formats ?? (format ? [format] : aboveFloor(defaults[kind], calibration));
  if (names.length === 0) throw bad("precision.formats", "none", "at least one format");
  for (const name of names)
    if (!ALL_FORMATS.some((known) => known.name === name)) throw bad("precision.formats", name, ALL_FORMATS.map((known) => known.name).join(", "));
  if (kind === "uniform" && names.length !== 1) throw bad("precision.formats", names.join(","), "one format for uniform precision");
  if (names.length > MOST_FORMATS) throw bad("precision.formats", `${names.length} formats`, `at most ${MOST_FORMATS}`);
  const rank = (candidate: Format): number => -ALL_FORMATS.indexOf(candidate);
  return [...new Set(names)].map(formatByName).sort((a, b) => rank(a) - rank(b));
}

/** Without the formats whose keys the model does not bear (design 4.7); the floor itself where that leaves none. */
function aboveFloor(names: readonly FormatName[], calibration: Calibration | undefined): readonly FormatName[] {
  if (!calibration?.keyFloor) return names;
  const floor = formatByName(calibration.keyFloor);
  const left = names.filter((name) => formatByName(name).keyBits >= floor.keyBits);
  return left.length > 0 ? left : [floor.name];
}

function resolveThresholds(spec: PolicySpec, formats: number): number[] {
  const given = spec.precision.thresholds ?? Array.from({ length: formats }, (_, tier) => 4 ** tier);
  if (given.length !== formats) throw bad("precision.thresholds", given.length, `${formats} numbers, one per format`);
  if (given.some((threshold, tier) => !(threshold > 0) || threshold < (given[tier - 1] ?? 0)))
    throw bad("precision.thresholds", given.join(","), "positive and rising");
  return [...given];
}

function resolveDeviations({ precision: { quantizer = "range", deviations } }: PolicySpec, mode: Policy["mode"]): number {
  if (!["range", "deviation"].includes(quantizer)) throw bad("precision.quantizer", quantizer, "range, deviation");
  if (mode === "rate-distortion" && quantizer !== "range")
    throw bad("precision.quantizer", quantizer, "range, as rate-distortion weighs formats by the errors of that");
  if (quantizer === "deviation") return within("precision.deviations", deviations ?? DEVIATIONS, 0.5, 16);
  if (deviations !== undefined)
    throw bad("precision.deviations", deviations, "none, as the range quantizer's grid ends at the extreme channels; s is that of quantizer deviation");
  return 0;
}

function resolveScore(spec: PolicySpec, mode: Policy["mode"], sinks: number): ScoreOptions | undefined {
  const given: ScoreSpec = spec.score ?? { kind: mode === "static" ? "none" : "ensemble" };
  const names = SCORERS.map(({ name }) => name);
  if (given.kind !== "none" && !names.includes(given.kind)) throw bad("score.kind", given.kind, ["none", ...names].join(", "));
  if (mode === "static") return undefined;
  if (given.kind === "none") throw bad("score.kind", given.kind, "a score, as this precision drops or chooses bits by importance");
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const { defaults, refuses, history } = scorerByName(given.kind);
  for (const [field, expected] of Object.entries({ ...(!history && HISTORY_ALONE), ...refuses }))
    if (field in set) throw bad(`score.${field}`, set[field], expected);
  const options: ScoreOptions = { ...DEFAULTS, ...defaults, ...set, kind: given.kind, sinks };
  checkScore(options);
  // The rate-distortion rule multiplies by the value's energy itself.
  return mode === "rate-distortion" ? { ...options, valueNorm: false } : options;
}

function checkScore(options: ScoreOptions): void {
  whole("score.futurePositions", options.futurePositions, 1, 1 << 20);
  whole("score.window", options.window, 1, 4096);
  whole("score.block", options.block, 1, 1024);
  whole("score.lag", options.lag, 2, 1024);
  whole("score.seed", options.seed, 0, 2 ** 32 - 1);
  if (whole("score.pool", options.pool, 1, 255) % 2 === 0) throw bad("score.pool", options.pool, "an odd number");
  within("score.epsilon", options.epsilon, 0, 1);
  within("score.lambda", options.lambda, 0, 1);
  within("score.gamma", options.gamma, 0, 1e6);
  within("score.decay", options.decay, 1e-3, 1);
  within("score.distance", options.distance, 0, 1);
  if (!["max", "mean"].includes(options.poolKind)) throw bad("score.poolKind", options.poolKind, "max, mean");
  if (!["max", "mean", "sum"].includes(options.reduce)) throw bad("score.reduce", options.reduce, "max, mean, sum");
  if (typeof options.valueNorm !== "boolean") throw bad("score.valueNorm", options.valueNorm, "true, false");
}

function resolvePinned(spec: PolicySpec, formats: readonly Format[]): (readonly [number, number])[] {
  const spans = spec.pinned ?? [];
  if (!Array.isArray(spans) || spans.some((span) => !Array.isArray(span))) throw bad("pinned", spans, "spans of positions, [[start, end], ...]");
  if (spans.length > MOST_PINNED) throw bad("pinned", `${spans.length} spans`, `at most ${MOST_PINNED}`);
  for (const [start, end] of spans)
    if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && end > start))
      throw bad("pinned", `[${start}, ${end})`, "whole positions, start before end");
  if (spans.length > 0 && !formats.some(isFloor)) throw withoutFloor(spec.precision.kind, formats);
  return [...spans];
}

/** No format is added for them: it would be on offer to every slot, where thresholds were written for the formats given. */
function withoutFloor(kind: PolicySpec["precision"]["kind"], formats: readonly Format[]): EngineError {
  const floors = ALL_FORMATS.filter(isFloor).map(({ name }) => name);
  const allowed = kind === "uniform" ? floors.join(", ") : `${floors.join(" or ")} among them${kind === "agacc" ? ", and precision.bits up to them," : ""}`;
  const found = formats.map(({ name }) => name).join(",");
  return bad("precision.formats", found, `${allowed} with pinned spans, which are never below k8v8`);
}

function resolveGuestBits({ guestBits = 8 }: PolicySpec): GuestBits {
  if (![8, 4].includes(guestBits)) throw bad("guestBits", guestBits, "8, 4");
  return guestBits;
}

/** Rate-distortion rounds before it drops: 16 bits for the newest tokens would be taken from others that need them more. */
/** 8 where that is the rule and the model's keys bear it. */
function resolveRingBits({ ringBits }: PolicySpec, mode: Policy["mode"], calibration: Calibration | undefined): RingBits {
  const [usual] = mode === "rate-distortion" ? aboveFloor(["k8v8"], calibration) : [];
  const bits = ringBits ?? (usual === "k8v8" ? 8 : 16);
  if (![16, 8].includes(bits)) throw bad("ringBits", bits, "16, 8");
  return bits;
}

function resolveMarkers({ markers }: PolicySpec, mode: Policy["mode"]): Policy["markers"] {
  const kinds: readonly MarkerKind[] = ["mean", "plain"];
  if (markers === undefined) return { count: 0, kind: "mean" };
  const { count, kind = "mean" } = markers;
  if (!kinds.includes(kind)) throw bad("markers.kind", kind, kinds.join(", "));
  if (mode === "static") throw bad("markers", markers, "nothing, as this precision drops no token that a marker could stand for");
  return { count: whole("markers.count", count, 1, MOST_MARKERS), kind };
}
