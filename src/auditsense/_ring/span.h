/* A borrowed run of bytes: never zero-terminated, valid only during the call. */
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

/* For a caller's buffer: lengths are 32 bits here, so the caller has to call again for the rest. */
static inline as_span as_span_bounded(const uint8_t *at, size_t len) {
    const size_t most = (size_t)1 << 30;
    return as_span_of(at, len < most ? len : most);
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

/* The value of a digit in bases up to 16 (lower case only, as the kernel prints it); 255: not a digit. */
static inline unsigned as_digit(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10u : 255u;
}

/* Prefetch input that is read some records later. It is in no cache, and records are too short for the processor to
 * detect the sequential access. */
static inline void as_span_prefetch(as_span span) {
    enum { AHEAD = 1024, LINE = 64, LINES = 3 };
    for (uint32_t at = AHEAD; at < AHEAD + LINES * LINE && at < span.len; at += LINE) {
        __builtin_prefetch(span.at + at);
    }
}

/* Eight bytes at once, portably: the first of them is the lowest of the number on any machine. */
static inline uint64_t as_load8(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Copy without a call to memcpy: records are short, and the compiler's own copy of a bounded length starts slowly. The
 * memory must not overlap. */
static inline void as_span_copy(uint8_t *restrict to, as_span from) {
    enum { BLOCK = 16 };
    if (from.len < BLOCK) {
        for (uint32_t i = 0; i < from.len; i++) {
            to[i] = from.at[i];
        }
        return;
    }
    const uint32_t last = from.len - BLOCK;
    for (uint32_t at = 0; at < last; at += BLOCK) {
        memcpy(to + at, from.at + at, BLOCK);
    }
    memcpy(to + last, from.at + last, BLOCK); /* overlaps the block before it */
}

static inline uint32_t as_load4(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Compare without a call to memcmp, which costs more for short values. The last bytes are compared in a word that
 * overlaps the one before. */
static inline bool as_span_same(as_span a, as_span b) {
    uint32_t at = 0;
    if (a.len != b.len) {
        return false;
    }
    if (a.len >= 8) {
        for (; a.len - at > 8; at += 8) {
            if (as_load8(a.at + at) != as_load8(b.at + at)) {
                return false;
            }
        }
        return as_load8(a.at + a.len - 8) == as_load8(b.at + a.len - 8);
    }
    if (a.len >= 4) {
        return as_load4(a.at) == as_load4(b.at) && as_load4(a.at + a.len - 4) == as_load4(b.at + a.len - 4);
    }
    while (at < a.len && a.at[at] == b.at[at]) {
        at++;
    }
    return at == a.len;
}

static inline uint8_t as_lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* Compare without regard to ASCII case. */
static inline bool as_span_same_folded(as_span a, as_span b) {
    uint32_t at = 0;
    while (a.len == b.len && at < a.len && as_lower(a.at[at]) == as_lower(b.at[at])) {
        at++;
    }
    return a.len == b.len && at == a.len;
}

/* Whether text starts with these bytes. 16 to 32 bytes are compared without a call, in two overlapping halves. */
static inline bool as_span_starts_as(as_span text, const uint8_t *bytes, uint32_t len) {
    if (text.len < len) {
        return false;
    }
    if (len < 16 || len > 32) {
        return memcmp(text.at, bytes, len) == 0;
    }
    const uint32_t rest = len - 16;
    return ((as_load8(text.at) ^ as_load8(bytes)) | (as_load8(text.at + 8) ^ as_load8(bytes + 8)) |
            (as_load8(text.at + rest) ^ as_load8(bytes + rest)) |
            (as_load8(text.at + rest + 8) ^ as_load8(bytes + rest + 8))) == 0;
}

#define AS_EACH_BYTE UINT64_C(0x0101010101010101)

/* Set the top bit of each byte below `limit`, which is at most 128. Exact up to the first such byte, which
 * as_first_byte finds; above it a borrow may set more. */
static inline uint64_t as_bytes_below(uint64_t word, uint8_t limit) {
    return (word - AS_EACH_BYTE * limit) & ~word & (AS_EACH_BYTE << 7);
}

static inline uint64_t as_bytes_equal(uint64_t word, uint8_t byte) {
    return as_bytes_below(word ^ AS_EACH_BYTE * byte, 1);
}

static inline uint32_t as_first_byte(uint64_t found) {
    return (uint32_t)__builtin_ctzll(found) / 8;
}

/* Read the number at the start of span. Returns the digits read; 0: no number, or above max. */
static inline uint32_t as_span_number(as_span span, unsigned base, uint64_t max, uint64_t *out) {
    enum { SAFE = 15 }; /* this many digits of any base up to 16 fit */
    uint64_t value = 0;
    uint32_t i = 0;
    const uint32_t safe = span.len < SAFE ? span.len : SAFE;
    unsigned digit = 0;
    while (i < safe && (digit = as_digit(span.at[i])) < base) {
        value = value * base + digit;
        i++;
    }
    for (; i >= SAFE && i < span.len && (digit = as_digit(span.at[i])) < base; i++) {
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) {
            return 0;
        }
    }
    if (value > max) {
        return 0;
    }
    *out = value;
    return i;
}

#endif
