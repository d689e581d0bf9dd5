/* Public entry points of the core, in pipeline order:
 *
 *     datagram or line ─► record ─► class ─► event ─► match ─► window ─► hit
 *
 * Each stage is a file in _ring/ that knows the stages before it only; this file alone knows all of them.
 * Rule 1: one allocation, at creation.
 * Rule 2: no clock, and no system call after creation but recvmmsg.
 * Rule 3: no input is accepted before there is space for everything it can cause (make_room), so nothing is dropped
 *   between stages, and any batching of the same bytes gives the same hits.
 * Tested by tests/c/test_ring.c, tests/core/test_ring.py, tests/core/test_model.py, fuzz/. */
#include "_ring.h"

#include <errno.h>
#include <stdlib.h>

#include "_ring/migrate.h"
#include "_ring/arena.h"
#include "_ring/config.h"
#include "_ring/decide.h"
#include "_ring/ring_state.h"
#include "_ring/rules.h"
#include "_ring/hugepages.h"

/* Bits of the fields that any predicate, key or actor reads. */
static uint64_t fields_of(const as_rules *rules) {
    uint64_t fields = rules->actor_fields;
    for (uint32_t i = 0; i < rules->predicate_count; i++) {
        fields |= AS_BIT(rules->predicates[i].field);
    }
    for (uint32_t i = 0; i < rules->filter_count; i++) {
        for (uint32_t j = 0; j < rules->filters[i].key_count; j++) {
            fields |= AS_BIT(rules->filters[i].keys[j]);
        }
    }
    return fields;
}

static void init_processes(as_ring *ring, const as_config *config, const as_rules *rules, as_arena *arena) {
    const uint64_t lists =
        AS_BIT(AS_FIELD_PARENT_ARGS) | AS_BIT(AS_FIELD_PARENT_COMMAND_LINE) | AS_BIT(AS_FIELD_LEADER_ARGS);
    const uint64_t fields = (rules->flags & AS_PROCESSES) != 0 ? AS_PROCESS_FIELDS : fields_of(rules);
    const uint32_t slots = (fields & AS_PROCESS_FIELDS) != 0 ? config->process_slots : 0;
    as_processes_init(&ring->processes, slots, config->seed, (fields & lists) != 0, rules, arena);
}

static void init_stages(as_ring *ring, const as_config *config, const as_rules *rules, as_arena *arena) {
    as_datagrams_init(&ring->datagrams, config, arena);
    as_lines_init(&ring->lines, config, arena);
    as_classes_init(&ring->classes, config, rules, arena);
    as_events_init(&ring->events, config, &ring->classes, arena);
    as_serials_init(&ring->serials, config, arena);
    as_match_init(&ring->match, config, rules, arena);
    init_processes(ring, config, rules, arena);
    as_event_values_init(&ring->values, config, (rules->flags & AS_STRICT) != 0, arena);
    ring->values.table = ring->processes.slot_count > 0 ? &ring->processes : NULL;
    as_order_init(&ring->order, config, arena);
    as_sequences_init(&ring->sequences, config, rules, arena);
    as_windows_init(&ring->windows, config, rules, arena);
    as_hits_init(&ring->hits, config, arena);
    as_hits_reserve_members(&ring->hits, as_sequences_most_members(&ring->sequences));
}

size_t as_ring_bytes(const as_config *config, const as_rules *rules) {
    as_ring counting = {0};
    as_arena arena = {.base = NULL, .used = sizeof(as_ring)};
    if (!as_config_valid(config) || !as_rules_valid(rules)) {
        return 0;
    }
    init_stages(&counting, config, rules, &arena);
    return arena.too_large ? 0 : arena.used;
}

as_ring *as_ring_new(const as_config *config, const as_rules *rules) {
    const size_t bytes = as_ring_bytes(config, rules);
    if (bytes == 0) {
        errno = EINVAL;
        return NULL;
    }
    /* calloc assigns no page to memory that is never used, and sets ENOMEM. */
    as_ring *ring = as_hugepages_advise(calloc(1, bytes), bytes);
    if (ring == NULL) {
        return NULL;
    }
    as_arena arena = {.base = (uint8_t *)ring, .used = sizeof(as_ring)};
    ring->config = *config;
    atomic_flag_clear(&ring->busy);
    as_steps_init(&ring->steps, config->seed);
    init_stages(ring, config, rules, &arena);
    as_events_select_fields(&ring->events, AS_ALL_FIELDS, as_ring_read_fields(ring));
    return ring;
}

void as_ring_free(as_ring *ring) {
    free(ring);
}

/* Event to hit */

/* Release one held event, to be decided next. False: none is held. */
static bool release_held(as_ring *ring) {
    if (ring->order.count == 0) {
        return false;
    }
    as_decision_resume(ring, as_order_release(&ring->order, &ring->events, &ring->stats));
    return true;
}

/* Load the next event to decide. False: there is none, or it waits for a process. Held events were matched before. */
static bool next_event(as_ring *ring) {
    as_decision *decision = &ring->decision;
    for (;;) {
        as_event *event = as_events_closed(&ring->events);
        if (event == NULL) {
            return ring->order.count > ring->order.limit && release_held(ring);
        }
        if (!as_decision_begin(ring, event)) {
            return false;
        }
        if (ring->order.limit == 0 || decision->matched == 0) {
            return true;
        }
        as_decision_hold(ring);
    }
}

/* Decide the closed events. False: the hit buffer is full before all are decided, or an event waits for a process. */
static bool decide_closed(as_ring *ring) {
    as_decision *decision = &ring->decision;
    while (ring->wanted_process == 0 && (decision->event != NULL || next_event(ring))) {
        if (!as_decision_run(ring)) {
            return false;
        }
        as_events_mark_decided(&ring->events, decision->event);
        decision->event = NULL;
    }
    return ring->wanted_process == 0;
}

/* True when decide_closed has something to do. */
static inline bool has_undecided(const as_ring *ring) {
    return ring->decision.event != NULL || as_list_first(&ring->events, AS_LIST_ALL, AS_CLOSED) != NULL ||
           ring->order.count > ring->order.limit;
}

/* Make space for the next record, whatever it takes. False: the hit buffer is full, or an event waits for a process. */
__attribute__((noinline)) static bool make_new_room(as_ring *ring) {
    for (;;) {
        if (has_undecided(ring) && !decide_closed(ring)) {
            return false;
        }
        if (as_events_expire(&ring->events, &ring->stats)) {
            continue;
        }
        if (as_events_has_space(&ring->events)) {
            as_events_measure_room(&ring->events);
            return true;
        }
        if (!release_held(ring)) {
            as_events_evict(&ring->events, &ring->stats);
        }
    }
}

/* Make space for the next record. False: the hit buffer is full, or an event waits for a process. */
__attribute__((always_inline)) static inline bool make_room(as_ring *ring, uint64_t now_ms) {
    if (now_ms != ring->events.now_ms) {
        as_events_tick(&ring->events, now_ms);
    }
    if (as_events_has_room(&ring->events) && !has_undecided(ring)) {
        ring->events.room--;
        return true;
    }
    return make_new_room(ring);
}

/* Datagram and line to event */

/* False: the record has no stamp. In one copy for datagrams and one for lines. */
__attribute__((always_inline)) static inline bool add_record(as_ring *ring, uint16_t type, as_span text, as_span node,
                                                             uint64_t now_ms, bool line) {
    as_record record;
    if (!as_record_read_next(&ring->stamp, type, text, &record)) {
        ring->stats.malformed++;
        return false;
    }
    ring->stats.records++;
    if (!record.repeated) {
        ring->stats.stamp_steps += as_steps_observe(&ring->steps, record.ms, record.serial, node) ? 1 : 0;
    }
    if (!line) {
        const uint64_t now = now_ms == 0 ? record.ms : now_ms;
        if (!as_serials_is_repeat(&ring->serials, record.serial, record.ms)) {
            as_serials_observe(&ring->serials, record.serial, record.ms, now, &ring->stats);
        }
        as_serials_expire(&ring->serials, now, &ring->stats);
    }
    const uint16_t class_index =
        type == AS_TYPE_SYSCALL ? as_class_of_record(&ring->classes, &record) : AS_CLASS_UNKNOWN;
    as_events_add(&ring->events, &record, node, class_index, now_ms != 0, line, &ring->stats);
    return true;
}

/* All in one function: a call costs more than what most records need. */
__attribute__((flatten)) static void process_datagram(as_ring *ring, as_span bytes, uint32_t sender, uint64_t now_ms,
                                                      bool cut) {
    const as_datagram datagram = as_datagram_read(bytes, sender);
    ring->stats.datagrams++;
    if (cut && (datagram.kind != AS_DATAGRAM_RECORD || as_events_store_type(&ring->events, datagram.type))) {
        ring->stats.truncated++;
    }
    switch (datagram.kind) {
    case AS_DATAGRAM_RECORD:
        add_record(ring, datagram.type, datagram.text, (as_span){0}, now_ms, false);
        break;
    case AS_DATAGRAM_CONTROL:
        ring->stats.control++;
        break;
    case AS_DATAGRAM_FOREIGN:
        ring->stats.foreign++;
        break;
    case AS_DATAGRAM_SHORT:
        ring->stats.malformed++;
        break;
    }
}

/* A whole line that continues the event of the line before, as most do: as process_line, without a search for the event.
 * False: it is another one, and nothing was done. */
__attribute__((always_inline)) static inline bool process_next_line(as_ring *ring, as_span line) {
    as_record record;
    if (!as_line_continues(line, ring->stamp.text, ring->stamp.len, &record.type, &record.body)) {
        return false;
    }
    record.repeated = true;
    record.serial = ring->stamp.serial;
    record.ms = ring->stamp.ms;
    if (!as_events_add_line(&ring->events, &record, &ring->stats)) {
        return false;
    }
    ring->stats.lines++;
    ring->stats.records++;
    return true;
}

__attribute__((noinline)) static void process_line(as_ring *ring, as_span line, bool cut) {
    as_line read;
    const bool record = as_line_read(line, &read);
    if (!record && as_line_separates(line)) {
        return;
    }
    ring->stats.lines++;
    /* A record that no field is read from needs nothing but its type. */
    if (cut && (!record || as_events_store_type(&ring->events, read.type))) {
        ring->stats.truncated++;
    }
    ring->stats.malformed += record ? 0 : 1;
    if (!record || !add_record(ring, read.type, read.text, read.node, 0, true)) {
        as_lines_sample(&ring->lines, line);
    }
}

/* Public */

int64_t as_ring_select_fields(as_ring *ring, uint64_t fields) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    if ((fields & ~AS_ALL_FIELDS) != 0 || ring->stats.datagrams != 0 || ring->stats.lines != 0) {
        return leave(ring, AS_ARGUMENT);
    }
    as_hits_select_fields(&ring->hits, fields);
    as_sequences_select_fields(&ring->sequences, fields);
    as_events_select_fields(&ring->events, fields | as_ring_read_fields(ring), as_ring_read_fields(ring));
    return leave(ring, AS_OK);
}

int64_t as_ring_order(as_ring *ring, uint32_t order) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    const bool fresh = ring->stats.datagrams == 0 && ring->stats.lines == 0;
    return leave(ring, fresh && as_order_begin(&ring->order, &ring->events, order) ? AS_OK : AS_ARGUMENT);
}

int64_t as_ring_receive(as_ring *ring, int fd, uint64_t now_ms, uint32_t rounds, uint32_t flags) {
    int64_t total = 0;
    if (!enter(ring)) {
        return AS_BUSY;
    }
    if (flags > AS_RECEIVE_TRUSTED) {
        return leave(ring, AS_ARGUMENT);
    }
    if (ring->deferred_errno != 0) {
        errno = ring->deferred_errno;
        ring->deferred_errno = 0;
        return leave(ring, AS_SYSTEM);
    }
    for (uint32_t round = 0; round < rounds; round++) {
        as_span bytes;
        uint32_t sender;
        bool cut;
        const int64_t got = as_datagrams_fetch(&ring->datagrams, fd, flags == AS_RECEIVE_TRUSTED);
        if (got < 0 && got != AS_UNREAD) {
            if (total == 0) {
                return leave(ring, got);
            }
            ring->deferred_errno = errno; /* the kernel reports an error once: the next call returns it */
            return leave(ring, total);
        }
        while (make_room(ring, now_ms) && as_datagrams_next(&ring->datagrams, &bytes, &sender, &cut)) {
            process_datagram(ring, bytes, sender, now_ms, cut);
            total++;
        }
        const bool full = ring->datagrams.taken < ring->datagrams.fetched;
        if (full || (got != AS_UNREAD && got < ring->datagrams.slots)) {
            break; /* the hit buffer is full, or the socket is empty */
        }
    }
    return leave(ring, total);
}

int64_t as_ring_fetch(as_ring *ring, int fd) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, as_datagrams_fetch(&ring->datagrams, fd, false));
}

int64_t as_ring_pack(as_ring *ring, uint8_t *out, size_t size, uint64_t now_ms) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, as_datagrams_pack(&ring->datagrams, out, size, now_ms, &ring->stats));
}

int64_t as_ring_feed(as_ring *ring, const uint8_t *packed, size_t len) {
    as_span rest = as_span_bounded(packed, len);
    const uint32_t all = rest.len;
    as_packed entry;
    if (!enter(ring)) {
        return AS_BUSY;
    }
    for (uint32_t size; rest.len > 0; rest = as_span_skip(rest, size)) {
        as_span_prefetch(rest);
        size = as_packed_read(rest, &entry);
        if (size == 0 || !make_room(ring, entry.ms)) {
            break;
        }
        const bool cut = entry.bytes.len > ring->datagrams.slot_bytes;
        entry.bytes.len = cut ? ring->datagrams.slot_bytes : entry.bytes.len;
        process_datagram(ring, entry.bytes, entry.sender, entry.ms, cut);
    }
    decide_closed(ring);
    return leave(ring, all - rest.len);
}

int64_t as_ring_feed_text(as_ring *ring, const uint8_t *text, size_t len) {
    as_span rest = as_span_bounded(text, len);
    const uint32_t all = rest.len;
    as_span line;
    bool cut;
    if (!enter(ring)) {
        return AS_BUSY;
    }
    as_lines_begin(&ring->lines);
    while (rest.len > 0 && make_room(ring, 0)) {
        if (as_lines_next(&ring->lines, &rest, &line, &cut) && (cut || !process_next_line(ring, line))) {
            process_line(ring, line, cut);
        }
    }
    decide_closed(ring);
    return leave(ring, all - rest.len);
}

int64_t as_ring_unread_line(as_ring *ring, uint8_t *out, size_t size) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    const uint32_t len = ring->lines.sample_len < size ? ring->lines.sample_len : (uint32_t)size;
    if (len > 0) {
        memcpy(out, ring->lines.sample, len);
    }
    ring->lines.sample_len = 0;
    return leave(ring, len);
}

int64_t as_ring_expire(as_ring *ring, uint64_t now_ms) {
    int64_t closed = 0;
    if (!enter(ring)) {
        return AS_BUSY;
    }
    as_events_tick(&ring->events, now_ms);
    while (decide_closed(ring) && as_events_expire(&ring->events, &ring->stats)) {
        closed++;
    }
    as_serials_expire(&ring->serials, now_ms, &ring->stats);
    return leave(ring, closed);
}

int64_t as_ring_finish(as_ring *ring) {
    as_span line;
    bool cut;
    if (!enter(ring)) {
        return AS_BUSY;
    }
    if (!make_room(ring, 0)) {
        return leave(ring, 0);
    }
    if (as_lines_last(&ring->lines, &line, &cut)) {
        process_line(ring, line, cut);
    }
    while (decide_closed(ring)) {
        if (!as_events_close_oldest(&ring->events, &ring->stats) && !release_held(ring)) {
            as_serials_finish(&ring->serials, &ring->stats);
            return leave(ring, 1);
        }
    }
    return leave(ring, 0);
}

int64_t as_ring_drain(as_ring *ring, uint8_t *out, size_t size) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    if (size < ring->hits.capacity) {
        return leave(ring, AS_ARGUMENT);
    }
    return leave(ring, as_hits_drain(&ring->hits, out));
}

int64_t as_ring_borrow(as_ring *ring, const uint8_t **out) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, as_hits_borrow(&ring->hits, out));
}

int64_t as_ring_stats(as_ring *ring, as_stats *out) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    *out = ring->stats;
    out->processes_evicted = ring->processes.evicted;
    out->live_processes = ring->processes.live;
    out->unknown_arch = ring->classes.unknown_records;
    out->args_cut = ring->values.cut_args;
    return leave(ring, AS_OK);
}

int64_t as_ring_exception_counts(as_ring *ring, uint64_t *out, size_t size) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, as_match_exception_counts(&ring->match, out, size));
}

int64_t as_ring_unknown_arches(as_ring *ring, as_unknown_arch *out, size_t size) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, as_classes_unknown_arches(&ring->classes, out, size));
}

int64_t as_ring_remembers_processes(as_ring *ring) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, ring->processes.slot_count > 0 ? 1 : 0);
}

int64_t as_ring_wanted_process(as_ring *ring) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, ring->wanted_process);
}

int64_t as_ring_add_process(as_ring *ring, const as_process_facts *facts) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    as_process_facts entered = *facts;
    if (ring->wanted_process == facts->pid) {
        /* A reading from before the event, by a clock that steps, would leave its question open. */
        const as_event *event = as_events_closed(&ring->events);
        entered.read_ms = event != NULL && event->ms > facts->read_ms ? event->ms : facts->read_ms;
        ring->wanted_process = 0;
    }
    as_processes_enter_facts(&ring->processes, &entered, ring->config.boot);
    return leave(ring, AS_OK);
}

int64_t as_ring_migrate(as_ring *ring, as_ring *from, const uint32_t *rules) {
    if (ring == from || !enter(ring)) {
        return ring == from ? AS_ARGUMENT : AS_BUSY;
    }
    if (!enter(from)) {
        return leave(ring, AS_BUSY);
    }
    int64_t result = 0;
    if (decide_closed(from) && from->hits.used == 0) {
        result = as_migrate(ring, from, rules) ? 1 : AS_ARGUMENT;
    }
    leave(from, 0);
    return leave(ring, result);
}

const char *as_version(void) {
    return AUDITSENSE_VERSION;
}
