import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import type { KeyPair } from "./certificates.js";
import { freePort, untilListening } from "./ports.js";

/** How the registry is set up; by default it is open to everybody over plain HTTP. */
export interface RegistrySetup {
  tls?: KeyPair;
  /** Users and their passwords. */
  users?: Record<string, string>;
  tokens?: { realm: string; service: string; issuer: string; certificate: string };
}

/** A running `docker-registry`. */
export interface TestRegistry extends AsyncDisposable {
  /** `localhost:PORT`. */
  host: string;
  port: number;
  /** Ends the process, but keeps what was pushed until the registry is disposed of. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Starts Debian's `docker-registry` on a port of the loopback. */
export async function startRegistry(setup: RegistrySetup = {}): Promise<TestRegistry> {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-registry-"));
  const port = await freePort();
  const config = join(folder, "config.json");
  // JSON is YAML.
  writeFileSync(config, JSON.stringify(await configuration(folder, port, setup)));
  let running: { stop: () => Promise<void> } | undefined;
  const start = async () => {
    running = await serve(config, port);
  };
  const stop = async () => {
    await running?.stop();
    running = undefined;
  };
  await start();
  return {
    host: `localhost:${port}`,
    port,
    start,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function serve(config: string, port: number): Promise<{ stop: () => Promise<void> }> {
  const child = execa("docker-registry", ["serve", config], { reject: false, all: true, maxBuffer: 1024 * 1024 });
  try {
    await untilListening(port, () => child.exitCode !== null);
  } catch (error) {
    child.kill("SIGKILL");
    throw new Error(`docker-registry did not start: ${(await child).all}`, { cause: error });
  }
  return {
    async stop() {
      child.kill("SIGKILL");
      await child;
    },
  };
}

async function configuration(folder: string, port: number, { tls, users, tokens }: RegistrySetup): Promise<object> {
  const data = join(folder, "data");
  mkdirSync(data);
  const auth = {
    ...(users && { htpasswd: { realm: "supermachine test", path: await passwordFile(folder, users) } }),
    ...(tokens && {
      token: {
        realm: tokens.realm,
        service: tokens.service,
        issuer: tokens.issuer,
        rootcertbundle: tokens.certificate,
      },
    }),
  };
  return {
    version: 0.1,
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: data }, delete: { enabled: true } },
    http: {
      addr: `127.0.0.1:${port}`,
      secret: "only of the tests",
      ...(tls && { tls: { certificate: tls.certificate, key: tls.key } }),
    },
    ...(Object.keys(auth).length > 0 && { auth }),
  };
}

async function passwordFile(folder: string, users: Record<string, string>): Promise<string> {
  const path = join(folder, "htpasswd");
  writeFileSync(path, "");
  for (const [user, password] of Object.entries(users)) {
    await execa("htpasswd", ["-B", "-b", path, user, password]);
  }
  return path;
}
