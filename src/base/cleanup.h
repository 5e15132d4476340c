/* cleanup.h - release by scope.
 *
 *	lg_autofree char *path = NULL;           free() at the end of the scope
 *	lg_autoclose int fd = -1;                close() if >= 0
 *	lg_cleanup(lg_buf_clear) struct lg_buf b = LG_BUF_INIT;
 *	return lg_steal_ptr(&path);              hand it to the caller instead
 *
 * lg_cleanup(f) wants f to take a pointer to the variable.  For `void x_free(struct x *)` declare once
 * LG_DEFINE_CLEANUP(struct x *, x_free) and write lg_cleanup(x_freep) struct x *v = NULL;
 */
#ifndef LG_BASE_CLEANUP_H
#define LG_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define lg_cleanup(function) __attribute__((cleanup(function)))

static inline void lg_free_cleanup(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

static inline void lg_close_cleanup(const int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

#define lg_autofree  lg_cleanup(lg_free_cleanup)
#define lg_autoclose lg_cleanup(lg_close_cleanup)

/* NOLINTBEGIN(bugprone-macro-parentheses): a type takes no parentheses */
#define LG_DEFINE_CLEANUP(type, function)                                                                      \
	static inline void function##p(type *p)                                                                \
	{                                                                                                      \
		if (*p)                                                                                        \
			function(*p);                                                                          \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

#define lg_steal_ptr(pp)                                                                                       \
	({                                                                                                     \
		__typeof__(*(pp)) stolen_ = *(pp);                                                             \
		*(pp) = NULL;                                                                                  \
		stolen_;                                                                                       \
	})

static inline int lg_steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

#endif
