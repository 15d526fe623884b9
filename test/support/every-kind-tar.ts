import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A capability set as the kernel stores it: cap_net_bind_service=ep, which has bytes that are no UTF-8. */
const CAPABILITY = "0x0100000200040000000000000000000000000000";

/** How the archive is written; GNU tar's formats differ in how they store names, times and holes. */
export interface EveryKindOptions {
  format?: "pax" | "gnu";
  /** Whether holes are left out of the archive (default). */
  sparse?: boolean;
  /** Whether there is a file of more than 4 GiB, nearly all of it hole (default). */
  huge?: boolean;
}

/**
 * Makes a tar archive with every kind of entry that a layer can have, by GNU tar (needs root, for devices and owners).
 * Gives its path; the caller removes the folder that it is in.
 */
export function everyKindTar(options: EveryKindOptions = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-every-kind-"));
  const root = join(folder, "root");
  mkdirSync(root);
  makeEveryKind(root, options.huge !== false);
  const path = join(folder, "every-kind.tar");
  const format = options.format ?? "pax";
  const xattrs = format === "pax" ? ["--xattrs", "--xattrs-include=*"] : [];
  const sparse = options.sparse === false ? [] : ["--sparse"];
  execFileSync("tar", [`--format=${format}`, "--sort=name", ...xattrs, ...sparse, "-C", root, "-cf", path, "."]);
  rmSync(root, { recursive: true });
  return path;
}

function makeEveryKind(root: string, huge: boolean): void {
  const at = (name: string) => join(root, name);
  makeFiles(at);
  makeSpecials(at);
  makeLinks(at);
  makeNames(root);
  makeOwnersAndModes(at);
  makeXattrs(at);
  makeSparse(at, huge);
  setTimes(at);
}

type At = (name: string) => string;

/** Sizes on both sides of the places where the layout changes: inline or not, whole blocks, whole chunks. */
const SIZES = [
  1, 511, 512, 513, 3071, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 8193, 65535, 65536, 65537, 300_001,
];

function makeFiles(at: At): void {
  mkdirSync(at("sizes"));
  writeFileSync(at("sizes/empty"), "");
  for (const size of SIZES) {
    writeFileSync(at(`sizes/${size}`), Buffer.alloc(size, `${size} `));
    writeFileSync(at(`sizes/zeros-${size}`), Buffer.alloc(size));
  }
  writeFileSync(at("sizes/large"), Buffer.alloc(5 * 1024 * 1024 + 17, "large "));
  mkdirSync(at("empty-directory"));
  mkdirSync(at("many"));
  for (let i = 0; i < 5000; i++) writeFileSync(at(`many/file-${i}`), i % 10 === 0 ? `content of ${i}\n` : "");
}

function makeSpecials(at: At): void {
  mkdirSync(at("devices"));
  const make = (...args: string[]) => execFileSync("mknod", args);
  make("-m", "666", at("devices/null"), "c", "1", "3");
  make("-m", "660", at("devices/sda"), "b", "8", "0");
  make("-m", "600", at("devices/large-minor"), "c", "250", "300000");
  make("-m", "600", at("devices/large-major"), "b", "4095", "1048575");
  execFileSync("mkfifo", ["-m", "622", at("devices/fifo")]);
}

function makeLinks(at: At): void {
  mkdirSync(at("links"));
  symlinkSync("../sizes/512", at("links/relative"));
  symlinkSync("/etc/passwd", at("links/absolute"));
  symlinkSync("nothing-here", at("links/dangling"));
  symlinkSync(".", at("links/self"));
  symlinkSync("t".repeat(150), at("links/target-150"));
  symlinkSync("a/".repeat(2047), at("links/target-4094"));
  writeFileSync(at("links/a-file"), "linked\n");
  linkSync(at("links/a-file"), at("links/b-link"));
  linkSync(at("links/a-file"), at("links/z-link"));
  linkSync(at("links/dangling"), at("links/dangling-link"));
  linkSync(at("devices/null"), at("links/null-link"));
}

function makeNames(root: string): void {
  const name = (bytes: Buffer | string) => Buffer.concat([Buffer.from(`${root}/names/`), Buffer.from(bytes)]);
  mkdirSync(`${root}/names`);
  writeFileSync(name("n".repeat(255)), "255");
  mkdirSync(name("d".repeat(255)));
  writeFileSync(name("\u00fcml\u00e4ut \u6f22\u5b57"), "utf-8");
  writeFileSync(name(Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x66])), "not utf-8");
  for (const odd of [
    " leading space",
    "new\nline",
    "back\\slash",
    '"quoted"',
    "*",
    "-dash",
    "!first",
    "~last",
    "a=b",
  ]) {
    writeFileSync(name(odd), odd);
  }
  writeFileSync(name("upper"), "1");
  writeFileSync(name("Upper"), "2");
  const long = Array.from({ length: 14 }, (_, i) => String(i % 10).repeat(200)).join("/");
  mkdirSync(name(long), { recursive: true });
  writeFileSync(name(`${long}/deep`), "deep");
}

function makeOwnersAndModes(at: At): void {
  mkdirSync(at("modes"));
  for (const mode of [0o0, 0o111, 0o400, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o6711, 0o1644]) {
    const path = at(`modes/${mode.toString(8)}`);
    writeFileSync(path, "");
    chmodSync(path, mode);
  }
  mkdirSync(at("modes/sticky"));
  chmodSync(at("modes/sticky"), 0o1777);
  mkdirSync(at("modes/setgid"));
  chmodSync(at("modes/setgid"), 0o2775);
  for (const id of [1, 1000, 65534, 65536, 2_097_152, 4_294_967_294]) {
    const path = at(`modes/owner-${id}`);
    writeFileSync(path, "");
    chownSync(path, id, id);
  }
}

function makeXattrs(at: At): void {
  mkdirSync(at("xattrs"));
  const file = (name: string) => {
    writeFileSync(at(`xattrs/${name}`), name);
    return at(`xattrs/${name}`);
  };
  const set = (path: string, name: string, value: string) => execFileSync("setfattr", ["-n", name, "-v", value, path]);
  const several = file("several");
  set(several, "user.text", "text");
  set(several, "user.with=equals", "value");
  set(several, "user.empty", "");
  set(several, "user.binary", "0x00ff0a3d80fe00");
  set(several, "trusted.name", "trusted");
  set(file("capability"), "security.capability", CAPABILITY);
  set(file("large-value"), "user.large", `0x${"ab".repeat(3000)}`);
  mkdirSync(at("xattrs/directory"));
  set(at("xattrs/directory"), "user.on-directory", "yes");
  set(at("."), "user.on-root", "yes");
}

function makeSparse(at: At, huge: boolean): void {
  mkdirSync(at("sparse"));
  const make = (name: string, size: number, pieces: [offset: number, text: string][]) => {
    const file = openSync(at(`sparse/${name}`), "w");
    for (const [offset, text] of pieces) writeSync(file, text, offset);
    closeSync(file);
    truncateSync(at(`sparse/${name}`), size);
  };
  make("only-hole", 1_000_000, []);
  make("data-first", 1_000_000, [[0, "start"]]);
  make("data-last", 1_000_000, [[999_990, "0123456789"]]);
  make(
    "many-pieces",
    3_000_000,
    Array.from({ length: 40 }, (_, i) => [i * 70_000 + 3, `piece ${i}`]),
  );
  if (!huge) return;
  make("over-4-gib", 5 * 2 ** 30 + 12_345, [
    [0, "start"],
    [2 ** 32 - 3, "around 4 GiB"],
    [5 * 2 ** 30 + 12_000, "end"],
  ]);
}

function setTimes(at: At): void {
  utimesSync(at("sizes/1"), 1, 1.5);
  utimesSync(at("sizes/511"), 1, 4_294_967_296.25);
  utimesSync(at("sizes/512"), 1, -12_345.75);
  utimesSync(at("empty-directory"), 1, 1_234_567_890.123);
  lutimesSync(at("links/relative"), 1, 987_654_321);
}
