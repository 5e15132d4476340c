/* worker_run - what one process costs: its time from start to end and its peak memory.
 *
 *	worker_run COMMAND [ARGUMENT …]
 *
 * COMMAND has our standard input and output; one JSON line goes to standard error.  A process that is started counts as large as
 * what started it was, so a bench in python cannot ask by itself. */
#include "common.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct rusage usage;
	pid_t pid;
	int status;
	if (argc < 2)
		bench_die("which command?");
	double start = bench_now_us();
	int rc = posix_spawnp(&pid, argv[1], NULL, NULL, argv + 1, environ);
	if (rc != 0)
		bench_die("cannot start '%s': %s", argv[1], strerror(rc));
	if (wait4(pid, &status, 0, &usage) < 0)
		bench_die("cannot wait for '%s': %s", argv[1], strerror(errno));
	fprintf(stderr, "{\"seconds\":%.6f,\"rss\":%ld}\n", (bench_now_us() - start) / 1e6,
		usage.ru_maxrss * 1024);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
