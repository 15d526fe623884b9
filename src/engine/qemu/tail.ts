/** Keeps the end of a stream of text, so that a flood costs nothing but its last lines. */
export class Tail {
  readonly #limit: number;
  #text = "";
  #total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(chunk: Buffer): void {
    this.#total += chunk.length;
    this.#text = (this.#text + chunk.toString("latin1")).slice(-this.#limit);
  }

  /** Bytes seen so far. */
  get total(): number {
    return this.#total;
  }

  /** The last `count` lines, without control characters that could disturb a terminal. */
  lines(count: number): string {
    const lines = this.#text.replace(/[^\t\n\x20-\x7e]/g, "").split("\n");
    return lines
      .map((line) => line.trimEnd())
      .filter((line) => line !== "")
      .slice(-count)
      .join("\n");
  }
}
