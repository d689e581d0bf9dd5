/* The process table: what is known of the processes of each host, so that an event can name its parent.
 *
 *     exec event ──────────┐
 *     procfs at the start ─┼─► (node, pid) ─► name, executable, arguments, parent, start, entity, session leader
 *     procfs at a miss ────┘
 *
 * Owns: entries and their texts. Nothing is allocated when no rule and no selected field needs it.
 * Rule 1: an entry describes a process for events stamped after its start. An earlier event means a process that had
 *   the pid before: it is unknown.
 * Rule 2: an exec keeps the entity of its process. It begins another process if its parent is one that the known
 *   process can never have had: a process that is orphaned goes to an ancestor.
 * Rule 3: a fork without exec has the arguments of its parent, and procfs confirms name and executable. Arguments are
 *   inherited only when no exec in between can have been evicted.
 * Rule 4: a pid that procfs lacks stays unknown for all events up to that reading: it is asked for once.
 * Eviction: the least recently used entry goes when entries or texts run out. It is counted.
 * Tested by tests/c/test_process.c. */
#ifndef AUDITSENSE_PROCESS_H
#define AUDITSENSE_PROCESS_H

#include "../_ring.h"
#include "arena.h"
#include "span.h"

enum {
    AS_PROCESS_NAME = 16,         /* bytes of a name: the kernel keeps 15 */
    AS_PROCESS_EXECUTABLE = 4096, /* longest path of the kernel */
    AS_PROCESS_ARGUMENTS = 4096,  /* bytes of all arguments, and one between two */
    AS_PROCESS_ARGUMENT_COUNT = 1024,
    AS_PROCESS_BLOCK = 124,    /* bytes of text in a block */
    AS_PROCESS_BLOCKS = 8,     /* blocks per entry */
    AS_PROCESS_DEPTH = 64,     /* ancestors looked at */
    AS_PROCESS_SLACK_MS = 1000 /* procfs counts in ticks since boot, stamps are up to a tick behind. No pid is used
                                  again within a second */
};

/* Where an entry comes from. */
typedef enum {
    AS_PROCESS_ABSENT, /* procfs lacks it: known to be unknown */
    AS_PROCESS_EXEC,
    AS_PROCESS_AT_START,
    AS_PROCESS_AT_MISS
} as_process_origin;

typedef enum {
    AS_ARGUMENTS_KNOWN = 1,
    AS_ARGUMENTS_CUT = 2,
    AS_LEADER_KNOWN = 4,
    AS_START_EXACT = 8 /* from procfs; else the process may be older than its first exec */
} as_process_flags;

typedef struct {
    uint64_t node;     /* seeded hash of node=; 0: this host */
    uint64_t start_ms; /* since 1970 UTC: from procfs, else the first exec */
    uint64_t image_ms; /* stamp of the last exec; of an entry from procfs its start. AS_PROCESS_ABSENT: the reading */
    uint64_t entity;
    uint64_t leader_entity; /* with AS_LEADER_KNOWN */
    uint32_t leader;        /* slot of the leader, if that still has leader_entity */
    uint32_t image_serial;
    uint32_t pid;
    uint32_t parent; /* its pid */
    uint32_t next_in_bucket;
    uint32_t older; /* in the order of last use */
    uint32_t newer;
    uint32_t first_block; /* executable, lengths of the arguments, arguments joined with zero bytes */
    uint16_t executable_len;
    uint16_t argument_count;
    uint16_t arguments_len; /* joined */
    uint8_t origin;
    uint8_t flags;
    uint8_t leader_type; /* index of the session entry; with AS_LEADER_KNOWN. entry_count: none */
    uint8_t entry;       /* index of the session entry that it is; entry_count: none */
    uint8_t name_len;
    uint8_t name[AS_PROCESS_NAME];
} as_process;

typedef struct {
    uint32_t next;
    uint8_t bytes[AS_PROCESS_BLOCK];
} as_process_block;

/* The texts of one entry, in a buffer of the table. */
typedef struct {
    uint8_t *bytes;
    uint8_t *line;
    as_span *arguments;
} as_process_buffer;

/* An as_session. */
typedef struct {
    as_span name; /* empty: process 1 */
    as_span type;
} as_session_entry;

typedef struct {
    as_process *slots;
    uint32_t *buckets;
    as_process_block *blocks;
    as_process_buffer buffers[3]; /* one process, its parent and its leader can be read at a time */
    as_session_entry *entries;
    uint64_t *entries_by_byte; /* bits of the entries whose name starts with a byte; the last one: of process 1 */
    uint64_t
        *entries_by_second; /* of those whose name is shorter, or has this second byte; the last one: shorter alone */
    uint32_t entry_count;   /* at most 64 */
    uint64_t seed;
    uint64_t begun_ms;   /* stamp of the first exec; 0: none yet */
    uint64_t evicted;    /* entries, so far */
    uint64_t evicted_ms; /* newest exec or start of an evicted entry */
    uint32_t bucket_mask;
    uint32_t slot_count; /* 0: there is no table */
    uint32_t used;       /* slots, from the first; others have never been used */
    uint32_t live;       /* of these, entries */
    uint32_t free_slot;  /* a list by next_in_bucket */
    uint32_t block_count;
    uint32_t blocks_used; /* the first ones; others have never been used */
    uint32_t free_block;
    uint32_t free_blocks; /* in the list at free_block */
    uint32_t oldest;
    uint32_t newest;
    bool keeps_arguments;
} as_processes;

/* Take memory for this number of processes; 0: none. rules: their sessions are copied. */
void as_processes_init(as_processes *processes, uint32_t slots, uint64_t seed, bool keeps_arguments,
                       const as_rules *rules, as_arena *arena);

/* A successful exec. */
typedef struct {
    uint64_t node;
    uint64_t boot; /* identifies the boot of the host */
    uint64_t ms;
    uint32_t serial;
    uint32_t pid;
    uint32_t parent;
    as_span name;
    as_span executable;
    const as_span *arguments;
    uint32_t argument_count;
    bool arguments_known;
    bool arguments_cut;
} as_process_exec;

/* Enter an exec. Returns its process; NULL: the table knows a later one. */
as_process *as_processes_enter_exec(as_processes *processes, const as_process_exec *exec);

/* Enter what procfs tells of a process of this host, or that it lacks it. An entry of the same process stays. */
void as_processes_enter_facts(as_processes *processes, const as_process_facts *facts, uint64_t boot);

typedef enum {
    AS_PROCESS_FOUND,
    AS_PROCESS_UNKNOWN, /* procfs cannot tell: the pid is used by a later process, or was free */
    AS_PROCESS_MISSING  /* procfs may tell */
} as_process_answer;

/* Find the process that had this pid at this time, and mark it as used. */
as_process_answer as_processes_find(as_processes *processes, uint64_t node, uint32_t pid, uint64_t ms,
                                    as_process **out);

/* Find the leader of the session of a process. missing: with AS_PROCESS_MISSING, the ancestor to ask for. *out is NULL
 * if the leader's entry is gone: *type is known then, as an index of the entries. */
as_process_answer as_processes_leader(as_processes *processes, as_process *process, as_process **out, uint32_t *type,
                                      uint32_t *missing);

static inline as_span as_process_name(const as_process *process) {
    return as_span_of(process->name, process->name_len);
}

/* The texts of an entry. They stay valid until the buffer is used again. */
typedef struct {
    as_span executable; /* empty: unknown */
    as_span joined;     /* the arguments, with a zero byte between two */
    const as_span *arguments;
    uint32_t argument_count;
} as_process_texts;

as_process_texts as_processes_read(const as_processes *processes, const as_process *process, uint32_t buffer);

/* The arguments joined with blanks, in the same buffer. */
as_span as_processes_command_line(const as_processes *processes, const as_process_texts *texts, uint32_t buffer);

/* Continue from another table; one of them may be none. */
void as_processes_migrate(as_processes *processes, const as_processes *from);

#endif
