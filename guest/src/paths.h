/* Small path helpers of the tasks; they run inside the workload's root, so links cannot lead out of it. */
#ifndef PATHS_H
#define PATHS_H

#include "request.h"

#include <sys/types.h>

/* Follows links in the last component, also to what does not exist yet. `path` has room for PATH_LENGTH_MAX + 1. 0 or an errno. */
int path_follow(char *path);

/* Makes the folders above `path` that are missing, owned by uid:gid. 0 or an errno. */
int path_make_parents(const char *path, uid_t uid, gid_t gid);

/* Makes the folder and those above it. 0 or an errno. */
int path_make_folders(const char *path, uid_t uid, gid_t gid);

/* Opens a new file beside `path`, whose name `beside` gets (PATH_LENGTH_MAX + 1). -1 and errno when it cannot. */
int path_open_beside(const char *path, char *beside);

#endif
