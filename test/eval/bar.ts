// bar: how far the whole run is and when it will be done, on stderr: a line redrawn on a terminal, a line a step elsewhere.

const WIDTH = 24;
const REDRAW_MS = 200;

export class Bar {
  #done = 0;
  #fresh = 0;
  #drawn = Number.NEGATIVE_INFINITY;
  readonly #started: number;

  /** @param kept done by earlier runs: they tell nothing about how long the rest takes */
  constructor(
    private readonly total: number,
    private readonly kept: number,
    private readonly write: (text: string) => void,
    private readonly terminal: boolean,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#done = kept;
    this.#started = now();
    if (kept > 0) this.write(`${kept} of ${total} are kept from an earlier run (--fresh measures again)\n`);
  }

  /** Part of a step, not yet done: 0 to `steps`. Shown on terminals alone. */
  within(steps: number, what: string): void {
    if (!this.terminal || this.now() - this.#drawn < REDRAW_MS) return;
    this.#drawn = this.now();
    this.write(`\r\x1b[K${this.#line(steps, what)}`);
  }

  /** So many more are done. */
  add(steps: number, what: string): void {
    this.#done += steps;
    this.#fresh += steps;
    this.#drawn = this.now();
    this.write(this.terminal ? `\r\x1b[K${this.#line(0, what)}${this.#done >= this.total ? "\n" : ""}` : `${this.#line(0, what)}\n`);
  }

  #line(more: number, what: string): string {
    const done = this.#done + more;
    const full = Math.min(WIDTH, Math.floor((WIDTH * done) / this.total));
    return `[${"#".repeat(full)}${".".repeat(WIDTH - full)}] ${this.#done}/${this.total} ${this.#eta(more)} ${what}`;
  }

  #eta(more: number): string {
    const fresh = this.#fresh + more;
    if (fresh <= 0) return "";
    const seconds = ((this.now() - this.#started) / 1000 / fresh) * (this.total - this.kept - fresh);
    return `${time(seconds)} left`;
  }
}

/** 42 s, 3 min, 1 h 5 min */
export function time(seconds: number): string {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
