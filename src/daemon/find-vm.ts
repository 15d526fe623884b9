import { UsageError } from "../errors.js";
import { isOver, listRecords, type VmRecord } from "./record.js";
import { RunningVm } from "./running-vm.js";

/** The VMs that run under supervisors, and with `all` those that have ended. */
export async function listVms(options: { all?: boolean | undefined } = {}): Promise<VmRecord[]> {
  const records = await listRecords();
  return options.all ? records : records.filter(({ status }) => !isOver(status));
}

/**
 * Finds a VM by what a user calls it: its name, one of its ports on the host, its image's name or reference, or the beginning of any of
 * these names where it fits one VM only. Nothing means the only one that runs.
 * @throws UsageError that lists the candidates when none or several fit
 */
export async function findVm(target?: string, options: { all?: boolean } = {}): Promise<RunningVm> {
  const records = await listVms(options);
  const found = target === undefined ? records : candidates(records, target);
  const [one, other] = found;
  if (one && !other) return new RunningVm(one.name);
  if (other) {
    const names = found.map(({ name, image }) => `${name} (${image})`).join(", ");
    throw new UsageError(target === undefined ? `several VMs run: ${names}` : `${target} can be ${names}`, {
      hint: "Name one.",
    });
  }
  const ended = target === undefined || options.all ? [] : candidates(await listVms({ all: true }), target);
  const wanted = target === undefined ? "no VM is running" : `no VM ${JSON.stringify(target)} is running`;
  throw new UsageError(ended[0] ? `${wanted}; ${ended[0].name} has ended` : wanted, {
    hint: ended[0]
      ? `\`supermachine logs ${ended[0].name}\` shows its output, \`supermachine start ${ended[0].name}\` starts it again.`
      : "`supermachine ps` lists them; `supermachine run --detach IMAGE` starts one.",
  });
}

/** The closest sense of what was typed counts. */
function candidates(records: readonly VmRecord[], target: string): VmRecord[] {
  const port = /^:?(\d{1,5})$/.exec(target)?.[1];
  const senses: ((record: VmRecord) => boolean)[] = [
    ({ name }) => name === target,
    ({ ports = [], http }) =>
      port !== undefined && [...ports, ...(http ? [http] : [])].some(({ hostPort }) => hostPort === Number(port)),
    ({ image, reference }) => image === target || reference === target,
    ({ name }) => name.startsWith(target),
    ({ image, reference }) => image.startsWith(target) || reference.startsWith(target),
  ];
  return senses.map((sense) => records.filter(sense)).find((each) => each.length > 0) ?? [];
}
