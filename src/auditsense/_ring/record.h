/* Stage 2, record: one audit line, "audit(SECONDS.MILLIS:SERIAL): key=value key=value …".
 *
 * Owns: the grammar: stamps, and where a value starts and ends.
 * Rule 1: the type comes from the datagram or the line's name, never from the text.
 * Rule 2: fields are expected in the kernel's order; anything else takes the slow path.
 * Tested by tests/c/test_record.c (tests/cases/records.txt) and the record fuzz target. */
#ifndef AUDITSENSE_RECORD_H
#define AUDITSENSE_RECORD_H

#include "../_ring.h"
#include "span.h"
#include "types.h"
#include "value.h"

typedef struct {
    uint16_t type;
    bool repeated; /* the previous record had the same stamp: as_record_read_next */
    uint32_t serial;
    uint64_t ms;  /* since 1970 UTC */
    as_span body; /* after the stamp; empty in an EOE */
} as_record;

/* Read the stamp. False: none, or a number in it is too large. */
bool as_record_read(uint16_t type, as_span text, as_record *out);

/* The stamp of the previous record, as text: records of an event usually follow each other. */
typedef struct {
    uint8_t text[48];  /* "audit(SECONDS.MILLIS:SERIAL):", at most 39 bytes */
    uint32_t len;      /* 0: none yet */
    uint32_t time_len; /* of it, "audit(SECONDS.MILLIS:" */
    uint32_t serial;
    uint64_t ms;
} as_stamp;

/* As as_record_read, of a record with another stamp than the previous one. */
bool as_record_read_other(as_stamp *before, uint16_t type, as_span text, as_record *out);

/* As as_record_read, without parsing the same digits again. */
static inline bool as_record_read_next(as_stamp *before, uint16_t type, as_span text, as_record *out) {
    if (before->len == 0 || !as_span_starts_as(text, before->text, before->len)) {
        return as_record_read_other(before, type, text, out);
    }
    as_span body = as_span_skip(text, before->len);
    if (body.len > 0 && body.at[0] == ' ') {
        body = as_span_skip(body, 1);
    }
    *out = (as_record){.type = type, .repeated = true, .serial = before->serial, .ms = before->ms, .body = body};
    return true;
}

/* A set of fields is a word with their bits; all of them: AS_ALL_FIELDS. */
#define AS_BIT(field) (UINT64_C(1) << (field))
#define AS_ALL_FIELDS (AS_BIT(AS_FIELDS) - 1)

/* The bits of a range of as_field, both ends included. */
#define AS_RANGE(from, to) ((AS_BIT(to) | (AS_BIT(to) - 1)) & ~(AS_BIT(from) - 1))
#define AS_CALL_FIELDS AS_RANGE(AS_FIELD_ARCH, AS_FIELD_KEY) /* of SYSCALL */
#define AS_PATH_FIELDS AS_RANGE(AS_FIELD_PATH_NAME, AS_FIELD_PATH_NAMETYPE)

/* Maximum number of unknown or repeated fields and words that are skipped in a record. The kernel writes at most one
 * (per=), and its own fields come before anything that a program chose. */
enum { AS_MAX_UNKNOWN = 16 };

/* Find fields of this record's type in its body, in one pass that ends when all wanted fields are found, or after
 * AS_MAX_UNKNOWN. False: the unread rest may hold wanted fields.
 * Only wanted values are read or written. Present values are not overwritten, so records of several types fill one
 * array of AS_FIELDS values; of two equal keys the first counts. */
bool as_record_fields(const as_record *record, uint64_t wanted, as_value values[AS_FIELDS]);

/* Where reading the fields of a record stopped, while it has the kernel's form. All zeros: at its start. */
typedef struct {
    uint32_t at;       /* in the body */
    uint32_t expected; /* number of the field that comes next in the kernel's order */
} as_record_cursor;

/* As as_record_fields, of a SYSCALL or PATH record that is read in several steps: it continues where the last step stopped.
 * It also takes the values of kept fields that it passes, and adds the bits of what it took to *located. The wanted
 * fields are kept ones, and their values absent. All steps keep the same fields. */
bool as_record_fields_on(const as_record *record, as_record_cursor *cursor, uint64_t wanted, uint64_t kept,
                         uint64_t *located, as_value values[AS_FIELDS]);

/* Make these fields absent. No other member of an absent value is ever read. */
static inline void as_values_clear(as_value values[AS_FIELDS], uint64_t fields) {
    for (; fields != 0; fields &= fields - 1) {
        values[__builtin_ctzll(fields)].form = AS_FORM_ABSENT;
    }
}

/* Read the system call of a SYSCALL record. False: missing, or not a 32-bit number.
 * *len: number of bytes at the start of the body that alone identify it; 0: unknown. */
bool as_record_call(const as_record *record, uint32_t *arch, uint32_t *number, uint32_t *len);

#endif
