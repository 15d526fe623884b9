import type { ConnectionRequest, End, Ends, GuestNetwork, NetworkHandler } from "../guest/index.js";
import { log } from "../log.js";
import { Connections, type Target } from "./connections.js";
import { Datagrams } from "./datagrams.js";
import { Dns } from "./dns.js";
import { DNS_ADDRESSES, type EgressPolicy, HOST_ADDRESSES, type Policy, parsePolicy, type Verdict } from "./policy.js";
import type { Rates } from "./relay.js";
import { RememberedNames } from "./remembered-names.js";
import { TokenBucket } from "./token-bucket.js";

const CONNECTIONS_MAX = 4_096;
/** New connections, UDP flows and questions for names; more are lost, and tried again by whoever needs them. */
const OPENS_PER_SECOND = 1_000;
const OPENS_BURST = 2_000;
const DNS_PORT = 53;

/** A decision about something that the guest wants to reach. */
export interface EgressEvent {
  time: Date;
  protocol: "tcp" | "udp" | "dns";
  allowed: boolean;
  /** Which entry of the policy it was, or what was missing. */
  reason: string;
  /** What is dialed; not for names. */
  address?: string;
  port?: number;
  /** The name that is asked for, or those that the guest knows the address by. */
  names: readonly string[];
}

export interface EgressOptions {
  policy: EgressPolicy;
  onEgress?: NetworkOptions["onEgress"];
}

/** What a user chooses of a VM's network. */
export interface NetworkOptions {
  /** What the VM may reach; by default what the image was baked with, and else `public`. */
  egress?: EgressPolicy | undefined;
  /** Is told of every decision about what the VM wants to reach. */
  onEgress?: ((event: EgressEvent) => void) | undefined;
}

/** Those that serve a guest's network now. */
const serving = new WeakMap<GuestNetwork, Egress>();

/** What one guest sends into its network, from the decision to the last byte. */
export class Egress {
  readonly #names = new RememberedNames();
  readonly #opens = new TokenBucket(OPENS_PER_SECOND, OPENS_BURST);
  readonly #network: GuestNetwork;
  readonly #connections: Connections;
  readonly #datagrams: Datagrams;
  #policy: Policy | undefined;
  #onEgress: EgressOptions["onEgress"];
  #dns: Dns | undefined;
  #rates: Rates | undefined;
  #closed = false;

  private constructor(network: GuestNetwork) {
    this.#network = network;
    const limits = { connections: CONNECTIONS_MAX, rates: () => this.#rates };
    this.#connections = new Connections(network, (request) => this.#target(request), limits);
    this.#datagrams = new Datagrams(network, () => this.#rates);
  }

  /**
   * Serves the guest's network by a policy, until it is closed. If it is served already, the policy is changed, and connections that
   * stand go on.
   * @throws UsageError when the policy is wrong
   */
  static open(network: GuestNetwork, options: EgressOptions): Pick<Egress, "close"> {
    const policy = parsePolicy(options.policy);
    const known = serving.get(network);
    const egress = known ?? new Egress(network);
    if (known && (known.#policy === undefined) !== (policy === undefined)) network.close();
    const opens = !known || (known.#policy === undefined) !== (policy === undefined);
    egress.#change(policy, options.onEgress);
    if (opens) network.open(policy && egress.#handler());
    serving.set(network, egress);
    return egress;
  }

  /** Ends everything that is under way, in the guest and on the host. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    serving.delete(this.#network);
    this.#network.close();
    this.#connections.close();
    this.#datagrams.close();
  }

  #change(policy: Policy | undefined, onEgress: EgressOptions["onEgress"]): void {
    this.#policy = policy;
    this.#onEgress = onEgress;
    this.#rates = ratesOf(policy?.maxBytesPerSecond);
    this.#dns =
      policy &&
      new Dns(policy, this.#names, (name, verdict) => this.#tell({ protocol: "dns", names: [name], ...verdict }));
  }

  #handler(): NetworkHandler {
    return {
      connection: (request) => void this.#connect(request),
      datagram: (ends, content) => void this.#datagram(ends, content),
    };
  }

  async #connect(request: ConnectionRequest): Promise<void> {
    if (this.#closed || !this.#connections.admits(request) || !this.#opens.take(1)) return;
    await this.#connections.connect(request);
  }

  async #target({ ends: { destination } }: ConnectionRequest): Promise<Target> {
    if (DNS_ADDRESSES.includes(destination.address)) {
      const dns = destination.port === DNS_PORT ? this.#dns : undefined;
      return dns ? { kind: "serve", by: (guest) => dns.serve(guest) } : { kind: "refuse", why: "ECONNREFUSED" };
    }
    const allowed = await this.#decide("tcp", destination);
    return allowed ? { kind: "dial", to: dialed(destination) } : { kind: "refuse", why: "EACCES" };
  }

  async #datagram(ends: Ends, content: Buffer): Promise<void> {
    const { destination } = ends;
    if (this.#closed || this.#datagrams.send(ends, content) || !this.#opens.take(1)) return;
    if (DNS_ADDRESSES.includes(destination.address)) {
      if (destination.port === DNS_PORT) await this.#answer(ends, content);
      else this.#network.refuseDatagram(ends, "ECONNREFUSED");
      return;
    }
    const allowed = await this.#decide("udp", destination);
    if (this.#closed) return;
    if (!allowed) {
      this.#network.refuseDatagram(ends, "EACCES");
    } else if (!this.#datagrams.send(ends, content)) {
      this.#datagrams.add(ends, dialed(destination));
      this.#datagrams.send(ends, content);
    }
  }

  async #answer({ source, destination }: Ends, query: Buffer): Promise<void> {
    const answer = await this.#dns?.answer(query, "udp");
    if (answer && !this.#closed) this.#network.sendDatagram({ source: destination, destination: source }, answer);
  }

  async #decide(protocol: "tcp" | "udp", { address, port }: End): Promise<boolean> {
    let names = this.#names.of(address);
    let verdict = this.#verdict(address, port, names);
    if (!verdict.allowed && names.length === 0) {
      await this.#dns?.learn();
      names = this.#names.of(address);
      verdict = this.#verdict(address, port, names);
    }
    this.#tell({ protocol, address, port, names, ...verdict });
    return verdict.allowed;
  }

  #verdict(address: string, port: number, names: readonly string[]): Verdict {
    return this.#policy?.dial(address, port, names) ?? { allowed: false, reason: "there is no network" };
  }

  #tell(event: Omit<EgressEvent, "time">): void {
    const { protocol, allowed, reason, ...rest } = event;
    const what = `${protocol} ${rest.address === undefined ? rest.names.join() : `${rest.address} port ${rest.port}`}`;
    // Both are the guest's own words: a name may hold anything.
    log(
      allowed ? "debug" : "info",
      "network",
      `${what.replace(/[^ -~]/g, "?")} ${allowed ? "" : "not "}allowed: ${reason}`,
    );
    const onEgress = this.#onEgress;
    // What a listener throws is its own failure and not the guest's.
    if (onEgress) process.nextTick(() => onEgress({ time: new Date(), protocol, allowed, reason, ...rest }));
  }
}

/** Where a destination of the guest is for the host. */
export function dialed({ address, port }: End): End {
  const [four, six] = HOST_ADDRESSES;
  if (address === four) return { address: "127.0.0.1", port };
  return address === six ? { address: "::1", port } : { address, port };
}

function ratesOf(perSecond: number | undefined): Rates | undefined {
  if (perSecond === undefined) return undefined;
  // A quarter of a second's worth at once, but no less than a full datagram.
  const burst = Math.max(perSecond / 4, 65_536);
  return { out: new TokenBucket(perSecond, burst), in: new TokenBucket(perSecond, burst) };
}
