import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { readStoredTemplate, storedTemplates } from "../machine/index.js";
import { readStoredDocument, readStoredTag, storedDocuments, storedTags } from "../oci/index.js";
import type { LongWork } from "../progress.js";
import { LayerStore } from "../rootfs/index.js";
import { home } from "../store/index.js";
import { snapshotFolders } from "./references.js";
import { findSnapshotProblem } from "./snapshot-problem.js";

/** What is wrong with one thing. */
export interface Found {
  problem: string;
  advice: string;
  /** It is made anew when it is needed, or is of no use to anybody. */
  removable: boolean;
}

/** One thing in the stores, and how to look whether anything is wrong with it. What is gone by then is not wrong. */
export interface Check {
  kind: "layer" | "template" | "document" | "tag" | "snapshot";
  path: string;
  item: string;
  find(work: LongWork): Promise<Found | undefined>;
}

export async function layerChecks(): Promise<Check[]> {
  const advice = "The next pull of an image that has it converts it anew.";
  const store = new LayerStore(home().layers);
  const paths = await store.files();
  const sizes = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let before = 0;
  return paths.map((path, i) => {
    const step = { phase: "verify" as const, item: `${paths.length} layers`, total };
    const find = async ({ signal, onProgress }: LongWork) => {
      const report = (done: number) => onProgress?.({ ...step, done: before + done });
      report(0);
      const problem = await store.verify(path, { signal, onProgress: report }).catch(ignoreMissing);
      before += sizes[i] ?? 0;
      if (i === paths.length - 1) onProgress?.({ ...step, done: total, finished: true });
      return problem === undefined ? undefined : { problem, advice, removable: true };
    };
    return { kind: "layer", path, item: basename(path).replace(/\..*$/, "").replace("-", ":"), find };
  });
}

export async function templateChecks(): Promise<Check[]> {
  const advice = "It is booted anew when it is needed, and images that are based on it are baked anew.";
  return (await storedTemplates()).map(({ path, key }) => {
    const find = async () => {
      const { problem } = await readStoredTemplate(path);
      return problem === undefined || !(await exists(path)) ? undefined : { problem, advice, removable: true };
    };
    return { kind: "template", path, item: key, find };
  });
}

export async function documentChecks(): Promise<Check[]> {
  const found = {
    problem: "its content has another digest",
    advice: "The next pull fetches it anew.",
    removable: true,
  };
  return (await storedDocuments()).map(({ path, digest }) => {
    const find = async () => ((await readStoredDocument(path, digest))?.intact === false ? found : undefined);
    return { kind: "document", path, item: digest, find };
  });
}

export async function tagChecks(): Promise<Check[]> {
  const found = {
    problem: "what the tag means cannot be read",
    advice: "The registry is asked anew.",
    removable: true,
  };
  return (await storedTags()).map(({ path, reference }) => {
    const find = async () => {
      const tag = await readStoredTag(path);
      return tag && (tag.reference === undefined || tag.digest === undefined) ? found : undefined;
    };
    return { kind: "tag", path, item: reference ?? basename(path), find };
  });
}

export async function snapshotChecks(): Promise<Check[]> {
  return (await snapshotFolders()).map((path) => {
    const find = () => findSnapshotProblem(path);
    return { kind: "snapshot", path, item: basename(path), find };
  });
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
