import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { listArchive } from "../build/build-fixture.js";
import { startAgent } from "./agent-under-test.js";

const PREPARE = `
chmod 751 . && mkdir -p etc proc/x dir && chmod 1777 dir && chown 5:6 dir
echo content > dir/file && chmod 4755 dir/file && ln dir/file again && ln -s dir/file link
setfattr -n user.note -v text dir/file 2>/dev/null || true
mknod gone c 0 0 && mknod device c 7 3 && mkfifo fifo
touch etc/hosts etc/kept && mkdir hidden && setfattr -n trusted.overlay.opaque -v y hidden && touch hidden/new
`;

test("a layer is read as an archive with whiteouts, without what is there for mounts only", async () => {
  const root = mkdtempSync(join(tmpdir(), "supermachine-layer-"));
  execFileSync("sh", ["-ec", PREPARE], { cwd: root });
  try {
    await using running = await startAgent("sanitized", { root });
    const archive = await buffer(running.agent.readLayer({ files: ["/etc/hosts"] }));
    const entries = listArchive(archive)
      .filter((line) => !line.startsWith("x "))
      .map((line) => line.replace(/ \.\//, " "));
    // Which name of a file comes first is up to the file system.
    const names = entries.filter((line) => / (again|dir\/file)[=>]/.test(line)).sort();
    expect(names).toEqual([expect.stringMatching(/^0 4755 0:0 .*=content\n$/), expect.stringMatching(/^1 4755 0:0 /)]);
    expect(entries.filter((line) => !names.includes(line)).sort()).toEqual([
      "0 0 0:0 .wh.gone=",
      "0 0 0:0 hidden/.wh..wh..opq=",
      "0 644 0:0 etc/kept=",
      "0 644 0:0 hidden/new=",
      "2 777 0:0 link>dir/file",
      "3 644 0:0 device",
      "5 1777 5:6 dir/",
      "5 751 0:0 ",
      "5 755 0:0 etc/",
      "5 755 0:0 hidden/",
      "6 644 0:0 fifo",
    ]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
