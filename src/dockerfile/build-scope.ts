import { formatPlatform, hostPlatform, type Platform, parsePlatform } from "../oci/index.js";
import { expandWord } from "./expand-word.js";
import { ExpansionError } from "./expansion-error.js";
import { dockerfileError, type Location, locateWord } from "./location.js";
import type { Dockerfile, Stage } from "./parse.js";
import { nearest } from "./suggest.js";
import type { DockerfileWarning } from "./warning.js";

const PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

export interface ScopeOptions {
  /** `--build-arg`. */
  buildArgs?: Readonly<Record<string, string>> | undefined;
  /** What is built for; this machine's by default. */
  platform?: Platform | undefined;
  /** What builds; this machine's by default. */
  buildPlatform?: Platform | undefined;
  /** The name of the stage that is wanted. */
  target?: string | undefined;
}

/** What is known before any stage: the build's arguments, and those that the file declares before its first FROM. */
export interface BuildScope {
  file: Dockerfile;
  platform: Platform;
  buildArgs: ReadonlyMap<string, string>;
  /** For FROM, and for ARG without a value in a stage. */
  globals: ReadonlyMap<string, string>;
  warnings: DockerfileWarning[];
}

/** @throws DockerfileError when a default cannot be expanded */
export function buildScope(file: Dockerfile, options: ScopeOptions = {}): BuildScope {
  const platform = options.platform ?? hostPlatform();
  const buildArgs = new Map(Object.entries(options.buildArgs ?? {}));
  const target = options.target ?? file.stages.at(-1)?.name ?? "";
  const globals = new Map<string, string>();
  for (const [name, value] of predefined(platform, options.buildPlatform ?? hostPlatform(), target)) {
    globals.set(name, buildArgs.get(name) ?? value);
  }
  const scope: BuildScope = { file, platform, buildArgs, globals, warnings: [] };
  for (const { args, location } of file.globalArgs) {
    for (const { key, value } of args) {
      const given = buildArgs.get(key) ?? (value === undefined ? undefined : expandGlobal(scope, value, location));
      if (given !== undefined) globals.set(key, given);
    }
  }
  return scope;
}

/** A stage's base and platform with their variables expanded. */
export interface ResolvedFrom {
  base: string;
  /** `undefined` for that of the build. */
  platform: Platform | undefined;
}

/** @throws DockerfileError */
export function resolveFrom(scope: BuildScope, stage: Stage): ResolvedFrom {
  const at = stage.from.location;
  const base = expandGlobal(scope, stage.base, at);
  if (base === "") {
    const hint = "Only ARG before the first FROM counts here; give it a default, or a value with --build-arg.";
    throw dockerfileError(locateWord(at, stage.base), `the name of the base is empty: ${stage.base}`, hint);
  }
  if (stage.platform === undefined) return { base, platform: undefined };
  const platform = expandGlobal(scope, stage.platform, at);
  try {
    return { base, platform: parsePlatform(platform) };
  } catch (cause) {
    const said = platform === stage.platform ? platform : `${stage.platform}, which is ${JSON.stringify(platform)},`;
    throw dockerfileError(
      locateWord(at, stage.platform),
      `${said} is not a platform`,
      "Write linux/amd64 or linux/arm64/v8.",
      cause,
    );
  }
}

/** Whether a build argument reaches commands without being declared. */
export function isProxy(name: string): boolean {
  return PROXIES.includes(name.toUpperCase());
}

/** Build arguments that no ARG declares, and that mean nothing by themselves. */
export function unusedBuildArgs(scope: BuildScope): string[] {
  const { file } = scope;
  const own = file.stages.flatMap((stage) => stage.instructions);
  const triggers = own.flatMap((each) => (each.name === "ONBUILD" ? [each.trigger] : []));
  const declared = new Set<string>();
  for (const each of [...file.globalArgs, ...own, ...triggers]) {
    if (each.name === "ARG") for (const { key } of each.args) declared.add(key);
  }
  const isKnown = (name: string) => name.startsWith("BUILDKIT_") || name === "SOURCE_DATE_EPOCH" || isProxy(name);
  return [...scope.buildArgs.keys()].filter(
    (name) => !declared.has(name) && !scope.globals.has(name) && !isKnown(name),
  );
}

function predefined(target: Platform, build: Platform, stage: string): [string, string][] {
  const of = (prefix: string, platform: Platform): [string, string][] => [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}OSVERSION`, ""],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ""],
  ];
  return [...of("BUILD", build), ...of("TARGET", target), ["TARGETSTAGE", stage]];
}

function expandGlobal(scope: BuildScope, word: string, at: Location): string {
  try {
    const { text, unset } = expandWord(word, scope.globals, { escape: scope.file.directives.escape });
    for (const name of unset) warnOfUnset(scope, name, at);
    return text;
  } catch (error) {
    if (error instanceof ExpansionError) throw dockerfileError(locateWord(at, word), `${word}: ${error.message}`);
    throw error;
  }
}

function warnOfUnset(scope: BuildScope, name: string, at: Location): void {
  if (scope.file.globalArgs.some(({ args }) => args.some(({ key }) => key === name))) return;
  const near = nearest(name, [...scope.globals.keys()]);
  const hint = near === undefined ? "" : `: did you mean $${near}?`;
  const location = locateWord(at, name);
  scope.warnings.push({ rule: "UndefinedArgInFrom", message: `no ARG before FROM declares $${name}${hint}`, location });
}
