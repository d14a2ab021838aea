// header: name, claim, theme. The brackets are the editor's sign for letters lost from a manuscript and restored.

import { signal } from "@preact/signals";

type Theme = "auto" | "light" | "dark";

/** The theme chosen here; canvases redraw when it changes. */
export const theme = signal<Theme>(storedTheme());

export function Header() {
  return (
    <header class="masthead">
      <h1 aria-label="Lacuna">
        <span aria-hidden="true">
          Lac<span class="bracket">[</span>
          <span class="lost">un</span>
          <span class="bracket">]</span>a
        </span>
      </h1>
      <p class="claim">One language model answers your prompt twice in this tab: once with its whole memory, once with most of it given back.</p>
      <label class="theme">
        <span class="visually-hidden">Theme</span>
        <select value={theme.value} onChange={(event) => chooseTheme(event.currentTarget.value as Theme)}>
          <option value="auto">Theme: system</option>
          <option value="light">Theme: light</option>
          <option value="dark">Theme: dark</option>
        </select>
      </label>
    </header>
  );
}

function chooseTheme(next: Theme): void {
  theme.value = next;
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("lacuna-theme", next);
  } catch {
    // Storage denied: the choice lasts as long as the page.
  }
}

function storedTheme(): Theme {
  const set = document.documentElement.dataset.theme;
  return set === "light" || set === "dark" ? set : "auto";
}
