import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { listen, type TestServer } from "./listen.js";

const SSHD = "/usr/sbin/sshd";
/** It wants an empty folder, which is made where nobody else sees it. */
const START = 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$0" -i -f "$1"';

/** Whether OpenSSH's server can be run here. */
export function canRunSshd(): boolean {
  return existsSync(SSHD) && spawnSync("unshare", ["-m", "sh", "-c", "mount -t tmpfs none /run"]).status === 0;
}

export interface SshServer extends TestServer {
  user: string;
  /** A file of a private key that it takes. */
  key: string;
  /** A file with its own key, for the name `host`. */
  knownHosts: string;
}

/** OpenSSH's own server on the loopback, with keys of its own in `folder`; it takes one key. */
export async function sshServer(folder: string, host: string): Promise<SshServer> {
  const at = (name: string) => join(folder, name);
  for (const name of ["host", "user"]) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(name)]);
  writeFileSync(
    at("sshd_config"),
    [
      `HostKey ${at("host")}`,
      `AuthorizedKeysFile ${at("user.pub")}`,
      "StrictModes no",
      "UsePAM no",
      "PidFile none",
      "PermitRootLogin prohibit-password",
      "PasswordAuthentication no",
      "",
    ].join("\n"),
  );
  const server = await listen(
    createServer((socket) => {
      const child = spawn("unshare", ["-m", "sh", "-c", START, SSHD, at("sshd_config")], {
        stdio: [socket, socket, "ignore"],
      });
      child.on("exit", () => socket.destroy());
    }),
  );
  const [type, key] = readFileSync(at("host.pub"), "utf8").split(" ");
  writeFileSync(at("known_hosts"), `[${host}]:${server.port} ${type} ${key}\n`);
  return Object.assign(server, { user: userInfo().username, key: at("user"), knownHosts: at("known_hosts") });
}

/** Puts a program `ssh` into a folder, for the beginning of PATH. */
export function putSsh(folder: string, script: string): void {
  writeFileSync(join(folder, "ssh"), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, "ssh"), 0o755);
}
