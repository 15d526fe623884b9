import * as v from "valibot";
import { type Digest, isDigest } from "./digest.js";
import { parseDocument } from "./parse-document.js";

/** Docker writes `null` for what is absent; readers of a config see one form of absence. */
function optional<S extends v.GenericSchema>(schema: S) {
  return v.pipe(
    v.nullish(schema),
    v.transform((value): v.InferOutput<S> | undefined => value ?? undefined),
  );
}

const strings = v.array(v.string());
/** Go's `map[string]struct{}`. */
const set = v.record(v.string(), v.nullish(v.object({})));

// execve() and the environment end a string at a NUL, so one inside means something else to every reader.
const argument = v.pipe(v.string(), v.excludes("\0", "must not have a NUL character"));
const variable = v.pipe(argument, v.regex(/^[^=]+(=|$)/, "is not NAME=VALUE"));

const digest = v.pipe(
  v.string(),
  v.check(isDigest, "is not a sha256 or sha512 digest"),
  v.transform((text) => text as Digest),
);

const runConfig = v.object({
  User: optional(argument),
  ExposedPorts: optional(set),
  Env: optional(v.array(variable)),
  Entrypoint: optional(v.array(argument)),
  Cmd: optional(v.array(argument)),
  Volumes: optional(set),
  WorkingDir: optional(argument),
  Labels: optional(v.record(v.string(), v.string())),
  StopSignal: optional(v.string()),
  Shell: optional(strings),
  OnBuild: optional(strings),
  Healthcheck: optional(
    v.object({
      Test: optional(strings),
      Interval: optional(v.number()),
      Timeout: optional(v.number()),
      StartPeriod: optional(v.number()),
      StartInterval: optional(v.number()),
      Retries: optional(v.number()),
    }),
  ),
});

const history = v.object({
  created: optional(v.string()),
  created_by: optional(v.string()),
  author: optional(v.string()),
  comment: optional(v.string()),
  empty_layer: optional(v.boolean()),
});

const imageConfig = v.object({
  architecture: v.pipe(v.string(), v.nonEmpty("must not be empty")),
  os: v.pipe(v.string(), v.nonEmpty("must not be empty")),
  variant: optional(v.string()),
  created: optional(v.string()),
  author: optional(v.string()),
  config: v.nullish(runConfig, {}),
  rootfs: v.object({
    type: v.literal("layers", 'must be "layers"'),
    diff_ids: v.nullish(v.array(digest), []),
  }),
  history: optional(v.array(history)),
});

/** An image's configuration: what it is built for, how it wants to be run, and the digests of its unpacked layers. */
export type ImageConfig = v.InferOutput<typeof imageConfig>;

/** @throws ImageError that says which field is wrong. */
export const parseImageConfig = (bytes: Uint8Array, what: string): ImageConfig =>
  parseDocument(imageConfig, bytes, what);
