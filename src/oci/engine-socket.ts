import { existsSync } from "node:fs";
import { join } from "node:path";
import { NetworkError, UsageError } from "../errors.js";

/** A container engine of this machine that has docker's interface. */
export type EngineKind = "docker" | "podman";

const SETTINGS = { docker: "DOCKER_HOST", podman: "CONTAINER_HOST" } as const;
const HINTS = {
  docker: "Start docker, or set DOCKER_HOST to unix:///path/of/its.sock.",
  podman:
    "Start its service (systemctl --user start podman.socket), or set CONTAINER_HOST to unix:///path/of/its.sock.",
};

/**
 * The unix socket of an engine: what `DOCKER_HOST` (for podman `CONTAINER_HOST`) says, else the usual places.
 * @throws UsageError when that is something else than a socket, NetworkError when there is none
 */
export function engineSocket(kind: EngineKind, env: NodeJS.ProcessEnv = process.env): string {
  const setting = env[SETTINGS[kind]];
  if (setting) {
    const path = /^unix:\/\/(\/.+)$/.exec(setting)?.[1];
    if (path !== undefined) return path;
    throw new UsageError(`${SETTINGS[kind]} does not name a unix socket; other connections are not used here`, {
      hint: `Write unix:///path/of/its.sock, or save the image: ${kind} save.`,
    });
  }
  const places = usualPlaces(kind, env);
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new NetworkError(`${kind} is not running here: there is no ${places.join(" or ")}`, { hint: HINTS[kind] });
}

export function engineHint(kind: EngineKind): string {
  return HINTS[kind];
}

function usualPlaces(kind: EngineKind, env: NodeJS.ProcessEnv): string[] {
  const own = env.XDG_RUNTIME_DIR;
  if (kind === "docker") return ["/var/run/docker.sock", ...(own ? [join(own, "docker.sock")] : [])];
  return [...(own ? [join(own, "podman/podman.sock")] : []), "/run/podman/podman.sock"];
}
