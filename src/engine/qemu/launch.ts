import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import type { Socket } from "node:net";

/** Children that have not ended; killed when this process exits in an orderly way. */
const living = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

/** Where a program's launcher, which is another bundle, leaves what it started for the program. */
const EARLY = Symbol.for("supermachine.early-worker");
const place = globalThis as { [EARLY]?: { command: readonly string[]; child: ChildProcess } | undefined };

/**
 * Starts QEMU so that it cannot outlive us and cannot gain anything: on Linux under `setpriv`, which asks the kernel for
 * a SIGKILL at our death and, for root, drops every capability for good. stdin is empty, stdout and stderr are
 * pipes, and descriptors 3 to 6 are sockets. It has a session of its own: Ctrl-C in our terminal is for us to answer, not the end
 * of every guest before we can end them in order.
 *
 * @param command the program and its arguments
 */
export function launch(command: readonly string[]): ChildProcess {
  return takeEarly(command) ?? start(command);
}

/**
 * Starts what is {@link launch}ed first, before the rest of the program is loaded. If that is something else, or nothing is launched before
 * this process ends, this ends.
 */
export function launchEarly(command: readonly string[]): void {
  const child = start(command);
  if (child.pid !== undefined) keepAlive(child, false);
  // One that cannot be started is started once more, and then somebody hears why.
  child.on("error", () => undefined);
  place[EARLY] = { command, child };
}

function takeEarly(command: readonly string[]): ChildProcess | undefined {
  const early = place[EARLY];
  place[EARLY] = undefined;
  if (!early) return undefined;
  const { child } = early;
  const isWanted = early.command.length === command.length && early.command.every((each, i) => each === command[i]);
  if (isWanted && child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
    keepAlive(child, true);
    return child;
  }
  child.kill("SIGKILL");
  return undefined;
}

/** Whether a child with its pipes keeps this process alive, as it does at first. */
export function keepAlive(child: ChildProcess, keeps: boolean): void {
  const how = keeps ? "ref" : "unref";
  child[how]();
  for (const stream of child.stdio) (stream as Socket | null)?.[how]();
}

function start(command: readonly string[]): ChildProcess {
  const [program = "", ...args] = [...confinement(), ...command];
  const stdio = ["ignore", "pipe", "pipe", "pipe", "pipe", "pipe", "pipe"] as const;
  const child = spawn(program, args, { stdio: [...stdio], detached: true });
  living.add(child);
  child.once("exit", () => living.delete(child));
  child.once("error", () => living.delete(child));
  return child;
}

function confinement(): string[] {
  if (process.platform !== "linux") return [];
  const drop = process.getuid?.() === 0 ? ["--inh-caps=-all", "--bounding-set=-all"] : [];
  // Had we died before setpriv asked, nobody would kill the child: it looks whether its parent is still the same one.
  const guard = ["sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', String(process.pid)];
  return ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", ...drop, ...guard];
}
