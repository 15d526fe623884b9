import { writeFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { Command, Option } from "commander";
import {
  type BuildOptions,
  buildImage,
  type EgressPolicy,
  type ExportOptions,
  exportBuild,
  type FailedCommand,
  type PullPolicy,
  parseBuildContext,
  parseBuildOutput,
  parseCacheSource,
  parseCacheTarget,
  parseEnv,
  type RegistryAuth,
  UsageError,
} from "../index.js";
import { debugShell, requireTerminal } from "./build-debug.js";
import { addBuildRunOptions, type BuildRunFlags, buildRunOptions } from "./build-run-options.js";
import { onInterrupt } from "./interrupt.js";
import {
  collect,
  egressOf,
  egressOptions,
  memoryMiB,
  platformOption,
  pullOption,
  registryAuthOption,
  wholeNumber,
} from "./options.js";
import { type BuildProgressStyle, withBuildProgress } from "./progress/build.js";
import { quietOption } from "./progress/index.js";
import { printJson } from "./table.js";

interface BuildFlags extends BuildRunFlags {
  tag?: string[];
  file?: string;
  buildArg?: string[];
  buildContext?: string[];
  debug?: boolean;
  target?: string;
  cache: boolean;
  /** Commander takes what begins with no- for the opposite of it. */
  cacheFilter: string[];
  cacheFrom?: string[];
  cacheTo?: string[];
  label?: string[];
  iidfile?: string;
  output?: string[];
  metadataFile?: string;
  memory?: number;
  vcpus?: number;
  platform?: string;
  pull: PullPolicy;
  registryAuth?: RegistryAuth;
  egress?: boolean;
  enableEgress?: boolean;
  egressPolicy?: EgressPolicy;
  progress: BuildProgressStyle;
  quiet?: boolean;
  json?: boolean;
}

const EXAMPLES = `
Examples:
  supermachine build -t hello . && supermachine run hello
  supermachine build -t app --build-arg VERSION=1.2 -f docker/Dockerfile .
  supermachine build -t app:1.0 -t registry.example/team/app:latest . && supermachine run app:1.0
  supermachine build -t app:1.0 -o type=oci,dest=app.tar . && skopeo inspect oci-archive:app.tar
  supermachine build -t app --build-context shared=../shared --build-context base=docker-image://debian:12 .
  supermachine build -t app https://git.example/team/app.git#main:docker
  supermachine build -o bin --target artifacts .
  supermachine build -t app --ssh default --debug .
  supermachine build -t tests --target test --no-egress .
  printf 'FROM alpine:3.20\\nRUN apk add curl\\n' | supermachine build -t curl -f - .`;

/** `supermachine build`: an image from a Dockerfile, ready to run. */
export function buildCommand(): Command {
  const command = new Command("build")
    .argument("<path>", "folder that COPY and ADD take files from, or the URL of a git repository or an archive")
    .option("-t, --tag <name>", "name of the image; can be repeated", collect)
    .option("-f, --file <path>", "the Dockerfile, or - for standard input (default: PATH/Dockerfile)")
    .option("--build-arg <NAME=value>", "value of an ARG; a name alone takes its value from here", collect)
    .option("--build-context <name=what>", "folder, docker-image://IMAGE, oci-layout://PATH or URL for a name", collect)
    .option("--target <stage>", "the stage to build (default: the last one)")
    .option("--no-cache", "run every instruction anew")
    .addOption(noCacheFilterOption())
    .option("--debug", "open a shell in the machine of a command that failed")
    .option(
      "--cache-from <place>",
      "use what other machines have built: type=local,src=DIR, type=registry,ref=NAME",
      collect,
    )
    .option(
      "--cache-to <place>",
      "keep what was built for others: type=local,dest=DIR, type=registry,ref=NAME [,mode=max]",
      collect,
    )
    .option("--label <name=value>", "add a label to the image", collect)
    .option("--iidfile <path>", "write the image's id to a file")
    .option(
      "-o, --output <spec>",
      "write type=oci|docker|tar|local|squashfs|erofs,dest=PATH|- instead of a snapshot; repeatable",
      collect,
    )
    .option("--metadata-file <path>", "write what was made to a file, as JSON")
    .option("-m, --memory <size>", "memory of the image's microVMs, such as 512M or 2G (default 256M)", memoryMiB)
    .option("--vcpus <n>", "processors of the image's microVMs (default 1)", wholeNumber)
    .addOption(platformOption())
    .addOption(pullOption())
    .addOption(registryAuthOption())
    .addOption(progressOption())
    .addOption(quietOption())
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES);
  addBuildRunOptions(command);
  for (const option of egressOptions()) command.addOption(option);
  return command.action(run);
}

function progressOption(): Option {
  const styles: BuildProgressStyle[] = ["auto", "plain", "tty", "quiet", "rawjson"];
  return new Option("--progress <style>", "how to show progress, on stderr").choices(styles).default("auto");
}

function noCacheFilterOption(): Option {
  const option = new Option("--no-cache-filter <stages>", "run the instructions of these stages anew; comma-separated");
  return option.argParser(collect).default([], "none");
}

async function run(context: string, flags: BuildFlags): Promise<void> {
  if (flags.debug) requireTerminal();
  const signal = onInterrupt();
  const options: BuildOptions = {
    context,
    ...(flags.file === "-" ? { dockerfile: await text(process.stdin) } : { file: flags.file }),
    names: flags.tag,
    contexts: Object.fromEntries((flags.buildContext ?? []).map(parseBuildContext)),
    buildArgs: parseEnv(flags.buildArg ?? [], process.env),
    ...buildRunOptions(flags),
    labels: parseEnv(flags.label ?? []),
    target: flags.target,
    noCache: !flags.cache,
    noCacheFilter: flags.cacheFilter.flatMap((text) => text.split(",")),
    cacheFrom: flags.cacheFrom?.map(parseCacheSource),
    cacheTo: flags.cacheTo?.map(parseCacheTarget),
    memoryMiB: flags.memory,
    vcpus: flags.vcpus,
    platform: flags.platform,
    pull: flags.pull,
    registryAuth: flags.registryAuth,
    egress: flags.network === "none" ? "none" : egressOf(flags),
    signal,
  };
  const style = flags.quiet ? "quiet" : flags.progress;
  const outputs = flags.output?.map(parseBuildOutput);
  if (flags.json && outputs?.some(({ dest }) => dest === "-")) {
    throw new UsageError("standard output cannot have both JSON and an output", { hint: "Use --metadata-file." });
  }
  const made = await withBuildProgress(style, ({ endShowing, ...reports }) => {
    const onFailedCommand = (failed: FailedCommand) => {
      endShowing();
      return debugShell(failed, signal);
    };
    const all = { ...options, ...reports, onFailedCommand: flags.debug ? onFailedCommand : undefined };
    return outputs ? exported({ ...all, outputs }) : baked(all);
  });
  const { id, lines, facts } = made;
  if (flags.iidfile !== undefined && id !== undefined) await writeFile(flags.iidfile, id);
  if (flags.metadataFile !== undefined) await writeFile(flags.metadataFile, `${JSON.stringify(facts, null, 2)}\n`);
  if (flags.json) printJson(facts);
  else for (const line of lines) process.stdout.write(`${line}\n`);
}

/** What a build has made, for people and for programs. */
interface Made {
  id: string | undefined;
  lines: string[];
  facts: object;
}

async function baked(options: BuildOptions): Promise<Made> {
  const { id, names, steps } = await buildImage(options);
  return { id, lines: names, facts: { id, names, steps } };
}

async function exported(options: ExportOptions): Promise<Made> {
  const built = await exportBuild(options);
  const { outputs } = built;
  return {
    id: outputs.find(({ id }) => id)?.id,
    lines: outputs.map(({ path }) => path).filter((path) => path !== "-"),
    facts: built,
  };
}
