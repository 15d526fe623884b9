import * as v from "valibot";
import { EgressPolicySchema, PublishSchema } from "../network/index.js";

const Milliseconds = v.pipe(v.number(), v.minValue(0));

/** What a supervisor is told to run. */
export const SupervisorSpec = v.object({
  name: v.string(),
  snapshotPath: v.string(),
  cmd: v.optional(v.array(v.string())),
  entrypoint: v.optional(v.array(v.string())),
  env: v.record(v.string(), v.string()),
  cwd: v.optional(v.string()),
  user: v.optional(v.string()),
  mounts: v.array(
    v.object({
      host: v.string(),
      guest: v.string(),
      readOnly: v.optional(v.boolean()),
      symlinks: v.optional(v.picklist(["deny", "opaque", "follow"])),
      owner: v.optional(v.string()),
    }),
  ),
  volumes: v.array(
    v.object({
      name: v.optional(v.string()),
      file: v.optional(v.string()),
      guest: v.string(),
      readOnly: v.optional(v.boolean()),
      sizeMiB: v.optional(v.number()),
    }),
  ),
  egress: v.optional(EgressPolicySchema),
  publish: v.array(PublishSchema),
  labels: v.record(v.string(), v.string()),
  /** Nothing is kept of the VM once it has ended. */
  remove: v.boolean(),
  /** How long the workload has to end after SIGTERM. */
  graceMs: Milliseconds,
  restart: v.object({
    when: v.picklist(["no", "on-failure", "always", "unless-stopped"]),
    most: v.optional(v.number()),
  }),
});
export type SupervisorSpec = v.InferOutput<typeof SupervisorSpec>;

/** What it answers once, to the process that started it. */
export const SupervisorAnswer = v.variant("started", [
  v.object({ started: v.literal(true) }),
  v.object({ started: v.literal(false), message: v.string(), code: v.optional(v.string()) }),
]);
export type SupervisorAnswer = v.InferOutput<typeof SupervisorAnswer>;
