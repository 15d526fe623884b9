#define _GNU_SOURCE
#include "tar.h"
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* A layer's archive as image-spec's layer.md has it: what the overlay keeps in its upper folder, with whiteouts as files. */

enum {
  KILL_MS = 10000,
  PAUSE_MS = 10,
  LINKS_MAX = 1 << 18,
  LINK_PATHS = 1 << 26,
  XATTR_NAMES = 1 << 16,
  XATTR_VALUE = 1 << 16,
};

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define OVERLAY "trusted.overlay."

static char name[PATH_LENGTH_MAX + 32];

static _Noreturn void cannot(int error, const char *doing, const char *path) {
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, path, strerror(error));
}

/* Nothing may change any more; what the workload has left running is of no use to anybody. */
static void end_workload(void) {
  if (!workload_isolated()) return;
  struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
  for (int64_t end = now_ms() + KILL_MS; kill(-1, SIGKILL) == 0 || errno != ESRCH;) {
    if (now_ms() >= end) task_fail(EBUSY, STAGE_OTHER, "processes of the command do not end");
    nanosleep(&pause, NULL);
  }
}

/* --- files with several names --- */

/* A table by inode number, and the first name of each; touched only as far as needed. */
static struct link { ino_t inode; uint32_t path; } *links;
static char *paths;
static uint32_t paths_used = 1, links_used;

static void *reserve(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) task_fail(errno, STAGE_OTHER, "no memory for the names of links");
  return memory;
}

/* The name under which the file was written before, or NULL: then it is remembered. */
static const char *first_name(const struct stat *stat) {
  if (!links) {
    links = reserve(LINKS_MAX * sizeof *links);
    paths = reserve(LINK_PATHS);
  }
  size_t slot = (size_t)((stat->st_ino * 0x9e3779b97f4a7c15ull) >> 40) % LINKS_MAX;
  for (; links[slot].path; slot = (slot + 1) % LINKS_MAX) {
    if (links[slot].inode == stat->st_ino) return paths + links[slot].path;
  }
  size_t length = strlen(name) + 1;
  if (links_used >= LINKS_MAX / 2 || length > LINK_PATHS - paths_used) task_fail(ENOMEM, STAGE_OTHER, "more than %d files with several names", LINKS_MAX / 2);
  links[slot].inode = stat->st_ino;
  links[slot].path = paths_used;
  memcpy(paths + paths_used, name, length);
  paths_used += (uint32_t)length;
  links_used++;
  return NULL;
}

/* --- entries --- */

/* True when the overlay says that the folder hides the one below. */
static bool add_xattrs(const FTSENT *entry) {
  static char names[XATTR_NAMES], value[XATTR_VALUE], key[XATTR_NAMES + 16];
  bool opaque = false;
  ssize_t total = llistxattr(entry->fts_accpath, names, sizeof names);
  if (total < 0 && errno == ENOTSUP) return false;
  if (total < 0) cannot(errno, "reading the attributes of", entry->fts_path);
  for (char *at = names; at < names + total; at += strlen(at) + 1) {
    ssize_t length = lgetxattr(entry->fts_accpath, at, value, sizeof value);
    if (length < 0) cannot(errno, "reading an attribute of", entry->fts_path);
    if (strncmp(at, OVERLAY, strlen(OVERLAY)) != 0) {
      snprintf(key, sizeof key, "SCHILY.xattr.%s", at);
      tar_record(key, value, (size_t)length);
    } else if (strcmp(at, OVERLAY "opaque") == 0 && length == 1 && value[0] == 'y') {
      opaque = true;
    }
  }
  return opaque;
}

static void put(const char *as, char type, const struct stat *of, const char *link, uint64_t size) {
  struct stat stat = *of;
  /* Whole seconds, as other builders write them; there was no time before 1970. */
  stat.st_mtim.tv_nsec = 0;
  if (stat.st_mtim.tv_sec < 0) stat.st_mtim.tv_sec = 0;
  struct tar_entry entry = {.name = as, .link = link, .of = &stat, .type = type, .stored = size};
  int error = tar_header(&entry);
  if (error == E2BIG) task_fail(error, STAGE_OTHER, "a file has more than 1 MiB of attributes");
  if (error) cannot(error, "writing the header of", as);
}

static void add_empty(const char *folder, const char *prefix, const char *of) {
  struct stat plain = {.st_mode = 0};
  char path[PATH_LENGTH_MAX + 300];
  int length = snprintf(path, sizeof path, "%s%s%s", folder, prefix, of);
  if (length > PATH_LENGTH_MAX) cannot(ENAMETOOLONG, "writing the whiteout of", folder);
  put(path, '0', &plain, NULL, 0);
}

static void add_folder(const FTSENT *entry) {
  size_t length = strlen(name);
  strcpy(name + length, "/");
  bool opaque = add_xattrs(entry);
  put(name, '5', entry->fts_statp, NULL, 0);
  if (opaque) add_empty(name, OPAQUE, "");
}

static void add_file(const FTSENT *entry) {
  const struct stat *stat = entry->fts_statp;
  int fd = open(entry->fts_accpath, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) cannot(errno, "opening", entry->fts_path);
  add_xattrs(entry);
  put(name, '0', stat, NULL, (uint64_t)stat->st_size);
  int error = tar_content(fd, 0, (uint64_t)stat->st_size);
  if (!error) error = tar_pad((uint64_t)stat->st_size);
  if (error) cannot(error, "reading", entry->fts_path);
  close(fd);
}

static void add_symlink(const FTSENT *entry) {
  char target[PATH_LENGTH_MAX + 1];
  ssize_t length = readlink(entry->fts_accpath, target, sizeof target - 1);
  if (length < 0) cannot(errno, "reading the link", entry->fts_path);
  target[length] = 0;
  add_xattrs(entry);
  put(name, '2', entry->fts_statp, target, 0);
}

static void add_whiteout(const FTSENT *entry) {
  *(strrchr(name, '/') + 1) = 0;
  add_empty(name, WHITEOUT, entry->fts_name);
}

static void add_special(const FTSENT *entry, char type) {
  add_xattrs(entry);
  put(name, type, entry->fts_statp, NULL, 0);
}

static void add(const FTSENT *entry) {
  const struct stat *stat = entry->fts_statp;
  if (S_ISCHR(stat->st_mode) && stat->st_rdev == 0) {
    add_whiteout(entry);
    return;
  }
  if (strncmp(entry->fts_name, WHITEOUT, strlen(WHITEOUT)) == 0) cannot(EINVAL, "a layer cannot hold a file of that name, which means a whiteout:", entry->fts_path);
  const char *first = stat->st_nlink > 1 && !S_ISDIR(stat->st_mode) ? first_name(stat) : NULL;
  if (first) put(name, '1', stat, first, 0);
  else if (S_ISDIR(stat->st_mode)) add_folder(entry);
  else if (S_ISREG(stat->st_mode)) add_file(entry);
  else if (S_ISLNK(stat->st_mode)) add_symlink(entry);
  else if (S_ISCHR(stat->st_mode)) add_special(entry, '3');
  else if (S_ISBLK(stat->st_mode)) add_special(entry, '4');
  else if (S_ISFIFO(stat->st_mode)) add_special(entry, '6');
  /* Sockets are of no use without their process, and tar has no letter for them. */
}

/* --- the tree --- */

/* Mount points of ours, which were made when they were missing. */
static bool is_ours(const FTSENT *entry, const struct layer_request *request) {
  static const char *const folders[] = {"./proc", "./sys", "./dev"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    if (entry->fts_level == 1 && S_ISDIR(entry->fts_statp->st_mode) && strcmp(name, folders[i]) == 0) return true;
  }
  if (!S_ISREG(entry->fts_statp->st_mode) || entry->fts_statp->st_size > 0) return false;
  for (size_t i = 0; i < request->count; i++) {
    if (strcmp(name + 1, request->left_out[i]) == 0) return true;
  }
  return false;
}

static void walk(const struct layer_request *request) {
  char *roots[] = {".", NULL};
  FTS *tree = fts_open(roots, FTS_PHYSICAL, NULL);
  if (!tree) cannot(errno, "reading", "the layer");
  for (FTSENT *entry; (errno = 0, entry = fts_read(tree));) {
    if (entry->fts_info == FTS_DP) continue;
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS) cannot(entry->fts_errno, "reading", entry->fts_path);
    if (entry->fts_pathlen > PATH_LENGTH_MAX) cannot(ENAMETOOLONG, "reading", entry->fts_path);
    strcpy(name, entry->fts_path);
    if (is_ours(entry, request)) fts_set(tree, entry, FTS_SKIP);
    else add(entry);
  }
  if (errno) cannot(errno, "reading", "the layer");
}

/* Folders that were made to mount upon, where the image hides those that are below all layers. */
static void drop_empty(const struct layer_request *request) {
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
  for (size_t i = 0; i < request->folder_count; i++) {
    snprintf(name, sizeof name, ".%s", request->folders[i]);
    char *slash = strrchr(name, '/');
    if (!slash) continue;
    *slash = 0;
    int above = (int)syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof how);
    if (above < 0) continue;
    if (unlinkat(above, slash + 1, AT_REMOVEDIR) < 0) errno = 0;
    close(above);
  }
}

void layer_run(const struct layer_request *request) {
  uint64_t length;
  end_workload();
  drop_empty(request);
  int error = tar_begin(&(struct tar_output){.fd = TASK_OUTPUT, .size = UINT64_MAX});
  if (error) cannot(error, "preparing to write", "the layer");
  walk(request);
  error = tar_end(&length);
  if (error) cannot(error, "writing", "the layer");
  uint8_t bytes[16];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  task_done(&writer);
}
