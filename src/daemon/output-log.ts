import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import * as v from "valibot";
import type { LogFile } from "./log-file.js";

/** A longer line is kept in pieces. */
const MAX_LINE = 16_384;

const Line = v.object({
  /** When it was written, as ISO 8601. */
  time: v.string(),
  stream: v.picklist(["stdout", "stderr"]),
  /** With its newline, unless it is a piece of a longer line, or the last one. */
  text: v.string(),
});

/** One line of a workload's output. */
export type OutputLine = v.InferOutput<typeof Line>;

/** Keeps a stream of a workload, to its end, as JSON lines. */
export async function keepOutput(stream: Readable, name: OutputLine["stream"], log: LogFile): Promise<void> {
  const decoder = new StringDecoder("utf8");
  let pending = "";
  const keep = async (text: string) => {
    await log.append(
      `${JSON.stringify({ time: new Date().toISOString(), stream: name, text } satisfies OutputLine)}\n`,
    );
  };
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    pending += decoder.write(chunk);
    for (;;) {
      const end = pending.indexOf("\n") + 1 || (pending.length > MAX_LINE ? MAX_LINE : 0);
      if (end === 0) break;
      await keep(pending.slice(0, end));
      pending = pending.slice(end);
    }
  }
  pending += decoder.end();
  if (pending) await keep(pending);
}

/** Reads a line that {@link keepOutput} wrote; `undefined` for one that a full disk cut off. */
export function parseOutputLine(text: string): OutputLine | undefined {
  try {
    const parsed = v.safeParse(Line, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
