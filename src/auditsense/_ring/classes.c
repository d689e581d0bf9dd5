#include "classes.h"

#include "hash.h"

static as_call_slot *slot_of(as_call_slot *slots, uint32_t mask, uint64_t seed, uint32_t first, uint32_t second) {
    uint64_t at = as_mix(seed, (uint64_t)first << 32 | second);
    for (;; at++) {
        as_call_slot *slot = &slots[at & mask];
        if (!slot->used || (slot->call.arch == first && slot->call.syscall == second)) {
            return slot;
        }
    }
}

static void insert(as_call_slot *slots, uint32_t mask, uint64_t seed, as_call call) {
    as_call_slot *slot = slot_of(slots, mask, seed, call.arch, call.syscall);
    *slot = (as_call_slot){.call = call, .used = true};
}

static void copy(void *to, const void *from, size_t n, size_t size) {
    if (n > 0) {
        memcpy(to, from, n * size);
    }
}

void as_classes_init(as_classes *classes, const as_config *config, const as_rules *rules, as_arena *arena) {
    const uint32_t call_slots = as_power_of_two(2 * rules->call_count + 1);
    const uint32_t main_slots = as_power_of_two(2 * rules->main_count + 1);
    classes->seed = config->seed;
    classes->call_mask = call_slots - 1;
    classes->main_mask = main_slots - 1;
    classes->row_count = rules->class_count;
    classes->arch_count = rules->arch_count;
    classes->last_known_arch = rules->arch_count > 0 ? rules->arches[0] : 0;
    classes->unknown_count = 0;
    classes->unknown_records = 0;
    classes->other_call_class = (uint16_t)rules->other_call_class;
    classes->last.len = 0;
    classes->lists_mains = false;
    classes->has_ring_operations = false;
    memset(classes->listed, 0, sizeof classes->listed);
    classes->calls = as_arena_alloc(arena, call_slots, sizeof *classes->calls);
    classes->mains = as_arena_alloc(arena, main_slots, sizeof *classes->mains);
    classes->rows = as_arena_alloc(arena, rules->class_count, sizeof *classes->rows);
    classes->arches = as_arena_alloc(arena, rules->arch_count, sizeof *classes->arches);
    if (classes->calls == NULL) {
        return;
    }
    copy(classes->rows, rules->classes, rules->class_count, sizeof *rules->classes);
    copy(classes->arches, rules->arches, rules->arch_count, sizeof *rules->arches);
    for (uint32_t i = 0; i < rules->call_count; i++) {
        classes->has_ring_operations = classes->has_ring_operations || rules->calls[i].arch == AS_ARCH_RING;
        insert(classes->calls, classes->call_mask, classes->seed, rules->calls[i]);
    }
    for (uint32_t i = 0; i < rules->main_count; i++) {
        const as_main *row = &rules->mains[i];
        const uint32_t at = (uint32_t)row->type - AS_FIRST_LISTED;
        if (at < AS_LISTED_TYPES) {
            classes->lists_mains = true;
            classes->listed[at / 64] |= UINT64_C(1) << at % 64;
        }
        insert(classes->mains, classes->main_mask, classes->seed,
               (as_call){.arch = row->type, .syscall = row->call_class, .class_index = row->class_index});
    }
}

static bool arch_known(as_classes *classes, uint32_t arch) {
    bool known = classes->arch_count == 0 || arch == classes->last_known_arch;
    for (uint32_t i = 0; !known && i < classes->arch_count; i++) {
        known = classes->arches[i] == arch;
    }
    classes->last_known_arch = known ? arch : classes->last_known_arch;
    return known;
}

static void count_unknown(as_classes *classes, uint32_t arch) {
    uint32_t at = 0;
    while (at < classes->unknown_count && classes->unknown[at].arch != arch) {
        at++;
    }
    classes->unknown_records++;
    if (at == AS_UNKNOWN_ARCHES) {
        return;
    }
    if (at == classes->unknown_count) {
        classes->unknown[at] = (as_unknown_arch){.arch = arch};
        classes->unknown_count++;
    }
    classes->unknown[at].records++;
}

uint16_t as_class_of_record(as_classes *classes, const as_record *record) {
    if (record->type != AS_TYPE_SYSCALL) {
        return AS_CLASS_UNKNOWN;
    }
    as_last_call *last = &classes->last;
    if (last->len > 0 && as_span_starts_as(record->body, last->text, last->len)) {
        if (last->unknown) {
            count_unknown(classes, last->arch);
        }
        return last->class_index;
    }
    uint32_t arch;
    uint32_t number;
    uint32_t len;
    if (!as_record_call(record, &arch, &number, &len)) {
        return classes->other_call_class;
    }
    const as_call_slot *slot = slot_of(classes->calls, classes->call_mask, classes->seed, arch, number);
    const uint16_t found = slot->used ? (uint16_t)slot->call.class_index : classes->other_call_class;
    const bool unknown = !arch_known(classes, arch);
    if (unknown) {
        count_unknown(classes, arch);
    }
    if (len > 0 && len <= sizeof last->text) {
        memcpy(last->text, record->body.at, len);
        last->len = len;
        last->arch = arch;
        last->unknown = unknown;
        last->class_index = found;
    }
    return found;
}

uint16_t as_class_of_operation(const as_classes *classes, as_span body) {
    const as_record record = {.type = AS_TYPE_URINGOP, .body = body};
    as_value values[AS_FIELDS];
    uint64_t operation = 0;
    if (!classes->has_ring_operations) {
        return 0;
    }
    as_values_clear(values, AS_BIT(AS_FIELD_SYSCALL));
    as_record_fields(&record, AS_BIT(AS_FIELD_SYSCALL), values);
    if (!as_value_number(values[AS_FIELD_SYSCALL], AS_KIND_DECIMAL, &operation) || operation > UINT32_MAX) {
        return classes->other_call_class;
    }
    const as_call_slot *slot =
        slot_of(classes->calls, classes->call_mask, classes->seed, AS_ARCH_RING, (uint32_t)operation);
    return slot->used ? (uint16_t)slot->call.class_index : classes->other_call_class;
}

uint16_t as_class_of_main(const as_classes *classes, uint16_t type, uint16_t call_class) {
    if (as_classes_list(classes, type)) {
        const as_call_slot *slot = slot_of(classes->mains, classes->main_mask, classes->seed, type, call_class);
        if (!slot->used) {
            slot = slot_of(classes->mains, classes->main_mask, classes->seed, type, AS_CLASS_NONE);
        }
        if (slot->used) {
            return (uint16_t)slot->call.class_index;
        }
    }
    return call_class == AS_CLASS_NONE ? 0 : call_class;
}

void as_classes_migrate(as_classes *classes, const as_classes *from) {
    memcpy(classes->unknown, from->unknown, sizeof from->unknown);
    classes->unknown_count = from->unknown_count;
    classes->unknown_records = from->unknown_records;
}

int64_t as_classes_unknown_arches(const as_classes *classes, as_unknown_arch *out, size_t size) {
    if (size < AS_UNKNOWN_ARCHES) {
        return AS_ARGUMENT;
    }
    copy(out, classes->unknown, classes->unknown_count, sizeof *out);
    return classes->unknown_count;
}
