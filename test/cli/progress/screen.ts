/** Something that takes what is written to a terminal, as a terminal does: just the control sequences that are used here. */
export class Screen {
  readonly isTTY = true;
  columns: number;
  rows: number;
  /** Writes so far. */
  writes = 0;
  readonly #lines: string[] = [""];
  #row = 0;
  #column = 0;

  constructor(columns: number, rows = 24) {
    this.columns = columns;
    this.rows = rows;
  }

  /** As a stream that reporters write to. */
  get stream(): NodeJS.WriteStream {
    return this as unknown as NodeJS.WriteStream;
  }

  /** What is seen, without empty lines at the end; what has scrolled away too. */
  get text(): string[] {
    return this.#lines.join("\n").trimEnd().split("\n");
  }

  write(text: string): boolean {
    this.writes++;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it is about
    for (const piece of text.match(/\x1b\[[0-9;]*[A-Za-z]|[\s\S]/gu) ?? []) this.#take(piece);
    return true;
  }

  #take(piece: string): void {
    if (piece.startsWith("\x1b[")) this.#control(piece.at(-1) ?? "", Number(piece.slice(2, -1) || 1));
    else if (piece === "\r") this.#column = 0;
    else if (piece === "\n") this.#newLine();
    else this.#put(piece);
  }

  #control(command: string, count: number): void {
    // What has scrolled away cannot be reached.
    if (command === "A") this.#row = Math.max(this.#lines.length - this.rows, this.#row - count, 0);
    else if (command === "K") this.#lines[this.#row] = this.#line().slice(0, this.#column);
    else if (command === "J")
      this.#lines.splice(this.#row, Number.POSITIVE_INFINITY, this.#line().slice(0, this.#column));
    else if (command !== "m") throw new Error(`unknown control sequence ${command}`);
  }

  #put(character: string): void {
    if (this.#column === this.columns) this.#newLine();
    const line = this.#line().padEnd(this.#column);
    this.#lines[this.#row] = line.slice(0, this.#column) + character + line.slice(this.#column + 1);
    this.#column++;
  }

  #newLine(): void {
    this.#row++;
    this.#column = 0;
    this.#lines[this.#row] ??= "";
  }

  #line(): string {
    return this.#lines[this.#row] ?? "";
  }
}
