import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BakeError } from "../../src/errors.js";
import { type BakeInput, bake, isWholeDeviceState } from "../../src/image/bake.js";
import { readMetadata } from "../../src/image/index.js";
import type { BakeOptions } from "../../src/image/options.js";
import { Machine, type Runtime } from "../../src/machine/index.js";
import { Delta } from "../../src/memory/index.js";
import type { ProgressEvent } from "../../src/progress.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { metadata } from "./metadata-fixture.js";

const STATE = Buffer.from("the device state");

let folder: ReturnType<typeof temporaryFolder>;
/** What was asked of the guest, in its order. */
let log: string[];
/** How the guest takes each of it; by default well. */
let fails: Partial<Record<"attach" | "assemble" | "shell" | "capture", Error>>;
let input: BakeInput;
let output: string;

beforeEach(() => {
  folder = temporaryFolder();
  [log, fails] = [[], {}];
  output = join(folder.path, "snapshot");
  const deviceState = join(folder.path, "device.state");
  writeFileSync(deviceState, "the template's state");
  const hardware = { architecture: "x64", accelerator: "tcg", memoryMiB: 256, vcpus: 1 } as const;
  const layers = ["/one.erofs", "/two.erofs"].map((path, i) => ({
    path,
    diffId: `sha256:${i}`,
    size: 1,
    empty: false,
  }));
  const template = { key: "t", id: "i", hardware, ram: "/ram.img", deviceState };
  const { config } = metadata();
  const names = { name: "python", reference: "python:test", key: "k".repeat(64), manifestDigest: "sha256:m" };
  const rest = { platform: "linux/amd64", hostname: "box", ready: "start", guestPort: 80 } as const;
  input = { ...names, ...rest, template, layers, config };
  vi.spyOn(Machine, "restore").mockImplementation(async () => fakeMachine());
});
afterEach(() => {
  vi.restoreAllMocks();
  folder[Symbol.dispose]();
});

function fakeMachine(): Machine {
  const disks: { lun: number; path: string }[] = [];
  const did = (what: keyof typeof fails, text: string) => {
    log.push(text);
    if (fails[what]) throw fails[what];
  };
  const agent = {
    assembleRoot: async ({ luns, hostname }: { luns: number[]; hostname: string }) =>
      did("assemble", `assemble ${luns.join()} ${hostname}`),
    exec: async ({ argv }: { argv: string[] }) => {
      did("shell", `exec ${argv.join(" ")}`);
      return {
        pid: 7,
        stdin: new PassThrough(),
        stdout: Readable.from([Buffer.from("\n")]),
        wait: async () => undefined,
      };
    },
    files: {
      read: async () => Buffer.from("1-2 r-xp 0 0:0 1 /bin/sh\n"),
      openRead: (path: string) => {
        log.push(`read ${path}`);
        return Readable.from([Buffer.alloc(1)]);
      },
    },
    network: { open: () => undefined, close: () => undefined },
    closed: new Promise(() => undefined),
  };
  const machine = {
    agent,
    template: input.template,
    disks,
    attachDisks: async (more: typeof disks) => {
      disks.push(...more);
      did("attach", `attach ${more.map(({ lun, path }) => `${lun}=${path}`).join()}`);
    },
    pause: async () => void log.push("pause"),
    capture: async (into: string) => {
      did("capture", "capture");
      await new Delta(4096, [], Buffer.alloc(0)).write(join(into, "memory.delta"));
      writeFileSync(join(into, "device.state"), STATE);
    },
    stop: async () => void log.push("stop"),
  };
  return machine as unknown as Machine;
}

const runBake = (options: BakeOptions = {}) =>
  bake(output, { hypervisor: { identity: "fake 1" } } as Runtime, input, options);

describe("a bake", () => {
  test("gives the guest its layers, assembles the root, warms the shell up, and captures the guest standing still", async () => {
    await runBake();
    expect(log).toEqual([
      ...["attach 1=/one.erofs,2=/two.erofs", "assemble 1,2 box"],
      ...[expect.stringMatching(/^exec sh -c /), "read /bin/sh"],
      ...["pause", "capture"],
    ]);
  });

  test("describes what it made", async () => {
    await runBake();
    const made = await readMetadata(output);
    expect(made).toMatchObject({
      name: "python",
      reference: "python:test",
      manifestDigest: "sha256:m",
      platform: "linux/amd64",
      hostname: "box",
      template: { key: "t", id: "i", memoryMiB: 256, vcpus: 1, accelerator: "tcg", hypervisor: "fake 1" },
      layers: [
        { lun: 1, path: "/one.erofs", diffId: "sha256:0" },
        { lun: 2, path: "/two.erofs", diffId: "sha256:1" },
      ],
    });
    expect(isWholeDeviceState(readFileSync(join(output, "device.state")), made)).toBe(true);
    expect(isWholeDeviceState(Buffer.from("another state!!!"), made)).toBe(false);
  });

  test("tells of its beginning and its end", async () => {
    const events: ProgressEvent[] = [];
    await runBake({ onProgress: (event) => events.push(event) });
    expect(events).toEqual([
      { phase: "bake", item: "python" },
      { phase: "bake", item: "python", finished: true },
    ]);
  });

  test("needs no shell in the image", async () => {
    fails.shell = new Error("ENOENT");
    await runBake();
    expect(log.slice(-2)).toEqual(["pause", "capture"]);
  });

  test.each(["attach", "assemble", "capture"] as const)(
    "that fails to %s says what and why, and ends the guest",
    async (what) => {
      fails[what] = new Error("it went wrong");
      const error = await runBake().catch((each: unknown) => each);
      expect(error).toBeInstanceOf(BakeError);
      expect(error).toMatchObject({ message: "python:test could not be baked: it went wrong", cause: fails[what] });
      expect(log.at(-1)).toBe("stop");
      expect(existsSync(join(output, "metadata.json"))).toBe(false);
    },
  );

  test("passes on why it was aborted, and ends the guest", async () => {
    const controller = new AbortController();
    fails.assemble = new Error("the link was closed");
    controller.abort(new Error("enough"));
    await expect(runBake({ signal: controller.signal })).rejects.toThrow("enough");
    expect(log.at(-1)).toBe("stop");
  });

  test("runs the caller's warm-up before the capture, with the guest", async () => {
    await runBake({ warmup: async () => void log.push("warm-up"), warmupTag: "v1" });
    expect(log.slice(-3)).toEqual(["warm-up", "pause", "capture"]);
  });
});
