import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { SupermachineError } from "../errors.js";
import {
  checkRootDisk,
  isWholeDeviceState,
  METADATA_FILE,
  readMetadata,
  type SnapshotMetadata,
} from "../image/index.js";
import { CAPTURE_FILES, storedTemplates } from "../machine/index.js";
import { Delta } from "../memory/index.js";
import type { Found } from "./checks.js";

/** The key of a bake is a hash; that of a snapshot of a running VM, which cannot be made again, is a UUID. */
const BAKED = /^[0-9a-f]{64}$/;

/** What is wrong with the snapshot in `folder`: its own files, and what it refers to. */
export async function findSnapshotProblem(folder: string): Promise<Found | undefined> {
  if (!(await isOurs(folder))) return undefined;
  let metadata: SnapshotMetadata;
  try {
    metadata = await readMetadata(folder);
    await Delta.read(join(folder, CAPTURE_FILES.delta));
    const state = await readFile(join(folder, CAPTURE_FILES.deviceState));
    if (!isWholeDeviceState(state, metadata)) return damaged("its device state is truncated or corrupt");
    if (metadata.rootDisk) await checkRootDisk(folder, metadata.rootDisk, true);
  } catch (error) {
    return damaged(describe(error));
  }
  return danglingReference(metadata);
}

function damaged(problem: string): Found {
  return { problem, advice: "It cannot be started; the next run of its image bakes it anew.", removable: true };
}

/** Has it metadata, and of a version that we know? What is no snapshot, or was removed meanwhile, is none of our business. */
async function isOurs(folder: string): Promise<boolean> {
  const text = await readFile(join(folder, METADATA_FILE), "utf8").catch(() => undefined);
  if (text === undefined) return false;
  try {
    const { schema } = JSON.parse(text) as { schema?: unknown };
    return typeof schema !== "number" || schema <= 1;
  } catch {
    return true;
  }
}

async function danglingReference({ key, reference, layers, template }: SnapshotMetadata): Promise<Found | undefined> {
  for (const { path } of layers) {
    if (await stat(path).catch(() => undefined)) continue;
    const advice = `The next pull of ${reference} makes it again.`;
    return { problem: `its layer ${path} is missing`, advice, removable: false };
  }
  const templates = await storedTemplates();
  if (templates.some((each) => each.key === template.key && each.id === template.id)) return undefined;
  const advice = BAKED.test(key)
    ? `The next run of ${reference} bakes it anew.`
    : "It is the state of a VM that ran, and cannot be made again.";
  return { problem: "the template that it is based on is gone or was made anew", advice, removable: BAKED.test(key) };
}

function describe(error: unknown): string {
  if (!SupermachineError.is(error)) return error instanceof Error ? error.message : String(error);
  return error.message.split("\n")[0] ?? "";
}
