/* Between match and hit: pending sequences and samples.
 *
 *     key ─► slot: heads[0] ─► step                      stage 1 has come
 *                  heads[1] ─► step ─► step              stages 1 and 2 have come
 *
 * Owns: the table of keys, and the steps of pending sequences, each with fields of its event.
 * Rule 1: per key and stage at most one sequence is pending. An event of stage 1 replaces the pending one there. An event
 *   of a later stage takes the one that waits for it, unless the first event is older than span_ms: then it is dropped.
 * Rule 2: stages are tried from the last to the first, so no event takes two steps of one sequence.
 * Rule 3: a sample has no order: each item needs an event that no other item has. Per item the latest events are kept,
 *   as many as there are items: more cannot help. After a hit, a key is silent until no event of it came for span_ms.
 * Rule 4: an event is decided as it comes, also one that is older than the step before it; recorded input is ordered
 *   before (order.h).
 * Rule 5: a step belongs to one pending sequence. When keys, steps or stamps are used up, the least recently used key
 *   goes, and is counted. There are enough steps and stamps for the largest key.
 * Rule 6: a rule with a limit reports as many hits of a key, at most, in any limit_ms. A single event with a limit is a
 *   sequence of one stage.
 * Tested, against a Python model, by tests/core/test_sequence_model.py, and by the stream and text fuzz targets. */
#ifndef AUDITSENSE_SEQUENCE_H
#define AUDITSENSE_SEQUENCE_H

#include "../_ring.h"
#include "arena.h"
#include "event_values.h"
#include "rules.h"

/* Bytes of fields that are kept of an event. */
enum { AS_MEMBER_BYTES = 480 };

/* One event of a pending sequence or sample. */
typedef struct {
    uint64_t ms;
    uint64_t first_ms; /* of the first event of its sequence */
    uint32_t serial;
    uint32_t before; /* the step before it; AS_NO_STEP: none. Of a free step: the next free one */
    uint32_t member_len;
    uint32_t unused;
    uint8_t member[AS_MEMBER_BYTES]; /* as_hit.members */
} as_step;

#define AS_NO_STEP UINT32_MAX

/* The fields that the steps of the current event keep. */
typedef struct {
    uint64_t number; /* as_event_values.number of the event */
    uint32_t len;
    uint8_t bytes[AS_MEMBER_BYTES]; /* as_hit.members */
} as_member;

typedef struct {
    uint64_t key[2];
    uint64_t last_ms;     /* of a sample: stamp of its newest event */
    uint32_t reported;    /* hits within limit_ms of the newest one; their stamps are a list */
    uint32_t first_stamp; /* the oldest; valid if there is one */
    uint32_t last_stamp;
    uint32_t next_in_bucket; /* of a free slot: the next free one */
    uint32_t older;          /* in the order of last use */
    uint32_t newer;
    uint16_t rule;
    bool fired; /* of a sample */
} as_pending;

/* A reported hit of a rule with a limit. */
typedef struct {
    uint64_t ms;
    uint32_t next; /* the next newer one; of a free stamp: the next free one */
    uint32_t unused;
} as_reported_hit;

/* A complete sequence or sample: events in the order of their stages; the last one is the event that completed it. */
typedef struct {
    uint32_t count;
    as_event_id ids[AS_MOST_COUNT];
    const as_step *steps[AS_MOST_COUNT]; /* valid until the next event; NULL for the last one */
} as_completed;

typedef struct {
    as_pending *slots;
    uint32_t *heads; /* `width` per slot: a sequence has one per stage but the last, a sample a run per item */
    as_step *steps;
    as_reported_hit *stamps;
    uint32_t *buckets;
    uint64_t seed;
    uint64_t member_fields;  /* bits of the fields that a hit carries of each event */
    uint8_t kept[AS_FIELDS]; /* the same, in the order in which they are kept */
    uint32_t kept_count;
    as_member member;
    uint32_t width;
    uint32_t most_stages;
    bool staged; /* whether there is a sequence or sample */
    uint32_t bucket_mask;
    uint32_t slot_count;
    uint32_t slots_used;
    uint32_t free_slot;
    uint32_t step_count;
    uint32_t steps_used;
    uint32_t free_step;
    uint32_t stamp_count;
    uint32_t stamps_used;
    uint32_t free_stamp;
    uint32_t oldest;
    uint32_t newest;
    bool late;           /* the last event is older than the step before it */
    uint32_t done;       /* last step of the sequence in `completed`; AS_NO_STEP: none */
    uint32_t fired_slot; /* of the sample in `completed`; UINT32_MAX: none */
    as_completed completed;
} as_sequences;

void as_sequences_init(as_sequences *sequences, const as_config *config, const as_rules *rules, as_arena *arena);

/* Events of the longest sequence or largest sample, but the last one. */
uint32_t as_sequences_most_members(const as_sequences *sequences);

/* Fields that are kept of each event, as far as they fit AS_MEMBER_BYTES. */
void as_sequences_select_fields(as_sequences *sequences, uint64_t fields);

/* The key of an event that fits a filter. False: a key field that is not optional is missing. */
bool as_sequence_key(const as_sequences *sequences, const as_filter *filter, as_event_values *values, uint64_t key[2]);

/* Apply an event that fits a filter of an AS_RULE_SEQUENCE or AS_RULE_SAMPLE. True: it completes a hit, which
 * sequences->completed has until the next event. */
bool as_sequences_apply(as_sequences *sequences, const as_rule *rule, const as_filter *filter, const uint64_t key[2],
                        as_event_id id, as_event_values *values, as_stats *stats);

/* Continue from another one. rules: of this one. indexes: of the other one's rules in it; UINT32_MAX: a rule is gone. */
void as_sequences_migrate(as_sequences *sequences, const as_sequences *from, const as_rule *rules,
                          const uint32_t *indexes, as_stats *stats);

#endif
