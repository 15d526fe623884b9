#define _GNU_SOURCE
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 40, NAME_KEPT = 200 };

/* Length of the folder part with its slash; 0 for a bare name. */
static size_t folder_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash - path) + 1 : 0;
}

int path_follow(char *path) {
  char target[PATH_LENGTH_MAX + 1];
  for (int i = 0; i < LINKS_MAX; i++) {
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) return errno == EINVAL || errno == ENOENT ? 0 : errno;
    target[length] = 0;
    size_t kept = target[0] == '/' ? 0 : folder_length(path);
    if (kept + (size_t)length > PATH_LENGTH_MAX) return ENAMETOOLONG;
    memcpy(path + kept, target, (size_t)length + 1);
  }
  return ELOOP;
}

static int make_folder(const char *path, uid_t uid, gid_t gid) {
  if (mkdir(path, 0755) < 0) return errno == EEXIST ? 0 : errno;
  if (uid == 0 && gid == 0) return 0;
  return lchown(path, uid, gid) < 0 ? errno : 0;
}

int path_make_parents(const char *path, uid_t uid, gid_t gid) {
  char copy[PATH_LENGTH_MAX + 1];
  if (strlen(path) > PATH_LENGTH_MAX) return ENAMETOOLONG;
  strcpy(copy, path);
  for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    int error = make_folder(copy, uid, gid);
    if (error) return error;
    *slash = '/';
  }
  return 0;
}

int path_make_folders(const char *path, uid_t uid, gid_t gid) {
  int error = path_make_parents(path, uid, gid);
  return error ? error : make_folder(path, uid, gid);
}

int path_open_beside(const char *path, char *beside) {
  size_t folder = folder_length(path);
  int used = snprintf(beside, PATH_LENGTH_MAX + 1, "%.*s.%.*s.XXXXXX", (int)folder, path, NAME_KEPT, path + folder);
  if (used < 0 || used > PATH_LENGTH_MAX) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return mkostemp(beside, O_CLOEXEC);
}
