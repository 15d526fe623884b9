import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BuildError, type BuildEvent } from "../../src/index.js";
import { folderOfFile } from "../support/folder-of-file.js";
import { writeLayout } from "../support/layout-builder.js";
import { TarBuilder } from "../support/tar-builder.js";
import { freshHome } from "../support/test-home.js";
import { builtFiles } from "./build-fixture.js";

let current: ReturnType<typeof freshHome>;
beforeEach(() => {
  current = freshHome([]);
});
afterEach(() => current[Symbol.dispose]());

const failure = (dockerfile: string, options = {}) =>
  builtFiles(dockerfile, options).then(
    () => expect.unreachable("it was built"),
    (error: BuildError) => error,
  );

test("RUN --network=host is an error with its place, before anything is done", async () => {
  const events: BuildEvent[] = [];
  const error = await failure("FROM scratch\nCOPY <<x /x\nx\nRUN --network=host true\n", {
    onBuild: (event: BuildEvent) => events.push(event),
  });
  expect(error).toBeInstanceOf(BuildError);
  expect(error).toMatchObject({ line: 4, column: 1, instruction: "RUN --network=host true" });
  expect(error.message).toContain("a microVM has no part in the host's network");
  expect(error.message).toContain("egress policy");
  expect(events).toEqual([]);
});

test("COPY --link makes the layer that COPY makes, and is found where that was done", async () => {
  const states: string[] = [];
  const onBuild = (event: BuildEvent) => {
    if (event.kind === "step" && event.state !== "started") states.push(event.state);
  };
  const dockerfile = (flag: string) => `FROM scratch\nCOPY ${flag} <<x /dir/x\ntext\nx\n`;
  const files = await builtFiles(dockerfile(""), { onBuild });
  expect(files).toEqual(["5 755 0:0 dir/", "0 644 0:0 dir/x=text\n"]);
  for (const flag of ["--link", "--link=true", "--link=false"]) {
    expect(await builtFiles(dockerfile(flag), { onBuild })).toEqual(files);
  }
  expect(states).toEqual(["finished", "cached", "cached", "cached"]);
});

test("the instruction that makes more layers than can be attached is an error with its place", async () => {
  const layer = new TarBuilder().file("file", "content").finish();
  const layout = (name: string, layers: number) => {
    const path = join(folderOfFile(), name);
    writeLayout(path, { layers: Array(layers).fill(layer) });
    return `oci-layout:${path}`;
  };
  const copies = (base: string) => `FROM ${base}\nCOPY <<a /a\ntext\na\nCOPY <<b /b\ntext\nb\n`;
  expect(await builtFiles(copies(layout("most", 248)))).toHaveLength(3);
  const error = await failure(copies(layout("more", 249)));
  expect(error).toBeInstanceOf(BuildError);
  expect(error).toMatchObject({ line: 5 });
  expect(error.message).toMatch(/layer 251 of the image; at most 250/);
  await expect(builtFiles(copies(layout("far", 251)))).rejects.toThrow("251 layers with content; at most 250");
});
