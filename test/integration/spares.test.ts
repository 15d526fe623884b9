import { expect, test, vi } from "vitest";
import { Image } from "../../src/index.js";
import { findTemplate, openRuntime, spares } from "../../src/machine/index.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers, workers } from "../support/leftovers.js";

test("a VM is restored on a spare, which knew no image before", async () => {
  const image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`);
  const runtime = await openRuntime();
  const template = await findTemplate(runtime, image);
  if (!template) throw new Error("the image has no template");
  {
    using _wish = spares.wish(runtime, template, 1);
    await vi.waitFor(() => expect(spares.count(template)).toBe(1), 60_000);
    const waiting = workers();
    await using vm = await image.start();
    expect(waiting).toEqual([vm.pid]);
    expect((await vm.run(["sh", "-c", "echo $((6 * 7)); ls -d /etc"])).stdout).toBe("42\n/etc\n");
    await vi.waitFor(() => expect(spares.count(template)).toBe(1), 60_000);
    // A dead one does not harm the next restore, whether its end was seen or not.
    for (const pid of workers().filter((each) => each !== vm.pid)) process.kill(pid, "SIGKILL");
    await using next = await image.start();
    expect((await next.run(["echo", "next"])).stdout).toBe("next\n");
  }
  expect(await remainingWorkers()).toEqual([]);
});
