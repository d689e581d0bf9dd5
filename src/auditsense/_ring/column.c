#include "column.h"

#include "event_values.h"
#include "hit_view.h"
#include "span.h"

/* as_hits_texts and as_hits_numbers take a byte of `rows` for each ROW_BYTES of hits. */
enum { ROW_BYTES = 256 };
_Static_assert(sizeof(as_hit) + sizeof(as_event_id) + AS_FIELDS * sizeof(as_hit_field) > ROW_BYTES,
               "a hit is larger than what its row takes");

static bool valid(size_t len, uint32_t field, size_t size) {
    return as_span_bounded(NULL, len).len == len && size >= len && field < AS_FIELDS;
}

/* Read the field of the hit at the start of rest; at NULL: absent. Returns the hit's size; 0: not a valid hit. */
static inline uint32_t text_at(as_span rest, uint32_t field, as_span *text) {
    as_hit hit;
    const uint32_t size = as_hit_check(rest, &hit);
    return size != 0 && as_hit_span(rest.at, &hit, field, text) ? size : 0;
}

/* Texts */

/* Most values are a few bytes: for those a call costs more than the copy. */
static uint8_t *write_text(uint8_t *to, as_span text) {
    if (text.len >= 32) {
        memcpy(to, text.at, text.len);
    } else {
        for (uint32_t i = 0; i < text.len; i++) {
            to[i] = text.at[i];
        }
    }
    to[text.len] = 0;
    return to + text.len + 1;
}

/* A list in readable form: blanks instead of the NULs between values. */
static uint8_t *write_title(uint8_t *to, as_span text) {
    uint8_t *end = write_text(to, text);
    for (uint32_t i = 0; i < text.len; i++) {
        to[i] = to[i] == 0 ? ' ' : to[i];
    }
    return end;
}

static bool is_list(uint32_t field) {
    return field == AS_FIELD_PROCTITLE || (AS_BIT(field) & AS_LIST_FIELDS) != 0;
}

/* The values of a list. A NUL behind the last argument of a proctitle ends it; it does not start another. */
static as_span list_values(as_span text, uint32_t field) {
    if (field == AS_FIELD_PROCTITLE && text.len > 0 && text.at[text.len - 1] == 0) {
        text.len--;
    }
    return text;
}

enum { MAX_TEXTS = 255, DICT_SLOTS = 1024, MAX_PROBES = 8 };

/* The distinct texts of a column, in order of first occurrence. */
typedef struct {
    as_span texts[MAX_TEXTS];
    uint8_t slots[DICT_SLOTS]; /* code of a text; 0: empty */
    uint32_t count;
} dictionary;

/* Unseeded on purpose: on collisions the caller falls back to AS_COLUMN_TEXT. */
static uint32_t slot_of(as_span text) {
    uint64_t hash = text.len;
    uint32_t at = 0;
    for (; text.len - at >= 8; at += 8) {
        hash = (hash ^ as_load8(text.at + at)) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    for (; at < text.len; at++) {
        rest = rest << 8 | text.at[at];
    }
    hash = (hash ^ rest) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 54); /* ten bits */
}

/* The code of this text, from 1. 0: too many texts, or too many in one slot. */
static uint8_t dict_code(dictionary *all, as_span text) {
    _Static_assert(DICT_SLOTS == 1 << (64 - 54), "slot_of returns this many bits");
    uint32_t slot = slot_of(text);
    for (uint32_t probe = 0; probe < MAX_PROBES; probe++, slot = (slot + 1) % DICT_SLOTS) {
        const uint8_t code = all->slots[slot];
        if (code == 0) {
            if (all->count == MAX_TEXTS) {
                return 0;
            }
            all->texts[all->count++] = text;
            all->slots[slot] = (uint8_t)all->count;
            return (uint8_t)all->count;
        }
        if (as_span_same(all->texts[code - 1], text)) {
            return code;
        }
    }
    return 0;
}

/* AS_COLUMN_DICT */
static int64_t write_dict(as_span rest, uint32_t field, uint8_t *rows, uint8_t *out, as_column *column) {
    dictionary all;
    as_span text;
    uint8_t *to = out;
    memset(all.slots, 0, sizeof all.slots);
    all.count = 0;
    for (uint32_t step; rest.len > 0; rest = as_span_skip(rest, step)) {
        step = text_at(rest, field, &text);
        if (step == 0) {
            return AS_ARGUMENT;
        }
        uint8_t code = 0;
        if (text.at == NULL) {
            column->absent++;
        } else if ((code = dict_code(&all, text)) == 0) {
            column->fallback = 1;
            return 0;
        }
        rows[column->rows++] = code;
    }
    column->dict_size = all.count;
    for (uint32_t i = 0; i < all.count; i++) {
        to = is_list(field) ? write_title(to, all.texts[i]) : write_text(to, all.texts[i]);
    }
    return to - out;
}

int64_t as_hits_texts(const uint8_t *hits, size_t len, uint32_t field, uint32_t form, uint8_t *rows, uint8_t *out,
                      size_t size, as_column *column) {
    as_span rest = as_span_bounded(hits, len);
    as_span text;
    uint8_t *to = out;
    *column = (as_column){0};
    if (!valid(len, field, size) || form > AS_COLUMN_ARGUMENTS) {
        return AS_ARGUMENT;
    }
    if (form == AS_COLUMN_DICT) {
        return write_dict(rest, field, rows, out, column);
    }
    for (uint32_t step; rest.len > 0; rest = as_span_skip(rest, step)) {
        step = text_at(rest, field, &text);
        if (step == 0) {
            return AS_ARGUMENT;
        }
        const bool absent = text.at == NULL;
        column->absent += absent ? 1 : 0;
        rows[column->rows++] = absent ? 0 : 1;
        if (form == AS_COLUMN_ARGUMENTS) {
            to = write_text(to, list_values(text, field));
        } else {
            to = is_list(field) ? write_title(to, text) : write_text(to, text);
        }
    }
    return to - out;
}

/* Numbers */

/* Read a number in the kernel's decimal form. False: it is in another form, or exceeds 63 bits. */
static bool plain_number(as_span text, int64_t *out) {
    uint64_t value = 0;
    const bool negative = text.len > 0 && text.at[0] == '-';
    if (negative) {
        text = as_span_skip(text, 1);
    }
    const bool padded = text.len > 1 && text.at[0] == '0';
    const uint32_t digits = as_span_number(text, 10, INT64_MAX, &value);
    *out = negative ? -(int64_t)value : (int64_t)value;
    return digits > 0 && digits == text.len && !padded && !(negative && value == 0);
}

static int64_t count_arguments(as_span title) {
    int64_t count = 1;
    for (uint32_t i = 0; i < title.len; i++) {
        count += title.at[i] == 0 ? 1 : 0;
    }
    return count;
}

/* The completing event of the checked hit. */
static as_event_id last_event(const uint8_t *start, const as_hit *hit) {
    as_event_id id;
    memcpy(&id, start + as_hit_table(hit) - sizeof id, sizeof id);
    return id;
}

int64_t as_hits_numbers(const uint8_t *hits, size_t len, uint32_t field, uint32_t form, uint8_t *rows, int64_t *out,
                        size_t size, as_column *column) {
    as_span rest = as_span_bounded(hits, len);
    *column = (as_column){0};
    if (!valid(len, field, size) || form < AS_COLUMN_NUMBER || form > AS_COLUMN_ARGUMENT_COUNTS) {
        return AS_ARGUMENT;
    }
    for (uint32_t step; rest.len > 0; rest = as_span_skip(rest, step)) {
        as_hit hit;
        as_span text;
        step = as_hit_check(rest, &hit);
        if (step == 0 || !as_hit_span(rest.at, &hit, field, &text)) {
            return AS_ARGUMENT;
        }
        bool absent = false;
        int64_t number = 0;
        switch (form) {
        case AS_COLUMN_NUMBER:
            absent = text.at == NULL;
            column->fallback += absent || plain_number(text, &number) ? 0 : 1;
            break;
        case AS_COLUMN_ARGUMENT_COUNTS:
            text = list_values(text, field);
            absent = text.at == NULL || (field == AS_FIELD_PROCTITLE && text.len == 0);
            number = count_arguments(text);
            break;
        case AS_COLUMN_MS:
            number = (int64_t)last_event(rest.at, &hit).ms;
            break;
        default:
            number = last_event(rest.at, &hit).serial;
            break;
        }
        column->absent += absent ? 1 : 0;
        rows[column->rows] = absent ? 0 : 1;
        out[column->rows++] = number;
    }
    return column->rows;
}
