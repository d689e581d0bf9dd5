/* A value in a record: its position and its form.
 *
 * Part of stage 2. Owns: the encodings.
 * Rule: a value is parsed in place; only requested values are decoded.
 * Tested by tests/c/test_record.c and the record fuzz target. */
#ifndef AUDITSENSE_VALUE_H
#define AUDITSENSE_VALUE_H

#include "../_ring.h"
#include "span.h"

typedef enum {
    AS_FORM_ABSENT,
    AS_FORM_BARE,  /* a number, a word, upper-case hex, or a marker such as (null) */
    AS_FORM_QUOTED /* the bytes between the quotes, unmodified */
} as_form;

typedef struct {
    as_span span; /* without quotes */
    as_form form;
} as_value;

/* How the kernel prints a field. */
typedef enum {
    AS_KIND_WORD,    /* unmodified */
    AS_KIND_DECIMAL, /* may be negative */
    AS_KIND_OCTAL,
    AS_KIND_HEX,
    AS_KIND_STRING /* untrusted: quoted, or upper-case hex if it would need escaping */
} as_kind;

as_kind as_field_kind(as_field field);

/* Decode a value. Hex strings become bytes, with blanks for NULs; unquoted (null), (none) and ? are absent. scratch
 * holds at least half of the value's length. False: absent. */
bool as_value_text(as_value value, as_kind kind, uint8_t *scratch, as_span *out);

/* As as_value_text, but NULs stay. */
bool as_value_bytes(as_value value, as_kind kind, uint8_t *scratch, as_span *out);

/* Read a value as a number; a negative one wraps to 64 bits. False: absent or not a number. */
bool as_value_number(as_value value, as_kind kind, uint64_t *out);

#endif
