import type { Command } from "commander";

/** What is known of a command before its module is loaded, which takes most of the time that a short command needs. */
export interface CommandEntry {
  name: string;
  /** One line for the list of commands; the command's own help begins with it, too. */
  description: string;
  load: () => Promise<Command>;
}

/** In the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "run",
    description: "run a command, or the image's own, in a new microVM and exit with its code",
    load: async () => (await import("./run.js")).runCommand(),
  },
  {
    name: "build",
    description: "build an image from a Dockerfile in microVMs, ready to run; prints its name",
    load: async () => (await import("./build.js")).buildCommand(),
  },
  {
    name: "exec",
    description: "run a command in a VM that runs in the background, and exit with its code",
    load: async () => (await import("./exec.js")).execCommand(),
  },
  {
    name: "cp",
    description: "copy files into a VM that runs in the background, or out of it",
    load: async () => (await import("./cp.js")).cpCommand(),
  },
  {
    name: "ps",
    description: "list the VMs that run in the background",
    load: async () => (await import("./ps.js")).psCommand(),
  },
  {
    name: "stats",
    description: "show what VMs take of this machine, live",
    load: async () => (await import("./stats.js")).statsCommand(),
  },
  {
    name: "top",
    description: "list the processes in a VM",
    load: async () => (await import("./top.js")).topCommand(),
  },
  {
    name: "logs",
    description: "print the output of a VM that runs, or ran, in the background",
    load: async () => (await import("./logs.js")).logsCommand(),
  },
  {
    name: "events",
    description: "print what happens to VMs: starts, ends, health, decisions about their network",
    load: async () => (await import("./events.js")).eventsCommand(),
  },
  {
    name: "inspect",
    description: "print what is known of VMs, as JSON",
    load: async () => (await import("./inspect.js")).inspectCommand(),
  },
  {
    name: "port",
    description: "print where the ports of a VM are reached on this machine",
    load: async () => (await import("./port.js")).portCommand(),
  },
  {
    name: "wait",
    description: "wait until VMs have ended, and print the exit codes of their workloads",
    load: async () => (await import("./wait.js")).waitCommand(),
  },
  {
    name: "stop",
    description: "end VMs: the stop signal to the workload, SIGKILL after the grace",
    load: async () => (await import("./stop.js")).stopCommand(),
  },
  {
    name: "kill",
    description: "send a signal to the workload of VMs",
    load: async () => (await import("./kill.js")).killCommand(),
  },
  {
    name: "pause",
    description: "let VMs stand still: they take no processor time, and keep their memory",
    load: async () => (await import("./pause.js")).pauseCommand(),
  },
  {
    name: "resume",
    description: "let paused VMs go on",
    load: async () => (await import("./pause.js")).resumeCommand("resume"),
  },
  {
    name: "unpause",
    description: "the same as resume, by docker's word",
    load: async () => (await import("./pause.js")).resumeCommand("unpause"),
  },
  {
    name: "start",
    description: "start VMs that have ended anew, as they were started before",
    load: async () => (await import("./start.js")).startCommand(),
  },
  {
    name: "restart",
    description: "end VMs in order and start them anew, restored from their snapshot",
    load: async () => (await import("./start.js")).restartCommand(),
  },
  {
    name: "fork",
    description: "clone a VM that runs; prints the clones' names",
    load: async () => (await import("./fork.js")).forkCommand(),
  },
  {
    name: "snapshot",
    description: "capture a VM that runs as a snapshot that can be run; prints the snapshot's folder",
    load: async () => (await import("./snapshot.js")).snapshotCommand(),
  },
  {
    name: "commit",
    description: "make an image of the files that a VM has now; prints its name",
    load: async () => (await import("./commit.js")).commitCommand(),
  },
  {
    name: "rm",
    description: "remove what is kept of VMs that have ended: their record and their output",
    load: async () => (await import("./rm.js")).rmCommand(),
  },
  {
    name: "pull",
    description: "pull an image and bake it, so that it runs at once; prints the snapshot's name",
    load: async () => (await import("./pull.js")).pullCommand(),
  },
  {
    name: "push",
    description: "copy an image or a snapshot to a registry; prints its name with the digest",
    load: async () => (await import("./push.js")).pushCommand(),
  },
  {
    name: "save",
    description: "write an image or a snapshot to a file or a folder; prints its path",
    load: async () => (await import("./save.js")).saveCommand(),
  },
  {
    name: "bundle",
    description: "write a snapshot with everything it needs to a folder that runs anywhere; prints its path",
    load: async () => (await import("./bundle.js")).bundleCommand(),
  },
  {
    name: "images",
    description: "list the snapshots that microVMs are started from, and what they take on disk",
    load: async () => (await import("./images.js")).imagesCommand(),
  },
  {
    name: "tag",
    description: "give an image further names, which share its snapshot; prints them",
    load: async () => (await import("./tag.js")).tagCommand(),
  },
  {
    name: "rmi",
    description: "remove snapshots by name, reference or digest; prints the names of those that were removed",
    load: async () => (await import("./rmi.js")).rmiCommand(),
  },
  {
    name: "volume",
    description: "disks that outlive microVMs: list, make, look at and remove them",
    load: async () => (await import("./volume.js")).volumeCommand(),
  },
  {
    name: "prune",
    description: "remove layers, templates and downloads that nothing refers to, and what killed processes left",
    load: async () => (await import("./prune.js")).pruneCommand(),
  },
  {
    name: "setup",
    description: "find or obtain QEMU, the guest's kernel and the agent, and choose the accelerator",
    load: async () => (await import("./setup.js")).setupCommand(),
  },
  {
    name: "doctor",
    description: "check this machine, boot a guest with each accelerator, and say what to do about problems",
    load: async () => (await import("./doctor.js")).doctorCommand(),
  },
  {
    name: "codesign",
    description: "on macOS, sign QEMU so that it may use the hypervisor; elsewhere there is nothing to do",
    load: async () => (await import("./codesign.js")).codesignCommand(),
  },
  {
    name: "entitlements-path",
    description: "print the path of the entitlements that QEMU needs on macOS, for codesign",
    load: async () => (await import("./entitlements-path.js")).entitlementsPathCommand(),
  },
  {
    name: "assets-path",
    description: "print the folder of the guest's kernel and agent",
    load: async () => (await import("./assets-path.js")).assetsPathCommand(),
  },
  {
    name: "completion",
    description: "print what makes bash, zsh or fish complete commands, options and names",
    load: async () => (await import("./completion.js")).completionCommand(),
  },
  {
    name: "version",
    description: "print the version of supermachine and of what it runs on",
    load: async () => (await import("./version.js")).versionCommand(),
  },
];
