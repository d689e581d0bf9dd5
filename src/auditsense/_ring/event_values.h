/* The values of the event being decided: located in its records, decoded at most once, on demand.
 *
 * Part of stage 3. Owns: the memory of decoded values, which stay valid until the next event.
 * Rule 1: no later stage knows which record a field comes from, or how it is written there.
 * Rule 2: as_event_values_load fills `values` for code that reads a few single fields of every event; the other
 *   functions locate and decode what they are asked for.
 * Rule 3: a list has a bound; what is beyond it is cut and marked (as_list.cut).
 * Tested by tests/c/test_event_values.c. */
#ifndef AUDITSENSE_EVENT_VALUES_H
#define AUDITSENSE_EVENT_VALUES_H

#include "arena.h"
#include "capability.h"
#include "event_processes.h"
#include "event_slots.h"
#include "exec_args.h"
#include "socket_address.h"

/* The values of a field, in order. A field with one value is a list of one; an absent one is empty. */
typedef struct {
    const as_span *at;
    uint32_t count;
    bool cut; /* there are more values, or their end is missing */
} as_list;

typedef struct {
    const as_events *events;
    const as_event *event;
    as_event_cursors cursors;
    uint64_t located; /* bits of the fields in values */
    uint64_t decoded; /* bits of the fields in texts */
    uint8_t *scratch;
    uint8_t *command_line; /* AS_ARGS_BYTES */
    uint8_t *path;         /* joined with the directory: datagram_bytes twice */
    as_tails *tails;
    uint64_t cut_args; /* events whose arguments were cut, so far */
    uint64_t number;   /* events begun, so far: names this one */
    uint32_t scratch_bytes;
    uint32_t used;
    bool strict;    /* AS_STRICT: hex in comm stays, and arguments in parts are absent */
    bool cut;       /* the rest of a record was not read, and may hold a value that was wanted */
    bool args_read; /* args are those of this event */
    bool address_read;
    bool processes_begun; /* processes are those of this event */
    bool executes;        /* the event starts a program: its arguments are in its records, or it has none */
    as_processes *table;  /* NULL: there is none */
    as_event_processes processes;
    as_exec_args args;
    as_socket_address address;
    uint32_t capability_count;
    uint32_t path_count;
    uint32_t nametype_count;
    as_span capabilities[AS_CAPABILITIES];
    as_span paths[2];
    as_span nametypes[AS_MAX_PATHS];
    uint8_t capability_text[AS_CAPABILITY_BYTES];
    as_value values[AS_FIELDS];
    as_span texts[AS_FIELDS]; /* at: NULL: absent */
} as_event_values;

/* Fields with several values. */
#define AS_LIST_FIELDS                                                                      \
    (AS_BIT(AS_FIELD_ARGS) | AS_BIT(AS_FIELD_CAPABILITIES) | AS_BIT(AS_FIELD_PARENT_ARGS) | \
     AS_BIT(AS_FIELD_LEADER_ARGS) | AS_BIT(AS_FIELD_PATHS) | AS_BIT(AS_FIELD_PATH_NAMETYPE))

/* Fields that are ready for a comparison as soon as they are loaded. */
#define AS_LOADED_FIELDS (AS_PLAIN_FIELDS & ~AS_LIST_FIELDS)

/* Fields that only rules can read: a hit has what they are made of. */
#define AS_RULE_FIELDS (AS_BIT(AS_FIELD_COMMAND_LINE) | AS_BIT(AS_FIELD_PARENT_COMMAND_LINE) | AS_BIT(AS_FIELD_PATHS))

void as_event_values_init(as_event_values *values, const as_config *config, bool strict, as_arena *arena);

/* Begin with another event. Everything returned for the previous one is invalid. kept: the fields that are likely to be
 * asked for one by one. */
void as_event_values_begin(as_event_values *values, const as_events *events, const as_event *event, uint64_t kept);

/* The processes of the event; NULL: there is no table. */
as_event_processes *as_event_values_processes(as_event_values *values);

/* Locate fields that are not located yet. */
void as_event_values_read(as_event_values *values, uint64_t missing);

/* Locate these fields in `values->values`; a decoded one, or a list joined with NUL, is there as a quoted value. */
static inline void as_event_values_load(as_event_values *values, uint64_t fields) {
    const uint64_t missing = fields & ~values->located;
    if (missing != 0) {
        as_event_values_read(values, missing);
    }
}

/* The values of any field, decoded. */
as_list as_event_list(as_event_values *values, as_field field);

/* The value of a field, decoded; of a list the first one. False: absent. */
bool as_event_text(as_event_values *values, as_field field, as_span *out);

/* The end of the event's SYSCALL record, once a field of it was loaded, if the values of all of its fields depend on its
 * text alone. NULL: unknown, or some do not. */
static inline const as_tail *as_event_tail(const as_event_values *values) {
    const as_tail *tail = values->cursors.tail;
    /* A missing name comes from elsewhere. */
    return tail == NULL || tail->forms[AS_FIELD_COMM - AS_TAIL_FIRST] == AS_FORM_ABSENT ? NULL : tail;
}

/* Whether the arguments of the exec were read and are not complete. */
static inline bool as_event_args_cut(const as_event_values *values) {
    return values->args_read && values->args.cut;
}

/* The value of a field that is a number, in the base that the kernel prints it in; a negative one wraps to 64 bits.
 * False: absent, or not a number. */
bool as_event_number(as_event_values *values, as_field field, uint64_t *out);

#endif
