#include "regex.h"

/* The header: words of a set, byte classes less one, rows (u16), the class of each byte. Sets follow. */
enum { WORDS = 0, CLASSES = 1, ROWS = 2, BYTE_CLASSES = 4, SETS = BYTE_CLASSES + 256 };
/* Sets after those of the byte classes. */
enum { ACCEPTING, AHEAD, STAYS, MORE, FIXED_SETS };

static uint32_t words_of(as_span program) {
    return program.at[WORDS];
}

static uint32_t classes_of(as_span program) {
    return program.at[CLASSES] + 1u;
}

static uint32_t rows_of(as_span program) {
    return program.at[ROWS] | (uint32_t)program.at[ROWS + 1] << 8;
}

/* A word of a set, by the number of the set. */
static uint64_t word_of(as_span program, uint32_t set, uint32_t word) {
    return as_load8(program.at + SETS + 8 * (set * words_of(program) + word));
}

bool as_regex_valid(as_span program) {
    if (program.len < SETS || words_of(program) < 1 || words_of(program) > AS_REGEX_WORDS) {
        return false;
    }
    const uint32_t words = words_of(program);
    const uint32_t classes = classes_of(program);
    const uint32_t rows = rows_of(program);
    if (program.len != SETS + 8 * words * (classes + FIXED_SETS + rows)) {
        return false;
    }
    uint32_t with_row = 0;
    for (uint32_t w = 0; w < words; w++) {
        with_row += (uint32_t)__builtin_popcountll(word_of(program, classes + MORE, w));
    }
    bool valid = with_row == rows;
    for (uint32_t c = 0; valid && c < 256; c++) {
        valid = program.at[BYTE_CLASSES + c] < classes;
    }
    return valid;
}

/* The states that one byte leads to from these, whatever the byte. */
static void lead(as_span program, const uint64_t *states, uint64_t *next) {
    const uint32_t words = words_of(program);
    const uint32_t fixed = classes_of(program);
    uint32_t row = fixed + FIXED_SETS;
    uint64_t carry = 0;
    for (uint32_t w = 0; w < words; w++) {
        const uint64_t more = word_of(program, fixed + MORE, w);
        next[w] |= ((states[w] << 1 | carry) & word_of(program, fixed + AHEAD, w)) |
                   (states[w] & word_of(program, fixed + STAYS, w));
        carry = states[w] >> 63;
        for (uint64_t left = more; left != 0; left &= left - 1, row++) {
            for (uint32_t to = 0; (left & (0 - left) & states[w]) != 0 && to < words; to++) {
                next[to] |= word_of(program, row, to);
            }
        }
    }
}

/* Whether the program accepts some text without reaching this state behind a byte. */
static bool avoids(as_span program, uint32_t state) {
    const uint32_t words = words_of(program);
    uint64_t reached[AS_REGEX_WORDS] = {1};
    bool grew = true;
    uint64_t accepted = 0;
    while (grew) {
        uint64_t next[AS_REGEX_WORDS] = {0};
        grew = false;
        lead(program, reached, next);
        next[state / 64] &= ~(UINT64_C(1) << state % 64);
        for (uint32_t w = 0; w < words; w++) {
            grew = grew || (next[w] & ~reached[w]) != 0;
            reached[w] |= next[w];
        }
    }
    for (uint32_t w = 0; w < words; w++) {
        accepted |= reached[w] & word_of(program, classes_of(program) + ACCEPTING, w);
    }
    return accepted != 0;
}

/* The bytes that lead to a state, with letters in lower case. */
static uint32_t bytes_to(as_span program, uint32_t state, uint64_t bytes[4]) {
    uint32_t count = 0;
    memset(bytes, 0, 4 * sizeof *bytes);
    for (uint32_t c = 0; c < 256; c++) {
        if ((word_of(program, program.at[BYTE_CLASSES + c], state / 64) >> state % 64 & 1) != 0) {
            const uint8_t lower = as_lower((uint8_t)c);
            bytes[lower / 64] |= UINT64_C(1) << lower % 64;
        }
    }
    for (uint32_t w = 0; w < 4; w++) {
        count += (uint32_t)__builtin_popcountll(bytes[w]);
    }
    return count;
}

/* Larger sets exclude few texts. */
enum { MOST_BYTES = 32 };

as_regex_needs as_regex_needs_of(as_span program) {
    as_regex_needs needs = {0};
    uint32_t sizes[AS_REGEX_NEEDS] = {0};
    uint64_t first[AS_REGEX_WORDS] = {1};
    uint64_t second[AS_REGEX_WORDS] = {0};
    lead(program, first, second);
    for (uint32_t state = 1; state < 64 * words_of(program); state++) {
        uint64_t bytes[4];
        const uint32_t size = bytes_to(program, state, bytes);
        needs.floats = needs.floats || (size > MOST_BYTES && (second[state / 64] >> state % 64 & 1) != 0);
        if (size == 0 || size > MOST_BYTES) {
            continue;
        }
        uint32_t at = 0;
        bool known = false;
        for (uint32_t i = 0; i < needs.count; i++) {
            at = sizes[i] > sizes[at] ? i : at;
            known = known || memcmp(needs.bytes[i], bytes, sizeof bytes) == 0;
        }
        at = needs.count < AS_REGEX_NEEDS ? needs.count : at;
        if (known || (needs.count == AS_REGEX_NEEDS && sizes[at] <= size) || avoids(program, state)) {
            continue;
        }
        needs.count += needs.count < AS_REGEX_NEEDS ? 1 : 0;
        memcpy(needs.bytes[at], bytes, sizeof bytes);
        sizes[at] = size;
    }
    return needs;
}

bool as_regex_match(as_span program, as_span text) {
    const uint32_t words = words_of(program);
    const uint32_t fixed = classes_of(program);
    uint64_t ahead[AS_REGEX_WORDS] = {0};
    uint64_t stays[AS_REGEX_WORDS] = {0};
    uint64_t more[AS_REGEX_WORDS] = {0};
    uint32_t first_row[AS_REGEX_WORDS] = {0}; /* of the states of a word */
    uint64_t states[AS_REGEX_WORDS] = {1};
    uint32_t row = fixed + FIXED_SETS;
    for (uint32_t w = 0; w < words; w++) {
        ahead[w] = word_of(program, fixed + AHEAD, w);
        stays[w] = word_of(program, fixed + STAYS, w);
        more[w] = word_of(program, fixed + MORE, w);
        first_row[w] = row;
        row += (uint32_t)__builtin_popcountll(more[w]);
    }
    uint64_t alive = 1;
    for (uint32_t t = 0; t < text.len && alive != 0; t++) {
        const uint32_t byte_class = program.at[BYTE_CLASSES + text.at[t]];
        uint64_t next[AS_REGEX_WORDS] = {0};
        uint64_t carry = 0;
        for (uint32_t w = 0; w < words; w++) {
            next[w] |= ((states[w] << 1 | carry) & ahead[w]) | (states[w] & stays[w]);
            carry = states[w] >> 63;
            for (uint64_t left = states[w] & more[w]; left != 0; left &= left - 1) {
                const uint64_t below = (left & (0 - left)) - 1;
                const uint32_t leads = first_row[w] + (uint32_t)__builtin_popcountll(more[w] & below);
                for (uint32_t to = 0; to < words; to++) {
                    next[to] |= word_of(program, leads, to);
                }
            }
        }
        alive = 0;
        for (uint32_t w = 0; w < words; w++) {
            states[w] = next[w] & word_of(program, byte_class, w);
            alive |= states[w];
        }
    }
    uint64_t accepted = 0;
    for (uint32_t w = 0; w < words; w++) {
        accepted |= states[w] & word_of(program, fixed + ACCEPTING, w);
    }
    return accepted != 0;
}
