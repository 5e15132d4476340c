#include "io/recorder.h"

#include <errno.h>

_Atomic(lg_recorder *) lg_recorder_current;
static _Atomic(void *) current_arg;

void lg_recorder_set(lg_recorder *recorder, void *arg)
{
	atomic_store(&lg_recorder_current, NULL);
	atomic_store(&current_arg, arg);
	atomic_store(&lg_recorder_current, recorder);
}

void lg_recorder_tell(const struct lg_recorded *what)
{
	int kept = errno;
	lg_recorder *recorder = atomic_load_explicit(&lg_recorder_current, memory_order_acquire);
	if (recorder)
		recorder(atomic_load_explicit(&current_arg, memory_order_relaxed), what);
	errno = kept;
}
