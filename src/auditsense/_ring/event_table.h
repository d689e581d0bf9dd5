/* The table of events: slots, found by stamp, serial and node, in lists by state.
 *
 * Part of stage 3; event.h says how an event lives. Owns the slots, the buckets and the kept texts.
 * Tested by tests/c/test_event.c. */
#ifndef AUDITSENSE_EVENT_TABLE_H
#define AUDITSENSE_EVENT_TABLE_H

#include "../_ring.h"
#include "arena.h"
#include "record.h"
#include "slab.h"

/* What of an event is kept. Of its PATH records only the two that a field can come from: the first, and
 * the first that is neither PARENT nor UNKNOWN, which is preferred; AS_ROLE_PATH is kept only when that is
 * another one. */
typedef enum {
    AS_ROLE_SYSCALL,
    AS_ROLE_CWD,
    AS_ROLE_PATH,
    AS_ROLE_FIRST_PATH,
    AS_ROLE_PROCTITLE,
    AS_ROLE_NODE,
    AS_ROLES
} as_role;

typedef enum { AS_LIST_ALL, AS_LIST_LARGE, AS_LISTS } as_list;

typedef struct {
    uint32_t next;
    uint32_t previous;
} as_link;

typedef enum { AS_FRESH, AS_OPEN, AS_CLOSED, AS_HELD, AS_DECIDED, AS_STATES } as_event_state;

typedef struct {
    uint64_t ms;
    uint64_t node;    /* seeded hash of the node= before the record; 0 without one */
    uint64_t born_ms; /* as_events.clock_ms when its first record came */
    uint64_t candidates; /* rules that may want it: all, until the SYSCALL record tells more; of a held one: that do */
    uint64_t paths;   /* PATH items seen, by number, the first 64 */
    uint32_t serial;
    uint32_t begun; /* as_events.begun when its first record came */
    uint32_t next_in_bucket;
    as_link links[AS_LISTS];
    uint16_t seen;       /* bits, event.c */
    uint16_t items;      /* how many PATH records SYSCALL announces, once that was asked */
    uint16_t path_count; /* how many came */
    uint8_t state;
    uint8_t stored;      /* bits by as_role */
    uint8_t large_texts; /* of the kept ones; while there are any, the event is in a list of AS_LIST_LARGE */
    as_slab_ref texts[AS_ROLES];
} as_event;

typedef struct {
    uint32_t first;
    uint32_t last;
} as_event_list;

/* What the text of a host is made of: how many SYSCALL records came since the last record of a type. */
typedef struct {
    uint32_t since_proctitle; /* since PROCTITLE */
    uint32_t since_path; /* since PATH, of those that announce one and that a rule may want */
    bool saw_path;
} as_host_profile;

enum { AS_HOST_PROFILES = 256 };

typedef struct {
    as_event *slots;
    uint32_t *buckets;
    as_slab slab;
    as_event_list lists[AS_LISTS][AS_STATES];
    uint64_t seed;
    uint64_t timeout_ms;
    uint64_t clock_ms; /* what the receive clock went forwards, each step up to the timeout */
    uint64_t now_ms;   /* what it showed last; 0: nothing yet */
    uint32_t begun;    /* events that began without a clock */
    uint32_t timeout_events; /* so many later ones begin before one that does not end is closed */
    uint32_t absence_events; /* so many events without a record of a type say that there are none */
    uint32_t bucket_mask;
    uint32_t slot_count;
    uint32_t held;   /* at most; 0: live. Else nothing waits for an event, and it can wait for all its PATH records */
    as_event_end end;      /* of events that do not come from log files */
    uint32_t latest; /* the event of the last record: mostly that of the next one as well */
    uint32_t ready;   /* the open event of text that ends with the next record of another one */
    uint8_t roles;   /* bits of those whose texts are needed */
    bool some_absent;    /* a habit has been reached: until then events of text end by their end alone */
    as_host_profile profiles[AS_HOST_PROFILES]; /* by hash of the node; hosts that share a place share their habits */
} as_events;

void as_events_init(as_events *events, const as_config *config, as_arena *arena);

/* Keep from now on only the texts that these fields need, and what decides about events; as_events_init: all. */
void as_events_select_fields(as_events *events, uint64_t fields);

/* Leave slots and texts for so many held events. */
void as_events_reserve(as_events *events, uint32_t held);

/* The event of this stamp, serial and node, in whatever state; NULL: there is none. */
as_event *as_events_find(const as_events *events, uint64_t ms, uint32_t serial, uint64_t node);

/* Open an event in a fresh slot or in that of the one remembered longest. There must be one. */
as_event *as_events_open(as_events *events, const as_record *record, uint64_t node);

/* Keep a text of the event, if a rule may want it and its role is needed. There must be room. */
void as_event_store(as_events *events, as_event *event, as_role role, as_span text);
void as_event_release(as_events *events, as_event *event);

/* The oldest closed event, to be decided; it must be forgotten before the next is asked for. */
as_event *as_events_closed(as_events *events);
void as_events_mark_decided(as_events *events, as_event *event);

/* The wanted values of a closed event, and some that lie before them; absent where it has none. They point
 * into kept texts. False: the rest of a record was not read. */
bool as_event_fields(const as_events *events, const as_event *event, uint64_t wanted, as_value values[AS_FIELDS]);

/* Lists: each event is in the one of its state; those with large texts are in a second one as well. */

#define AS_NO_SLOT UINT32_MAX

static inline uint32_t as_slot_of(const as_events *events, const as_event *event) {
    return (uint32_t)(event - events->slots);
}

static inline as_event *as_list_first(const as_events *events, as_list which, as_event_state state) {
    const uint32_t at = events->lists[which][state].first;
    return at == AS_NO_SLOT ? NULL : &events->slots[at];
}

/* Put the event at the end of a list of its state. */
static inline void as_list_join(as_events *events, as_list which, as_event *event) {
    const uint32_t at = as_slot_of(events, event);
    as_event_list *list = &events->lists[which][event->state];
    event->links[which] = (as_link){.next = AS_NO_SLOT, .previous = list->last};
    if (list->last == AS_NO_SLOT) {
        list->first = at;
    } else {
        events->slots[list->last].links[which].next = at;
    }
    list->last = at;
}

static inline void as_list_leave(as_events *events, as_list which, const as_event *event) {
    as_event_list *list = &events->lists[which][event->state];
    const as_link link = event->links[which];
    if (link.previous == AS_NO_SLOT) {
        list->first = link.next;
    } else {
        events->slots[link.previous].links[which].next = link.next;
    }
    if (link.next == AS_NO_SLOT) {
        list->last = link.previous;
    } else {
        events->slots[link.next].links[which].previous = link.previous;
    }
}

static inline void as_list_move(as_events *events, as_event *event, as_event_state state) {
    as_list_leave(events, AS_LIST_ALL, event);
    if (event->large_texts > 0) {
        as_list_leave(events, AS_LIST_LARGE, event);
    }
    event->state = (uint8_t)state;
    as_list_join(events, AS_LIST_ALL, event);
    if (event->large_texts > 0) {
        as_list_join(events, AS_LIST_LARGE, event);
    }
}

#endif
