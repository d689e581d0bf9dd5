/* Stage 2, class: what an event is by its call, or by the type of its first record.
 *
 * Owns: the index of system calls and record types, and the counters of unknown architectures.
 * Rule 1: architecture and number of the SYSCALL record reject most events: nothing of an event of class 0 is stored.
 * Rule 2: records of an architecture outside as_rules.arches are counted, by name up to a bound: no rule by call can
 *   match them, and that must not go unnoticed.
 * Tested by tests/c/test_classes.c. */
#ifndef AUDITSENSE_CLASSES_H
#define AUDITSENSE_CLASSES_H

#include "../_ring.h"
#include "arena.h"
#include "record.h"

/* Not known yet: the SYSCALL record has not arrived. No class has this index. */
enum { AS_CLASS_UNKNOWN = AS_CLASS_NONE };

typedef struct {
    as_call call;
    bool used;
} as_call_slot;

/* The last call that was looked up, as its record wrote it: usually the next one is the same. */
typedef struct {
    uint8_t text[32];
    uint32_t len; /* 0: none */
    uint32_t arch;
    bool unknown; /* the architecture */
    uint16_t class_index;
} as_last_call;

enum { AS_UNKNOWN_ARCHES = 8 };

/* Types that an event can start with. */
enum { AS_FIRST_LISTED = 1000, AS_LISTED_TYPES = 2048 };

typedef struct {
    as_call_slot *calls; /* open addressing, at most half full */
    as_call_slot *mains; /* the same, with a record type and a call class as the call */
    as_class *rows;
    uint32_t *arches; /* with known calls */
    uint64_t seed;
    uint32_t call_mask;
    uint32_t main_mask;
    uint32_t row_count;
    uint32_t arch_count;
    uint32_t last_known_arch; /* of the last record with a known one */
    uint32_t unknown_count;
    uint64_t unknown_records; /* of all unknown architectures */
    as_unknown_arch unknown[AS_UNKNOWN_ARCHES];
    uint16_t other_call_class;
    bool lists_mains;         /* some type */
    bool has_ring_operations; /* among the calls: the operations of a ring have classes */
    as_last_call last;
    uint64_t listed[AS_LISTED_TYPES / 64]; /* bits of the record types that the table lists, from AS_FIRST_LISTED on */
} as_classes;

/* Allocate and, in the second pass, copy the classes of a valid table. */
void as_classes_init(as_classes *classes, const as_config *config, const as_rules *rules, as_arena *arena);

/* Class of the call that this record names. AS_CLASS_UNKNOWN: the record names none. */
uint16_t as_class_of_record(as_classes *classes, const as_record *record);

/* Class of the operation that a URINGOP record names, for an event without a SYSCALL record. 0 if no call of the table
 * is an operation. */
uint16_t as_class_of_operation(const as_classes *classes, as_span body);

/* Class of an event that starts with a record of this type and has a call of this class; AS_CLASS_NONE: no call. The
 * result is call_class if the table does not list the type, and 0 without a call. */
uint16_t as_class_of_main(const as_classes *classes, uint16_t type, uint16_t call_class);

/* Whether an event that starts with a record of this type can have a class because of it. */
static inline bool as_classes_list(const as_classes *classes, uint16_t type) {
    const uint32_t at = (uint32_t)type - AS_FIRST_LISTED;
    return at < AS_LISTED_TYPES && (classes->listed[at / 64] >> at % 64 & 1) != 0;
}

/* Whether anything is decided about events of a known class. */
static inline bool as_class_is_wanted(const as_classes *classes, uint16_t class_index) {
    const as_class *row = &classes->rows[class_index < classes->row_count ? class_index : 0];
    return class_index != 0 && (row->filters > 0 || (row->flags & AS_CLASS_KEPT) != 0);
}

/* Continue the counters of another one. */
void as_classes_migrate(as_classes *classes, const as_classes *from);

/* Copy the counters of unknown architectures. Returns their number; AS_ARGUMENT: out is too small. */
int64_t as_classes_unknown_arches(const as_classes *classes, as_unknown_arch *out, size_t size);

#endif
