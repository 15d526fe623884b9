#define _GNU_SOURCE
#include "records.h"
#include "task.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMMAND_LINE_MAX = 4096, STAT_SIZE = 1024 };

/* --- listing --- */

static ssize_t read_of(int process, const char *name, char *bytes, size_t size) {
  int fd = openat(process, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t got = read(fd, bytes, size);
  close(fd);
  return got;
}

/* proc(5): pid (comm) state ppid pgrp session ... utime(14) stime(15) ... starttime(22) vsize(23) rss(24) */
struct status {
  char name[64];
  char state;
  unsigned parent;
  unsigned long long ticks, started;
  long pages;
};

static bool read_stat(int process, struct status *status) {
  static char text[STAT_SIZE];
  ssize_t got = read_of(process, "stat", text, sizeof text - 1);
  if (got <= 0) return false;
  text[got] = 0;
  char *open = strchr(text, '('), *close = strrchr(text, ')');
  if (!open || !close || close < open) return false;
  snprintf(status->name, sizeof status->name, "%.*s", (int)(close - open - 1), open + 1);
  unsigned long long user_ticks, system_ticks;
  int count = sscanf(close + 1, " %c %u %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %*u %ld",
                     &status->state, &status->parent, &user_ticks, &system_ticks, &status->started, &status->pages);
  status->ticks = user_ticks + system_ticks;
  return count == 6;
}

static const struct stream *command_of(unsigned pid) {
  for (uint32_t slot = 0; slot < STREAMS_MAX; slot++) {
    const struct stream *stream = stream_at(slot);
    if (stream && stream->kind == KIND_EXEC && (unsigned)stream->workload_pid == pid && !stream->exited) return stream;
  }
  return NULL;
}

enum { IS_COMMAND = 1, IS_KEPT = 2 };

static uint32_t flags_of(unsigned pid) {
  const struct stream *stream = command_of(pid);
  return stream ? IS_COMMAND | (stream->keep ? IS_KEPT : 0) : 0;
}

static void list_one(int all, const char *name) {
  static char arguments[COMMAND_LINE_MAX];
  struct status status;
  struct stat owner;
  int process = openat(all, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  /* It may have ended meanwhile. */
  if (process < 0) return;
  if (fstat(process, &owner) == 0 && read_stat(process, &status)) {
    ssize_t length = read_of(process, "cmdline", arguments, sizeof arguments);
    unsigned pid = (unsigned)atoi(name);
    long tick = sysconf(_SC_CLK_TCK);
    struct writer writer = record_begin();
    write_uint(&writer, 1, 4, pid);
    write_uint(&writer, 2, 4, status.parent);
    write_uint(&writer, 3, 4, owner.st_uid);
    write_bytes(&writer, 4, &status.state, 1);
    write_string(&writer, 5, status.name);
    write_bytes(&writer, 6, arguments, length > 0 ? (size_t)length : 0);
    write_uint(&writer, 7, 8, (uint64_t)status.pages * (uint64_t)sysconf(_SC_PAGESIZE));
    write_uint(&writer, 8, 8, status.ticks * 1000 / (unsigned long long)tick);
    write_uint(&writer, 9, 8, status.started * 1000 / (unsigned long long)tick);
    write_uint(&writer, 10, 4, flags_of(pid));
    record_end(&writer);
  }
  close(process);
}

static _Noreturn void done(void) {
  uint8_t bytes[16];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  task_done(&writer);
}

void processes_run(void) {
  DIR *folder = opendir("/proc");
  if (!folder) task_fail(errno, STAGE_OTHER, "/proc: %s", strerror(errno));
  pid_t own = getpid();
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != own) list_one(dirfd(folder), entry->d_name);
  }
  records_flush();
  done();
}

/* --- signals --- */

void signal_run(const struct signal_request *request) {
  pid_t pid = (pid_t)request->pid;
  if (pid <= 1 || kill(request->group ? -pid : pid, (int)request->signal) < 0) {
    int error = pid <= 1 ? EPERM : errno;
    task_fail(error, STAGE_OTHER, "process %d: %s", (int)pid, strerror(error));
  }
  done();
}
