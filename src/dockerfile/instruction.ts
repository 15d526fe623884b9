import type { Location } from "./location.js";

/** What every instruction has. */
interface Common {
  location: Location;
  /** The instruction as written, with its continued lines joined and without heredocs. */
  text: string;
}

/** `NAME=VALUE`, not expanded yet. */
export interface KeyValue {
  key: string;
  value: string;
}

/** A document within the Dockerfile. */
export interface Heredoc {
  /** The word that ends it, without quotes; for COPY and ADD, the file's name. */
  name: string;
  content: string;
  /** False when any part of the name was quoted: then nothing in it is expanded. */
  expand: boolean;
  /** Written `<<-`: tabs at the start of its lines do not count. `content` still has them. */
  stripTabs: boolean;
}

/** A command line: one text for the shell, or arguments as they are. */
export type CommandLine = { form: "shell"; text: string } | { form: "exec"; argv: string[] };

/** `RUN --mount=...`, parsed when its variables are known. */
export interface MountFlag {
  text: string;
  /** The stage, image or named context of `from=`, in which no variables are expanded. */
  from: string | undefined;
}

export interface FromInstruction extends Common {
  name: "FROM";
  base: string;
  /** In lower case. */
  as: string | undefined;
  platform: string | undefined;
}

export interface ArgInstruction extends Common {
  name: "ARG";
  args: { key: string; value: string | undefined }[];
}

export interface EnvInstruction extends Common {
  name: "ENV";
  env: KeyValue[];
}

export interface LabelInstruction extends Common {
  name: "LABEL";
  labels: KeyValue[];
}

export interface RunInstruction extends Common {
  name: "RUN";
  command: CommandLine;
  heredocs: Heredoc[];
  mounts: MountFlag[];
  network: "default" | "none" | "host";
  security: "sandbox" | "insecure";
}

/** What COPY and ADD have in common. */
interface CopyLike extends Common {
  /** Paths and patterns, without the heredocs. */
  sources: string[];
  heredocs: Heredoc[];
  destination: string;
  chown: string | undefined;
  chmod: string | undefined;
  link: boolean;
  exclude: string[];
}

export interface CopyInstruction extends CopyLike {
  name: "COPY";
  from: string | undefined;
  parents: boolean;
}

export interface AddInstruction extends CopyLike {
  name: "ADD";
  checksum: string | undefined;
  keepGitDir: boolean;
  /** `undefined` is docker's habit: local archives are unpacked, downloaded ones are not. */
  unpack: boolean | undefined;
}

export interface CmdInstruction extends Common {
  name: "CMD";
  command: CommandLine;
}

export interface EntrypointInstruction extends Common {
  name: "ENTRYPOINT";
  command: CommandLine;
}

export interface ExposeInstruction extends Common {
  name: "EXPOSE";
  ports: string[];
}

export interface UserInstruction extends Common {
  name: "USER";
  user: string;
}

export interface WorkdirInstruction extends Common {
  name: "WORKDIR";
  path: string;
}

export interface VolumeInstruction extends Common {
  name: "VOLUME";
  paths: string[];
}

export interface ShellInstruction extends Common {
  name: "SHELL";
  shell: string[];
}

export interface StopSignalInstruction extends Common {
  name: "STOPSIGNAL";
  signal: string;
}

/** Times are in nanoseconds, as in an image's configuration; 0 is the runtime's default. */
export interface Healthcheck {
  test: string[];
  interval: number;
  timeout: number;
  startPeriod: number;
  startInterval: number;
  retries: number;
}

export interface HealthcheckInstruction extends Common {
  name: "HEALTHCHECK";
  check: Healthcheck;
}

export interface OnbuildInstruction extends Common {
  name: "ONBUILD";
  /** The trigger as it is stored in an image: its text, and its heredocs after it. */
  expression: string;
  trigger: Instruction;
}

export interface MaintainerInstruction extends Common {
  name: "MAINTAINER";
  maintainer: string;
}

/** One instruction, told apart by `name`. */
export type Instruction =
  | FromInstruction
  | ArgInstruction
  | EnvInstruction
  | LabelInstruction
  | RunInstruction
  | CopyInstruction
  | AddInstruction
  | CmdInstruction
  | EntrypointInstruction
  | ExposeInstruction
  | UserInstruction
  | WorkdirInstruction
  | VolumeInstruction
  | ShellInstruction
  | StopSignalInstruction
  | HealthcheckInstruction
  | OnbuildInstruction
  | MaintainerInstruction;

export type InstructionName = Instruction["name"];
