import { readFileSync } from "node:fs";
import type { Limits } from "./tree.js";

const HANDLES_MAX = 4096;
const FOLDERS_MAX = 256;
/** What systems that do not say so allow at least. */
const USUAL_DESCRIPTORS = 256;
/** A kernel needs about a KiB for each file it knows, so an honest one never has more than this. */
const NODES_PER_MIB = 1024;

/** What one mount of a guest of so much memory may take of us: a part of the descriptors, so that others have some, too. */
export function limitsFor(memoryMiB: number): Limits {
  const descriptors = allowedDescriptors();
  return {
    nodes: memoryMiB * NODES_PER_MIB,
    handles: Math.min(HANDLES_MAX, Math.floor(descriptors / 4)),
    folders: Math.min(FOLDERS_MAX, Math.floor(descriptors / 16)),
  };
}

function allowedDescriptors(): number {
  try {
    const match = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return match ? Number(match[1]) : USUAL_DESCRIPTORS;
  } catch {
    return USUAL_DESCRIPTORS;
  }
}
