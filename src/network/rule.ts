import { isIP } from "node:net";
import type ipaddr from "ipaddr.js";
import { UsageError } from "../errors.js";
import { isPublic, matches, parseAddress } from "./address-class.js";

const PORT_MAX = 65_535;
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

/** What a destination is compared by. */
export interface Destination {
  address: ipaddr.IPv4 | ipaddr.IPv6;
  port: number;
  /** Names that were given to the guest for this address. */
  names: readonly string[];
}

/** One entry of an allow or deny list. */
export interface Rule {
  text: string;
  matches(destination: Destination): boolean;
  /** Whether a name may be asked for because of this entry; undefined when the entry is not about names. */
  matchesName: ((name: string) => boolean) | undefined;
  /** The name, when the entry is one and no wildcard. */
  exactName: string | undefined;
}

/**
 * Reads an entry: an address, a CIDR, a host name, `*.example.org` for all names below it, `public` or `all`; each with `:PORT`,
 * `:FROM-TO` or nothing behind it. An IPv6 address with a port is in brackets.
 * @throws UsageError that says what is wrong with it
 */
export function parseRule(text: string): Rule {
  const { host, ports } = splitPorts(text);
  const onPort = ports ? inRanges([ports]) : () => true;
  if (host === "public") return addressRule(text, ({ address }) => isPublic(address), onPort);
  if (host === "all") return addressRule(text, () => true, onPort);
  const range = parseRange(host);
  if (range) return addressRule(text, ({ address }) => matches(address, range), onPort);
  const matchesName = nameMatcher(text, host);
  const exactName = host.startsWith("*") ? undefined : normalName(host);
  return { text, matchesName, exactName, matches: (to) => onPort(to.port) && to.names.some(matchesName) };
}

/** Whether a port is in one of the ranges: numbers, or texts such as `8000-8999`. @throws UsageError */
export function inRanges(ports: readonly (number | string)[]): (port: number) => boolean {
  const ranges = ports.map(parsePorts);
  return (port) => ranges.some(({ from, to }) => port >= from && port <= to);
}

/** A name as it is compared: lower case, in ASCII, without the final dot. */
export function normalName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function addressRule(text: string, fits: (to: Destination) => boolean, onPort: (port: number) => boolean): Rule {
  return { text, matchesName: undefined, exactName: undefined, matches: (to) => onPort(to.port) && fits(to) };
}

function splitPorts(text: string): { host: string; ports: string | undefined } {
  const bracketed = /^\[([^\]]*)\](?::([\d-]+))?$/.exec(text);
  if (bracketed) return { host: bracketed[1] ?? "", ports: bracketed[2] };
  // An IPv6 address is full of colons.
  const plain = /^([^:]*)(?::([\d-]+))?$/.exec(text);
  return plain ? { host: plain[1] ?? "", ports: plain[2] } : { host: text, ports: undefined };
}

function parsePorts(text: number | string): { from: number; to: number } {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(text));
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? match?.[1]);
  if (match && from >= 1 && to >= from && to <= PORT_MAX) return { from, to };
  throw new UsageError(`${JSON.stringify(text)} is no port from 1 to ${PORT_MAX}, nor a range such as 8000-8999`);
}

function parseRange(host: string): [ipaddr.IPv4 | ipaddr.IPv6, number] | undefined {
  const [base = "", bits, ...more] = host.split("/");
  const family = isIP(base);
  if (family === 0) return undefined;
  const address = parseAddress(base);
  const most = address.kind() === "ipv4" ? 32 : 128;
  // Of a mapped address the bits before the IPv4 part do not count.
  const mapped = family === 6 && most === 32 ? 96 : 0;
  const length = bits === undefined ? most : Number(bits) - mapped;
  if (more.length > 0 || (bits !== undefined && !/^\d{1,3}$/.test(bits)) || length < 0 || length > most)
    throw new UsageError(`${JSON.stringify(host)} is no range of addresses`, { hint: "Such as 10.0.0.0/8." });
  return [address, length];
}

function nameMatcher(text: string, host: string): (name: string) => boolean {
  const below = host.startsWith("*.");
  const name = normalName(below ? host.slice(2) : host);
  const labels = name.split(".");
  const isNumber = /^\d+$/.test(labels.at(-1) ?? "");
  if (name.length > 253 || isNumber || !labels.every((label) => LABEL.test(label)))
    throw new UsageError(`${JSON.stringify(text)} is no address, range, host name or *.wildcard`);
  return below ? (asked) => asked.endsWith(`.${name}`) : (asked) => asked === name;
}
