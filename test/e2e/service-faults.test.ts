import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeAll, expect, test } from "vitest";
import type { VmRecord } from "../../src/index.js";
import { cli, inspect, json, removeAll } from "../support/detached.js";
import { busyboxImage } from "../support/images.js";
import { remainingWorkers } from "../support/leftovers.js";
import { freshHome } from "../support/test-home.js";

const SERVER = "mkdir /srv; echo page > /srv/index.html;";
const HTTPD = "httpd -f -p 8080 -h /srv";

let busybox: string;

beforeAll(async () => {
  busybox = `oci-archive:${(await busyboxImage()).archive}`;
});
afterEach(removeAll);

async function serve(
  name: string,
  script: string,
  ...options: string[]
): Promise<{ port: number; get: () => Promise<string> }> {
  const { stderr } = await cli(
    ...["run", "-q", "-d", "--name", name, "--http-port", "0", "-p", "8080", ...options],
    ...[busybox, "--", "sh", "-c", SERVER + script],
  );
  const port = Number(/localhost:(\d+) is port/.exec(stderr)?.[1]);
  expect(stderr).toMatch(/is port 8080/);
  const get = async () => (await execa("curl", ["-sS", `http://${name}.localhost:${port}/`], { reject: false })).stdout;
  return { port, get };
}

test("a supervisor that is killed takes its VMs along, frees its port, and leaves no ghost", async () => {
  const { port, get } = await serve("doomed", `exec ${HTTPD}`, "--workers-per-snapshot", "2");
  expect(await get()).toBe("page");
  process.kill((await inspect("doomed")).pid, "SIGKILL");
  expect(await remainingWorkers()).toEqual([]);
  expect((await cli("ps", "-q")).stdout).toBe("");
  const [record] = await json<VmRecord[]>("ps", "--all", "--json");
  expect(record).toMatchObject({ name: "doomed", status: "failed", error: "its supervisor was killed" });
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  server.close();
  expect((await cli("start", "doomed")).stdout).toBe("doomed");
  expect(await get()).toBe("page");
});

test.skipIf(process.getuid?.() !== 0)(
  "a service whose output fills the disk goes on serving, and says what was lost",
  async () => {
    using home = freshHome();
    const vms = join(home.path, "vms");
    mkdirSync(vms);
    await execa("mount", ["-t", "tmpfs", "-o", "size=1m", "supermachine-test", vms]);
    try {
      const { get } = await serve("chatty", `${HTTPD} & yes "as much as there is room for, and more"`);
      await expect.poll(async () => (await inspect("chatty")).lostOutputBytes ?? 0).toBeGreaterThan(0);
      expect(await get()).toBe("page");
      expect((await cli("exec", "chatty", "--", "echo", "fine")).stdout).toBe("fine");
      expect((await cli("ps")).stdout).toMatch(/\nchatty .* up /);
      expect((await cli("stop", "--time", "0", "chatty")).stdout).toBe("chatty");
    } finally {
      await removeAll().finally(() => execa("umount", ["--lazy", vms]));
    }
  },
);
