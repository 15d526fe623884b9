import type { Duplex } from "node:stream";
import { GuestConnectionError } from "../guest/index.js";
import type { Vm } from "../vm/index.js";
import type { EdgeWorker } from "./worker-source.js";

/** A server may do nothing else while a connection is open that says nothing. */
const UNUSED_MS = 1_000;

/**
 * Waits until a server listens on a port, and gives what connects to it. The connection that found it out is the first one's: in a guest
 * that was just restored, looking through its sockets costs 100 ms under emulation, and a connection is wanted anyway.
 * @param options.made a connection that somebody made already; one that broke, as when its VM has ended, is none
 * @throws VmError that names other ports when nobody listens in time
 */
export async function reach(
  vm: Vm,
  port: number,
  { made, ...options }: { timeoutMs: number; signal: AbortSignal; made?: Duplex | undefined },
): Promise<EdgeWorker["connect"]> {
  let first = made?.destroyed === false ? made : await connectedAtOnce(vm, port, options.signal);
  if (!first) await vm.waitForPort(port, options);
  const unused = setTimeout(() => take()?.destroy(), UNUSED_MS).unref();
  const take = (): Duplex | undefined => {
    clearTimeout(unused);
    const taken = first;
    first = undefined;
    return taken;
  };
  return async (signal) => {
    const own = take();
    if (own && !own.destroyed && !own.readableEnded) return own;
    return vm.connect(port, signal ? { signal } : {});
  };
}

/** Whoever listens at another address only is found by looking. */
async function connectedAtOnce(vm: Vm, port: number, signal: AbortSignal): Promise<Duplex | undefined> {
  try {
    const connection = await vm.connect(port, { host: "127.0.0.1", signal });
    // It may break before anybody uses it.
    return connection.on("error", () => undefined);
  } catch (error) {
    if (error instanceof GuestConnectionError && error.errno === "ECONNREFUSED") return undefined;
    throw error;
  }
}
