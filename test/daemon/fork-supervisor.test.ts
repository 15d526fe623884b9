import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { forkSupervisor } from "../../src/daemon/fork-supervisor.js";
import { temporaryFolder } from "../support/layer-fixture.js";

afterEach(() => vi.unstubAllEnvs());

test.each([true, false])(
  "a supervisor whose image is open (%s) reads certificates only if it is not",
  async (isOpened) => {
    using folder = temporaryFolder();
    const main = join(folder.path, "main.cjs");
    writeFileSync(main, "process.send({ env: process.env }, () => process.disconnect());");
    vi.stubEnv("NODE_EXTRA_CA_CERTS", join(folder.path, "none.pem"));
    vi.stubEnv("SUPERMACHINE_HOME", folder.path);
    const child = forkSupervisor(main, { isOpened });
    const ended = once(child, "exit");
    const [{ env }] = (await once(child, "message")) as [{ env: NodeJS.ProcessEnv }];
    await ended;
    expect(env).toMatchObject({ SUPERMACHINE_HOME: folder.path, PATH: process.env.PATH });
    expect("NODE_EXTRA_CA_CERTS" in env).toBe(!isOpened);
  },
);
