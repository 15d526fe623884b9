import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** Starts `store-child.ts` in a process of its own. */
export function startChild(what: string, path: string): ChildProcess {
  return fork(join(import.meta.dirname, "store-child.ts"), [what, path], {
    execArgv: ["--import", "tsx"],
    stdio: "inherit",
  });
}

/** The next word it says. */
export async function nextWord(child: ChildProcess): Promise<string> {
  const [word] = await once(child, "message");
  return word as string;
}

/** Ends it as a crash does. */
export async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
