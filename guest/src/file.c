#define _GNU_SOURCE
#include "paths.h"
#include "task.h"
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, SENDFILE_MAX = 1 << 20, DEFAULT_MODE = 0644 };

static uint8_t chunk[CHUNK];

static _Noreturn void cannot(int error, const char *doing, const char *path) {
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, path, strerror(error));
}

/* --- reading --- */

static bool write_all(int fd, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes += written;
    length -= (size_t)written;
  }
  return true;
}

/* For files that the kernel cannot send directly, such as those of /proc. */
static void copy_out(int fd, const char *path, uint64_t left) {
  while (left > 0) {
    ssize_t got = read(fd, chunk, left < CHUNK ? left : CHUNK);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot(errno, "reading", path);
    if (got == 0) return;
    if (!write_all(TASK_OUTPUT, chunk, (size_t)got)) _exit(1);
    left -= (uint64_t)got;
  }
}

static void send_out(int fd, const char *path, uint64_t left) {
  bool sent = false;
  while (left > 0) {
    ssize_t got = sendfile(TASK_OUTPUT, fd, NULL, left < SENDFILE_MAX ? left : SENDFILE_MAX);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && !sent && (errno == EINVAL || errno == ENOSYS)) break;
    if (got < 0) cannot(errno, "reading", path);
    /* Many files of /proc say that they are empty and have something to read all the same. */
    if (got == 0 && sent) return;
    if (got == 0) break;
    sent = true;
    left -= (uint64_t)got;
  }
  copy_out(fd, path, left);
}

void file_read_run(const struct file_request *request) {
  int fd = open(request->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat) < 0) cannot(errno, "opening", request->path);
  if (S_ISDIR(stat.st_mode)) cannot(EISDIR, "reading", request->path);
  if (request->offset > INT64_MAX) cannot(EINVAL, "seeking in", request->path);
  if (request->offset > 0 && lseek(fd, (off_t)request->offset, SEEK_SET) < 0) cannot(errno, "seeking in", request->path);
  send_out(fd, request->path, request->length);
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  write_uint(&writer, 1, 8, (uint64_t)stat.st_size);
  write_uint(&writer, 2, 4, stat.st_mode);
  write_uint(&writer, 3, 8, (uint64_t)stat.st_mtim.tv_sec * 1000000000 + (uint64_t)stat.st_mtim.tv_nsec);
  write_uint(&writer, 4, 4, stat.st_uid);
  write_uint(&writer, 5, 4, stat.st_gid);
  task_done(&writer);
}

/* --- writing --- */

/* What is removed when the writing does not come to its end. */
static char beside[PATH_LENGTH_MAX + 1];

static void give_up(int signal) {
  (void)signal;
  if (beside[0]) unlink(beside);
  _exit(1);
}

static _Noreturn void undo(int error, const char *doing, const char *path) {
  if (beside[0]) unlink(beside);
  cannot(error, doing, path);
}

static void copy_in(int fd, const char *path) {
  for (;;) {
    ssize_t got = read(TASK_INPUT, chunk, CHUNK);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) undo(errno, "receiving", path);
    if (got == 0) return;
    if (!write_all(fd, chunk, (size_t)got)) undo(errno, "writing", path);
  }
}

static _Noreturn void written(void) {
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  task_done(&writer);
}

static void resolve_owner(const struct file_request *request, struct user *user) {
  int error = user_resolve(user, request->user);
  if (error) task_fail(error, STAGE_USER, "user %.200s: not in /etc/passwd or /etc/group", request->user);
}

static void set_owner_and_mode(int fd, const char *path, uid_t uid, gid_t gid, mode_t mode) {
  struct stat stat;
  if (fstat(fd, &stat) < 0) undo(errno, "looking at", path);
  if ((stat.st_uid != uid || stat.st_gid != gid) && fchown(fd, uid, gid) < 0) undo(errno, "giving an owner to", path);
  /* After the owner: a change of owner clears set-user-ID. */
  if (fchmod(fd, mode) < 0) undo(errno, "setting the mode of", path);
}

/* A device or pipe cannot be replaced, only written to; and a part of a file is written where it is. */
static _Noreturn void write_in_place(const struct file_request *request, const char *path, bool exists) {
  static struct user user;
  bool parts = request->flags & WRITE_IN_PLACE;
  int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY;
  if (parts) flags |= (request->flags & WRITE_APPEND ? O_APPEND : 0) | (request->flags & WRITE_TRUNCATE ? O_TRUNC : 0);
  if (!exists) {
    resolve_owner(request, &user);
    int error = request->flags & WRITE_CREATE_PARENTS ? path_make_parents(path, user.uid, user.gid) : 0;
    if (error) cannot(error, "making the folders above", path);
    flags |= O_CREAT;
  }
  int fd = open(path, flags, 0600);
  if (fd < 0) cannot(errno, "opening", path);
  if (!exists) set_owner_and_mode(fd, path, user.uid, user.gid, request->has_mode ? request->mode : DEFAULT_MODE);
  if (request->offset > INT64_MAX) cannot(EINVAL, "seeking in", path);
  if (parts && request->offset > 0 && lseek(fd, (off_t)request->offset, SEEK_SET) < 0) cannot(errno, "seeking in", path);
  copy_in(fd, path);
  if (close(fd) < 0) cannot(errno, "writing", path);
  written();
}

static void replace(const struct file_request *request, const char *path, const struct stat *old) {
  static struct user user;
  resolve_owner(request, &user);
  bool given = request->user && *request->user;
  uid_t uid = given ? user.uid : old ? old->st_uid : geteuid();
  gid_t gid = given ? user.gid : old ? old->st_gid : getegid();
  mode_t mode = request->has_mode ? request->mode : old ? old->st_mode & 07777 : DEFAULT_MODE;
  int error = request->flags & WRITE_CREATE_PARENTS ? path_make_parents(path, uid, gid) : 0;
  if (error) cannot(error, "making the folders above", path);
  int fd = path_open_beside(path, beside);
  if (fd < 0) {
    beside[0] = 0;
    cannot(errno, "creating", path);
  }
  copy_in(fd, path);
  set_owner_and_mode(fd, path, uid, gid, mode);
  if (close(fd) < 0) undo(errno, "writing", path);
  if (rename(beside, path) < 0) undo(errno, "replacing", path);
  beside[0] = 0;
}

void file_write_run(const struct file_request *request) {
  static char path[PATH_LENGTH_MAX + 1];
  strcpy(path, request->path);
  umask(022);
  if (signal(SIGTERM, give_up) == SIG_ERR) cannot(errno, "preparing to write", path);
  int error = path_follow(path);
  if (error) cannot(error, "following", path);
  struct stat old;
  bool exists = stat(path, &old) == 0;
  if (!exists && errno != ENOENT) cannot(errno, "looking at", path);
  size_t length = strlen(path);
  if ((exists && S_ISDIR(old.st_mode)) || path[length - 1] == '/') cannot(EISDIR, "writing", path);
  if ((exists && !S_ISREG(old.st_mode)) || request->flags & WRITE_IN_PLACE) write_in_place(request, path, exists);
  replace(request, path, exists ? &old : NULL);
  written();
}
