import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SnapshotMetadata } from "../../src/image/index.js";

/** Good metadata, with changes. */
export function metadata(changes: Partial<SnapshotMetadata> = {}): SnapshotMetadata {
  return {
    schema: 1,
    name: "python",
    reference: "oci-archive:python.tar",
    key: "k".repeat(64),
    createdAt: "2026-01-02T03:04:05.678Z",
    manifestDigest: `sha256:${"0".repeat(64)}`,
    template: { key: "t", id: "i", memoryMiB: 256, vcpus: 2, accelerator: "tcg", hypervisor: "qemu 7.2; devices 1" },
    config: { entrypoint: [], cmd: ["sh"], env: { PATH: "/bin" }, workdir: "/", user: "" },
    deviceState: { bytes: 3, crc32: 1 },
    layers: [{ lun: 1, path: "/layers/a.erofs", diffId: "sha256:a" }],
    ...changes,
  };
}

/** Puts a snapshot into a store folder. */
export function putSnapshot(store: string, name: string, changes: Partial<SnapshotMetadata> = {}): string {
  const folder = join(store, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "metadata.json"), JSON.stringify(metadata({ name, ...changes })));
  writeFileSync(join(folder, "memory.delta"), "x".repeat(100));
  writeFileSync(join(folder, "device.state"), "x".repeat(23));
  return folder;
}
