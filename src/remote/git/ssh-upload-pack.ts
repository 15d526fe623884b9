import { NetworkError, UsageError } from "../../errors.js";
import type { WebClient } from "../web/index.js";
import { printable } from "./pkt-line.js";
import { SSH_PORT, type SshRemote, uploadPackCommand } from "./ssh-remote.js";
import type { UploadPack } from "./upload-pack.js";

/** Of what ssh and the server say. */
const MOST_WORDS = 4096;
const KILL_AFTER_MS = 2000;

/** How ssh(1) is started: a word each, no shell, no configuration of the user's. */
export interface SshOptions {
  /** The socket of the agent whose keys may be used. */
  agent: string;
  signal?: AbortSignal | undefined;
}

/**
 * Reaches a repository with OpenSSH's client. It connects to the very address that the egress policy has allowed, uses the agent's keys only, asks
 * nobody anything, and trusts the servers alone that the user's `known_hosts` has.
 * @throws NetworkError, UsageError
 */
export async function connectSsh(
  client: WebClient,
  remote: SshRemote,
  { agent, signal }: SshOptions,
): Promise<UploadPack> {
  const { connectMs, stallMs } = client.limits;
  const socket = await client.dialer.dial(remote.host, remote.port, { timeoutMs: connectMs, signal });
  const address = socket.remoteAddress ?? remote.host;
  socket.destroy();
  const { execa } = await import("execa");
  const { PATH, HOME } = process.env;
  const ssh = execa("ssh", sshArguments(remote, address, connectMs), {
    env: { PATH, HOME, SSH_AUTH_SOCK: agent, SSH_ASKPASS_REQUIRE: "never", LC_ALL: "C" },
    extendEnv: false,
    stdin: "pipe",
    buffer: false,
    reject: false,
    forceKillAfterDelay: KILL_AFTER_MS,
    ...(signal && { cancelSignal: signal }),
  });
  // Whoever reads is told how it ended.
  ssh.stdin.on("error", () => undefined);
  let said = Buffer.alloc(0);
  ssh.stderr.on("data", (bytes: Buffer) => {
    if (said.length < MOST_WORDS) said = Buffer.concat([said, bytes]).subarray(0, MOST_WORDS);
  });
  let isStalled = false;
  const stall = setTimeout(() => {
    isStalled = true;
    ssh.kill();
  }, stallMs).unref();

  async function* output(): AsyncGenerator<Buffer> {
    for await (const chunk of ssh.stdout) {
      stall.refresh();
      yield chunk as Buffer;
    }
    const ended = await ssh;
    signal?.throwIfAborted();
    if (isStalled) throw new NetworkError(`${remote.host} stopped sending`);
    if (ended.failed) throw failure(remote, ended, printable(said));
  }
  const bytes = output();
  return {
    refs: async () => bytes,
    request: async (body) => {
      ssh.stdin.write(body);
      return bytes;
    },
    close() {
      clearTimeout(stall);
      ssh.kill();
    },
  };
}

/** The options are those of ssh_config(5). */
function sshArguments(remote: SshRemote, address: string, connectMs: number): string[] {
  const { user, host, port } = remote;
  const options = {
    BatchMode: "yes",
    ConnectTimeout: String(Math.ceil(connectMs / 1000)),
    HostName: address,
    // As known_hosts has them.
    HostKeyAlias: port === SSH_PORT ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`,
    IdentityFile: "none",
    LogLevel: "ERROR",
    PreferredAuthentications: "publickey",
    StrictHostKeyChecking: "yes",
  };
  const words = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  return [
    "-F",
    "none",
    "-T",
    "-a",
    "-x",
    "-p",
    String(port),
    "-l",
    user,
    ...words,
    "--",
    host,
    uploadPackCommand(remote),
  ];
}

interface Ended {
  code?: string | undefined;
  exitCode?: number | undefined;
}

function failure({ host, user }: SshRemote, ended: Ended, said: string): Error {
  if (ended.code === "ENOENT") {
    return new UsageError("git repositories are reached by SSH with OpenSSH's client, and there is no program ssh");
  }
  const words = said === "" ? `ended with exit code ${ended.exitCode}` : `says: ${said}`;
  return new NetworkError(`ssh to ${user}@${host} ${words}`, hintFor(said));
}

function hintFor(said: string): { hint?: string } {
  if (/host key/i.test(said)) {
    return {
      hint: "Its key has to be in ~/.ssh/known_hosts: connect to it once with ssh, or ask its owner for the key.",
    };
  }
  if (/permission denied/i.test(said)) return { hint: "Is one of the keys of --ssh known to that server?" };
  return {};
}
