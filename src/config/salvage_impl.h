/* salvage_impl.h - the inside of salvage.
 *
 *	salvage.c        the order of things: look, copy, states, own records, verify, put in place
 *	salvage_copy.c   records, checkpoints and files into the new store
 *	salvage_state.c  which states can be proven, and the records that make the newest one usable
 *	salvage_report.c what people and programs are told
 */
#ifndef LG_CONFIG_SALVAGE_IMPL_H
#define LG_CONFIG_SALVAGE_IMPL_H

#include "config/internal.h"
#include "config/salvage.h"

struct lg_salvage_gap {
	struct lg_log_gap gap;
	bool hides_state;    /* a change or restore may have been in it */
	bool hides_controls; /* a mark, hold or release may */
};

/* A checkpoint file of the damaged store that is whole in itself. */
struct lg_salvage_checkpoint {
	uint64_t seq;
	uint8_t hash[LG_HASH_SIZE];
	char *path;
};

struct lg_range {
	uint64_t first, last;
};

struct lg_salvaging {
	const struct lg_config_salvage *options;
	const struct lg_clock *clock;
	char *db;       /* the damaged database */
	char *building; /* where the new store is made; NULL: in memory */
	struct lg_salvage *source;
	struct lg_config *config; /* the new store */

	struct lg_salvage_gap *gaps; /* in order */
	size_t gap_count, gap_size;
	struct lg_salvage_checkpoint *checkpoints; /* by seq */
	size_t checkpoint_count, checkpoint_size;
	size_t checkpoints_bad, checkpoints_kept, checkpoints_written;

	/* what became of the states */
	uint64_t proven;             /* the newest revision whose state is proven */
	struct lg_tree *proven_tree; /* it */
	bool head_known;             /* it is the state of the newest record */
	struct lg_range *unread;     /* seqs whose state nobody knows any more */
	size_t unread_count, unread_size;
	size_t later_applied; /* changes behind it that were made again */
	struct lg_tree *tree; /* the state of the new store */
	struct lg_controls controls;
	bool controls_known;

	json_t *lost;    /* a member for each trace */
	json_t *files;   /* copied or not */
	json_t *skipped; /* seqs of later changes that were not made again */
};

/* salvage_copy.c */
int lg_salvage_find_checkpoints(struct lg_salvaging *salvaging, struct lg_error *err);
int lg_salvage_copy_records(struct lg_salvaging *salvaging, struct lg_error *err);
int lg_salvage_copy_files(struct lg_salvaging *salvaging, struct lg_error *err);

/* salvage_state.c */
/* Does the checkpoint say what the log says?  0 with its content, LG_ENOTFOUND: no. */
struct lg_salvage_state {
	uint64_t revision;
	struct lg_tree *tree;
	struct lg_controls controls;
};
void lg_salvage_state_clear(struct lg_salvage_state *state);
int lg_salvage_load_checkpoint(struct lg_salvaging *salvaging, const struct lg_salvage_checkpoint *checkpoint,
	struct lg_salvage_state *ret_state, struct lg_error *err);
int lg_salvage_copy_checkpoints(struct lg_salvaging *salvaging, struct lg_error *err);
int lg_salvage_find_states(struct lg_salvaging *salvaging, struct lg_error *err);
/* The restore and the change, if they are needed, and what was lost. */
int lg_salvage_append_own(struct lg_salvaging *salvaging, struct lg_error *err);

/* salvage_report.c */
/* Text from anywhere as a JSON string; NULL when memory is gone. */
json_t *lg_salvage_text(const char *text);
int lg_salvage_add_trace(void *arg, const struct lg_salvage_trace *trace, struct lg_error *err);
int lg_salvage_report(struct lg_salvaging *salvaging, json_t **ret_report, struct lg_error *err);

/* Room for one more at the end of a list; NULL when memory is gone. */
void *lg_salvage_room(void **list, size_t count, size_t *size, size_t item);
/* Copies of records, to be used after the log has gone on. */
struct lg_salvage_batch {
	struct lg_record *records;
	size_t count, size;
	size_t bytes;
};
void lg_salvage_batch_clear(struct lg_salvage_batch *batch);
int lg_salvage_batch_add(
	struct lg_salvage_batch *batch, const struct lg_record *record, bool keys, struct lg_error *err);

#endif
