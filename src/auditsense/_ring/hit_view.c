#include "hit_view.h"

#include "value.h"

static as_hit head(const uint8_t *hit) {
    as_hit copy;
    memcpy(&copy, hit, sizeof copy); /* the caller's buffer may be unaligned */
    return copy;
}

const uint8_t *as_hit_next(const uint8_t *hits, size_t len, const uint8_t *hit) {
    as_hit next;
    const size_t at = hit == NULL ? 0 : (size_t)(hit - hits) + head(hit).size;
    return at < len && as_hit_check(as_span_bounded(hits + at, len - at), &next) != 0 ? hits + at : NULL;
}

uint32_t as_hit_rule(const uint8_t *hit) {
    return head(hit).rule;
}

uint32_t as_hit_count(const uint8_t *hit) {
    return head(hit).ids;
}

uint32_t as_hit_others(const uint8_t *hit) {
    return head(hit).others;
}

uint64_t as_hit_more(const uint8_t *hit) {
    return head(hit).more;
}

uint64_t as_hit_last_ms(const uint8_t *hit) {
    return head(hit).last_ms;
}

int64_t as_hit_event(const uint8_t *hit, uint32_t index, as_event_id *out) {
    if (index >= head(hit).ids) {
        return AS_ARGUMENT;
    }
    memcpy(out, hit + sizeof(as_hit) + index * sizeof *out, sizeof *out);
    return AS_OK;
}

uint64_t as_hit_first_ms(const uint8_t *hit) {
    as_event_id first;
    as_hit_event(hit, 0, &first); /* a valid hit has an event */
    return first.ms;
}

int64_t as_hit_text(const uint8_t *hit, uint32_t field, const uint8_t **out) {
    const as_hit copy = head(hit);
    as_span text;
    if (field >= AS_FIELDS || !as_hit_span(hit, &copy, field, &text)) {
        return AS_ARGUMENT;
    }
    *out = text.at;
    if (text.at == NULL) {
        return AS_ABSENT;
    }
    return text.len;
}

int64_t as_hit_member(const uint8_t *hit, uint32_t index, uint32_t field, const uint8_t **out) {
    enum { HEAD = 4 };
    const as_hit copy = head(hit);
    as_hit_field entry;
    if (field >= AS_FIELDS || copy.members == 0 || index + 1 >= copy.ids || copy.members > copy.size ||
        (copy.size - copy.members) / sizeof entry <= index) {
        return AS_ARGUMENT;
    }
    memcpy(&entry, hit + copy.members + index * sizeof entry, sizeof entry);
    if (entry.at > copy.size || entry.len > copy.size - entry.at) {
        return AS_ARGUMENT;
    }
    as_span rest = as_span_of(hit + entry.at, entry.len);
    while (rest.len >= HEAD) {
        const uint32_t len = rest.at[2] | (uint32_t)rest.at[3] << 8;
        const bool found = rest.at[0] == field;
        rest = as_span_skip(rest, HEAD);
        if (len > rest.len) {
            return AS_ARGUMENT;
        }
        if (found) {
            *out = rest.at;
            return len;
        }
        rest = as_span_skip(rest, len);
    }
    return AS_ABSENT;
}

int64_t as_hit_number(const uint8_t *hit, uint32_t field, int64_t *out) {
    const uint8_t *text = NULL;
    uint64_t number = 0;
    const int64_t len = as_hit_text(hit, field, &text);
    if (len < 0) {
        return len;
    }
    const as_value value = {.span = as_span_of(text, (size_t)len), .form = AS_FORM_BARE};
    const bool valid = as_value_number(value, as_field_kind((as_field)field), &number);
    *out = (int64_t)number;
    return valid ? AS_OK : AS_ABSENT;
}

int64_t as_hit_key(const uint8_t *hit, const as_rules *rules, uint32_t index, const uint8_t **out) {
    const uint32_t filter = head(hit).filter;
    if (filter >= rules->filter_count || index >= rules->filters[filter].key_count) {
        return AS_ARGUMENT;
    }
    return as_hit_text(hit, rules->filters[filter].keys[index], out);
}
