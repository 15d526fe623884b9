import { styleText } from "node:util";
import type { BuildEvent, StepEvent } from "../../index.js";
import { shownLine } from "../../shown-line.js";
import { OutputLines } from "./output-lines.js";
import { elapsed } from "./text.js";

/** A build as lines, each of which begins with its step's number: nothing that a command writes can pass for another line. */
export class BuildLines {
  readonly #write: (line: string) => void;
  readonly #colour: boolean;
  readonly #output = new OutputLines();

  constructor(write: (line: string) => void, colour: boolean) {
    this.#write = write;
    this.#colour = colour;
  }

  take(event: BuildEvent): void {
    if (event.kind === "warning") {
      const text = `warning: ${event.file}:${event.line}: ${event.message} (${event.rule})`;
      this.#write(this.#paint("yellow", shownLine(text)));
    } else if (event.kind === "output") {
      this.#lines(event.number, this.#output.take(event));
    } else if (event.state === "started") {
      const { number, stage, total, title } = event;
      const words = shownLine(title.split("\n", 1)[0] ?? "");
      this.#write(this.#paint("bold", `#${number} [${shownLine(stage)} ${number}/${total}] ${words}`));
    } else {
      this.#lines(event.number, this.#output.end(event.number));
      this.#write(this.#paint(event.state === "failed" ? "red" : "dim", `#${event.number} ${outcome(event)}`));
    }
  }

  #lines(number: number, lines: readonly string[]): void {
    for (const line of lines) this.#write(`#${number} ${line}`);
  }

  #paint(style: "yellow" | "bold" | "dim" | "red", text: string): string {
    return this.#colour ? styleText(style, text, { validateStream: false }) : text;
  }
}

function outcome({ state, durationMs = 0 }: StepEvent): string {
  if (state === "cached") return "cached";
  return `${state === "finished" ? "done in" : `${state} after`} ${elapsed(durationMs)}`;
}
