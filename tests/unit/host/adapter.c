#include "host_support.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "host/adapter/adapter.h"
#include "io/file.h"
#include "model/secret.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const uint8_t store_key[LG_SECRET_KEY_SIZE] = { 1, 2, 3 };

/* An argv that runs a script; lives until the end of the program. */
static char **shell(const char *script)
{
	static char *argvs[64][4];
	static size_t used;
	assert_true(used < 64);
	char **argv = argvs[used++];
	argv[0] = (char *)"/bin/sh";
	argv[1] = (char *)"-c";
	argv[2] = (char *)script;
	return argv;
}

/* A service "web" with an adapter: web/ as env into room/out/web.env. */
struct fixture {
	struct host_room room;
	struct lg_service *service;
	struct lg_adapter *adapter;
	char *out, *path;
};

static int reveal(void *arg, const struct lg_entry *entry, struct lg_buf *ret_value, struct lg_error *err)
{
	return lg_secret_open(store_key, entry->key, entry->value, entry->value_len, ret_value, err);
}

static void fixture_init(struct fixture *f, const char *name)
{
	*f = (struct fixture){ 0 };
	host_room_init(&f->room, name);
	f->out = host_room_path(&f->room, "out");
	f->path = host_room_path(&f->room, "out/web.env");
	assert_int_equal(mkdir(f->out, 0700), 0);
	f->room.spec.has_adapter = true;
	f->room.spec.adapter = (struct lg_adapter_spec){
		.prefix = "web/",
		.path = f->path,
		.format = LG_ADAPTER_ENV,
		.check_timeout_ns = 10 * HOST_SECOND,
		.attached = true,
	};
}

/* After the spec is as the test wants it. */
static void fixture_open(struct fixture *f)
{
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_service_spec *spec = &f->room.spec;
	lg_assert_ok(lg_service_open(spec, f->room.state_dir, lg_clock_system(), &f->service, &err), &err);
	lg_assert_ok(lg_adapter_open(spec, f->service, f->room.state_dir, lg_clock_system(), reveal, NULL,
			     &f->adapter, &err),
		&err);
}

static void fixture_clear(struct fixture *f)
{
	lg_adapter_close(f->adapter);
	lg_service_close(f->service);
	host_room_clear(&f->room);
	free(f->out);
	free(f->path);
}

static struct lg_tree *tree_of(const char *key, const char *value)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *empty = lg_tree_empty();
	struct lg_tree_edit *edit = lg_tree_edit_begin(empty);
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_tree_edit_put(edit, key, strlen(key), value, strlen(value), 1, &err), &err);
	return lg_tree_edit_commit(edit);
}

/* Delivers web/port = value, which is "port=VALUE\n" in the file. */
static int deliver(struct lg_adapter *adapter, const char *value, uint64_t sequence,
	struct lg_delivery_result *ret_result, struct lg_error *err)
{
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = tree_of("web/port", value);
	return lg_adapter_deliver(adapter, tree, sequence, sequence, ret_result, err);
}

static struct lg_delivery_result deliver_ok(struct fixture *f, const char *value, uint64_t sequence)
{
	struct lg_delivery_result result = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(deliver(f->adapter, value, sequence, &result, &err), &err);
	return result;
}

static void assert_file(const char *path, const char *wanted)
{
	lg_autofree char *text = lg_test_read(path, NULL);
	if (!wanted)
		assert_null(text);
	else if (!text)
		fail_msg("'%s' is absent", path);
	else
		assert_string_equal(text, wanted);
}

/* Beside the destination stands what is expected to, and nothing that was staged. */
static size_t count_files(const char *dir)
{
	char **names = NULL;
	size_t count = 0;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_dir_list(dir, &names, &count, &err), &err);
	lg_names_free(names, count);
	return count;
}

static bool state_says(const struct fixture *f, const char *what)
{
	lg_autofree char *path = host_room_path(&f->room, "state/adapters/web.json");
	lg_autofree char *text = lg_test_read(path, NULL);
	return text && strstr(text, what);
}

/* --- plain deliveries -------------------------------------------------------------------------------------------- */

static void test_deliver(void **state)
{
	struct fixture f;
	fixture_init(&f, "deliver");
	fixture_open(&f);
	assert_string_equal(lg_adapter_name(f.adapter), "web");
	assert_string_equal(lg_adapter_prefix(f.adapter), "web/");
	assert_string_equal(lg_adapter_path(f.adapter), f.path);
	assert_true(lg_adapter_attached(f.adapter));
	struct lg_delivery_result result = deliver_ok(&f, "80", 3);
	assert_true(result.changed);
	assert_false(result.notified);
	assert_false(result.superseded);
	assert_true(result.installed_ns > 0);
	assert_file(f.path, "port=80\n");
	uint8_t hash[32];
	char hex[65];
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_file_hash(f.path, hash, &err), &err);
	assert_memory_equal(result.hash, hash, sizeof hash);
	lg_hex_encode(hash, sizeof hash, hex);
	assert_true(state_says(&f, hex));
	assert_true(state_says(&f, "\"revision\":3,\"sequence\":3,"));
	assert_true(state_says(&f, "\"notified\":true"));
	struct stat first, second;
	assert_int_equal(stat(f.path, &first), 0);
	assert_int_equal(first.st_mode & 07777, 0644);

	result = deliver_ok(&f, "80", 4); /* equal content: nothing is replaced, the sequence goes on */
	assert_false(result.changed);
	assert_memory_equal(result.hash, hash, sizeof hash);
	assert_int_equal(stat(f.path, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_true(state_says(&f, "\"sequence\":4,"));
	fixture_clear(&f);
}

static void test_keeps_meta(void **state)
{
	struct fixture f;
	fixture_init(&f, "meta");
	fixture_open(&f);
	deliver_ok(&f, "80", 1);
	assert_int_equal(chmod(f.path, 0640), 0);
	bool root = geteuid() == 0;
	if (root)
		assert_int_equal(chown(f.path, 65534, 65533), 0);
	assert_true(deliver_ok(&f, "81", 2).changed);
	struct stat st;
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	if (root) {
		assert_int_equal(st.st_uid, 65534);
		assert_int_equal(st.st_gid, 65533);
	}
	assert_int_equal(count_files(f.out), 1);
	fixture_clear(&f);
}

static void test_superseded(void **state)
{
	struct fixture f;
	fixture_init(&f, "superseded");
	fixture_open(&f);
	deliver_ok(&f, "80", 7);
	struct lg_delivery_result result = deliver_ok(&f, "79", 6);
	assert_true(result.superseded);
	assert_false(result.changed);
	assert_file(f.path, "port=80\n");
	assert_false(deliver_ok(&f, "81", 7).superseded); /* not older */
	assert_file(f.path, "port=81\n");
	/* a rollback: old revision, new sequence */
	lg_cleanup(lg_tree_unrefp) struct lg_tree *old = tree_of("web/port", "79");
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_adapter_deliver(f.adapter, old, 6, 8, &result, &err), &err);
	assert_file(f.path, "port=79\n");
	assert_true(state_says(&f, "\"revision\":6,\"sequence\":8,"));
	fixture_clear(&f);
}

static void test_changed_by_others(void **state)
{
	struct fixture f;
	fixture_init(&f, "others");
	fixture_open(&f);
	deliver_ok(&f, "80", 1);
	lg_test_write(f.path, "port=1\n", 7);
	assert_true(deliver_ok(&f, "80", 1).changed);
	assert_file(f.path, "port=80\n");
	assert_int_equal(unlink(f.path), 0);
	assert_true(deliver_ok(&f, "80", 1).changed);
	assert_file(f.path, "port=80\n");
	fixture_clear(&f);
}

static void test_damaged_state(void **state)
{
	static const char *const damaged[] = { "", "{", "[]", "{}", "{\"sequence\":-1}",
		"{\"revision\":1,\"sequence\":99,\"hash\":\"xyz\",\"path\":\"/a\",\"notified\":true}",
		"{\"revision\":1,\"sequence\":99,\"hash\":5,\"path\":\"/a\",\"notified\":true}" };
	struct fixture f;
	fixture_init(&f, "damaged");
	fixture_open(&f);
	deliver_ok(&f, "80", 1);
	lg_autofree char *path = host_room_path(&f.room, "state/adapters/web.json");
	for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
		lg_test_write(path, damaged[i], strlen(damaged[i]));
		assert_false(deliver_ok(&f, i % 2 ? "80" : "81", 2).superseded);
		assert_true(state_says(&f, "\"sequence\":2,"));
	}
	fixture_clear(&f);
}

static void test_verify(void **state)
{
	struct fixture f;
	fixture_init(&f, "verify");
	fixture_open(&f);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = tree_of("web/port", "80");
	struct lg_error err = LG_ERROR_INIT;
	uint8_t hash[32], on_disk[32];
	assert_int_equal(lg_adapter_verify(f.adapter, tree, hash, &err), 0);
	deliver_ok(&f, "80", 1);
	assert_int_equal(lg_adapter_verify(f.adapter, tree, hash, &err), 1);
	lg_assert_ok(lg_file_hash(f.path, on_disk, &err), &err);
	assert_memory_equal(hash, on_disk, sizeof hash);
	lg_test_write(f.path, "port=80\n\n", 9);
	assert_int_equal(lg_adapter_verify(f.adapter, tree, hash, &err), 0);
	lg_assert_ok(lg_file_hash(f.path, on_disk, &err), &err);
	assert_memory_equal(hash, on_disk, sizeof hash);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *unfit = tree_of("web/a-b", "80");
	lg_assert_code(lg_adapter_verify(f.adapter, unfit, hash, &err), LG_EINVALID, &err);
	fixture_clear(&f);
}

static void test_secret_mode(void **state)
{
	struct fixture f;
	fixture_init(&f, "secret");
	fixture_open(&f);
	lg_cleanup(lg_buf_clear) struct lg_buf sealed = LG_BUF_INIT;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_secret_seal(store_key, "web/key", "\"k1\"", 4, &sealed, &err), &err);
	lg_cleanup(lg_tree_unrefp) struct lg_tree *tree = tree_of("web/key", sealed.data);
	struct lg_delivery_result result;
	lg_assert_ok(lg_adapter_deliver(f.adapter, tree, 1, 1, &result, &err), &err);
	assert_file(f.path, "key=k1\n");
	struct stat st;
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	fixture_clear(&f);
}

/* --- places where nothing can be installed ----------------------------------------------------------------------- */

static void test_directory_missing(void **state)
{
	struct fixture f;
	fixture_init(&f, "no_dir");
	f.room.spec.adapter.check = shell("touch ran; exit 0 {}");
	fixture_open(&f);
	assert_int_equal(rmdir(f.out), 0);
	struct lg_delivery_result result;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(deliver(f.adapter, "80", 1, &result, &err), LG_EFAILED, &err);
	assert_non_null(strstr(err.message, "does not exist; create it"));
	lg_assert_code(lg_adapter_check(f.adapter, "x", 1, &err), LG_EFAILED, &err);
	assert_int_equal(mkdir(f.out, 0700), 0);
	assert_true(deliver_ok(&f, "80", 1).changed);
	fixture_clear(&f);
}

static void test_symlink(void **state)
{
	struct fixture f;
	fixture_init(&f, "symlink");
	fixture_open(&f);
	lg_autofree char *target = host_room_path(&f.room, "target");
	lg_test_write(target, "port=80\n", 8);
	assert_int_equal(symlink(target, f.path), 0);
	struct lg_delivery_result result;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(
		deliver(f.adapter, "80", 1, &result, &err), LG_EINVALID, &err); /* even with equal content */
	lg_assert_code(deliver(f.adapter, "81", 1, &result, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "is a symbolic link"));
	assert_file(target, "port=80\n");
	struct stat st;
	assert_int_equal(lstat(f.path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlink(f.path), 0);
	assert_int_equal(mkdir(f.path, 0700), 0);
	lg_assert_code(deliver(f.adapter, "81", 1, &result, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "no regular file"));
	fixture_clear(&f);
}

static void test_not_renderable(void **state)
{
	struct fixture f;
	fixture_init(&f, "unfit");
	fixture_open(&f);
	deliver_ok(&f, "80", 1);
	struct lg_delivery_result result;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(deliver(f.adapter, "\"a\\nb\"", 2, &result, &err), LG_EINVALID, &err);
	assert_non_null(strstr(err.message, "cannot render"));
	assert_non_null(strstr(err.message, "web/port"));
	assert_file(f.path, "port=80\n");
	assert_true(state_says(&f, "\"sequence\":1,"));
	fixture_clear(&f);
}

/* --- the service's check ----------------------------------------------------------------------------------------- */

struct check_row {
	const char *name, *script;
	int code;
	const char *message;
};

static const struct check_row check_rows[] = {
	{ "agrees", "grep -q port {}", 0, NULL },
	{ "agrees with much to say", "yes long line of output | head -c 3000000; exit 0 {}", 0, NULL },
	{ "refuses", "echo bad port in {}:1 >&2; exit 3", LG_EREFUSED, "(status 3): bad port in " },
	{ "refuses on standard output", "echo 'not this'; exit 1 {}", LG_EREFUSED, "not this" },
	{ "refuses without a word", "exit 1 {}", LG_EREFUSED, "it said nothing" },
	{ "refuses with much to say",
		"yes long line of output | head -c 300000 >&2; echo the end >&2; exit 1 {}", LG_EREFUSED,
		"the end" },
	{ "refuses with terminal codes", "printf '\\033[31mred' >&2; exit 1 {}", LG_EREFUSED, "\\x1b[31mred" },
	{ "is killed", "kill -SEGV $$ {}", LG_EREFUSED, "killed by signal 11" },
	{ "does not exist", NULL, LG_EFAILED, "cannot check " },
};

static void test_check(void **state)
{
	const struct check_row *row = *state;
	struct fixture f;
	fixture_init(&f, row->name);
	f.room.spec.adapter.check =
		row->script ? shell(row->script) : ((char *[]){ "/nowhere/check", "{}", NULL });
	lg_test_write(f.path, "port=80\n", 8);
	fixture_open(&f);
	struct lg_delivery_result result = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(deliver(f.adapter, "99", 1, &result, &err), row->code, &err);
	assert_file(f.path, row->code ? "port=80\n" : "port=99\n");
	assert_int_equal(result.changed, row->code == 0);
	assert_int_equal(count_files(f.out), 1);
	lg_assert_code(lg_adapter_check(f.adapter, "port=1\n", 7, &err), row->code, &err);
	assert_int_equal(count_files(f.out), 1);
	if (row->code) {
		if (!strstr(err.message, row->message))
			fail_msg("'%s' is not in '%s'", row->message, err.message);
		assert_null(
			strstr(err.message, ".lastgood-check")); /* it speaks of the file that people know */
		assert_non_null(strstr(err.message, "web.env"));
		assert_false(state_says(&f, "sequence")); /* it never counted as delivered */
	}
	fixture_clear(&f);
}

static void test_check_hangs(void **state)
{
	struct fixture f;
	fixture_init(&f, "hangs");
	f.room.spec.adapter.check = (char *[]){ "/usr/bin/python3", f.room.program, "{}", NULL };
	f.room.spec.adapter.check_timeout_ns = HOST_SECOND / 5;
	fixture_open(&f);
	struct lg_delivery_result result;
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(deliver(f.adapter, "80", 1, &result, &err), LG_ETIMEOUT, &err);
	assert_non_null(strstr(err.message, "cannot check"));
	assert_int_equal(count_files(f.out), 0);
	assert_int_equal(host_count_processes(&f.room), 0);
	fixture_clear(&f);
}

/* The staged file has the bytes that will be installed, beside what it includes, readable by its owner only. */
static void test_check_sees(void **state)
{
	struct fixture f;
	fixture_init(&f, "sees");
	f.room.spec.adapter.check = shell(
		"cd \"$(dirname {})\" && cat \"$(basename {})\" included > ../seen; stat -c %a {} >> ../seen");
	char *env[] = { "COLOUR=red", NULL };
	f.room.spec.env = env;
	fixture_open(&f);
	lg_autofree char *included = host_room_path(&f.room, "out/included");
	lg_autofree char *seen = host_room_path(&f.room, "seen");
	lg_test_write(included, "more\n", 5);
	deliver_ok(&f, "80", 1);
	assert_file(seen, "port=80\nmore\n600\n");
	assert_int_equal(unlink(seen), 0);
	deliver_ok(&f, "80", 2); /* nothing is installed, so nothing is checked */
	assert_file(seen, NULL);
	/* what a killed check left is overwritten and removed */
	lg_autofree char *left = host_room_path(&f.room, "out/.lastgood-check-web.env");
	lg_test_write(left, "old", 3);
	deliver_ok(&f, "81", 3);
	assert_file(seen, "port=81\nmore\n600\n");
	assert_int_equal(count_files(f.out), 2);
	fixture_clear(&f);
}

/* --- the service is told ----------------------------------------------------------------------------------------- */

static void test_notify_reload(void **state)
{
	struct fixture f;
	fixture_init(&f, "reload");
	f.room.spec.adapter.notify = LG_NOTIFY_RELOAD;
	fixture_open(&f);
	struct lg_error err = LG_ERROR_INIT;
	assert_false(deliver_ok(&f, "80", 1).notified); /* stopped: it reads the file when it starts */
	assert_int_equal(host_count_processes(&f.room), 0);
	assert_true(state_says(&f, "\"notified\":true"));
	lg_assert_ok(lg_service_start(f.service, &err), &err);
	host_wait_events(&f.room, "started", 1);
	struct lg_delivery_result result = deliver_ok(&f, "81", 2);
	assert_true(result.notified);
	assert_true(result.notified_ns >= result.installed_ns);
	host_wait_events(&f.room, "HUP", 1);
	assert_false(deliver_ok(&f, "81", 3).notified); /* it knows this one */
	assert_true(deliver_ok(&f, "82", 4).notified);
	host_wait_events(&f.room, "HUP", 2);
	lg_assert_ok(lg_service_stop(f.service, &err), &err);
	fixture_clear(&f);
}

static void test_notify_restart(void **state)
{
	struct fixture f;
	fixture_init(&f, "restart");
	f.room.spec.adapter.notify = LG_NOTIFY_RESTART;
	fixture_open(&f);
	struct lg_error err = LG_ERROR_INIT;
	assert_false(deliver_ok(&f, "80", 1).notified);
	lg_assert_ok(lg_service_start(f.service, &err), &err);
	host_wait_events(&f.room, "started", 1);
	assert_true(deliver_ok(&f, "81", 2).notified);
	host_wait_events(&f.room, "started", 2);
	lg_assert_ok(lg_service_stop(f.service, &err), &err);
	assert_int_equal(host_count_processes(&f.room), 0);
	fixture_clear(&f);
}

static bool is_stopped(void *arg)
{
	return host_state(arg) == LG_SERVICE_STOPPED;
}

/* It may have died of the file that is replaced now. */
static void test_notify_died(void **state)
{
	struct fixture f;
	fixture_init(&f, "died");
	f.room.spec.adapter.notify = LG_NOTIFY_RELOAD;
	fixture_open(&f);
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_ok(lg_service_start(f.service, &err), &err);
	host_wait_events(&f.room, "started", 1);
	kill(host_pid(&f.room), SIGKILL);
	host_wait(is_stopped, f.service);
	assert_true(deliver_ok(&f, "80", 1).notified);
	host_wait_events(&f.room, "started", 2);
	assert_int_equal(host_state(f.service), LG_SERVICE_RUNNING);
	lg_assert_ok(lg_service_stop(f.service, &err), &err);
	fixture_clear(&f);
}

static void command_service(struct fixture *f)
{
	f->room.spec.driver = LG_DRIVER_COMMAND;
	f->room.spec.adapter.notify = LG_NOTIFY_RELOAD;
	f->room.spec.start = shell("exit 0");
	f->room.spec.stop = shell("exit 0");
	f->room.spec.reload = shell("test ! -e broken && echo reloaded >> events");
}

static void test_notify_fails(void **state)
{
	struct fixture f;
	fixture_init(&f, "notify_fails");
	command_service(&f);
	fixture_open(&f);
	deliver_ok(&f, "80", 1);
	assert_int_equal(host_count_events(&f.room, "reloaded"), 1);
	lg_autofree char *broken = host_room_path(&f.room, "broken");
	lg_test_write(broken, "", 0);
	struct lg_delivery_result result = { 0 };
	struct lg_error err = LG_ERROR_INIT;
	lg_assert_code(deliver(f.adapter, "81", 2, &result, &err), LG_EFAILED, &err);
	assert_true(result.changed);
	assert_false(result.notified);
	assert_non_null(strstr(err.message, "is in place, yet its service could not be told"));
	assert_file(f.path, "port=81\n");
	assert_true(state_says(&f, "\"sequence\":2,"));
	assert_true(state_says(&f, "\"notified\":false"));

	lg_assert_code(deliver(f.adapter, "81", 2, &result, &err), LG_EFAILED, &err); /* still owed */
	assert_false(result.changed);
	assert_int_equal(unlink(broken), 0);
	result = deliver_ok(&f, "81", 2);
	assert_false(result.changed);
	assert_true(result.notified);
	assert_true(state_says(&f, "\"notified\":true"));
	assert_int_equal(host_count_events(&f.room, "reloaded"), 2);
	assert_false(deliver_ok(&f, "81", 2).notified);
	assert_int_equal(host_count_events(&f.room, "reloaded"), 2);
	fixture_clear(&f);
}

/* The file was right before lastgood ever delivered it: nothing changes, yet the service may run with something else. */
static void test_notify_adopted(void **state)
{
	struct fixture f;
	fixture_init(&f, "adopted");
	command_service(&f);
	fixture_open(&f);
	lg_test_write(f.path, "port=80\n", 8);
	struct lg_delivery_result result = deliver_ok(&f, "80", 1);
	assert_false(result.changed);
	assert_true(result.notified);
	fixture_clear(&f);
}

static void test_open(void **state)
{
	struct fixture f;
	fixture_init(&f, "open");
	struct lg_adapter *adapter = NULL;
	struct lg_error err = LG_ERROR_INIT;
	const struct lg_clock *clock = lg_clock_system();
	struct lg_service_spec *spec = &f.room.spec;
	spec->adapter.notify = LG_NOTIFY_RELOAD;
	lg_assert_code(lg_adapter_open(spec, NULL, f.room.state_dir, clock, NULL, NULL, &adapter, &err),
		LG_EINTERNAL, &err);
	spec->adapter.notify = LG_NOTIFY_NONE;
	lg_assert_ok(lg_adapter_open(spec, NULL, f.room.state_dir, clock, NULL, NULL, &adapter, &err), &err);
	struct lg_delivery_result result;
	lg_assert_ok(deliver(adapter, "80", 1, &result, &err), &err);
	lg_adapter_close(adapter);
	adapter = NULL;
	spec->has_adapter = false;
	lg_assert_code(lg_adapter_open(spec, NULL, f.room.state_dir, clock, NULL, NULL, &adapter, &err),
		LG_EINTERNAL, &err);
	assert_null(adapter);
	lg_adapter_close(NULL);
	fixture_clear(&f);
}

/* --- several at once --------------------------------------------------------------------------------------------- */

static pid_t deliver_in_child(struct fixture *f, const char *value, uint64_t sequence)
{
	pid_t child = fork();
	if (child == 0) {
		struct lg_delivery_result result;
		_exit(deliver(f->adapter, value, sequence, &result, NULL) == 0 ? 0 : 1);
	}
	return child;
}

static void assert_child_fine(pid_t child)
{
	int status = -1;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Whoever comes first: the newer one stands in the end, and the service has heard of it. */
static void test_two_at_once(void **state)
{
	struct fixture f;
	fixture_init(&f, "two");
	command_service(&f);
	f.room.spec.adapter.check = shell("cp {} ../seen 2>/dev/null; test -s {}");
	f.room.spec.reload = shell("cat out/web.env > loaded");
	fixture_open(&f);
	lg_autofree char *loaded = host_room_path(&f.room, "loaded");
	for (uint64_t round = 1; round <= 8; round++) {
		bool older_first = round % 2;
		pid_t first = deliver_in_child(&f, older_first ? "1" : "2", 2 * round + !older_first);
		pid_t second = deliver_in_child(&f, older_first ? "2" : "1", 2 * round + older_first);
		assert_child_fine(first);
		assert_child_fine(second);
		assert_file(f.path, "port=2\n");
		assert_file(loaded, "port=2\n");
		assert_true(state_says(&f, "\"notified\":true"));
	}
	assert_int_equal(count_files(f.out), 1);
	fixture_clear(&f);
}

/* --- whatever fails ---------------------------------------------------------------------------------------------- */

static void assert_whole(const char *path, bool *ret_new)
{
	lg_autofree char *text = lg_test_read(path, NULL);
	assert_non_null(text);
	*ret_new = strcmp(text, "port=2\n") == 0;
	if (!*ret_new)
		assert_string_equal(text, "port=1\n");
}

/* After the failure was mended, the same delivery ends as if there had been none. */
static void assert_mended(struct fixture *f, uint64_t sequence)
{
	lg_autofree char *loaded = host_room_path(&f->room, "loaded");
	deliver_ok(f, "2", sequence);
	assert_file(f->path, "port=2\n");
	assert_file(loaded, "port=2\n");
	assert_true(state_says(f, "\"notified\":true"));
	assert_int_equal(count_files(f->out), 1);
	deliver_ok(f, "1", sequence + 1);
	assert_file(loaded, "port=1\n");
}

static void fault_fixture(struct fixture *f, const char *name)
{
	fixture_init(f, name);
	command_service(f);
	f->room.spec.adapter.check = shell("grep -q port {}");
	f->room.spec.reload = shell("cat out/web.env > loaded");
	fixture_open(f);
	deliver_ok(f, "1", 1);
}

static void test_faults(void **state)
{
	struct fixture f;
	fault_fixture(&f, "faults");
	size_t failures = 0;
	bool fired = true;
	for (uint64_t n = 1; fired; n++) {
		struct host_fault fault;
		struct lg_delivery_result result = { 0 };
		struct lg_error err = LG_ERROR_INIT;
		host_fault_begin(&fault, n);
		int rc = deliver(f.adapter, "2", 2 * n, &result, &err);
		host_fault_end();
		fired = fault.fired;
		bool is_new;
		assert_whole(f.path, &is_new);
		assert_true(rc == 0 || fired);
		assert_true(is_new || rc < 0);
		if (result.installed_ns)
			assert_int_equal(result.changed, is_new);
		failures += rc < 0;
		assert_mended(&f, 2 * n);
	}
	assert_true(failures >= 20);
	fixture_clear(&f);
}

static int end_at_nth(void *arg, enum lg_fault_op op, const char *path)
{
	size_t *left = arg;
	if (--*left == 0)
		_exit(9);
	return 0;
}

/* The process ends in the middle of a delivery, at each call in turn. */
static void test_killed(void **state)
{
	struct fixture f;
	fault_fixture(&f, "killed");
	size_t kills = 0;
	for (uint64_t n = 1;; n++) {
		pid_t child = fork();
		if (child == 0) {
			size_t left = n;
			struct lg_delivery_result result;
			lg_fault_set(end_at_nth, &left);
			_exit(deliver(f.adapter, "2", 2 * n, &result, NULL) == 0 ? 0 : 1);
		}
		int status = -1;
		assert_int_equal(waitpid(child, &status, 0), child);
		bool is_new;
		assert_whole(f.path, &is_new);
		if (WEXITSTATUS(status) == 0)
			break;
		assert_int_equal(WEXITSTATUS(status), 9);
		kills++;
		deliver_ok(&f, is_new ? "2" : "1", 2 * n); /* nothing to install, and still nothing is left */
		assert_int_equal(count_files(f.out), 1);
		assert_mended(&f, 2 * n);
	}
	assert_true(kills >= 20);
	fixture_clear(&f);
}

int main(int argc, char **argv)
{
	lg_test_add("deliver", test_deliver, NULL);
	lg_test_add("mode and owner kept", test_keeps_meta, NULL);
	lg_test_add("older sequence is superseded", test_superseded, NULL);
	lg_test_add("file changed by others", test_changed_by_others, NULL);
	lg_test_add("damaged state file", test_damaged_state, NULL);
	lg_test_add("verify", test_verify, NULL);
	lg_test_add("a new file with a secret", test_secret_mode, NULL);
	lg_test_add("directory missing", test_directory_missing, NULL);
	lg_test_add("symbolic link refused", test_symlink, NULL);
	lg_test_add("state that cannot be rendered", test_not_renderable, NULL);
	lg_test_rows("check", test_check, check_rows, sizeof check_rows / sizeof *check_rows,
		sizeof *check_rows, offsetof(struct check_row, name));
	lg_test_add("check hangs", test_check_hangs, NULL);
	lg_test_add("what the check sees", test_check_sees, NULL);
	lg_test_add("notify: reload", test_notify_reload, NULL);
	lg_test_add("notify: restart", test_notify_restart, NULL);
	lg_test_add("notify: service that died", test_notify_died, NULL);
	lg_test_add("notify: fails, and is owed", test_notify_fails, NULL);
	lg_test_add("notify: file that was there before", test_notify_adopted, NULL);
	lg_test_add("open", test_open, NULL);
	lg_test_add("two deliveries at once", test_two_at_once, NULL);
	lg_test_add("every failing call", test_faults, NULL);
	lg_test_add("killed at every call", test_killed, NULL);
	return lg_test_run(argv[0]);
}
