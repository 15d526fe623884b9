import type { ImageConfig } from "../oci/index.js";
import type { Mount } from "./mount.js";
import type { StageInstruction } from "./parse.js";

/** How an image is run, as its configuration has it. */
export type ContainerConfig = NonNullable<ImageConfig["config"]>;

/** What every step has. */
interface Common {
  instruction: StageInstruction;
  /** Whether it came from the base's ONBUILD. */
  isTrigger: boolean;
  /** The instruction with its variables expanded, in one line, as progress shows it. */
  title: string;
  /** What the image's history says of it. */
  createdBy: string;
  /** The configuration after this step. Not to be changed. */
  config: ContainerConfig;
}

/** A command to run. */
export interface RunStep extends Common {
  kind: "run";
  argv: string[];
  /** A program that has to be there, executable, while the command runs. */
  file: { path: string; content: string } | undefined;
  /** The image's variables and the arguments that were declared. */
  env: ReadonlyMap<string, string>;
  /** Proxies that were given and not declared: they reach the command, and neither history nor cache knows of them. */
  proxies: ReadonlyMap<string, string>;
  workdir: string;
  /** As in USER; empty for root. */
  user: string;
  /** Their targets are absolute. */
  mounts: Mount[];
  network: "default" | "none" | "host";
  security: "sandbox" | "insecure";
}

/** Files to copy, from the context or from an image. */
export interface CopyStep extends Common {
  kind: "copy" | "add";
  /** A stage's name or index, an image or a named context; `undefined` is the context. */
  from: string | undefined;
  sources: string[];
  /** Heredocs: files whose content is in the Dockerfile, with mode 0644. */
  documents: { name: string; content: string }[];
  /** Absolute. It ends in `/` when it is a folder for certain. */
  destination: string;
  /** `user`, `user:group`, names or numbers; `undefined` for root. */
  chown: string | undefined;
  /** Octal digits, or clauses such as `u=rwX,go=rX`. */
  chmod: string | undefined;
  link: boolean;
  parents: boolean;
  exclude: string[];
  checksum: string | undefined;
  keepGitDir: boolean;
  unpack: boolean | undefined;
}

/** A folder that has to be there. */
export interface WorkdirStep extends Common {
  kind: "workdir";
  path: string;
  /** Whose it is when it has to be made, as in USER. */
  user: string;
}

/** Changes the configuration, and no file. */
export interface ConfigStep extends Common {
  kind: "config";
}

export type Step = RunStep | CopyStep | WorkdirStep | ConfigStep;
