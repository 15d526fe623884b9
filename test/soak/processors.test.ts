import { afterAll, expect, test } from "vitest";
import { Image } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

const MOST = 16;
const NUMBERS = Array.from({ length: MOST }, (_, i) => i);
/** Says, bound to one processor after the other, on which it runs. */
const ON_EACH = `for i in $(seq 0 ${MOST - 1}); do taskset $(printf %x $((1 << i))) cut -d" " -f39 /proc/self/stat; done`;

afterAll(async () => {
  expect(await remainingWorkers()).toEqual([]);
});

test(`${MOST} processors are there after each restore, work, and run commands at once`, async () => {
  const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`, { vcpus: MOST, memoryMiB: 512 });
  expect(image.vcpus).toBe(MOST);
  for (let i = 0; i < 5; i++) {
    await using vm = await image.start();
    const { stdout } = await vm.run(["sh", "-c", `nproc; ${ON_EACH}`], { timeoutMs: 120_000 });
    expect(stdout.trim().split("\n").map(Number)).toEqual([MOST, ...NUMBERS]);
    const said = await Promise.all(NUMBERS.map((number) => vm.run(["sh", "-c", `echo ${number}`])));
    expect(said.map((each) => Number(each.stdout))).toEqual(NUMBERS);
  }
  // What is frozen while all of them work goes on with all of them.
  await using vm = await image.start();
  const count = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo $i";
  const counting = NUMBERS.map(() => vm.run(["sh", "-c", count], { timeoutMs: 300_000 }));
  await using fork = await vm.fork();
  expect((await fork.vms[0]?.run(["nproc"]))?.stdout).toBe(`${MOST}\n`);
  for (const each of counting) expect((await each).stdout).toBe("20000\n");
});
