#define _GNU_SOURCE
#include "paths.h"
#include "task.h"
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void cannot(int error, const char *doing, const char *path) {
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, path, strerror(error));
}

/* --- whole trees --- */

typedef int (*change_one)(const FTSENT *entry, const void *what);

/* Never through a link, whatever is done to the tree meanwhile. */
static void walk(const char *path, bool folders_last, change_one change, const void *what, const char *doing) {
  char *roots[] = {(char *)path, NULL};
  FTS *tree = fts_open(roots, FTS_PHYSICAL, NULL);
  if (!tree) cannot(errno, doing, path);
  for (FTSENT *entry; (errno = 0, entry = fts_read(tree));) {
    bool before = entry->fts_info == FTS_D, after = entry->fts_info == FTS_DP;
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR) cannot(entry->fts_errno, doing, entry->fts_path);
    /* Removed by somebody else. */
    if (entry->fts_info == FTS_NS && entry->fts_level > 0 && entry->fts_errno == ENOENT) continue;
    if (entry->fts_info == FTS_NS) cannot(entry->fts_errno, doing, entry->fts_path);
    if (folders_last ? before : after) continue;
    if (change(entry, what) < 0 && errno != ENOENT) cannot(errno, doing, entry->fts_path);
  }
  if (errno) cannot(errno, doing, path);
}

static int remove_one(const FTSENT *entry, const void *what) {
  (void)what;
  return unlinkat(AT_FDCWD, entry->fts_accpath, entry->fts_info == FTS_DP ? AT_REMOVEDIR : 0);
}

static int chmod_one(const FTSENT *entry, const void *what) {
  /* A link has no mode of its own. */
  return entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE ? 0 : fchmodat(AT_FDCWD, entry->fts_accpath, *(const mode_t *)what, 0);
}

struct owner {
  uid_t uid;
  gid_t gid;
};

static int chown_one(const FTSENT *entry, const void *what) {
  const struct owner *owner = what;
  return fchownat(AT_FDCWD, entry->fts_accpath, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW);
}

/* --- the changes --- */

static void make_folder(const struct change_request *request) {
  static struct user user;
  static char path[PATH_LENGTH_MAX + 1];
  int error = user_resolve(&user, request->user);
  if (error) cannot(error, "finding the owner of", request->path);
  strcpy(path, request->path);
  for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--) path[length - 1] = 0;
  bool parents = request->flags & CHANGE_PARENTS;
  error = parents ? path_make_parents(path, user.uid, user.gid) : 0;
  if (error) cannot(error, "making the folders above", path);
  if (mkdir(path, 0755) < 0) {
    struct stat stat_of_it;
    error = errno;
    if (error == EEXIST && parents && stat(path, &stat_of_it) == 0 && S_ISDIR(stat_of_it.st_mode)) return;
    cannot(error, "making", path);
  }
  if (user.uid != geteuid() && chown(path, user.uid, user.gid) < 0) cannot(errno, "giving an owner to", path);
  if (request->has_mode && chmod(path, request->mode) < 0) cannot(errno, "setting the mode of", path);
}

static void remove_it(const struct change_request *request) {
  const char *path = request->path;
  struct stat stat_of_it;
  if (lstat(path, &stat_of_it) < 0) {
    if (errno == ENOENT && request->flags & CHANGE_FORCE) return;
    cannot(errno, "removing", path);
  }
  if (S_ISDIR(stat_of_it.st_mode) && request->flags & CHANGE_RECURSIVE) walk(path, true, remove_one, NULL, "removing");
  else if (unlinkat(AT_FDCWD, path, S_ISDIR(stat_of_it.st_mode) ? AT_REMOVEDIR : 0) < 0) cannot(errno, "removing", path);
}

static void rename_it(const struct change_request *request) {
  /* A link is renamed itself; the parents of the new name are not made. */
  if (rename(request->path, request->target) < 0) cannot(errno, "renaming", request->path);
}

static void change_mode(const struct change_request *request) {
  mode_t mode = request->mode;
  if (request->flags & CHANGE_RECURSIVE) walk(request->path, false, chmod_one, &mode, "setting the mode of");
  else if (chmod(request->path, mode) < 0) cannot(errno, "setting the mode of", request->path);
}

static void change_owner(const struct change_request *request) {
  static struct user user;
  int error = user_resolve(&user, request->user);
  if (error) task_fail(error, STAGE_USER, "user %.200s: not in /etc/passwd or /etc/group", request->user);
  struct owner owner = {user.uid, user.gid};
  int flags = request->flags & CHANGE_NO_FOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
  if (request->flags & CHANGE_RECURSIVE) walk(request->path, false, chown_one, &owner, "giving an owner to");
  else if (fchownat(AT_FDCWD, request->path, owner.uid, owner.gid, flags) < 0) cannot(errno, "giving an owner to", request->path);
}

static void make_link(const struct change_request *request) {
  if (symlink(request->target, request->path) < 0) cannot(errno, "making the link", request->path);
}

void change_run(const struct change_request *request) {
  umask(022);
  switch (request->change) {
    case CHANGE_MKDIR: make_folder(request); break;
    case CHANGE_REMOVE: remove_it(request); break;
    case CHANGE_RENAME: rename_it(request); break;
    case CHANGE_CHMOD: change_mode(request); break;
    case CHANGE_CHOWN: change_owner(request); break;
    default: make_link(request);
  }
  uint8_t bytes[16];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  task_done(&writer);
}
