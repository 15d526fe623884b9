import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";

/** Children that have not ended; killed when this process exits in an orderly way. */
const living = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

/**
 * Starts QEMU so that it cannot outlive us and cannot gain anything: on Linux under `setpriv`, which asks the kernel for
 * a SIGKILL at our death and, for root, drops every capability for good. stdin is empty, stdout and stderr are
 * pipes, and descriptors 3 to 6 are sockets. It has a session of its own: Ctrl-C in our terminal is for us to answer, not the end
 * of every guest before we can end them in order.
 */
export function launch(binary: string, args: readonly string[]): ChildProcess {
  const [command = binary, ...rest] = [...confinement(), binary, ...args];
  const stdio = ["ignore", "pipe", "pipe", "pipe", "pipe", "pipe", "pipe"] as const;
  const child = spawn(command, rest, { stdio: [...stdio], detached: true });
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
