import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import type { Answer } from "dns-packet";
import ipaddr from "ipaddr.js";

/** What the resolver tells no time to live of. */
const TTL_SECONDS = 60;
const RESOLVER = { timeout: 3_000, tries: 2 };

type Lookup = (resolver: Resolver, name: string) => Promise<Answer[]>;

const record = <T>(name: string, type: string, data: T, ttl = TTL_SECONDS): Answer =>
  ({ name, type, ttl, data }) as unknown as Answer;

/** The types of records that are answered. */
const LOOKUPS: Readonly<Record<string, Lookup>> = {
  A: async (resolver, name) =>
    (await resolver.resolve4(name, { ttl: true })).map(({ address, ttl }) => record(name, "A", address, ttl)),
  AAAA: async (resolver, name) =>
    (await resolver.resolve6(name, { ttl: true })).map(({ address, ttl }) => record(name, "AAAA", address, ttl)),
  CNAME: async (resolver, name) => (await resolver.resolveCname(name)).map((data) => record(name, "CNAME", data)),
  NS: async (resolver, name) => (await resolver.resolveNs(name)).map((data) => record(name, "NS", data)),
  TXT: async (resolver, name) => (await resolver.resolveTxt(name)).map((data) => record(name, "TXT", data)),
  MX: async (resolver, name) =>
    (await resolver.resolveMx(name)).map(({ exchange, priority }) =>
      record(name, "MX", { exchange, preference: priority }),
    ),
  SRV: async (resolver, name) =>
    (await resolver.resolveSrv(name)).map(({ name: target, port, priority, weight }) =>
      record(name, "SRV", { target, port, priority, weight }),
    ),
  SOA: async (resolver, name) => {
    const soa = await resolver.resolveSoa(name);
    const { nsname: mname, hostmaster: rname, serial, refresh, retry, expire, minttl: minimum } = soa;
    return [record(name, "SOA", { mname, rname, serial, refresh, retry, expire, minimum })];
  },
  PTR: async (resolver, name) => {
    const address = reverseAddress(name);
    const names = address ? await resolver.reverse(address) : await resolver.resolvePtr(name);
    return names.map((data) => record(name, "PTR", data));
  },
};

/** Asks name servers. */
export class Records {
  readonly #servers: readonly string[] | undefined;
  /** Made when it is needed first: most guests ask for nothing, and it reads the host's settings. */
  #resolver: Resolver | undefined;

  /** @param servers those that are asked instead of the host's own */
  constructor(servers: readonly string[] | undefined) {
    this.#servers = servers;
  }

  /** Whether such records can be asked for. */
  knows(type: string): boolean {
    return Object.hasOwn(LOOKUPS, type);
  }

  #open(): Resolver {
    if (this.#resolver) return this.#resolver;
    const resolver = new Resolver(RESOLVER);
    if (this.#servers) resolver.setServers(this.#servers);
    this.#resolver = resolver;
    return resolver;
  }

  /**
   * The records of a name, none if there are none of this type; `undefined` when there is no such name. Rejects when no server
   * gives an answer.
   */
  async find(type: string, name: string): Promise<Answer[] | undefined> {
    const lookup = LOOKUPS[type];
    if (!lookup) return [];
    try {
      return await lookup(this.#open(), name);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENODATA") return [];
      if (code === "ENOTFOUND" || code === "EBADNAME") return undefined;
      throw error;
    }
  }
}

/** `4.3.2.1.in-addr.arpa` -> `1.2.3.4`, and the same for IPv6; undefined for other names. */
export function reverseAddress(name: string): string | undefined {
  const lower = name.toLowerCase();
  const four = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(lower)?.[1];
  if (four) {
    const address = four.split(".").slice(0, 4).reverse().join(".");
    return isIP(address) === 4 ? address : undefined;
  }
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(lower)?.[1];
  if (!six) return undefined;
  const digits = six.split(".").reverse().join("");
  return ipaddr.IPv6.parse((digits.match(/.{4}/g) ?? []).join(":")).toRFC5952String();
}
