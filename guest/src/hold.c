#include "hold.h"

#include "fuse.h"
#include "task.h"

enum {
  /* A small command under emulation needs 4 ms from its start to its end. */
  HOLD_MS = 8,
  /* So much is moved all the same: a request and its answer need not wait for a command that sleeps. */
  HOLD_BYTES = 1 << 16,
};

static struct {
  pid_t pid;        /* whose start it is for; 0 when there is none */
  size_t left;
  int64_t began_ms;
  int64_t next_ms;  /* not again before this, so that many commands hold up nothing for more than half of the time */
} hold;

void hold_begin(pid_t pid) {
  int64_t now = now_ms();
  /* What starts may lie in a folder of the host, and that comes over the bulk link. */
  if (hold.pid || now < hold.next_ms || fuse_in_use()) return;
  hold.pid = pid;
  hold.left = HOLD_BYTES;
  hold.began_ms = now;
}

/* The command has ended, or has had its time: long ago, perhaps, for while nothing has to wait nobody looks at the clock. */
static void finish(int64_t now) {
  if (hold_active()) hold.next_ms = now + (now - hold.began_ms);
  hold.pid = 0;
}

void hold_end(pid_t pid) {
  if (hold.pid == pid) finish(now_ms());
}

void hold_spend(size_t bytes) { hold.left -= bytes < hold.left ? bytes : hold.left; }

bool hold_active(void) { return hold.pid && hold.left == 0; }

int64_t hold_deadline(void) { return hold_active() ? hold.began_ms + HOLD_MS : INT64_MAX; }

void hold_expire(int64_t now) {
  if (hold.pid && now - hold.began_ms >= HOLD_MS) finish(now);
}
