/* futex.h - sleeping on a number until somebody changes it.
 *
 * Who waits has read the number before it looked whether it has to wait; who wakes changes what is looked at, then the
 * number, then wakes.  So no wake-up is lost.  Waking all that sleep on one number is one system call, which is what this
 * is for: a semaphore a sleeper costs one each.  Within one process. */
#ifndef LG_BASE_FUTEX_H
#define LG_BASE_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns when woken, at once when *number is not `value` any more, and sometimes for nothing. */
static inline void lg_futex_wait(_Atomic uint32_t *number, uint32_t value)
{
	syscall(SYS_futex, number, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

/* So many at most; how many did sleep. */
static inline long lg_futex_wake(_Atomic uint32_t *number, int count)
{
	return syscall(SYS_futex, number, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

#endif
