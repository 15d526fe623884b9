/* Tasks: forked children that do whatever may block, and how they report. */
#ifndef TASK_H
#define TASK_H

#include "stream.h"

/* What was being done when a task failed, for the host to tell "not found" from "not possible". */
enum stage { STAGE_OTHER, STAGE_USER, STAGE_CWD, STAGE_COMMAND, STAGE_FILES };

/* Descriptors of a task. */
enum { TASK_INPUT = 0, TASK_OUTPUT = 1, TASK_ERROR = 2, TASK_STATUS = 3, TASK_ROOT = 4, TASK_FDS = 5 };

/* Once, before any task: the memory in which commands say how they started, and the low descriptors (ends.h). */
void tasks_init(void);

/* Starts the task and fills the stream's descriptors; 0 or an errno. A command that cannot start leaves its FAILED in `result`. */
int task_start(struct stream *stream, const struct request *request);

/* The status pipe of a command that was started in a memory of its own has ended: it runs, or has said why not. */
void task_started_apart(struct stream *stream);

/* Starts a command of a plan on the pipes that its stream has already; 0 or an errno. */
int task_start_step(struct stream *stream, const struct exec_request *request, const int theirs[3]);

/* For children: say how it went, and end. */
_Noreturn void task_fail(int error, enum stage stage, const char *format, ...) __attribute__((format(printf, 3, 4)));
_Noreturn void task_done(struct writer *writer);
/* Says DONE and goes on (the workload's init). */
void task_report(struct writer *writer);

/* Encodes FAILED. */
void write_failed(struct writer *writer, int error, enum stage stage, const char *message);

_Noreturn void exec_run(const struct exec_request *request);
_Noreturn void file_read_run(const struct file_request *request);
_Noreturn void file_write_run(const struct file_request *request);
_Noreturn void assemble_run(const struct assemble_request *request);
_Noreturn void listener_run(const struct listener_request *request);
_Noreturn void volume_run(const struct volume_request *request);
_Noreturn void copy_in_run(const struct copy_request *request);
_Noreturn void copy_out_run(const struct copy_request *request);
_Noreturn void layer_run(const struct layer_request *request);
_Noreturn void mount_run(const struct mount_request *request);
_Noreturn void socket_run(const struct mount_request *request);
_Noreturn void shutdown_run(uint32_t grace_ms);
_Noreturn void processes_run(void);
_Noreturn void change_run(const struct change_request *request);
_Noreturn void list_run(const struct look_request *request);
_Noreturn void watch_run(const struct look_request *request);
_Noreturn void signal_run(const struct signal_request *request);

#endif
