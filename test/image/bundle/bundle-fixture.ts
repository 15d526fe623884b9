import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { sha256Of } from "../../support/layout-builder.js";
import { metadata } from "../metadata-fixture.js";

const LAYER = { lun: 1, path: "layers/0.erofs", diffId: "sha256:a" };

/** The files of a bundle that is whole, and that nothing could be started from. */
export function bundleFiles(): Record<string, string> {
  return {
    "metadata.json": JSON.stringify(metadata({ layers: [LAYER], bundled: true })),
    "memory.delta": "delta",
    "device.state": "state",
    "template/ram.img": "ram",
    "template/device.state": "state of the template",
    "layers/0.erofs": "layer",
    "kernel/vmlinuz": "kernel",
    "kernel/initramfs-0.cpio": "initramfs",
  };
}

/** `bundle.json` for files. */
export function bundleList(files: Record<string, string>): object {
  return {
    schema: 1,
    createdAt: "2026-01-02T03:04:05.678Z",
    architecture: process.arch,
    qemu: "7.2.0",
    kernel: { name: "linux", digest: "0", path: "kernel/vmlinuz" },
    initramfs: "kernel/initramfs-0.cpio",
    files: Object.entries(files).map(([path, text]) => ({
      path,
      bytes: text.length,
      digest: sha256Of(Buffer.from(text)),
    })),
  };
}

/** Writes a bundle; `list` is for one that lies about its files. */
export function writeBundle(folder: string, files = bundleFiles(), list: object = bundleList(files)): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  writeFileSync(join(folder, "bundle.json"), JSON.stringify(list));
}
