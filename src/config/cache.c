/* Old states that are kept in memory, so that reading one again, or going back to it, costs nothing.
 *
 * They are bounded by count and by bytes.  What they hold is not guessed: trees share most of their nodes, so it is what all
 * trees of the process hold less what the published ones take.  What somebody else still holds (a snapshot, a checkpoint
 * being written) counts as old, too: the bound is on the memory of the process. */
#include "config/internal.h"

#include <stdatomic.h>

/* Enough for the history of most stores, little beside the rest of a process. */
#define LEAST ((size_t)64 * 1024 * 1024)
/* What was freed since the last time is worth asking the allocator for. */
#define TRIM_FROM ((size_t)32 * 1024 * 1024)

/* Of all configs of this process. */
static _Atomic size_t published_bytes;

void lg_cache_published(struct lg_config *config, const struct lg_tree *tree)
{
	size_t bytes = tree ? lg_tree_bytes(tree) : 0;
	atomic_fetch_add(&published_bytes, bytes - config->published_bytes);
	config->published_bytes = bytes;
}

size_t lg_cache_bytes(void)
{
	size_t held = lg_tree_held();
	size_t published = atomic_load(&published_bytes);
	return held > published ? held - published : 0;
}

/* At least room for one other state of the same size, with what changed since: a rollback needs its target more than once. */
static size_t most(const struct lg_config *config)
{
	if (config->cache_limit)
		return config->cache_limit;
	size_t like_it = config->published_bytes + config->published_bytes / 4;
	return like_it > LEAST ? like_it : LEAST;
}

static struct lg_cached_tree *oldest(struct lg_config *config)
{
	struct lg_cached_tree *found = NULL;
	for (size_t i = 0; i < LG_TREE_CACHE; i++) {
		struct lg_cached_tree *slot = &config->cache[i];
		if (slot->tree && (!found || slot->used < found->used))
			found = slot;
	}
	return found;
}

static void forget(struct lg_cached_tree *slot)
{
	lg_tree_unref(slot->tree);
	*slot = (struct lg_cached_tree){ 0 };
}

void lg_cache_bound(struct lg_config *config)
{
	const size_t limit = most(config);
	const size_t before = lg_tree_held();
	struct lg_cached_tree *slot;
	while (lg_cache_bytes() > limit && (slot = oldest(config)))
		forget(slot);
	const size_t after = lg_tree_held();
	config->freed_bytes += after < before ? before - after : 0;
	if (config->freed_bytes < TRIM_FROM)
		return;
	config->freed_bytes = 0;
	lg_tree_trim();
}

struct lg_tree *lg_cache_recall(struct lg_config *config, uint64_t revision)
{
	for (size_t i = 0; i < LG_TREE_CACHE; i++) {
		struct lg_cached_tree *slot = &config->cache[i];
		if (slot->tree && slot->revision == revision) {
			slot->used = ++config->cache_clock;
			return lg_tree_ref(slot->tree);
		}
	}
	return NULL;
}

void lg_cache_remember(struct lg_config *config, uint64_t revision, struct lg_tree *tree)
{
	struct lg_cached_tree *slot = &config->cache[0];
	for (size_t i = 0; i < LG_TREE_CACHE; i++) {
		if (config->cache[i].tree && config->cache[i].revision == revision)
			return;
		if (config->cache[i].used < slot->used)
			slot = &config->cache[i];
	}
	forget(slot);
	*slot = (struct lg_cached_tree){ revision, ++config->cache_clock, lg_tree_ref(tree) };
	lg_cache_bound(config);
}

void lg_cache_clear(struct lg_config *config)
{
	for (size_t i = 0; i < LG_TREE_CACHE; i++)
		forget(&config->cache[i]);
}
