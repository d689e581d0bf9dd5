/* Made by `auditsense detections compile`: pspy. Do not edit; compile again. */
#ifndef AUDITSENSE_DETECTIONS_H
#define AUDITSENSE_DETECTIONS_H

#include <auditsense.h>

/* By as_hit.rule. */
static const char *const as_detection_ids[] = {"pspy"};

static const as_rule as_detection_rules[] = {
    {.kind = AS_RULE_RUNS, .stages = 1, .count = 10, .span_ms = 5000, .merge_ms = 300000},
};

static const as_class as_detection_classes[] = {
    {.filters = 0},
    {.filters = 1},
};

static const as_call as_detection_calls[] = {
    {.arch = 0xc000003e, .syscall = 257, .class_index = 1},
    {.arch = 0x40000003, .syscall = 295, .class_index = 1},
    {.arch = 0xc00000b7, .syscall = 56, .class_index = 1},
    {.arch = 0x40000028, .syscall = 322, .class_index = 1},
    {.arch = 0x28, .syscall = 322, .class_index = 1},
    {.arch = 0xc00000f3, .syscall = 56, .class_index = 1},
    {.arch = 0x400000f3, .syscall = 56, .class_index = 1},
    {.arch = 0xc0000015, .syscall = 286, .class_index = 1},
    {.arch = 0x80000015, .syscall = 286, .class_index = 1},
    {.arch = 0x14, .syscall = 286, .class_index = 1},
    {.arch = 0x80000016, .syscall = 288, .class_index = 1},
    {.arch = 0x16, .syscall = 288, .class_index = 1},
    {.arch = 0xc0000102, .syscall = 56, .class_index = 1},
    {.arch = 0x40000102, .syscall = 56, .class_index = 1},
    {.arch = 0x8, .syscall = 4288, .class_index = 1},
    {.arch = 0x40000008, .syscall = 4288, .class_index = 1},
    {.arch = 0x80000008, .syscall = 5247, .class_index = 1},
    {.arch = 0xc0000008, .syscall = 5247, .class_index = 1},
    {.arch = 0xa0000008, .syscall = 6251, .class_index = 1},
    {.arch = 0xe0000008, .syscall = 6251, .class_index = 1},
    {.arch = 0x2, .syscall = 284, .class_index = 1},
    {.arch = 0x8000002b, .syscall = 284, .class_index = 1},
    {.arch = 0xf, .syscall = 275, .class_index = 1},
    {.arch = 0x8000000f, .syscall = 275, .class_index = 1},
    {.arch = 0xc0009026, .syscall = 450, .class_index = 1},
    {.arch = 0xc0000032, .syscall = 1281, .class_index = 1},
    {.arch = 0x4, .syscall = 288, .class_index = 1},
    {.arch = 0x2a, .syscall = 295, .class_index = 1},
    {.arch = 0x4000002a, .syscall = 295, .class_index = 1},
    {.arch = 0x8000002a, .syscall = 323, .class_index = 1},
    {.arch = 0xc000002a, .syscall = 323, .class_index = 1},
    {.arch = 0x4000005d, .syscall = 56, .class_index = 1},
    {.arch = 0x5d, .syscall = 56, .class_index = 1},
    {.arch = 0x400000c3, .syscall = 56, .class_index = 1},
    {.arch = 0xc3, .syscall = 56, .class_index = 1},
    {.arch = 0x400000fc, .syscall = 56, .class_index = 1},
    {.arch = 0xa4, .syscall = 56, .class_index = 1},
    {.arch = 0xbd, .syscall = 295, .class_index = 1},
    {.arch = 0x40000071, .syscall = 56, .class_index = 1},
    {.arch = 0x5c, .syscall = 56, .class_index = 1},
    {.arch = 0x5e, .syscall = 288, .class_index = 1},
    {.arch = 0x4000008c, .syscall = 56, .class_index = 1},
    {.arch = 0x8c, .syscall = 56, .class_index = 1},
    {.arch = 0x4000004c, .syscall = 295, .class_index = 1},
    {.arch = 0x5441, .syscall = 295, .class_index = 1},
    {.arch = 0x2e, .syscall = 56, .class_index = 1},
    {.arch = 0x58, .syscall = 295, .class_index = 1},
    {.arch = 0x400000a7, .syscall = 56, .class_index = 1},
    {.arch = 0xa7, .syscall = 56, .class_index = 1},
    {.arch = 0xc00000bf, .syscall = 56, .class_index = 1},
    {.arch = 0x400000bf, .syscall = 56, .class_index = 1},
    {.arch = 0x400000bc, .syscall = 56, .class_index = 1},
    {.arch = 0x4000006e, .syscall = 56, .class_index = 1},
    {.arch = 0xc000003e, .syscall = 1073742081, .class_index = 1},
};

static const as_filter as_detection_filters[] = {
    {.start = 0, .stages = 1, .anchors = 1, .keys = {AS_FIELD_PID, AS_FIELD_NODE}, .key_count = 2},
};

static const uint16_t as_detection_anchors[] = {
    0,
};

static const as_node as_detection_nodes[] = {
    {.predicate = 0, .yes = 1, .no = AS_NODE_FALSE},
    {.predicate = 1, .yes = 2, .no = AS_NODE_FALSE},
    {.predicate = 2, .yes = AS_NODE_TRUE, .no = AS_NODE_FALSE},
};

static const as_predicate as_detection_predicates[] = {
    {.field = AS_FIELD_PATH_NAME, .op = AS_OP_TEXT, .operands = 1},
    {.field = AS_FIELD_A0, .op = AS_OP_TEXT, .flags = 1, .first_operand = 1, .operands = 2},
    {.field = AS_FIELD_A2, .op = AS_OP_TEXT, .first_operand = 3, .operands = 16},
};

static const as_operand as_detection_operands[] = {
    {.len = 5},
    {.at = 5, .len = 8},
    {.at = 13, .len = 16},
    {.at = 29, .len = 5},
    {.at = 34, .len = 5},
    {.at = 39, .len = 6, .number = UINT64_C(0x2), .mask = UINT64_C(0xffff)},
    {.at = 39, .len = 6, .number = UINT64_C(0x2b), .mask = UINT64_C(0xffff)},
    {.at = 45, .len = 6, .number = UINT64_C(0xf), .mask = UINT64_C(0xffff)},
    {.at = 45, .len = 6, .number = UINT64_C(0x9026), .mask = UINT64_C(0xffff)},
    {.at = 51, .len = 5, .number = UINT64_C(0xb7), .mask = UINT64_C(0xffff)},
    {.at = 51, .len = 5, .number = UINT64_C(0x28), .mask = UINT64_C(0xffff)},
    {.at = 56, .len = 5, .number = UINT64_C(0x15), .mask = UINT64_C(0xffff)},
    {.at = 56, .len = 5, .number = UINT64_C(0x14), .mask = UINT64_C(0xffff)},
    {.at = 61, .len = 5, .number = UINT64_C(0x8), .mask = UINT64_C(0xffff)},
    {.at = 66, .len = 6, .number = UINT64_C(0x2), .mask = UINT64_C(0xffff)},
    {.at = 66, .len = 6, .number = UINT64_C(0x2b), .mask = UINT64_C(0xffff)},
    {.at = 72, .len = 6, .number = UINT64_C(0xf), .mask = UINT64_C(0xffff)},
    {.at = 78, .len = 6, .number = UINT64_C(0x9026), .mask = UINT64_C(0xffff)},
    {.at = 51, .len = 5, .number = UINT64_C(0x4), .mask = UINT64_C(0xffff)},
};

static const uint8_t as_detection_text[] = {
    47, 112, 114, 111, 99, 102, 102, 102, 102, 102, 102, 57, 99, 102, 102, 102,
    102, 102, 102, 102, 102, 102, 102, 102, 102, 102, 102, 57, 99, 56, 48, 48,
    48, 48, 56, 56, 48, 48, 48, 52, 48, 48, 48, 48, 48, 50, 48, 48,
    48, 48, 48, 97, 48, 48, 48, 48, 57, 48, 48, 48, 48, 56, 50, 48,
    48, 48, 52, 52, 48, 48, 48, 48, 50, 48, 48, 56, 48, 48, 50, 50,
    48, 48, 48, 48,
};

/* Whose calls are known. */
static const uint32_t as_detection_arches[] = {
    0xc000003e,
    0x40000003,
    0xc00000b7,
    0x40000028,
    0x28,
    0xc00000f3,
    0x400000f3,
    0xc0000015,
    0x80000015,
    0x14,
    0x80000016,
    0x16,
    0xc0000102,
    0x40000102,
    0x8,
    0x40000008,
    0x80000008,
    0xc0000008,
    0xa0000008,
    0xe0000008,
    0x2,
    0x8000002b,
    0xf,
    0x8000000f,
    0xc0009026,
    0xc0000032,
    0x4,
    0x2a,
    0x4000002a,
    0x8000002a,
    0xc000002a,
    0x4000005d,
    0x5d,
    0x400000c3,
    0xc3,
    0x400000fc,
    0xa4,
    0xbd,
    0x40000071,
    0x5c,
    0x5e,
    0x4000008c,
    0x8c,
    0x4000004c,
    0x5441,
    0x2e,
    0x58,
    0x400000a7,
    0xa7,
    0xc00000bf,
    0x400000bf,
    0x400000bc,
    0x4000006e,
};

/* as_ring_new copies it all. */
static inline as_rules as_detections(void) {
    as_rules table = {0};
    table.rules = as_detection_rules;
    table.classes = as_detection_classes;
    table.calls = as_detection_calls;
    table.filters = as_detection_filters;
    table.anchors = as_detection_anchors;
    table.nodes = as_detection_nodes;
    table.predicates = as_detection_predicates;
    table.operands = as_detection_operands;
    table.text = as_detection_text;
    table.arches = as_detection_arches;
    table.rule_count = 1;
    table.class_count = 2;
    table.call_count = 54;
    table.main_count = 0;
    table.filter_count = 1;
    table.anchor_count = 1;
    table.node_count = 3;
    table.predicate_count = 3;
    table.operand_count = 19;
    table.exception_count = 0;
    table.text_len = 84;
    table.arch_count = 53;
    table.session_count = 0;
    table.flags = 0;
    table.other_call_class = 0;
    table.actor_fields |= UINT64_C(1) << AS_FIELD_EXE;
    table.actor_fields |= UINT64_C(1) << AS_FIELD_UID;
    table.actor_fields |= UINT64_C(1) << AS_FIELD_AUID;
    table.actor_fields |= UINT64_C(1) << AS_FIELD_SES;
    return table;
}

#endif
