import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

/** Whole seconds, long ago: what keeps its time has this one, and what does not, another. */
export const CONTEXT_TIME = 1_485_449_953;

/** Files of every kind that a context can have, for all cases of COPY and ADD. */
export function makeContext(folder: string): void {
  const at = (path: string) => join(folder, path);
  for (const path of FILES) {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), `${path}\n`);
  }
  for (const path of ["dir/empty", "dir/sub/none"]) mkdirSync(at(path), { recursive: true });
  writeFileSync(at("blank"), "");
  for (const [path, target] of Object.entries(LINKS)) symlinkSync(target, at(path));
  linkSync(at("hard/one"), at("hard/two"));
  linkSync(at("hard/one"), at("hard/deep/three"));
  for (const [path, mode] of Object.entries(MODES)) chmodSync(at(path), mode);
  chownSync(at("owned/by-99"), 99, 99);
  execFileSync("setfattr", ["-n", "user.note", "-v", "kept", at("attributes/file")]);
  makeArchives(folder);
  setTimes(folder);
}

const FILES = [
  ...["file", "other", "a name", "naïve.txt", ".hidden", "script.sh"],
  ...["dir/a", "dir/sub/b", "dir/.dot", "dir2/a", "dir2/c"],
  ...["many/1.txt", "many/2.txt", "many/3.md", "many/.hidden", "many/deep/4.txt", "many/a1/x", "many/a2/y"],
  ...["glob/n?pe/file", "glob/nope/file", "glob/st*uv/file", "glob/strauv/file", "glob/[xyz]/file", "glob/x/file"],
  ...["links/target/t", "links/real", "hard/one", "hard/deep/other", "attributes/file", "owned/by-99", "owned/by-root"],
  ...["modes/setuid", "modes/setgid", "modes/sticky", "modes/private", "modes/script", "modes/folder/in"],
];

const LINKS = {
  "links/to-file": "real",
  "links/to-folder": "target",
  "links/chain": "to-file",
  "links/outside": "/etc/passwd",
  "links/above": "../../../../etc/passwd",
  "links/nowhere": "nothing",
  "links/absolute": "/links/real",
};

const MODES = {
  "modes/setuid": 0o4755,
  "modes/setgid": 0o2755,
  "modes/sticky": 0o1644,
  "modes/private": 0o600,
  "modes/script": 0o755,
  "modes/folder": 0o711,
  modes: 0o1777,
  "dir/sub": 0o750,
  "script.sh": 0o755,
};

function makeArchives(folder: string): void {
  const tar = (name: string, ...args: string[]) =>
    execFileSync("tar", ["-C", folder, "-cf", join(folder, name), ...args]);
  const owner = ["--owner=12", "--group=34", "--numeric-owner"];
  const mtime = `--mtime=@${CONTEXT_TIME}`;
  tar("plain.tar", ...owner, mtime, "dir", "links", "hard", "modes");
  tar("packed.tar.gz", "-z", ...owner, mtime, "dir", "links", "hard", "modes");
  tar("packed.tar.xz", "-J", ...owner, mtime, "dir");
  tar("packed.tar.bz2", "-j", ...owner, mtime, "dir");
  tar("owners.tar", "--numeric-owner", mtime, "owned");
  tar("attributes.tar", "--xattrs", "--format=pax", mtime, "attributes");
  tar("dots.tar", ...owner, mtime, "./dir/a", "./dir/sub");
  tar("noparent.tar", ...owner, mtime, "dir/sub/b");
  tar("global.tar", "--format=pax", "--pax-option=globexthdr.name=g,comment=global", ...owner, mtime, "dir");
  tar("folder-x.tar", mtime, "--transform=s,^dir2,x,", "dir2");
  tar("file-x.tar", mtime, "--transform=s,^file,x,", "file");
  writeFileSync(join(folder, "not-an-archive.tar"), "only its name says so\n");
  execFileSync("mkfifo", [join(folder, "pipe.tmp")]);
  tar("special.tar", mtime, "--transform=s,pipe.tmp,made/pipe,", "pipe.tmp");
  execFileSync("rm", [join(folder, "pipe.tmp")]);
}

/** Of folders after what is in them. */
function setTimes(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) setTimes(path);
    lutimesSync(path, CONTEXT_TIME, CONTEXT_TIME);
  }
  lutimesSync(folder, CONTEXT_TIME, CONTEXT_TIME);
}
