import { Transform, type TransformCallback } from "node:stream";

/**
 * DEC private modes that a program switches on and off again, and that make a terminal hard to use when it could not: cursor
 * keys, mouse reports, focus reports, the alternate screen, bracketed paste. (xterm's "ctlseqs", "DEC Private Mode Set")
 */
const SWITCHED_ON = new Set([1, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004]);
const CURSOR = 25;
const SEQUENCE_MAX = 64;
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
const SEQUENCE = /\x1b\[(\?[\d;]*[hl]|[\d;:]*m)/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const UNFINISHED = /^\x1b(\[\??[\d;:]*)?$/;

/** Passes a program's output on, and knows which modes of the terminal it has left behind. */
export class ScreenModes extends Transform {
  readonly #on = new Set<number>();
  #coloured = false;
  #partial = "";

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    // Most output of most programs has nothing to look at.
    if (this.#partial !== "" || chunk.includes(0x1b)) this.#scan(this.#partial + chunk.toString("latin1"));
    done(null, chunk);
  }

  /** What puts the terminal back: nothing after a program that left it as it was. */
  get undo(): string {
    const modes = [...this.#on].map((mode) => (mode === CURSOR ? "\x1b[?25h" : `\x1b[?${mode}l`));
    return modes.join("") + (this.#coloured ? "\x1b[0m" : "");
  }

  #scan(text: string): void {
    let end = 0;
    for (const match of text.matchAll(SEQUENCE)) {
      const [sequence, body = ""] = match;
      if (body.endsWith("m")) this.#coloured = !/^0*m$/.test(body);
      else this.#switch(body.slice(1, -1).split(";").map(Number), body.endsWith("h"));
      end = match.index + sequence.length;
    }
    const last = text.lastIndexOf("\x1b");
    const rest = last >= end ? text.slice(last) : "";
    this.#partial = rest.length < SEQUENCE_MAX && UNFINISHED.test(rest) ? rest : "";
  }

  #switch(modes: number[], on: boolean): void {
    for (const mode of modes) {
      const dirty = mode === CURSOR ? !on : on;
      if (mode !== CURSOR && !SWITCHED_ON.has(mode)) continue;
      if (dirty) this.#on.add(mode);
      else this.#on.delete(mode);
    }
  }
}
