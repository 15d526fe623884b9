import { UsageError } from "../errors.js";
import { type GuestConnection, GuestConnectionError, type GuestNetwork } from "../guest/index.js";
import { GUEST_ADDRESS } from "./policy.js";

/** Where a program may listen that does not listen everywhere: one of the loopbacks, or eth0. */
const ADDRESSES = ["127.0.0.1", "::1", GUEST_ADDRESS];

/** @throws UsageError when this is no port that can be listened on */
export function checkPort(name: string, port: number, least: 0 | 1 = 1): void {
  if (Number.isInteger(port) && port >= least && port <= 65_535) return;
  throw new UsageError(`${name} is ${port}; it is a port from ${least} to 65535`);
}

/** Connects to a port of the guest: at the address that is given, else wherever somebody listens. Rejects with GuestConnectionError. */
export async function connectToPort(
  network: GuestNetwork,
  port: number,
  options: { host?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<GuestConnection> {
  checkPort("port", port);
  const { host, signal } = options;
  const addresses = host === undefined ? ADDRESSES : [host];
  for (const address of addresses) {
    try {
      return await network.connect({ address, port }, { signal });
    } catch (error) {
      const refused = error instanceof GuestConnectionError && error.errno === "ECONNREFUSED";
      if (!refused || address === addresses.at(-1)) throw error;
    }
  }
  throw new UsageError("no address to connect to");
}
