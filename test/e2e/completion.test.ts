import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { putSnapshot } from "../image/metadata-fixture.js";
import { Tmux } from "../support/tmux.js";

let folder: string;
let env: Record<string, string>;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "supermachine-completion-"));
  mkdirSync(join(folder, "bin"));
  symlinkSync(resolve("dist/cli/main.js"), join(folder, "bin/supermachine"));
  putSnapshot(join(folder, "home/snapshots"), "python-of-test");
  mkdirSync(join(folder, "work/some folder"), { recursive: true });
  writeFileSync(join(folder, "work/some folder/file"), "");
  env = {
    PATH: `${join(folder, "bin")}${delimiter}${process.env.PATH}`,
    SUPERMACHINE_HOME: join(folder, "home"),
    HOME: folder,
  };
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** What is typed, and what the shell makes of it after a tab. */
const CASES = [
  ["a command", "supermachine vers", "supermachine version "],
  ["a command of a command", "supermachine volume cre", "supermachine volume create "],
  ["an option", "supermachine run --vcp", "supermachine run --vcpus "],
  ["an option's value", "supermachine run --pull alw", "supermachine run --pull always "],
  ["an option's value after =", "supermachine run --pull=alw", "supermachine run --pull=always "],
  ["the name of a snapshot", "supermachine run pyth", "supermachine run python-of-test "],
  ["the name of a file", "supermachine bundle --into some", "supermachine bundle --into some\\ folder/"],
] as const;

describe.each([
  ["bash", "bash --norc --noprofile", "source <(supermachine completion bash)"],
  ["zsh", "zsh -f", "autoload -U compinit && compinit -u -D && source <(supermachine completion zsh)"],
])("%s completes", (_, shell, load) => {
  let terminal: Tmux;
  beforeAll(async () => {
    terminal = await Tmux.start(env);
    await terminal.line(`cd ${join(folder, "work")}; PS1='ready> ' exec ${shell}`);
    await terminal.see("ready>");
    await terminal.line(load);
    await terminal.line("PS1='loaded> '");
    await terminal.see("loaded>");
  });
  afterAll(() => terminal[Symbol.asyncDispose]());

  test.each(CASES)("%s", async (_, typed, completed) => {
    await terminal.keys(...[...typed].map((char) => (char === " " ? "Space" : char)));
    await terminal.see(typed);
    await terminal.keys("Tab");
    // The space behind it shows once something follows.
    await terminal.see(completed.trimEnd());
    await terminal.keys("x");
    await terminal.see(`${completed}x`);
    await terminal.keys("C-u");
    await terminal.see(/loaded>\s*$/);
  });
});

describe("fish completes", () => {
  test.each(CASES.filter(([what]) => what !== "the name of a file"))("%s", async (_, typed, completed) => {
    const script = `supermachine completion fish | source; complete -C ${JSON.stringify(typed)}`;
    const { stdout } = await execa("fish", ["--no-config", "-c", script], { env, cwd: join(folder, "work") });
    expect(stdout.split("\t")[0]).toBe(completed.trimEnd().split(" ").at(-1));
    expect(stdout.split("\n")).toHaveLength(1);
  });

  test("the name of a file", async () => {
    const script = `supermachine completion fish | source; complete -C "supermachine bundle --into som"`;
    const { stdout } = await execa("fish", ["--no-config", "-c", script], { env, cwd: join(folder, "work") });
    expect(stdout).toMatch(/^some folder\//);
  });
});

test("a line that makes no sense completes to nothing, with no message", async () => {
  for (const words of [["--", "nonsense", "--x=", ""], ["--", "run", "--memory"], ["--"], []]) {
    const { stderr, exitCode } = await execa("supermachine", ["__complete", ...words], { env, reject: false });
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  }
});
