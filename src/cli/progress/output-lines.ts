import { StringDecoder } from "node:string_decoder";
import { shownLine } from "../../shown-line.js";

/** A longer line is shown as several. */
const MOST_LENGTH = 16_384;

/** Where bytes come from: a step, and which of its streams. */
interface Source {
  number: number;
  stream: "stdout" | "stderr";
}

/** Makes lines of what the commands of steps write, as it may be shown on a terminal. */
export class OutputLines {
  /** What is not a whole line yet. */
  readonly #open = new Map<string, { decoder: StringDecoder; rest: string }>();

  /** The lines that are whole now. */
  take({ number, stream, bytes }: Source & { bytes: Uint8Array }): string[] {
    const open = this.#openOf({ number, stream });
    const lines = (open.rest + open.decoder.write(Buffer.from(bytes))).split("\n");
    const rest = lines.pop() ?? "";
    // What is drawn over is never shown; of the last carriage return it is not known yet.
    open.rest = rest.slice(rest.lastIndexOf("\r", rest.length - 2) + 1);
    if (open.rest.length > MOST_LENGTH) {
      lines.push(open.rest);
      open.rest = "";
    }
    return lines.map(shownLine);
  }

  /** What has come of the line that is being written, if there is one. */
  begun(number: number): string | undefined {
    for (const stream of ["stdout", "stderr"] as const) {
      const rest = shownLine(this.#open.get(keyOf({ number, stream }))?.rest ?? "");
      if (rest !== "") return rest;
    }
    return undefined;
  }

  /** The step has ended: what is left of its lines. */
  end(number: number): string[] {
    const lines = (["stdout", "stderr"] as const).map((stream) => {
      const open = this.#open.get(keyOf({ number, stream }));
      this.#open.delete(keyOf({ number, stream }));
      return open === undefined ? "" : shownLine(open.rest + open.decoder.end());
    });
    return lines.filter((line) => line !== "");
  }

  #openOf(source: Source) {
    const open = this.#open.get(keyOf(source)) ?? { decoder: new StringDecoder("utf8"), rest: "" };
    this.#open.set(keyOf(source), open);
    return open;
  }
}

function keyOf({ number, stream }: Source): string {
  return `${number} ${stream}`;
}
