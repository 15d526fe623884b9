import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { CLI, cli, inspect, removeAll } from "../support/detached.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers, workers } from "../support/leftovers.js";
import { Tmux } from "../support/tmux.js";

const NAME = "terminals";

beforeAll(async () => {
  const image = `oci-archive:${(await busyboxImage()).archive}`;
  const started = await cli("run", "-d", "--name", NAME, image, "--", "sleep", "100000");
  expect(started.stdout).toBe(NAME);
});
afterAll(async () => {
  await removeAll();
  expect(await remainingWorkers()).toEqual([]);
});
afterEach(async () => {
  // Nothing of a terminal is left in the guest, whichever way it went.
  await expect.poll(async () => (await cli("exec", NAME, "--", "ls", "/dev/pts")).stdout).toBe("ptmx");
});

/** A terminal in which a shell of the VM in the background waits. */
async function enter(): Promise<Tmux> {
  const terminal = await Tmux.start();
  await terminal.line(`node ${CLI} exec -it -e PS1='guest> ' ${NAME} sh; code=$?`);
  await terminal.prompt("guest>");
  return terminal;
}

async function expectRestored(terminal: Tmux, code: number): Promise<void> {
  await terminal.see("host>");
  await terminal.line("clear; echo code=$code; stty -a | grep -cE ' -(opost|onlcr|icanon|echo|isig|icrnl)( |;|$)'");
  expect(await terminal.see(/code=\d+\n\d+\n/)).toMatch(`code=${code}\n0\n`);
}

test("exec -it gives a shell of the VM a terminal, which follows the size of ours, and its exit code", async () => {
  await using terminal = await enter();
  await terminal.resize(90, 20);
  await terminal.line("clear; tty; stty size; echo $TERM; sleep 1000");
  await terminal.see("/dev/pts/0\n20 90\nxterm\n");
  await terminal.keys("C-c");
  await terminal.see(/\^C\nguest>/);
  await terminal.prompt("guest>");
  await terminal.line("exit 5");
  await expectRestored(terminal, 5);
});

test("a terminal whose window is closed takes its shell along, not the VM", async () => {
  {
    await using terminal = await enter();
    await terminal.line("clear; (trap '' HUP; sleep 4444) & sleep 5555");
    await expect.poll(async () => (await cli("exec", NAME, "--", "ps")).stdout).toMatch(/sleep 5555/);
    await terminal.close();
  }
  await expect.poll(async () => (await cli("exec", NAME, "--", "ps")).stdout).not.toMatch(/sleep 5555/);
  await cli("exec", NAME, "--", "pkill", "sleep", "-f", "4444");
  expect(await inspect(NAME)).toMatchObject({ status: "running" });
});

test("a connection that drops, for the VM is killed, gives the terminal back with a message", async () => {
  await using terminal = await enter();
  await terminal.line("vi /tmp/x");
  await terminal.see(/~\n/);
  // Its supervisor sees that, and tells who is connected.
  for (const pid of workers()) process.kill(pid, "SIGKILL");
  await expectRestored(terminal, 1);
  const again = await cli("start", NAME);
  expect(again.exitCode).toBe(0);
});
