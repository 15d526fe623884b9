import { isIPv4 } from "node:net";
import { UsageError } from "../../errors.js";
import type { RegistryReference } from "../reference.js";

const DOCKER_HUB = "docker.io";
/** Docker Hub is called by this name in references, and answers under another. */
const DOCKER_HUB_HOST = "registry-1.docker.io";

/** One place that serves a repository: the registry itself, or a mirror of it. */
export interface Site {
  /** Host name and port by which credentials and certificates are looked up. */
  registry: string;
  /** Host name and port to connect to. */
  host: string;
  /** `https` is a must, or plain HTTP is allowed where the server speaks no TLS. */
  mayBePlain: boolean;
  /** Scheme that a mirror's setting fixes. */
  scheme?: "http" | "https";
  /** Repository path as this place has it. */
  repository: string;
  isMirror: boolean;
}

/** Whether a URL's host name is this machine itself. */
export function isLoopback(hostname: string): boolean {
  const name = hostname.toLowerCase().replace(/^\[|\]$/g, "");
  return name === "localhost" || name === "::1" || (isIPv4(name) && name.startsWith("127."));
}

/** Whether plain HTTP may be spoken with a host: the loopback ones, and those of `SUPERMACHINE_INSECURE_REGISTRIES`. */
export function mayBePlain(host: string, env: NodeJS.ProcessEnv = process.env): boolean {
  const hostname = host.replace(/:\d+$/, "");
  const listed = list(env.SUPERMACHINE_INSECURE_REGISTRIES).map((entry) => entry.toLowerCase());
  return isLoopback(hostname) || listed.includes(host.toLowerCase()) || listed.includes(hostname.toLowerCase());
}

/**
 * Where a reference's repository can be fetched from, in the order to try: the mirrors that
 * `SUPERMACHINE_REGISTRY_MIRRORS` (`docker.io=https://mirror.example,...`) has for its registry, then the registry.
 * @throws UsageError for a mirror that is no `http` or `https` URL
 */
export function sitesOf(
  { registry, repository }: Pick<RegistryReference, "registry" | "repository">,
  env: NodeJS.ProcessEnv = process.env,
): Site[] {
  const mirrors = list(env.SUPERMACHINE_REGISTRY_MIRRORS).map(parseMirror);
  const host = registry === DOCKER_HUB ? DOCKER_HUB_HOST : registry;
  return [
    ...mirrors.filter((mirror) => mirror.of === registry).map(({ url }) => mirrorSite(url, repository, env)),
    { registry, host, mayBePlain: mayBePlain(registry, env), repository, isMirror: false },
  ];
}

function mirrorSite(url: URL, repository: string, env: NodeJS.ProcessEnv): Site {
  const prefix = url.pathname.replace(/^\/|\/$/g, "");
  const isPlain = url.protocol === "http:";
  if (isPlain && !mayBePlain(url.host, env)) {
    throw new UsageError(`the mirror ${url.host} is asked for over plain HTTP, which is not allowed for it`, {
      hint: "Use https, or add it to SUPERMACHINE_INSECURE_REGISTRIES.",
    });
  }
  return {
    registry: url.host,
    host: url.host,
    mayBePlain: isPlain,
    scheme: isPlain ? "http" : "https",
    repository: prefix === "" ? repository : `${prefix}/${repository}`,
    isMirror: true,
  };
}

function parseMirror(entry: string): { of: string; url: URL } {
  const equals = entry.indexOf("=");
  const of = entry.slice(0, equals).trim();
  const url = parseUrl(entry.slice(equals + 1).trim());
  if (equals > 0 && of !== "" && url !== undefined) return { of, url };
  // The entry is not shown: people put passwords into URLs.
  throw new UsageError("SUPERMACHINE_REGISTRY_MIRRORS has an entry that is not REGISTRY=URL", {
    hint: "Write docker.io=https://mirror.example, several with commas between them, without user name and password.",
  });
}

function parseUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isUsable = url !== undefined && /^https?:$/.test(url.protocol) && !url.username && !url.password && !url.search;
  return isUsable ? url : undefined;
}

function list(setting: string | undefined): string[] {
  return (setting ?? "")
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}
