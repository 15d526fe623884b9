import { constants } from "node:fs";
import { cp, rm, writeFile } from "node:fs/promises";
import { loadClient } from "../edge/index.js";
import { VmError } from "../errors.js";
import { Image } from "../image/index.js";
import { rememberRoot, replace } from "../store/index.js";
import { serveControl } from "./control-server.js";
import { LogFile, logPaths } from "./log-file.js";
import { OutputLog } from "./output-log.js";
import { holdPidFile } from "./pid-file.js";
import { claim, placeOf, type VmRecord } from "./record.js";
import { openServiceEdge } from "./service-edge.js";
import { socketPath } from "./socket-path.js";
import { Supervisor } from "./supervisor.js";
import { routesOf } from "./supervisor-routes.js";
import type { SupervisorSpec } from "./supervisor-spec.js";

/**
 * Runs an image's workload in a VM until it ends or is stopped, restarting it as told; keeps its output and its record, and does what
 * clients ask for. One supervisor holds one name.
 *
 * @param onStarted is called once, when the workload is ready for the first time
 * @throws UsageError when the name is taken; whatever keeps it from becoming ready
 */
export async function supervise(
  wanted: SupervisorSpec,
  onStarted: (record: VmRecord) => void,
  signal?: AbortSignal,
): Promise<void> {
  await using _name = await claim(wanted.name);
  const { folder, output, router } = placeOf(wanted.name);
  // What never ran leaves nothing, and what ran only what it is told to keep.
  let kept = wanted.again === true;
  let supervisor: Supervisor | undefined;
  try {
    await using _pid = wanted.pidFile === undefined ? undefined : await holdPidFile(wanted.pidFile, wanted.name);
    const spec = await withOwnSnapshot(wanted);
    const image = await Image.fromSnapshot(spec.snapshotPath, signal ? { signal } : {});
    if (!wanted.again)
      await Promise.all([...logPaths(output), ...logPaths(router)].map((path) => rm(path, { force: true })));
    const log = new OutputLog(output, spec.logFile);
    supervisor = new Supervisor(spec, image, log);
    const { stop } = supervisor;
    const onSignal = () => stop();
    for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, onSignal);
    const first = await supervisor.start(signal);
    const ready = supervisor.untilReady(first, signal);
    ready.catch(() => undefined);
    // While the guest works there is nothing to do here, so what is needed later is made ready. Whether the client can be loaded the edge sees.
    if (spec.edge) loadClient().catch(() => undefined);
    await using _server = await serveControl(await socketPath(folder), routesOf(supervisor), (socket) =>
      supervisor ? supervisor.exec(socket) : Promise.reject(new VmError("there is no VM any more")),
    );
    const connection = await ready;
    const supervised = { spec, image, supervisor, output: log, router: new LogFile(router), connection };
    if (spec.edge?.guestPort !== spec.ready?.port) connection?.destroy();
    await using _edge = spec.edge && (await openServiceEdge(supervised, spec.edge, signal));
    await Promise.all([writeSpec(supervisor.spec), supervisor.recorded()]);
    kept = !spec.remove;
    onStarted(supervisor.record);
    await supervisor.over;
  } finally {
    await supervisor?.close();
    if (!kept) await rm(folder, { recursive: true, force: true });
  }
}

/** A fork is made of a snapshot that is its own from then on, for as long as anything is kept of it. */
async function withOwnSnapshot(spec: SupervisorSpec): Promise<SupervisorSpec> {
  if (!spec.ownSnapshot) return spec;
  const { snapshot } = placeOf(spec.name);
  await rememberRoot(snapshot);
  await replace(snapshot, (partial) =>
    cp(spec.snapshotPath, partial, { recursive: true, mode: constants.COPYFILE_FICLONE }),
  );
  return { ...spec, snapshotPath: snapshot, ownSnapshot: false };
}

/** What it is started from again, and what its forks are. */
async function writeSpec(spec: SupervisorSpec): Promise<void> {
  const text = JSON.stringify({ ...spec, again: true }, null, 2);
  await replace(placeOf(spec.name).spec, (partial) => writeFile(partial, text, { mode: 0o600 }));
}
