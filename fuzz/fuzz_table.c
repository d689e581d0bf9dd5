/* Whatever a rule table says: as_rules_valid refuses it, or a ring takes it, decides any records with it and ends.
 *
 * Input: a byte of modes; the table, as the bytes of its numbers; then log text. The numbers of a table are mended so
 * that most tables are valid, except with mode bit 0. A valid table also moves to another ring with the same table. */
#include "fuzz.h"

enum { MOST = 12, TEXT = 64 };

typedef struct {
    const uint8_t *at;
    size_t left;
    bool raw;
} numbers;

/* The next number: below `limit`, or, raw, any. */
static uint32_t next(numbers *in, uint32_t limit) {
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    const uint8_t byte = *in->at++;
    if (in->raw) {
        return byte < 250 ? byte % (limit + 1) : (uint32_t)byte << 24 | byte;
    }
    return byte % limit;
}

typedef struct {
    as_rule rules[MOST];
    as_class classes[MOST];
    as_call calls[MOST];
    as_main mains[MOST];
    as_filter filters[4 * MOST];
    uint16_t anchors[MOST];
    as_node nodes[2 * MOST];
    as_predicate predicates[MOST];
    as_operand operands[2 * MOST];
    as_exception exceptions[MOST];
    uint8_t text[TEXT];
    as_rules table;
} tables;

static uint16_t next_target(numbers *in, uint32_t node, uint32_t nodes) {
    const uint32_t chosen = next(in, nodes + 2);
    return chosen > node && chosen < nodes ? (uint16_t)chosen : (uint16_t)(AS_NODE_FALSE + (chosen & 1));
}

static as_rule next_rule(numbers *in, const as_rules *table) {
    const uint32_t kind = next(in, 4);
    const bool staged = kind >= AS_RULE_SEQUENCE;
    const uint32_t more = next(in, 6);
    const uint32_t first = next(in, table->exception_count + 1);
    return (as_rule){.kind = kind,
                     .stages = staged ? 2 + more : 1,
                     .count = kind == AS_RULE_RUNS ? 2 + more : 1,
                     .span_ms = 1 + next(in, 200) * 20,
                     .merge_ms = staged ? 0 : next(in, 2) * 5000,
                     .limit = staged ? next(in, 3) : 0,
                     .limit_ms = next(in, 100) * 10,
                     .first_exception = first,
                     .exceptions = next(in, table->exception_count - first + 1)};
}

/* The filters of one class, in order. */
static uint32_t add_filters(numbers *in, tables *made, uint32_t from) {
    const as_rules *table = &made->table;
    uint32_t at = from;
    for (uint32_t rule = 0; rule < table->rule_count; rule++) {
        const as_rule *of = &made->rules[rule];
        const bool staged = of->kind >= AS_RULE_SEQUENCE;
        for (uint32_t stage = staged ? of->stages : 1; stage-- > 0 && at < 4 * MOST && in->left > 0;) {
            if (next(in, 3) == 0) {
                continue;
            }
            const uint32_t anchor = next(in, table->anchor_count + 1);
            made->filters[at++] =
                (as_filter){.start = next(in, 4) == 0 ? AS_NODE_TRUE : (uint16_t)next(in, table->node_count),
                            .rule = (uint16_t)rule,
                            .first_stage = (uint16_t)stage,
                            .stages = (uint16_t)(of->kind == AS_RULE_SEQUENCE ? 1 + next(in, of->stages - stage) : 1),
                            .anchors = (uint16_t)next(in, table->anchor_count - anchor + 1),
                            .first_anchor = anchor,
                            .keys = {(uint8_t)next(in, AS_FIELDS), (uint8_t)next(in, AS_FIELDS),
                                     (uint8_t)next(in, AS_FIELDS), (uint8_t)next(in, AS_FIELDS)},
                            .key_count = (uint8_t)next(in, 5)};
        }
        if (of->kind == AS_RULE_SEQUENCE && next(in, 3) == 0 && at < 4 * MOST) {
            made->filters[at++] = (as_filter){.start = AS_NODE_TRUE,
                                              .rule = (uint16_t)rule,
                                              .stages = 1,
                                              .until = 1,
                                              .keys = {(uint8_t)next(in, AS_FIELDS)},
                                              .key_count = 1,
                                              .optional_keys = (uint8_t)next(in, 2)};
        }
    }
    return at - from;
}

static void make_predicates(numbers *in, tables *made) {
    as_rules *table = &made->table;
    for (uint32_t i = 0; i < table->text_len; i++) {
        made->text[i] = (uint8_t)next(in, 256);
    }
    for (uint32_t i = 0; i < table->operand_count; i++) {
        const uint32_t at = next(in, TEXT - 16);
        made->operands[i] = (as_operand){.number = next(in, 129), .mask = next(in, 2), .at = at, .len = next(in, 17)};
    }
    for (uint32_t i = 0; i < table->predicate_count; i++) {
        const uint32_t op = next(in, 11);
        const uint32_t first = next(in, table->operand_count + 1);
        made->predicates[i] = (as_predicate){
            .field = (uint8_t)next(in, AS_FIELDS),
            .op = (uint8_t)(op == AS_OP_REGEX || op == AS_OP_NETWORK ? AS_OP_LIKE : op), /* they need a certain text */
            .flags = (uint8_t)next(in, 2),
            .length_op = (uint8_t)(AS_OP_LESS + next(in, 4)),
            .first_operand = first,
            .operands = next(in, table->operand_count - first + 1)};
    }
    for (uint32_t i = 0; i < table->node_count; i++) {
        made->nodes[i] = (as_node){.predicate = (uint16_t)next(in, table->predicate_count),
                                   .yes = next_target(in, i, table->node_count),
                                   .no = next_target(in, i, table->node_count)};
    }
}

static void make_table(numbers *in, tables *made) {
    as_rules *table = &made->table;
    *table = (as_rules){.rules = made->rules,
                        .classes = made->classes,
                        .calls = made->calls,
                        .mains = made->mains,
                        .filters = made->filters,
                        .anchors = made->anchors,
                        .nodes = made->nodes,
                        .predicates = made->predicates,
                        .operands = made->operands,
                        .exceptions = made->exceptions,
                        .text = made->text,
                        .class_count = 2 + next(in, MOST - 2),
                        .call_count = next(in, MOST),
                        .main_count = next(in, MOST),
                        .anchor_count = next(in, MOST),
                        .node_count = 1 + next(in, 2 * MOST - 1),
                        .predicate_count = 1 + next(in, MOST - 1),
                        .operand_count = next(in, 2 * MOST),
                        .exception_count = next(in, MOST),
                        .text_len = TEXT};
    const bool raw = in->raw;
    in->raw = false; /* the counts of the arrays are those of this program */
    table->class_count %= MOST;
    table->class_count = table->class_count < 2 ? 2 : table->class_count;
    table->call_count %= MOST;
    table->main_count %= MOST;
    table->anchor_count %= MOST;
    table->node_count = 1 + table->node_count % (2 * MOST - 1);
    table->predicate_count = 1 + table->predicate_count % (MOST - 1);
    table->operand_count %= 2 * MOST;
    table->exception_count %= MOST;
    table->rule_count = 1 + next(in, MOST - 1);
    in->raw = raw;
    make_predicates(in, made);
    for (uint32_t i = 0; i < table->exception_count; i++) {
        made->exceptions[i] = (as_exception){.until_ms = UINT64_MAX, .start = next(in, table->node_count)};
    }
    for (uint32_t i = 0; i < table->anchor_count; i++) {
        made->anchors[i] = (uint16_t)next(in, table->predicate_count);
    }
    for (uint32_t i = 0; i < table->rule_count; i++) {
        made->rules[i] = next_rule(in, table);
    }
    for (uint32_t i = 1; i < table->class_count; i++) {
        made->classes[i] = (as_class){.first_filter = table->filter_count,
                                      .filters = add_filters(in, made, table->filter_count),
                                      .first_path = (uint8_t)next(in, 3),
                                      .flags = (uint8_t)next(in, 4)};
        table->filter_count += made->classes[i].filters;
    }
    for (uint32_t i = 0; i < table->call_count; i++) {
        made->calls[i] =
            (as_call){.arch = 0xc000003e, .syscall = 250 + next(in, 10), .class_index = next(in, table->class_count)};
    }
    for (uint32_t i = 0; i < table->main_count; i++) {
        made->mains[i] =
            (as_main){.type = (uint16_t)(1300 + next(in, 200)),
                      .call_class = next(in, 2) == 0 ? AS_CLASS_NONE : (uint16_t)next(in, table->class_count),
                      .class_index = next(in, table->class_count)};
    }
    table->other_call_class = next(in, table->class_count);
    table->actor_fields = next(in, 2);
}

static void feed(as_ring *ring, const uint8_t *text, size_t len) {
    static uint8_t drained[FUZZ_HIT_BYTES];
    size_t at = 0;
    while (at < len) {
        const int64_t consumed = as_ring_feed_text(ring, text + at, len - at);
        PROMISE(consumed >= 0);
        at += (size_t)consumed;
        const int64_t moved = as_ring_drain(ring, drained, sizeof drained);
        PROMISE(moved >= 0 && (moved > 0 || consumed > 0));
        fuzz_columns(drained, (size_t)moved, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t drained[FUZZ_HIT_BYTES];
    static tables made;
    if (size < 2 || size > 65536) {
        return 0;
    }
    numbers in = {.at = data + 1, .left = size - 1, .raw = (data[0] & 1) != 0};
    memset(&made, 0, sizeof made);
    make_table(&in, &made);
    const as_config config = {.seed = 7,
                              .datagram_slots = 1,
                              .datagram_bytes = 1024,
                              .event_slots = 16,
                              .small_texts = 24,
                              .large_texts = 4,
                              .event_timeout_ms = 2000,
                              .key_slots = 16,
                              .window_slack = 3,
                              .hit_bytes = FUZZ_HIT_BYTES};
    as_ring *ring = as_ring_new(&config, &made.table);
    if (ring == NULL) {
        PROMISE(as_ring_bytes(&config, &made.table) == 0);
        return 0;
    }
    as_ring *other = must(as_ring_new(&config, &made.table));
    PROMISE(as_ring_order(ring, (data[0] & 2) != 0 ? 3 : 0) == AS_OK);
    PROMISE(as_ring_order(other, (data[0] & 2) != 0 ? 3 : 0) == AS_OK);
    uint32_t same[MOST];
    for (uint32_t i = 0; i < MOST; i++) {
        same[i] = i;
    }
    const size_t half = in.left / 2;
    feed(ring, in.at, half);
    while (as_ring_migrate(other, ring, same) == 0) {
        PROMISE(as_ring_drain(ring, drained, sizeof drained) > 0);
    }
    as_ring_free(ring);
    feed(other, in.at + half, in.left - half);
    while (as_ring_finish(other) == 0) {
        PROMISE(as_ring_drain(other, drained, sizeof drained) > 0);
    }
    as_ring_free(other);
    return 0;
}
