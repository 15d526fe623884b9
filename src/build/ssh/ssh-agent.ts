import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UsageError } from "../../errors.js";

const START_TIMEOUT_MS = 10_000;
const LOOK_MS = 10;

/** An agent that signs for commands of a build, until it is disposed of. */
export interface SshAgent extends AsyncDisposable {
  /** Path of its socket on this machine. */
  socket: string;
}

/**
 * The agent that `paths` mean: none is the one of `SSH_AUTH_SOCK`, a socket is an agent's, files are private keys, for which OpenSSH's own agent is
 * started.
 * @throws UsageError
 */
export async function openSshAgent(id: string, paths: readonly string[], env = process.env): Promise<SshAgent> {
  const [first = env.SSH_AUTH_SOCK] = paths;
  if (!first) {
    throw new UsageError(`there is no ssh-agent for --ssh ${id}: SSH_AUTH_SOCK is not set`, {
      hint: `Start one, or name a key: --ssh ${id}=KEYFILE.`,
    });
  }
  const areSockets = await Promise.all((paths.length === 0 ? [first] : paths).map((path) => isSocket(id, path)));
  if (areSockets.length === 1 && areSockets[0]) return { socket: first, [Symbol.asyncDispose]: async () => undefined };
  if (!areSockets.includes(true)) return startAgent(id, paths);
  throw new UsageError(`--ssh ${id} is one socket or some key files, not ${paths.join(" and ")}`);
}

async function isSocket(id: string, path: string): Promise<boolean> {
  const stats = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`--ssh ${id}: ${path} cannot be used: ${cause.code ?? cause.message}`, { cause });
  });
  return stats.isSocket();
}

/** The shell ends it when its input does, so it does not outlive this process, however that ends. */
const SCRIPT = 'ssh-agent -D -a "$1" >/dev/null 2>&1 & read -r _; kill "$!"; wait';

async function startAgent(id: string, keys: readonly string[]): Promise<SshAgent> {
  const { execa } = await import("execa");
  const folder = await mkdtemp(join(tmpdir(), "supermachine-ssh-"));
  const socket = join(folder, "agent");
  const shell = execa("sh", ["-c", SCRIPT, "sh", socket], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    reject: false,
  });
  const stop = async () => {
    shell.stdin.end();
    await shell;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await untilListening(socket);
    // Without a terminal, so that it cannot ask for a passphrase in the middle of a build.
    const added = await execa("ssh-add", ["-q", "--", ...keys], {
      env: { SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: "never" },
      stdin: "ignore",
      detached: true,
      reject: false,
      timeout: START_TIMEOUT_MS,
    });
    if (added.failed) throw refused(id, keys, added.stderr || added.shortMessage || "");
    return { socket, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The socket's file is there a moment before anybody listens. */
async function untilListening(path: string): Promise<void> {
  for (const end = performance.now() + START_TIMEOUT_MS; performance.now() < end; await sleep(LOOK_MS)) {
    const socket = connect(path);
    const isListening = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isListening) return;
  }
  throw new UsageError("ssh-agent did not start", {
    hint: "Install OpenSSH's client, or name the socket of an agent.",
  });
}

function refused(id: string, keys: readonly string[], reason: string): UsageError {
  return new UsageError(`--ssh ${id}: ${keys.join(", ")} cannot be used: ${reason.trim()}`, {
    hint: "A key with a passphrase works when it is in an agent: ssh-add KEYFILE, and --ssh default.",
  });
}
