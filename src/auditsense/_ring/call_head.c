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

enum { WORDS = AS_HEAD_TEXT / 64 };

/* The stops of a text that are left, and the 64 bytes that they are in. */
typedef struct {
    uint64_t rest;
    uint32_t word;
} cursor;

/* The next stop; AS_HEAD_TEXT: none. */
static inline uint32_t next_stop(const uint64_t stops[WORDS], cursor *at) {
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

/* The stops of 64 bytes. */
static uint64_t find_stops(as_span text, uint32_t word) {
    enum { BLOCK = 16 };
    uint64_t stops = 0;
    for (uint32_t i = 0; i < 64; i += BLOCK) {
        stops |= (uint64_t)as_stops(text.at + 64 * word + i) << i;
    }
    return stops;
}

static bool read_values(as_span text, const uint64_t stops[WORDS], as_head *out) {
    uint32_t start = 0;
    cursor at = {.rest = stops[0]};
    out->len = 0;
    for (uint32_t i = 0; i < AS_HEAD_FIELDS; i++) {
        const uint32_t equals = next_stop(stops, &at);
        const uint32_t end = next_stop(stops, &at);
        /* The key is eight bytes or fewer, and the stop at its '=' is inside the text. */
        if (end >= AS_HEAD_TEXT || equals + 1 - start != keys[i].len ||
            (as_load8(text.at + start) ^ as_load8((const uint8_t *)keys[i].key)) << keys[i].ignored != 0 ||
            text.at[end] != ' ') {
            return false;
        }
        out->values[i].at = (uint8_t)(equals + 1);
        out->values[i].len = (uint8_t)(end - equals - 1);
        start = end + 1;
    }
    out->len = (uint8_t)start;
    return true;
}

bool as_head_read(as_span text, as_head *out) {
    uint64_t stops[WORDS];
    out->len = 0;
    if (text.len < AS_HEAD_TEXT) {
        return false;
    }
    for (uint32_t word = 0; word < WORDS; word++) {
        stops[word] = find_stops(text, word);
    }
    return read_values(text, stops, out);
}

/* Whether 64 bytes of a text have this form. Values that are as long, without a stop in them, are where they were. */
static inline bool has_form(const as_head_form *form, as_span text, uint32_t word) {
    uint8_t differs = 0;
    for (uint32_t i = 64 * word; i < 64 * word + 64; i++) {
        differs |= (uint8_t)((text.at[i] & form->key_bits[i]) ^ form->keys[i]);
    }
    return ((find_stops(text, word) ^ form->stops[word]) & form->stop_bits[word]) == 0 && differs == 0;
}

static void keep_form(as_head_form *form, const as_head *head, as_span text) {
    *form = (as_head_form){.head = *head};
    for (uint32_t i = 0; i < head->len; i++) {
        form->stop_bits[i / 64] |= UINT64_C(1) << i % 64;
        form->key_bits[i] = UINT8_MAX;
    }
    for (uint32_t i = 0; i < AS_HEAD_FIELDS; i++) {
        memset(form->key_bits + head->values[i].at, 0, head->values[i].len);
    }
    for (uint32_t i = 0; i < AS_HEAD_TEXT; i++) {
        form->keys[i] = text.at[i] & form->key_bits[i];
    }
    for (uint32_t word = 0; word < WORDS; word++) {
        form->stops[word] = find_stops(text, word);
    }
}

const as_head *as_heads_add(as_heads *heads, uint32_t slot, as_span text) {
    const as_head_form *form = &heads->last;
    as_head *head = &heads->heads[slot % AS_HEADS];
    const uint32_t words = (form->head.len + 63u) / 64;
    bool same = words > 0 && text.len >= AS_HEAD_TEXT;
    for (uint32_t word = 0; same && word < words; word++) {
        same = has_form(form, text, word);
    }
    if (same) {
        *head = form->head;
        head->slot = slot;
        return head;
    }
    head->slot = slot;
    if (!as_head_read(text, head)) {
        return NULL;
    }
    keep_form(&heads->last, head, text);
    return head;
}
