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
#include <unistd.h>

enum { FILE_MAX = 1 << 20, PARTS = 7, ID_MAX = INT32_MAX };

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
  load("/etc/passwd");
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
  load("/etc/group");
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
  load("/etc/group");
  for (char *at = text; (count = next_line(&at, parts)) >= 0;) {
    uint32_t gid = 0;
    if (count < 4 || !number(parts[2], &gid) || !lists(parts[3], login)) continue;
    if (user->group_count < GROUPS_MAX) user->groups[user->group_count++] = gid;
  }
}

int user_resolve(struct user *user, const char *spec) {
  char word[USER_LENGTH_MAX + 1] = "0";
  char login[USER_LENGTH_MAX + 1] = "";
  user->uid = user->gid = 0;
  user->group_count = 0;
  strcpy(user->home, "/");
  if (spec && strlen(spec) > USER_LENGTH_MAX) return EINVAL;
  if (spec && *spec) strcpy(word, spec);
  char *group = strchr(word, ':');
  if (group) *group++ = 0;
  int error = find_user(user, *word ? word : "0", login);
  if (error) return error;
  if (group && *group) return find_group(user, group);
  /* As docker: a group that is named takes the place of all that the group file lists. */
  if (*login) find_supplementary(user, login);
  return 0;
}
