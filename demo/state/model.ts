// model: which model is loaded, and the way there. A model that fails to load leaves the one before it working.

import { computed, signal } from "@preact/signals";
import { type CatalogEntry, catalog, findModel } from "../../models/catalog";
import type { Engine, ModelSource, Progress } from "../../src/engine-types";
import type { EngineError, ErrorCode } from "../../src/errors";
import { loadInWorker } from "../../workers/client";
import { isAbort, shownError } from "./errors";
import { probeSupport, type Support } from "./support";

export interface Loading {
  readonly title: string;
  readonly progress: Progress | undefined;
}

/** Why there is no model, or not the one that was asked for. */
export interface LoadError {
  readonly headline: string;
  readonly error: EngineError;
  /** Opens the same model again; undefined where it would only fail again. */
  readonly again: (() => void) | undefined;
}

/** Undefined while the browser is being asked. */
export const support = signal<Support | undefined>(undefined);
export const engine = signal<Engine | undefined>(undefined);
export const engineTitle = signal("");
export const loading = signal<Loading | undefined>(undefined);
export const loadError = signal<LoadError | undefined>(undefined);
/** The catalogue entry the picker shows; nothing is fetched for it before a click. */
export const chosen = signal<CatalogEntry>(entry("tiny"));

export const phase = computed<"probing" | "unsupported" | "offer" | "loading" | "ready">(() => {
  if (!support.value) return "probing";
  if (support.value.kind === "missing") return "unsupported";
  if (loading.value) return "loading";
  return engine.value ? "ready" : "offer";
});

let controller: AbortController | undefined;
/** Opens what runs now once more. */
let reopen: (() => void) | undefined;

/** Looks at the adapter. On a software one the bundled model loads at once; on a real one nothing does before consent. */
export async function begin(): Promise<void> {
  const found = await probeSupport();
  support.value = found;
  if (found.kind === "missing") return;
  if (found.software) await openEntry(entry("tiny"));
  else chosen.value = entry("smollm2-135m");
}

export async function openEntry(model: CatalogEntry): Promise<void> {
  chosen.value = model;
  await open(model.title, { model: model.name });
}

export async function openFile(file: File): Promise<void> {
  await open(file.name, { file });
}

export function cancelLoading(): void {
  controller?.abort();
}

export function forgetLoadError(): void {
  loadError.value = undefined;
}

/**
 * To be told of whatever an engine threw. If its device is gone, so is every weight on it: the engine is given up, which also ends its worker,
 * and the page offers to load the model again.
 */
export async function noticeLoss(from: Engine, error: EngineError | undefined): Promise<void> {
  if (error?.code !== "DEVICE_LOST" || engine.value !== from) return;
  engine.value = undefined;
  loadError.value = { headline: `${engineTitle.value} stopped: its graphics device is gone.`, error, again: reopen };
  await from.dispose().catch(() => undefined); // nothing is left that could be freed in an orderly way
}

/** Failures that may be over at the next attempt. A file that is wrong stays wrong. */
const PASSING: readonly ErrorCode[] = ["NETWORK", "STORAGE", "HASH_MISMATCH", "DEVICE_LOST", "OUT_OF_MEMORY", "NO_ADAPTER", "ADAPTER_LIMITS"];

async function open(title: string, source: ModelSource): Promise<void> {
  const again = (): void => void open(title, source);
  controller?.abort();
  const mine = new AbortController();
  controller = mine;
  loadError.value = undefined;
  loading.value = { title, progress: undefined };
  try {
    const onProgress = (progress: Progress): void => {
      if (controller === mine) loading.value = { title, progress };
    };
    const next = await loadInWorker({ ...source, signal: mine.signal, onProgress });
    const previous = engine.value;
    engine.value = next;
    engineTitle.value = title;
    reopen = again;
    await previous?.dispose();
  } catch (error) {
    if (controller !== mine || isAbort(error)) return;
    const shown = shownError(error);
    loadError.value = { headline: `${title} could not be opened.`, error: shown, again: PASSING.includes(shown.code) ? again : undefined };
  } finally {
    if (controller === mine) loading.value = undefined;
  }
}

function entry(name: string): CatalogEntry {
  return findModel(name) ?? (catalog[0] as CatalogEntry);
}
