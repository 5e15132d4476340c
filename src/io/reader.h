/* reader.h - reads a file that may be damaged, and never changes it: opened O_RDONLY, no lock taken, no byte written.
 *
 * A stretch that the disk does not give up any more reads as zeros and is counted, so that one bad sector does not cost
 * what lies beside it.
 */
#ifndef LG_IO_READER_H
#define LG_IO_READER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct lg_reader {
	int fd;              /* -1: none is open */
	uint64_t size;       /* as of the opening */
	uint64_t unreadable; /* bytes */
	char *path;
};
#define LG_READER_INIT                                                                                         \
	{                                                                                                      \
		.fd = -1                                                                                       \
	}

/* A regular file; LG_ENOTFOUND when there is none, LG_EINVALID for anything else. */
int lg_reader_open(const char *path, struct lg_reader *ret_reader, struct lg_error *err);
void lg_reader_clear(struct lg_reader *reader); /* NULL and unopened are fine */
/* Exactly len bytes into to: zeros behind the end and where the disk fails.  How many of them lie within the file. */
size_t lg_reader_at(struct lg_reader *reader, uint64_t offset, void *to, size_t len);
/* The process that holds a lock somewhere in these bytes, as fcntl(2) tells; 0: nobody does. */
pid_t lg_reader_locked_by(const struct lg_reader *reader, uint64_t offset, uint64_t len);

#endif
