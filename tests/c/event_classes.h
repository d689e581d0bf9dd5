/* Classes of events for the tests of stage 3: 1 to 7, and the types of first records that have one. */
#ifndef AUDITSENSE_EVENT_CLASSES_H
#define AUDITSENSE_EVENT_CLASSES_H

#include "_ring/classes.h"

#include "check.h"
#include "samples.h"

static inline void make_event_classes(as_classes *classes) {
    static _Alignas(16) uint8_t bytes[8192];
    static const as_class rows[8] = {{0},
                                     {.flags = AS_CLASS_KEPT},
                                     {.flags = AS_CLASS_KEPT},
                                     {.flags = AS_CLASS_KEPT, .first_path = 2},
                                     {.flags = AS_CLASS_KEPT, .directory = 1},
                                     {.flags = AS_CLASS_KEPT},
                                     {.flags = AS_CLASS_KEPT},
                                     {.flags = AS_CLASS_KEPT}};
    static const as_main mains[] = {
        {1100, AS_CLASS_NONE, 5}, {1336, AS_CLASS_NONE, 5}, {1400, 1, 6}, {1500, 1, 7}, {1701, AS_CLASS_NONE, 5}};
    const as_rules rules = {.classes = rows, .mains = mains, .class_count = 8, .main_count = 5};
    const as_config config = sample_config();
    as_arena arena = {.base = bytes};
    as_classes_init(classes, &config, &rules, &arena);
    CHECK(arena.used <= sizeof bytes);
}

#endif
