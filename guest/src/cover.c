#define _GNU_SOURCE
#include "paths.h"
#include "root.h"
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mount.h, which cannot be included beside the C library's own header. */
enum { NR_OPEN_TREE = 428, NR_MOVE_MOUNT = 429, TREE_CLONE = 1, FROM_EMPTY_PATH = 4 };

/* Mounts of single files, by the number of the file; they are nowhere yet. */
static int trees[EXTRA_FILES_MAX];

static _Noreturn void cannot(const char *doing, const char *path) {
  int error = errno;
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, path, strerror(error));
}

static int take_along(const struct extra_file *file, const char *name) {
  int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) cannot("creating a file for", file->path);
  bool done = write(fd, file->content, file->length) == (ssize_t)file->length && fchmod(fd, file->mode) == 0;
  if (close(fd) < 0 || !done) cannot("writing a file for", file->path);
  int tree = (int)syscall(NR_OPEN_TREE, AT_FDCWD, name, TREE_CLONE | O_CLOEXEC);
  if (tree < 0) cannot("preparing to mount a file at", file->path);
  return tree;
}

void root_keep_layer(const struct assemble_request *request) {
  errno = workload_keep_layer("upper/data");
  if (errno) cannot("keeping the layer at", "upper");
  for (size_t i = 0; i < request->file_count; i++) {
    char name[32];
    snprintf(name, sizeof name, "file%zu", i);
    trees[i] = take_along(&request->files[i], name);
  }
}

static void make_file(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd >= 0) close(fd);
  else if (errno != EEXIST) cannot("making", path);
}

void root_make_places(const struct assemble_request *request) {
  static const char *const folders[] = {"places", "places/proc", "places/sys", "places/dev"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    if (mkdir(folders[i], 0755) < 0) cannot("making", folders[i]);
  }
  static char path[sizeof "places" + PATH_LENGTH_MAX];
  for (size_t i = 0; i < request->place_count; i++) {
    snprintf(path, sizeof path, "places%s", request->places[i]);
    errno = path_make_folders(path, 0, 0);
    if (errno) cannot("making the folder", path);
  }
  for (size_t i = 0; i < request->file_count; i++) {
    snprintf(path, sizeof path, "places%s", request->files[i].path);
    errno = path_make_parents(path, 0, 0);
    if (errno) cannot("making the folders above", path);
    make_file(path);
  }
}

/* Where the image hides the place or has a link there. What is made for that is empty, and left out when the layer is read. */
static void make_place(char path[PATH_LENGTH_MAX + 1]) {
  errno = path_follow(path);
  if (!errno) errno = path_make_parents(path, 0, 0);
  if (errno) cannot("making the folders above", path);
  make_file(path);
}

void root_cover_files(const struct assemble_request *request) {
  static char path[PATH_LENGTH_MAX + 1];
  for (size_t i = 0; i < request->file_count; i++) {
    snprintf(path, sizeof path, "%s", request->files[i].path);
    make_place(path);
    if (syscall(NR_MOVE_MOUNT, trees[i], "", AT_FDCWD, path, FROM_EMPTY_PATH) < 0) cannot("mounting a file at", path);
    close(trees[i]);
  }
}
