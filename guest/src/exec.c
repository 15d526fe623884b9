#define _GNU_SOURCE
#include "paths.h"
#include "task.h"
#include "users.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_FILES = 1024, OPEN_FILES_MAX = 1048576, COMMAND_MAX = PATH_LENGTH_MAX };

static const char DEFAULT_PATH[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const char *value_of(char *const *env, const char *name) {
  size_t length = strlen(name);
  for (; *env; env++) {
    if (strncmp(*env, name, length) == 0 && (*env)[length] == '=') return *env + length + 1;
  }
  return NULL;
}

/* The table has room: a request with no space left in it keeps what it gave. */
static void add_default(const struct exec_request *request, size_t *count, const char *name, char *entry) {
  if (*count >= STRINGS_MAX || value_of(request->env, name)) return;
  request->env[(*count)++] = entry;
  request->env[*count] = NULL;
}

static void complete_environment(const struct exec_request *request, const struct user *user) {
  static char path[sizeof DEFAULT_PATH];
  static char home[sizeof "HOME=" + HOME_MAX];
  static char term[] = "TERM=xterm";
  size_t count = request->envc;
  memcpy(path, DEFAULT_PATH, sizeof path);
  stpcpy(stpcpy(home, "HOME="), user->home);
  add_default(request, &count, "PATH", path);
  add_default(request, &count, "HOME", home);
  if (request->flags & EXEC_TTY) add_default(request, &count, "TERM", term);
}

static void enter_cwd(const struct exec_request *request) {
  const char *cwd = request->cwd && *request->cwd ? request->cwd : "/";
  if (chdir(cwd) == 0) return;
  if (errno == ENOENT && request->flags & EXEC_CREATE_CWD) {
    errno = path_make_folders(cwd, 0, 0);
    if (errno == 0 && chdir(cwd) == 0) return;
  }
  task_fail(errno, STAGE_CWD, "the working directory %s cannot be entered: %s", cwd, strerror(errno));
}

/* So that /dev/stdout and /dev/tty's name can be opened by who was given them; /dev/null is everybody's. */
static void give_descriptors(const struct exec_request *request, uid_t uid) {
  for (int fd = 0; fd < 3; fd++) {
    struct stat stat;
    bool given = fstat(fd, &stat) == 0 && (S_ISFIFO(stat.st_mode) || request->flags & EXEC_TTY);
    if (given && fchown(fd, uid, (gid_t)-1) < 0) task_fail(errno, STAGE_USER, "a pipe cannot be given to the user: %s", strerror(errno));
  }
}

static void become(const struct user *user) {
  /* What the agent itself is already. */
  if (user->uid == 0 && user->gid == 0 && user->group_count == 0 && geteuid() == 0) return;
  /* The agent under test may be anybody; then only that user can be had. */
  bool already = geteuid() != 0 && user->uid == geteuid();
  if (!already && setgroups((size_t)user->group_count, user->groups) < 0) {
    task_fail(errno, STAGE_USER, "the groups cannot be set: %s", strerror(errno));
  }
  if (!already && (setresgid(user->gid, user->gid, user->gid) < 0 || setresuid(user->uid, user->uid, user->uid) < 0)) {
    task_fail(errno, STAGE_USER, "user %u cannot be set: %s", (unsigned)user->uid, strerror(errno));
  }
}

static void set_limits(const struct exec_request *request) {
  struct rlimit files = {.rlim_cur = OPEN_FILES, .rlim_max = OPEN_FILES_MAX};
  /* An agent under test may have less; then that is the limit. */
  struct rlimit own;
  if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_max >= OPEN_FILES) {
    own.rlim_cur = OPEN_FILES;
    (void)setrlimit(RLIMIT_NOFILE, &own);
  }
  for (size_t i = 0; i < request->limit_count; i++) {
    const struct limit *limit = &request->limits[i];
    struct rlimit wanted = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
    if (setrlimit((__rlimit_resource_t)limit->resource, &wanted) < 0) {
      task_fail(errno, STAGE_OTHER, "limit %u cannot be set: %s", (unsigned)limit->resource, strerror(errno));
    }
  }
}

static _Noreturn void cannot_run(int error, const char *command) {
  task_fail(error, STAGE_COMMAND, "%.200s: %s", command, strerror(error));
}

/* Asked first, since execve makes a whole address space before it looks for the file: five folders without it cost a twentieth of `true`. */
static bool is_missing(const char *path) {
  return access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR);
}

/* The command in a folder of PATH, of which an empty one is the current; false when that is too long. */
static bool join(char result[COMMAND_MAX + 1], const char *folder, size_t length, const char *command) {
  if (length + strlen("./") + strlen(command) > COMMAND_MAX) return false;
  char *end = mempcpy(result, folder, length);
  stpcpy(stpcpy(end, length ? "/" : "./"), command);
  return true;
}

/* As execvp, but for the given environment's PATH, and never by a shell. */
static _Noreturn void run(const struct exec_request *request) {
  const char *command = request->argv[0];
  if (!*command) cannot_run(ENOENT, "the empty command");
  if (strchr(command, '/')) {
    execve(command, request->argv, request->env);
    cannot_run(errno, command);
  }
  const char *path = value_of(request->env, "PATH");
  int error = ENOENT;
  while (path && *path) {
    size_t length = strcspn(path, ":");
    char candidate[COMMAND_MAX + 1];
    if (join(candidate, path, length, command) && !is_missing(candidate)) {
      execve(candidate, request->argv, request->env);
      if (errno == EACCES) error = EACCES;
      else if (errno != ENOENT && errno != ENOTDIR) cannot_run(errno, candidate);
    }
    path += length;
    if (*path == ':') path++;
  }
  cannot_run(error, command);
}

void exec_run(const struct exec_request *request) {
  static struct user user;
  if (setsid() < 0) task_fail(errno, STAGE_OTHER, "setsid: %s", strerror(errno));
  if (request->flags & EXEC_TTY && ioctl(TASK_INPUT, TIOCSCTTY, 0) < 0) {
    task_fail(errno, STAGE_OTHER, "the terminal cannot be taken: %s", strerror(errno));
  }
  umask(022);
  int error = user_resolve(&user, request->user);
  if (error) task_fail(error, STAGE_USER, "user %.200s: not in /etc/passwd or /etc/group", request->user);
  complete_environment(request, &user);
  enter_cwd(request);
  set_limits(request);
  if (user.uid != geteuid()) give_descriptors(request, user.uid);
  become(&user);
  run(request);
}
