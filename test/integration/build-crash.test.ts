import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { BuildOrder } from "../support/build-child.js";
import { buildsInFreshHomes } from "../support/builds.js";

describe("a build with machines", () => {
  const builds = buildsInFreshHomes();

  test("that is killed while a command runs is gone on with, and its machine dies with it", async () => {
    const text = "FROM $BASE\nRUN echo first > /first\nRUN cat /first && sleep $TIME\n";
    const order: BuildOrder = {
      options: { context: builds.context, dockerfile: text.replace("$BASE", builds.base).replace("$TIME", "600") },
    };
    const child = fork(join(import.meta.dirname, "../support/build-child.ts"), [JSON.stringify(order)], {
      execArgv: ["--import", "tsx"],
      stdio: "inherit",
    });
    expect(await once(child, "message")).toEqual(["first\n", undefined]);
    child.kill("SIGKILL");
    await once(child, "exit");
    const { states } = await builds.build(text.replace("$TIME", "0"));
    expect(states).toEqual(["cached", "finished"]);
  });

  test("runs upon as many layers as a long Dockerfile has", async () => {
    const count = 129;
    const names = Array.from({ length: count }, (_, i) => `file-${i}`);
    builds.files(Object.fromEntries(names.map((name) => [name, `${name}\n`])));
    const copies = names.map((name) => `COPY ${name} /files/`).join("\n");
    const { image } = await builds.build(`FROM $BASE\n${copies}\nRUN cat /files/* | wc -l > /count\n`);
    await using vm = await image.start();
    expect((await vm.run(["sh", "-c", "cat /count; ls /files | wc -l"])).stdout).toBe(`${count}\n${count}\n`);
  });
});
