import type { ImageConfig, Platform } from "../oci/index.js";
import type { BuildScope } from "./build-scope.js";
import { isProxy } from "./build-scope.js";
import { type ExpandOptions, expandWord } from "./expand-word.js";
import { ExpansionError } from "./expansion-error.js";
import type { KeyValue } from "./instruction.js";
import { dockerfileError, type Location, locateWord } from "./location.js";
import type { ContainerConfig } from "./step.js";
import { nearest } from "./suggest.js";
import type { Warn } from "./warning.js";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_SHELL = ["/bin/sh", "-c"];
const MAX_VARIABLES = 10_000;
/** Among more than these nobody has misspelt one. */
const MAX_CANDIDATES = 200;

/** What a stage that begins where another one ends takes over from it. */
export interface Inherited {
  env: ReadonlyMap<string, string>;
  args: ReadonlyMap<string, string | undefined>;
}

/** A stage as it is after the instructions so far. */
export class StageState {
  readonly scope: BuildScope;
  /** What commands see: the image's variables, and the arguments declared so far. */
  readonly env: Map<string, string>;
  /** The arguments declared so far; one may have no value. */
  readonly args: Map<string, string | undefined>;
  image: ImageConfig;
  config: ContainerConfig;
  /** Whether this stage has had such an instruction. */
  readonly seen = new Set<string>();
  readonly warn: Warn;

  constructor(scope: BuildScope, image: ImageConfig, inherited: Inherited | undefined, warn: Warn) {
    this.scope = scope;
    this.image = image;
    this.warn = warn;
    this.config = { ...image.config, Env: [...(image.config?.Env ?? [])], OnBuild: undefined };
    const own = this.config.Env?.map(splitVariable) ?? [];
    if (!own.some(([name]) => name === "PATH")) {
      own.push(["PATH", DEFAULT_PATH]);
      this.config.Env?.push(`PATH=${DEFAULT_PATH}`);
    }
    this.env = new Map([...own, ...(inherited?.env ?? [])]);
    this.args = new Map(inherited?.args ?? []);
    if (this.config.WorkingDir) this.config.WorkingDir = joinPath("/", this.config.WorkingDir);
  }

  get workdir(): string {
    return this.config.WorkingDir || "/";
  }

  get shell(): readonly string[] {
    return this.config.Shell?.length ? this.config.Shell : DEFAULT_SHELL;
  }

  /** Changes the configuration; what earlier steps have of it stays as it is. */
  change(changes: Partial<ContainerConfig>): void {
    this.config = { ...this.config, ...changes };
  }

  /** Sets variables of the image. One that is there keeps its place. */
  setEnv(pairs: readonly KeyValue[], at: Location): void {
    const variables = new Map((this.config.Env ?? []).map(splitVariable));
    for (const { key, value } of pairs) {
      variables.set(key, value);
      this.env.set(key, value);
    }
    this.change({ Env: Array.from(variables, ([name, value]) => `${name}=${value}`) });
    this.checkCount(at);
  }

  /** @throws DockerfileError when there are more variables than a command can be started with */
  checkCount(at: Location): void {
    if (this.env.size > MAX_VARIABLES) throw dockerfileError(at, `there are more than ${MAX_VARIABLES} variables`);
  }

  /** @throws DockerfileError that shows the word */
  expand(word: string, at: Location, options: ExpandOptions = {}): string {
    return this.#expand(word, at, options).text;
  }

  /** One word that may become several, or none. @throws DockerfileError that shows the word */
  expandWords(word: string, at: Location): string[] {
    return this.#expand(word, at, {}).words;
  }

  /** The proxies among the build's arguments that no ARG has declared. */
  proxies(): Map<string, string> {
    const all = [...this.scope.buildArgs].filter(([name]) => isProxy(name) && !this.args.has(name));
    return new Map(
      all.flatMap(([name, value]) => [name.toUpperCase(), name.toLowerCase()].map((each) => [each, value])),
    );
  }

  #expand(word: string, at: Location, options: ExpandOptions) {
    try {
      const expansion = expandWord(word, this.env, { escape: this.scope.file.directives.escape, ...options });
      for (const name of expansion.unset) this.#warnOfUnset(name, at);
      return expansion;
    } catch (error) {
      if (!(error instanceof ExpansionError)) throw error;
      const shown = word.length > 100 ? `${word.slice(0, 100)}...` : word;
      throw dockerfileError(locateWord(at, word), `${shown}: ${error.message}`);
    }
  }

  #warnOfUnset(name: string, at: Location): void {
    if (this.args.has(name) || isProxy(name)) return;
    const near = this.env.size > MAX_CANDIDATES ? undefined : nearest(name, [...this.env.keys()]);
    this.warn(
      "UndefinedVar",
      `$${name} is not set${near === undefined ? "" : `: did you mean $${near}?`}`,
      locateWord(at, name),
    );
  }
}

/** An absolute path out of one that may be relative; without `.`, `..`, or a slash at its end. */
export function joinPath(folder: string, path: string): string {
  const parts: string[] = [];
  for (const part of (path.startsWith("/") ? path : `${folder}/${path}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** The configuration of an image with nothing in it. */
export function emptyImage(platform: Platform): ImageConfig {
  const { os, architecture, variant } = platform;
  return {
    architecture,
    os,
    variant,
    created: undefined,
    author: undefined,
    config: {} as ContainerConfig,
    rootfs: { type: "layers", diff_ids: [] },
    history: undefined,
  };
}

function splitVariable(text: string): [string, string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
