import { expect, test, vi } from "vitest";
import { closePools, Image } from "../../src/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";

test("the image's own command runs in an idle VM before it is acquired, and afresh in the next", async () => {
  const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`, {
    entrypoint: ["sh", "-c", "cat /proc/sys/kernel/random/uuid; exec sleep 1000"],
    ready: "before-workload",
  });
  await using pool = image.pool({ min: 1 });
  await vi.waitFor(() => expect(pool.stats()).toMatchObject({ idle: 1, starting: 0 }), 30_000);
  const outputs: (string | undefined)[] = [];
  for (let i = 0; i < 2; i++) {
    await using vm = await pool.acquire();
    await vi.waitFor(() => expect(vm.workload?.output).toMatch(/^[0-9a-f-]{36}\n$/), 60_000);
    expect((await vm.run(["kill", "-0", String(vm.workload?.pid)])).exitCode).toBe(0);
    outputs.push(vm.workload?.output);
  }
  expect(outputs[0]).not.toBe(outputs[1]);
  await closePools();
  expect(await remainingWorkers()).toEqual([]);
});
