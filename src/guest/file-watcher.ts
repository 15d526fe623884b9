import type { Readable } from "node:stream";
import { VmError } from "../errors.js";
import { Fields } from "./fields.js";
import { RECORD_MAX, RecordDecoder } from "./records.js";

const EVENTS = ["ready", "created", "changed", "removed", "overflow", "gone"] as const;

/** Something that happened to a watched file or folder. */
export interface FileEvent {
  /**
   * `changed`: content, owner, mode or times. A rename is `removed` and `created`. `overflow`: more happened than was read in time, so
   * events are missing: look for yourself. `gone`: what is watched was removed or renamed.
   */
  type: "created" | "changed" | "removed" | "overflow" | "gone";
  /** Below the watched folder; empty for what is watched itself. */
  path: string;
}

/** Events of files, from the guest's kernel. Iterate over it; leaving the loop or disposing of it ends the watching. */
export class FileWatcher implements AsyncIterable<FileEvent>, Disposable {
  readonly #readable: Readable;
  readonly #events: AsyncGenerator<FileEvent>;

  private constructor(readable: Readable, events: AsyncGenerator<FileEvent>) {
    this.#readable = readable;
    this.#events = events;
  }

  /** Resolves once the guest watches. */
  static async begin(readable: Readable): Promise<FileWatcher> {
    const events = decode(readable);
    const { value } = await events.next();
    if (value?.type !== "ready") throw new VmError("The guest did not begin to watch");
    return new FileWatcher(readable, events as AsyncGenerator<FileEvent>);
  }

  [Symbol.asyncIterator](): AsyncIterator<FileEvent> {
    return this.#events;
  }

  /** Ends the watching. A loop over the events ends, too. */
  close(): void {
    this.#readable.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

async function* decode(readable: Readable): AsyncGenerator<{ type: (typeof EVENTS)[number]; path: string }> {
  const found: { type: (typeof EVENTS)[number]; path: string }[] = [];
  const decoder = new RecordDecoder(RECORD_MAX, (record) => {
    const fields = new Fields(record, [1, 2]);
    const type = EVENTS[fields.u16(1)];
    if (type !== undefined) found.push({ type, path: fields.bytes(2).toString("utf8") });
  });
  try {
    for await (const chunk of readable as AsyncIterable<Buffer>) {
      decoder.push(chunk);
      yield* found.splice(0);
    }
  } catch (error) {
    // Closed by us.
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}
