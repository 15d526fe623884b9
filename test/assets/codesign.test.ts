import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { entitlementsPath, grantHypervisor, hypervisorEntitlement } from "../../src/assets/index.js";
import { doctor } from "../../src/doctor/index.js";
import { AssetsError } from "../../src/errors.js";
import { codesignQemu } from "../../src/setup.js";
import { temporaryFolder } from "../support/layer-fixture.js";
import { FakeSystem } from "./fake-system.js";

/** A program whose entitlements are in a file beside it, as codesign prints and takes them. */
const CODESIGN = `
for path; do :; done
case "$1" in
  --display)
    [ -e "$path" ] || { echo "$path: No such file or directory" >&2; exit 1; }
    [ -e "$path.plist" ] || { echo "$path: code object is not signed at all" >&2; exit 1; }
    cat "$path.plist" ;;
  --sign)
    [ "$2 $3 $4" = "- --force --entitlements" ] || { echo "usage" >&2; exit 2; }
    cp "$5" "$path.plist" ;;
esac`;
const REFUSED = `<plist><dict><key>com.apple.security.hypervisor</key><false/><key>x</key><true/></dict></plist>`;
const OTHER = `<plist><dict><key>com.apple.security.cs.allow-jit</key><true/></dict></plist>`;
const DARWIN = { platform: "darwin" } as const;

let folder: ReturnType<typeof temporaryFolder>;
let system: FakeSystem;
beforeEach(() => {
  folder = temporaryFolder();
  system = new FakeSystem(folder.path);
  system.script("codesign", CODESIGN);
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  folder[Symbol.dispose]();
});

const signWith = (plist: string) => writeFileSync(`${system.qemu}.plist`, plist);

describe("the hypervisor entitlement", () => {
  test("is missing from a program without a signature", async () => {
    expect(await hypervisorEntitlement(system.qemu, DARWIN)).toBe("missing");
  });

  test.each([
    ["with other entitlements", OTHER],
    ["that is refused it", REFUSED],
    ["with none", ""],
  ])("is missing from a program %s", async (_, plist) => {
    signWith(plist);
    expect(await hypervisorEntitlement(system.qemu, DARWIN)).toBe("missing");
  });

  test("is granted by our own file, also through a link as Homebrew makes them", async () => {
    signWith(readFileSync(entitlementsPath, "utf8"));
    const link = join(folder.path, "qemu");
    symlinkSync(system.qemu, link);
    expect(await hypervisorEntitlement(link, DARWIN)).toBe("granted");
  });

  test("is not needed elsewhere, and nobody is asked", async () => {
    system.log();
    expect(await hypervisorEntitlement(system.qemu, { platform: "linux" })).toBe("not needed");
    expect(await grantHypervisor(system.qemu, { platform: "linux" })).toBe("not needed");
    expect(system.log()).toEqual([]);
  });

  test("that cannot be read is an error with what codesign said", async () => {
    system.script("codesign", "echo 'the keychain is locked' >&2; exit 3");
    await expect(hypervisorEntitlement(system.qemu, DARWIN)).rejects.toThrow(
      /signature of .* cannot be read\n.*keychain/,
    );
  });
});

describe("on macOS", () => {
  test("doctor warns of what is missing, and setup signs when it is told to", async () => {
    vi.spyOn(process, "platform", "get").mockReturnValue("darwin");
    const find = async () => (await doctor()).findings.find(({ subject }) => subject === "codesign");
    expect(await find()).toMatchObject({ status: "warning", advice: expect.stringContaining("supermachine codesign") });
    expect(await codesignQemu()).toEqual({ path: system.qemu, outcome: "signed" });
    expect(await find()).toMatchObject({ status: "ok" });
  });
});

describe("signing", () => {
  test("grants it once", async () => {
    expect(await grantHypervisor(system.qemu, DARWIN)).toBe("signed");
    expect(await hypervisorEntitlement(system.qemu, DARWIN)).toBe("granted");
    expect(await grantHypervisor(system.qemu, DARWIN)).toBe("granted");
    expect(system.log().filter((call) => call === "codesign --sign -")).toHaveLength(1);
  });

  test("that fails says why, and what to type", async () => {
    system.script("codesign", `[ "$1" = --display ] && exit 0; echo "$6: Permission denied" >&2; exit 1`);
    const failure = await grantHypervisor(system.qemu, DARWIN).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(AssetsError);
    expect(String(failure)).toMatch(
      /could not be signed\n +.*Permission denied\n +Sign it as its owner: codesign --sign/,
    );
  });

  test("that changes nothing is noticed", async () => {
    system.script("codesign", "exit 0");
    await expect(grantHypervisor(system.qemu, DARWIN)).rejects.toThrow(/still may not use the hypervisor/);
  });

  test("ends with its signal", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(grantHypervisor(system.qemu, { ...DARWIN, signal })).rejects.toThrow("enough");
  });
});
