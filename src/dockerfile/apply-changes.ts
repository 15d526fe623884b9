import { UsageError } from "../errors.js";
import type { ImageConfig } from "../oci/index.js";
import { buildScope } from "./build-scope.js";
import { evaluateStage } from "./evaluate.js";
import { dockerfileError } from "./location.js";
import { parseDockerfile } from "./parse.js";
import type { ContainerConfig } from "./step.js";

/** Those that `docker commit --change` takes, and MAINTAINER's successor is LABEL. */
const INSTRUCTIONS = new Set([
  ...["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "SHELL", "STOPSIGNAL", "USER", "VOLUME"],
  "WORKDIR",
]);

/**
 * Changes an image's configuration as instructions of a Dockerfile do, one text each.
 * @throws DockerfileError, UsageError for one that changes files
 */
export function applyChanges(base: ImageConfig, changes: readonly string[]): ContainerConfig {
  for (const change of changes) {
    if (/[\r\n]/.test(change)) throw new UsageError(`a change is one line: ${JSON.stringify(change)}`);
  }
  const file = parseDockerfile(["FROM scratch", ...changes].join("\n"), { fileName: "--change" });
  const [stage, another] = file.stages;
  const wrong = another?.from ?? stage?.instructions.find(({ name }) => !INSTRUCTIONS.has(name));
  if (wrong) {
    const hint = `A change is one of ${[...INSTRUCTIONS].join(", ")}.`;
    throw dockerfileError(wrong.location, `${wrong.name} cannot be a change of an image that is made already`, hint);
  }
  if (!stage) throw new Error("FROM was not understood");
  return evaluateStage(buildScope(file), stage, base).image.config ?? {};
}
