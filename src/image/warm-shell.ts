import { once } from "node:events";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Agent } from "../guest/index.js";

const LIMIT_MS = 5_000;
/** Of the shell and its libraries: every restored guest has these bytes for itself. */
const MOST_BYTES = 3 * 2 ** 20;
const MAPS_BYTES = 65_536;
/** Says that all is loaded, and waits while we look at what that is. */
const SCRIPT = "echo; read -r _";

/**
 * Runs the image's shell, if it has one, and reads that and its libraries as a whole: what the first command of every restored guest would
 * otherwise get from disk again, the loader, the C library, the kernel's own tables, is then in the snapshot.
 */
export async function warmShell(agent: Agent, outer: AbortSignal | undefined): Promise<void> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const signal = outer ? AbortSignal.any([outer, limit]) : limit;
  try {
    await readAll(agent, await mappedByShell(agent, signal), signal);
  } catch {
    // No shell, or a strange one: the image runs all the same.
    outer?.throwIfAborted();
  }
}

async function mappedByShell(agent: Agent, signal: AbortSignal): Promise<Set<string>> {
  const shell = await agent.exec({ argv: ["sh", "-c", SCRIPT], stdin: "pipe" }, { signal });
  try {
    await once(shell.stdout, "data", { signal });
    const maps = await agent.files.read(`/proc/${shell.pid}/maps`, { length: MAPS_BYTES, signal });
    return new Set(maps.toString().match(/(?<=^\S+ +\S+ +\S+ +\S+ +\d+ +)\/.+$/gm));
  } finally {
    // Whatever comes of it, no waiting shell is to be in the snapshot.
    shell.stdin.end();
    await shell.wait();
  }
}

async function readAll(agent: Agent, paths: Iterable<string>, signal: AbortSignal): Promise<void> {
  let left = MOST_BYTES;
  for (const path of paths) {
    if (left <= 0) return;
    const count = new Writable({
      write: (bytes: Buffer, _encoding, done) => {
        left -= bytes.length;
        done();
      },
    });
    await pipeline(agent.files.openRead(path, { length: left, signal }), count);
  }
}
