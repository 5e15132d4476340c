/* host_support.h - a real program to be a service, and ways to watch it. */
#ifndef LG_TESTS_UNIT_HOST_SUPPORT_H
#define LG_TESTS_UNIT_HOST_SUPPORT_H

#include "support/support.h"

#include "host/service/service.h"
#include "io/fault.h"

#include <sys/types.h>

#define HOST_SECOND INT64_C(1000000000)

/* A fresh directory with service.py in it: a program that writes a line to `events` for its start ("started NAME=VALUE
 * DIRECTORY"), HUP ("HUP"), USR1, and TERM, on which it ends, unless called with "stubborn".  It ends by itself when the
 * directory goes away, so a test that fails leaves no process behind. */
struct host_room {
	char *dir, *state_dir, *events, *program;
	char *argv[4];               /* /usr/bin/python3 PROGRAM [stubborn] */
	struct lg_service_spec spec; /* process driver, name "web" */
};
void host_room_init(struct host_room *room, const char *name);
void host_room_clear(struct host_room *room);
char *host_room_path(const struct host_room *room, const char *name); /* lives until the end of the program */

/* Waits (10 s at most) until `events` has so many lines that begin with text. */
void host_wait_events(const struct host_room *room, const char *text, size_t count);
size_t host_count_events(const struct host_room *room, const char *text);
/* Waits until done(arg), 10 s at most. */
void host_wait(bool (*done)(void *arg), void *arg);
/* Processes whose command line names something below the room. */
size_t host_count_processes(const struct host_room *room);
pid_t host_pid(const struct host_room *room); /* from the state file of "web"; 0 when there is none */
enum lg_service_state host_state(struct lg_service *service);

/* Makes the Nth call of src/io from now on fail with EIO. */
struct host_fault {
	size_t at, calls;
	bool fired;
};
void host_fault_begin(struct host_fault *fault, size_t at);
void host_fault_end(void);

#endif
