import { Resolver } from "node:dns";
import { networkInterfaces } from "node:os";
import { UsageError } from "../errors.js";
import { isNeverDialed, isPublic, parseAddress } from "./address-class.js";
import { type Destination, inRanges, normalName, parseRule, type Rule } from "./rule.js";

/** The name under which a guest reaches the host's loopback, where its policy allows that. */
export const HOST_NAME = "host.supermachine.internal";
/** The guest's gateway, which {@link HOST_NAME} stands for. */
export const HOST_ADDRESSES: readonly string[] = ["10.0.2.2", "fd73:6d61:6368::2"];
/** The guest's own address on eth0. */
export const GUEST_ADDRESS = "10.0.2.15";
/** Whom the guest asks for names. */
export const DNS_ADDRESSES: readonly string[] = ["10.0.2.3", "fd73:6d61:6368::3"];

/**
 * What a guest may reach. Entries of the lists are addresses, CIDRs, host names, `*.wildcards` (all names below), `public` or `all`, each with an optional
 * `:PORT` or `:FROM-TO`; `host.supermachine.internal` is the host's loopback.
 */
export interface EgressRules {
  /** What may be reached; `["public"]` by default. A name opens the public addresses that it stands for. */
  allow?: readonly string[] | undefined;
  /** What may not be reached though it is allowed. */
  deny?: readonly string[] | undefined;
  /** Ports that may be reached, as numbers or ranges such as `8000-8999`; all by default. Does not concern DNS. */
  ports?: readonly (number | string)[] | undefined;
  /** For all connections of the VM together, in each direction. */
  maxBytesPerSecond?: number | undefined;
  /** Name servers, as `ADDRESS` or `ADDRESS:PORT`, that answer the guest's questions instead of the host's own. */
  dnsServers?: readonly string[] | undefined;
}

/**
 * `none`: no network. `public`: the open internet, and nothing that is private to the host or its networks. `all`: also the host's networks, but not the host's
 * own loopback. Or rules.
 */
export type EgressPolicy = "none" | "public" | "all" | EgressRules;

/** Whether something is allowed, and because of what. */
export interface Verdict {
  allowed: boolean;
  reason: string;
}

/** The policy where none is given. */
export const DEFAULT_EGRESS: EgressPolicy = "public";

/** A policy that can be asked. */
export interface Policy {
  readonly maxBytesPerSecond: number | undefined;
  /** Name servers that are asked instead of the host's own. */
  readonly dnsServers: readonly string[] | undefined;
  /** The allowed names that are no wildcards. */
  readonly exactNames: readonly string[];
  /** Whether to dial an address that is known to the guest under these names. */
  dial(address: string, port: number, names: readonly string[]): Verdict;
  /** Whether to look a name up. */
  lookUp(name: string): Verdict;
}

/** @throws UsageError when an entry is wrong. `undefined` for "none". */
export function parsePolicy(policy: EgressPolicy): Policy | undefined {
  if (policy === "none") return undefined;
  if (policy === "public" || policy === "all") return new RulePolicy({ allow: [policy] });
  if (policy === null || typeof policy !== "object")
    throw new UsageError(`egress is ${JSON.stringify(policy)}; it is "none", "public", "all" or rules`);
  return new RulePolicy(policy);
}

/** Gives the policy back. @throws UsageError when an entry is wrong */
export function checkPolicy(policy: EgressPolicy): EgressPolicy {
  parsePolicy(policy);
  return policy;
}

class RulePolicy implements Policy {
  readonly maxBytesPerSecond: number | undefined;
  readonly dnsServers: readonly string[] | undefined;
  readonly exactNames: readonly string[];
  readonly #allow: Rule[];
  readonly #deny: Rule[];
  readonly #port: (port: number) => boolean;

  constructor(rules: EgressRules) {
    const { allow = ["public"], deny = [], ports, maxBytesPerSecond } = rules;
    if (maxBytesPerSecond !== undefined && !(Number.isInteger(maxBytesPerSecond) && maxBytesPerSecond > 0))
      throw new UsageError(`egress.maxBytesPerSecond is ${maxBytesPerSecond}; it is a whole number above 0`);
    this.maxBytesPerSecond = maxBytesPerSecond;
    this.dnsServers = checkServers(rules.dnsServers);
    this.#allow = allow.map(parseRule);
    this.exactNames = this.#allow.flatMap(({ exactName }) => (exactName && exactName !== HOST_NAME ? [exactName] : []));
    this.#deny = deny.map(parseRule);
    this.#port = ports ? inRanges(ports) : () => true;
  }

  dial(text: string, port: number, names: readonly string[]): Verdict {
    const address = parseAddress(text);
    const plain = address.toString();
    const isHost = HOST_ADDRESSES.some((each) => parseAddress(each).toString() === plain);
    const to: Destination = { address, port, names: isHost ? [HOST_NAME] : names.map(normalName) };
    const denied = this.#deny.find((rule) => rule.matches(to));
    if (denied) return no(`denied by ${denied.text}`);
    if (!this.#port(port)) return no(`port ${port} is not among the allowed ones`);
    if (isHost) return this.#host(to);
    if (isNeverDialed(address)) return no("an address that is never dialed");
    return this.#address(to, plain);
  }

  lookUp(name: string): Verdict {
    const normal = normalName(name);
    const denied = this.#deny.find((rule) => rule.matchesName?.(normal));
    if (denied) return no(`denied by ${denied.text}`);
    const allowed = this.#allow.find((rule) => rule.matchesName?.(normal) ?? normal !== HOST_NAME);
    return allowed ? yes(allowed.text) : no("not among the allowed names");
  }

  /** Only an entry that names the host opens it: `all` does not, nor a wildcard. */
  #host(to: Destination): Verdict {
    const allowed = this.#allow.find((rule) => rule.exactName === HOST_NAME && rule.matches(to));
    return allowed ? yes(allowed.text) : no("the host's loopback is not allowed");
  }

  #address(to: Destination, plain: string): Verdict {
    const open = isPublic(to.address) && !isOwn(plain);
    // A name must not lead anywhere that its owner chooses inside the host's networks: there only numbers count.
    const allowed = this.#allow.find((rule) => {
      const needsOpen = rule.matchesName !== undefined || rule.text.startsWith("public");
      return (open || !needsOpen) && rule.matches(to);
    });
    if (allowed) return yes(allowed.text);
    return no(open ? "not among the allowed destinations" : "an address that is not public");
  }
}

function checkServers(servers: readonly string[] | undefined): readonly string[] | undefined {
  try {
    if (servers) new Resolver().setServers(servers);
    return servers;
  } catch (cause) {
    throw new UsageError(`egress.dnsServers: ${JSON.stringify(servers)} are no addresses of name servers`, { cause });
  }
}

const yes = (entry: string): Verdict => ({ allowed: true, reason: `allowed by ${entry}` });
const no = (reason: string): Verdict => ({ allowed: false, reason });

/** Whether this is an address of the host itself, where its own services may listen; the list is short and asking takes 20 µs. */
function isOwn(address: string): boolean {
  return Object.values(networkInterfaces()).some((each) =>
    each?.some((one) => parseAddress(one.address).toString() === address),
  );
}
