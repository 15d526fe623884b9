/* Writing a tar archive onto a disk. */
#ifndef TAR_H
#define TAR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { TAR_BLOCK = 512, TAR_SEGMENTS_MAX = 4096 };

/* A part of a sparse file that is stored. */
struct segment {
  uint64_t offset;
  uint64_t length;
};

/* What an entry is besides its attributes. */
struct tar_entry {
  const char *name;
  const char *link;      /* what a symbolic or hard link says, else NULL */
  const struct stat *of;
  char type;             /* the type flag */
  int attributes;        /* descriptor whose extended attributes are kept, or -1 */
  const struct segment *segments; /* of a sparse file, else NULL */
  size_t segment_count;
  uint64_t stored;       /* bytes of content that follow */
};

/* The archive goes to the device, which has so many bytes. 0 or an errno. */
int tar_begin(int device, uint64_t size);

/* Writes the headers of an entry; 0 or an errno, as all that follows. */
int tar_header(const struct tar_entry *entry);

/* Content of the entry: `length` bytes of a file from `offset` on; zeros where it has become shorter. */
int tar_content(int file, uint64_t offset, uint64_t length);

/* Fills the entry's last block. */
int tar_pad(uint64_t stored);

/* Ends the archive and gives its length. */
int tar_end(uint64_t *length);

#endif
