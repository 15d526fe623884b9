import { decodeFailure, type Failure, ResultKind } from "./failure.js";
import type { Link } from "./link.js";
import type { GuestStream } from "./stream.js";

/** How a question to the agent is answered. */
export interface AskOptions {
  /** What comes on the stream's channel; without it the question has none. It is taken in as fast as it comes. */
  onData?: (bytes: Buffer) => void;
  /** Makes the error of a request that failed in the guest. */
  fail: (failure: Failure) => Error;
  signal?: AbortSignal | undefined;
}

/** Opens a stream that ends with DONE, and gives what DONE says. Aborting, or an error of `onData`, ends the work in the guest. */
export function ask(link: Link, payload: Buffer, { onData, fail, signal }: AskOptions): Promise<Buffer> {
  signal?.throwIfAborted();
  let stream: GuestStream | undefined;
  let stop = (): void => {};
  const answer = new Promise<Buffer>((resolve, reject) => {
    const take = (channel: number, bytes: Buffer): void => {
      stream?.consumed(channel, bytes.length);
      try {
        onData?.(bytes);
      } catch (error) {
        reject(error);
        // Not within the link's own call.
        queueMicrotask(() => stream?.close());
      }
    };
    stream = link.open(payload, onData ? 1 : 0, {
      data: take,
      end: () => {},
      result: (kind, result) => {
        if (kind === ResultKind.failed) reject(fail(decodeFailure(result)));
        else if (kind === ResultKind.done) resolve(result);
        else throw new Error(`an unexpected RESULT ${kind}`);
        return true;
      },
      failed: reject,
    });
    const abort = (): void => {
      stream?.close();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
    stop = () => signal?.removeEventListener("abort", abort);
  });
  return answer.finally(() => {
    stop();
    stream?.close();
  });
}
