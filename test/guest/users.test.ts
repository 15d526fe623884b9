import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileHelper, type RunningAgent, run, startAgent } from "./agent-under-test.js";

const PASSWD = `root:x:0:0:root:/root:/bin/sh
broken line
toofew:x:1
bob:x:1000:1001:Bob:/home/bob:/bin/sh
1000:x:2000:2001:a name that is a number:/home/number:/bin/sh
alice:x:1002:1002::/home/alice:/bin/sh
huge:x:99999999999:1::/:/bin/sh
`;
const GROUP = `root:x:0:
bob:x:1001:
staff:x:50:alice,bob
audio:x:63:bob
bobby:x:64:bobby,xbob,bobx
wheel:x:10:
`;

// Changing the user takes root.
describe.runIf(process.getuid?.() === 0).each(["plain", "sanitized"] as const)(
  "users out of the root's own files (%s agent)",
  (build) => {
    let folder: string;
    let running: RunningAgent;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "agent-users-"));
      chmodSync(folder, 0o755);
      mkdirSync(join(folder, "etc"));
      mkdirSync(join(folder, "bin"));
      writeFileSync(join(folder, "etc/passwd"), PASSWD);
      writeFileSync(join(folder, "etc/group"), GROUP);
      compileHelper("show-ids", join(folder, "bin/show-ids"));
      running = await startAgent(build, { root: folder });
    }, 120_000);
    afterAll(async () => {
      await running[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, maxRetries: 10 });
    });

    test.each([
      ["", "0 0 [] /root"],
      ["root", "0 0 [] /root"],
      ["bob", "1000 1001 [50 63] /home/bob"],
      ["alice", "1002 1002 [50] /home/alice"],
      ["1002", "1002 1002 [50] /home/alice"],
      ["1000", "1000 1001 [50 63] /home/bob"],
      ["4242", "4242 0 [] /"],
      ["bob:wheel", "1000 10 [] /home/bob"],
      ["bob:77", "1000 77 [] /home/bob"],
      ["4242:4343", "4242 4343 [] /"],
      ["2000", "2000 2001 [] /home/number"],
      [":wheel", "0 10 [] /root"],
      ["bob:", "1000 1001 [50 63] /home/bob"],
    ])("%j is %s", async (user, expected) => {
      const result = await run(running.agent, ["show-ids"], { user });
      expect(result.stdout.toString()).toBe(`${expected}\n`);
    });

    test.each(["nobody", "bob:nogroup", "huge", "99999999999", "-1", "bob:-1", "x".repeat(300)])(
      "%j is nobody",
      async (user) => {
        await expect(run(running.agent, ["show-ids"], { user })).rejects.toMatchObject({
          stage: "user",
          errno: "ENOENT",
        });
      },
    );
  },
);
