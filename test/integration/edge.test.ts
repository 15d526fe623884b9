import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { closePools, type HttpEdge, Image, serve, type Vm } from "../../src/index.js";
import { findTemplate, openRuntime, spares } from "../../src/machine/index.js";
import { busyboxImage } from "../support/images.js";
import { litter, workers as processes, remainingWorkers } from "../support/leftovers.js";
import { freshHome } from "../support/test-home.js";

let current: ReturnType<typeof freshHome>;
let image: Image;
const vms: Vm[] = [];
const onVm = (vm: Vm) => void vms.push(vm);

beforeAll(async () => {
  current = freshHome();
  const script =
    "mkdir -p /srv/cgi-bin; echo page > /srv/page; cd /srv/cgi-bin;" +
    "printf '#!/bin/sh\\nprintf \"Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n\"; md5sum | cut -c1-32' > sum; printf '#!/bin/sh\\nsleep 1000' > sleep;" +
    "chmod +x *; exec httpd -f -p 8080 -h /srv";
  image = await Image.fromOci(`oci-archive:${(await busyboxImage()).archive}`, {
    ...{ name: "site", entrypoint: ["sh", "-c", script], ready: "listener", guestPort: 8080 },
  });
});
afterAll(() => current[Symbol.dispose]());
afterEach(async () => {
  vms.length = 0;
  await closePools();
  expect(await remainingWorkers()).toEqual([]);
  expect(litter()).toEqual([]);
});

const page = async (edge: HttpEdge) => (await fetch(`${edge.url()}/page`)).text();
const workers = (edge: HttpEdge) => edge.health().services[0]?.workers ?? [];

test("an image is served by two microVMs; one that is killed is replaced", async () => {
  await using edge = await serve(image, { port: 0, workers: 2, onVm });
  expect(await page(edge)).toBe("page\n");
  await expect.poll(() => workers(edge).length).toBe(2);
  const body = Buffer.alloc(3 << 20, "x");
  const sum = await fetch(`${edge.url()}/cgi-bin/sum`, { method: "POST", body });
  expect(await sum.text()).toBe(`${createHash("md5").update(body).digest("hex")}\n`);

  const asleep = fetch(`${edge.url()}/cgi-bin/sleep`, { method: "POST", body: "x" });
  await expect.poll(() => workers(edge).some(({ active }) => active === 1)).toBe(true);
  for (const vm of [...vms]) process.kill(vm.pid, "SIGKILL");
  expect((await asleep).status).toBe(502);
  expect(await page(edge)).toBe("page\n");
  await expect
    .poll(
      () =>
        workers(edge)
          .map(({ id }) => id)
          .sort(),
      { timeout: 20_000 },
    )
    .toEqual([3, 4]);
});

test("a microVM stops when nothing is asked of it, and the next request wakes one on the spare that waits", async () => {
  await using edge = await serve(image, { port: 0, idleTimeoutMs: 200, onVm });
  expect(await page(edge)).toBe("page\n");
  await expect.poll(() => edge.health().services[0]?.state).toBe("asleep");
  await expect.poll(() => processes().length).toBe(1);
  const [spare] = processes();
  expect(spare).not.toBe(vms[0]?.pid);
  // It is found in /proc before it takes commands.
  const template = await findTemplate(await openRuntime(), image);
  await expect.poll(() => template && spares.count(template)).toBe(1);
  expect(await page(edge)).toBe("page\n");
  expect(vms.slice(1).map(({ pid }) => pid)).toEqual([spare]);
});
