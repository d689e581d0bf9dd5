#include "event_values.h"

/* A value of hex digits decodes to half its size, and each comes from one stored text. */
static uint32_t scratch_bytes(const as_config *config) {
    return AS_ROLES * (config->datagram_bytes / 2);
}

void as_event_values_init(as_event_values *values, const as_config *config, as_arena *arena) {
    memset(values, 0, sizeof *values);
    values->scratch_bytes = scratch_bytes(config);
    values->scratch = as_arena_alloc(arena, values->scratch_bytes, 1);
}

void as_event_values_begin(as_event_values *values, const as_events *events, const as_event *event) {
    values->events = events;
    values->event = event;
    values->located = 0;
    values->decoded = 0;
    values->used = 0;
}

bool as_event_values_load(as_event_values *values, uint64_t fields) {
    const uint64_t missing = fields & ~values->located;
    if (missing == 0) {
        return true;
    }
    as_values_clear(values->values, missing);
    values->located |= missing;
    return as_event_fields(values->events, values->event, missing, values->values);
}

bool as_event_text(as_event_values *values, as_field field, as_span *out) {
    if ((values->decoded & AS_BIT(field)) == 0) {
        as_span text = {0};
        as_event_values_load(values, AS_BIT(field));
        uint8_t *const scratch = values->scratch + values->used;
        if (as_value_text(values->values[field], as_field_kind(field), scratch, &text)) {
            values->used += text.at == scratch ? text.len : 0;
        } else {
            text.at = NULL;
        }
        values->texts[field] = text;
        values->decoded |= AS_BIT(field);
    }
    *out = values->texts[field];
    return out->at != NULL;
}

as_list as_event_list(as_event_values *values, as_field field) {
    as_span text;
    const uint32_t count = as_event_text(values, field, &text) ? 1 : 0;
    return (as_list){.at = &values->texts[field], .count = count};
}

bool as_event_number(as_event_values *values, as_field field, uint64_t *out) {
    as_event_values_load(values, AS_BIT(field));
    return as_value_number(values->values[field], as_field_kind(field), out);
}
