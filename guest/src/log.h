/* One clear line on the machine's console (in host mode: standard error) for whoever reads why it failed. */
#ifndef LOG_H
#define LOG_H

void log_open(const char *path);
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Logs, then ends: powers the machine off when this is PID 1 of it. */
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
