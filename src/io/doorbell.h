/* doorbell.h - "something was appended", between processes.  A ringer writes to a small file after each commit; a
 * listener watches it with inotify.  (Watching SQLite's -wal misses commits.) */
#ifndef LG_IO_DOORBELL_H
#define LG_IO_DOORBELL_H

#include "base/error.h"

#include <stdint.h>

int lg_doorbell_ring(const char *path); /* best effort, creates the file; never fails a commit */
/* The same for who rings often: *fd is kept open between the rings, -1 at first; the caller closes it. */
int lg_doorbell_ring_kept(const char *path, int *fd);

struct lg_doorbell;
int lg_doorbell_open(const char *path, struct lg_doorbell **ret_bell, struct lg_error *err);
void lg_doorbell_close(struct lg_doorbell *bell);
int lg_doorbell_fd(const struct lg_doorbell *bell); /* readable when rung since the last wait */
/* 1 when rung (all pending rings are taken), 0 after timeout_ms; negative on failure. */
int lg_doorbell_wait(struct lg_doorbell *bell, int64_t timeout_ms, struct lg_error *err);

#endif
