import { InvalidArgumentError, Option } from "commander";
import {
  type EgressPolicy,
  type MountOptions,
  type PublishOptions,
  parseEgressPolicy,
  parseMount,
  parsePublish,
  parseRegistryAuth,
  parseVolume,
  UsageError,
  type VolumeOptions,
} from "../index.js";

/** Collects an option that may be given several times. */
export function collect(value: string, former: string[] = []): string[] {
  return [...former, value];
}

/** Parses a whole number. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It is a whole number.");
  return Number(text);
}

/** Parses an amount of memory, such as `512`, `512M`, `512MiB` or `2g`, into MiB. */
export function memoryMiB(text: string): number {
  const match = /^(\d{1,9})(?:(m|g)(?:i?b)?)?$/i.exec(text);
  if (!match) throw new InvalidArgumentError("It is a number of MiB, or one with M or G, such as 512M or 2G.");
  return Number(match[1]) * (match[2]?.toLowerCase() === "g" ? 1024 : 1);
}

const UNITS_BYTES: Record<string, number> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** Parses an amount of storage, such as `500M` or `20GB`, into bytes. */
export function storageBytes(text: string): number {
  const [, count, unit = ""] = /^(\d{1,9})(?:([kmgt])(?:i?b)?)?$/i.exec(text) ?? [];
  if (count === undefined)
    throw new InvalidArgumentError("It is a number of bytes, or one with K, M, G or T, such as 20G.");
  return Number(count) * (UNITS_BYTES[unit.toLowerCase()] ?? 1);
}

const UNITS_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Parses a length of time, such as `90s`, `30m`, `24h`, `7d` or `2w`, into milliseconds. */
export function duration(text: string): number {
  const [, count, unit = ""] = /^(\d{1,9})([smhdw])$/.exec(text) ?? [];
  const factor = UNITS_MS[unit];
  if (factor === undefined) throw new InvalidArgumentError("It is a number with s, m, h, d or w, such as 24h or 7d.");
  return Number(count) * factor;
}

const FRACTION_UNITS_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Parses a length of time as docker writes it, such as `500ms`, `30s` or `1m30s`, into milliseconds. */
export function goDuration(text: string): number {
  const parts = [...text.matchAll(/(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text)
    throw new InvalidArgumentError("It is a length of time such as 500ms, 30s or 1m30s.");
  return parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (FRACTION_UNITS_MS[unit] ?? 0), 0);
}

/** Parses a moment: a time such as `2026-11-21T10:00:00Z`, or an age such as `10m`. */
export function moment(text: string): Date {
  const isAge = /^\d{1,9}[smhdw]$/.test(text);
  const isTime = /^\d{4}-\d\d-\d\d/.test(text);
  const time = isAge ? Date.now() - duration(text) : isTime ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time))
    throw new InvalidArgumentError("It is a time such as 2026-11-21T10:00:00Z, or an age such as 10m.");
  return new Date(time);
}

/** Parses a port's number. */
export function portNumber(text: string): number {
  const port = wholeNumber(text);
  if (port < 1 || port > 65_535) throw new InvalidArgumentError("It is a number from 1 to 65535.");
  return port;
}

/** `--publish`, any number of them. */
export function publishOption(): Option {
  const what = "make a port of the microVM reachable on the host (HOST 127.0.0.1 and any free PORT by default)";
  const add = (text: string, former: PublishOptions[] = []) => [...former, parsePublish(text)];
  return new Option("-p, --publish <[[host:]port:]guest[/udp]>", what).argParser(add);
}

/** What the microVM may reach: three options that set one value. */
export function egressOptions(): Option[] {
  const policy = "what the microVM may reach: deny_private (default), allowlist:LIST or denylist:LIST";
  return [
    new Option("--egress-policy <policy>", policy).argParser(parseEgressPolicy),
    new Option("--enable-egress", "let it reach what is public, also if it was baked without"),
    new Option("--no-egress", "give it no network"),
  ];
}

/** What {@link egressOptions} come to; undefined leaves it to the image. @throws UsageError when they contradict each other */
export function egressOf(flags: {
  egress?: boolean;
  enableEgress?: boolean;
  egressPolicy?: EgressPolicy;
}): EgressPolicy | undefined {
  const none = flags.egress === false;
  if (none && (flags.enableEgress || flags.egressPolicy !== undefined))
    throw new UsageError("--no-egress leaves nothing for --enable-egress or --egress-policy to allow");
  return none ? "none" : (flags.egressPolicy ?? (flags.enableEgress ? "public" : undefined));
}

/** `--mount`, any number of them. */
export function mountOption(): Option {
  const what = "show a folder of this machine to the microVM; can be repeated";
  const add = (text: string, former: MountOptions[] = []) => [...former, parseMount(text)];
  return new Option("--mount <host:guest[:ro][:deny|opaque|follow]>", what).argParser(add);
}

/** `--volume`, any number of them. Like docker's, it takes folders too. */
export function volumeOption(): Option {
  const what = "give the microVM a volume: a name, an image file, or a folder to mount; can be repeated";
  const add = (text: string, former: (VolumeOptions | MountOptions)[] = []) => [
    ...former,
    parseVolume(text) ?? parseMount(text),
  ];
  return new Option("-v, --volume <name|file|folder:guest[:ro]>", what).argParser(add);
}

/** `--pull`, of every command that opens an image. */
export function pullOption(): Option {
  const policies = ["missing", "always", "never"];
  return new Option("--pull <policy>", "when to ask the registry").choices(policies).default("missing");
}

/** `--platform`, of every command that opens an image. */
export function platformOption(): Option {
  return new Option("--platform <os/arch[/variant]>", "which image of an index (default: what suits this machine)");
}

/** `--registry-auth`, of every command that talks to a registry. */
export function registryAuthOption(): Option {
  const what = "credentials for the registry (default: those that docker or podman keep)";
  return new Option("--registry-auth <user:password>", what).argParser(parseRegistryAuth);
}

/** `--source-auth`, of every command that copies from one registry. */
export function sourceAuthOption(): Option {
  const what = "credentials for the registry that is copied from (default: as above)";
  return new Option("--source-auth <user:password>", what).argParser(parseRegistryAuth);
}
