/* What the targets share: a promise that ends the run when it is broken, cuts that depend on nothing but the
 * input, and a way to collect all hits of a stream. */
#ifndef AUDITSENSE_FUZZ_H
#define AUDITSENSE_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "_ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): a release build keeps this one. */
#define PROMISE(condition)                                                                  \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                        \
        }                                                                                   \
    } while (0)

static inline void *must(void *memory) {
    PROMISE(memory != NULL);
    return memory;
}

/* Numbers for cutting the input: xorshift, started from the input itself so that a crash comes again. */
typedef struct {
    uint64_t state;
} fuzz_random;

static inline fuzz_random fuzz_random_of(const uint8_t *data, size_t size) {
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15) ^ size;
    for (size_t i = 0; i < size; i++) {
        state = (state ^ data[i]) * UINT64_C(0x100000001b3);
    }
    return (fuzz_random){.state = state | 1};
}

/* 1 to most. */
static inline size_t fuzz_pick(fuzz_random *random, size_t most) {
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return (size_t)(random->state % most) + 1;
}

/* Every event with a SYSCALL; two of one process and host, merged or not; three of one command, but for programs
 * below /proc, and until some time for those without a terminal; two opens by a process and two events of its children,
 * until one without a terminal; and a sample of five. */
static inline as_ring *fuzz_ring(bool merge, uint32_t order) {
    static const uint8_t text[] = "/proc*";
    static const as_operand operands[] = {{.at = 0, .len = 6}, {.number = 0x80000, .mask = UINT32_MAX}};
    static const as_predicate predicates[] = {
        {.field = AS_FIELD_PATH_NAME, .op = AS_OP_LIKE, .flags = AS_FOLD_CASE, .first_operand = 0, .operands = 1},
        {.field = AS_FIELD_A2, .op = AS_OP_PRESENT},
        {.field = AS_FIELD_A2, .op = AS_OP_NUMBER, .first_operand = 1, .operands = 1},
        {.field = AS_FIELD_EXE, .op = AS_OP_LIKE, .flags = AS_FOLD_CASE, .first_operand = 0, .operands = 1},
        {.field = AS_FIELD_TTY, .op = AS_OP_PRESENT}};
    static const as_node nodes[] = {{0, AS_NODE_TRUE, AS_NODE_FALSE},
                                    {1, 2, AS_NODE_FALSE},
                                    {2, AS_NODE_FALSE, AS_NODE_TRUE},
                                    {3, AS_NODE_TRUE, AS_NODE_FALSE},
                                    {4, AS_NODE_FALSE, AS_NODE_TRUE}};
    static const as_exception exceptions[] = {{.until_ms = UINT64_MAX, .start = 3},
                                              {.until_ms = 1795493114700, .start = 4}};
    static const as_call calls[] = {{.arch = 0xc000003e, .syscall = 257, .class_index = 1}};
    static const as_filter filters[] = {
        {.start = AS_NODE_TRUE, .rule = 0, .stages = 1},
        {.start = 0, .rule = 1, .stages = 1, .keys = {AS_FIELD_PID, AS_FIELD_NODE}, .key_count = 2},
        {.start = 1, .rule = 2, .stages = 1, .keys = {AS_FIELD_COMM}, .key_count = 1},
        {.start = AS_NODE_TRUE, .rule = 3, .first_stage = 2, .stages = 2, .keys = {AS_FIELD_PPID}, .key_count = 1},
        {.start = 0, .rule = 3, .stages = 2, .keys = {AS_FIELD_PID}, .key_count = 1},
        {.start = AS_NODE_TRUE, .rule = 4, .first_stage = 1, .stages = 1, .keys = {AS_FIELD_EXE}, .key_count = 1},
        {.start = 0, .rule = 4, .stages = 1, .keys = {AS_FIELD_EXE}, .key_count = 1},
        {.start = AS_NODE_TRUE, .rule = 0, .stages = 1},
        {.start = 1, .rule = 2, .stages = 1, .keys = {AS_FIELD_COMM}, .key_count = 1},
        {.start = AS_NODE_TRUE, .rule = 3, .first_stage = 2, .stages = 2, .keys = {AS_FIELD_PPID}, .key_count = 1},
        {.start = 4, .rule = 3, .stages = 1, .until = 1, .keys = {AS_FIELD_PID}, .key_count = 1, .optional_keys = 1},
        {.start = AS_NODE_TRUE, .rule = 4, .first_stage = 4, .stages = 1, .keys = {AS_FIELD_EXE}, .key_count = 1},
        {.start = 1, .rule = 4, .first_stage = 3, .stages = 1, .keys = {AS_FIELD_EXE}, .key_count = 1},
        {.start = AS_NODE_TRUE, .rule = 4, .first_stage = 2, .stages = 1, .keys = {AS_FIELD_CWD}, .key_count = 1}};
    static const as_class classes[] = {
        {0}, {.first_filter = 0, .filters = 7, .flags = AS_CLASS_EXECUTES}, {.first_filter = 7, .filters = 7}};
    static const as_session sessions[] = {{.name_len = 0, .type_len = 6}};
    const as_rule rules[] = {
        {.kind = AS_RULE_EVENT, .stages = 1, .count = 1, .span_ms = 1},
        {.kind = AS_RULE_RUNS, .stages = 1, .count = 2, .span_ms = 5000, .merge_ms = merge ? 60000 : 0},
        {.kind = AS_RULE_RUNS, .stages = 1, .count = 3, .span_ms = 1000, .exceptions = 2},
        {.kind = AS_RULE_SEQUENCE, .stages = 4, .count = 1, .span_ms = 2000},
        {.kind = AS_RULE_SAMPLE, .stages = 5, .count = 1, .span_ms = 3000}};
    const as_rules table = {.rules = rules,
                            .classes = classes,
                            .calls = calls,
                            .filters = filters,
                            .nodes = nodes,
                            .predicates = predicates,
                            .operands = operands,
                            .exceptions = exceptions,
                            .sessions = sessions,
                            .text = text,
                            .rule_count = 5,
                            .class_count = 3,
                            .call_count = 1,
                            .filter_count = 14,
                            .node_count = 5,
                            .predicate_count = 5,
                            .operand_count = 2,
                            .exception_count = 2,
                            .text_len = 6,
                            .session_count = 1,
                            .other_call_class = 2,
                            .flags = AS_PROCESSES,
                            .actor_fields = UINT64_C(1) << AS_FIELD_EXE | UINT64_C(1) << AS_FIELD_UID};
    const as_config config = {.seed = 7,
                              .datagram_slots = 1,
                              .datagram_bytes = 1024,
                              .event_slots = 16,
                              .small_texts = 24,
                              .large_texts = 4,
                              .event_timeout_ms = 2000,
                              .key_slots = 16,
                              .window_slack = 3,
                              .process_slots = 16,
                              .hit_bytes = 8 * 1024 + 262144};
    as_ring *ring = must(as_ring_new(&config, &table));
    PROMISE(as_ring_order(ring, order) == AS_OK);
    return ring;
}

/* The hits of a whole run, one after another. */
typedef struct {
    uint8_t *bytes;
    size_t len;
    size_t room;
} fuzz_hits;

enum { FUZZ_HIT_BYTES = 8 * 1024 + 262144 };

/* Move the waiting hits behind those collected. Returns the bytes moved. */
static inline size_t fuzz_collect(as_ring *ring, fuzz_hits *hits) {
    if (hits->room - hits->len < FUZZ_HIT_BYTES) {
        hits->room = 2 * hits->room + FUZZ_HIT_BYTES;
        hits->bytes = must(realloc(hits->bytes, hits->room));
    }
    const int64_t moved = as_ring_drain(ring, hits->bytes + hits->len, FUZZ_HIT_BYTES);
    PROMISE(moved >= 0 && moved % 8 == 0);
    hits->len += (size_t)moved;
    return (size_t)moved;
}

/* A column of these bytes: of hits it has a row each, of anything else it is refused, and no byte more is touched. */
static inline void fuzz_columns(const uint8_t *bytes, size_t size, bool hits) {
    static const uint32_t fields[] = {AS_FIELD_PID, AS_FIELD_EXE, AS_FIELD_PATH_NAME, AS_FIELD_PROCTITLE};
    uint8_t *out = must(malloc(size + 1));
    uint8_t *copy = must(malloc(size + 1));
    uint8_t *rows = must(malloc(size / 256 + 1));
    int64_t *numbers = must(malloc(size + 8));
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        as_column column;
        const uint32_t field = fields[i];
        const int64_t texts = as_hits_texts(copy, size, field, AS_COLUMN_TEXT, rows, out, size, &column);
        PROMISE(texts >= 0 ? (size_t)texts <= size && column.rows <= size / 256 : !hits && texts == AS_ARGUMENT);
        const uint32_t count = column.rows;
        const int64_t dict = as_hits_texts(copy, size, field, AS_COLUMN_DICT, rows, out, size, &column);
        PROMISE(dict == AS_ARGUMENT ? texts == dict : column.fallback == 1 || (dict >= 0 && count == column.rows));
        PROMISE(dict < 0 || ((size_t)dict <= size && column.dict_size <= column.rows));
        const int64_t seen = as_hits_numbers(copy, size, field, AS_COLUMN_NUMBER, rows, numbers, size, &column);
        PROMISE(seen == AS_ARGUMENT ? texts == seen : seen == (int64_t)count && count == column.rows);
        const int64_t parts = as_hits_texts(copy, size, field, AS_COLUMN_ARGUMENTS, rows, out, size, &column);
        int64_t zeros = 0;
        for (int64_t at = 0; at < parts; at++) {
            zeros += out[at] == 0 ? 1 : 0;
        }
        const int64_t counts =
            as_hits_numbers(copy, size, field, AS_COLUMN_ARGUMENT_COUNTS, rows, numbers, size, &column);
        for (int64_t row = 0; row < counts; row++) {
            zeros -= numbers[row];
        }
        PROMISE(counts == AS_ARGUMENT ? texts == counts : counts == (int64_t)count && zeros == 0);
    }
    /* The accessors: every hit that as_hit_next finds can be read, and of whole hits it finds all. */
    size_t found = 0;
    const uint8_t *hit = NULL;
    const uint8_t *last = NULL;
    while ((hit = as_hit_next(copy, size, hit)) != NULL) {
        as_event_id id;
        const uint8_t *text;
        int64_t number;
        PROMISE(as_hit_event(hit, as_hit_count(hit) - 1, &id) == AS_OK);
        PROMISE(as_hit_event(hit, as_hit_count(hit), &id) == AS_ARGUMENT);
        for (uint32_t field = 0; field < AS_FIELDS; field++) {
            const int64_t len = as_hit_text(hit, field, &text);
            PROMISE(len < 0 || (text > hit && text + len <= copy + size));
            PROMISE(!hits || len != AS_ARGUMENT);
            PROMISE(as_hit_number(hit, field, &number) <= 0);
            for (uint32_t index = 0; index < 5; index++) {
                const int64_t kept = as_hit_member(hit, index, field, &text);
                PROMISE(kept < 0 || (text > hit && text + kept <= copy + size));
            }
        }
        last = hit;
        found++;
    }
    as_column column;
    PROMISE(!hits || as_hits_numbers(copy, size, 0, AS_COLUMN_MS, rows, numbers, size, &column) == (int64_t)found);
    PROMISE(last == NULL || last < copy + size);
    free(rows);
    free(numbers);
    free(copy);
    free(out);
}

/* Finish the ring, check that its counters agree with each other and with the hits, and free it. */
static inline as_stats fuzz_finish(as_ring *ring, fuzz_hits *hits) {
    as_stats stats;
    while (as_ring_finish(ring) == 0) {
        PROMISE(fuzz_collect(ring, hits) > 0);
    }
    fuzz_collect(ring, hits);
    PROMISE(as_ring_stats(ring, &stats) == AS_OK);
    as_ring_free(ring);

    PROMISE(stats.datagrams + stats.lines == stats.foreign + stats.control + stats.malformed + stats.records);
    PROMISE(stats.open_events == 0);
    PROMISE(stats.records >= stats.events + stats.late + stats.duplicate);
    PROMISE(stats.incomplete <= stats.events);
    PROMISE(stats.evicted <= stats.incomplete);
    PROMISE(stats.live_keys <= 2 * 16); /* windows, and sequences */
    PROMISE(stats.keyless + stats.stale <= stats.matches);
    PROMISE(stats.hits <= stats.sequences);

    fuzz_columns(hits->bytes, hits->len, true);
    uint64_t count = 0;
    uint64_t sequences = 0;
    for (size_t at = 0; at < hits->len;) {
        as_hit hit;
        PROMISE(hits->len - at >= sizeof hit);
        memcpy(&hit, hits->bytes + at, sizeof hit);
        PROMISE(hit.size % 8 == 0 && hit.size <= hits->len - at && hit.rule < 5);
        PROMISE(hit.ids == hit.rule + 1 && hit.others < hit.ids);
        for (uint32_t field = 0; field < AS_FIELDS; field++) {
            as_hit_field place;
            memcpy(&place, hits->bytes + at + sizeof hit + hit.ids * sizeof(as_event_id) + field * sizeof place,
                   sizeof place);
            PROMISE(place.at <= hit.size && place.len <= hit.size - place.at);
        }
        count++;
        sequences += 1 + hit.more;
        at += hit.size;
    }
    PROMISE(count == stats.hits);
    PROMISE(sequences == stats.sequences);
    return stats;
}

#endif
