import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { BuildError, type BuildOptions, ExecTimeoutError, type FailedCommand } from "../../src/index.js";
import { buildsInFreshHomes } from "../support/builds.js";

const builds = buildsInFreshHomes();
const { build } = builds;

async function failure(dockerfile: string, options: Partial<BuildOptions> = {}): Promise<BuildError> {
  const error = await build(dockerfile, options).catch((reason: unknown) => reason);
  if (error instanceof BuildError) return error;
  throw new Error("the build did not fail as a build", { cause: error });
}

/** This machine's own ssh-add with its libraries, for a guest without any. */
function addPrograms(context: string): void {
  mkdirSync(join(context, "ssh"));
  const program = execFileSync("sh", ["-c", "command -v ssh-add"], { encoding: "utf8" }).trim();
  const libraries = execFileSync("ldd", [program], { encoding: "utf8" }).match(/\/\S+/g) ?? [];
  for (const path of [program, ...libraries]) copyFileSync(path, join(context, "ssh", basename(path)));
}

test("a command lists and uses keys that stay on the host, and can do nothing else with the agent", async () => {
  const { context } = builds;
  addPrograms(context);
  const keys = mkdtempSync(join(tmpdir(), "supermachine-keys-"));
  // What is made there is of this build.
  vi.stubEnv("TMPDIR", keys);
  try {
    const key = join(keys, "key");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "of the host", "-f", key]);
    copyFileSync(`${key}.pub`, join(context, "key.pub"));
    const run = (arguments_: string) => `/t/$(cd /t && ls ld-linux*) --library-path /t /t/ssh-add ${arguments_}`;
    const dockerfile = `FROM $BASE
RUN --mount=type=bind,source=ssh,target=/t --mount=type=bind,source=key.pub,target=/key.pub --mount=type=ssh,required \\
  stat -c '%F %a %u' $SSH_AUTH_SOCK && ${run("-l")} && ${run("-T /key.pub")} && echo signed; \\
  ${run("-D")} || echo refused; ${run("-l")}
RUN --mount=type=ssh,id=other,target=/run/own.sock,mode=0666,uid=7 \\
  test -z "$SSH_AUTH_SOCK" && ! test -e /run/own.sock && ! test -e /run/buildkit
RUN --mount=type=ssh,target=/run/own.sock,mode=0666,uid=7 stat -c '%a %u %n' $SSH_AUTH_SOCK
`;
    const { output, states } = await build(dockerfile, { ssh: { default: [key] } });
    expect(states).toEqual(["finished", "finished", "finished"]);
    expect(output).toMatch(/^socket 600 0\n256 SHA256:\S+ of the host \(ED25519\)\nsigned\n[\s\S]*refused\n256 SHA256/);
    expect(output).toContain("666 7 /run/own.sock\n");
    const { message } = await failure("FROM $BASE\nRUN --mount=type=ssh,required,id=github true\n");
    expect(message).toContain("the ssh-agent github is required, and was not given");
    expect(readdirSync(keys).sort()).toEqual(["key", "key.pub"]);
  } finally {
    rmSync(keys, { recursive: true });
  }
});

test("a command has the limits, the shared memory and the names that the build was given", async () => {
  const dockerfile = "FROM $BASE\nRUN ulimit -n; ulimit -Hn; df -k /dev/shm | tail -1; grep app /etc/hosts\n";
  const plain = await build(dockerfile.replace(" grep app", " ! grep app"));
  expect(plain.output).not.toContain("64 128");
  const { output, states, image } = await build(dockerfile, {
    ulimits: { nofile: { soft: 64, hard: 128 } },
    shmMiB: 3,
    hosts: { "app.internal": "10.1.2.3" },
  });
  expect(states).toEqual(["finished"]);
  expect(output).toMatch(/^64\n128\n\S+ +3072 .*\n10\.1\.2\.3\tapp\.internal\n$/);
  await using vm = await image.start();
  expect((await vm.run(["cat", "/etc/hosts"])).stdout).not.toContain("10.1.2.3");
  await expect(build(dockerfile, { hosts: { app: "nowhere" } })).rejects.toThrow("is no name with an IP address");
});

describe("the machine of a command that failed", () => {
  test("is there for a shell, with its files, variables, secrets and folder, and gone afterwards", async () => {
    let seen = "";
    const onFailedCommand = async (failed: FailedCommand) => {
      expect(failed.error).toMatchObject({ line: 4, column: 1, exitCode: 3 });
      const shell = await failed.openShell({ rows: 30, cols: 100, term: "vt100" });
      shell.stdout.on("data", (bytes: Buffer) => {
        seen += bytes.toString();
      });
      shell.stdin.end("stty size; pwd; cat /made /run/secrets/token; echo $NAME $TERM; exit 7\n");
      expect((await shell.wait()).exitCode).toBe(7);
    };
    const error = await failure(
      "FROM $BASE\nENV NAME=value\nWORKDIR /srv\nRUN --mount=type=secret,id=token echo made > /made && exit 3\nRUN sleep 1\n",
      { secrets: { token: { value: "secret\n" } }, onFailedCommand },
    );
    expect(error.exitCode).toBe(3);
    for (const line of ["30 100", "/srv", "made", "secret", "value vt100"]) expect(seen).toContain(`${line}\r\n`);
  });

  test("is that of the first one; the others have ended by then", async () => {
    const shown: number[] = [];
    const stage = (name: string, command: string) => `FROM $BASE AS ${name}\nRUN ${command}\n`;
    const stages = `${stage("slow", "sleep 100")}${stage("bad", "exit 4")}FROM scratch\n`;
    await failure(`${stages}COPY --from=slow /etc /a\nCOPY --from=bad /etc /b\n`, {
      onFailedCommand: async ({ error }) => void shown.push(error.exitCode ?? 0),
    });
    expect(shown).toEqual([4]);
  });
});

test("a command that takes longer than it may is killed, whatever it has started, and what came before is kept", async () => {
  const dockerfile = "FROM $BASE\nRUN echo quick > /quick\nRUN echo begun; trap '' TERM; sleep 1000 & sleep 1000\n";
  const error = await failure(dockerfile, { runTimeoutMs: 3_000 });
  expect(error).toMatchObject({ line: 3, column: 1, exitCode: undefined, output: "begun\n" });
  expect(error.cause).toBeInstanceOf(ExecTimeoutError);
  expect(error.message).toContain("was killed after 3 s, the time that each command of this build has");
  // Time is no part of what a command is known by.
  const again = await build("FROM $BASE\nRUN echo quick > /quick\n", { runTimeoutMs: 60_000 });
  expect(again.states).toEqual(["cached"]);
  await expect(build("FROM $BASE\n", { runTimeoutMs: 0 })).rejects.toThrow("runTimeoutMs is 0");
});

describe("a command that misbehaves ends in an error with its place", () => {
  test.each([
    ["fills the disk", "dd if=/dev/zero of=/big bs=1M 2>&1; exit 5", /No space left/],
    ["fills the memory", "tail /dev/zero", /SUPERMACHINE_BUILD_MEMORY_MIB/],
    ["forks without end", "f() { f & f & }; f 2>&1; sleep 1; exit 6", /ended with exit code [1-9]|was killed/],
  ])("one that %s", async (what, command, words) => {
    vi.stubEnv("SUPERMACHINE_BUILD_DISK_MIB", "64");
    const user = what.startsWith("forks") ? 1000 : 0;
    const error = await failure(`FROM $BASE\nWORKDIR /\nUSER ${user}\nRUN ${command}\n`, { ulimits: { nproc: 60 } });
    expect(error).toMatchObject({ line: 4, column: 1 });
    expect(error.message).toMatch(words);
  });
});
