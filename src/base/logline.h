/* logline.h - log lines of the processes that have a log (monitor, serve).  Library code never calls this.
 *
 * One line on stderr: time, level, message, then key=value pairs; every value is made printable.
 *	lg_logline(LG_LOG_WARN, "probe failed", "probe", name, "error", err.message, NULL);
 */
#ifndef LG_BASE_LOGLINE_H
#define LG_BASE_LOGLINE_H

enum lg_log_level { LG_LOG_DEBUG, LG_LOG_INFO, LG_LOG_WARN, LG_LOG_ERROR };

void lg_logline_set_level(enum lg_log_level lowest);
/* Pairs of const char * up to NULL. */
void lg_logline(enum lg_log_level level, const char *message, ...) __attribute__((sentinel));

#endif
