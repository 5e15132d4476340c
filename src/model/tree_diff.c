#include "model/tree_node.h"

/* Walks two tries together.  Both sides of a call hold keys that belong between the same neighbours, so what is visited
 * first is what sorts first.  Equal nodes, and parts whose hashes are known and equal, are passed over whole. */
struct differ {
	const struct lg_scope *scope;
	int (*visit)(void *arg, const struct lg_entry *before, const struct lg_entry *after);
	void *arg;
};

static int emit(const struct differ *differ, const struct lg_part *before, const struct lg_part *after)
{
	struct lg_entry from, to;
	if (before->node)
		from = lg_part_entry(before);
	if (after->node)
		to = lg_part_entry(after);
	const struct lg_entry *any = before->node ? &from : &to;
	if (differ->scope && !lg_scope_covers(differ->scope, any->key, any->key_len))
		return 0;
	return differ->visit(differ->arg, before->node ? &from : NULL, after->node ? &to : NULL);
}

/* Everything below one side alone. */
static int emit_all(const struct differ *differ, const struct lg_part *part, bool is_before)
{
	static const struct lg_part none;
	int rc = 0;
	if (!part->node)
		return 0;
	if (lg_part_is_entry(part))
		return is_before ? emit(differ, part, &none) : emit(differ, &none, part);
	if (part->node->kind == LG_NODE_PACK) {
		struct lg_part entry = *part;
		for (; rc == 0 && entry.from < part->to; entry.from++) {
			entry.to = entry.from + 1;
			rc = is_before ? emit(differ, &entry, &none) : emit(differ, &none, &entry);
		}
		return rc;
	}
	for (struct lg_kids kids = lg_kids_begin(part); rc == 0 && kids.kid.node; lg_kids_next(&kids))
		rc = emit_all(differ, &kids.kid, is_before);
	return rc;
}

static int compare_keys(struct lg_text a, struct lg_text b)
{
	int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int walk(const struct differ *differ, const struct lg_part *before, const struct lg_part *after);

/* Two branches at one offset: kids pair up by byte. */
static int walk_kids(const struct differ *differ, const struct lg_part *before, const struct lg_part *after)
{
	static const struct lg_part none;
	struct lg_kids a = lg_kids_begin(before);
	struct lg_kids b = lg_kids_begin(after);
	int rc = 0;
	while (rc == 0 && (a.kid.node || b.kid.node)) {
		bool has_a = a.byte <= b.byte;
		bool has_b = b.byte <= a.byte;
		rc = walk(differ, has_a ? &a.kid : &none, has_b ? &b.kid : &none);
		if (has_a)
			lg_kids_next(&a);
		if (has_b)
			lg_kids_next(&b);
	}
	return rc;
}

/* The branch of one side stands above all that the other side has: that belongs to one of its kids, or between two. */
static int walk_below(const struct differ *differ, const struct lg_part *upper, const struct lg_part *lower,
	bool upper_is_before)
{
	struct lg_kids kids = lg_kids_begin(upper);
	struct lg_text first = lg_part_first_key(lower);
	int byte = kids.offset < first.len ? (uint8_t)first.data[kids.offset] : -1;
	int rc = 0;
	for (; rc == 0 && kids.byte < byte; lg_kids_next(&kids))
		rc = emit_all(differ, &kids.kid, upper_is_before);
	if (rc == 0 && kids.byte == byte) {
		rc = upper_is_before ? walk(differ, &kids.kid, lower) : walk(differ, lower, &kids.kid);
		lg_kids_next(&kids);
	} else if (rc == 0) {
		rc = emit_all(differ, lower, !upper_is_before);
	}
	for (; rc == 0 && kids.kid.node; lg_kids_next(&kids))
		rc = emit_all(differ, &kids.kid, upper_is_before);
	return rc;
}

static int emit_both(const struct differ *differ, const struct lg_part *before, const struct lg_part *after,
	bool before_first)
{
	int rc = before_first ? emit_all(differ, before, true) : emit_all(differ, after, false);
	if (rc != 0)
		return rc;
	return before_first ? emit_all(differ, after, false) : emit_all(differ, before, true);
}

static bool same_content(const struct lg_part *a, const struct lg_part *b)
{
	if (a->node == b->node && a->from == b->from && a->to == b->to)
		return true;
	const uint8_t *a_hash = lg_part_known_hash(a);
	const uint8_t *b_hash = lg_part_known_hash(b);
	return a_hash && b_hash && memcmp(a_hash, b_hash, LG_HASH_SIZE) == 0;
}

static int walk_entries(const struct differ *differ, const struct lg_part *before, const struct lg_part *after)
{
	struct lg_entry a = lg_part_entry(before);
	struct lg_entry b = lg_part_entry(after);
	if (a.value_len == b.value_len && memcmp(a.value, b.value, a.value_len) == 0)
		return 0;
	return emit(differ, before, after);
}

/* Two rows of entries: merged, which is quicker than to go down both. */
static int walk_rows(const struct differ *differ, const struct lg_part *before, const struct lg_part *after)
{
	static const struct lg_part none;
	struct lg_part a = *before, b = *after;
	int rc = 0;
	while (rc == 0 && (a.from < before->to || b.from < after->to)) {
		int order = a.from == before->to ? 1 : -1;
		a.to = a.from + 1;
		b.to = b.from + 1;
		if (a.from < before->to && b.from < after->to)
			order = compare_keys(lg_part_first_key(&a), lg_part_first_key(&b));
		if (order == 0)
			rc = same_content(&a, &b) ? 0 : walk_entries(differ, &a, &b);
		else
			rc = emit(differ, order < 0 ? &a : &none, order > 0 ? &b : &none);
		a.from += order <= 0;
		b.from += order >= 0;
	}
	return rc;
}

static int walk(const struct differ *differ, const struct lg_part *before, const struct lg_part *after)
{
	if (!before->node || !after->node)
		return before->node ? emit_all(differ, before, true) : emit_all(differ, after, false);
	if (same_content(before, after))
		return 0;
	if (before->node->kind == LG_NODE_PACK && after->node->kind == LG_NODE_PACK)
		return walk_rows(differ, before, after);
	size_t a_offset = lg_part_offset(before);
	size_t b_offset = lg_part_offset(after);
	struct lg_text a = lg_part_first_key(before);
	struct lg_text b = lg_part_first_key(after);
	size_t upper = a_offset < b_offset ? a_offset : b_offset;
	size_t at = lg_key_differ(a.data, a.len, b.data, b.len, upper);
	if (at == a.len && at == b.len)
		at = upper;
	if (at < upper) {
		int x = at < a.len ? (uint8_t)a.data[at] : -1;
		int y = at < b.len ? (uint8_t)b.data[at] : -1;
		return emit_both(differ, before, after, x < y);
	}
	if (a_offset == b_offset)
		return a_offset == SIZE_MAX ? walk_entries(differ, before, after)
					    : walk_kids(differ, before, after);
	return a_offset < b_offset ? walk_below(differ, before, after, true)
				   : walk_below(differ, after, before, false);
}

int lg_tree_diff(const struct lg_tree *before, const struct lg_tree *after, const struct lg_scope *scope,
	int (*visit)(void *arg, const struct lg_entry *before, const struct lg_entry *after), void *arg)
{
	const struct differ differ = { scope && !lg_scope_is_all(scope) ? scope : NULL, visit, arg };
	const struct lg_part from = lg_part_of(before->root, 0);
	const struct lg_part to = lg_part_of(after->root, 0);
	return from.node || to.node ? walk(&differ, &from, &to) : 0;
}
