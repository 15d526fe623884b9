import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { distribution, installHint } from "../../src/assets/index.js";
import { canInstall } from "../../src/assets/packages.js";

const system = vi.hoisted(() => ({ release: undefined as string | undefined }));
vi.mock("node:fs", async (original) => {
  const real = await original<typeof import("node:fs")>();
  const read = (path: string, ...rest: never[]) => {
    if (path !== "/etc/os-release") return real.readFileSync(path, ...rest);
    if (system.release === undefined) throw Object.assign(new Error("ENOENT"), { code: "ENOENT" });
    return system.release;
  };
  return { ...real, readFileSync: read };
});

const PLATFORM = process.platform;
const pretend = (platform: NodeJS.Platform) => Object.defineProperty(process, "platform", { value: platform });
beforeEach(() => {
  pretend("linux");
});
afterEach(() => {
  pretend(PLATFORM);
  vi.restoreAllMocks();
});

describe("the distribution", () => {
  test.each([
    ['PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n', "debian"],
    ['ID_LIKE=debian\nVERSION_ID="24.04"\nID="ubuntu"\n', "ubuntu"],
    ["ID=fedora\n", "fedora"],
    ["NAME=x\n", "linux"],
    ["", "linux"],
  ])("named by %j is %s", (release, name) => {
    system.release = release;
    expect(distribution()).toBe(name);
  });

  test("is the platform where no file names it", () => {
    system.release = undefined;
    pretend("darwin");
    expect(distribution()).toBe("darwin");
  });
});

describe("what to type", () => {
  test.each([
    ["debian", /^Install it with: sudo apt-get install .*qemu-system-(x86|arm) gcc/],
    ["ubuntu", /^Install it with: sudo apt-get install/],
    ["fedora", /^Install it with: sudo dnf install qemu/],
    ["alpine", /^Install it with: sudo apk add qemu/],
    ["arch", /^Install it with: sudo pacman -S qemu/],
    ["void", /^Install QEMU 7\.2 or newer and a C compiler/],
  ])("on %s is the command of its package manager", (id, hint) => {
    system.release = `ID=${id}\n`;
    expect(installHint()).toMatch(hint);
  });

  test("on macOS is brew's", () => {
    system.release = undefined;
    pretend("darwin");
    expect(installHint()).toBe("Install it with: brew install qemu");
  });
});

describe("packages are installed", () => {
  test.each([
    ["debian", 0, true],
    ["ubuntu", 0, true],
    ["debian", 1000, false],
    ["fedora", 0, false],
  ])("on %s as user %i: %s", (id, user, expected) => {
    system.release = `ID=${id}\n`;
    vi.spyOn(process, "getuid").mockReturnValue(user);
    expect(canInstall()).toBe(expected);
  });
});
