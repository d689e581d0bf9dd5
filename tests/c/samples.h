/* Inputs that several tests and the fuzz targets share: one event as the kernel writes it, small limits, and
 * the rule table of the shipped detection. */
#ifndef AUDITSENSE_SAMPLES_H
#define AUDITSENSE_SAMPLES_H

#include <stddef.h>

#include "_ring.h"

#define SAMPLE_SYSCALL                                                                                   \
    "arch=c000003e syscall=257 success=yes exit=10 a0=ffffffffffffff9c a1=47d12d a2=80000 a3=0 items=1 " \
    "ppid=1 pid=92 auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) "  \
    "ses=4294967295 comm=\"init\" exe=\"/init\" subj=unconfined key=\"audit_proc\""
#define SAMPLE_CWD "cwd=\"/\""
#define SAMPLE_PATH                                                                                          \
    "item=0 name=\"/proc\" inode=1 dev=00:14 mode=040555 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 " \
    "cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
#define SAMPLE_PROCTITLE "proctitle=2F696E6974002D78"

/* The least that as_config allows, but for a timeout and a slack that tests can count with. */
static inline as_config sample_config(void) {
    return (as_config){
        .seed = 7,
        .datagram_slots = 4,
        .datagram_bytes = 1024,
        .event_slots = 16,
        .small_texts = 64,
        .large_texts = 4,
        .event_timeout_ms = 2000,
        .key_slots = 16,
        .window_slack = 22,
        .process_slots = 16,
        .hit_bytes = 8 * 1024 + 262144,
    };
}

/* Rules with one filter each, in the same order, for every call. At most 4. */
static inline as_rules rules_of_every_call(const as_rule *rules, const as_filter *filters, uint32_t count) {
    static as_class classes[5][2];
    classes[count][1].filters = count;
    return (as_rules){.rules = rules,
                      .classes = classes[count],
                      .filters = filters,
                      .rule_count = count,
                      .class_count = 2,
                      .filter_count = count,
                      .other_call_class = 1};
}

/* openat of "/proc" as the detection wants it, ten times by one process on one host within 5 s, and every
 * event that has a SYSCALL record: `first` and `count` choose among the two. */
static inline as_rules sample_rules(uint32_t first, uint32_t count) {
    static const uint8_t text[] = "/procffffffffffffff9cffffff9c8000088000";
    static const as_operand operands[] = {
        {.at = 0, .len = 5}, {.at = 5, .len = 16}, {.at = 21, .len = 8}, {.at = 29, .len = 5}, {.at = 34, .len = 5}};
    static const as_predicate predicates[] = {
        {.field = AS_FIELD_PATH_NAME, .op = AS_OP_TEXT, .first_operand = 0, .operands = 1},
        {.field = AS_FIELD_A0, .op = AS_OP_LIKE, .flags = AS_FOLD_CASE, .first_operand = 1, .operands = 2},
        {.field = AS_FIELD_A2, .op = AS_OP_TEXT, .first_operand = 3, .operands = 2}};
    static const as_node nodes[] = {{0, 1, AS_NODE_FALSE}, {1, 2, AS_NODE_FALSE}, {2, AS_NODE_TRUE, AS_NODE_FALSE}};
    static const as_call calls[] = {{.arch = 0xc000003e, .syscall = 257, .class_index = 1},
                                    {.arch = 0x40000003, .syscall = 295, .class_index = 1},
                                    {.arch = 0xc00000b7, .syscall = 56, .class_index = 1}};
    static const as_filter filters[] = {
        {.start = 0, .rule = 0, .stages = 1, .keys = {AS_FIELD_PID, AS_FIELD_NODE}, .key_count = 2},
        {.start = AS_NODE_TRUE, .rule = 1, .stages = 1}};
    static const as_filter every_event = {.start = AS_NODE_TRUE, .stages = 1};
    static const as_class one[] = {{0}, {.first_filter = 0, .filters = 1}};
    static const as_class both[] = {{0}, {.first_filter = 0, .filters = 2}, {.first_filter = 1, .filters = 1}};
    static const as_rule rules[] = {{.kind = AS_RULE_RUNS, .stages = 1, .count = 10, .span_ms = 5000},
                                    {.kind = AS_RULE_EVENT, .stages = 1, .count = 1, .span_ms = 1}};
    return (as_rules){.rules = rules + first,
                      .classes = count == 1 ? one : both,
                      .calls = calls,
                      .filters = first == 1 ? &every_event : filters,
                      .nodes = nodes,
                      .predicates = predicates,
                      .operands = operands,
                      .text = text,
                      .rule_count = count,
                      .class_count = count + 1,
                      .call_count = first == 1 ? 0 : 3,
                      .filter_count = count,
                      .node_count = 3,
                      .predicate_count = 3,
                      .operand_count = 5,
                      .text_len = sizeof text - 1,
                      .other_call_class = first == 1   ? 1
                                          : count == 1 ? 0
                                                       : 2};
}

#endif
