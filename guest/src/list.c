#define _GNU_SOURCE
#include "records.h"
#include "task.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void cannot(int error, const char *path) {
  task_fail(error, STAGE_OTHER, "looking at %.200s: %s", path, strerror(error));
}

static void say(const char *name, const struct stat *stat, const char *access) {
  struct writer writer = record_begin();
  write_string(&writer, 1, name);
  write_uint(&writer, 2, 4, stat->st_mode);
  write_uint(&writer, 3, 8, (uint64_t)stat->st_size);
  write_uint(&writer, 4, 8, (uint64_t)stat->st_mtim.tv_sec * 1000000000 + (uint64_t)stat->st_mtim.tv_nsec);
  write_uint(&writer, 5, 4, stat->st_uid);
  write_uint(&writer, 6, 4, stat->st_gid);
  write_uint(&writer, 7, 8, stat->st_ino);
  write_uint(&writer, 8, 4, stat->st_nlink);
  write_uint(&writer, 9, 8, (uint64_t)stat->st_blocks * 512);
  if (S_ISLNK(stat->st_mode)) {
    char target[PATH_LENGTH_MAX + 1];
    ssize_t length = readlink(access, target, sizeof target);
    if (length >= 0) write_bytes(&writer, 10, target, (size_t)length);
  }
  /* A name of 16 KiB is deeper than any path that could be given back to us. */
  if (!writer.full) record_end(&writer);
}

static void list(const char *path, bool recursive) {
  char *roots[] = {(char *)path, NULL};
  FTS *tree = fts_open(roots, FTS_PHYSICAL, NULL);
  if (!tree) cannot(errno, path);
  size_t prefix = strlen(path);
  for (FTSENT *entry; (errno = 0, entry = fts_read(tree));) {
    if (entry->fts_info == FTS_DP || entry->fts_info == FTS_NS) continue;
    if (entry->fts_level == 0 && entry->fts_info == FTS_D) continue;
    if (entry->fts_level == 0) cannot(entry->fts_errno ? entry->fts_errno : ENOTDIR, path);
    if (entry->fts_info == FTS_ERR) cannot(entry->fts_errno, entry->fts_path);
    const char *name = entry->fts_path + prefix;
    while (*name == '/') name++;
    /* One that cannot be read is told before, as FTS_D. */
    if (entry->fts_info != FTS_DNR) say(name, entry->fts_statp, entry->fts_accpath);
    if (!recursive && entry->fts_info == FTS_D) fts_set(tree, entry, FTS_SKIP);
  }
  if (errno) cannot(errno, path);
}

void list_run(const struct look_request *request) {
  struct stat stat_of_it;
  const char *path = request->path;
  bool self = request->flags & LIST_SELF;
  int error = (request->flags & LIST_FOLLOW || !self ? stat(path, &stat_of_it) : lstat(path, &stat_of_it)) < 0 ? errno : 0;
  if (!error && !self && !S_ISDIR(stat_of_it.st_mode)) error = ENOTDIR;
  if (error) cannot(error, path);
  if (self) {
    say(path, &stat_of_it, path);
  } else {
    /* The folder that a link names, not the link. */
    if (chdir(path) < 0) cannot(errno, path);
    list(".", request->flags & LIST_RECURSIVE);
  }
  records_flush();
  uint8_t bytes[16];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  task_done(&writer);
}
