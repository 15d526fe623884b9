#define _GNU_SOURCE
#include "unmount.h"

#include "request.h"
#include "stream.h"

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_MS = 20 };

/* The last mount of those kinds, which may be within another; false when there is none. */
static bool find_last(char path[PATH_LENGTH_MAX + 1]) {
  static char line[2 * PATH_LENGTH_MAX];
  FILE *mounts = setmntent("/proc/self/mounts", "re");
  if (!mounts) return false;
  bool found = false;
  struct mntent entry;
  while (getmntent_r(mounts, &entry, line, sizeof line)) {
    if (strcmp(entry.mnt_type, "ext4") != 0 && strcmp(entry.mnt_type, "fuse") != 0) continue;
    if (strlen(entry.mnt_dir) > PATH_LENGTH_MAX) continue;
    strcpy(path, entry.mnt_dir);
    found = true;
  }
  endmntent(mounts);
  return found;
}

void unmount_all(int64_t end_ms) {
  static char path[PATH_LENGTH_MAX + 1];
  while (find_last(path)) {
    /* Whoever was killed a moment ago may still be there; in the end the journal must do. */
    bool late = now_ms() >= end_ms;
    if (umount2(path, UMOUNT_NOFOLLOW | (late ? MNT_DETACH : 0)) == 0) continue;
    if (late || errno != EBUSY) return;
    struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    nanosleep(&pause, NULL);
  }
}
