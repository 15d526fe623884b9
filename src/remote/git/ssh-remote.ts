import { isIP } from "node:net";
import { UsageError } from "../../errors.js";

export const SSH_PORT = 22;
/** As hosters have it; the name of whoever builds would be a secret told to strangers. */
const DEFAULT_USER = "git";
const USER = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
const HOST = /^(?!.*\.\.)[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;
/** `user@host:path`, as ssh(1) has it; a host may be an IPv6 address in brackets. */
const SCP_LIKE = /^([^@/:]+)@(\[[^\]]+\]|[^:/]+):(?!\/\/)(.+)$/s;

/** A repository that is reached by SSH. */
export interface SshRemote {
  user: string;
  /** A name or an address, without brackets. */
  host: string;
  port: number;
  /** Where it is on that machine; without a slash at the beginning it is in the user's folder there. */
  path: string;
}

/** What no part of would be accepted. */
const NOTHING: SshRemote = { user: "", host: "", port: 0, path: "" };

/**
 * Parses `ssh://[USER@]HOST[:PORT]/PATH` and `USER@HOST:PATH` (git-clone(1), "GIT URLS").
 * @returns undefined for what has neither form
 * @throws UsageError when a part of it could be taken for something else by ssh or by the shell at the other end
 */
export function parseSshRemote(remote: string): SshRemote | undefined {
  const parts = remote.startsWith("ssh://") ? partsOfUrl(remote) : partsOfScp(remote);
  if (!parts) return undefined;
  const { user, host, path } = parts;
  // A program may take what begins with a hyphen for an option.
  const isGood = USER.test(user) && (HOST.test(host) || isIP(host) > 0) && /^[^-\p{Cc}][^\p{Cc}]*$/u.test(path);
  if (isGood) return parts;
  throw new UsageError(`${JSON.stringify(remote)} cannot be fetched: it has no form that is safe to give to ssh`, {
    hint: "It is ssh://USER@HOST:PORT/PATH or USER@HOST:PATH.",
  });
}

function partsOfUrl(text: string): SshRemote {
  if (!URL.canParse(text)) return NOTHING;
  const url = new URL(text);
  const path = decoded(url.pathname);
  return {
    user: decoded(url.username) || DEFAULT_USER,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(url.port) || SSH_PORT,
    // As git has it: what begins with a tilde is in somebody's folder.
    path: path.startsWith("/~") ? path.slice(1) : path,
    ...((url.search !== "" || url.password !== "") && NOTHING),
  };
}

function partsOfScp(text: string): SshRemote | undefined {
  const [, user, host, path] = SCP_LIKE.exec(text) ?? [];
  if (user === undefined || host === undefined || path === undefined) return undefined;
  return { user, host: host.replace(/^\[(.*)\]$/, "$1"), port: SSH_PORT, path };
}

/** What cannot be decoded is nothing that anybody would take. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** The command for the other end, whose shell reads it. */
export function uploadPackCommand({ path }: SshRemote): string {
  return `git-upload-pack '${path.replace(/['!]/g, "'\\$&'")}'`;
}
