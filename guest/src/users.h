/* Users and groups out of the root's own /etc/passwd and /etc/group. */
#ifndef USERS_H
#define USERS_H

#include <sys/types.h>

enum { GROUPS_MAX = 256, HOME_MAX = 1024 };

struct user {
  uid_t uid;
  gid_t gid;
  gid_t groups[GROUPS_MAX];
  int group_count;
  char home[HOME_MAX]; /* "/" when the file does not say */
};

/*
 * Resolves `name`, `uid`, `name:group` or `uid:gid` (NULL or "" is root) as docker does: a number needs no entry, a name does.
 * 0, or an errno: ENOENT for a name that is not there.
 */
int user_resolve(struct user *user, const char *spec);

#endif
