"""Several processes write to one SQLite database, with each kind of journal. Usage: FILE"""
import fcntl, os, sqlite3, sys

WRITERS, ROWS = 3, 20
for mode in ("delete", "wal"):
    path = f"{sys.argv[1]}-{mode}"
    database = sqlite3.connect(path)
    database.execute(f"pragma journal_mode={mode}")
    database.execute("create table t (n integer)")
    database.commit()
    children = []
    for _ in range(WRITERS):
        child = os.fork()
        if child == 0:
            own = sqlite3.connect(path, timeout=60)
            for n in range(ROWS):
                with own:
                    own.execute("insert into t values (?)", (n,))
            os._exit(0)
        children.append(child)
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("a writer failed")
    print(mode, *database.execute("select count(*), sum(n) from t").fetchone(), *database.execute("pragma integrity_check").fetchone())

with open(sys.argv[1] + "-lock", "w") as first, open(sys.argv[1] + "-lock", "w") as second:
    fcntl.flock(first, fcntl.LOCK_EX)
    try:
        fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sys.exit("two locks")
    except BlockingIOError:
        print("locked")
