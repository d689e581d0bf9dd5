#include "call_tail.h"

/* Programs differ near the end of the text, users near the start. */
static as_tail *slot_of(as_tails *tails, as_span text) {
    enum { LONG = 64 };
    uint64_t mixed = text.len;
    if (text.len >= LONG) {
        mixed += as_load8(text.at + 5) + as_load8(text.at + text.len - 16) * 3 + as_load8(text.at + text.len - 28) * 5 +
                 as_load8(text.at + text.len - 44) * 7;
    }
    return &tails->tails[mixed * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (AS_TAILS - 1)];
}

/* Keep where the values of a text are. */
static void keep(as_tails *tails, as_tail *tail, as_span text, const as_value values[AS_FIELDS]) {
    tail->number = ++tails->kept;
    tail->len = text.len;
    memcpy(tail->text, text.at, text.len);
    for (uint32_t i = 0; i < AS_TAIL_FIELDS; i++) {
        const as_value *value = &values[AS_TAIL_FIRST + i];
        const bool present = value->form != AS_FORM_ABSENT;
        tail->forms[i] = (uint8_t)value->form;
        tail->values[i].at = present ? (uint16_t)(value->span.at - text.at) : 0;
        tail->values[i].len = present ? (uint16_t)value->span.len : 0;
    }
}

const as_tail *as_tail_of(as_tails *tails, const as_record *record, const as_record_cursor *cursor) {
    const as_span text = as_span_skip(record->body, cursor->at);
    if (cursor->expected != AS_TAIL_FIRST || text.len == 0 || text.len > AS_TAIL_TEXT) {
        return NULL;
    }
    as_tail *tail = slot_of(tails, text);
    if (tail->len == text.len && memcmp(tail->text, text.at, text.len) == 0) {
        return tail;
    }
    as_value values[AS_FIELDS];
    as_record_cursor on = *cursor;
    uint64_t located = 0;
    as_values_clear(values, AS_TAIL_BITS);
    if (!as_record_fields_on(record, &on, AS_TAIL_BITS, AS_TAIL_BITS, &located, values)) {
        return NULL; /* some of it was not read */
    }
    keep(tails, tail, text, values);
    return tail;
}
