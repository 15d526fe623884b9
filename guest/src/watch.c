#define _GNU_SOURCE
#include "records.h"
#include "task.h"

#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a record says happened (docs/agent-protocol.md). */
enum event { EVENT_READY, EVENT_CREATED, EVENT_CHANGED, EVENT_REMOVED, EVENT_OVERFLOW, EVENT_GONE };

enum {
  MASK = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK,
  FILE_MASK = IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
  BUFFER = 1 << 16,
};

static int notifier = -1;
/* By watch number: the folder's path below the root of the watch, "" for the root itself. */
static char **folders;
static size_t folder_count;

static _Noreturn void cannot(int error, const char *path) {
  task_fail(error, STAGE_OTHER, "watching %.200s: %s", path, strerror(error));
}

static void say(enum event event, const char *folder, const char *name) {
  char path[PATH_LENGTH_MAX + NAME_MAX + 2];
  int used = snprintf(path, sizeof path, "%s%s%s", folder, *folder && *name ? "/" : "", name);
  if (used < 0 || (size_t)used >= sizeof path) return;
  struct writer writer = record_begin();
  write_uint(&writer, 1, 2, event);
  write_string(&writer, 2, path);
  record_end(&writer);
}

static void remember(int number, const char *folder) {
  if ((size_t)number >= folder_count) {
    size_t count = (size_t)number * 2 + 16;
    char **more = realloc(folders, count * sizeof *folders);
    if (!more) cannot(ENOMEM, folder);
    memset(more + folder_count, 0, (count - folder_count) * sizeof *folders);
    folders = more;
    folder_count = count;
  }
  free(folders[number]);
  folders[number] = strdup(folder);
  if (!folders[number]) cannot(ENOMEM, folder);
}

/* Watches the folder and those below it. `news`: what is found there is told, since it came before it could be watched. */
static void add_tree(const char *folder, bool recursive, bool news) {
  char *roots[] = {*folder ? (char *)folder : (char *)".", NULL};
  FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
  if (!tree) cannot(errno, folder);
  for (FTSENT *entry; (entry = fts_read(tree));) {
    const char *path = entry->fts_path;
    if (path[0] == '.' && (path[1] == '/' || !path[1])) path += path[1] ? 2 : 1;
    if (entry->fts_info == FTS_DP) continue;
    if (news && entry->fts_level > 0) say(EVENT_CREATED, path, "");
    if (entry->fts_info != FTS_D) continue;
    int number = inotify_add_watch(notifier, entry->fts_path, MASK);
    if (number >= 0) remember(number, path);
    else if (errno != ENOENT && errno != ENOTDIR) cannot(errno, entry->fts_path);
    if (!recursive) fts_set(tree, entry, FTS_SKIP);
  }
  fts_close(tree);
}

static enum event meaning(uint32_t mask) {
  if (mask & (IN_CREATE | IN_MOVED_TO)) return EVENT_CREATED;
  return mask & (IN_DELETE | IN_MOVED_FROM) ? EVENT_REMOVED : EVENT_CHANGED;
}

static void take(const struct inotify_event *event, bool recursive) {
  if (event->mask & IN_Q_OVERFLOW) {
    say(EVENT_OVERFLOW, "", "");
    return;
  }
  const char *folder = event->wd >= 0 && (size_t)event->wd < folder_count ? folders[event->wd] : NULL;
  if (!folder || event->mask & IN_IGNORED) return;
  if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
    if (!*folder) say(EVENT_GONE, "", "");
    return;
  }
  /* A folder's own attributes are told by its parent, too. */
  if (event->len == 0 && *folder) return;
  const char *name = event->len > 0 ? event->name : "";
  say(meaning(event->mask), folder, name);
  if (!recursive || !(event->mask & IN_ISDIR) || !(event->mask & (IN_CREATE | IN_MOVED_TO))) return;
  char path[PATH_LENGTH_MAX + NAME_MAX + 2];
  int used = snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
  if (used > 0 && used <= PATH_LENGTH_MAX) add_tree(path, true, true);
}

void watch_run(const struct look_request *request) {
  struct stat stat_of_it;
  bool recursive = request->flags & WATCH_RECURSIVE;
  notifier = inotify_init1(IN_CLOEXEC);
  if (notifier < 0 || stat(request->path, &stat_of_it) < 0) cannot(errno, request->path);
  if (S_ISDIR(stat_of_it.st_mode)) {
    if (chdir(request->path) < 0) cannot(errno, request->path);
    add_tree("", recursive, false);
  } else {
    int number = inotify_add_watch(notifier, request->path, FILE_MASK);
    if (number < 0) cannot(errno, request->path);
    remember(number, "");
  }
  say(EVENT_READY, "", "");
  records_flush();
  for (;;) {
    static char buffer[BUFFER] __attribute__((aligned(8)));
    ssize_t got = read(notifier, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) cannot(errno, request->path);
    for (char *at = buffer; at < buffer + got;) {
      const struct inotify_event *event = (const struct inotify_event *)at;
      take(event, recursive);
      at += sizeof *event + event->len;
    }
    records_flush();
  }
}
