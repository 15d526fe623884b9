import { cut, displayWidth, type Look } from "./line.js";

/** As often as an eye can follow, and cheap. */
const REDRAW_MS = 100;
const CLEAR_LINE_END = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";

/** Something that is shown as lines that change. */
export interface LiveView {
  /** Lines that stay as they are from now on, each given once. They may be longer than `width`. */
  settled(width: number): string[];
  /** Lines that change, no longer than `width`; best no more than `rows`. */
  frame(width: number, rows: number): string[];
}

/**
 * Draws lines again in place, at the bottom of a terminal; what is settled stays above them. A frame is one write that goes over the former one,
 * so that nothing flickers.
 */
export class LiveScreen {
  readonly #stream: NodeJS.WriteStream;
  readonly #look: Look;
  readonly #views: readonly LiveView[];
  /** Widths of the lines that are to be drawn over. */
  #drawn: number[] = [];
  #columns = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: NodeJS.WriteStream, look: Look, views: readonly LiveView[]) {
    this.#stream = stream;
    this.#look = look;
    this.#views = views;
  }

  /** There is something to show: from now on it is drawn. */
  begin(): void {
    if (this.#timer !== undefined) return;
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS).unref();
  }

  /** Draws for the last time; what comes next on the terminal is below. */
  close(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#draw();
    this.#drawn = [];
  }

  #draw(): void {
    const columns = this.#stream.columns || 80;
    // A terminal that was made narrower has broken the former lines.
    const height = this.#drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / columns)), 0);
    const lines = this.#frame(columns - 1);
    const settled = this.#views.flatMap((view) => view.settled(columns - 1));
    if (height === 0 && lines.length === 0 && settled.length === 0) return;
    // Going over broken lines would leave them marked as such, to be joined when it is made wider again.
    const broken = columns === this.#columns ? "" : CLEAR_BELOW;
    const up = height === 0 ? "" : `\r\x1b[${height}A${broken}`;
    this.#columns = columns;
    const text = [...settled, ...lines].map((line) => `${line}${CLEAR_LINE_END}\n`).join("");
    this.#stream.write(`${up}${text}${CLEAR_BELOW}`);
    this.#drawn = lines.map(displayWidth);
  }

  #frame(width: number): string[] {
    // What has scrolled away cannot be drawn again. The cursor is on a line of its own.
    const room = Math.max(1, (this.#stream.rows || 24) - 1);
    const lines: string[] = [];
    for (const view of this.#views) lines.push(...view.frame(width, room - lines.length));
    if (lines.length <= room) return lines;
    const shown = lines.slice(0, room - 1);
    return [...shown, cut(`and ${lines.length - shown.length} more`, width, this.#look)];
  }
}
