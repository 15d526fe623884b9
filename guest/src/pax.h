/* Writing a tar archive (POSIX pax) to a task's output. All end the task with FAILED when they cannot. */
#ifndef PAX_H
#define PAX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Adds a record to the next entry's extended header. */
void pax_extend(const char *key, const void *value, size_t length);

/* An entry's headers. `type` is tar's letter; `link` is "" for all but links; `size` bytes of content must follow by pax_content. */
void pax_entry(const char *name, char type, const struct stat *stat, const char *link, uint64_t size);

/* The content of an entry: exactly `size` bytes of the open file. What it lacks is filled with zeros. */
void pax_content(int fd, uint64_t size, const char *name);

void pax_end(void);

#endif
