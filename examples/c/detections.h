/* Made by `auditsense detections compile`: pspy. Do not edit; compile again. */
#ifndef AUDITSENSE_DETECTIONS_H
#define AUDITSENSE_DETECTIONS_H

#include <auditsense.h>

/* By as_hit.rule. */
static const char *const as_detection_ids[] = {"pspy"};

static const as_rule as_detection_rules[] = {
    {.calls = 8, .tests = 3, .keys = {AS_FIELD_PID, AS_FIELD_NODE}, .key_count = 2, .count = 10, .span_ms = 5000, .merge_ms = 300000},
};

static const as_call as_detection_calls[] = {
    {.arch = 0xc000003e, .syscall = 257},
    {.arch = 0x40000003, .syscall = 295},
    {.arch = 0xc00000b7, .syscall = 56},
    {.arch = 0x40000028, .syscall = 322},
    {.arch = 0xc00000f3, .syscall = 56},
    {.arch = 0xc0000015, .syscall = 286},
    {.arch = 0x80000016, .syscall = 288},
    {.arch = 0xc0000102, .syscall = 56},
};

static const as_test as_detection_tests[] = {
    {.field = AS_FIELD_PATH_NAME, .op = AS_OP_TEXT, .operands = 1},
    {.field = AS_FIELD_A0, .op = AS_OP_LIKE, .first_operand = 1, .operands = 2},
    {.field = AS_FIELD_A2, .op = AS_OP_LIKE, .first_operand = 3, .operands = 2},
};

static const as_operand as_detection_operands[] = {
    {.len = 5},
    {.at = 5, .len = 16},
    {.at = 21, .len = 8},
    {.at = 29, .len = 5},
    {.at = 34, .len = 5},
};

static const uint8_t as_detection_text[] = {
    47, 112, 114, 111, 99, 102, 102, 102, 102, 102, 102, 102, 102, 102, 102, 102,
    102, 102, 102, 57, 99, 102, 102, 102, 102, 102, 102, 57, 99, 56, 48, 48,
    48, 48, 56, 56, 48, 48, 48,
};

/* as_ring_new copies it all. */
static inline as_rules as_detections(void) {
    as_rules table = {0};
    table.rules = as_detection_rules;
    table.calls = as_detection_calls;
    table.tests = as_detection_tests;
    table.operands = as_detection_operands;
    table.text = as_detection_text;
    table.rule_count = 1;
    table.call_count = 8;
    table.test_count = 3;
    table.operand_count = 5;
    table.exception_count = 0;
    table.text_len = 39;
    return table;
}

#endif
