#define _GNU_SOURCE
#include "task.h"

#include "cgroup.h"
#include "ends.h"
#include "fuse.h"
#include "hold.h"
#include "keep.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "plan.h"
#include "pty.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A command's child says here how far it got. It runs in the agent's own memory until it has become the command, and the
 * agent waits for that: a fork would copy page tables and fault on every page that either touches, which takes longer than the
 * rest together. So what is done before execve must not wait for anything that the agent itself has to serve: where folders
 * of the host are mounted, a command is forked after all, and says by its status pipe how it went.
 */
struct launch {
  pid_t pid; /* as the workload sees it */
  size_t failed;
  uint8_t failure[RESULT_SIZE];
};

static struct launch *launch;
/* Volatile: the compiler is told that clone() calls nothing of this file. */
static volatile bool launching;

void tasks_init(void) {
  launch = mmap(NULL, sizeof *launch, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (launch == MAP_FAILED) fatal("mmap: %s", strerror(errno));
  ends_reserve();
}

void write_failed(struct writer *writer, int error, enum stage stage, const char *message) {
  write_kind(writer, RESULT_FAILED);
  write_uint(writer, 1, 4, (uint64_t)error);
  write_string(writer, 2, message);
  write_uint(writer, 3, 2, stage);
}

void task_report(struct writer *writer) {
  /* Less than PIPE_BUF, so it is written whole or not at all. */
  if (write(TASK_STATUS, writer->bytes, writer->used) < 0) _exit(1);
}

void task_fail(int error, enum stage stage, const char *format, ...) {
  char message[300];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = launching ? launch->failure : bytes, .size = RESULT_SIZE};
  write_failed(&writer, error, stage, message);
  if (launching) launch->failed = writer.used;
  else task_report(&writer);
  _exit(1);
}

void task_done(struct writer *writer) {
  task_report(writer);
  _exit(0);
}

/* --- the child --- */

static void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || sigprocmask(SIG_SETMASK, &none, NULL) < 0) _exit(1);
}

static void enter_workload(void) {
  int error = workload_enter();
  if (error) task_fail(error, STAGE_OTHER, "the workload's root file system is not there: %s", strerror(error));
}

static _Noreturn void run_built_in(const struct request *request, const struct ends *ends) {
  int layer_error = 0;
  reset_signals();
  /* Before its descriptor is closed with all others. */
  if (request->kind == KIND_LAYER) layer_error = workload_enter_layer();
  ends_take(ends, false);
  if (request->kind == KIND_ASSEMBLE) assemble_run(&request->assemble);
  if (request->kind == KIND_SHUTDOWN) shutdown_run(request->grace_ms);
  if (request->kind == KIND_VOLUME) volume_run(&request->volume);
  if (request->kind == KIND_MOUNT) mount_run(&request->mount);
  if (request->kind == KIND_SOCKET) socket_run(&request->mount);
  if (request->kind == KIND_COPY_IN) copy_in_run(&request->copy);
  if (request->kind == KIND_COPY_OUT) copy_out_run(&request->copy);
  if (request->kind == KIND_AWAIT_LISTENER) listener_run(&request->listener);
  if (layer_error) task_fail(layer_error, STAGE_OTHER, "no layer of this root file system is kept");
  if (request->kind == KIND_LAYER) layer_run(&request->layer);
  enter_workload();
  if (request->kind == KIND_FUSE) fuse_mount_run(&request->fuse);
  if (request->kind == KIND_EXEC) plan_write_files(&request->exec);
  if (request->kind == KIND_PROCESSES) processes_run();
  if (request->kind == KIND_SIGNAL) signal_run(&request->signal);
  if (request->kind == KIND_FILE_CHANGE) change_run(&request->change);
  if (request->kind == KIND_FILE_LIST) list_run(&request->look);
  if (request->kind == KIND_FILE_WATCH) watch_run(&request->look);
  if (request->kind == KIND_FILE_READ) file_read_run(&request->file);
  file_write_run(&request->file);
}

struct command {
  const struct exec_request *request;
  const struct ends *ends;
  uint32_t cgroup;
};

static void join_group(uint32_t cgroup) {
  if (cgroup && !cgroup_join(cgroup, 0)) task_fail(errno, STAGE_OTHER, "joining a control group: %s", strerror(errno));
}

static int run_command(void *argument) {
  const struct command *command = argument;
  launch->pid = getpid();
  join_group(command->cgroup);
  reset_signals();
  ends_take(command->ends, command->request->flags & EXEC_MERGED);
  enter_workload();
  exec_run(command->request);
}

static _Noreturn void run_command_apart(const struct exec_request *request, const struct ends *ends) {
  reset_signals();
  ends_take(ends, request->flags & EXEC_MERGED);
  uint32_t pid = (uint32_t)getpid();
  if (write(TASK_STATUS, &pid, sizeof pid) != sizeof pid) _exit(1);
  enter_workload();
  exec_run(request);
}

/* --- the parent --- */

static pid_t start_built_in(const struct request *request, const struct ends *ends) {
  unsigned long flags = request->kind == KIND_ASSEMBLE ? workload_clone_flags() : 0;
  pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) run_built_in(request, ends);
  return pid;
}

static pid_t fork_command(const struct exec_request *request, const struct ends *ends, uint32_t cgroup) {
  pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) run_command_apart(request, ends);
  /* By the agent and at once: until somebody is in a group, the next command takes it for one that is left over. */
  if (pid > 0 && cgroup) (void)cgroup_join(cgroup, pid);
  return pid;
}

/* A later command of a plan goes by the number of the first. */
static void note_pid(struct stream *stream, pid_t pid) {
  if (stream->workload_pid) return;
  stream->due |= DUE_STARTED;
  stream->workload_pid = pid;
}

void task_started_apart(struct stream *stream) {
  uint32_t pid = 0;
  if (stream->result_used >= sizeof pid) {
    memcpy(&pid, stream->result, sizeof pid);
    stream->result_used -= sizeof pid;
    memmove(stream->result, stream->result + sizeof pid, stream->result_used);
  }
  if (stream->result_used == 0) note_pid(stream, (pid_t)pid);
}

static pid_t start_command(const struct exec_request *request, const struct ends *ends, uint32_t cgroup) {
  struct command command = {.request = request, .ends = ends, .cgroup = cgroup};
  launch->failed = 0;
  launching = true;
#ifdef __SANITIZE_ADDRESS__
  /* The sanitizer knows of no second stack in one memory: a copy of the memory then, but waited for all the same. */
  pid_t pid = (pid_t)syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) run_command(&command);
#else
  static uint8_t stack[1 << 16] __attribute__((aligned(16)));
  pid_t pid = clone(run_command, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &command);
#endif
  launching = false;
  return pid;
}

static int watch(struct stream *stream, uint32_t slot, const struct ends *ends) {
  static const enum role roles[] = {ROLE_OUTPUT, ROLE_ERROR};
  for (int i = 0; i < OUTPUTS; i++) {
    int fd = ends->ours[1 + i];
    stream->outputs[i].fd = fd;
    stream->outputs[i].open = fd >= 0;
    if (fd >= 0 && !stream->relay && !loop_watch(fd, EPOLLIN | EPOLLET, roles[i], slot, stream->generation)) return errno;
  }
  stream->input.fd = ends->ours[0];
  stream->status_fd = ends->ours[3];
  if (stream->status_fd < 0) return 0;
  return loop_watch(stream->status_fd, EPOLLIN | EPOLLET, ROLE_STATUS, slot, stream->generation) ? 0 : errno;
}

static void note_start(struct stream *stream) {
  if (launch->failed == 0) {
    note_pid(stream, launch->pid);
  } else {
    memcpy(stream->result, launch->failure, launch->failed);
    stream->result_used = launch->failed;
  }
}

static int launch_command(struct stream *stream, const struct exec_request *exec, const struct ends *ends) {
  bool apart = ends->theirs[3] >= 0;
  pid_t pid = apart ? fork_command(exec, ends, stream->cgroup) : start_command(exec, ends, stream->cgroup);
  if (pid < 0) return errno;
  stream->pid = pid;
  /* Of one whose own bytes go over the bulk link nothing would come. */
  if (stream->link && stream->link->index == LINK_CONTROL) hold_begin(pid);
  if (!apart) note_start(stream);
  return 0;
}

int task_start_step(struct stream *stream, const struct exec_request *request, const int theirs[3]) {
  struct ends ends = {{-1, -1, -1, -1}, {theirs[0], theirs[1], theirs[2], -1}};
  int error = fuse_in_use() ? ends_pipe(&ends, 3, false) : 0;
  if (!error) error = launch_command(stream, request, &ends);
  if (ends.theirs[3] >= 0) close(ends.theirs[3]);
  stream->status_fd = ends.ours[3];
  if (error || stream->status_fd < 0) return error;
  return loop_watch(stream->status_fd, EPOLLIN | EPOLLET, ROLE_STATUS, stream_slot(stream), stream->generation) ? 0 : errno;
}

/* A plan that begins with files: they are written by a task of their own, which has no pipe but for its result. */
static int start_staging(struct stream *stream, const struct request *request, struct ends *ends) {
  struct ends own = {{-1, -1, -1, -1}, {-1, -1, -1, -1}};
  int error = ends->theirs[3] < 0 ? ends_pipe(ends, 3, false) : 0;
  if (error) return error;
  own.theirs[3] = ends->theirs[3];
  pid_t pid = start_built_in(request, &own);
  if (pid < 0) return errno;
  stream->pid = pid;
  return 0;
}

static int begin_command(struct stream *stream, const struct request *request, struct ends *ends) {
  const struct exec_request *exec = &request->exec;
  int error = exec->keep ? keep_begin(stream, exec->keep) : 0;
  if (error) return error;
  if (exec->flags & EXEC_CGROUP) stream->cgroup = cgroup_make();
  if (exec->plan) plan_begin(stream, exec, ends->theirs);
  return exec->file_count > 0 ? start_staging(stream, request, ends) : launch_command(stream, exec, ends);
}

int task_start(struct stream *stream, const struct request *request) {
  struct ends ends = {{-1, -1, -1, -1}, {-1, -1, -1, -1}};
  bool command = request->kind == KIND_EXEC;
  int error = ends_make(&ends, request);
  if (!error) {
    ends_widen(&ends, request->kind);
    if (command) error = begin_command(stream, request, &ends);
    else if ((stream->pid = start_built_in(request, &ends)) < 0) error = errno;
  }
  ends_close(ends.theirs);
  if (error) {
    stream->pid = 0;
    ends_close(ends.ours);
    return error;
  }
  /* Descriptors that cannot be watched end with the stream; the child is killed with it. */
  return watch(stream, stream_slot(stream), &ends);
}
