import type { MountFlag, RunInstruction } from "./instruction.js";
import { dockerfileError, type Location, locateWord } from "./location.js";
import { type Mount, MountError, parseMount } from "./mount.js";
import { runScript } from "./parse-run.js";
import { joinPath, type StageState } from "./stage-state.js";
import type { RunStep } from "./step.js";

type Evaluated = Omit<RunStep, "instruction" | "isTrigger" | "title" | "config">;

/** @throws DockerfileError */
export function evaluateRun(state: StageState, instruction: RunInstruction): Evaluated {
  const { command, heredocs, mounts, network, security, location } = instruction;
  const script = command.form === "shell" ? runScript(command.text, heredocs) : undefined;
  const argv = command.form === "shell" ? [...state.shell, script?.script ?? ""] : command.argv;
  return {
    kind: "run",
    argv,
    file: script?.file,
    env: new Map(state.env),
    proxies: state.proxies(),
    workdir: state.workdir,
    user: state.config.User ?? "",
    mounts: mounts.map((mount) => evaluateMount(state, mount, location)),
    network,
    security,
    createdBy: `RUN ${[...declared(state), ...argv].join(" ")}`,
  };
}

/** The arguments that the command sees, as the history of docker's images has them. */
function declared(state: StageState): string[] {
  const args = [...state.args.keys()].map((name) => `${name}=${state.env.get(name) ?? ""}`);
  return args.length === 0 ? [] : [`|${args.length}`, ...args];
}

function evaluateMount(state: StageState, { text }: MountFlag, at: Location): Mount {
  try {
    const mount = parseMount(text, (value) => state.expand(value, at));
    if (mount.target === undefined) return mount;
    const target = joinPath(state.workdir, mount.target);
    if (target === "/") throw new MountError("a mount cannot hide the whole file system: its target is /");
    return { ...mount, target };
  } catch (error) {
    if (error instanceof MountError) throw dockerfileError(locateWord(at, text), error.message, error.hint);
    throw error;
  }
}
