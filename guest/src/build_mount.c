#define _GNU_SOURCE
#include "build_mount.h"
#include "disk.h"
#include "paths.h"
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mount.h, which cannot be included beside the C library's own header. */
enum { NR_OPEN_TREE = 428, NR_MOVE_MOUNT = 429, TREE_CLONE = 1, FROM_EMPTY_PATH = 4, OPTIONS_MAX = 4096 };

static _Noreturn void cannot(const char *doing, const char *path) {
  int error = errno;
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, path, strerror(error));
}

static void make_folder(const char *path) {
  if (mkdir(path, 0755) < 0) cannot("making", path);
}

int mount_clone(int of, const char *path) {
  int tree = (int)syscall(NR_OPEN_TREE, of, path, TREE_CLONE | O_CLOEXEC | (path[0] ? 0 : AT_EMPTY_PATH));
  if (tree < 0) cannot("preparing the mount at", path);
  return tree;
}

/* --- files of layers --- */

void mount_enter_private_place(void) {
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) cannot("preparing", "a mount namespace");
  if (mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0755") < 0 || chdir("/mnt") < 0) cannot("preparing", "/mnt");
}

static void mount_layer(const struct mount_request *request, size_t index) {
  char device[64], folder[24];
  snprintf(folder, sizeof folder, "%zu", index);
  make_folder(folder);
  if (!disk_await(request->luns[index], request->timeout_ms, device)) cannot("waiting for the disk of", request->path);
  if (mount(device, folder, "erofs", MS_RDONLY | MS_NODEV, NULL) < 0) cannot("mounting the disk of", request->path);
}

/* What is written is in memory, until the mount is gone. */
static void add_upper(char *options, size_t layers) {
  struct stat top;
  char folder[24];
  snprintf(folder, sizeof folder, "%zu", layers - 1);
  make_folder("upper");
  make_folder("work");
  if (stat(folder, &top) < 0 || chown("upper", top.st_uid, top.st_gid) < 0 || chmod("upper", top.st_mode & 07777) < 0) cannot("preparing", "upper");
  strcat(options, ",upperdir=upper,workdir=work");
}

static void stack_layers(const struct mount_request *request, bool read_only) {
  static char options[OPTIONS_MAX];
  size_t used = (size_t)sprintf(options, "lowerdir=");
  for (size_t i = request->layers; i-- > 0;) used += (size_t)sprintf(options + used, "%zu%s", i, i ? ":" : "");
  strcat(options, ",metacopy=off,index=off,redirect_dir=nofollow");
  if (!read_only) add_upper(options, request->layers);
  make_folder("root");
  if (mount("overlay", "root", "overlay", MS_NODEV | (read_only ? MS_RDONLY : 0), options) < 0) cannot("stacking the layers of", request->path);
}

static int mount_layers(const struct mount_request *request) {
  bool read_only = (request->flags & MOUNT_READ_ONLY) != 0;
  const char *source = request->source ? request->source : "/";
  mount_enter_private_place();
  for (size_t i = 0; i < request->layers; i++) mount_layer(request, i);
  bool single = request->layers == 1 && read_only;
  if (!single) stack_layers(request, read_only);
  int root = open(single ? "0" : "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) cannot("opening the layers of", request->path);
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int found = (int)syscall(SYS_openat2, root, source, &how, sizeof how);
  if (found < 0) cannot("finding the mount's source", source);
  return mount_clone(found, "");
}

/* --- memory --- */

static int mount_memory(const struct mount_request *request) {
  char size[32];
  snprintf(size, sizeof size, "%llu", (unsigned long long)request->bytes);
  const struct mount_option options[] = {{request->bytes ? "size" : NULL, size}, {NULL, NULL}};
  int memory = disk_mount("tmpfs", "tmpfs", options, DISK_NO_DEVICES);
  if (memory < 0) cannot("mounting memory at", request->path);
  return memory;
}

/* An empty file of its own; what is written into it is in memory alone. */
static int mount_file(void) {
  mount_enter_private_place();
  int fd = open("file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) cannot("creating", "a file to mount");
  close(fd);
  return mount_clone(AT_FDCWD, "file");
}

static void make_place(char path[PATH_LENGTH_MAX + 1], bool folder) {
  errno = path_follow(path);
  if (!errno) errno = folder ? path_make_folders(path, 0, 0) : path_make_parents(path, 0, 0);
  if (errno) cannot("making the folder", path);
  int fd = folder ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd >= 0) close(fd);
  else if (!folder && errno != EEXIST) cannot("making", path);
}

void mount_move(int tree, const char *path) {
  static char place[PATH_LENGTH_MAX + 1];
  struct stat of;
  if (fstat(tree, &of) < 0) cannot("looking at the mount for", path);
  int error = workload_enter();
  if (error) task_fail(error, STAGE_OTHER, "the workload's root file system is not there: %s", strerror(error));
  snprintf(place, sizeof place, "%s", path);
  make_place(place, S_ISDIR(of.st_mode));
  if (syscall(NR_MOVE_MOUNT, tree, "", AT_FDCWD, place, FROM_EMPTY_PATH) < 0) cannot("mounting at", place);
}

void mount_run(const struct mount_request *request) {
  int tree = request->layers ? mount_layers(request) : (request->flags & MOUNT_FILE) ? mount_file() : mount_memory(request);
  mount_move(tree, request->path);
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  task_done(&writer);
}
