import { access, constants, mkdir, statfs } from "node:fs/promises";
import { release } from "node:os";
import prettyBytes from "pretty-bytes";
import {
  type Assets,
  distribution,
  ensureAssets,
  findProgram,
  hostArchitecture,
  hypervisorEntitlement,
  inspectQemu,
  installHint,
  locateQemu,
} from "../assets/index.js";
import { Qemu, qemuBinary } from "../engine/index.js";
import { SupermachineError } from "../errors.js";
import { candidates, forgetAccelerators, isolation, proveAccelerator } from "../machine/index.js";
import type { LongWork } from "../progress.js";
import { home } from "../store/index.js";

/** One thing that was looked at. `warning` means: it works, but not as well as it could. */
export interface Finding {
  subject: string;
  status: "ok" | "warning" | "problem";
  detail: string;
  /** What to do about it. */
  advice?: string;
}

/** What {@link doctor} found. */
export interface Diagnosis {
  findings: Finding[];
  /** How guests are separated from this host, or undefined when none can run. */
  isolation: string | undefined;
}

/** Below this a bake may run out of space. */
const LEAST_FREE_BYTES = 2 * 2 ** 30;

/**
 * Looks at everything a guest needs, and boots one with each accelerator that this platform has. Where QEMU is there, it
 * obtains the rest as `supermachine setup` does, since there is nothing to boot without it.
 */
export async function doctor(work: LongWork = {}): Promise<Diagnosis> {
  const findings: Finding[] = [nodeFinding(), systemFinding(), await homeFinding(), await qemuFinding()];
  if (process.platform === "linux") findings.push(await setprivFinding());
  if (process.platform === "darwin") findings.push(await entitlementFinding());
  if (findings.some(({ status }) => status === "problem")) return { findings, isolation: undefined };
  const { finding, assets } = await assetsFinding(work);
  findings.push(finding);
  if (!assets) return { findings, isolation: undefined };
  return acceleratorFindings(findings, assets, work);
}

async function acceleratorFindings(findings: Finding[], assets: Assets, work: LongWork): Promise<Diagnosis> {
  const hypervisor = new Qemu(assets.qemu.path, assets.qemu.version);
  await forgetAccelerators();
  let chosen: string | undefined;
  for (const accelerator of candidates()) {
    const verdict = await proveAccelerator(accelerator, assets, hypervisor, work);
    if (verdict.works) chosen ??= isolation(accelerator);
    const status = verdict.works ? "ok" : accelerator === "tcg" ? "problem" : "warning";
    const advice =
      status === "warning" ? { advice: `Without ${accelerator} guests are emulated: safe, but slower.` } : {};
    findings.push({ subject: `accelerator ${accelerator}`, status, detail: verdict.reason, ...advice });
  }
  return { findings, isolation: chosen };
}

function nodeFinding(): Finding {
  return { subject: "node", status: "ok", detail: process.version };
}

function systemFinding(): Finding {
  return {
    subject: "system",
    status: "ok",
    detail: `${distribution()}, ${process.platform} ${release()}, ${process.arch}`,
  };
}

async function homeFinding(): Promise<Finding> {
  const subject = "home";
  const { root } = home();
  try {
    await mkdir(root, { recursive: true });
    await access(root, constants.W_OK);
    const { bavail, bsize } = await statfs(root);
    const free = bavail * bsize;
    const detail = `${root}, ${prettyBytes(free, { binary: true })} free`;
    if (free >= LEAST_FREE_BYTES) return { subject, status: "ok", detail };
    return { subject, status: "warning", detail, advice: "Free some space, or move it with SUPERMACHINE_HOME." };
  } catch (error) {
    const detail = `${root} cannot be written: ${(error as Error).message}`;
    return { subject, status: "problem", detail, advice: "Set SUPERMACHINE_HOME to a folder that you may write to." };
  }
}

async function qemuFinding(): Promise<Finding> {
  try {
    const path = await locateQemu(hostArchitecture());
    if (!path) {
      const detail = `there is no ${qemuBinary(hostArchitecture())} on the PATH`;
      return { subject: "qemu", status: "problem", detail, advice: installHint() };
    }
    const { version } = await inspectQemu(path);
    return { subject: "qemu", status: "ok", detail: `${path}, version ${version}` };
  } catch (error) {
    return problem("qemu", error);
  }
}

async function entitlementFinding(): Promise<Finding> {
  const subject = "codesign";
  try {
    const path = await locateQemu(hostArchitecture());
    const missing = path !== undefined && (await hypervisorEntitlement(path)) === "missing";
    if (!missing) return { subject, status: "ok", detail: "QEMU may use the hypervisor" };
    const advice = "`supermachine codesign` signs it; without that guests are emulated.";
    return { subject, status: "warning", detail: "QEMU may not use the hypervisor", advice };
  } catch (error) {
    return { ...problem(subject, error), status: "warning" };
  }
}

async function setprivFinding(): Promise<Finding> {
  const path = await findProgram("setpriv");
  if (path) return { subject: "setpriv", status: "ok", detail: `${path} (no QEMU outlives its parent)` };
  const advice = "Install util-linux.";
  return { subject: "setpriv", status: "problem", detail: "there is no setpriv on the PATH", advice };
}

async function assetsFinding(work: LongWork): Promise<{ finding: Finding; assets?: Assets }> {
  try {
    const assets = await ensureAssets(work);
    const detail = `${assets.kernel.name}, agent and initramfs in ${home().assets}`;
    return { finding: { subject: "kernel", status: "ok", detail }, assets };
  } catch (error) {
    work.signal?.throwIfAborted();
    return { finding: problem("kernel", error) };
  }
}

function problem(subject: string, error: unknown): Finding {
  if (!SupermachineError.is(error)) throw error;
  const [detail = ""] = error.message.split("\n");
  return { subject, status: "problem", detail, ...(error.hint !== undefined && { advice: error.hint }) };
}
