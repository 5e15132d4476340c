/* memory.h - a log in the memory of this process, for tests and for trying things out. */
#ifndef LG_LOG_MEMORY_MEMORY_H
#define LG_LOG_MEMORY_MEMORY_H

#include "log/log.h"

extern const struct lg_log_ops lg_log_memory_ops;

#endif
