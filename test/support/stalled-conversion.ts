import { PassThrough } from "node:stream";
import { LayerStore } from "../../src/rootfs/index.js";
import { TarBuilder } from "./tar-builder.js";

// Is started as a process: begins to convert a layer whose source then stalls, says so, and waits to be killed.
const [folder = "", diffId = ""] = process.argv.slice(2);
const source = new PassThrough();
source.write(new TarBuilder().file("f", Buffer.alloc(1000)).unfinished());
const description = { diffId, blobDigest: diffId, mediaType: "application/vnd.oci.image.layer.v1.tar" };
await new LayerStore(folder).ensure(description, async () => source, {
  onProgress: () => process.send?.("converting"),
});
