#define _GNU_SOURCE
#include "task.h"

#include "cgroup.h"
#include "fuse.h"
#include "keep.h"
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
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOW_FDS = 10, BULK_PIPE = 1 << 18 };

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
  int fd;
  do {
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) fatal("/dev/null: %s", strerror(errno));
  } while (fd < LOW_FDS);
  /* What a task has no pipe for is /dev/null to it. An agent under test keeps its standard error for its own words. */
  int last = getpid() == 1 ? TASK_ERROR : TASK_OUTPUT;
  for (int i = TASK_INPUT; i <= last; i++) {
    if (dup3(fd, i, O_CLOEXEC) < 0) fatal("dup: %s", strerror(errno));
  }
  close(fd);
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

struct ends {
  int ours[4];   /* input, output, error, status; -1 where there is none */
  int theirs[4];
};

static void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || sigprocmask(SIG_SETMASK, &none, NULL) < 0) _exit(1);
}

/* Puts the pipes where a task expects them and closes all else: not even the links' descriptors stay. */
static void take_descriptors(const struct ends *ends, bool merged) {
  if (ends->theirs[3] >= 0 && dup3(ends->theirs[3], TASK_STATUS, O_CLOEXEC) < 0) _exit(1);
  for (int i = 0; i < 3; i++) {
    if (ends->theirs[i] >= 0 && dup2(ends->theirs[i], i) < 0) _exit(1);
    if (ends->theirs[i] < 0 && fcntl(i, F_SETFD, 0) < 0) _exit(1);
  }
  if (merged && dup2(TASK_OUTPUT, TASK_ERROR) < 0) _exit(1);
  int root = workload_root_fd();
  if (root >= 0 && dup3(root, TASK_ROOT, O_CLOEXEC) < 0) _exit(1);
  if (ends->theirs[3] < 0) close(TASK_STATUS);
  if (syscall(SYS_close_range, root >= 0 ? TASK_FDS : TASK_ROOT, ~0U, 0) == 0) return;
  /* A kernel before 5.9; only when the agent is tested as an ordinary process. */
  for (int fd = TASK_FDS; fd < 4096; fd++) close(fd);
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
  take_descriptors(ends, false);
  if (request->kind == KIND_ASSEMBLE) assemble_run(&request->assemble);
  if (request->kind == KIND_SHUTDOWN) shutdown_run(request->grace_ms);
  if (request->kind == KIND_VOLUME) volume_run(&request->volume);
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
  take_descriptors(command->ends, command->request->flags & EXEC_MERGED);
  enter_workload();
  exec_run(command->request);
}

static _Noreturn void run_command_apart(const struct exec_request *request, const struct ends *ends) {
  reset_signals();
  take_descriptors(ends, request->flags & EXEC_MERGED);
  uint32_t pid = (uint32_t)getpid();
  if (write(TASK_STATUS, &pid, sizeof pid) != sizeof pid) _exit(1);
  enter_workload();
  exec_run(request);
}

/* --- the parent --- */

static int make_pipe(struct ends *ends, int which, bool we_write) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return errno;
  ends->ours[which] = fds[we_write];
  ends->theirs[which] = fds[!we_write];
  return fcntl(ends->ours[which], F_SETFL, O_NONBLOCK) < 0 ? errno : 0;
}

static int make_terminal(struct ends *ends, const struct exec_request *exec) {
  int controller = -1, terminal = -1;
  int error = pty_open(&controller, &terminal, exec->rows, exec->cols);
  if (error) return error;
  ends->ours[1] = controller;
  ends->ours[0] = fcntl(controller, F_DUPFD_CLOEXEC, LOW_FDS);
  ends->theirs[0] = terminal;
  ends->theirs[1] = fcntl(terminal, F_DUPFD_CLOEXEC, LOW_FDS);
  ends->theirs[2] = fcntl(terminal, F_DUPFD_CLOEXEC, LOW_FDS);
  return ends->ours[0] < 0 || ends->theirs[1] < 0 || ends->theirs[2] < 0 ? errno : 0;
}

static bool says_much(enum request_kind kind) {
  bool copies = kind == KIND_COPY_IN || kind == KIND_COPY_OUT;
  bool looks = kind == KIND_PROCESSES || kind == KIND_FILE_LIST || kind == KIND_FILE_WATCH;
  return copies || looks || kind == KIND_FILE_READ || kind == KIND_LAYER;
}

static int make_ends(struct ends *ends, const struct request *request) {
  int error = 0;
  if (request->kind == KIND_EXEC) {
    const struct exec_request *exec = &request->exec;
    if (fuse_in_use()) error = make_pipe(ends, 3, false);
    if (error) return error;
    if (exec->flags & EXEC_TTY) return make_terminal(ends, exec);
    if (exec->flags & EXEC_STDIN) error = make_pipe(ends, 0, true);
    if (!error) error = make_pipe(ends, 1, false);
    if (!error && !(exec->flags & EXEC_MERGED)) error = make_pipe(ends, 2, false);
    return error;
  }
  error = make_pipe(ends, 3, false);
  if (!error && request->kind == KIND_FUSE) error = fuse_open(&ends->ours[1], &ends->theirs[1]);
  if (!error && says_much(request->kind)) error = make_pipe(ends, 1, false);
  if (!error && request->kind == KIND_FILE_WRITE) error = make_pipe(ends, 0, true);
  return error;
}

static void close_all(const int fds[4]) {
  for (int i = 0; i < 4; i++) {
    if (fds[i] >= 0) close(fds[i]);
  }
}

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

/* File tasks of the bulk link move much at a time; a smaller pipe than asked for is only slower. */
static void widen_pipe(const struct stream *stream, const struct ends *ends) {
  if ((stream->kind == KIND_FILE_READ || stream->kind == KIND_FILE_LIST || stream->kind == KIND_LAYER) && ends->ours[1] >= 0) (void)fcntl(ends->ours[1], F_SETPIPE_SZ, BULK_PIPE);
  if (stream->kind == KIND_FILE_WRITE && ends->ours[0] >= 0) (void)fcntl(ends->ours[0], F_SETPIPE_SZ, BULK_PIPE);
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
  if (!apart) note_start(stream);
  return 0;
}

int task_start_step(struct stream *stream, const struct exec_request *request, const int theirs[3]) {
  struct ends ends = {{-1, -1, -1, -1}, {theirs[0], theirs[1], theirs[2], -1}};
  int error = fuse_in_use() ? make_pipe(&ends, 3, false) : 0;
  if (!error) error = launch_command(stream, request, &ends);
  if (ends.theirs[3] >= 0) close(ends.theirs[3]);
  stream->status_fd = ends.ours[3];
  if (error || stream->status_fd < 0) return error;
  return loop_watch(stream->status_fd, EPOLLIN | EPOLLET, ROLE_STATUS, stream_slot(stream), stream->generation) ? 0 : errno;
}

/* A plan that begins with files: they are written by a task of their own, which has no pipe but for its result. */
static int start_staging(struct stream *stream, const struct request *request, struct ends *ends) {
  struct ends own = {{-1, -1, -1, -1}, {-1, -1, -1, -1}};
  int error = ends->theirs[3] < 0 ? make_pipe(ends, 3, false) : 0;
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
  int error = make_ends(&ends, request);
  if (!error) {
    widen_pipe(stream, &ends);
    if (command) error = begin_command(stream, request, &ends);
    else if ((stream->pid = start_built_in(request, &ends)) < 0) error = errno;
  }
  close_all(ends.theirs);
  if (error) {
    stream->pid = 0;
    close_all(ends.ours);
    return error;
  }
  /* Descriptors that cannot be watched end with the stream; the child is killed with it. */
  return watch(stream, stream_slot(stream), &ends);
}
