import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { vi } from "vitest";
import type { SnapshotMetadata } from "../../src/image/index.js";
import { Delta } from "../../src/memory/index.js";
import { LayerStore } from "../../src/rootfs/index.js";
import { metadata } from "../image/metadata-fixture.js";
import { inPieces, sha256 } from "../support/layer-fixture.js";
import { TarBuilder } from "../support/tar-builder.js";

const STATE = Buffer.from("the device state");

/** A home with stores to put things into, in use until it is disposed of. */
export class StoreFixture implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "supermachine-store-"));

  constructor() {
    vi.stubEnv("SUPERMACHINE_HOME", this.path);
    vi.stubEnv("SUPERMACHINE_SNAPSHOTS", "");
  }

  [Symbol.dispose](): void {
    vi.unstubAllEnvs();
    rmSync(this.path, { recursive: true, force: true });
  }

  /** Puts a file somewhere below the home; gives its path. */
  put(path: string, content: string | Buffer = "x", ageMs = 0): string {
    const file = join(this.path, path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(file, content);
    const time = new Date(Date.now() - ageMs);
    utimesSync(file, time, time);
    return file;
  }

  /** Converts a layer with one file of that content; gives its diff id and path. */
  async layer(content: string, bytes = 100): Promise<{ diffId: string; path: string }> {
    const archive = new TarBuilder().file("file", content.padEnd(bytes, "x")).finish();
    const diffId = sha256(archive);
    const store = new LayerStore(join(this.path, "layers"));
    const layer = { diffId, blobDigest: diffId, mediaType: "application/vnd.oci.image.layer.v1.tar" };
    const { path } = await store.ensure(layer, async () => inPieces(archive));
    return { diffId, path };
  }

  /** Puts a template of the current kernel and agent, or of others. */
  template(key: string, id = "id", changes: object = {}): string {
    const ram = this.put(`templates/${key}/ram.img`, Buffer.alloc(8192, 1));
    utimesSync(ram, 1, 1);
    this.put(`templates/${key}/device.state`, STATE);
    const facts = {
      id,
      ram: { size: 8192, modified: "1000000000" },
      deviceState: { bytes: STATE.length, crc32: crc32(STATE) },
      ...changes,
    };
    this.put(`templates/${key}/template.json`, JSON.stringify(facts));
    return join(this.path, "templates", key);
  }

  /** Puts an intact snapshot of these layers, on the template `key` with the id `id`. */
  async snapshot(
    name: string,
    layers: readonly { diffId: string; path: string }[],
    changes: Partial<SnapshotMetadata> = {},
    folder = "snapshots",
  ): Promise<string> {
    const path = join(this.path, folder, name);
    mkdirSync(path, { recursive: true });
    await new Delta(8192, [{ first: 0, count: 1 }], Buffer.alloc(4096, 7)).write(join(path, "memory.delta"));
    writeFileSync(join(path, "device.state"), STATE);
    const content = metadata({
      name,
      template: { ...metadata().template, key: "key", id: "id" },
      deviceState: { bytes: STATE.length, crc32: crc32(STATE) },
      layers: layers.map((layer, i) => ({ lun: i + 1, ...layer })),
      ...changes,
    });
    writeFileSync(join(path, "metadata.json"), JSON.stringify(content));
    return path;
  }

  /** Puts a document; gives its digest. */
  document(content: object): string {
    const bytes = Buffer.from(JSON.stringify(content));
    const digest = sha256(bytes);
    this.put(`blobs/${digest.replace(":", "/")}`, bytes);
    return digest;
  }

  /** Puts what a registry said that a tag means. */
  tag(reference: string, digest: string): string {
    const name = sha256(Buffer.from(reference)).slice("sha256:".length);
    return this.put(
      `blobs/refs/${name}.json`,
      JSON.stringify({ schemaVersion: 1, reference, digest, checkedAt: Date.now() }),
    );
  }
}
