import { UsageError } from "../../errors.js";
import { parseReference } from "../../oci/index.js";

const MODES = ["min", "max"] as const;

/** Where a build's cache is read from: a folder that {@link CacheTarget} wrote, or the same in a registry. */
export type CacheSource = { type: "local"; src: string } | { type: "registry"; ref: string };

/** Where a build's cache is written to. */
export type CacheTarget = ({ type: "local"; dest: string } | { type: "registry"; ref: string }) & {
  /** `min` (default): the instructions that the image is made of. `max`: those of all stages that were built. */
  mode?: (typeof MODES)[number] | undefined;
};

/** Parses what `--cache-from` takes: `type=local,src=DIR`, `type=registry,ref=NAME`, or the name alone. @throws UsageError */
export function parseCacheSource(text: string): CacheSource {
  const { type, fields, fail } = fieldsOf("--cache-from", text, { local: ["src"], registry: ["ref"] });
  const place = fields.get(type === "local" ? "src" : "ref") ?? "";
  if (type === "registry") return { type, ref: checkedRef(place, fail) };
  if (place === "") throw fail("it needs src=FOLDER");
  return { type, src: place };
}

/** Parses what `--cache-to` takes: `type=local,dest=DIR` or `type=registry,ref=NAME`, with `mode=min` or `mode=max`. @throws UsageError */
export function parseCacheTarget(text: string): CacheTarget {
  const { type, fields, fail } = fieldsOf("--cache-to", text, { local: ["dest", "mode"], registry: ["ref", "mode"] });
  const mode = MODES.find((each) => each === (fields.get("mode") ?? "min"));
  if (mode === undefined) throw fail("mode is min or max");
  const place = fields.get(type === "local" ? "dest" : "ref") ?? "";
  if (type === "registry") return { type, ref: checkedRef(place, fail), mode };
  if (place === "") throw fail("it needs dest=FOLDER");
  return { type, dest: place, mode };
}

/** For people. */
export function placeName(place: CacheSource | CacheTarget): string {
  if (place.type === "registry") return place.ref;
  return "src" in place ? place.src : place.dest;
}

interface PlaceFields {
  type: CacheSource["type"];
  fields: ReadonlyMap<string, string>;
  fail: (why: string) => UsageError;
}

function fieldsOf(flag: string, text: string, known: Record<CacheSource["type"], readonly string[]>): PlaceFields {
  const fail = (why: string) =>
    new UsageError(`${flag} ${text}: ${why}`, {
      hint: `Write type=local,${known.local[0]}=FOLDER or type=registry,ref=NAME.`,
    });
  const fields = new Map<string, string>();
  if (text !== "" && !text.includes("=")) return { type: "registry", fields: new Map([["ref", text]]), fail };
  for (const field of text.split(",")) {
    const [, key, value] = /^([a-z-]+)=(.+)$/.exec(field) ?? [];
    if (key === undefined || value === undefined) throw fail(`${JSON.stringify(field)} is no setting of a cache`);
    if (fields.has(key)) throw fail(`${key} is given twice`);
    fields.set(key, value);
  }
  const type = fields.get("type");
  if (type !== "local" && type !== "registry") throw fail("its type is neither local nor registry");
  const strange = [...fields.keys()].find((key) => key !== "type" && !known[type].includes(key));
  if (strange !== undefined) throw fail(`${strange} is no setting of the type ${type}`);
  return { type, fields, fail };
}

function checkedRef(ref: string, fail: (why: string) => UsageError): string {
  if (ref === "") throw fail("it needs ref=NAME");
  parseReference(ref);
  return ref;
}
