import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Absolute paths of the folders in which everything is kept. */
export interface Home {
  root: string;
  assets: string;
  templates: string;
  layers: string;
  blobs: string;
  snapshots: string;
  volumes: string;
  run: string;
  vms: string;
  /** The local authority for TLS. */
  tls: string;
  /** What builds remember of their steps. */
  builds: string;
  /** Which snapshots there are outside of this home. */
  roots: string;
  /** What V8 has made of this package's programs. */
  code: string;
}

/**
 * Where things are kept: `SUPERMACHINE_HOME`, else `$XDG_DATA_HOME/supermachine`, else `~/.local/share/supermachine`.
 * `SUPERMACHINE_SNAPSHOTS` moves the snapshots alone. Read at every call, so that tests and embedders can change it.
 */
export function home(env: NodeJS.ProcessEnv = process.env): Home {
  const dataHome = env.XDG_DATA_HOME || join(homedir(), ".local", "share");
  const root = resolve(env.SUPERMACHINE_HOME || join(dataHome, "supermachine"));
  return {
    root,
    assets: join(root, "assets"),
    templates: join(root, "templates"),
    layers: join(root, "layers"),
    blobs: join(root, "blobs"),
    snapshots: env.SUPERMACHINE_SNAPSHOTS ? resolve(env.SUPERMACHINE_SNAPSHOTS) : join(root, "snapshots"),
    volumes: join(root, "volumes"),
    run: join(root, "run"),
    vms: join(root, "vms"),
    tls: join(root, "tls"),
    builds: join(root, "builds"),
    roots: join(root, "roots"),
    code: join(root, "code"),
  };
}
