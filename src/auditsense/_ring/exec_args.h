/* The arguments of an exec: EXECVE records, which the kernel splits when they get long.
 *
 *     argc=3 a0="sh" a1=2D63 a2_len=18000 a2[0]=HEX  +   a2[1]=HEX a3="x"   ─►  "sh" "-c" ... "x"
 *
 * Part of stage 2. Owns: the decoded arguments of one event.
 * Rule 1: the index in a key decides the order, not the order of arrival. What comes twice counts once.
 * Rule 2: arguments beyond the bounds are cut. So are those whose records are missing.
 * Tested by tests/c/test_exec_args.c and the record fuzz target. */
#ifndef AUDITSENSE_EXEC_ARGS_H
#define AUDITSENSE_EXEC_ARGS_H

#include "arena.h"
#include "span.h"
#include "value.h"

enum {
    AS_MAX_ARGS = 1024,
    AS_ARGS_BYTES = 32768 /* of all arguments, each followed by a NUL */
};

typedef struct {
    uint8_t *bytes; /* the arguments, with a NUL after each */
    as_span *spans;
    uint32_t used;
    uint32_t count;
    bool cut;      /* some argument, or the end of one, is not here */
    bool in_parts; /* there are several records, or an argument has several parts */
} as_exec_args;

void as_exec_args_init(as_exec_args *args, as_arena *arena);

/* Decode the arguments in the bodies of these records, which get sorted. argc: of the first of them. */
void as_exec_args_read(as_exec_args *args, as_span *records, uint32_t count, as_value argc);

/* All arguments, joined with NUL. */
static inline as_span as_exec_args_joined(const as_exec_args *args) {
    return as_span_of(args->bytes, args->count == 0 ? 0 : args->used - 1);
}

#endif
