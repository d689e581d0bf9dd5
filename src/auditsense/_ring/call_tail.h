/* The end of a SYSCALL record, from auid on, is usually the same for all events of a program: how it was read is kept.
 *
 * Part of stage 3. Owns: the last ends, as text, and where their values are.
 * Rule 1: what is kept depends on nothing but the text, so an equal text has the same values.
 * Tested by tests/c/test_call_tail.c and, with all others, by tests/core/test_model.py and the stream fuzz target. */
#ifndef AUDITSENSE_CALL_TAIL_H
#define AUDITSENSE_CALL_TAIL_H

#include "record.h"

enum {
    AS_TAILS = 64,
    AS_TAIL_TEXT = 504,
    AS_TAIL_FIRST = AS_FIELD_AUID,
    AS_TAIL_FIELDS = AS_FIELD_KEY - AS_FIELD_AUID + 1
};

#define AS_TAIL_BITS AS_RANGE(AS_FIELD_AUID, AS_FIELD_KEY)

typedef struct {
    uint64_t number; /* of all that were kept so far: what else is known about it is stored under this number */
    uint32_t len;    /* 0: none */
    struct {
        uint16_t at;
        uint16_t len;
    } values[AS_TAIL_FIELDS];
    uint8_t forms[AS_TAIL_FIELDS];
    uint8_t text[AS_TAIL_TEXT];
} as_tail;

typedef struct {
    uint64_t kept;
    as_tail tails[AS_TAILS];
} as_tails;

static inline uint32_t as_tail_slot(const as_tails *tails, const as_tail *tail) {
    return (uint32_t)(tail - tails->tails);
}

/* What is known about the rest of a SYSCALL record that was read up to pid in the kernel's order, as the cursor says; it
 * is read if its text is new. NULL: it has another form, or is longer. Valid until the next call. */
const as_tail *as_tail_of(as_tails *tails, const as_record *record, const as_record_cursor *cursor);

/* Set the values of these fields, of the text that a tail is about. */
static inline void as_tail_values(const as_tail *tail, as_span text, uint64_t fields, as_value values[AS_FIELDS]) {
    for (uint64_t left = fields & AS_TAIL_BITS; left != 0; left &= left - 1) {
        const uint32_t field = (uint32_t)__builtin_ctzll(left);
        const uint32_t i = field - AS_TAIL_FIRST;
        values[field] = (as_value){.span = as_span_of(text.at + tail->values[i].at, tail->values[i].len),
                                   .form = (as_form)tail->forms[i]};
    }
}

#endif
