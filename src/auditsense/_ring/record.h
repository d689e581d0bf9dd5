/* Stage 2, record: one audit line, "audit(SECONDS.MILLIS:SERIAL): key=value key=value …".
 *
 * Owns the grammar: stamps, values and their encodings.
 * Rule 1: the type comes from the datagram or the line's name, never from the text.
 * Rule 2: a value is taken apart where it lies; only what somebody asks for is decoded.
 * Tested by tests/c/test_record.c (tests/cases/records.txt) and the record fuzz target. */
#ifndef AUDITSENSE_RECORD_H
#define AUDITSENSE_RECORD_H

#include "../_ring.h"
#include "span.h"

/* The record types that a stage decides by, from linux/audit.h. */
enum {
    AS_TYPE_SYSCALL = 1300,
    AS_TYPE_PATH = 1302,
    AS_TYPE_CWD = 1307,
    AS_TYPE_EOE = 1320,
    AS_TYPE_PROCTITLE = 1327,
    AS_TYPE_URINGOP = 1336
};

typedef struct {
    uint16_t type;
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
    uint32_t serial;
    uint64_t ms;
} as_stamp;

/* The same, without reading the same digits again. */
bool as_record_read_next(as_stamp *before, uint16_t type, as_span text, as_record *out);

/* True for what user space and daemons report: one record, no event around it, no end to wait for. */
bool as_record_stands_alone(uint16_t type);

/* True for what the kernel writes about one system call: its event has a SYSCALL (or URINGOP) and an EOE. */
bool as_record_of_syscall(uint16_t type);

typedef enum {
    AS_FORM_ABSENT,
    AS_FORM_BARE,  /* a number, a word, upper-case hex, or a marker such as (null) */
    AS_FORM_QUOTED /* the bytes between the quotes, as they are */
} as_form;

typedef struct {
    as_span span; /* without quotes */
    as_form form;
} as_value;

/* How the kernel prints a field. */
typedef enum {
    AS_KIND_WORD,    /* as it is */
    AS_KIND_DECIMAL, /* may be negative */
    AS_KIND_OCTAL,
    AS_KIND_HEX,
    AS_KIND_STRING /* untrusted: quoted, or upper-case hex when it holds what would need escaping */
} as_kind;

as_kind as_field_kind(as_field field);

/* A set of fields is a word with their bits; all of them: AS_ALL_FIELDS. */
#define AS_BIT(field) (UINT64_C(1) << (field))
#define AS_ALL_FIELDS (AS_BIT(AS_FIELDS) - 1)

/* Find fields of this record's type in its body: one pass, that ends when all the wanted ones are found.
 * What it passes on the way is found as well. Values that are there already are left as they are, so that
 * several records of an event fill one array of AS_FIELDS values, and the first of two equal keys counts. */
void as_record_fields(const as_record *record, uint64_t wanted, as_value values[AS_FIELDS]);

/* Decode a value. A string in hex comes out as bytes, NULs as blanks; (null), (none) and ? are absent
 * where they stand unquoted. scratch holds at least half of the value's length. False: absent. */
bool as_value_text(as_value value, as_kind kind, uint8_t *scratch, as_span *out);

/* Read a value as a number; a negative one wraps to 64 bits. False: absent or no number. */
bool as_value_number(as_value value, as_kind kind, uint64_t *out);

#endif
