/* The program: makes the process safe to act from, then hands over to the command line. */
#include "base/error.h"
#include "cli/cli.h"
#include "io/fault.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* A store opened as descriptor 2 would be written to by the next warning. */
static int occupy_standard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		int opened = open("/dev/null", fd == 0 ? O_RDONLY : O_RDWR);
		if (opened != fd)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (occupy_standard_descriptors() < 0)
		return lg_code_exit(LG_EIO);
	/* a state is read through one large buffer, several times in a process: its pages are kept, not faulted in again */
	mallopt(M_MMAP_THRESHOLD, 512 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 512 * 1024 * 1024);
	signal(SIGPIPE, SIG_IGN); /* a reader that leaves must not end a rollback half way */
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error to report, not a death */
#ifdef LG_FAULT_INJECTION
	struct lg_error err = LG_ERROR_INIT;
	if (lg_fault_from_env(&err) < 0) {
		fprintf(stderr, "lastgood: %s\n", err.message);
		return lg_code_exit(LG_EUSAGE);
	}
#endif
	return lg_cli_main(argc, argv);
}
