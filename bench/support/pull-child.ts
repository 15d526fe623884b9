import { readFileSync } from "node:fs";
import { ensureLayers } from "../../src/image/layers.js";
import { openImage } from "../../src/oci/index.js";

/** Pulls and converts the image that is named, in a process of its own so that its memory can be told. Prints JSON. */
const [reference = ""] = process.argv.slice(2);
const start = performance.now();
await using content = await openImage(reference);
await ensureLayers(content, {});
const ms = performance.now() - start;
const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
console.log(JSON.stringify({ ms, peakMiB: Number(kilobytes) / 1024 }));
