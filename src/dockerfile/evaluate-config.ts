import type { CommandLine, HealthcheckInstruction, Instruction, KeyValue } from "./instruction.js";
import { dockerfileError, type Location, locateWord } from "./location.js";
import { parsePorts } from "./ports.js";
import { isSecretName } from "./secret-names.js";
import { isSignal } from "./signals.js";
import type { StageState } from "./stage-state.js";

/** An image with more has gone wrong; `EXPOSE 0-65535` for every protocol is as much. */
const MAX_PORTS = 200_000;

type Of<Name extends Instruction["name"]> = Extract<Instruction, { name: Name }>;
type ConfigInstruction = Exclude<Instruction, { name: "FROM" | "RUN" | "COPY" | "ADD" | "WORKDIR" }>;

/**
 * Applies an instruction that changes the configuration only.
 * @returns what the history says of it, or nothing when the history leaves it out
 * @throws DockerfileError
 */
export function evaluateConfig(state: StageState, instruction: ConfigInstruction): string {
  switch (instruction.name) {
    case "ARG":
      return declareArgs(state, instruction);
    case "ENV":
      return setEnv(state, instruction);
    case "LABEL":
      return setLabels(state, instruction);
    case "CMD":
      return setCmd(state, instruction);
    case "ENTRYPOINT":
      return setEntrypoint(state, instruction);
    case "EXPOSE":
      return expose(state, instruction);
    case "VOLUME":
      return addVolumes(state, instruction);
    case "HEALTHCHECK":
      return setHealthcheck(state, instruction);
    case "STOPSIGNAL":
      return setStopSignal(state, instruction);
    case "USER": {
      const user = state.expand(instruction.user, instruction.location);
      state.change({ User: user });
      return `USER ${user}`;
    }
    case "SHELL":
      state.change({ Shell: instruction.shell });
      return `SHELL ${list(instruction.shell)}`;
    case "MAINTAINER":
      state.image = { ...state.image, author: instruction.maintainer };
      return `MAINTAINER ${instruction.maintainer}`;
    case "ONBUILD":
      state.change({ OnBuild: [...(state.config.OnBuild ?? []), instruction.expression] });
      return "";
  }
}

/** A value given for the build wins over one before FROM, and that one only fills in where there is no default. */
function declareArgs(state: StageState, { args, location }: Of<"ARG">): string {
  const { buildArgs, globals } = state.scope;
  const shown = args.map(({ key, value }) => {
    warnOfSecret(state, "ARG", key, location);
    const byDefault = value === undefined ? globals.get(key) : undefined;
    const given = buildArgs.get(key) ?? byDefault ?? (value === undefined ? undefined : state.expand(value, location));
    state.args.set(key, given);
    if (given !== undefined) state.env.set(key, given);
    return given === undefined ? key : `${key}=${given}`;
  });
  state.checkCount(location);
  return `ARG ${shown.join(" ")}`;
}

/** All values are expanded with the variables as they were before the instruction. */
function setEnv(state: StageState, { env, location }: Of<"ENV">): string {
  const pairs = expandPairs(state, env, location, "ENV");
  for (const { key } of pairs) warnOfSecret(state, "ENV", key, location);
  state.setEnv(pairs, location);
  return `ENV ${shownPairs(pairs)}`;
}

function setLabels(state: StageState, { labels, location }: Of<"LABEL">): string {
  const pairs = expandPairs(state, labels, location, "LABEL");
  const added = Object.fromEntries(pairs.map(({ key, value }) => [key, value]));
  state.change({ Labels: { ...state.config.Labels, ...added } });
  return `LABEL ${shownPairs(pairs)}`;
}

function setCmd(state: StageState, instruction: Of<"CMD">): string {
  warnOfSecond(state, instruction);
  const argv = commandArgv(state, instruction.command, instruction);
  state.change({ Cmd: argv });
  return `CMD ${list(argv)}`;
}

/** The base's CMD was meant for the base's ENTRYPOINT. */
function setEntrypoint(state: StageState, instruction: Of<"ENTRYPOINT">): string {
  warnOfSecond(state, instruction);
  const argv = commandArgv(state, instruction.command, instruction);
  state.change({ Entrypoint: argv.length === 0 ? undefined : argv });
  if (!state.seen.has("CMD")) state.change({ Cmd: undefined });
  return `ENTRYPOINT ${list(argv)}`;
}

function expose(state: StageState, { ports, location }: Of<"EXPOSE">): string {
  const all = new Set<string>();
  for (const word of new Set(ports)) {
    for (const spec of state.expandWords(word, location)) {
      try {
        for (const port of parsePorts(spec)) all.add(port);
      } catch (error) {
        throw dockerfileError(locateWord(location, word), error instanceof Error ? error.message : String(error));
      }
      if (all.size > MAX_PORTS) throw dockerfileError(location, "these are too many ports");
    }
  }
  const added = Object.fromEntries([...all].map((port) => [port, {}]));
  state.change({ ExposedPorts: { ...state.config.ExposedPorts, ...added } });
  return `EXPOSE ${list([...all])}`;
}

function addVolumes(state: StageState, { paths, location }: Of<"VOLUME">): string {
  const volumes = paths.map((path) => {
    const volume = state.expand(path, location);
    if (volume !== "") return volume;
    throw dockerfileError(locateWord(location, path), `the path of a VOLUME is empty: ${path}`);
  });
  const added = Object.fromEntries(volumes.map((volume) => [volume, {}]));
  state.change({ Volumes: { ...state.config.Volumes, ...added } });
  return `VOLUME ${list(volumes)}`;
}

function setHealthcheck(state: StageState, instruction: HealthcheckInstruction): string {
  warnOfSecond(state, instruction);
  const { test, interval, timeout, startPeriod, startInterval, retries } = instruction.check;
  state.change({
    Healthcheck: {
      Test: test,
      Interval: interval || undefined,
      Timeout: timeout || undefined,
      StartPeriod: startPeriod || undefined,
      StartInterval: startInterval || undefined,
      Retries: retries || undefined,
    },
  });
  return instruction.text;
}

function setStopSignal(state: StageState, { signal, location }: Of<"STOPSIGNAL">): string {
  const expanded = state.expand(signal, location);
  if (!isSignal(expanded)) {
    const hint = "Write a name such as SIGTERM, or a number.";
    throw dockerfileError(locateWord(location, signal), `${JSON.stringify(expanded)} is no signal`, hint);
  }
  state.change({ StopSignal: expanded });
  return `STOPSIGNAL ${expanded}`;
}

function commandArgv(state: StageState, command: CommandLine, instruction: Of<"CMD"> | Of<"ENTRYPOINT">): string[] {
  if (command.form === "exec") return command.argv;
  if (!state.config.Shell?.length) {
    const message = `${instruction.name} without JSON runs in a shell, which keeps signals from the command`;
    state.warn("JSONArgsRecommended", message, instruction.location);
  }
  return [...state.shell, command.text];
}

function expandPairs(state: StageState, pairs: KeyValue[], at: Location, name: string): KeyValue[] {
  return pairs.map((pair) => {
    const key = state.expand(pair.key, at);
    if (key === "" || (name === "ENV" && key.includes("="))) {
      throw dockerfileError(locateWord(at, pair.key), `${JSON.stringify(key)} cannot be the name of an ${name}`);
    }
    return { key, value: state.expand(pair.value, at) };
  });
}

function warnOfSecond(state: StageState, { name, location }: Instruction): void {
  if (state.seen.has(name))
    state.warn("MultipleInstructionsDisallowed", `only the last ${name} of a stage counts`, location);
  state.seen.add(name);
}

function warnOfSecret(state: StageState, name: "ARG" | "ENV", key: string, at: Location): void {
  if (!isSecretName(key)) return;
  const message = `${name} ${key} looks like a secret, and the image would have it: use RUN --mount=type=secret`;
  state.warn("SecretsUsedInArgOrEnv", message, locateWord(at, key));
}

function shownPairs(pairs: KeyValue[]): string {
  return pairs.map(({ key, value }) => `${key}=${value}`).join(" ");
}

/** As Go prints a list. */
function list(values: readonly string[]): string {
  return `[${values.join(" ")}]`;
}
