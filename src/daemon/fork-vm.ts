import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.js";
import type { PublishOptions } from "../network/index.js";
import { checkVmName, isOver, placeOf, readRecord, type VmRecord } from "./record.js";
import { readSpec, superviseElsewhere } from "./supervise-elsewhere.js";
import type { SupervisorSpec } from "./supervisor-spec.js";

const MOST_FORKS = 100;
const STEM_LENGTH = 56;

/** How a VM in the background is cloned. */
export interface ForkVmOptions {
  /** Names of the clones; by default one, named after the source. */
  names?: readonly string[] | undefined;
  /** Ports of the clones on the host, for a single one; by default those of the source, each at any port that is free. */
  publish?: readonly PublishOptions[] | undefined;
  signal?: AbortSignal | undefined;
}

/** A name for a clone: the source's, with six digits. */
export function forkName(source: string): string {
  return `${source.slice(0, STEM_LENGTH)}-${randomBytes(3).toString("hex")}`;
}

/** What is done with VMs in the background. */
interface Hands {
  /** Captures the source in a new folder, to make so many clones of. */
  capture(folder: string, forks: number): Promise<void>;
  /** Ends a VM, and leaves nothing of it. */
  discard(name: string): Promise<void>;
}

/** Starts clones of a VM, and gives their names. */
export async function forkVm(source: VmRecord, options: ForkVmOptions, hands: Hands): Promise<string[]> {
  const { names = [forkName(source.name)], publish, signal } = options;
  await checkNames(names, publish);
  const spec = await readSpec(source.name);
  const folder = join(placeOf(source.name).folder, `fork-${randomBytes(6).toString("hex")}`);
  try {
    await hands.capture(folder, names.length);
    const clones = names.map((name) =>
      cloneSpec(spec, { name, image: source.image, command: source.command, folder, publish }),
    );
    const outcomes = await Promise.allSettled(clones.map((clone) => superviseElsewhere(clone, { signal })));
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (!failure) return [...names];
    // All or none.
    await Promise.all(names.map((name, index) => outcomes[index]?.status === "fulfilled" && hands.discard(name)));
    throw failure.reason;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function checkNames(names: readonly string[], publish: readonly PublishOptions[] | undefined): Promise<void> {
  if (names.length < 1 || names.length > MOST_FORKS)
    throw new UsageError(`there can be 1 to ${MOST_FORKS} clones, not ${names.length}`);
  if (new Set(names).size < names.length) throw new UsageError("two clones cannot have the same name");
  if (names.length > 1 && publish?.some(({ hostPort }) => hostPort))
    throw new UsageError("several clones cannot have the same port on the host", { hint: "Leave it out." });
  for (const name of names) {
    const record = await readRecord(checkVmName(name));
    if (record && !isOver(record.status)) throw new UsageError(`a VM with the name ${name} is running`);
  }
}

function cloneSpec(
  source: SupervisorSpec,
  clone: Pick<VmRecord, "name" | "image" | "command"> & Pick<ForkVmOptions, "publish"> & { folder: string },
): SupervisorSpec {
  const { name, image, command, folder, publish } = clone;
  const ports = publish ?? source.publish.map((port) => ({ ...port, hostPort: 0 }));
  const hostname = name.replace(/[^a-zA-Z0-9-]+/g, "-").replace(/-+$/, "");
  return {
    ...source,
    ...{ name, image, command, snapshotPath: folder, ownSnapshot: true, again: false, publish: [...ports] },
    identity: { hostname, machineId: randomBytes(16).toString("hex") },
    // The command goes on, with the environment and as the user that it was started with.
    ...{ cmd: undefined, entrypoint: undefined, pidFile: undefined, logFile: undefined },
  };
}
