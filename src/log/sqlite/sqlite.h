/* sqlite.h - the embedded log: one SQLite file in WAL mode. internal.h says how it is laid out. */
#ifndef LG_LOG_SQLITE_SQLITE_H
#define LG_LOG_SQLITE_SQLITE_H

#include "log/log.h"

extern const struct lg_log_ops lg_log_sqlite_ops;

#endif
