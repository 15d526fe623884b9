import { Command, InvalidArgumentError } from "commander";
import { findVm, listVms, type VmRecord, type VmStats } from "../index.js";
import { showLive } from "./live.js";
import { bytesText, cpuPart, percentText, sinceText } from "./quantities.js";
import { printJson, printTable, tableLines } from "./table.js";

interface PsFlags {
  all?: boolean;
  json?: boolean;
  quiet?: boolean;
  watch?: boolean;
  filter?: Filter[];
}

type Filter = (vm: VmRecord) => boolean;
type Listed = VmRecord & { stats?: VmStats | undefined };

const HEADER = ["NAME", "IMAGE", "STATE", "HEALTH", "PORTS", "CPU", "MEMORY", "COMMAND"];
const INTERVAL_MS = 2_000;
const COMMAND_LENGTH = 40;

const EXAMPLES = `
CPU is the part of one processor that the VM has used since it was started, with --watch since the last time; MEMORY what it has of
this machine for itself alone. Filters: name=TEXT, image=TEXT, status=STATUS, health=HEALTH, label=NAME[=VALUE].

Examples:
  supermachine ps
  supermachine ps --watch
  supermachine ps --all --filter status=failed
  supermachine ps --all --json | jq -r '.[].name'`;

/** `supermachine ps`: what runs in the background. */
export function psCommand(): Command {
  return new Command("ps")
    .option("-a, --all", "those that have ended, too")
    .option("-q, --quiet", "print names only")
    .option("-w, --watch", "show it live, until Ctrl-C")
    .option("-f, --filter <field=value>", "only some; given several times, all have to fit", addFilter)
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: PsFlags) => {
      if (flags.watch) return watch(flags);
      const vms = await wanted(flags);
      if (flags.quiet) return void process.stdout.write(vms.map(({ name }) => `${name}\n`).join(""));
      const listed = await Promise.all(vms.map(withStats));
      if (flags.json) return printJson(listed);
      printTable(
        HEADER,
        listed.map((vm) => row(vm)),
        { flexible: 7 },
      );
    });
}

async function watch(flags: PsFlags): Promise<void> {
  let former = new Map<string, VmStats | undefined>();
  await showLive(async () => {
    const listed = await Promise.all((await wanted(flags)).map(withStats));
    const rows = listed.map((vm) => row(vm, former.get(vm.name)));
    former = new Map(listed.map(({ name, stats }) => [name, stats]));
    return tableLines(HEADER, rows, { flexible: 7 });
  }, INTERVAL_MS);
}

async function wanted({ all, filter = [] }: PsFlags): Promise<VmRecord[]> {
  return (await listVms({ all })).filter((vm) => filter.every((fits) => fits(vm)));
}

async function withStats(vm: VmRecord): Promise<Listed> {
  if (vm.endedAt !== undefined && vm.status !== "running") return vm;
  const stats = await findVm(vm.name)
    .then((found) => found.stats())
    .catch(() => undefined);
  return { ...vm, stats };
}

function row(vm: Listed, former?: VmStats): string[] {
  const { name, image, health, stats, command } = vm;
  return [
    ...[name, image, state(vm), health?.status ?? "-", portsText(vm) || "-"],
    ...[percentText(cpuPart(stats, former)), bytesText(stats?.memoryBytes)],
    command.join(" ").replace(/\p{C}/gu, " ").slice(0, COMMAND_LENGTH),
  ];
}

function portsText({ http, ports = [] }: VmRecord): string {
  const served = http ? [`${http.hostPort}->${http.guestPort}/http`] : [];
  return [...served, ...ports.map(portText)].join(", ");
}

function portText({ protocol, host, hostPort, guestPort }: NonNullable<VmRecord["ports"]>[number]): string {
  const at = host === "127.0.0.1" ? hostPort : `${host.includes(":") ? `[${host}]` : host}:${hostPort}`;
  return `${at}->${guestPort}${protocol === "udp" ? "/udp" : ""}`;
}

function state({ status, startedAt, endedAt, exitCode, restarts, outOfMemory }: VmRecord): string {
  const again = restarts > 0 ? `, restarted ${restarts}x` : "";
  if (status === "running" && startedAt) return `up ${sinceText(startedAt)}${again}`;
  if (status === "exited" && endedAt)
    return `exited (${exitCode}${outOfMemory ? ", out of memory" : ""}) ${sinceText(endedAt)} ago${again}`;
  if (status === "asleep" && endedAt) return `asleep ${sinceText(endedAt)}${again}`;
  return `${status}${again}`;
}

function addFilter(text: string, former: Filter[] = []): Filter[] {
  const [, field, value = "", , labelValue] =
    /^(name|image|status|health|label)=(([^=]+)(?:=(.*))?)$/s.exec(text) ?? [];
  const label = value.split("=", 1)[0] ?? "";
  const filters: Record<string, Filter> = {
    name: ({ name }) => name.includes(value),
    image: ({ image, reference }) => image.includes(value) || reference.includes(value),
    status: ({ status }) => status === value,
    health: ({ health }) => (health?.status ?? "none") === value,
    label: ({ labels }) => Object.hasOwn(labels, label) && (labelValue === undefined || labels[label] === labelValue),
  };
  const filter = filters[field ?? ""];
  if (filter) return [...former, filter];
  throw new InvalidArgumentError("It is name=, image=, status=, health= or label= and a value.");
}
