// model-bar: which model runs, on what, and how to get another one. States what a download costs before it starts.

import type { CatalogEntry } from "../../models/catalog";
import { catalog } from "../../models/catalog";
import type { Progress } from "../../src/engine-types";
import { formatCount, formatDownload, formatSeconds } from "../format";
import { cancelLoading, chosen, engine, engineTitle, forgetLoadError, loadError, loading, openEntry, openFile, phase, support } from "../state/model";
import { running } from "../state/run";
import { ErrorCard } from "./error-card";

export function ModelBar() {
  const failed = loadError.value;
  return (
    <section class="card model-bar" aria-label="Model" aria-busy={phase.value === "loading"}>
      <div class="model-state">
        <p class="eyebrow">Model</p>
        <ModelState />
      </div>
      <ModelPicker />
      {failed && <ErrorCard title={failed.headline} error={failed.error} onRetry={failed.again} onDismiss={forgetLoadError} />}
    </section>
  );
}

function ModelState() {
  const state = phase.value;
  if (state === "probing") return <p role="status">Looking for a graphics adapter…</p>;
  if (loading.value) return <LoadingState title={loading.value.title} progress={loading.value.progress} />;
  const loaded = engine.value;
  if (!loaded) {
    return <p role="status">{state === "offer" ? "No model loaded. Nothing is downloaded before you ask for it." : "Needs WebGPU."}</p>;
  }
  const { model, adapter, loadMs } = loaded.info;
  return (
    <>
      <p class="model-name" role="status" data-state="ready">
        {engineTitle.value} <span class="chip good">ready</span>
      </p>
      <p class="muted figures">
        {model.architecture}, {model.layers} layers × {model.kvHeads} KV heads × {model.headSize}, context {formatCount(model.context)} tokens. Loaded in{" "}
        {formatSeconds(loadMs)}.
      </p>
      <p class="muted">
        {adapter.description}
        {adapter.software && <span> · software adapter: speeds here say nothing about a real GPU</span>}
      </p>
    </>
  );
}

const PHASES = ["download", "verify", "upload", "calibrate", "compile"] as const;

/** What a phase counts, where that is not bytes. */
const UNITS: Readonly<Record<string, string>> = { calibrate: "steps", compile: "kernels" };

function LoadingState({ title, progress }: { title: string; progress: Progress | undefined }) {
  const at = progress ? PHASES.indexOf(progress.phase as (typeof PHASES)[number]) : -1;
  const counted = progress && UNITS[progress.phase];
  const unit = (value: number): string => (counted ? formatCount(value) : formatDownload(value));
  return (
    <div class="loading">
      <p class="model-name" role="status">
        Opening {title}
      </p>
      <ol class="phases">
        {PHASES.map((name, i) => (
          <li key={name} class={i < at ? "past" : i === at ? "now" : ""} aria-current={i === at ? "step" : undefined}>
            {name}
          </li>
        ))}
      </ol>
      <progress value={progress?.done ?? 0} max={progress?.total || 1} aria-label={progress?.phase ?? "starting"} />
      <p class="muted figures">
        {progress ? `${unit(progress.done)} of ${unit(progress.total)}${counted ? ` ${counted}` : ""}` : "starting the worker"}
        <button type="button" class="quiet" onClick={cancelLoading}>
          Cancel
        </button>
      </p>
    </div>
  );
}

function ModelPicker() {
  const model = chosen.value;
  const busy = phase.value === "loading" || phase.value === "probing" || phase.value === "unsupported" || running.value !== undefined;
  const isLoaded = engine.value !== undefined && engineTitle.value === model.title;
  return (
    <div class="picker">
      <div class="picker-row">
        <label for="model">Choose</label>
        <select id="model" value={model.name} disabled={busy} onChange={(event) => choose(event.currentTarget.value)}>
          {catalog.map((entry) => (
            <option key={entry.name} value={entry.name}>
              {entry.title} · {formatDownload(entry.bytes)}
            </option>
          ))}
        </select>
        <button type="button" class={phase.value === "offer" ? "primary" : ""} disabled={busy || isLoaded} onClick={() => void openEntry(model)}>
          {isLoaded ? "Loaded" : isBundled(model) ? `Load, ${formatDownload(model.bytes)}` : `Download ${formatDownload(model.bytes)}`}
        </button>
      </div>
      <p class="muted">
        {model.notes} Licence: {model.licence}.{" "}
        {isBundled(model) ? "Comes with this page." : "From huggingface.co, checked by hash and kept in this browser's storage; prompts never leave the page."}
      </p>
      <p class="muted">
        Or drop a .gguf anywhere on the page{" "}
        <label class={`file-button ${busy ? "disabled" : ""}`}>
          <input
            type="file"
            accept=".gguf"
            disabled={busy}
            class="visually-hidden"
            onChange={(event) => {
              const file = event.currentTarget.files?.[0];
              event.currentTarget.value = "";
              if (file) void openFile(file);
            }}
          />
          <span>open a file</span>
        </label>
        . It stays on this machine. {offersTiny(model) && <TinyInstead />}
      </p>
    </div>
  );
}

function TinyInstead() {
  const tiny = catalog.find(isBundled);
  if (!tiny) return null;
  return (
    <button type="button" class="quiet" onClick={() => void openEntry(tiny)}>
      Use {tiny.title} instead ({formatDownload(tiny.bytes)}, comes with the page)
    </button>
  );
}

function offersTiny(model: CatalogEntry): boolean {
  return phase.value === "offer" && !isBundled(model) && support.value?.kind === "ready";
}

function isBundled(model: CatalogEntry): boolean {
  return model.sources.some((source) => source.kind === "bundled");
}

function choose(name: string): void {
  const entry = catalog.find((model) => model.name === name);
  if (entry) chosen.value = entry;
}
