/* The processes of the event being decided: the one that made it, its parent, and the leader of its session.
 *
 * Part of stage 3. Owns: what was found for this event, so that each process is looked up once.
 * Rule 1: a value that the table cannot give is absent, and this is kept (as_hit.unknown): a test of an absent value is
 *   false, so a negated test holds although nothing was looked at.
 * Tested by tests/c/test_event_processes.c. */
#ifndef AUDITSENSE_EVENT_PROCESSES_H
#define AUDITSENSE_EVENT_PROCESSES_H

#include "../_ring.h"
#include "arena.h"
#include "process.h"
#include "record.h"

#define AS_PARENT_FIELDS AS_RANGE(AS_FIELD_PARENT_NAME, AS_FIELD_PARENT_ENTITY_ID)
#define AS_LEADER_FIELDS AS_RANGE(AS_FIELD_LEADER_EXECUTABLE, AS_FIELD_LEADER_TYPE)
/* Their values come from the process table alone. */
#define AS_PROCESS_FIELDS AS_RANGE(AS_FIELD_PARENT_NAME, AS_FIELD_LEADER_TYPE)

/* Bits of as_hit.unknown that are about the parent. */
#define AS_UNKNOWN_PARENT (AS_PARENT_FIELDS >> AS_FIELD_PARENT_NAME)

typedef enum { AS_SELF, AS_PARENT, AS_LEADER, AS_PERSONS } as_person;

/* In place of a parent: the event does not name it, but the table may. */
enum { AS_PARENT_OF_TABLE = UINT32_MAX };

typedef struct {
    as_processes *processes;
    uint64_t node;
    uint64_t ms;
    uint32_t pid; /* 0: not in the event */
    uint32_t parent;
    uint32_t unknown;     /* as as_hit.unknown */
    uint32_t leader_type; /* index of the table's session entries */
    uint8_t looked_up;    /* bits of as_person */
    uint8_t read;
    as_process *found[AS_PERSONS];
    as_process_texts texts[AS_PERSONS];
    uint8_t entities[2][16]; /* of the process and of its parent, hex */
} as_event_processes;

/* Begin with another event. Everything returned for the previous one is invalid. */
void as_event_processes_begin(as_event_processes *of, as_processes *processes, uint64_t node, uint64_t ms, uint32_t pid,
                              uint32_t parent);

/* The pid that procfs can be asked for before these fields are read; 0: none. own: the process of the event is needed,
 * too. */
uint32_t as_event_processes_missing(const as_event_processes *of, uint64_t fields, bool own);

/* The value of a field of AS_PROCESS_FIELDS; a list is joined with zero bytes. Of the event's own process, what its last
 * exec told: AS_FIELD_COMM, AS_FIELD_ARGS, AS_FIELD_COMMAND_LINE. False: absent. */
bool as_event_process_text(as_event_processes *of, as_field field, as_span *out);

/* The arguments of a process: AS_FIELD_PARENT_ARGS, AS_FIELD_LEADER_ARGS, AS_FIELD_ARGS. Returns their number; 0:
 * absent. */
uint32_t as_event_process_arguments(as_event_processes *of, as_field field, const as_span **out, bool *cut);

#endif
