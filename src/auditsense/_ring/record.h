/* Stage 2, record: one audit line, "audit(SECONDS.MILLIS:SERIAL): key=value key=value …".
 *
 * Owns the grammar: stamps, and where a value starts and ends.
 * Rule 1: the type comes from the datagram or the line's name, never from the text.
 * Rule 2: the fields are the kernel's, in its order; whatever is not as expected is read the slow way.
 * Tested by tests/c/test_record.c (tests/cases/records.txt) and the record fuzz target. */
#ifndef AUDITSENSE_RECORD_H
#define AUDITSENSE_RECORD_H

#include "../_ring.h"
#include "span.h"
#include "types.h"
#include "value.h"

typedef struct {
    uint16_t type;
    bool repeated; /* the record before had the same stamp: as_record_read_next */
    uint32_t serial;
    uint64_t ms;  /* since 1970 UTC */
    as_span body; /* behind the stamp; empty in an EOE */
} as_record;

/* Read the stamp. False: there is none, or a number in it is too large; nothing can be said then. */
bool as_record_read(uint16_t type, as_span text, as_record *out);

/* The stamp of the record before, as it stood there: the records of an event follow each other, mostly. */
typedef struct {
    uint8_t text[48]; /* "audit(SECONDS.MILLIS:SERIAL):", at most 39 bytes */
    uint32_t len;     /* 0: none yet */
    uint32_t time_len; /* of it, "audit(SECONDS.MILLIS:" */
    uint32_t serial;
    uint64_t ms;
} as_stamp;

/* The same, without reading the same digits again. */
bool as_record_read_next(as_stamp *before, uint16_t type, as_span text, as_record *out);

/* A set of fields is a word with their bits; all of them: AS_ALL_FIELDS. */
#define AS_BIT(field) (UINT64_C(1) << (field))
#define AS_ALL_FIELDS (AS_BIT(AS_FIELDS) - 1)

/* The bits of the fields from one to another, as they stand in as_field. */
#define AS_RANGE(from, to) ((AS_BIT(to) | (AS_BIT(to) - 1)) & ~(AS_BIT(from) - 1))
#define AS_PATH_FIELDS AS_RANGE(AS_FIELD_PATH_NAME, AS_FIELD_PATH_NAMETYPE)

/* How many fields and words that tell nothing new are read over in a record. The kernel writes one at most (per=), and
 * its own fields before anything a program chose. */
enum { AS_MAX_UNKNOWN = 16 };

/* Find fields of this record's type in its body: one pass, that ends when all the wanted ones are found, or behind
 * AS_MAX_UNKNOWN. False: some may stand in the rest, which was not read.
 * Nothing else of values is touched or looked at. Values that are there already are left as they are, so that
 * records of several types fill one array of AS_FIELDS values; the first of two equal keys counts. */
bool as_record_fields(const as_record *record, uint64_t wanted, as_value values[AS_FIELDS]);

/* Make these fields absent. Nothing else of an absent value is ever read. */
static inline void as_values_clear(as_value values[AS_FIELDS], uint64_t fields) {
    for (; fields != 0; fields &= fields - 1) {
        values[__builtin_ctzll(fields)].form = AS_FORM_ABSENT;
    }
}

/* Read which system call a SYSCALL record is of. False: it does not say, or says it in no number of 32 bits.
 * *len: of the bytes at the start of the body that alone say it; 0: not so, or not surely. */
bool as_record_call(const as_record *record, uint32_t *arch, uint32_t *number, uint32_t *len);

#endif
