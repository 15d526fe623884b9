import { UsageError } from "../errors.js";
import type { ResourceLimit } from "../guest/index.js";

/** RLIMIT_* as Linux numbers them, by the names that docker's --ulimit has for them. (asm-generic/resource.h) */
const RESOURCES = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const;

export type RlimitName = keyof typeof RESOURCES;

type Bound = number | "unlimited";

/** One bound for both limits. Seconds, bytes or a count, as getrlimit(2) has it. */
export type Rlimit = Bound | { soft: Bound; hard: Bound };

/** Limits of a process's resources by docker's names for them. */
export type Rlimits = Partial<Record<RlimitName, Rlimit>>;

/** @throws UsageError for what is no limit */
export function resourceLimits(limits: Rlimits): ResourceLimit[] {
  return Object.entries(limits).map(([name, value]) => {
    if (!Object.hasOwn(RESOURCES, name)) {
      throw new UsageError(`there is no limit ${JSON.stringify(name)}`, {
        hint: `There are ${Object.keys(RESOURCES).join(", ")}.`,
      });
    }
    const { soft, hard } = bounds(name, value);
    if (soft > hard) throw new UsageError(`the limit ${name} is ${soft}, above its hard limit ${hard}`);
    return { resource: RESOURCES[name as RlimitName], soft, hard };
  });
}

function bounds(name: string, value: Rlimit): { soft: number; hard: number } {
  const both = typeof value === "object" ? value : { soft: value, hard: value };
  const [soft, hard] = [both.soft, both.hard].map((each) => (each === "unlimited" ? Infinity : each));
  for (const each of [soft, hard]) {
    if (each === Infinity || (Number.isSafeInteger(each) && Number(each) >= 0)) continue;
    throw new UsageError(`the limit ${name} is ${each}; it is a whole number from 0, or "unlimited"`);
  }
  return { soft: Number(soft), hard: Number(hard) };
}

/** Parses docker's `NAME=SOFT[:HARD]`, -1 or `unlimited` for none. @throws UsageError */
export function parseUlimit(text: string): Rlimits {
  const match = /^([a-z]+)=(-1|unlimited|\d{1,15})(?::(-1|unlimited|\d{1,15}))?$/.exec(text);
  if (!match) {
    throw new UsageError(`${JSON.stringify(text)} is no limit`, {
      hint: "It is NAME=SOFT[:HARD], such as nofile=1024:4096.",
    });
  }
  const [, name = "", first = "", second = first] = match;
  const bound = (word: string) => (word === "-1" || word === "unlimited" ? "unlimited" : Number(word));
  const limits = { [name]: { soft: bound(first), hard: bound(second) } };
  resourceLimits(limits);
  return limits;
}
