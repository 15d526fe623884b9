import prettyBytes from "pretty-bytes";
import type { VmStats } from "../index.js";

/** `12.5 MiB`. */
export function bytesText(bytes: number | undefined): string {
  return bytes === undefined ? "-" : prettyBytes(bytes, { binary: true, maximumFractionDigits: 1 });
}

/** `3.2 s`, or minutes and seconds from a minute on. */
export function secondsText(ms: number): string {
  const seconds = ms / 1_000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")} min`;
}

/** A part of one processor's time, such as `12.5%`; more than 100 where several are used. */
export function percentText(part: number | undefined): string {
  return part === undefined || !Number.isFinite(part) ? "-" : `${(part * 100).toFixed(1)}%`;
}

/** How long ago a moment was: `5 s`, `3 min`, `2 h`, `8 d`. */
export function sinceText(time: string, now = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** The part of one processor that was used between two moments, or since the start. */
export function cpuPart(stats: VmStats | undefined, former?: VmStats): number | undefined {
  if (stats?.cpuMs === undefined) return undefined;
  const isLater = former?.cpuMs !== undefined && former.since === stats.since && former.time < stats.time;
  const used = stats.cpuMs - (isLater ? (former.cpuMs ?? 0) : 0);
  return used / (Date.parse(stats.time) - Date.parse(isLater ? former.time : stats.since));
}
