import * as v from "valibot";
import type { Routes } from "./control-server.js";
import { serveCopy } from "./copy.js";
import { statsOf } from "./stats.js";
import type { Supervisor } from "./supervisor.js";

const StopRequest = v.object({ graceMs: v.optional(v.pipe(v.number(), v.minValue(0))) });
const KillRequest = v.object({ signal: v.union([v.string(), v.number()]) });
const SnapshotRequest = v.object({ folder: v.string(), forks: v.optional(v.number()) });

/** What a client can ask of a supervisor. */
export function routesOf(supervisor: Supervisor): Routes {
  return {
    "GET /vm": async () => supervisor.record,
    "POST /stop": async (body) => supervisor.stop(v.parse(StopRequest, body).graceMs),
    "POST /kill": async (body) => supervisor.kill(v.parse(KillRequest, body).signal as NodeJS.Signals | number),
    "POST /copy": (body, signal) => supervisor.visit(async (vm) => serveCopy(await vm(), body, signal)),
    "POST /pause": () => supervisor.pause(),
    "POST /resume": () => supervisor.resume(),
    "POST /snapshot": async (body) => {
      const { folder, forks } = v.parse(SnapshotRequest, body);
      await supervisor.snapshot(folder, forks);
    },
    "GET /stats": async () => {
      const { memoryMiB, startedAt, createdAt } = supervisor.record;
      return statsOf(supervisor.current().vm, { memoryMiB, since: startedAt ?? createdAt });
    },
    "GET /processes": async () => {
      supervisor.requireAwake();
      return supervisor.current().vm.processes({ signal: AbortSignal.timeout(10_000) });
    },
  };
}
