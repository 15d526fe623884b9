import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type BuildEvent, type ExportOptions, exportBuild } from "../../src/index.js";
import { freshHome } from "../support/test-home.js";

/** Needs no machine: what is tested is what is found again. */
const DOCKERFILE = `FROM scratch AS first
COPY a /a
FROM scratch AS second
COPY b /b
FROM scratch
COPY --from=first / /
COPY --from=second / /
`;

let current: ReturnType<typeof freshHome>;
let folder: string;
let context: string;

beforeEach(() => {
  current = freshHome([]);
  folder = mkdtempSync(join(tmpdir(), "supermachine-cache-"));
  context = join(folder, "context");
  mkdirSync(context);
  for (const name of ["a", "b"]) writeFileSync(join(context, name), `${name}\n`);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  current[Symbol.dispose]();
});

/** Builds, and gives how the steps ended and what was warned of. */
async function build(options: Partial<ExportOptions> = {}) {
  const events: BuildEvent[] = [];
  const onBuild = (event: BuildEvent) => events.push(event);
  const outputs = [{ type: "oci", dest: join(folder, "out.tar") } as const];
  const built = await exportBuild({ context, dockerfile: DOCKERFILE, outputs, onBuild, ...options });
  const ended = events.flatMap((event) => (event.kind === "step" && event.state !== "started" ? [event] : []));
  const states = ended.toSorted((a, b) => a.number - b.number).map(({ state }) => state);
  const warnings = events.flatMap((event) => (event.kind === "warning" ? [event.message] : []));
  return { id: built.outputs[0]?.id, states, warnings };
}

const ALL = Array(4).fill("cached");

test("instructions of named stages are run anew", async () => {
  await build();
  expect((await build()).states).toEqual(ALL);
  expect((await build({ noCacheFilter: ["FIRST"] })).states.slice(0, 2)).toEqual(["finished", "cached"]);
  expect((await build({ noCacheFilter: ["0", "second"] })).states.slice(0, 2)).toEqual(["finished", "finished"]);
  await build();
  expect((await build({ noCacheFilter: ["2"] })).states).toEqual(["cached", "cached", "finished", "finished"]);
  await expect(build({ noCacheFilter: ["third"] })).rejects.toThrow("no stage third");
});
