import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import { type BuildEvent, type BuildOptions, buildImage, home, type StepEvent } from "../../src/index.js";
import { busyboxImage } from "./images.js";
import { remainingWorkers } from "./leftovers.js";
import { freshHome } from "./test-home.js";

/** Gives each test of the file a home and a context of its own to build in, and sees that nothing is left of a build. */
export function buildsInFreshHomes() {
  let base: string;
  let current: ReturnType<typeof freshHome>;
  let context: string;

  beforeAll(async () => {
    base = `oci-archive:${(await busyboxImage()).archive}`;
  });
  beforeEach(() => {
    current = freshHome();
    context = mkdtempSync(join(tmpdir(), "supermachine-build-"));
    // The template that all tests share.
    vi.stubEnv("SUPERMACHINE_BUILD_MEMORY_MIB", "256");
  });
  afterEach(async () => {
    rmSync(context, { recursive: true });
    expect(await remainingWorkers()).toEqual([]);
    const run = await readdir(home().run).catch(() => []);
    expect(run.filter((name) => name.endsWith(".copy"))).toEqual([]);
    current[Symbol.dispose]();
  });

  return {
    /** What `$BASE` stands for. */
    get base() {
      return base;
    },

    /** The folder that is built. */
    get context() {
      return context;
    },

    /** Writes files of the context. */
    files(content: Record<string, string>): void {
      for (const [name, text] of Object.entries(content)) {
        mkdirSync(dirname(join(context, name)), { recursive: true });
        writeFileSync(join(context, name), text);
      }
    },

    /** Builds, with busybox for `$BASE`; gives also how the steps ended, and all that they wrote. */
    async build(dockerfile: string, options: Partial<BuildOptions> = {}) {
      const events: BuildEvent[] = [];
      const text = dockerfile.replaceAll("$BASE", base);
      const built = await buildImage({ context, dockerfile: text, onBuild: (event) => events.push(event), ...options });
      const steps = events.filter((event): event is StepEvent => event.kind === "step" && event.state !== "started");
      const output = events.map((event) => (event.kind === "output" ? Buffer.from(event.bytes).toString() : ""));
      return { ...built, states: steps.map(({ state }) => state), output: output.join("") };
    },
  };
}
