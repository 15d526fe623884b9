import { UsageError } from "../errors.js";
import type { Descriptor } from "./documents.js";
import { printable } from "./printable.js";

/** What an image is built for, in Go's words: `linux`, `amd64`, and for some architectures a variant such as `v7`. */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string | undefined;
}

/** Node's names of architectures that Go calls otherwise. */
const NODE_TO_GO: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  ppc64: "ppc64le",
  riscv64: "riscv64",
};
/** Names that image builders write by mistake. */
const ALIASES: Readonly<Record<string, string>> = { x86_64: "amd64", "x86-64": "amd64", aarch64: "arm64" };
/** Is below every variant's level. */
const SECOND_CHOICE = -1;
/** The variant that is meant where none is written. */
const BASE_LEVEL: Readonly<Record<string, number>> = { amd64: 1, arm64: 8, arm: 7 };

/** Architectures whose programs the kernel of another one runs too. As in containerd, their images are the second choice. */
const ALSO_RUNS: Readonly<Record<string, string>> = { amd64: "386" };

/** Linux on the architecture of this machine: what runs here without emulating another processor. */
export function hostPlatform(arch: string = process.arch): Platform {
  return { os: "linux", architecture: NODE_TO_GO[arch] ?? arch };
}

/** What microVMs of this machine run. Kernel and templates are of its own architecture, under emulation too. */
export function runnablePlatforms(host: Platform = hostPlatform()): Platform[] {
  const other = ALSO_RUNS[architectureOf(host)];
  return other === undefined ? [host] : [host, { os: host.os, architecture: other }];
}

/**
 * Parses `linux/arm64/v8`, `linux/amd64` or just an architecture, as docker's `--platform` has it.
 * @throws UsageError
 */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split("/");
  const [os = "", architecture = "", variant] = parts.length === 1 ? ["linux", ...parts] : parts;
  if (parts.length <= 3 && [os, architecture, variant ?? "x"].every((part) => /^[a-z0-9_.-]+$/.test(part))) {
    return { os, architecture: ALIASES[architecture] ?? architecture, ...(variant === undefined ? {} : { variant }) };
  }
  throw new UsageError(`${JSON.stringify(text)} is not a platform`, { hint: "Write linux/amd64 or linux/arm64/v8." });
}

/** `linux/arm64/v8`, for messages. */
export function formatPlatform(platform: Platform): string {
  return printable([platform.os, platform.architecture, platform.variant].filter(Boolean).join("/"));
}

/** `linux/amd64, linux/arm64/v8`, for messages: each once, and no more than one can read. */
export function listPlatforms(platforms: readonly Platform[]): string {
  return [...new Set(platforms.map(formatPlatform))].slice(0, 20).join(", ") || "no platform";
}

/** Whether a machine of platform `wanted` runs what is built for `offered`, variants left aside. */
export function isFor(wanted: Platform, offered: Platform): boolean {
  return runnablePlatforms(wanted).some((each) => isSameMachine(each, offered));
}

/** Whether operating system and architecture are the same; the variant is left aside. */
function isSameMachine(a: Platform, b: Platform): boolean {
  return a.os.toLowerCase() === b.os.toLowerCase() && architectureOf(a) === architectureOf(b);
}

/**
 * How well something built for `offered` suits `wanted`: the higher the better, `undefined` for not at all. A processor
 * of variant `v7` runs what is built for `v6`, not the reverse.
 */
export function suitability(offered: Platform, wanted: Platform): number | undefined {
  if (!isSameMachine(offered, wanted)) return isFor(wanted, offered) ? SECOND_CHOICE : undefined;
  const have = levelOf(wanted);
  const need = levelOf(offered);
  if (have === undefined || need === undefined) return offered.variant === wanted.variant ? 0 : undefined;
  return need <= have ? need : undefined;
}

/** Whether an entry of an index is no image but a statement about one, as BuildKit adds them. */
export function isAttestation(descriptor: Descriptor): boolean {
  const { platform, annotations } = descriptor;
  if (annotations?.["vnd.docker.reference.type"] !== undefined) return true;
  return platform?.os === "unknown" && platform.architecture === "unknown";
}

function architectureOf(platform: Platform): string {
  const name = platform.architecture.toLowerCase();
  return ALIASES[name] ?? name;
}

function levelOf(platform: Platform): number | undefined {
  if (!platform.variant) return BASE_LEVEL[architectureOf(platform)] ?? 0;
  const match = /^v?(\d{1,2}(?:\.\d{1,2})?)$/.exec(platform.variant);
  return match === null ? undefined : Number(match[1]);
}
