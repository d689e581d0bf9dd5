/* A run of bytes that somebody else owns: never zero-terminated, valid only during the call. */
#ifndef AUDITSENSE_SPAN_H
#define AUDITSENSE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *at;
    uint32_t len;
} as_span;

static inline as_span as_span_of(const uint8_t *at, size_t len) {
    return (as_span){.at = at, .len = (uint32_t)len};
}

static inline bool as_span_is(as_span span, const char *word, size_t len) {
    return span.len == len && memcmp(span.at, word, len) == 0;
}

static inline bool as_span_starts(as_span span, const char *word, size_t len) {
    return span.len >= len && memcmp(span.at, word, len) == 0;
}

/* The span without its first n bytes; n is at most its length. */
static inline as_span as_span_skip(as_span span, uint32_t n) {
    return (as_span){.at = span.at + n, .len = span.len - n};
}

/* A string literal as two arguments: the bytes and how many. */
#define AS_LITERAL(text) (text), (sizeof(text) - 1)

/* The value of a digit in bases up to 16 (lower case only: what the kernel prints), 255 for none. */
static inline unsigned as_digit(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10u : 255u;
}

/* Read the number at the start of span. Returns the digits read; 0 when there is none or it passes max. */
static inline uint32_t as_span_number(as_span span, unsigned base, uint64_t max, uint64_t *out) {
    uint64_t value = 0;
    uint32_t i = 0;
    for (; i < span.len; i++) {
        const unsigned digit = as_digit(span.at[i]);
        if (digit >= base) {
            break;
        }
        if (value > (max - digit) / base) {
            return 0;
        }
        value = value * base + digit;
    }
    *out = value;
    return i;
}

#endif
