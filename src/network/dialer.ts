import net, { isIP } from "node:net";
import { NetworkError } from "../errors.js";
import { Records } from "./dns-records.js";
import { dialed } from "./egress.js";
import { type EgressPolicy, HOST_ADDRESSES, HOST_NAME, type Policy, parsePolicy } from "./policy.js";
import { normalName } from "./rule.js";

export interface DialOptions {
  /** Milliseconds to wait for one address. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/**
 * Connects to hosts as a guest under the same policy could. A name is looked up once, each of its addresses is judged, and the very address
 * that was allowed is connected to: a name that changes its mind gets nowhere.
 */
export class Dialer {
  readonly #policy: Policy | undefined;
  readonly #records: Records;

  /** @throws UsageError when the policy is wrong */
  constructor(policy: EgressPolicy) {
    this.#policy = parsePolicy(policy);
    this.#records = new Records(this.#policy?.dnsServers);
  }

  /** @throws NetworkError when the host is not allowed, not known, or does not answer */
  async dial(host: string, port: number, options: DialOptions): Promise<net.Socket> {
    let failure: unknown;
    for (const address of await this.#allowed(host.replace(/^\[(.*)\]$/, "$1"), port)) {
      options.signal?.throwIfAborted();
      try {
        return await connected(address, port, options);
      } catch (error) {
        options.signal?.throwIfAborted();
        failure = error;
      }
    }
    const { code, message } = failure as NodeJS.ErrnoException;
    throw new NetworkError(`${host} port ${port} cannot be connected to: ${code ?? message}`, { cause: failure });
  }

  /** The addresses of a host that may be connected to; at least one. */
  async #allowed(host: string, port: number): Promise<string[]> {
    const policy = this.#policy;
    if (!policy) throw notAllowed(host, port, "there is no network");
    if (isIP(host) > 0) {
      const { allowed, reason } = policy.dial(host, port, []);
      if (allowed) return [host];
      throw notAllowed(host, port, reason);
    }
    const name = normalName(host);
    const verdict = policy.lookUp(name);
    if (!verdict.allowed) throw notAllowed(host, port, verdict.reason);
    const addresses = await this.#addresses(name);
    const verdicts = addresses.map((address) => ({ address, ...policy.dial(address, port, [name]) }));
    const open = verdicts.filter(({ allowed }) => allowed);
    if (open.length > 0) return open.map(({ address }) => address);
    const [first] = verdicts;
    if (!first) throw new NetworkError(`there is no host of the name ${host}`);
    throw notAllowed(`${host} (${first.address})`, port, first.reason);
  }

  async #addresses(name: string): Promise<string[]> {
    if (name === HOST_NAME) return HOST_ADDRESSES.slice(0, 1);
    const found = await Promise.allSettled(["A", "AAAA"].map((type) => this.#records.find(type, name)));
    const answers = found.flatMap((each) => (each.status === "fulfilled" ? (each.value ?? []) : []));
    const [failed] = found.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
    if (answers.length === 0 && failed !== undefined) {
      const { code } = failed as NodeJS.ErrnoException;
      throw new NetworkError(`the name ${name} cannot be looked up: ${code ?? failed}`, { cause: failed });
    }
    return answers.flatMap((answer) => (answer.type === "A" || answer.type === "AAAA" ? [answer.data] : []));
  }
}

function notAllowed(host: string, port: number, reason: string): NetworkError {
  return new NetworkError(`${host} port ${port} is not allowed: ${reason}`, {
    hint: "The egress policy decides what may be reached; by default that is the open internet.",
  });
}

function connected(address: string, port: number, { timeoutMs, signal }: DialOptions): Promise<net.Socket> {
  const to = dialed({ address, port });
  const socket = net.connect({ host: to.address, port: to.port, noDelay: true });
  return new Promise((resolve, reject) => {
    const abort = () => socket.destroy(signal?.reason);
    const timer = setTimeout(
      () => socket.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })),
      timeoutMs,
    );
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.removeListener("error", reject);
    };
    signal?.addEventListener("abort", abort);
    socket.once("error", reject);
    socket.once("close", settle);
    socket.once("connect", () => {
      settle();
      resolve(socket);
    });
  });
}
