/* The table of events: slots, found by stamp, serial and node, in lists by state.
 *
 * Part of stage 3; event.h describes the life of an event. Owns: the slots, the buckets and the stored texts.
 * Tested by tests/c/test_event.c. */
#ifndef AUDITSENSE_EVENT_SLOTS_H
#define AUDITSENSE_EVENT_SLOTS_H

#include "../_ring.h"
#include "arena.h"
#include "call_head.h"
#include "call_tail.h"
#include "classes.h"
#include "record.h"
#include "slab.h"

/* Records that are stored, each in its place. */
typedef enum { AS_ROLE_SYSCALL, AS_ROLE_CWD, AS_ROLE_FIRST_PATH, AS_ROLE_PROCTITLE, AS_ROLE_NODE, AS_ROLES } as_role;

/* Records that are linked to their event (as_event.linked), for as many as it has. */
typedef enum {
    AS_LINK_MAIN = 1,  /* the first record of the event, if it does not belong to a system call, or a URINGOP */
    AS_LINK_PATHS = 2, /* usually only the preferred one, which is the first that is neither PARENT nor UNKNOWN, if that
                          is not the first of all: fields come from no other */
    AS_LINK_EXECVE = 4,
    AS_LINK_SOCKADDR = 8,
    AS_LINK_CAPABILITIES = 16
} as_link_kind;

/* as_event.seen */
enum {
    SEEN_SYSCALL = 1, /* the event's main record */
    SEEN_END = 2,     /* EOE; PROCTITLE or PATH if configured as the end */
    SEEN_OF_SYSCALL = 4,
    SEEN_CWD = 8,
    SEEN_PROCTITLE = 16,
    SEEN_EOE = 32,
    SEEN_PATH = 64,
    SEEN_URINGOP = 128, /* the main record if an io_uring thread acted; otherwise the caller's SYSCALL follows */
    IS_TEXT = 256,
    CLOSED_WITHOUT_END = 512,  /* text: all announced records arrived, and no end was awaited */
    ITEMS_READ = 1024,         /* as_event.items is valid */
    FIRST_PATH_CHECKED = 2048, /* FIRST_PATH_PREFERRED is valid */
    FIRST_PATH_PREFERRED = 4096
};

enum { SEEN_MAIN = SEEN_SYSCALL | SEEN_URINGOP };

/* Linked texts of an event; more are not stored, and cut its arguments. The kernel writes at most 10 records for as many
 * bytes of arguments as exec_args.h keeps. */
enum { AS_MAX_LINKED = 32 };

typedef enum { AS_LIST_ALL, AS_LIST_LARGE, AS_LISTS } as_queue;

typedef struct {
    uint32_t next;
    uint32_t previous;
} as_link;

typedef enum { AS_FRESH, AS_OPEN, AS_CLOSED, AS_HELD, AS_DECIDED, AS_STATES } as_event_state;

typedef struct {
    uint64_t ms;
    uint64_t node;    /* seeded hash of node=; 0 without */
    uint64_t born_ms; /* as_events.clock_ms at its first record */
    uint64_t paths;   /* bits of the PATH items seen, the first 64 */
    uint32_t serial;
    uint32_t begun; /* as_events.begun at its first record */
    uint32_t next_in_bucket;
    uint32_t tables; /* as_events.tables when its class became known */
    as_link links[AS_LISTS];
    uint16_t seen;        /* bits, as above */
    uint16_t items;       /* PATH records that SYSCALL announces, valid with ITEMS_READ */
    uint16_t path_count;  /* PATH records seen */
    uint16_t class_index; /* AS_CLASS_UNKNOWN before its SYSCALL record; 0: no rule can match it */
    uint8_t state;
    uint8_t stored;      /* bits by as_role */
    uint8_t large_texts; /* stored large texts; with any, the event is also in a list of AS_LIST_LARGE */
    uint8_t linked_count;
    uint8_t linked_kinds; /* bits of as_link_kind */
    uint8_t first_path;   /* index of the first PATH that file fields can come from; of its class */
    uint8_t directory;    /* n + 1: register n holds the directory that a relative path starts from; 0: none */
    uint16_t main_type;   /* of the first record; see types.h */
    uint32_t linked;      /* the linked text stored last; AS_NO_TEXT: none */
    as_slab_ref texts[AS_ROLES];
} as_event;

typedef struct {
    uint32_t first;
    uint32_t last;
} as_queue_ends;

/* Record types that a host writes to its log: SYSCALL records since the last record of a type. */
typedef struct {
    uint32_t since_proctitle; /* since PROCTITLE */
    uint32_t since_path;      /* since PATH, counting those that announce one and that a rule can match */
    bool saw_path;
} as_host_profile;

enum { AS_HOST_PROFILES = 256 };

typedef struct {
    as_event *slots;
    uint32_t *buckets;
    as_slab slab;
    as_queue_ends lists[AS_LISTS][AS_STATES];
    uint64_t seed;
    uint64_t timeout_ms;
    uint64_t clock_ms;       /* advance of the receive clock, each step up to the timeout */
    uint64_t now_ms;         /* its last reading; 0: none yet */
    uint64_t newest_ms;      /* stamp of the event with the largest stamp and serial so far */
    uint32_t newest_serial;  /* its serial */
    uint32_t begun;          /* events that began without a clock */
    uint32_t timeout_events; /* an event without an end is closed after this number of later ones */
    uint32_t absence_events; /* a host writes no records of a type after this number of events without one */
    uint32_t bucket_mask;
    uint32_t slot_count;
    uint32_t held;    /* at most; 0: live. Otherwise events may wait for all their PATH records */
    as_event_end end; /* of events from datagrams */
    uint32_t latest;  /* the event of the last record: usually that of the next one, too */
    uint32_t room;    /* records that can be added without asking for space or for events that have timed out */
    uint32_t ready;   /* the open text event that ends with the next record of another one */
    uint32_t tables;  /* number of the rule table, see as_match.tables */
    const as_classes *classes;
    uint8_t roles;    /* bits of the roles whose texts are needed */
    uint8_t links;    /* bits of the as_link_kinds that are */
    bool all_paths;   /* of every event */
    bool some_absent; /* some profile has reached absence_events: until then text events close by their end alone */
    as_heads heads;   /* of events that announced_paths has asked about */
    as_host_profile profiles[AS_HOST_PROFILES]; /* by hash of the node; hosts that collide share a profile */
} as_events;

/* classes: they stay valid as long as the table. */
void as_events_init(as_events *events, const as_config *config, const as_classes *classes, as_arena *arena);

/* Store only the texts that these fields need from now on; as_events_init selects all. tested: those of the fields that
 * rules read, of which every PATH record may be asked for. */
void as_events_select_fields(as_events *events, uint64_t fields, uint64_t tested);

/* Reserve slots and texts for this number of held events. */
void as_events_reserve(as_events *events, uint32_t held);

/* The event of this stamp, serial and node, in any state; NULL: none. */
as_event *as_events_find(const as_events *events, uint64_t ms, uint32_t serial, uint64_t node);

/* Open an event in a fresh slot, or in that of the oldest decided one. There must be one. */
as_event *as_events_open(as_events *events, const as_record *record, uint64_t node);

/* The class of the event is known. */
void as_event_set_class(const as_events *events, as_event *event, uint16_t class_index);

/* Store a text of the event, if a rule can match it and the role is needed. There must be space. */
void as_event_store(as_events *events, as_event *event, as_role role, as_span text);

/* Link a text to the event, under the same conditions. */
void as_event_link(as_events *events, as_event *event, as_link_kind kind, uint16_t type, as_span text);
void as_event_release(as_events *events, as_event *event);

/* The oldest closed event; NULL: none. Call as_events_mark_decided before requesting the next. */
as_event *as_events_closed(as_events *events);
void as_events_mark_decided(as_events *events, as_event *event);

/* Whether a record of this type is stored for some event. */
bool as_events_store_type(const as_events *events, uint16_t type);

/* Fields that as_event_fields reads: those of one record each. event_values.h decodes the others. */
#define AS_PLAIN_FIELDS (AS_RANGE(AS_FIELD_ARCH, AS_FIELD_ARGC) | AS_RANGE(AS_FIELD_ACCT, AS_FIELD_UNIT))

/* The bodies of the linked records of this type, last stored first. Returns how many there are, at most
 * AS_MAX_LINKED. */
uint32_t as_event_linked(const as_events *events, const as_event *event, uint16_t type, as_span *bodies);

/* The nametype of a PATH record; empty: none. An object is neither a PARENT nor UNKNOWN. */
as_span as_path_nametype(as_span path);
bool as_path_is_object(as_span path);

/* The stored PATH records in order of their items. Returns how many there are, at most AS_MAX_PATHS. */
enum { AS_MAX_PATHS = AS_MAX_LINKED + 1 };
uint32_t as_event_paths(const as_events *events, const as_event *event, as_span *bodies);

/* How far the records of an event were read, and the fields that are kept in passing; all zeros: not at all, and none. */
typedef struct {
    uint64_t kept;
    as_tails *tails;     /* NULL: none are kept */
    const as_tail *tail; /* of the SYSCALL record, from tail_at on; NULL: not looked for, or unknown */
    uint32_t tail_at;
    as_record_cursor call;
    as_record_cursor path;
} as_event_cursors;

/* Read the wanted values of a closed event, and those that are passed and not located yet, see as_record_fields_on. They
 * point into stored texts. False: the rest of a record was not read. */
bool as_event_fields(const as_events *events, const as_event *event, as_event_cursors *cursors, uint64_t wanted,
                     uint64_t *located, as_value values[AS_FIELDS]);

/* Lists: each event is in the list of its state; those with large texts are also in a second one. */

#define AS_NO_SLOT UINT32_MAX

static inline uint32_t as_slot_of(const as_events *events, const as_event *event) {
    return (uint32_t)(event - events->slots);
}

static inline as_event *as_list_first(const as_events *events, as_queue which, as_event_state state) {
    const uint32_t at = events->lists[which][state].first;
    return at == AS_NO_SLOT ? NULL : &events->slots[at];
}

/* Prefetch a slot that is used some events later; AS_NO_SLOT: none. */
static inline void as_list_prefetch(const as_events *events, uint32_t at) {
    enum { LINE = 64 };
    if (at != AS_NO_SLOT) {
        const uint8_t *const slot = (const uint8_t *)&events->slots[at];
        for (size_t line = 0; line < sizeof *events->slots; line += LINE) {
            __builtin_prefetch(slot + line, 1);
        }
        __builtin_prefetch(slot + sizeof *events->slots - 1, 1);
    }
}

/* Append the event to a list of its state. */
static inline void as_list_join(as_events *events, as_queue which, as_event *event) {
    const uint32_t at = as_slot_of(events, event);
    as_queue_ends *list = &events->lists[which][event->state];
    event->links[which] = (as_link){.next = AS_NO_SLOT, .previous = list->last};
    if (list->last == AS_NO_SLOT) {
        list->first = at;
    } else {
        events->slots[list->last].links[which].next = at;
    }
    list->last = at;
}

static inline void as_list_leave(as_events *events, as_queue which, const as_event *event) {
    as_queue_ends *list = &events->lists[which][event->state];
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
