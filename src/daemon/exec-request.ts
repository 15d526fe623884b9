import * as v from "valibot";

/** What a client says first on an exec connection. */
export const ExecRequest = v.object({
  argv: v.pipe(v.array(v.string()), v.minLength(1)),
  env: v.optional(v.record(v.string(), v.string())),
  cwd: v.optional(v.string()),
  user: v.optional(v.string()),
  stdin: v.optional(v.picklist(["pipe", "ignore"])),
  tty: v.optional(v.boolean()),
  rows: v.optional(v.number()),
  cols: v.optional(v.number()),
  term: v.optional(v.string()),
});
export type ExecRequest = v.InferOutput<typeof ExecRequest>;

/** What a client says while the command runs. */
export const ExecControl = v.variant("do", [
  v.object({ do: v.literal("endInput") }),
  v.object({ do: v.literal("kill"), signal: v.union([v.string(), v.number()]) }),
  v.object({ do: v.literal("resize"), rows: v.number(), cols: v.number() }),
]);
export type ExecControl = v.InferOutput<typeof ExecControl>;

const Failure = v.object({
  message: v.string(),
  code: v.string(),
  /** For a command that could not be started. */
  exitCode: v.optional(v.number()),
});

/** What a supervisor says about a command. */
export const ExecEvent = v.variant("event", [
  v.object({ event: v.literal("started"), pid: v.number() }),
  v.object({
    event: v.literal("exited"),
    exitCode: v.number(),
    signal: v.nullable(v.string()),
    truncated: v.boolean(),
  }),
  v.object({ event: v.literal("failed"), failure: Failure }),
]);
export type ExecEvent = v.InferOutput<typeof ExecEvent>;
