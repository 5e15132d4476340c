#include "host/adapter/adapter.h"

#include "base/cleanup.h"
#include "host/adapter/check.h"
#include "host/adapter/delivered.h"
#include "host/adapter/render.h"
#include "io/file.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MS    INT64_C(1000000)
#define SPARE INT64_C(5000) /* ms beyond the deadlines of whoever has a lock */

struct lg_adapter {
	const struct lg_service_spec *service_spec;
	const struct lg_adapter_spec *spec;
	struct lg_service *service; /* borrowed; may be NULL when nobody is notified */
	const struct lg_clock *clock;
	lg_adapter_reveal *reveal;
	void *reveal_arg;
	char *directory;  /* of the destination */
	char *stage_path; /* beside it, hidden, with its ending: what checks may look at */
	char *state_dir;  /* STATE_DIR/adapters, made when something is written there */
	char *state_path;
	char *lock_path;       /* one delivery at a time */
	char *check_lock_path; /* one staged file at a time; taken inside the other one */
};

LG_DEFINE_CLEANUP(struct lg_adapter *, lg_adapter_close)

static int set_paths(struct lg_adapter *adapter, const char *state_dir)
{
	const char *path = adapter->spec->path, *name = adapter->service_spec->name;
	const char *base = strrchr(path, '/') + 1;
	adapter->directory = base - path > 1 ? strndup(path, (size_t)(base - path) - 1) : strdup("/");
	if (!adapter->directory || asprintf(&adapter->state_dir, "%s/adapters", state_dir) < 0)
		return LG_ENOMEM;
	if (asprintf(&adapter->stage_path, "%.*s.lastgood-check-%s", (int)(base - path), path, base) < 0 ||
		asprintf(&adapter->state_path, "%s/%s.json", adapter->state_dir, name) < 0 ||
		asprintf(&adapter->lock_path, "%s/%s.lock", adapter->state_dir, name) < 0 ||
		asprintf(&adapter->check_lock_path, "%s/%s.check.lock", adapter->state_dir, name) < 0)
		return LG_ENOMEM;
	return 0;
}

int lg_adapter_open(const struct lg_service_spec *spec, struct lg_service *service, const char *state_dir,
	const struct lg_clock *clock, lg_adapter_reveal *reveal, void *reveal_arg,
	struct lg_adapter **ret_adapter, struct lg_error *err)
{
	if (!spec->has_adapter || !spec->adapter.path || spec->adapter.path[0] != '/')
		return lg_fail(err, LG_EINTERNAL, 0, "service '%s' has no adapter", spec->name);
	if (spec->adapter.notify != LG_NOTIFY_NONE && !service)
		return lg_fail(
			err, LG_EINTERNAL, 0, "the adapter of '%s' has no service to notify", spec->name);
	lg_cleanup(lg_adapter_closep) struct lg_adapter *adapter = calloc(1, sizeof *adapter);
	if (!adapter)
		return lg_fail_nomem(err);
	adapter->service_spec = spec;
	adapter->spec = &spec->adapter;
	adapter->service = service;
	adapter->clock = clock;
	adapter->reveal = reveal;
	adapter->reveal_arg = reveal_arg;
	if (set_paths(adapter, state_dir) < 0)
		return lg_fail_nomem(err);
	*ret_adapter = lg_steal_ptr(&adapter);
	return 0;
}

void lg_adapter_close(struct lg_adapter *adapter)
{
	if (!adapter)
		return;
	free(adapter->directory);
	free(adapter->stage_path);
	free(adapter->state_dir);
	free(adapter->state_path);
	free(adapter->lock_path);
	free(adapter->check_lock_path);
	free(adapter);
}

const char *lg_adapter_name(const struct lg_adapter *adapter)
{
	return adapter->service_spec->name;
}

const char *lg_adapter_path(const struct lg_adapter *adapter)
{
	return adapter->spec->path;
}

const char *lg_adapter_prefix(const struct lg_adapter *adapter)
{
	return adapter->spec->prefix;
}

bool lg_adapter_attached(const struct lg_adapter *adapter)
{
	return adapter->spec->attached;
}

/* --- render, check, verify --------------------------------------------------------------------------------------- */

static int render(const struct lg_adapter *adapter, const struct lg_tree *tree, struct lg_buf *buf,
	bool *ret_secret, struct lg_error *err)
{
	int rc = lg_render(adapter->spec, tree, adapter->reveal, adapter->reveal_arg, buf, ret_secret, err);
	return rc < 0 ? lg_context(err, rc, "cannot render '%s'", adapter->spec->path) : 0;
}

int lg_adapter_render(
	const struct lg_adapter *adapter, const struct lg_tree *tree, struct lg_buf *buf, struct lg_error *err)
{
	bool secret;
	return render(adapter, tree, buf, &secret, err);
}

/* The destination must be a place for a plain file. A symlink is refused: what it points to is not ours to replace. */
static int check_place(const struct lg_adapter *adapter, struct lg_error *err)
{
	struct stat st;
	if (stat(adapter->directory, &st) < 0 && errno == ENOENT)
		return lg_fail(err, LG_EFAILED, 0, "directory '%s' does not exist; create it for the file '%s'",
			adapter->directory, adapter->spec->path);
	if (lstat(adapter->spec->path, &st) < 0)
		return errno == ENOENT
			? 0
			: lg_fail(err, LG_EIO, errno, "cannot look at '%s'", adapter->spec->path);
	if (S_ISREG(st.st_mode))
		return 0;
	return lg_fail(err, LG_EINVALID, 0,
		"'%s' is %s and is not replaced; name the file itself in lastgood.yaml", adapter->spec->path,
		S_ISLNK(st.st_mode) ? "a symbolic link" : "no regular file");
}

static int take_lock(
	const struct lg_adapter *adapter, const char *path, int64_t wait_ms, int *ret_fd, struct lg_error *err)
{
	/* what is in there only saves work: it need not be known to be on disk each time */
	int rc = lg_file_exists(adapter->state_dir) ? 0 : lg_dir_make(adapter->state_dir, 0700, err);
	if (rc == 0)
		rc = lg_lock_file(path, wait_ms, ret_fd, err);
	return rc < 0 ? lg_context(err, rc, "adapter of service '%s'", adapter->service_spec->name) : 0;
}

int lg_adapter_check(const struct lg_adapter *adapter, const void *data, size_t len, struct lg_error *err)
{
	if (!adapter->spec->check)
		return 0;
	int rc = check_place(adapter, err);
	if (rc < 0)
		return rc;
	lg_autoclose int held = -1;
	rc = take_lock(adapter, adapter->check_lock_path, 2 * (adapter->spec->check_timeout_ns / MS) + SPARE,
		&held, err);
	if (rc < 0)
		return rc;
	return lg_check_run(adapter->service_spec, adapter->stage_path, data, len, err);
}

/* 1 with its hash, 0 when there is no file. */
static int hash_on_disk(const struct lg_adapter *adapter, uint8_t ret_hash[LG_HASH_SIZE], struct lg_error *err)
{
	int rc = lg_file_hash(adapter->spec->path, ret_hash, err);
	return rc == LG_ENOTFOUND ? 0 : rc < 0 ? rc : 1;
}

static void hash_of(const struct lg_buf *text, uint8_t ret_hash[LG_HASH_SIZE])
{
	crypto_generichash(ret_hash, LG_HASH_SIZE, (const unsigned char *)lg_buf_str(text), text->len, NULL, 0);
}

int lg_adapter_verify(const struct lg_adapter *adapter, const struct lg_tree *tree, uint8_t ret_hash[32],
	struct lg_error *err)
{
	lg_cleanup(lg_buf_clear) struct lg_buf text = LG_BUF_INIT;
	uint8_t wanted[LG_HASH_SIZE], found[LG_HASH_SIZE] = { 0 };
	int rc = lg_adapter_render(adapter, tree, &text, err);
	if (rc < 0)
		return rc;
	rc = hash_on_disk(adapter, found, err);
	if (rc < 0)
		return rc;
	hash_of(&text, wanted);
	memcpy(ret_hash, found, sizeof found);
	return rc == 1 && memcmp(wanted, found, sizeof wanted) == 0;
}

/* --- deliver ----------------------------------------------------------------------------------------------------- */

struct delivery {
	struct lg_adapter *adapter;
	struct lg_buf text; /* the file as it should be */
	bool secret;
	bool differs; /* the file on disk is another one, or absent */
	bool unchecked;
	struct lg_delivered_state former, next;
	struct lg_delivery_result result;
};

static int64_t now_ns(const struct lg_adapter *adapter)
{
	return adapter->clock->boottime_ns(adapter->clock);
}

static int write_state(const struct delivery *d, struct lg_error *err)
{
	const struct lg_adapter *adapter = d->adapter;
	return lg_delivered_write(adapter->state_path, adapter->spec->path,
		adapter->clock->realtime_us(adapter->clock), &d->next, err);
}

/* Whoever was killed in the middle may have left a temporary beside the file, and its secrets in it.  With the locks held
 * nobody is writing one; the check's lock may be taken by a check outside any delivery, which then cleans up itself. */
static int sweep(const struct lg_adapter *adapter, struct lg_error *err)
{
	int rc = lg_file_sweep(adapter->spec->path, err);
	if (rc < 0 || !adapter->spec->check)
		return rc;
	lg_autoclose int held = -1;
	rc = take_lock(adapter, adapter->check_lock_path, 0, &held, err);
	if (rc == LG_EBUSY)
		return 0;
	if (rc == 0)
		rc = lg_file_sweep(adapter->stage_path, err);
	if (rc == 0 && lg_file_exists(adapter->stage_path))
		rc = lg_file_remove(adapter->stage_path, err);
	return rc;
}

/* Renders, and compares with what stands: sets text, differs, next. */
static int compare(struct delivery *d, const struct lg_tree *tree, struct lg_error *err)
{
	int rc = render(d->adapter, tree, &d->text, &d->secret, err);
	if (rc == 0)
		rc = check_place(d->adapter, err);
	if (rc == 0)
		rc = sweep(d->adapter, err);
	if (rc < 0)
		return rc;
	uint8_t found[LG_HASH_SIZE];
	rc = hash_on_disk(d->adapter, found, err);
	if (rc < 0)
		return rc;
	hash_of(&d->text, d->next.hash);
	d->differs = rc == 0 || memcmp(found, d->next.hash, sizeof found) != 0;
	/* what was installed by somebody else was never announced by us, so the service may not know it */
	bool told = d->former.known && d->former.notified && !d->differs &&
		memcmp(d->former.hash, d->next.hash, sizeof found) == 0;
	d->next.notified = told || d->adapter->spec->notify == LG_NOTIFY_NONE;
	return 0;
}

/* From here on an older sequence is turned away, and the service is owed a word: see delivered.h. */
static int install(struct delivery *d, struct lg_error *err)
{
	const struct lg_delivered_state *former = &d->former, *next = &d->next;
	bool known = former->known && former->sequence == next->sequence &&
		former->revision == next->revision && former->notified == next->notified &&
		memcmp(former->hash, next->hash, sizeof next->hash) == 0;
	int rc = known ? 0 : write_state(d, err);
	if (rc == 0 && d->differs) {
		/* a new file with a secret in it is its owner's only; an existing one keeps what the admin gave it */
		struct lg_replace_options options = { .mode = d->secret ? 0600 : 0644, .keep_meta = true };
		rc = lg_file_replace(d->adapter->spec->path, lg_buf_str(&d->text), d->text.len, &options, err);
	}
	if (rc < 0)
		return rc;
	d->result.changed = d->differs;
	d->result.installed_ns = now_ns(d->adapter);
	return 0;
}

/* A service that was stopped reads the file when it is started, which is not ours to do; one that died may have died of the
 * former file, and is started with this one. */
static int tell_service(struct delivery *d, struct lg_error *err)
{
	struct lg_service *service = d->adapter->service;
	enum lg_service_state state;
	int rc = lg_service_state(service, &state, err);
	if (rc < 0)
		return rc;
	if (state == LG_SERVICE_STOPPED && !lg_service_died(service))
		return 0;
	if (state == LG_SERVICE_STOPPED)
		rc = lg_service_start(service, err);
	else if (d->adapter->spec->notify == LG_NOTIFY_RESTART)
		rc = lg_service_restart(service, err);
	else
		rc = lg_service_reload(service, err);
	if (rc < 0)
		return rc;
	d->result.notified = true;
	d->result.notified_ns = now_ns(d->adapter);
	return 0;
}

static int notify(struct delivery *d, struct lg_error *err)
{
	if (d->next.notified)
		return 0;
	int rc = tell_service(d, err);
	if (rc < 0)
		return lg_context(
			err, rc, "'%s' is in place, yet its service could not be told", d->adapter->spec->path);
	d->next.notified = true;
	return write_state(d, err);
}

static int read_back(struct delivery *d, struct lg_error *err)
{
	int rc = hash_on_disk(d->adapter, d->result.hash, err);
	if (rc < 0)
		return rc;
	if (rc == 1 && memcmp(d->result.hash, d->next.hash, LG_HASH_SIZE) == 0)
		return 0;
	return lg_fail(err, LG_ECORRUPT, 0,
		"'%s' was changed by somebody else while it was delivered; deliver again",
		d->adapter->spec->path);
}

static int deliver(struct delivery *d, const struct lg_tree *tree, struct lg_error *err)
{
	const struct lg_adapter *adapter = d->adapter;
	int rc = lg_delivered_read(adapter->state_path, adapter->spec->path, &d->former, err);
	if (rc < 0)
		return rc;
	if (d->former.known && d->former.sequence > d->next.sequence) {
		d->result.superseded = true;
		rc = hash_on_disk(adapter, d->result.hash, err);
		return rc < 0 ? rc : 0;
	}
	rc = compare(d, tree, err);
	if (rc == 0 && d->differs && !d->unchecked)
		rc = lg_adapter_check(adapter, lg_buf_str(&d->text), d->text.len, err);
	if (rc == 0)
		rc = install(d, err);
	if (rc == 0)
		rc = notify(d, err);
	if (rc == 0)
		rc = read_back(d, err);
	return rc;
}

/* d: adapter, next, unchecked. */
static int deliver_locked(struct delivery *d, const struct lg_tree *tree, struct lg_delivery_result *ret_result,
	struct lg_error *err)
{
	const struct lg_adapter *adapter = d->adapter;
	const struct lg_service_spec *service = adapter->service_spec;
	/* as long as another delivery may take: two checks before it, stop and start */
	int64_t wait_ns =
		3 * adapter->spec->check_timeout_ns + service->stop_timeout_ns + 3 * service->timeout_ns;
	lg_autoclose int held = -1;
	int rc = take_lock(adapter, adapter->lock_path, wait_ns / MS + SPARE, &held, err);
	if (rc < 0)
		return rc;
	rc = deliver(d, tree, err);
	lg_buf_clear(&d->text);
	if (rc == 0 || d->result.installed_ns)
		*ret_result = d->result;
	return rc;
}

int lg_adapter_deliver(struct lg_adapter *adapter, const struct lg_tree *tree, uint64_t revision,
	uint64_t sequence, struct lg_delivery_result *ret_result, struct lg_error *err)
{
	struct delivery d = { .adapter = adapter,
		.next = { .known = true, .revision = revision, .sequence = sequence } };
	return deliver_locked(&d, tree, ret_result, err);
}

int lg_adapter_put_back(struct lg_adapter *adapter, const struct lg_tree *tree, uint64_t revision,
	uint64_t sequence, struct lg_delivery_result *ret_result, struct lg_error *err)
{
	struct delivery d = { .adapter = adapter,
		.next = { .known = true, .revision = revision, .sequence = sequence },
		.unchecked = true };
	return deliver_locked(&d, tree, ret_result, err);
}
