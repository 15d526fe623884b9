import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryFolder } from "../support/layer-fixture.js";

/** A member of an ar archive: a header of fixed columns, the content, and a byte that makes the length even. */
export function arMember(name: string, content: Buffer, size: string | number = content.length): Buffer {
  const columns = [
    name.padEnd(16),
    "0".padEnd(12),
    "0".padEnd(6),
    "0".padEnd(6),
    "100644".padEnd(8),
    String(size).padEnd(10),
  ];
  return Buffer.concat([Buffer.from(`${columns.join("")}\`\n`), content, Buffer.alloc(content.length % 2, "\n")]);
}

export const AR_MAGIC = Buffer.from("!<arch>\n");

/** A Debian package with these files, packed by the real tools. */
export function buildDeb(files: Record<string, string | Buffer>, compression: "xz" | "zst" = "xz"): Buffer {
  using folder = temporaryFolder();
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder.path, path)), { recursive: true });
    writeFileSync(join(folder.path, path), content);
  }
  const flag = compression === "xz" ? "--xz" : "--zstd";
  const data = execFileSync("tar", ["--create", flag, "-C", folder.path, "."], { maxBuffer: 2 ** 26 });
  return Buffer.concat([
    AR_MAGIC,
    arMember("debian-binary", Buffer.from("2.0\n")),
    arMember("control.tar.xz", Buffer.from("odd")),
    arMember(`data.tar.${compression}`, data),
  ]);
}
