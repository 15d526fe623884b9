"""Random writes, cuts, mappings and reopenings of a file, compared with the same in memory: fsx in small. Usage: FILE ROUNDS SEED"""
import mmap, os, random, sys

path, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
choose = random.Random(seed)
expected = bytearray()
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)


def grow(size):
    if len(expected) < size:
        expected.extend(bytes(size - len(expected)))


def compare(what):
    size = os.fstat(fd).st_size
    content = os.pread(fd, len(expected) + 10, 0)
    if size != len(expected) or content != expected:
        sys.exit(f"differs after {what}: {size} bytes for {len(expected)}")


for round in range(rounds):
    at, length = choose.randrange(300_000), choose.randrange(1, 60_000)
    data = choose.randbytes(length)
    what = choose.choice(["write", "write", "append", "truncate", "map", "reopen", "other", "sync"])
    if what == "write":
        os.pwrite(fd, data, at)
        grow(at + length)
        expected[at : at + length] = data
    elif what == "append":
        with open(path, "ab") as other:
            other.write(data)
        expected.extend(data)
    elif what == "truncate":
        os.ftruncate(fd, at)
        del expected[at:]
        grow(at)
    elif what == "map" and expected:
        at %= len(expected)
        data = data[: len(expected) - at]
        with mmap.mmap(fd, len(expected)) as mapped:
            mapped[at : at + len(data)] = data
        expected[at : at + len(data)] = data
    elif what == "reopen":
        os.close(fd)
        os.rename(path, path + ".moved")
        os.rename(path + ".moved", path)
        fd = os.open(path, os.O_RDWR)
    elif what == "other":
        with open(path, "r+b") as other:
            other.seek(at)
            other.write(data)
        grow(at + length)
        expected[at : at + length] = data
    elif what == "sync":
        os.fsync(fd)
    compare(f"{what} in round {round}")
os.close(fd)
print("same", len(expected))
