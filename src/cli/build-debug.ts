import { type FailedCommand, UsageError } from "../index.js";
import { attach, terminalSize } from "./attach.js";
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from "./terminal/detach-keys.js";

/** `--debug` needs somebody who types. @throws UsageError */
export function requireTerminal(): void {
  if (process.stdin.isTTY && process.stdout.isTTY) return;
  throw new UsageError("--debug opens a shell when a command fails, and there is no terminal for it", {
    hint: "Run it in a terminal, or leave --debug out.",
  });
}

/** Opens a shell in the machine of a command that failed, until it is left. */
export async function debugShell(failed: FailedCommand, signal: AbortSignal): Promise<void> {
  const child = await failed.openShell({ ...terminalSize(), term: process.env.TERM, signal });
  const { file, line, column } = failed.error;
  process.stderr.write(
    `${file}:${line}:${column}: the command failed. This is a shell in its machine as it was; the build ends when you leave it.\n`,
  );
  await attach(child, { interactive: true, tty: true, detachKeys: parseDetachKeys(DEFAULT_DETACH_KEYS) });
}
