#define _GNU_SOURCE
#include "copy.h"

#include "stream.h"
#include "task.h"
#include "users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { REPORT_MS = 200, FOLDER_FDS = 16384, NAMES_MAX = 65536, VALUE_MAX = 65536, AHEAD = 1 << 20, INODE_UNIT = 32 };

static volatile sig_atomic_t stopped;
static struct user owner;
static bool is_owned, has_xattrs;
/* The path below the first folder of what is being copied. */
static char where[2 * PATH_LENGTH_MAX];
static size_t where_used;
/* What is half made. */
static const char *tree;
static int half_in = -1;
static char half_name[64];
static int root_of_links = -1;

static uint64_t files, bytes;
static int64_t reported_ms;

static int device = -1;
static uint64_t ahead_from = UINT64_MAX;

void copy_reads_ahead_of(int fd) {
  if (device >= 0) close(device);
  device = fd;
}

/* An inode's number in EROFS says where it is; small files are there as a whole. */
static void read_ahead(uint64_t inode) {
  uint64_t from = inode * INODE_UNIT / AHEAD * AHEAD;
  if (device < 0 || from == ahead_from) return;
  ahead_from = from;
  (void)posix_fadvise(device, (off_t)from, AHEAD, POSIX_FADV_WILLNEED);
}

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

void copy_begin(const struct copy_request *request) {
  struct rlimit fds = {FOLDER_FDS, FOLDER_FDS};
  struct sigaction action = {.sa_handler = stop};
  umask(0);
  /* Two for each folder on the way; without them a path that deep fails, and says so. */
  (void)setrlimit(RLIMIT_NOFILE, &fds);
  if (sigaction(SIGTERM, &action, NULL) < 0) copy_fail(errno, "preparing to copy");
  has_xattrs = request->flags & COPY_XATTRS;
  is_owned = request->owner && *request->owner;
  int error = is_owned ? user_resolve(&owner, request->owner) : 0;
  if (error) task_fail(error, STAGE_USER, "user %.200s: not in /etc/passwd or /etc/group", request->owner);
}

/* --- its end --- */

static void remove_tree(const char *path) {
  char *roots[] = {(char *)path, NULL};
  FTS *found = fts_open(roots, FTS_PHYSICAL, NULL);
  if (!found) return;
  for (FTSENT *entry; (entry = fts_read(found));) {
    if (entry->fts_info == FTS_D) continue;
    if (unlinkat(AT_FDCWD, entry->fts_accpath, entry->fts_info == FTS_DP ? AT_REMOVEDIR : 0) < 0) continue;
  }
}

void copy_is_made_at(const char *path) { tree = path; }

void copy_fail(int error, const char *doing) {
  if (half_name[0]) unlinkat(half_in, half_name, 0);
  if (tree) remove_tree(tree);
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, where_used ? where : "it", strerror(error));
}

size_t copy_enter(const char *name) {
  size_t before = where_used;
  int used = snprintf(where + before, sizeof where - before, "%s%s", before ? "/" : "", name);
  if (used < 0 || before + (size_t)used >= sizeof where) copy_fail(ENAMETOOLONG, "copying");
  where_used += (size_t)used;
  return before;
}

void copy_leave(size_t before) {
  where_used = before;
  where[before] = 0;
}

const char *copy_where(void) { return where; }

static void report(void) {
  uint64_t figures[2] = {files, bytes};
  if (write(TASK_OUTPUT, figures, sizeof figures) < 0) stopped = 1;
  reported_ms = now_ms();
}

void copy_goes_on(uint64_t more_bytes, bool another_file) {
  bytes += more_bytes;
  files += another_file;
  if (stopped) copy_fail(EINTR, "copying");
  if (now_ms() - reported_ms >= REPORT_MS) report();
}

void copy_done(uint64_t length) {
  uint8_t result[RESULT_SIZE];
  struct writer writer = {.bytes = result, .size = sizeof result};
  write_kind(&writer, RESULT_DONE);
  write_uint(&writer, 1, 8, files);
  write_uint(&writer, 2, 8, bytes);
  if (length) write_uint(&writer, 3, 8, length);
  task_done(&writer);
}

/* --- attributes --- */

static void copy_xattrs(int source, int target) {
  static char names[NAMES_MAX];
  static uint8_t value[VALUE_MAX];
  ssize_t length = flistxattr(source, names, sizeof names);
  if (length < 0 && errno != EOPNOTSUPP) copy_fail(errno, "reading the attributes of");
  for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
    ssize_t size = fgetxattr(source, name, value, sizeof value);
    if (size < 0) copy_fail(errno, "reading an attribute of");
    /* A file system in memory keeps no attributes of users; neither does every volume. */
    if (fsetxattr(target, name, value, (size_t)size, 0) < 0 && errno != EOPNOTSUPP) copy_fail(errno, "setting an attribute of");
  }
}

static uid_t uid_of(const struct stat *of) { return is_owned ? owner.uid : of->st_uid; }
static gid_t gid_of(const struct stat *of) { return is_owned ? owner.gid : of->st_gid; }

void copy_attributes(int source, int target, const struct stat *of) {
  struct timespec times[2] = {of->st_mtim, of->st_mtim};
  if (fchown(target, uid_of(of), gid_of(of)) < 0) copy_fail(errno, "giving an owner to");
  /* After the owner, since a change of owner clears set-user-ID and capabilities. */
  if (fchmod(target, of->st_mode & 07777) < 0) copy_fail(errno, "setting the mode of");
  if (has_xattrs) copy_xattrs(source, target);
  if (futimens(target, times) < 0) copy_fail(errno, "setting the time of");
}

static void attributes_of_name(int to, const char *as, const struct stat *of) {
  struct timespec times[2] = {of->st_mtim, of->st_mtim};
  if (fchownat(to, as, uid_of(of), gid_of(of), AT_SYMLINK_NOFOLLOW) < 0) copy_fail(errno, "giving an owner to");
  if (!S_ISLNK(of->st_mode) && fchmodat(to, as, of->st_mode & 07777, 0) < 0) copy_fail(errno, "setting the mode of");
  if (utimensat(to, as, times, AT_SYMLINK_NOFOLLOW) < 0) copy_fail(errno, "setting the time of");
}

/* --- entries --- */

/* A name that nobody has, for what is made beside the place it gets. */
static void begin_beside(int to) {
  static uint32_t number;
  snprintf(half_name, sizeof half_name, ".supermachine-%d-%u", (int)getpid(), number++);
  half_in = to;
}

/* Gives what was made beside its place its name there. */
static void put_in_place(int to, const char *as) {
  if (renameat(to, half_name, to, as) < 0) copy_fail(errno, "replacing");
  half_name[0] = 0;
}

static void begin_named(int to, const char *as) {
  half_in = to;
  snprintf(half_name, sizeof half_name, "%s", as);
}

static void refuse_folder(int to, const char *as) {
  struct stat there;
  if (fstatat(to, as, &there, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(there.st_mode)) copy_fail(EISDIR, "replacing a folder by");
}

static void copy_file(int from, const char *name, int to, const char *as, const struct stat *of) {
  int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (source < 0) copy_fail(errno, "reading");
  int target = openat(to, as, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  bool replaces = target < 0 && errno == EEXIST;
  if (replaces) {
    refuse_folder(to, as);
    begin_beside(to);
    target = openat(to, half_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  } else if (target >= 0 && strlen(as) < sizeof half_name) {
    begin_named(to, as);
  }
  if (target < 0) {
    int error = errno;
    half_name[0] = 0;
    copy_fail(error, "creating");
  }
  int error = copy_content(source, target, (uint64_t)of->st_size);
  if (error) copy_fail(error, "writing");
  copy_attributes(source, target, of);
  close(source);
  if (close(target) < 0) copy_fail(errno, "writing");
  if (replaces) put_in_place(to, as);
  half_name[0] = 0;
  copy_goes_on((uint64_t)of->st_size <= 65536 ? (uint64_t)of->st_size : (uint64_t)of->st_size % 4096, false);
}

/* A link, a device or a pipe: made beside its place, since it may replace something. */
static void copy_special(int from, const char *name, int to, const char *as, const struct stat *of) {
  char target[PATH_LENGTH_MAX + 1];
  refuse_folder(to, as);
  begin_beside(to);
  int error = 0;
  if (S_ISLNK(of->st_mode)) {
    ssize_t length = readlinkat(from, name, target, sizeof target - 1);
    if (length < 0) copy_fail(errno, "reading the link");
    target[length] = 0;
    error = symlinkat(target, to, half_name) < 0 ? errno : 0;
  } else {
    error = mknodat(to, half_name, of->st_mode & (S_IFMT | 07777), of->st_rdev) < 0 ? errno : 0;
  }
  if (error) {
    half_name[0] = 0;
    copy_fail(error, "making");
  }
  attributes_of_name(to, half_name, of);
  put_in_place(to, as);
}

static void link_again(const char *known, int to, const char *as) {
  refuse_folder(to, as);
  begin_beside(to);
  if (linkat(root_of_links, known, to, half_name, 0) < 0) {
    int error = errno;
    half_name[0] = 0;
    copy_fail(error, "making a hard link of");
  }
  put_in_place(to, as);
}

static void copy_folder(int from, const char *name, int to, const char *as, const struct stat *of) {
  if (mkdirat(to, as, 0700) < 0 && errno != EEXIST) copy_fail(errno, "making");
  int target = openat(to, as, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0) copy_fail(errno, "what is there is no folder, and is not replaced by");
  int source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (source < 0) copy_fail(errno, "reading");
  int attributes = has_xattrs ? fcntl(source, F_DUPFD_CLOEXEC, 0) : -1;
  copy_children(source, target);
  copy_attributes(attributes, target, of);
  if (attributes >= 0) close(attributes);
  close(target);
}

void copy_entry(int from, const char *name, int to, const char *as) {
  struct stat of;
  size_t before = copy_enter(as);
  if (root_of_links < 0) root_of_links = to;
  if (fstatat(from, name, &of, AT_SYMLINK_NOFOLLOW) < 0) copy_fail(errno, "looking at");
  const char *known = !S_ISDIR(of.st_mode) && of.st_nlink > 1 ? copy_link_known(&of) : NULL;
  if (known) link_again(known, to, as);
  else if (S_ISDIR(of.st_mode)) copy_folder(from, name, to, as, &of);
  else if (S_ISREG(of.st_mode)) copy_file(from, name, to, as, &of);
  else copy_special(from, name, to, as, &of);
  if (!known && !S_ISDIR(of.st_mode) && of.st_nlink > 1) copy_link_note(&of, where);
  copy_goes_on(0, true);
  copy_leave(before);
}

void copy_children(int from, int to) {
  if (root_of_links < 0) root_of_links = to;
  DIR *entries = fdopendir(from);
  if (!entries) copy_fail(errno, "reading the folder");
  struct dirent *entry;
  while ((errno = 0, entry = readdir(entries))) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    read_ahead(entry->d_ino);
    copy_entry(from, entry->d_name, to, entry->d_name);
  }
  if (errno) copy_fail(errno, "reading the folder");
  closedir(entries);
}
