// progress: one line on stderr for what a long step is doing: redrawn in place on a terminal, start and end only elsewhere.

import type { Progress } from "../engine-types";

const REDRAW_MS = 100;

/** A callback for `onProgress`. @param write where the text goes; @param terminal whether `\r` redraws the line there */
export function progressPrinter(write: (text: string) => void, terminal: boolean): (progress: Progress) => void {
  let phase = "";
  let drawn = 0;
  let ended = false;
  return (progress) => {
    const starts = progress.phase !== phase;
    const ends = progress.done >= progress.total;
    if (starts) ended = false;
    const due = starts || (ends && !ended) || (terminal && !ended && performance.now() - drawn >= REDRAW_MS);
    if (!due) return;
    phase = progress.phase;
    drawn = performance.now();
    ended = ends;
    write(terminal ? `\r\x1b[K${describe(progress)}${ends ? "\n" : ""}` : `${describe(progress)}\n`);
  };
}

function describe({ phase, done, total }: Progress): string {
  const percent = total > 0 ? Math.floor((100 * done) / total) : 100;
  const amount =
    phase === "compile"
      ? `${done}/${total} kernels`
      : phase === "calibrate"
        ? `${done}/${total} steps`
        : phase === "prefill"
          ? `${done}/${total} layer tokens`
          : `${megabytes(done)}/${megabytes(total)} MB`;
  return `${phase} ${percent} % (${amount})`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
