#include "like.h"

/* The automaton has a bit per state: the number of tokens of the pattern (bytes or ?) matched so far. */
enum { STATE_WORDS = (AS_LIKE_TOKENS + 1) / 64, BYTES = 256 };

/* Whether a byte continues a character of UTF-8: ? stands for a whole one. */
static bool continues(uint8_t c) {
    return (c & 0xc0) == 0x80;
}

static bool same(uint8_t a, uint8_t b, bool fold) {
    return a == b || (fold && as_lower(a) == as_lower(b));
}

static uint32_t pair_of(uint8_t first, uint8_t second) {
    return ((uint32_t)as_lower(first) << 5 ^ as_lower(second)) & 4095;
}

static void set(uint64_t *bits, uint32_t at) {
    bits[at / 64] |= UINT64_C(1) << at % 64;
}

static bool has(const uint64_t *bits, uint32_t at) {
    return (bits[at / 64] >> at % 64 & 1) != 0;
}

void as_grams_add_bytes(as_grams *grams, as_span text) {
    /* In turn, so that a byte does not wait for the one before it. */
    uint64_t bits[2][4] = {{0}};
    for (uint32_t i = 0; i < text.len; i++) {
        set(bits[i % 2], text.at[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        grams->bytes[i] |= bits[0][i] | bits[1][i];
    }
    static const uint64_t UPPER = ((UINT64_C(1) << 26) - 1) << ('A' - 64);
    grams->bytes[1] |= (grams->bytes[1] & UPPER) << ('a' - 'A');
    grams->bytes[1] &= ~UPPER;
}

void as_grams_add_pairs(as_grams *grams, as_span text) {
    for (uint32_t i = 1; i < text.len; i++) {
        set(grams->pairs, pair_of(text.at[i - 1], text.at[i]));
    }
}

const uint64_t *as_like_bytes(as_like_cache *cache, as_span text) {
    if (!cache->bytes_known) {
        memset(cache->grams.bytes, 0, sizeof cache->grams.bytes);
        as_grams_add_bytes(&cache->grams, text);
        cache->bytes_known = true;
    }
    return cache->grams.bytes;
}

const uint64_t *as_like_pairs(as_like_cache *cache, as_span text) {
    if (!cache->pairs_known) {
        memset(cache->grams.pairs, 0, sizeof cache->grams.pairs);
        as_grams_add_pairs(&cache->grams, text);
        cache->pairs_known = true;
    }
    return cache->grams.pairs;
}

static bool is_wild(uint8_t c) {
    return c == '*' || c == '?';
}

/* Whether a text can match the pattern, in any case, judging by its bytes and pairs. */
static bool may_match(as_like_cache *cache, as_span text, as_span pattern) {
    const uint64_t *bytes = as_like_bytes(cache, text);
    const uint64_t *pairs = as_like_pairs(cache, text);
    bool may = true;
    for (uint32_t i = 0; may && i < pattern.len; i++) {
        const uint8_t c = pattern.at[i];
        const bool paired = i > 0 && !is_wild(pattern.at[i - 1]);
        may = is_wild(c) || (has(bytes, as_lower(c)) && (!paired || has(pairs, pair_of(pattern.at[i - 1], c))));
    }
    return may;
}

/* Match directly, backtracking to the last *, in at most this number of steps. False: the steps did not suffice. */
static bool match_directly(as_span pattern, as_span text, bool fold, uint32_t *steps, bool *like) {
    uint32_t p = 0;
    uint32_t t = 0;
    uint32_t star = UINT32_MAX;
    uint32_t resume = 0;
    *like = false;
    while (t < text.len) {
        if (*steps == 0) {
            return false;
        }
        --*steps;
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.len && pattern.at[p] == '?') {
            p++;
            for (t++; t < text.len && continues(text.at[t]); t++) {
            }
        } else if (p < pattern.len && same(pattern.at[p], text.at[t], fold)) {
            p++;
            t++;
        } else if (star != UINT32_MAX) {
            p = star + 1;
            t = ++resume;
        } else {
            return true;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*') {
        p++;
    }
    *like = p == pattern.len;
    return true;
}

/* How often a byte occurs in names, paths and command lines, roughly. */
static uint32_t commonness(uint8_t c) {
    static const char by_rank[] = "zqjxkvybwgpfm_3210u=cld.hr:nisoa-t/e ";
    const char *at = memchr(by_rank, as_lower(c), sizeof by_rank - 1);
    return at == NULL ? 0 : (uint32_t)(at - by_rank) + 1;
}

/* Keep the rarest pairs. */
static void add_pair(as_like_needs *needs, uint32_t costs[2], uint8_t first, uint8_t second) {
    const uint16_t pair = (uint16_t)pair_of(first, second);
    const uint32_t cost = commonness(first) + commonness(second);
    for (uint32_t i = 0; i < needs->pair_count; i++) {
        if (needs->pairs[i] == pair) {
            return;
        }
    }
    uint32_t at = needs->pair_count;
    if (at == 2) {
        at = costs[0] > costs[1] ? 0 : 1;
        if (costs[at] <= cost) {
            return;
        }
    } else {
        needs->pair_count++;
    }
    needs->pairs[at] = pair;
    costs[at] = cost;
}

as_like_needs as_like_needs_of(as_span pattern) {
    as_like_needs needs = {0};
    uint32_t costs[2] = {0};
    for (uint32_t i = 0; i < pattern.len; i++) {
        const uint8_t c = pattern.at[i];
        needs.least += c != '*' ? 1 : 0;
        if (!is_wild(c) && c < 128) {
            set(needs.bytes, as_lower(c));
        }
        if (i > 0 && !is_wild(c) && !is_wild(pattern.at[i - 1])) {
            add_pair(&needs, costs, pattern.at[i - 1], c);
        }
    }
    if (pattern.len > 0 && !is_wild(pattern.at[0])) {
        needs.first = as_lower(pattern.at[0]);
        needs.second = pattern.len > 1 && !is_wild(pattern.at[1]) ? as_lower(pattern.at[1]) : 0;
    }
    if (pattern.len > 0 && !is_wild(pattern.at[pattern.len - 1])) {
        needs.last = as_lower(pattern.at[pattern.len - 1]);
    }
    return needs;
}

bool as_like_may(const as_like_needs *needs, as_span text, as_like_cache *cache) {
    if (text.len < needs->least || (needs->first != 0 && needs->first != as_lower(text.at[0])) ||
        (needs->second != 0 && needs->second != as_lower(text.at[1])) ||
        (needs->last != 0 && needs->last != as_lower(text.at[text.len - 1]))) {
        return false;
    }
    /* With a certain first byte the comparison itself usually ends soon. */
    return needs->first != 0 || needs->pair_count == 0 ||
           (as_like_has_bytes(needs, as_like_bytes(cache, text)) &&
            as_like_has_pairs(needs, as_like_pairs(cache, text)));
}

static uint32_t count_tokens(as_span pattern) {
    uint32_t tokens = 0;
    for (uint32_t i = 0; i < pattern.len; i++) {
        tokens += pattern.at[i] != '*' ? 1 : 0;
    }
    return tokens;
}

/* Follow all paths through a pattern at once, a bit each: one step per byte of text, for each 64 tokens. */
static bool match_by_automaton(as_span pattern, as_span text, bool fold, uint32_t tokens, as_like_budget *budget) {
    const uint32_t words = tokens / 64 + 1;
    uint64_t moves[BYTES][STATE_WORDS]; /* the states that a byte leads to */
    uint64_t any[STATE_WORDS] = {0};
    uint64_t stays[STATE_WORDS] = {0};
    uint64_t states[STATE_WORDS] = {1};
    uint32_t token = 0;
    for (uint32_t i = 0; i < pattern.len; i++) {
        if (pattern.at[i] == '*') {
            set(stays, token);
        } else {
            token++;
            if (pattern.at[i] == '?') {
                set(any, token);
            }
        }
    }
    for (uint32_t c = 0; c < BYTES; c++) {
        for (uint32_t w = 0; w < words; w++) {
            moves[c][w] = continues((uint8_t)c) ? 0 : any[w];
        }
    }
    token = 0;
    for (uint32_t i = 0; i < pattern.len; i++) {
        const uint8_t c = fold ? as_lower(pattern.at[i]) : pattern.at[i];
        token += c != '*' ? 1 : 0;
        if (!is_wild(c)) {
            set(moves[c], token);
            set(moves[fold && c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c], token);
        }
    }
    uint64_t alive = 1;
    uint32_t t = 0;
    for (; t < text.len && alive != 0; t++) {
        const uint64_t *to = moves[text.at[t]];
        const uint64_t inside = continues(text.at[t]) ? UINT64_MAX : 0;
        uint64_t carry = 0;
        uint64_t carry_others = 0; /* of the states behind no ?: one that has begun a character keeps this byte */
        alive = 0;
        for (uint32_t w = 0; w < words; w++) {
            const uint64_t from = states[w];
            const uint64_t others = from & ~any[w];
            states[w] = ((from << 1 | carry) & to[w]) | (from & stays[w]) |
                        (inside & (((others << 1 | carry_others) & any[w]) | (from & any[w])));
            carry = from >> 63;
            carry_others = others >> 63;
            alive |= states[w];
        }
    }
    const uint64_t steps = (uint64_t)t * words;
    budget->left -= steps < budget->left ? steps : budget->left;
    return has(states, tokens);
}

/* More than most texts need for all patterns. */
static uint32_t usual_steps(as_span text) {
    return 4 * text.len + 256;
}

bool as_like(as_span pattern, as_span text, bool fold, as_like_cache *cache, as_like_budget *budget) {
    const uint32_t most = usual_steps(text);
    bool like = false;
    if (cache->steps < most) {
        uint32_t left = most - cache->steps;
        const bool known = match_directly(pattern, text, fold, &left, &like);
        cache->steps = most - left;
        if (known) {
            return like;
        }
    }
    if (!may_match(cache, text, pattern)) {
        return false;
    }
    const uint32_t tokens = count_tokens(pattern);
    if (tokens > text.len) {
        return false;
    }
    if (budget->left == 0) {
        budget->refused = true;
        return false;
    }
    if (tokens <= AS_LIKE_TOKENS) {
        return match_by_automaton(pattern, text, fold, tokens, budget);
    }
    uint32_t endless = UINT32_MAX;
    return match_directly(pattern, text, fold, &endless, &like) && like;
}
