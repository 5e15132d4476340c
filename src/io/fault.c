#include "io/fault.h"

#include "base/text.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic(lg_fault_hook *) current_hook;
static _Atomic(void *) current_arg;

void lg_fault_set(lg_fault_hook *hook, void *arg)
{
	atomic_store(&current_hook, NULL);
	atomic_store(&current_arg, arg);
	atomic_store(&current_hook, hook);
}

int lg_fault_check(enum lg_fault_op op, const char *path)
{
	lg_fault_hook *hook = atomic_load_explicit(&current_hook, memory_order_acquire);
	if (__builtin_expect(hook == NULL, 1))
		return 0;
	return hook(atomic_load_explicit(&current_arg, memory_order_relaxed), op, path);
}

/* ---- LASTGOOD_FAULT ---- */

#define ANY_OP  LG_FAULT_OP_COUNT
#define DO_KILL (-1)

struct env_fault {
	int op; /* enum lg_fault_op or ANY_OP */
	int64_t nth;
	bool onwards;
	int what; /* errno or DO_KILL */
	_Atomic int64_t calls;
};

static struct env_fault env_fault;

static const char *const op_names[] = {
	[LG_FAULT_OPEN] = "open",
	[LG_FAULT_READ] = "read",
	[LG_FAULT_WRITE] = "write",
	[LG_FAULT_FSYNC] = "fsync",
	[LG_FAULT_RENAME] = "rename",
	[LG_FAULT_UNLINK] = "unlink",
	[LG_FAULT_MKDIR] = "mkdir",
	[LG_FAULT_LOCK] = "lock",
	[LG_FAULT_FORK] = "fork",
	[LG_FAULT_LOG_APPEND] = "log_append",
	[LG_FAULT_STEP] = "step",
	[ANY_OP] = "*",
};

static const struct {
	const char *name;
	int what;
} whats[] = {
	{ "KILL", DO_KILL },
	{ "EIO", EIO },
	{ "ENOSPC", ENOSPC },
	{ "EDQUOT", EDQUOT },
	{ "EROFS", EROFS },
	{ "EACCES", EACCES },
	{ "EPERM", EPERM },
	{ "ENOENT", ENOENT },
	{ "ENOMEM", ENOMEM },
	{ "EMFILE", EMFILE },
	{ "EAGAIN", EAGAIN },
	{ "EINTR", EINTR },
	{ "EXDEV", EXDEV },
	{ "ETIMEDOUT", ETIMEDOUT },
};

static int env_hook(void *arg, enum lg_fault_op op, const char *path)
{
	struct env_fault *fault = arg;
	if (fault->op != ANY_OP && fault->op != (int)op)
		return 0;
	int64_t call = atomic_fetch_add(&fault->calls, 1) + 1;
	if (call != fault->nth && !(fault->onwards && call > fault->nth))
		return 0;
	if (fault->what == DO_KILL)
		kill(getpid(), SIGKILL); /* as a power cut would: no handler, no flush */
	return fault->what;
}

static int parse_op(const char *name, int *ret_op)
{
	for (int i = 0; i <= ANY_OP; i++)
		if (strcmp(op_names[i], name) == 0) {
			*ret_op = i;
			return 0;
		}
	return LG_EINVALID;
}

static int parse_what(const char *name, int *ret_what)
{
	for (size_t i = 0; i < sizeof whats / sizeof *whats; i++)
		if (strcmp(whats[i].name, name) == 0) {
			*ret_what = whats[i].what;
			return 0;
		}
	return LG_EINVALID;
}

/* Cuts spec up in place. */
static int parse_spec(char *spec, struct env_fault *ret_fault)
{
	char *nth = strchr(spec, ':');
	char *what = nth ? strchr(nth + 1, ':') : NULL;
	if (!what)
		return LG_EINVALID;
	*nth++ = '\0';
	*what++ = '\0';
	size_t len = strlen(nth);
	ret_fault->onwards = len > 0 && nth[len - 1] == '+';
	if (ret_fault->onwards)
		nth[len - 1] = '\0';
	if (parse_op(spec, &ret_fault->op) < 0 || parse_what(what, &ret_fault->what) < 0)
		return LG_EINVALID;
	return lg_int_parse(nth, 1, INT64_MAX, &ret_fault->nth, NULL);
}

int lg_fault_from_env(struct lg_error *err)
{
	const char *text = getenv("LASTGOOD_FAULT");
	if (!text || !*text)
		return 0;
	char spec[64], shown[LG_SNIPPET_SIZE];
	struct env_fault fault = { 0 };
	size_t len = strnlen(text, sizeof spec);
	if (len == sizeof spec)
		goto malformed;
	memcpy(spec, text, len + 1);
	if (parse_spec(spec, &fault) < 0)
		goto malformed;
	lg_fault_set(NULL, NULL);
	env_fault = fault;
	lg_fault_set(env_hook, &env_fault);
	return 0;
malformed:
	return lg_fail(err, LG_EUSAGE, 0, "LASTGOOD_FAULT '%s' is not OPERATION:NTH:WHAT, as in rename:3:EIO",
		lg_text_snippet(text, shown));
}
