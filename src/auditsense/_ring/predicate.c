#include "predicate.h"

/* An event's strings are hex from at most four records, and decode to half their size. */
enum { DECODED = 2, LONG = 64 };

enum { ADDRESS_BYTES = 16 };

static void copy(void *to, const void *from, size_t n, size_t size) {
    if (n > 0) {
        memcpy(to, from, n * size);
    }
}

static bool compares_bytes(const as_predicate *predicate) {
    return predicate->op <= AS_OP_LIKE;
}

static uint64_t predicate_fields(const as_predicates *predicates, const as_predicate *predicate) {
    uint64_t fields = AS_BIT(predicate->field);
    for (uint32_t i = 0; compares_bytes(predicate) && i < predicate->operands; i++) {
        fields |= predicates->operands[predicate->first_operand + i].mask != 0 ? AS_BIT(AS_FIELD_ARCH) : 0;
    }
    return fields;
}

/* Nodes lead to later ones only, so the last one is first. */
static void find_node_fields(as_predicates *predicates, uint32_t nodes) {
    for (uint32_t i = nodes; i-- > 0;) {
        const as_node *node = &predicates->nodes[i];
        predicates->node_fields[i] = predicate_fields(predicates, &predicates->rows[node->predicate]) |
                                     as_program_fields(predicates, node->yes) | as_program_fields(predicates, node->no);
    }
}

static void forget(as_predicates *predicates) {
    for (uint32_t i = 0; i < predicates->words; i++) {
        predicates->results[i] = (as_results){0};
    }
    predicates->tail = predicates->no_tail;
}

static void find_shared(as_predicates *predicates, uint32_t nodes) {
    for (uint32_t i = 0; i < nodes; i++) {
        const uint16_t at = predicates->nodes[i].predicate;
        as_results *seen = &predicates->results[at / 64];
        if ((seen->known >> at % 64 & 1) != 0) {
            predicates->rows[at].flags |= AS_SHARED;
        }
        seen->known |= UINT64_C(1) << at % 64;
    }
    forget(predicates);
}

/* A comparison for some architectures depends on more than a field. */
static bool is_of_tail(const as_rules *rules, const as_predicate *predicate) {
    bool alone = (AS_BIT(predicate->field) & AS_TAIL_BITS) != 0;
    for (uint32_t i = 0; alone && compares_bytes(predicate) && i < predicate->operands; i++) {
        alone = rules->operands[predicate->first_operand + i].mask == 0;
    }
    return alone;
}

static uint32_t count_of_tail(const as_rules *rules) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < rules->predicate_count; i++) {
        count += is_of_tail(rules, &rules->predicates[i]) ? 1 : 0;
    }
    return count;
}

static void find_of_tail(as_predicates *predicates, const as_rules *rules) {
    for (uint32_t i = 0; i < predicates->count; i++) {
        predicates->rows[i].flags |= is_of_tail(rules, &rules->predicates[i]) ? AS_OF_TAIL : 0;
    }
}

/* One of 64 marks of a text, the same in any case. An exact text without the mark of a value does not equal it. */
static uint64_t mark_of(as_span text) {
    if (text.len == 0) {
        return 1;
    }
    const uint32_t mixed = text.len * 29u + as_lower(text.at[0]) * 5u + as_lower(text.at[text.len - 1]) * 3u;
    return UINT64_C(1) << mixed % 64;
}

/* The bit of the last byte of a text; all bits: it may be any. */
static uint64_t end_of(as_span text, bool pattern) {
    const uint8_t last = text.len == 0 ? '*' : as_lower(text.at[text.len - 1]);
    const bool any = text.len == 0 || (pattern && (last == '*' || last == '?'));
    return any ? UINT64_MAX : UINT64_C(1) << last % 64;
}

static uint32_t count_regexes(const as_rules *rules) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < rules->predicate_count; i++) {
        count += rules->predicates[i].op == AS_OP_REGEX ? rules->predicates[i].operands : 0;
    }
    return count;
}

static void find_needs(as_predicates *predicates) {
    uint32_t regexes = 0;
    for (uint32_t i = 0; i < predicates->count; i++) {
        const as_predicate *predicate = &predicates->rows[i];
        as_predicate_needs *needs = &predicates->needs[i];
        *needs = (as_predicate_needs){.first_regex = regexes};
        for (uint32_t j = 0; j < predicate->operands; j++) {
            const uint32_t at = predicate->first_operand + j;
            const as_operand *operand = &predicates->operands[at];
            const as_span text = as_span_of(predicates->text + operand->at, operand->len);
            needs->ends |= end_of(text, predicate->op == AS_OP_LIKE);
            if (predicate->op == AS_OP_TEXT) {
                needs->marks |= mark_of(text);
            } else if (predicate->op == AS_OP_LIKE) {
                predicates->like_needs[at] = as_like_needs_of(text);
            } else if (predicate->op == AS_OP_REGEX) {
                predicates->regexes[regexes++] = as_regex_needs_of(text);
            }
        }
    }
}

void as_predicates_init(as_predicates *predicates, const as_config *config, const as_rules *rules, as_arena *arena) {
    predicates->count = rules->predicate_count;
    predicates->words = (rules->predicate_count + 63) / 64;
    predicates->limited = false;
    predicates->scratch_bytes = DECODED * config->datagram_bytes;
    predicates->rows = as_arena_alloc(arena, rules->predicate_count, sizeof *rules->predicates);
    predicates->nodes = as_arena_alloc(arena, rules->node_count, sizeof *rules->nodes);
    predicates->node_fields = as_arena_alloc(arena, rules->node_count, sizeof *predicates->node_fields);
    const size_t tails = count_of_tail(rules) > 0 ? (size_t)AS_TAILS * (1 + predicates->words) : 0;
    predicates->results = as_arena_alloc(arena, predicates->words, sizeof *predicates->results);
    predicates->no_tail = as_arena_alloc(arena, predicates->words, sizeof *predicates->no_tail);
    predicates->tails = as_arena_alloc(arena, tails, sizeof *predicates->tails);
    predicates->operands = as_arena_alloc(arena, rules->operand_count, sizeof *rules->operands);
    predicates->text = as_arena_alloc(arena, rules->text_len, 1);
    predicates->needs = as_arena_alloc(arena, rules->predicate_count, sizeof *predicates->needs);
    predicates->like_needs = as_arena_alloc(arena, rules->operand_count, sizeof *predicates->like_needs);
    predicates->regexes = as_arena_alloc(arena, count_regexes(rules), sizeof *predicates->regexes);
    predicates->scratch = as_arena_alloc(arena, predicates->scratch_bytes + LONG, 1);
    predicates->cache = as_arena_alloc(arena, 1, sizeof *predicates->cache);
    if (predicates->scratch == NULL) {
        return;
    }
    copy(predicates->rows, rules->predicates, rules->predicate_count, sizeof *rules->predicates);
    copy(predicates->nodes, rules->nodes, rules->node_count, sizeof *rules->nodes);
    copy(predicates->operands, rules->operands, rules->operand_count, sizeof *rules->operands);
    copy(predicates->text, rules->text, rules->text_len, 1);
    find_needs(predicates);
    find_node_fields(predicates, rules->node_count);
    find_shared(predicates, rules->node_count);
    find_of_tail(predicates, rules);
}

uint64_t as_program_fields(const as_predicates *predicates, uint32_t start) {
    return start >= AS_NODE_FALSE ? 0 : predicates->node_fields[start];
}

uint64_t as_program_first_fields(const as_predicates *predicates, uint32_t start) {
    return start >= AS_NODE_FALSE ? 0 : AS_BIT(predicates->rows[predicates->nodes[start].predicate].field);
}

static void begin(as_predicates *predicates, bool limited, uint64_t steps) {
    forget(predicates);
    predicates->limited = limited;
    predicates->cache->decoded = 0;
    predicates->cache->compared = 0;
    predicates->cache->used = 0;
    predicates->cache->lists_known = 0;
    predicates->cache->budget = (as_like_budget){.left = steps};
}

void as_predicates_limit(as_predicates *predicates, uint64_t steps) {
    begin(predicates, true, steps);
}

void as_predicates_begin_event(as_predicates *predicates) {
    begin(predicates, false, UINT64_MAX);
}

/* True if an operand for some architectures applies to that of this event. */
static bool is_for_arch(const as_operand *operand, const as_value *arch) {
    uint64_t number = 0;
    return as_value_number(*arch, as_field_kind(AS_FIELD_ARCH), &number) && (number & operand->mask) == operand->number;
}

/* The text of a value. A long one is decoded once per event, regardless of the number of predicates. */
static inline bool text_of(const as_predicates *predicates, uint32_t field, const as_value *value, as_span *text) {
    if (value->form != AS_FORM_BARE) {
        *text = value->span;
        return value->form == AS_FORM_QUOTED;
    }
    const as_kind kind = as_field_kind((as_field)field);
    if (kind != AS_KIND_STRING || value->span.len < LONG) {
        return as_value_text(*value, kind, predicates->scratch + predicates->scratch_bytes, text);
    }
    as_text_cache *cache = predicates->cache;
    if ((cache->decoded & AS_BIT(field)) == 0) {
        if (value->span.len / 2 > predicates->scratch_bytes - cache->used) {
            cache->decoded = 0;
            cache->used = 0;
        }
        as_value_text(*value, kind, predicates->scratch + cache->used, &cache->texts[field]);
        cache->used += value->span.len / 2;
        cache->decoded |= AS_BIT(field);
    }
    *text = cache->texts[field];
    return true;
}

/* What is known about the current text of a field. */
static as_like_cache *like_cache(const as_predicates *predicates, uint32_t field) {
    as_text_cache *cache = predicates->cache;
    if ((cache->compared & AS_BIT(field)) == 0) {
        as_like_cache_clear(&cache->like_caches[field]);
        cache->compared |= AS_BIT(field);
    }
    return &cache->like_caches[field];
}

static inline as_span text_at(const as_predicates *predicates, uint32_t operand) {
    return as_span_of(predicates->text + predicates->operands[operand].at, predicates->operands[operand].len);
}

/* Whether an operand applies to the architecture of this event. */
static inline bool applies(const as_predicates *predicates, uint32_t operand, const as_value *arch) {
    const as_operand *row = &predicates->operands[operand];
    return row->mask == 0 || is_for_arch(row, arch);
}

/* With fewer texts, comparing their lengths costs less than a mark. */
enum { SEVERAL = 4 };

static inline bool any_text(const as_predicates *predicates, const as_predicate *predicate, as_span text,
                            const as_value *arch) {
    const bool fold = (predicate->flags & AS_FOLD_CASE) != 0;
    const uint32_t end = predicate->first_operand + predicate->operands;
    if (predicate->operands >= SEVERAL &&
        (predicates->needs[predicate - predicates->rows].marks & mark_of(text)) == 0) {
        return false;
    }
    for (uint32_t at = predicate->first_operand; at < end; at++) {
        if (predicates->operands[at].len != text.len) {
            continue;
        }
        const as_span wanted = text_at(predicates, at);
        /* Equal bytes always fit, and usually no other comparison is needed. */
        const bool fits = as_span_same(text, wanted) || (fold && as_span_same_folded(text, wanted));
        if (fits && applies(predicates, at, arch)) {
            return true;
        }
    }
    return false;
}

static bool any_like(const as_predicates *predicates, const as_predicate *predicate, as_span text,
                     const as_value *arch) {
    const bool fold = (predicate->flags & AS_FOLD_CASE) != 0;
    const uint32_t end = predicate->first_operand + predicate->operands;
    as_like_cache *cache = like_cache(predicates, predicate->field);
    for (uint32_t at = predicate->first_operand; at < end; at++) {
        if (as_like_may(&predicates->like_needs[at], text, cache) &&
            as_like(text_at(predicates, at), text, fold, cache, &predicates->cache->budget) &&
            applies(predicates, at, arch)) {
            return true;
        }
    }
    return false;
}

static bool any_regex(const as_predicates *predicates, const as_predicate *predicate, as_span text) {
    const as_regex_needs *needs = &predicates->regexes[predicates->needs[predicate - predicates->rows].first_regex];
    bool fits = false;
    for (uint32_t i = 0; !fits && i < predicate->operands; i++) {
        bool may = true;
        for (uint32_t j = 0; may && needs[i].floats && j < needs[i].count; j++) {
            const uint64_t *has = as_like_bytes(like_cache(predicates, predicate->field), text);
            const uint64_t *bytes = needs[i].bytes[j];
            may = ((bytes[0] & has[0]) | (bytes[1] & has[1]) | (bytes[2] & has[2]) | (bytes[3] & has[3])) != 0;
        }
        fits = may && as_regex_match(text_at(predicates, predicate->first_operand + i), text);
    }
    return fits;
}

static bool compare(uint8_t op, uint64_t value, const as_operand *operand) {
    const int64_t number = (int64_t)operand->number;
    switch (op) {
    case AS_OP_LESS:
        return (int64_t)value < number;
    case AS_OP_AT_MOST:
        return (int64_t)value <= number;
    case AS_OP_GREATER:
        return (int64_t)value > number;
    default:
        return (int64_t)value >= number;
    }
}

static bool any_number(const as_predicates *predicates, const as_predicate *predicate, uint64_t number) {
    const bool length = predicate->op == AS_OP_LENGTH;
    const uint8_t op = length ? predicate->length_op : predicate->op;
    for (uint32_t i = 0; i < predicate->operands; i++) {
        const as_operand *operand = &predicates->operands[predicate->first_operand + i];
        const uint64_t mask = length ? UINT64_MAX : operand->mask;
        if (op == AS_OP_NUMBER ? (number & mask) == operand->number : compare(op, number, operand)) {
            return true;
        }
    }
    return false;
}

/* Characters of a text in UTF-8: bytes that do not continue one. */
static uint64_t count_characters(as_span text) {
    uint64_t characters = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        characters += (text.at[i] & 0xc0) != 0x80 ? 1 : 0;
    }
    return characters;
}

/* Read a decimal of at most 255 at the start of the rest. */
static bool read_byte(as_span *rest, uint8_t *out) {
    uint64_t number = 0;
    const uint32_t digits = as_span_number(*rest, 10, 255, &number);
    *rest = as_span_skip(*rest, digits);
    *out = (uint8_t)number;
    return digits > 0 && digits <= 3;
}

/* Read four decimals with points between them, to the end. */
static bool read_ipv4(as_span text, uint8_t address[4]) {
    for (uint32_t i = 0; i < 4; i++) {
        if (i > 0) {
            if (text.len == 0 || text.at[0] != '.') {
                return false;
            }
            text = as_span_skip(text, 1);
        }
        if (!read_byte(&text, &address[i])) {
            return false;
        }
    }
    return text.len == 0;
}

static bool is_hex(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static uint32_t hex_of(uint8_t c) {
    return c <= '9' ? c - (uint32_t)'0' : (c | 0x20u) - 'a' + 10u;
}

/* Read groups of hex with colons between them; :: replaces missing groups. */
static bool read_ipv6(as_span text, uint8_t address[ADDRESS_BYTES]) {
    uint32_t at = 0;
    uint32_t gap = UINT32_MAX;
    if (as_span_starts(text, AS_LITERAL("::"))) {
        gap = 0;
        text = as_span_skip(text, 2);
    }
    while (text.len > 0 && at < ADDRESS_BYTES) {
        uint32_t group = 0;
        uint32_t digits = 0;
        if (at + 4 <= ADDRESS_BYTES && read_ipv4(text, address + at)) {
            at += 4;
            text.len = 0;
            break;
        }
        for (; digits < text.len && digits < 4 && is_hex(text.at[digits]); digits++) {
            group = group << 4 | hex_of(text.at[digits]);
        }
        text = as_span_skip(text, digits);
        address[at++] = (uint8_t)(group >> 8);
        address[at++] = (uint8_t)group;
        if (digits == 0 || (text.len > 0 && (text.at[0] != ':' || text.len == 1))) {
            return false;
        }
        if (gap == UINT32_MAX && as_span_starts(text, AS_LITERAL("::"))) {
            gap = at;
            text = as_span_skip(text, 2);
        } else if (text.len > 0) {
            text = as_span_skip(text, 1);
        }
    }
    if (text.len > 0 || (gap == UINT32_MAX) != (at == ADDRESS_BYTES)) {
        return false;
    }
    if (gap != UINT32_MAX) {
        memmove(address + ADDRESS_BYTES - (at - gap), address + gap, at - gap);
        memset(address + gap, 0, ADDRESS_BYTES - at);
    }
    return true;
}

static bool read_address(as_span text, uint8_t address[ADDRESS_BYTES]) {
    memset(address, 0, ADDRESS_BYTES);
    if (read_ipv4(text, address + 12)) {
        address[10] = address[11] = 0xff;
        return true;
    }
    return read_ipv6(text, address);
}

static bool same_bits(const uint8_t *left, const uint8_t *right, uint64_t bits) {
    const size_t bytes = (size_t)bits / 8;
    const unsigned rest = (unsigned)bits % 8;
    return memcmp(left, right, bytes) == 0 && (rest == 0 || (uint8_t)((left[bytes] ^ right[bytes]) >> (8 - rest)) == 0);
}

static bool any_network(const as_predicates *predicates, const as_predicate *predicate, as_span text) {
    uint8_t address[ADDRESS_BYTES];
    if (!read_address(text, address)) {
        return false;
    }
    for (uint32_t i = 0; i < predicate->operands; i++) {
        const as_operand *operand = &predicates->operands[predicate->first_operand + i];
        if (same_bits(address, predicates->text + operand->at, operand->number)) {
            return true;
        }
    }
    return false;
}

/* Operators that do not compare the bytes of a text. */
static bool other_holds(const as_predicates *predicates, const as_predicate *predicate, const as_value *value) {
    const as_kind kind = as_field_kind((as_field)predicate->field);
    uint64_t number = 0;
    as_span text;
    switch (predicate->op) {
    case AS_OP_PRESENT:
        return text_of(predicates, predicate->field, value, &text);
    case AS_OP_REGEX:
        return text_of(predicates, predicate->field, value, &text) && any_regex(predicates, predicate, text);
    case AS_OP_LENGTH:
        return text_of(predicates, predicate->field, value, &text) &&
               any_number(predicates, predicate, count_characters(text));
    case AS_OP_NETWORK:
        return text_of(predicates, predicate->field, value, &text) && any_network(predicates, predicate, text);
    default:
        return as_value_number(*value, kind, &number) && any_number(predicates, predicate, number);
    }
}

/* Whether a comparison of one value holds. */
static bool value_fits(const as_predicates *predicates, const as_predicate *predicate, const as_value *value,
                       const as_value *arch) {
    as_span text;
    if (!compares_bytes(predicate)) {
        return other_holds(predicates, predicate, value);
    }
    return text_of(predicates, predicate->field, value, &text) &&
           (predicate->op == AS_OP_TEXT ? any_text(predicates, predicate, text, arch)
                                        : any_like(predicates, predicate, text, arch));
}

/* Lists */

static uint32_t list_number(uint32_t field) {
    switch (field) {
    case AS_FIELD_ARGS:
        return 0;
    case AS_FIELD_CAPABILITIES:
        return 1;
    case AS_FIELD_PARENT_ARGS:
        return 2;
    case AS_FIELD_LEADER_ARGS:
        return 3;
    case AS_FIELD_PATHS:
        return 4;
    default:
        return 5;
    }
}

static as_list_facts *list_of(const as_predicates *predicates, uint32_t field, as_event_values *values) {
    const uint32_t number = list_number(field);
    as_list_facts *facts = &predicates->cache->lists[number];
    if ((predicates->cache->lists_known & (1u << number)) == 0) {
        predicates->cache->lists_known |= 1u << number;
        facts->list = as_event_list(values, (as_field)field);
        facts->bytes = NULL;
        facts->pairs = NULL;
        facts->marks = 0;
    }
    return facts;
}

static uint64_t marks_of_list(as_list_facts *facts) {
    if (facts->marks == 0) {
        for (uint32_t i = 0; i < facts->list.count; i++) {
            facts->marks |= mark_of(facts->list.at[i]);
        }
    }
    return facts->marks;
}

/* What is known about a text that has all values of a list in it: arguments are parts of the command line. NULL: there is
 * none. */
static as_like_cache *line_cache(const as_predicates *predicates, uint32_t field, const as_list_facts *facts,
                                 as_event_values *values, as_span *line) {
    const bool own = field == AS_FIELD_ARGS;
    const as_field of = own ? AS_FIELD_COMMAND_LINE : AS_FIELD_PARENT_COMMAND_LINE;
    const bool has = (own || field == AS_FIELD_PARENT_ARGS) && !facts->list.cut && as_event_text(values, of, line);
    return has ? like_cache(predicates, of) : NULL;
}

/* The bytes of all values of a list together. */
static const uint64_t *bytes_of_list(const as_predicates *predicates, uint32_t field, as_list_facts *facts,
                                     as_event_values *values) {
    if (facts->bytes == NULL) {
        as_span text;
        as_like_cache *line = line_cache(predicates, field, facts, values, &text);
        facts->bytes = line != NULL ? as_like_bytes(line, text) : facts->grams.bytes;
        if (line == NULL) {
            memset(facts->grams.bytes, 0, sizeof facts->grams.bytes);
            for (uint32_t i = 0; i < facts->list.count; i++) {
                as_grams_add_bytes(&facts->grams, facts->list.at[i]);
            }
        }
    }
    return facts->bytes;
}

/* The same for the pairs of bytes. */
static const uint64_t *pairs_of_list(const as_predicates *predicates, uint32_t field, as_list_facts *facts,
                                     as_event_values *values) {
    if (facts->pairs == NULL) {
        as_span text;
        as_like_cache *line = line_cache(predicates, field, facts, values, &text);
        facts->pairs = line != NULL ? as_like_pairs(line, text) : facts->grams.pairs;
        if (line == NULL) {
            memset(facts->grams.pairs, 0, sizeof facts->grams.pairs);
            for (uint32_t i = 0; i < facts->list.count; i++) {
                as_grams_add_pairs(&facts->grams, facts->list.at[i]);
            }
        }
    }
    return facts->pairs;
}

/* Whether some value of a list may fit some pattern. */
static bool list_may_be_like(const as_predicates *predicates, const as_predicate *predicate, as_list_facts *facts,
                             as_event_values *values) {
    const uint64_t *bytes = bytes_of_list(predicates, predicate->field, facts, values);
    bool may = false;
    for (uint32_t i = 0; !may && i < predicate->operands; i++) {
        const as_like_needs *needs = &predicates->like_needs[predicate->first_operand + i];
        may = as_like_has_bytes(needs, bytes) &&
              (needs->pair_count == 0 ||
               as_like_has_pairs(needs, pairs_of_list(predicates, predicate->field, facts, values)));
    }
    return may;
}

bool as_predicate_has_ends(const as_predicates *predicates, uint32_t at) {
    const as_predicate *predicate = &predicates->rows[at];
    return (predicate->field == AS_FIELD_PATH_NAME || predicate->field == AS_FIELD_PATHS) && compares_bytes(predicate);
}

uint64_t as_predicate_ends(const as_predicates *predicates, uint32_t at) {
    return predicates->needs[at].ends;
}

/* All paths end as the name does, so none needs to be put together for a comparison to fail. */
uint64_t as_path_end(as_event_values *values) {
    as_span name;
    const bool known = as_event_text(values, AS_FIELD_PATH_NAME, &name) && name.len > 0;
    return known ? end_of(name, false) : UINT64_MAX;
}

/* Of a list, any value is enough; its length is that of the first. */
static bool list_fits(const as_predicates *predicates, const as_predicate *predicate, as_event_values *values) {
    as_list_facts *facts = list_of(predicates, predicate->field, values);
    const as_list list = facts->list;
    const uint32_t count = predicate->op == AS_OP_LENGTH && list.count > 0 ? 1 : list.count;
    bool fits = false;
    if ((predicate->op == AS_OP_TEXT &&
         (predicates->needs[predicate - predicates->rows].marks & marks_of_list(facts)) == 0) ||
        (predicate->op == AS_OP_LIKE && count > 0 && !list_may_be_like(predicates, predicate, facts, values))) {
        return false;
    }
    for (uint32_t i = 0; predicate->op == AS_OP_TEXT && !fits && i < count; i++) {
        fits = any_text(predicates, predicate, list.at[i], &values->values[AS_FIELD_ARCH]);
    }
    for (uint32_t i = 0; predicate->op != AS_OP_TEXT && !fits && i < count; i++) {
        const as_value value = {.span = list.at[i], .form = AS_FORM_QUOTED};
        predicates->cache->compared &= ~AS_BIT(predicate->field); /* what like.h remembers is about another text */
        fits = value_fits(predicates, predicate, &value, &values->values[AS_FIELD_ARCH]);
    }
    return fits;
}

/* A field that has to be located or decoded. */
__attribute__((noinline)) static bool decoded_fits(const as_predicates *predicates, const as_predicate *predicate,
                                                   as_event_values *values) {
    if ((AS_BIT(predicate->field) & AS_LIST_FIELDS) != 0) {
        if (predicate->field == AS_FIELD_PATHS && compares_bytes(predicate) &&
            (predicates->needs[predicate - predicates->rows].ends & as_path_end(values)) == 0) {
            return false;
        }
        return list_fits(predicates, predicate, values);
    }
    as_event_values_load(values, AS_BIT(predicate->field));
    return value_fits(predicates, predicate, &values->values[predicate->field], &values->values[AS_FIELD_ARCH]);
}

static inline bool evaluate(const as_predicates *predicates, const as_predicate *predicate, as_event_values *values) {
    if ((AS_BIT(predicate->field) & values->located & AS_LOADED_FIELDS) == 0) {
        return decoded_fits(predicates, predicate, values);
    }
    if (predicate->op == AS_OP_TEXT) {
        as_span text;
        return text_of(predicates, predicate->field, &values->values[predicate->field], &text) &&
               any_text(predicates, predicate, text, &values->values[AS_FIELD_ARCH]);
    }
    return value_fits(predicates, predicate, &values->values[predicate->field], &values->values[AS_FIELD_ARCH]);
}

/* Find the results that are kept for the end of the event's SYSCALL record. */
static void find_tail(as_predicates *predicates, as_event_values *values, uint32_t field) {
    as_event_values_load(values, AS_BIT(field));
    const as_tail *tail = as_event_tail(values);
    if (predicates->tail != predicates->no_tail || tail == NULL || predicates->limited) {
        return;
    }
    as_results *head = &predicates->tails[(size_t)as_tail_slot(values->tails, tail) * (1 + predicates->words)];
    predicates->tail = head + 1;
    if (head->known != tail->number) {
        head->known = tail->number;
        memset(predicates->tail, 0, predicates->words * sizeof *predicates->tail);
    }
}

/* Whether the result of a predicate is known. */
static inline bool is_known(const as_predicates *predicates, uint32_t at, bool *holds) {
    const as_results *of_event = &predicates->results[at / 64];
    const as_results *of_tail = &predicates->tail[at / 64];
    *holds = ((of_event->held | of_tail->held) >> at % 64 & 1) != 0;
    return ((of_event->known | of_tail->known) >> at % 64 & 1) != 0;
}

/* Evaluate a predicate whose result is kept. */
__attribute__((noinline)) static bool evaluate_once(as_predicates *predicates, uint32_t at, as_event_values *values) {
    const as_predicate *predicate = &predicates->rows[at];
    as_results *kept = predicates->results;
    bool holds;
    if ((predicate->flags & AS_OF_TAIL) != 0) {
        find_tail(predicates, values, predicate->field);
        if (is_known(predicates, at, &holds)) {
            return holds;
        }
        kept = predicates->tail != predicates->no_tail ? predicates->tail : kept;
    }
    holds = evaluate(predicates, predicate, values);
    /* A comparison that the budget refused may succeed with another one. */
    if (!predicates->cache->budget.refused) {
        kept[at / 64].known |= UINT64_C(1) << at % 64;
        kept[at / 64].held |= (holds ? UINT64_C(1) : 0) << at % 64;
    }
    return holds;
}

static inline bool holds_at(as_predicates *predicates, uint32_t at, as_event_values *values) {
    const as_predicate *predicate = &predicates->rows[at];
    bool holds;
    if ((predicate->flags & (AS_SHARED | AS_OF_TAIL)) == 0) {
        return evaluate(predicates, predicate, values);
    }
    return is_known(predicates, at, &holds) ? holds : evaluate_once(predicates, at, values);
}

bool as_predicate_holds(as_predicates *predicates, uint32_t at, as_event_values *values) {
    return holds_at(predicates, at, values);
}

bool as_program_holds(as_predicates *predicates, uint32_t start, as_event_values *values) {
    uint32_t at = start;
    while (at < AS_NODE_FALSE) {
        const as_node *node = &predicates->nodes[at];
        at = holds_at(predicates, node->predicate, values) ? node->yes : node->no;
    }
    return at == AS_NODE_TRUE;
}
