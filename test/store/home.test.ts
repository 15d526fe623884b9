import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test, vi } from "vitest";
import { home } from "../../src/store/index.js";

test("is below the user's data folder when nothing else is said", () => {
  expect(home({}).root).toBe(join(homedir(), ".local/share/supermachine"));
  expect(home({ XDG_DATA_HOME: "/data" }).root).toBe("/data/supermachine");
  expect(home({ XDG_DATA_HOME: "", SUPERMACHINE_HOME: "" }).root).toBe(home({}).root);
});

test("SUPERMACHINE_HOME wins, and is made absolute", () => {
  expect(home({ XDG_DATA_HOME: "/data", SUPERMACHINE_HOME: "/own" }).root).toBe("/own");
  expect(home({ SUPERMACHINE_HOME: "own" }).root).toBe(resolve("own"));
});

test("holds a folder for each kind of thing", () => {
  expect(home({ SUPERMACHINE_HOME: "/own" })).toEqual({
    root: "/own",
    assets: "/own/assets",
    builds: "/own/builds",
    tls: "/own/tls",
    templates: "/own/templates",
    layers: "/own/layers",
    blobs: "/own/blobs",
    snapshots: "/own/snapshots",
    volumes: "/own/volumes",
    run: "/own/run",
    vms: "/own/vms",
    roots: "/own/roots",
    code: "/own/code",
  });
});

test("SUPERMACHINE_SNAPSHOTS moves the snapshots alone", () => {
  const moved = home({ SUPERMACHINE_HOME: "/own", SUPERMACHINE_SNAPSHOTS: "elsewhere" });
  expect(moved).toEqual({ ...home({ SUPERMACHINE_HOME: "/own" }), snapshots: resolve("elsewhere") });
});

test("follows the environment at every call", () => {
  vi.stubEnv("SUPERMACHINE_HOME", "/one");
  expect(home().root).toBe("/one");
  vi.stubEnv("SUPERMACHINE_HOME", "/two");
  expect(home().root).toBe("/two");
  vi.unstubAllEnvs();
});
