import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { busyboxImage, servicesImage } from "../support/images.js";
import { remainingWorkers, workers } from "../support/leftovers.js";
import { Tmux } from "../support/tmux.js";

const CLI = "dist/cli/main.js";
const PROMPT = "guest>";
let busybox: string;

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
  await execa("node", [CLI, "run", busybox, "--", "true"]);
});

/** A terminal in which a shell of the guest waits; the host's shell says afterwards how it ended and what is changed. */
async function guestShell(options = "", image = busybox, shell = "sh"): Promise<Tmux> {
  const terminal = await Tmux.start();
  try {
    await terminal.line(`node ${CLI} run -it -e PS1='${PROMPT} ' ${options} ${image} -- ${shell}; code=$?`);
    await terminal.prompt(PROMPT);
    await terminal.line("clear");
    await terminal.see(/^guest>/);
    await terminal.prompt(PROMPT);
    return terminal;
  } catch (error) {
    await terminal[Symbol.asyncDispose]();
    throw error;
  }
}

/** The host's shell is back, with every setting of the terminal as it was. */
async function expectRestored(terminal: Tmux, code: number): Promise<void> {
  await terminal.see("host>");
  await terminal.line("clear; echo code=$code; stty -a | grep -cE ' -(opost|onlcr|icanon|echo|isig|icrnl)( |;|$)'");
  const screen = await terminal.see(/code=\d+\n\d+\n/);
  // 0 lines: none of these is off.
  expect(screen).toMatch(`code=${code}\n0\n`);
  expect(await terminal.variable("alternate_on")).toBe("0");
  expect(await terminal.variable("cursor_flag")).toBe("1");
  expect(await terminal.variable("mouse_any_flag")).toBe("0");
  expect(await remainingWorkers()).toEqual([]);
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

describe("a terminal in the guest", () => {
  test("has job control, Ctrl-C, UTF-8 line editing, and the size of ours", async () => {
    await using terminal = await guestShell();
    await terminal.line("tty; stty size; echo $TERM; cat");
    await terminal.see("/dev/pts/0\n24 80\nxterm\n");
    await terminal.keys("C-z");
    await terminal.see(/Stopped.*\nguest>/);
    await terminal.prompt(PROMPT);
    await terminal.line("fg");
    // An answer shows that it is in the foreground again.
    await terminal.line("still there");
    await terminal.see("still there\nstill there\n");
    await terminal.keys("C-c");
    await terminal.see(/\^C\nguest>/);
    await terminal.line("clear; echo ready; dd bs=64 count=1 2>/dev/null | od -An -c");
    await terminal.see(/^ready/);
    await terminal.keys("a", "ü", "BSpace", "b", "Enter");
    await terminal.see("a   b  \\n");
    await terminal.resize(101, 31);
    await terminal.line("clear; stty size");
    await terminal.see("31 101");
    await terminal.line("exit 7");
    await expectRestored(terminal, 7);
  });

  test("shows full-screen programs, which follow its size", async () => {
    await using terminal = await guestShell();
    await terminal.line("seq 1000 | less");
    await terminal.see(/^1\n2\n3\n/);
    await terminal.keys("G");
    await terminal.see(/\n999\n1000\n/);
    await terminal.keys("q");
    await terminal.see(PROMPT);
    await terminal.line("top -d 1");
    await terminal.see(/PID\s+PPID\s+USER/);
    await terminal.keys("q");
    await terminal.line("exit");
    await expectRestored(terminal, 0);
  });

  test("takes a paste of 100 KB whole", async () => {
    await using terminal = await guestShell();
    const lines = Array.from({ length: 2_000 }, (_, i) => `line ${i} ${"x".repeat(40)}`);
    await terminal.line("clear; stty -echo -icrnl -icanon; echo ready; head -c 99780 | md5sum; stty sane");
    await terminal.see(/^ready/);
    const text = `${lines.join("\n")}\n`.padEnd(99_780, "y").slice(0, 99_780);
    await terminal.paste(text);
    await terminal.see(createHash("md5").update(text.replaceAll("\n", "\r")).digest("hex"));
    await terminal.line("exit");
    await expectRestored(terminal, 0);
  });

  test("runs vim, with colours, resized while it is open", async () => {
    const image = await servicesImage();
    await using terminal = await guestShell("-m 512M", `oci-archive:${image.archive}`, "bash --norc");
    await terminal.line("vi -u NONE --cmd 'set nocompatible' /tmp/text");
    await terminal.see(/\n~\n/);
    await terminal.keys("i", "ünïcödé text");
    await terminal.see(/^ünïcödé text\n~\n/);
    // A key that follows at once would make another one of it.
    await terminal.keys("Escape");
    await terminal.resize(60, 15);
    await terminal.see(/^ünïcödé text\n(~\n){13}\S*.*$/);
    await terminal.keys("y", "y", "1", "2", "p");
    await terminal.see(/^(ünïcödé text\n){13}/);
    await terminal.keys(":", "w", "q", "Enter");
    await terminal.see(PROMPT);
    await terminal.line("clear; wc -lc /tmp/text");
    await terminal.see(/13 +\d+ \/tmp\/text\n/);
    await terminal.line("exit 3");
    await expectRestored(terminal, 3);
  });
});

describe("the user's terminal is put back", () => {
  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("after %s", async (signal, code) => {
    await using terminal = await guestShell();
    await terminal.line("vi /tmp/x");
    await terminal.see(/~\n/);
    process.kill(parentOf(workers()[0] ?? 0), signal);
    await expectRestored(terminal, code);
  });

  test("when the VM is killed amid a program that has taken the whole screen, the mouse and the cursor", async () => {
    await using terminal = await guestShell();
    await terminal.line("printf '\\033[?1049h\\033[?1002h\\033[?25l\\033[31m'; sleep 1000");
    await expect.poll(() => terminal.variable("mouse_any_flag")).toBe("1");
    for (const pid of workers()) process.kill(pid, "SIGKILL");
    await expectRestored(terminal, 1);
  });

  test("when the guest powers itself off", async () => {
    await using terminal = await guestShell();
    await terminal.line("echo o > /proc/sysrq-trigger");
    await expectRestored(terminal, 1);
  });

  test("by the detach keys, which end the VM and say so", async () => {
    await using terminal = await guestShell();
    await terminal.keys("C-p", "C-q");
    await terminal.see(/detached; the microVM\s+belongs to this command/);
    await expectRestored(terminal, 0);
  });

  test("by other detach keys, where the usual ones are passed on", async () => {
    await using terminal = await guestShell("--detach-keys ctrl-a,d");
    await terminal.line("clear; stty raw -echo; echo ready; od -An -c -N 3; stty sane");
    await terminal.see(/^ready/);
    await terminal.keys("C-p", "C-q", "C-a", "x");
    await terminal.see("020 021 001");
    await terminal.keys("C-a", "d");
    await terminal.see("detached");
    await expectRestored(terminal, 0);
  });
});

test("a terminal window that is closed takes the VM along", async () => {
  await using terminal = await guestShell();
  expect(workers()).toHaveLength(1);
  await terminal.close();
  expect(await remainingWorkers()).toEqual([]);
});

describe("without a terminal", () => {
  const cli = (...args: string[]) => execa("node", [CLI, ...args], { reject: false, input: "" });

  test("-it is refused as docker does", async () => {
    const { exitCode, stderr } = await cli("run", "-it", busybox, "--", "sh");
    expect(exitCode).toBe(2);
    expect(stderr).toContain("the input device is not a TTY");
  });

  test("-t alone gives the command a terminal all the same", async () => {
    const { stdout } = await cli("run", "-t", busybox, "--", "sh", "-c", "tty; tput cols 2>/dev/null || stty size");
    expect(stdout).toBe("/dev/pts/0\r\n24 80");
  });

  test("standard input stays where it is unless -i is given", async () => {
    const script = `printf 'one\\ntwo\\n' | { node ${CLI} run ${busybox} -- cat; cat; }`;
    expect((await execa("sh", ["-c", script])).stdout).toBe("one\ntwo");
  });
});
