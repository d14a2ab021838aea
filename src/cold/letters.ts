// letters: what came back from the GPU and waits for its time, so that it is applied a fixed number of tokens late however soon it came: the same prompt gives
// the same tokens, as long as no readback takes longer than the decoder runs ahead. Leaves to others: when a token comes, what a letter says (cold-tier).

interface Letter {
  readonly position: number;
  apply(now: number): void;
}

export class Letters {
  #filed: Letter[] = [];

  /** @param position of the token that it was sent with */
  file(position: number, apply: (now: number) => void): void {
    this.#filed.push({ position, apply });
  }

  /** Applies those of tokens up to `until`, oldest first. */
  apply(now: number, until: number): void {
    const due = this.#filed.filter(({ position }) => position <= until);
    if (due.length === 0) return;
    this.#filed = this.#filed.filter(({ position }) => position > until);
    for (const letter of due.sort((a, b) => a.position - b.position)) letter.apply(now);
  }

  clear(): void {
    this.#filed = [];
  }
}
