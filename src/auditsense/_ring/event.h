/* Stage 3, event: the records of one stamp and serial, put together however they arrive.
 *
 *     fresh ──► open ──(end, timeout, no room)──► closed ──(decided)──► remembered ──► fresh
 *
 * Owns the table of events, their kept texts, and the reasons for closing.
 * Rule 1: an event waits for nobody but itself; one that never ends delays no other.
 * Rule 2: a closed event stays remembered until its slot is needed, so that what comes late is known.
 * Rule 3: an event that is given up is decided with what it has: being pushed out hides nothing.
 * Rule 4: adding a record cannot fail, because room for it is made before (as_events_room).
 * The invariant: every slot is in exactly one of the four lists; open + closed events alone hold texts.
 * Tested by tests/c/test_event.c (tests/cases/events.txt) and the stream fuzz target. */
#ifndef AUDITSENSE_EVENT_H
#define AUDITSENSE_EVENT_H

#include "../_ring.h"
#include "carve.h"
#include "record.h"
#include "texts.h"

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

typedef enum { AS_FRESH, AS_OPEN, AS_CLOSED, AS_REMEMBERED, AS_STATES } as_event_state;

typedef struct {
    uint64_t ms;
    uint64_t node;    /* seeded hash of the node= before the record; 0 without one */
    uint64_t born_ms; /* when its first record came, by the caller's clock */
    uint64_t wanted;  /* rules that may want it: all, until the SYSCALL record tells more */
    uint64_t paths;   /* PATH items seen, by number, the first 64 */
    uint32_t serial;
    uint32_t next_in_bucket;
    uint32_t next;
    uint32_t previous;
    uint8_t state;
    uint8_t items; /* where PATH is the end: how many SYSCALL announces, 255 at most */
    uint8_t kept;  /* bits by as_role */
    uint8_t seen;  /* bits, event.c */
    as_text texts[AS_ROLES];
} as_event;

typedef struct {
    uint32_t first;
    uint32_t last;
} as_event_list;

typedef struct {
    as_event *slots;
    uint32_t *buckets;
    as_texts texts;
    as_event_list lists[AS_STATES];
    uint64_t seed;
    uint64_t timeout_ms;
    uint64_t newest_ms; /* the newest stamp seen: the time of a stream without a clock */
    uint32_t bucket_mask;
    uint32_t slot_count;
    as_end end;      /* of events that do not come from log files */
    uint32_t latest; /* the event of the last record: mostly that of the next one as well */
    uint8_t roles;   /* bits of those whose texts are needed */
} as_events;

void as_events_carve(as_events *events, const as_config *config, as_carver *from);

/* Keep from now on only the texts that these fields need, and what decides about events; as_events_carve: all. */
void as_events_keep(as_events *events, uint64_t fields);

/* True when any record can be added: a slot and texts are free. Else one event must be given up
 * (as_events_evict), decided and forgotten, and then asked again. */
bool as_events_room(const as_events *events);

/* Give up the oldest open event that holds what is short. Call only without room, with none closed. */
void as_events_evict(as_events *events, as_stats *stats);

/* Add a record to its event, opening or closing it as it takes. There must be room.
 *   wanted   rules that may want the event, judged by this record alone (all bits: it tells nothing)
 *   node     as the collector wrote it; empty for this host
 *   now_ms   0: the newest stamp seen is the time
 *   title_ends  a PROCTITLE is the event's end, since log files hold no EOE
 *   stats    records' fates are counted here */
void as_events_add(as_events *events, const as_record *record, as_span node, uint64_t wanted,
                   uint64_t now_ms, bool title_ends, as_stats *stats);

/* Close one event whose time is up. False: none. */
bool as_events_expire(as_events *events, uint64_t now_ms, as_stats *stats);

/* Close the oldest open event, at the end of the input. False: none. */
bool as_events_close_oldest(as_events *events, as_stats *stats);

/* The oldest closed event, to be decided; it must be forgotten before the next is asked for. */
as_event *as_events_closed(as_events *events);
void as_events_forget(as_events *events, as_event *event);

/* The wanted values of a closed event, and some that lie before them; absent where it has none. They point
 * into kept texts. */
void as_event_fields(const as_events *events, const as_event *event, uint64_t wanted, as_value values[AS_FIELDS]);

#endif
