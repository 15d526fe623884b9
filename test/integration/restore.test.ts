import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import { Image } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { litter, openDescriptors, remainingWorkers, workers } from "../support/leftovers.js";

const RESTORES = 100;
let image: Image;

beforeAll(async () => {
  const { archive } = await busyboxImage();
  image = await Image.fromOci(`oci-archive:${archive}`);
});

test(`${RESTORES} restores answer rightly, share no randomness, know the time, and leave nothing`, async () => {
  const seen = new Set<string>();
  const script = "head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'; echo; date +%s; echo $((6 * 7))";
  const restore = async () => {
    await using vm = await image.start();
    const before = Math.floor(Date.now() / 1000);
    const { stdout, exitCode } = await vm.run(["sh", "-c", script]);
    const after = Math.ceil(Date.now() / 1000);
    const [random = "", seconds = "", answer] = stdout.split("\n");
    expect({ exitCode, answer }).toEqual({ exitCode: 0, answer: "42" });
    expect(random).toMatch(/^[0-9a-f]{64}$/);
    seen.add(random);
    expect(Number(seconds)).toBeGreaterThanOrEqual(before - 1);
    expect(Number(seconds)).toBeLessThanOrEqual(after + 1);
  };
  let descriptors = 0;
  for (let i = 0; i < RESTORES; i += 2) {
    await Promise.all([restore(), restore()]);
    if (i === 4) descriptors = openDescriptors();
  }
  expect(seen.size).toBe(RESTORES);
  expect(await remainingWorkers()).toEqual([]);
  await expect.poll(openDescriptors).toBeLessThanOrEqual(descriptors + 2);
  expect(litter()).toEqual([]);
});

test("what one VM writes, no other sees", async () => {
  await using one = await image.start();
  await using two = await image.start();
  await one.writeFile("/etc/passwd", "gone");
  expect(await two.readFile("/etc/passwd", "utf8")).toContain("root:");
});

test("a network that is restored has had its first connections, and has nothing more to tell", async () => {
  await using vm = await image.start();
  const said = async (script: string) => (await vm.run(["sh", "-c", script])).stdout;
  const reports = () => said("grep Icmp6OutMLDv2Reports /proc/net/snmp6");
  const before = await reports();
  expect(before).toMatch(/\d/);
  expect(await said("awk '/^Tcp: [0-9]/ { print $6 }' /proc/net/snmp")).toBe("2\n");
  expect(await said("tail -qn +2 /proc/net/tcp /proc/net/tcp6")).toBe("");
  await sleep(2_500);
  expect(await reports()).toBe(before);
});

test("a worker is started with the command that its image tells", async () => {
  await using _vm = await image.start();
  const commands = workers().map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1));
  expect(commands).toEqual([await image.workerCommand()]);
});

test("a VM gets the host name and machine id that it was given", async () => {
  const machineId = "0123456789abcdef0123456789abcdef";
  await using vm = await image.start({ identity: { hostname: "clone-7", machineId } });
  expect((await vm.run(["sh", "-c", "hostname; cat /etc/machine-id"])).stdout).toBe(`clone-7\n${machineId}\n`);
});

test("an aborted start leaves nothing behind", async () => {
  for (const delay of [0, 5, 20, 40, 60]) {
    const controller = new AbortController();
    const starting = image.start({ signal: controller.signal });
    setTimeout(() => controller.abort(new Error("changed my mind")), delay);
    await starting.then(
      (vm) => vm.stop({ graceMs: 0 }),
      (error: unknown) => expect(error).toMatchObject({ message: "changed my mind" }),
    );
  }
  expect(await remainingWorkers()).toEqual([]);
});

test("twenty at once all answer", async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      await using vm = await image.start();
      return (await vm.run(["echo", String(i)])).stdout;
    }),
  );
  expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => `${i}\n`));
  expect(await remainingWorkers()).toEqual([]);
});
