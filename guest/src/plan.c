#define _GNU_SOURCE
#include "plan.h"

#include "paths.h"
#include "task.h"
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* One mapping: this, the payload as it came, and a copy for parsing. */
struct plan {
  size_t length;
  uint32_t step;
  uint32_t steps;
  bool staging;   /* the files are being written */
  int theirs[3];  /* what each command gets as its descriptors; -1 is /dev/null, or for the third: merged */
  uint8_t bytes[];
};

static size_t size_of(size_t length) { return sizeof(struct plan) + 2 * length; }

bool plan_keep(struct plan **plan, const uint8_t *payload, size_t length) {
  *plan = NULL;
  if (length < 2 || get_u16(payload) != KIND_PLAN) return true;
  struct plan *kept = mmap(NULL, size_of(length), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (kept == MAP_FAILED) return false;
  kept->length = length;
  for (int i = 0; i < 3; i++) kept->theirs[i] = -1;
  memcpy(kept->bytes, payload, length);
  *plan = kept;
  return true;
}

void plan_forget(struct plan *plan) {
  if (!plan) return;
  for (int i = 0; i < 3; i++) {
    if (plan->theirs[i] >= 0) close(plan->theirs[i]);
  }
  munmap(plan, size_of(plan->length));
}

void plan_drop(struct stream *stream) {
  plan_forget(stream->plan);
  stream->plan = NULL;
}

void plan_begin(struct stream *stream, const struct exec_request *request, const int theirs[4]) {
  struct plan *plan = stream->plan;
  plan->steps = request->steps;
  plan->staging = request->file_count > 0;
  /* A copy that fails leaves /dev/null. */
  for (int i = 0; i < 3; i++) plan->theirs[i] = theirs[i] < 0 ? -1 : fcntl(theirs[i], F_DUPFD_CLOEXEC, 10);
}

static bool start_step(struct stream *stream) {
  struct plan *plan = stream->plan;
  static struct request request;
  uint8_t *copy = plan->bytes + plan->length;
  memcpy(copy, plan->bytes, plan->length);
  stream->step = plan->step;
  /* It has been parsed before, so nothing can be wrong with it. */
  if (parse_plan(&request, copy, plan->length, plan->step)) return false;
  return task_start_step(stream, &request.exec, plan->theirs) == 0;
}

bool plan_stages(const struct stream *stream) { return stream->plan && stream->plan->staging; }

bool plan_next(struct stream *stream, int wait_status) {
  struct plan *plan = stream->plan;
  bool succeeded = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 && stream->result_used == 0;
  if (succeeded && (plan->staging || plan->step + 1 < plan->steps)) {
    if (plan->staging) plan->staging = false;
    else plan->step++;
    bool started = start_step(stream);
    if (started && plan->step + 1 == plan->steps) plan_drop(stream);
    if (started) return true;
    struct writer writer = {.bytes = stream->result, .size = sizeof stream->result};
    write_failed(&writer, EAGAIN, STAGE_OTHER, "the next command could not be started");
    stream->result_used = writer.used;
  }
  plan_drop(stream);
  return false;
}

/* --- the child --- */

static void write_file(const struct extra_file *file, const struct user *user) {
  static char path[PATH_LENGTH_MAX + 1];
  static char beside[PATH_LENGTH_MAX + 1];
  strcpy(path, file->path);
  int error = path_follow(path);
  if (!error) error = path_make_parents(path, user->uid, user->gid);
  if (error) task_fail(error, STAGE_FILES, "making the folders above %.200s: %s", file->path, strerror(error));
  int fd = path_open_beside(path, beside);
  if (fd < 0) task_fail(errno, STAGE_FILES, "creating %.200s: %s", file->path, strerror(errno));
  bool done = write(fd, file->content, file->length) == (ssize_t)file->length;
  done = done && (user->uid == geteuid() || fchown(fd, user->uid, user->gid) == 0) && fchmod(fd, file->mode) == 0;
  if (done && rename(beside, path) == 0 && close(fd) == 0) return;
  error = errno;
  unlink(beside);
  task_fail(error, STAGE_FILES, "writing %.200s: %s", file->path, strerror(error));
}

void plan_write_files(const struct exec_request *request) {
  static struct user user;
  umask(022);
  int error = user_resolve(&user, request->user);
  if (error) task_fail(error, STAGE_USER, "user %.200s: not in /etc/passwd or /etc/group", request->user);
  for (size_t i = 0; i < request->file_count; i++) write_file(&request->files[i], &user);
  _exit(0);
}
