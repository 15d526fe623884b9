import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { folderOfFile } from "../support/folder-of-file.js";
import { listen } from "../support/servers/listen.js";
import { canRunSshd, putSsh, sshServer } from "../support/servers/ssh-server.js";
import { freshHome } from "../support/test-home.js";
import { builtFiles } from "./build-fixture.js";

const HOST = "host.supermachine.internal";
/** Runs the command for the other end here, and notes how it was started. */
const FAKE = `printf '%s\\n' "$@" > "$0.argv"; env > "$0.env"; for last; do :; done; exec sh -c "$last"`;

let folder: string;
let programs: string;
let current: ReturnType<typeof freshHome>;

function git(cwd: string, ...args: string[]): string {
  const env = { PATH: process.env.PATH, HOME: folder, GIT_CONFIG_NOSYSTEM: "1" };
  const who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"];
  return execFileSync("git", [...who, ...args], { cwd, env, encoding: "utf8", stdio: "pipe" });
}

function repository(name: string, files: Record<string, string>, then?: (work: string) => void): void {
  const work = join(folder, `${name}-work`);
  mkdirSync(work);
  git(work, "init", "-q", "-b", "main");
  for (const [path, text] of Object.entries(files)) writeFileSync(join(work, path), text);
  then?.(work);
  git(work, "add", "-A");
  git(work, "commit", "-qm", name);
  git(folder, "clone", "-q", "--bare", work, `${name}.git`);
}

beforeAll(() => {
  folder = folderOfFile();
  programs = join(folder, "bin");
  mkdirSync(programs);
  repository("inner", { inside: "inner" });
  repository("main", { name: "main" }, (work) => {
    git(work, "submodule", "add", "-q", join(folder, "inner.git"), "module");
    writeFileSync(join(work, ".gitmodules"), '[submodule "module"]\n\tpath = module\n\turl = ../inner.git\n');
  });
});
beforeEach(() => {
  current = freshHome([]);
  vi.stubEnv("PATH", `${programs}${delimiter}${process.env.PATH}`);
});
afterEach(() => current[Symbol.dispose]());

const add = (source: string, ssh: Record<string, string[]> = {}, contexts = {}) =>
  builtFiles(`FROM scratch\nADD ${source} /\n`, { egress: { allow: [HOST] }, ssh, contexts });
const failure = (source: string, ssh?: Record<string, string[]>) =>
  add(source, ssh).then(
    () => "",
    (error: Error) => error.message,
  );
const FILES = ["0 644 0:0 name=main", "5 755 0:0 module/", "0 644 0:0 module/inside=inner"];

describe("a git repository by SSH", () => {
  test("is fetched by ssh, which is given each word by itself and nothing of this machine but an agent", async () => {
    putSsh(programs, FAKE);
    vi.stubEnv("SECRET_OF_THIS_MACHINE", "x");
    await using server = await listen(createServer());
    const socket = join(folder, "agent");
    await using _socket = await listenAt(socket);
    const url = `ssh://me@${HOST}:${server.port}${folder}/main.git`;
    expect(await add(`${url}#main`, { default: [socket] })).toEqual(expect.arrayContaining(FILES));
    const argv = readFileSync(join(programs, "ssh.argv"), "utf8").trimEnd().split("\n");
    expect(argv.slice(-3)).toEqual(["--", HOST, `git-upload-pack '${folder}/inner.git'`]);
    for (const option of ["BatchMode=yes", "StrictHostKeyChecking=yes", "HostName=127.0.0.1", "IdentityFile=none"]) {
      expect(argv).toContain(option);
    }
    expect(argv).toContain(`HostKeyAlias=[${HOST}]:${server.port}`);
    expect(argv.slice(0, 2)).toEqual(["-F", "none"]);
    const env = readFileSync(join(programs, "ssh.env"), "utf8");
    expect(env).toContain(`SSH_AUTH_SOCK=${socket}\n`);
    expect(env).not.toContain("SECRET_OF_THIS_MACHINE");
  });

  test("needs keys that the build was given, and a host that commands may reach", async () => {
    putSsh(programs, FAKE);
    const source = `git@${HOST}:${folder}/main.git`;
    expect(await failure(source)).toMatch(/was given no keys for SSH\s+Give it .*--ssh default/);
    vi.stubEnv("SSH_AUTH_SOCK", "");
    expect(await failure(source, { default: [] })).toContain("SSH_AUTH_SOCK is not set");
    const socket = join(folder, "other-agent");
    await using _socket = await listenAt(socket);
    expect(await failure("git@169.254.169.254:x", { default: [socket] })).toContain("not allowed");
    expect(await failure("git@-oProxyCommand=x:y", { default: [socket] })).toMatch(
      /safe to give to ssh|not in the build/,
    );
  });

  test("fails with what ssh says, in one line, or when it says nothing any more", async () => {
    await using server = await listen(createServer());
    const socket = join(folder, "third-agent");
    await using _socket = await listenAt(socket);
    const url = `ssh://me@${HOST}:${server.port}/x`;
    const fails = async (script: string) => {
      putSsh(programs, script);
      return await failure(url, { default: [socket] });
    };
    expect(await fails("printf 'Host key\\033[1m\\nverification failed.' >&2; exit 255")).toMatch(
      /ssh to me@host\.supermachine\.internal says: Host key \[1m verification failed\.\n\s+Its key has to be in/,
    );
    expect(await fails("echo 'Permission denied (publickey).' >&2; exit 255")).toContain("Is one of the keys of --ssh");
    expect(await fails("exit 3")).toContain("ended with exit code 3");
    expect(await fails("exit 0")).toContain("ended the connection in the middle");
    expect(await fails("yes | head -c 1000000 >&2; exit 1")).toContain("says: y y y");
    vi.stubEnv("PATH", folderOfFile());
    expect(await failure(url, { default: [socket] })).toContain("there is no program ssh");
    vi.stubEnv("PATH", `${programs}${delimiter}/usr/bin${delimiter}/bin`);
    expect(await fails("echo hello")).toContain("does not speak git's protocol");
  });
});

describe.skipIf(!canRunSshd())("with OpenSSH's own server", () => {
  test("a key file fetches a repository with its submodule; a stranger's key and an unknown server do not", async () => {
    const keys = folderOfFile();
    await using server = await sshServer(keys, HOST);
    const url = `ssh://${server.user}@${HOST}:${server.port}${folder}/main.git`;
    const known = (file: string) => putSsh(programs, `exec /usr/bin/ssh -o UserKnownHostsFile=${file} "$@"`);
    known(server.knownHosts);
    expect(await add(url, { default: [server.key] })).toEqual(expect.arrayContaining(FILES));
    expect(await failure(`${url}#none`, { default: [server.key] })).toContain('neither a branch nor a tag "none"');
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(keys, "stranger")]);
    expect(await failure(url, { default: [join(keys, "stranger")] })).toContain("Permission denied");
    known("/dev/null");
    expect(await failure(url, { default: [server.key] })).toContain("Its key has to be in ~/.ssh/known_hosts");
  });

  test("a named context comes by SSH, too", async () => {
    const keys = folderOfFile();
    await using server = await sshServer(keys, HOST);
    putSsh(programs, `exec /usr/bin/ssh -o UserKnownHostsFile=${server.knownHosts} "$@"`);
    const contexts = { repo: `ssh://${server.user}@${HOST}:${server.port}${folder}/inner.git#main` };
    const files = await builtFiles("FROM scratch\nCOPY --from=repo inside /\n", {
      egress: { allow: [HOST] },
      ssh: { default: [server.key] },
      contexts,
    });
    expect(files).toEqual(["0 644 0:0 inside=inner"]);
  });
});

/** Something at the path of an agent's socket. */
async function listenAt(path: string): Promise<AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
