// model: which model is loaded, and the way there. A model that fails to load leaves the one before it working.

import { computed, signal } from "@preact/signals";
import { type CatalogEntry, catalog, findModel } from "../../models/catalog";
import type { Engine, ModelSource, Progress } from "../../src/engine-types";
import type { EngineError } from "../../src/errors";
import { loadInWorker } from "../../workers/client";
import { isAbort, shownError } from "./errors";
import { probeSupport, type Support } from "./support";

export interface Loading {
  readonly title: string;
  readonly progress: Progress | undefined;
}

/** Undefined while the browser is being asked. */
export const support = signal<Support | undefined>(undefined);
export const engine = signal<Engine | undefined>(undefined);
export const engineTitle = signal("");
export const loading = signal<Loading | undefined>(undefined);
export const loadError = signal<{ readonly title: string; readonly error: EngineError } | undefined>(undefined);
/** The catalogue entry the picker shows; nothing is fetched for it before a click. */
export const chosen = signal<CatalogEntry>(entry("tiny"));

export const phase = computed<"probing" | "unsupported" | "offer" | "loading" | "ready">(() => {
  if (!support.value) return "probing";
  if (support.value.kind === "missing") return "unsupported";
  if (loading.value) return "loading";
  return engine.value ? "ready" : "offer";
});

let controller: AbortController | undefined;

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

async function open(title: string, source: ModelSource): Promise<void> {
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
    await previous?.dispose();
  } catch (error) {
    if (controller === mine && !isAbort(error)) loadError.value = { title, error: shownError(error) };
  } finally {
    if (controller === mine) loading.value = undefined;
  }
}

function entry(name: string): CatalogEntry {
  return findModel(name) ?? (catalog[0] as CatalogEntry);
}
