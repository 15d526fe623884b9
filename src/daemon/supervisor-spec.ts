import * as v from "valibot";
import { EgressPolicySchema, PublishSchema } from "../network/index.js";
import { VmRecord } from "./record.js";

const Milliseconds = v.pipe(v.number(), v.minValue(0));

const Edge = v.object({
  /** 0 for any that is free. */
  port: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65_535)),
  workers: v.optional(v.number()),
  guestPort: v.pipe(v.number(), v.integer()),
  idleTimeoutMs: v.optional(v.number()),
  answerTimeoutMs: v.optional(v.number()),
  tls: v.optional(v.union([v.literal("autogen"), v.object({ certFile: v.string(), keyFile: v.string() })])),
});
/** The HTTP server in front of a supervised VM. */
export type EdgeSpec = v.InferOutput<typeof Edge>;

/** What a supervisor is told to run. */
export const SupervisorSpec = v.object({
  name: v.string(),
  snapshotPath: v.string(),
  /** The snapshot becomes a part of what is kept of this VM alone. */
  ownSnapshot: v.optional(v.boolean()),
  /** Name of the image, where it is not that of the snapshot. */
  image: v.optional(v.string()),
  /** What is shown as its command, where that goes on from another VM. */
  command: v.optional(v.array(v.string())),
  /** It ran before: its output stays, and so does what is known of it, should it not start. */
  again: v.optional(v.boolean()),
  /** Host name and machine id; by default those of the image. */
  identity: v.optional(v.object({ hostname: v.string(), machineId: v.string() })),
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
  /** How long the workload has to end after the stop signal. */
  graceMs: Milliseconds,
  stopSignal: v.string(),
  /** By default the workload is ready when it runs. */
  ready: v.optional(
    v.object({ port: v.pipe(v.number(), v.integer()), path: v.optional(v.string()), timeoutMs: Milliseconds }),
  ),
  /** Serves the workload's HTTP server on a port of the host. */
  edge: v.optional(Edge),
  health: v.optional(
    v.object({
      argv: v.pipe(v.array(v.string()), v.minLength(1)),
      intervalMs: Milliseconds,
      timeoutMs: Milliseconds,
      startPeriodMs: Milliseconds,
      retries: v.pipe(v.number(), v.minValue(1)),
    }),
  ),
  pidFile: v.optional(v.string()),
  logFile: v.optional(v.string()),
  restart: v.object({
    when: v.picklist(["no", "on-failure", "always", "unless-stopped"]),
    most: v.optional(v.number()),
  }),
});
export type SupervisorSpec = v.InferOutput<typeof SupervisorSpec>;

/** What its process is sent, once. */
export const SupervisorTask = v.object({
  spec: SupervisorSpec,
  /** The command that its first VM's worker is started with, as far as whoever sends this knows it. */
  worker: v.optional(v.array(v.string())),
});
export type SupervisorTask = v.InferOutput<typeof SupervisorTask>;

/** What it answers once, to the process that started it. */
export const SupervisorAnswer = v.variant("started", [
  v.object({ started: v.literal(true), record: VmRecord }),
  v.object({ started: v.literal(false), message: v.string(), code: v.optional(v.string()) }),
]);
export type SupervisorAnswer = v.InferOutput<typeof SupervisorAnswer>;
