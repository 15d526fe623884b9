#define _GNU_SOURCE
#include "root.h"

#include "lun.h"
#include "paths.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { DEFAULT_TIMEOUT_MS = 10000, WAIT_MS = 20, SETTLE_MS = 1000, OPTIONS_MAX = 4096 };

static _Noreturn void cannot(const char *doing, const char *what) {
  int error = errno;
  task_fail(error, STAGE_OTHER, "%s %s: %s", doing, what, strerror(error));
}

/* --- layers --- */

static int try_layer(uint16_t lun, const char *folder) {
  char device[64];
  int error = lun_find(lun, device);
  if (error) return error;
  if (mount(device, folder, "erofs", MS_RDONLY, NULL) == 0) return 0;
  error = errno;
  /* Beyond the end of a disk whose size is not known yet there are zeros. */
  return (error == EINVAL || error == EIO) && lun_size(lun, device) == 0 ? ENOMEDIUM : error;
}

/* The disk may have been plugged in a moment ago, so it may still be on its way through the kernel. */
static bool on_its_way(int error) { return error == ENOENT || error == ENXIO || error == ENODEV || error == ENOMEDIUM; }

static void mount_layer(const struct assemble_request *request, size_t index, int64_t end) {
  uint16_t lun = request->luns[index];
  char folder[24];
  snprintf(folder, sizeof folder, "%zu", index);
  if (mkdir(folder, 0755) < 0) cannot("making a folder for layer", folder);
  int error = try_layer(lun, folder);
  if (on_its_way(error)) {
    lun_rescan(lun);
    error = try_layer(lun, folder);
  }
  while (on_its_way(error) && now_ms() < end) {
    lun_wait(WAIT_MS);
    error = try_layer(lun, folder);
  }
  /* Of a hundred disks plugged in at once on a busy host, one has been seen to have no content yet when it was mounted. */
  for (int64_t settled = now_ms() + SETTLE_MS; (error == EINVAL || error == EIO) && now_ms() < settled;) {
    lun_wait(WAIT_MS);
    error = try_layer(lun, folder);
  }
  if (on_its_way(error)) task_fail(ETIMEDOUT, STAGE_OTHER, "layer %zu of %zu (LUN %u): no such disk appeared in time", index + 1, request->layers, lun);
  if (error) task_fail(error, STAGE_OTHER, "layer %zu of %zu (LUN %u) cannot be mounted: %s", index + 1, request->layers, lun, strerror(error));
}

/* Highest first, and by short relative names: the options of a mount must fit in one page. */
static void lower_option(char *options, size_t layers, bool places) {
  size_t used = (size_t)sprintf(options, "lowerdir=");
  for (size_t i = layers; i-- > 0;) used += (size_t)sprintf(options + used, "%zu%s", i, i || places ? ":" : "");
  if (places) strcpy(options + used, "places");
}

/* The root folder of the stack is the upper layer's own, so it must look like the highest layer's. */
static void copy_root_attributes(size_t layers) {
  char top[24] = "places";
  struct stat stat_of_top;
  if (layers > 0) snprintf(top, sizeof top, "%zu", layers - 1);
  if (stat(top, &stat_of_top) < 0) cannot("looking at the root of layer", top);
  if (chown("upper/data", stat_of_top.st_uid, stat_of_top.st_gid) < 0) cannot("giving an owner to", "the root");
  if (chmod("upper/data", stat_of_top.st_mode & 07777) < 0) cannot("setting the mode of", "the root");
}

void root_stack(const struct assemble_request *request) {
  static char options[OPTIONS_MAX];
  bool places = request->flags & ASSEMBLE_KEEPS_LAYER;
  if (request->layers == 0 && !places && !request->disk) {
    root_mount_memory("root", request->tmpfs_bytes);
    return;
  }
  int64_t end = now_ms() + (request->timeout_ms ? request->timeout_ms : DEFAULT_TIMEOUT_MS);
  errno = lun_listen();
  if (errno) cannot("listening for disks of", "the virtio-scsi controller");
  for (size_t i = 0; i < request->layers; i++) mount_layer(request, i, end);
  if (places) root_make_places(request);
  else if (request->layers == 0 && mkdir("places", 0755) < 0) cannot("making", "an empty layer");
  root_mount_upper(request, "upper");
  if (mkdir("upper/data", 0755) < 0 || mkdir("upper/work", 0755) < 0 || mkdir("root", 0755) < 0) cannot("making", "upper");
  copy_root_attributes(request->layers);
  lower_option(options, request->layers, places || request->layers == 0);
  /* Its disk does not outlive the machine, so nothing is flushed to it. */
  if (request->disk) strcat(options, ",volatile");
  strcat(options, ",upperdir=upper/data,workdir=upper/work,metacopy=off,index=off,redirect_dir=nofollow");
  if (mount("overlay", "root", "overlay", 0, options) < 0) cannot("stacking the layers of", "the root");
}

void root_enter(void) {
  if (chdir("root") < 0) cannot("entering", "the root");
  if (syscall(SYS_pivot_root, ".", ".") < 0) cannot("pivoting to", "the root");
  if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) cannot("leaving", "the agent's root");
}

/* --- what every Linux process expects --- */

/* A mount point must be a folder of the root itself: a link in its place would put the mount where the image wants it. */
static void mount_on(const char *type, const char *path, unsigned long flags, const char *options) {
  struct stat stat;
  if (mkdir(path, 0755) < 0 && errno != EEXIST) cannot("making", path);
  if (lstat(path, &stat) < 0) cannot("looking at", path);
  if (!S_ISDIR(stat.st_mode)) {
    errno = ENOTDIR;
    cannot("mounting on", path);
  }
  if (mount(type, path, type, flags, options) < 0) cannot("mounting", path);
}

static void make_device(const char *path, unsigned major_number, unsigned minor_number) {
  if (mknod(path, S_IFCHR | 0666, makedev(major_number, minor_number)) < 0) cannot("making", path);
}

static void make_link(const char *target, const char *path) {
  if (symlink(target, path) < 0) cannot("making", path);
}

static void populate_dev(uint64_t shm_bytes) {
  char shm[48] = "mode=1777";
  if (shm_bytes) snprintf(shm, sizeof shm, "mode=1777,size=%llu", (unsigned long long)shm_bytes);
  make_device("/dev/null", 1, 3);
  make_device("/dev/zero", 1, 5);
  make_device("/dev/full", 1, 7);
  make_device("/dev/random", 1, 8);
  make_device("/dev/urandom", 1, 9);
  make_device("/dev/tty", 5, 0);
  make_device("/dev/console", 5, 1);
  if (chmod("/dev/console", 0600) < 0) cannot("setting the mode of", "/dev/console");
  mount_on("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mount_on("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, shm);
  mount_on("mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  make_link("pts/ptmx", "/dev/ptmx");
  make_link("/proc/self/fd", "/dev/fd");
  make_link("/proc/self/fd/0", "/dev/stdin");
  make_link("/proc/self/fd/1", "/dev/stdout");
  make_link("/proc/self/fd/2", "/dev/stderr");
}

/* The agent's own ports, in case somebody looks for devices to talk to; their nodes are not in the workload's /dev. */
static void hide(const char *path) {
  if (access(path, F_OK) < 0) return;
  if (mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0555") < 0) cannot("hiding", path);
}

void root_populate(const struct assemble_request *request) {
  mode_t mask = umask(0);
  mount_on("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_on("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  hide("/sys/class/virtio-ports");
  if (access("/sys/fs/cgroup", F_OK) == 0) mount_on("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_on("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=0755,size=1m");
  populate_dev(request->shm_bytes);
  umask(mask);
}

/* --- kernel parameters --- */

/* As sysctl(8): a dot separates, unless a slash comes first, which then does. */
static void set_sysctl(const char *text) {
  static char path[sizeof "/proc/sys/" + SYSCTL_LENGTH_MAX];
  size_t length = strcspn(text, "=");
  const char *value = text + length + 1;
  snprintf(path, sizeof path, "/proc/sys/%.*s", (int)length, text);
  char *name = path + strlen("/proc/sys/");
  bool dots = name[strcspn(name, "./")] == '.';
  for (char *at = name; *at; at++) {
    if (*at == '.' && dots) *at = '/';
    else if (*at == '/' && dots) *at = '.';
  }
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) cannot("opening the kernel parameter", path);
  bool done = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
  if (!done) cannot("setting the kernel parameter", path);
  close(fd);
}

void root_set_sysctls(const struct assemble_request *request) {
  for (size_t i = 0; i < request->sysctl_count; i++) set_sysctl(request->sysctls[i]);
}

/* --- files --- */

static void write_file(const struct extra_file *file) {
  static char beside[PATH_LENGTH_MAX + 1];
  errno = path_make_parents(file->path, 0, 0);
  if (errno) cannot("making the folders above", file->path);
  int fd = path_open_beside(file->path, beside);
  if (fd < 0) cannot("creating", file->path);
  bool done = write(fd, file->content, file->length) == (ssize_t)file->length && fchmod(fd, file->mode) == 0;
  if (close(fd) < 0 || !done || rename(beside, file->path) < 0) cannot("writing", file->path);
}

void root_write_files(const struct assemble_request *request) {
  for (size_t i = 0; i < request->file_count; i++) write_file(&request->files[i]);
}
