#include "call_head.h"

/* Keys in the kernel's order, with '='. No more than eight bytes, to compare them at once. */
static const struct {
    char key[9];
    uint8_t len;
    uint8_t ignored; /* bits of eight bytes that are after the key */
} keys[AS_HEAD_FIELDS] = {
#define KEY(text) {text "=", sizeof(text), 64 - 8 * sizeof(text)}
    KEY("arch"), KEY("syscall"), KEY("success"), KEY("exit"), KEY("a0"),  KEY("a1"),
    KEY("a2"),   KEY("a3"),      KEY("items"),   KEY("ppid"), KEY("pid"),
};

/* The stops of a text that are left, and the 64 bytes that they are in. */
typedef struct {
    uint64_t rest;
    uint32_t word;
} cursor;

/* The next stop; AS_HEAD_TEXT: none. */
static inline uint32_t next_stop(const uint64_t stops[AS_HEAD_TEXT / 64], cursor *at) {
    while (at->rest == 0) {
        if (++at->word >= AS_HEAD_TEXT / 64) {
            return AS_HEAD_TEXT;
        }
        at->rest = stops[at->word];
    }
    const uint32_t found = at->word * 64 + (uint32_t)__builtin_ctzll(at->rest);
    at->rest &= at->rest - 1;
    return found;
}

bool as_head_read(as_span text, as_head *out) {
    enum { BLOCK = 16 };
    uint64_t stops[AS_HEAD_TEXT / 64] = {0};
    uint32_t start = 0;
    out->len = 0;
    if (text.len < AS_HEAD_TEXT) {
        return false;
    }
    for (uint32_t i = 0; i < AS_HEAD_TEXT; i += BLOCK) {
        stops[i / 64] |= (uint64_t)as_stops(text.at + i) << i % 64;
    }
    cursor at = {.rest = stops[0]};
    for (uint32_t i = 0; i < AS_HEAD_FIELDS; i++) {
        const uint32_t equals = next_stop(stops, &at);
        const uint32_t end = next_stop(stops, &at);
        /* The key is eight bytes or fewer, and the stop at its '=' is inside the text. */
        if (end >= AS_HEAD_TEXT || equals + 1 - start != keys[i].len ||
            (as_load8(text.at + start) ^ as_load8((const uint8_t *)keys[i].key)) << keys[i].ignored != 0 ||
            text.at[equals + 1] == '"' || text.at[end] != ' ') {
            return false;
        }
        out->values[i].at = (uint8_t)(equals + 1);
        out->values[i].len = (uint8_t)(end - equals - 1);
        start = end + 1;
    }
    out->len = (uint8_t)start;
    return true;
}
