import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { Agent } from "../guest/index.js";

const LIMIT_MS = 5_000;
/** Of the shell and its libraries: every restored guest has these bytes for itself. */
const MOST_BYTES = 3 * 2 ** 20;
const MAPS_CHARACTERS = 65_536;
/** Says what the shell has mapped itself, with nothing but what every shell can do: an image may have no `cat`. */
const SCRIPT = 'while read -r line; do echo "$line"; done </proc/$$/maps';
/** What a process leaves behind is freed two grace periods of the kernel's RCU later, of four to eight ticks of 4 ms each. */
const REST_MS = 100;

/**
 * Runs the image's shell, if it has one, and reads that and its libraries as a whole: what the first command of
 * every restored guest would otherwise get from disk again is then in the snapshot. So is the guest at rest: what the shell leaves to be freed later
 * would else be freed by every restored guest, in the way of its first command.
 */
export async function warmShell(agent: Agent, outer: AbortSignal | undefined): Promise<void> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const signal = outer ? AbortSignal.any([outer, limit]) : limit;
  try {
    await readAll(agent, await mappedByShell(agent, signal), signal);
    await sleep(REST_MS, undefined, { signal });
  } catch {
    // No shell, or a strange one: the image runs all the same.
    outer?.throwIfAborted();
  }
}

async function mappedByShell(agent: Agent, signal: AbortSignal): Promise<Set<string>> {
  const shell = await agent.exec({ argv: ["sh", "-c", SCRIPT] }, { signal });
  let maps = "";
  shell.stdout.setEncoding("utf8").on("data", (text: string) => {
    maps = (maps + text).slice(0, MAPS_CHARACTERS);
  });
  await shell.wait();
  return new Set(maps.match(/(?<=^\S+ +\S+ +\S+ +\S+ +\d+ +)\/.+$/gm));
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
