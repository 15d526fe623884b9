#define _GNU_SOURCE
#include "copy.h"

#include "disk.h"
#include "paths.h"
#include "tar.h"
#include "task.h"
#include "workload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

enum { NAMES_MAX = 1 << 16, VALUE_MAX = 1 << 16 };

static struct segment segments[TAR_SEGMENTS_MAX];
/* Folders that something is mounted upon are empty. */
static bool one_file_system;

static void want(int error, const char *doing) {
  if (error) copy_fail(error, doing);
}

static void record_xattrs(int file) {
  static char names[NAMES_MAX], key[300];
  static uint8_t value[VALUE_MAX];
  ssize_t length = flistxattr(file, names, sizeof names);
  for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
    ssize_t size = fgetxattr(file, name, value, sizeof value);
    if (size < 0) continue;
    snprintf(key, sizeof key, "SCHILY.xattr.%.255s", name);
    tar_record(key, value, (size_t)size);
  }
}

/* File systems that are a view of the kernel. */
static bool is_pseudo(int folder) {
  static const uint32_t magics[] = {
    PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC, BPF_FS_MAGIC, SECURITYFS_MAGIC, MQUEUE_MAGIC,
  };
  struct statfs of;
  if (fstatfs(folder, &of) < 0) return false;
  for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
    if ((uint32_t)of.f_type == magics[i]) return true;
  }
  return false;
}

static uint64_t add_segment(size_t *count, uint64_t from, uint64_t to) {
  segments[(*count)++] = (struct segment){from, to - from};
  return to - from;
}

/* Finds what is stored of a sparse file, and how much that is; with too many parts the last holds all the rest. */
static size_t find_segments(int file, uint64_t size, uint64_t *stored) {
  size_t count = 0;
  *stored = 0;
  for (off_t at = 0; (uint64_t)at < size;) {
    off_t data = lseek(file, at, SEEK_DATA);
    if (data < 0 || (uint64_t)data >= size) break;
    off_t hole = lseek(file, data, SEEK_HOLE);
    uint64_t end = hole < 0 || (uint64_t)hole > size || count == TAR_SEGMENTS_MAX - 2 ? size : (uint64_t)hole;
    *stored += add_segment(&count, (uint64_t)data, end);
    at = (off_t)end;
  }
  /* GNU tar ends each map with the file's size. */
  add_segment(&count, size, size);
  return count;
}

static void out_file(int from, const char *name, struct tar_entry *entry) {
  struct stat of;
  int file = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (file < 0 || fstat(file, &of) < 0) copy_fail(errno, "reading");
  if (!S_ISREG(of.st_mode)) copy_fail(ESTALE, "reading");
  uint64_t size = (uint64_t)of.st_size;
  entry->of = &of;
  entry->stored = size;
  if ((uint64_t)of.st_blocks * 512 < size && size > 65536) {
    entry->segment_count = find_segments(file, size, &entry->stored);
    entry->segments = segments;
  }
  record_xattrs(file);
  want(tar_header(entry), "writing the header of");
  if (!entry->segments) want(tar_content(file, 0, size), "writing");
  for (size_t i = 0; i < entry->segment_count; i++) want(tar_content(file, segments[i].offset, segments[i].length), "writing");
  want(tar_pad(entry->stored), "writing");
  close(file);
}

static void out_entry(int from, const char *name, const char *as, dev_t parent);

static void out_folder(int from, const char *name, const struct stat *of, dev_t parent) {
  int folder = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) copy_fail(errno, "opening");
  static char slashed[2 * PATH_LENGTH_MAX];
  snprintf(slashed, sizeof slashed, "%s/", copy_where());
  struct tar_entry entry = {.name = slashed, .of = of, .type = '5'};
  record_xattrs(folder);
  want(tar_header(&entry), "writing the header of");
  bool below = of->st_dev == parent || (!one_file_system && !is_pseudo(folder));
  DIR *entries = fdopendir(folder);
  if (!entries) copy_fail(errno, "reading the folder");
  struct dirent *each;
  while (below && (errno = 0, each = readdir(entries))) {
    if (strcmp(each->d_name, ".") == 0 || strcmp(each->d_name, "..") == 0) continue;
    out_entry(folder, each->d_name, each->d_name, of->st_dev);
  }
  closedir(entries);
}

static void out_other(int from, const char *name, const struct stat *of) {
  static char target[PATH_LENGTH_MAX + 1];
  struct tar_entry entry = {.name = copy_where(), .of = of};
  if (S_ISLNK(of->st_mode)) {
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length < 0) copy_fail(errno, "reading the link");
    target[length] = 0;
    entry.link = target;
  }
  entry.type = S_ISLNK(of->st_mode) ? '2' : S_ISCHR(of->st_mode) ? '3' : S_ISBLK(of->st_mode) ? '4' : '6';
  want(tar_header(&entry), "writing the header of");
}

static void out_entry(int from, const char *name, const char *as, dev_t parent) {
  struct stat of;
  if (fstatat(from, name, &of, AT_SYMLINK_NOFOLLOW) < 0) {
    /* Removed since the folder was read. */
    if (errno == ENOENT && parent) return;
    copy_fail(errno, "looking at");
  }
  if (S_ISSOCK(of.st_mode)) return;
  size_t before = copy_enter(as);
  const char *known = !S_ISDIR(of.st_mode) && of.st_nlink > 1 ? copy_link_known(&of) : NULL;
  if (known) {
    struct tar_entry entry = {.name = copy_where(), .link = known, .of = &of, .type = '1'};
    want(tar_header(&entry), "writing the header of");
  } else if (S_ISDIR(of.st_mode)) {
    out_folder(from, name, &of, parent ? parent : of.st_dev);
  } else {
    if (of.st_nlink > 1) copy_link_note(&of, copy_where());
    struct tar_entry entry = {.name = copy_where(), .type = '0'};
    if (S_ISREG(of.st_mode)) out_file(from, name, &entry);
    else out_other(from, name, &of);
  }
  copy_goes_on(0, true);
  copy_leave(before);
}

static void goes_on(uint64_t bytes) { copy_goes_on(bytes, false); }

void copy_out_run(const struct copy_request *request) {
  static char path[PATH_LENGTH_MAX + 1];
  char device[64];
  uint64_t length = 0, size = disk_await(request->lun, request->timeout_ms, device);
  int disk = size ? open(device, O_WRONLY | O_DIRECT | O_CLOEXEC) : -1;
  if (disk < 0) task_fail(errno, STAGE_OTHER, "opening the disk of the copy: %s", strerror(errno));
  int error = workload_enter();
  if (error) task_fail(error, STAGE_OTHER, "the workload's root file system is not there: %s", strerror(error));
  copy_begin(request);
  one_file_system = request->flags & COPY_ONE_FILE_SYSTEM;
  want(tar_begin(&(struct tar_output){.fd = disk, .is_disk = true, .size = size, .goes_on = goes_on}), "preparing to copy");
  snprintf(path, sizeof path, "%s", request->path);
  errno = request->flags & COPY_FOLLOW ? path_follow(path) : 0;
  if (errno) copy_fail(errno, "following");
  char *slash = strrchr(path, '/');
  const char *name = slash[1] ? slash + 1 : ".";
  char folder[PATH_LENGTH_MAX + 1];
  snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
  int from = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (from < 0) copy_fail(errno, "opening the folder of");
  out_entry(from, name, request->on_disk ? request->on_disk : name, 0);
  want(tar_end(&length), "writing");
  close(disk);
  copy_done(length);
}
