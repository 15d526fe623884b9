import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { findVm, listVms, type VmStats } from "../index.js";
import { showLive } from "./live.js";
import { bytesText, cpuPart, percentText } from "./quantities.js";
import { printJson, printTable, tableLines } from "./table.js";

interface StatsFlags {
  /** commander's name for `--no-stream`. */
  stream: boolean;
  json?: boolean;
}

const HEADER = ["NAME", "CPU", "MEMORY", "GUEST MEMORY", "PROCESSES"];
const INTERVAL_MS = 1_000;
/** Between the two looks that processor time needs. */
const SAMPLE_MS = 500;

const EXAMPLES = `
CPU is the part of one processor in the last second; MEMORY what the VM has of this machine for itself alone, GUEST MEMORY what its
guest could use.

Examples:
  supermachine stats
  supermachine stats --no-stream web
  supermachine stats --json | jq '.[] | {name, memoryBytes}'`;

/** `supermachine stats`: what VMs take of this machine. */
export function statsCommand(): Command {
  return new Command("stats")
    .argument("[target...]", "VMs' names or beginnings of them, ports or images; without one, all that run")
    .option("--no-stream", "print it once")
    .option("--json", "print it once, as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (targets: string[], { stream, json }: StatsFlags) => {
      let former: Sample[] = [];
      const sample = async () => {
        const now = await samples(targets);
        const rows = now.map((each) => ({ ...each, cpu: cpuPart(each.stats, statsIn(former, each.name)) }));
        former = now;
        return rows;
      };
      if (stream && !json) return showLive(async () => tableLines(HEADER, (await sample()).map(row)), INTERVAL_MS);
      await sample();
      await sleep(SAMPLE_MS);
      const rows = await sample();
      if (json) return printJson(rows.map(({ name, cpu, stats }) => ({ name, cpu, ...stats })));
      printTable(HEADER, rows.map(row));
    });
}

interface Sample {
  name: string;
  stats: VmStats;
}

async function samples(targets: readonly string[]): Promise<Sample[]> {
  const names = targets.length > 0 ? undefined : (await listVms()).map(({ name }) => name);
  const taken = await Promise.all(
    (names ?? targets).map(async (target) => {
      // Those that were not named may end at any moment.
      const vm = await findVm(target).catch((error: unknown) => {
        if (!names) throw error;
      });
      const stats = await vm?.stats().catch(() => undefined);
      return vm && stats ? [{ name: vm.name, stats }] : [];
    }),
  );
  return taken.flat();
}

function statsIn(former: readonly Sample[], name: string): VmStats | undefined {
  return former.find((each) => each.name === name)?.stats;
}

function row({ name, cpu, stats }: Sample & { cpu: number | undefined }): string[] {
  const { memoryBytes, guestMemoryBytes, processes } = stats;
  return [name, percentText(cpu), bytesText(memoryBytes), bytesText(guestMemoryBytes), String(processes ?? "-")];
}
