#include "column.h"

#include "span.h"

typedef struct {
    as_span text; /* at NULL: absent */
    as_event_id id;
} row;

/* The row of the hit at the start of rest. Returns the hit's size; 0: it is none. */
static uint32_t row_at(as_span rest, uint32_t field, row *out) {
    as_hit hit;
    as_hit_field place = {0};
    if (rest.len < sizeof hit) {
        return 0;
    }
    memcpy(&hit, rest.at, sizeof hit);
    const uint64_t ids = sizeof hit + (uint64_t)hit.ids * sizeof(as_event_id);
    const uint64_t fixed = ids + AS_FIELDS * sizeof place;
    if (hit.ids == 0 || hit.size > rest.len || hit.size < fixed) {
        return 0;
    }
    memcpy(&out->id, rest.at + ids - sizeof out->id, sizeof out->id);
    memcpy(&place, rest.at + ids + field * sizeof place, sizeof place);
    out->text = (as_span){0};
    if (place.at != 0) {
        if (place.at < fixed || place.at > hit.size || place.len > hit.size - place.at) {
            return 0;
        }
        out->text = as_span_of(rest.at + place.at, place.len);
    }
    return hit.size;
}

/* Read a number as the kernel prints it. False: it is written in another way, or is past 63 bits. */
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

static uint8_t *write_number(uint8_t *to, int64_t number) {
    memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

/* A title as people read it. */
static uint8_t *write_title(uint8_t *to, as_span text) {
    uint8_t *end = write_text(to, text);
    for (uint32_t i = 0; i < text.len; i++) {
        to[i] = to[i] == 0 ? ' ' : to[i];
    }
    return end;
}

/* The arguments of a title: a zero behind the last one ends it, and is not the start of another. */
static as_span arguments(as_span title) {
    if (title.len > 0 && title.at[title.len - 1] == 0) {
        title.len--;
    }
    return title;
}

static int64_t parts(as_span title) {
    int64_t count = 1;
    for (uint32_t i = 0; i < title.len; i++) {
        count += title.at[i] == 0 ? 1 : 0;
    }
    return count;
}

enum { MAX_TEXTS = 255, DICT_SLOTS = 1024, MAX_PROBES = 8 };

/* The different texts of a column, in the order they came. */
typedef struct {
    as_span texts[MAX_TEXTS];
    uint8_t slots[DICT_SLOTS]; /* number of a word, 0: none */
    uint32_t count;
} dictionary;

/* Without a seed: who makes texts collide gets the slower form. */
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

/* The number of this text, from 1 on. 0: there are too many, or too many of one slot. */
static uint8_t dict_code(dictionary *all, as_span text) {
    _Static_assert(DICT_SLOTS == 1 << (64 - 54), "slot_of gives as many bits");
    uint32_t slot = slot_of(text);
    for (uint32_t probe = 0; probe < MAX_PROBES; probe++, slot = (slot + 1) % DICT_SLOTS) {
        const uint8_t number = all->slots[slot];
        if (number == 0) {
            if (all->count == MAX_TEXTS) {
                return 0;
            }
            all->texts[all->count++] = text;
            all->slots[slot] = (uint8_t)all->count;
            return (uint8_t)all->count;
        }
        if (as_span_same(all->texts[number - 1], text)) {
            return number;
        }
    }
    return 0;
}

/* AS_COLUMN_DICT: a byte a row, then the texts. Each row's hit is larger than its byte and its text. */
static int64_t write_dict(as_span rest, uint32_t field, uint8_t *out, as_column *column) {
    dictionary all;
    row now;
    uint8_t *to = out;
    memset(all.slots, 0, sizeof all.slots);
    all.count = 0;
    for (uint32_t step; rest.len > 0; rest = as_span_skip(rest, step)) {
        step = row_at(rest, field, &now);
        if (step == 0) {
            return AS_ARGUMENT;
        }
        *to = 0;
        if (now.text.at == NULL) {
            column->absent++;
        } else if ((*to = dict_code(&all, now.text)) == 0) {
            column->fallback = 1;
            return 0;
        }
        to++;
        column->rows++;
    }
    column->dict_size = all.count;
    for (uint32_t i = 0; i < all.count; i++) {
        to = field == AS_FIELD_PROCTITLE ? write_title(to, all.texts[i]) : write_text(to, all.texts[i]);
    }
    return to - out;
}

int64_t as_hits_column(const uint8_t *hits, size_t len, uint32_t field, uint32_t form, uint8_t *out, size_t size,
                       as_column *column) {
    as_span rest = as_span_bounded(hits, len);
    uint8_t *to = out;
    row now;
    *column = (as_column){0};
    if (rest.len != len || size < len || field >= AS_FIELDS || form > AS_COLUMN_ARGUMENT_COUNTS) {
        return AS_ARGUMENT;
    }
    if (form == AS_COLUMN_DICT) {
        return write_dict(rest, field, out, column);
    }
    /* What a row takes, its number where it is absent included, is less than its hit: out is long enough. */
    for (uint32_t step; rest.len > 0; rest = as_span_skip(rest, step)) {
        step = row_at(rest, field, &now);
        if (step == 0) {
            return AS_ARGUMENT;
        }
        if (form >= AS_COLUMN_ARGUMENTS) {
            now.text = arguments(now.text);
        }
        const bool absent = form == AS_COLUMN_ARGUMENT_COUNTS ? now.text.len == 0
                                                     : form <= AS_COLUMN_NUMBER && now.text.at == NULL;
        int64_t number = 0;
        if (absent) {
            const uint32_t at = column->rows;
            column->absent++;
            memcpy(out + size - column->absent * sizeof at, &at, sizeof at);
        }
        switch (form) {
        case AS_COLUMN_TEXT:
            to = field == AS_FIELD_PROCTITLE ? write_title(to, now.text) : write_text(to, now.text);
            break;
        case AS_COLUMN_ARGUMENTS:
            to = write_text(to, now.text);
            break;
        case AS_COLUMN_ARGUMENT_COUNTS:
            to = write_number(to, parts(now.text));
            break;
        case AS_COLUMN_NUMBER:
            column->fallback += absent || plain_number(now.text, &number) ? 0 : 1;
            to = write_number(to, number);
            break;
        case AS_COLUMN_MS:
            to = write_number(to, (int64_t)now.id.ms);
            break;
        default:
            to = write_number(to, now.id.serial);
            break;
        }
        column->rows++;
    }
    return to - out;
}
