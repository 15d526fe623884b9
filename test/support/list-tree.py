"""Lists paths below / as test/support/tree-listing.ts defines it. usage: list-tree.py NAMES.json (latin1 for bytes)"""

import hashlib
import json
import os
import stat
import sys

BLOCK = 4096
TYPES = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
    stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
}


def digest(path, size):
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for offset in range(0, size, BLOCK):
            block = file.read(BLOCK)
            if block.count(0) != len(block):
                total.update(b"%d:" % offset + block)
    return f"{size}:{total.hexdigest()}"


def describe(path):
    facts = os.lstat(path)
    kind = TYPES[stat.S_IFMT(facts.st_mode)]
    node = {
        "type": kind,
        "mode": format(stat.S_IMODE(facts.st_mode), "o"),
        "uid": facts.st_uid,
        "gid": facts.st_gid,
        "mtime": "%d.%09d" % divmod(facts.st_mtime_ns, 1_000_000_000),
        "nlink": facts.st_nlink,
    }
    names = os.listxattr(path, follow_symlinks=False)
    if names:
        node["xattrs"] = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
    if kind == "file":
        node["size"] = facts.st_size
        node["content"] = digest(path, facts.st_size)
    if kind == "symlink":
        node["target"] = os.readlink(path).decode("latin1")
    if kind in ("char", "block"):
        node["device"] = f"{os.major(facts.st_rdev)}:{os.minor(facts.st_rdev)}"
    return (facts.st_dev, facts.st_ino), node


listing, first = {}, {}
for name in sorted(json.load(open(sys.argv[1], encoding="utf-8"))):
    inode, node = describe(b"/" + name.encode("latin1"))
    earlier = first.setdefault(inode, name)
    listing[name] = node if earlier == name else {**node, "sameAs": earlier}
json.dump(listing, sys.stdout)
