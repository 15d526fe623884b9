#define _GNU_SOURCE
#include "users.h"

#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, PARTS = 7, ID_MAX = INT32_MAX };
/* A file that was just written may be written again within the same tick of its time stamps. */
enum { SETTLED_S = 2 };

#define PASSWD "/etc/passwd"
#define GROUP "/etc/group"

static char text[FILE_MAX + 1];

/* Reads at most 1 MiB of a regular file; an empty text when there is none. */
static void load(const char *path) {
  size_t used = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat stat;
  if (fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode)) {
    ssize_t got;
    while (used < FILE_MAX && (got = read(fd, text + used, FILE_MAX - used)) > 0) used += (size_t)got;
  }
  if (fd >= 0) close(fd);
  text[used] = 0;
}

/* Splits the next line in place at its colons; gives how many parts it has, -1 at the end of the text. */
static int next_line(char **at, char *parts[PARTS]) {
  if (**at == 0) return -1;
  char *line = strsep(at, "\n");
  static char empty[] = "";
  if (!*at) *at = empty;
  int count = 0;
  while (count < PARTS && line) parts[count++] = strsep(&line, ":");
  return count;
}

static bool number(const char *word, uint32_t *value) {
  if (!*word || strspn(word, "0123456789") != strlen(word) || strlen(word) > 10) return false;
  unsigned long long parsed = strtoull(word, NULL, 10);
  *value = (uint32_t)parsed;
  return parsed <= ID_MAX;
}

/* Finds the user in /etc/passwd: a number is always an id, as docker has it. `login` gets its name for the group file. */
static int find_user(struct user *user, const char *word, char login[USER_LENGTH_MAX + 1]) {
  uint32_t id = 0;
  bool numeric = number(word, &id);
  char *parts[PARTS];
  int count;
  load(PASSWD);
  for (char *at = text; (count = next_line(&at, parts)) >= 0;) {
    uint32_t uid = 0, gid = 0;
    if (count < 4 || !number(parts[2], &uid) || !number(parts[3], &gid)) continue;
    if (numeric ? uid != id : strcmp(parts[0], word) != 0) continue;
    user->uid = uid;
    user->gid = gid;
    if (count > 5 && parts[5][0] && strlen(parts[5]) < HOME_MAX) strcpy(user->home, parts[5]);
    if (strlen(parts[0]) <= USER_LENGTH_MAX) strcpy(login, parts[0]);
    return 0;
  }
  user->uid = id;
  return numeric ? 0 : ENOENT;
}

static bool lists(char *members, const char *login) {
  char *member;
  while ((member = strsep(&members, ","))) {
    if (strcmp(member, login) == 0) return true;
  }
  return false;
}

static int find_group(struct user *user, const char *word) {
  uint32_t id = 0;
  char *parts[PARTS];
  int count;
  if (number(word, &id)) {
    user->gid = id;
    return 0;
  }
  load(GROUP);
  for (char *at = text; (count = next_line(&at, parts)) >= 0;) {
    uint32_t gid = 0;
    if (count < 3 || !number(parts[2], &gid) || strcmp(parts[0], word) != 0) continue;
    user->gid = gid;
    return 0;
  }
  return ENOENT;
}

static void find_supplementary(struct user *user, const char *login) {
  char *parts[PARTS];
  int count;
  load(GROUP);
  for (char *at = text; (count = next_line(&at, parts)) >= 0;) {
    uint32_t gid = 0;
    if (count < 4 || !number(parts[2], &gid) || !lists(parts[3], login)) continue;
    if (user->group_count < GROUPS_MAX) user->groups[user->group_count++] = gid;
  }
}

static int find(struct user *user, const char *spec) {
  char word[USER_LENGTH_MAX + 1] = "0";
  char login[USER_LENGTH_MAX + 1] = "";
  user->uid = user->gid = 0;
  user->group_count = 0;
  strcpy(user->home, "/");
  if (*spec) strcpy(word, spec);
  char *group = strchr(word, ':');
  if (group) *group++ = 0;
  int error = find_user(user, *word ? word : "0", login);
  if (error) return error;
  if (group && *group) return find_group(user, group);
  /* As docker: a group that is named takes the place of all that the group file lists. */
  if (*login) find_supplementary(user, login);
  return 0;
}

/* --- what was found last --- */

/* Zeros of a file that is not there. */
struct identity {
  struct stat passwd, group;
};

/* One entry: nearly all commands of a guest are of one user, and then neither file is read again. */
static struct {
  bool valid;
  char spec[USER_LENGTH_MAX + 1];
  struct identity files;
  struct user user;
} last;

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

static bool same_file(const struct stat *a, const struct stat *b) {
  bool same_place = a->st_dev == b->st_dev && a->st_ino == b->st_ino;
  return same_place && a->st_size == b->st_size && same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

static bool is_last(const char *spec, const struct identity *files) {
  bool same_files = same_file(&files->passwd, &last.files.passwd) && same_file(&files->group, &last.files.group);
  return last.valid && strcmp(spec, last.spec) == 0 && same_files;
}

static void remember(const char *spec, const struct identity *files, const struct user *user) {
  time_t settled = time(NULL) - SETTLED_S;
  last.valid = files->passwd.st_ctim.tv_sec < settled && files->group.st_ctim.tv_sec < settled;
  strcpy(last.spec, spec);
  last.files = *files;
  last.user = *user;
}

int user_resolve(struct user *user, const char *spec) {
  if (!spec) spec = "";
  if (strlen(spec) > USER_LENGTH_MAX) return EINVAL;
  struct identity files = {0};
  (void)stat(PASSWD, &files.passwd);
  (void)stat(GROUP, &files.group);
  if (is_last(spec, &files)) {
    *user = last.user;
    return 0;
  }
  int error = find(user, spec);
  if (!error) remember(spec, &files, user);
  return error;
}
