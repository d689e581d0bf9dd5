/* The start of a SYSCALL record, up to pid: where its values are, in the kernel's form.
 *
 * Part of stage 3. Owns: the starts of the last records that were read, by the slot of their text.
 * Rule 1: what is kept gives the same values as reading the record, or nothing is kept.
 * Rule 2: an event in a log asks for `items` when its record arrives, and for arguments and pid when it is decided: both
 *   read the text once.
 * Tested by tests/c/test_call_head.c and, with all others, by tests/core/test_model.py and the text fuzz target. */
#ifndef AUDITSENSE_CALL_HEAD_H
#define AUDITSENSE_CALL_HEAD_H

#include "record.h"

enum {
    AS_HEADS = 64,
    AS_HEAD_TEXT = 192, /* longer than any in the kernel's form; a shorter record is read in the ordinary way */
    AS_HEAD_FIELDS = AS_FIELD_PID - AS_FIELD_ARCH + 1
};

#define AS_HEAD_BITS AS_RANGE(AS_FIELD_ARCH, AS_FIELD_PID)

typedef struct {
    uint32_t slot; /* of the text */
    uint8_t len;   /* of the start, with the blank behind it; 0: unknown */
    struct {
        uint8_t at;
        uint8_t len;
    } values[AS_HEAD_FIELDS];
} as_head;

/* The form of a start: its keys, and the lengths of its values. */
typedef struct {
    as_head head;                          /* len 0: none yet */
    uint64_t stops[AS_HEAD_TEXT / 64];     /* see as_stops */
    uint64_t stop_bits[AS_HEAD_TEXT / 64]; /* of the start */
    uint8_t keys[AS_HEAD_TEXT];            /* with '=' and blanks; zeros in place of values */
    uint8_t key_bits[AS_HEAD_TEXT];        /* all of a byte that is in no value */
} as_head_form;

typedef struct {
    as_head heads[AS_HEADS];
    as_head_form last; /* form of the start that was read last: most have the same */
} as_heads;

/* Read the start of a SYSCALL record. False: it has another form, or is shorter than AS_HEAD_TEXT. */
bool as_head_read(as_span text, as_head *out);

/* The same, of the text in this slot, to be found again. NULL: false. */
const as_head *as_heads_add(as_heads *heads, uint32_t slot, as_span text);

/* The start of the text in this slot, if it is the last that was added with it. NULL: unknown. */
static inline const as_head *as_heads_find(const as_heads *heads, uint32_t slot) {
    const as_head *head = &heads->heads[slot % AS_HEADS];
    return head->slot == slot && head->len > 0 ? head : NULL;
}

static inline as_value as_head_value(const as_head *head, as_span text, uint32_t field) {
    const uint32_t i = field - AS_FIELD_ARCH;
    return (as_value){.span = as_span_of(text.at + head->values[i].at, head->values[i].len), .form = AS_FORM_BARE};
}

/* Set the values of these fields, of the text that a head is about. */
static inline void as_head_values(const as_head *head, as_span text, uint64_t fields, as_value values[AS_FIELDS]) {
    for (uint64_t left = fields & AS_HEAD_BITS; left != 0; left &= left - 1) {
        const uint32_t field = (uint32_t)__builtin_ctzll(left);
        values[field] = as_head_value(head, text, field);
    }
}

/* Bit n of the result: byte n is a blank, a control character, '=' or '"'. Any of them ends a key or a value in the
 * kernel's form. */
static inline uint32_t as_stops_portable(const uint8_t *at) {
    const uint64_t top = AS_EACH_BYTE << 7;
    uint32_t stops = 0;
    for (uint32_t i = 0; i < 2; i++) {
        const uint64_t word = as_load8(at + 8 * i);
        const uint64_t other = word ^ AS_EACH_BYTE * '=';
        const uint64_t above = ((word & ~top) + AS_EACH_BYTE * (127 - ' ')) | word; /* ' ' + 1 and up, by byte */
        const uint64_t quote = word ^ AS_EACH_BYTE * '"';
        const uint64_t differs = (((other & ~top) + ~top) | other) & (((quote & ~top) + ~top) | quote);
        const uint64_t found = ~(above & differs) & top;
        stops |= (uint32_t)((found >> 7) * UINT64_C(0x0102040810204080) >> 56) << (8 * i);
    }
    return stops;
}

#ifdef __SSE2__
#include <emmintrin.h>

static inline uint32_t as_stops(const uint8_t *at) {
    __m128i bytes;
    memcpy(&bytes, at, sizeof bytes);
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(' ')), bytes);
    const __m128i mark =
        _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('=')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(low, mark));
}
#else
static inline uint32_t as_stops(const uint8_t *at) {
    return as_stops_portable(at);
}
#endif

#endif
