// composer: the prompt and its samples. The text stays editable while a run goes on: people prepare the next one.

import { computed, signal, useSignalEffect } from "@preact/signals";
import type { Engine, Prompt } from "../../src/engine-types";
import { formatCount } from "../format";
import { SAMPLES } from "../samples";
import { shownError } from "../state/errors";
import { engine, noticeLoss } from "../state/model";
import { askedLater, editPrompt, type PromptForm, prompt, promptForm, promptText, sampleName, takeSample } from "../state/settings";

/** The last count, and what it counted: while a person types, the old figure stays in view. */
const counted = signal<{ readonly tokens: number | undefined; readonly of: Prompt | undefined; readonly by: Engine | undefined }>({
  tokens: undefined,
  of: undefined,
  by: undefined,
});
/** Tokens of the prompt as the loaded model counts them; undefined while unknown. */
export const promptTokens = computed(() => counted.value.tokens);

export function Composer() {
  useSignalEffect(countSoon);
  const sample = SAMPLES.find(({ name }) => name === sampleName.value);
  return (
    <section class="composer" aria-label="Prompt">
      <div class="samples">
        <fieldset>
          <legend>Start from</legend>
          {SAMPLES.map((entry) => (
            <button key={entry.name} type="button" class="pill" aria-pressed={entry.name === sampleName.value} onClick={() => takeSample(entry)}>
              {entry.title}
            </button>
          ))}
        </fieldset>
      </div>
      <p class="muted hint">
        {sample?.hint ?? "Your own prompt. Both panes get it whole; the compressed cache is compressed once all of it is read, or all but its last sentence."}
      </p>
      <label for="prompt" class="visually-hidden">
        Prompt
      </label>
      <textarea id="prompt" rows={11} spellcheck={false} value={promptText.value} onInput={(event) => editPrompt(event.currentTarget.value)} />
      <div class="under-prompt">
        <TokenCount />
        <label class="inline">
          Send as{" "}
          <select value={promptForm.value} onChange={(event) => (promptForm.value = event.currentTarget.value as PromptForm)}>
            <option value="message">a chat message</option>
            <option value="text">plain text to continue</option>
          </select>
        </label>
        <label class="inline" title="The compressed cache then has to choose before anything was asked">
          <input id="asked-later" type="checkbox" checked={askedLater.value} onChange={(event) => (askedLater.value = event.currentTarget.checked)} /> The last
          sentence comes in after compression
        </label>
      </div>
    </section>
  );
}

function TokenCount() {
  const count = promptTokens.value;
  const context = engine.value?.info.model.context;
  const stale = counted.value.of !== prompt.value || counted.value.by !== engine.value;
  const tooLong = count !== undefined && context !== undefined && count >= context;
  return (
    <span class={`figures ${tooLong ? "warning" : "muted"}`} id="token-count" data-tokens={count} aria-busy={stale}>
      {count === undefined ? "tokens: …" : `${formatCount(count)} tokens`}
      {tooLong && ` (the model takes ${formatCount(context)})`}
    </span>
  );
}

/** Counts again a moment after the last change; an answer that comes too late is dropped. */
function countSoon(): () => void {
  const current = engine.value;
  const asked = prompt.value;
  let stale = false;
  const count = async (): Promise<void> => {
    const tokens = current && (await countTokens(current, asked));
    if (!stale) counted.value = { tokens, of: asked, by: current };
  };
  const timer = setTimeout(() => void count(), 200);
  return () => {
    stale = true;
    clearTimeout(timer);
  };
}

/** Undefined if it cannot be told. A prompt that does not fit the context is counted all the same. */
async function countTokens(by: Engine, text: Prompt): Promise<number | undefined> {
  try {
    return (await by.tokenize(text)).length;
  } catch (cause) {
    const error = shownError(cause);
    void noticeLoss(by, error);
    return error.code === "CONTEXT_FULL" ? Number(error.details.found) : undefined;
  }
}
