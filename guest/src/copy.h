/* Copying trees from a disk of the host into the workload's root, and out of it. */
#ifndef COPY_H
#define COPY_H

#include "request.h"

#include <sys/stat.h>

/* Begins to copy: whom the files are given to, and that SIGTERM ends it in order. */
void copy_begin(const struct copy_request *request);

/* The device that is copied from, for reading ahead what the file system would read block by block; -1 to close it. */
void copy_reads_ahead_of(int device);

/* Copies one entry of a folder into another one, with all below it; what is there is replaced, folders are merged. */
void copy_entry(int from, const char *name, int to, const char *as);

/* Copies what is in the folder `from`, which is closed then, into the folder `to`. */
void copy_children(int from, int to);

/* Gives owner, mode, attributes and time of `source` to the open file or folder. */
void copy_attributes(int source, int target, const struct stat *of);

/* The copy of a new tree is made under this path, and is removed if it fails; NULL when it has its name. */
void copy_is_made_at(const char *path);

/* Goes down to an entry of the folder that is being copied, for messages; gives what copy_leave wants. */
size_t copy_enter(const char *name);
void copy_leave(size_t before);
/* The path below the first folder. */
const char *copy_where(void);

/* Removes what is half made, and ends the task. */
_Noreturn void copy_fail(int error, const char *doing);

/* Ends the task if that was asked for; says now and then how far it is. */
void copy_goes_on(uint64_t more_bytes, bool another_file);

/* Says that it is done, with the figures; of an archive its length. */
_Noreturn void copy_done(uint64_t length);

/* The content of a regular file (copy_content.c); 0 or an errno. `to` is empty, and open for reading as well. */
int copy_content(int from, int to, uint64_t size);

/* Where a file with several names was copied to (copy_links.c): a path below the first folder, or NULL when it comes for the first time. */
const char *copy_link_known(const struct stat *of);
void copy_link_note(const struct stat *of, const char *path);

#endif
