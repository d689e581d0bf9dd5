/* Whatever bytes a program has: only a valid one is run, it reads nothing outside itself and its text, and it fits
 * exactly the texts that a run state by state fits.
 *
 * Input: a byte for the words of a set, one for the byte classes, two for the length of the text; the text; then the
 * class of each byte and the sets. The target itself corrects what makes a program invalid. */
#include "fuzz.h"

#include "_ring/regex.h"

enum { CLASSES_AT = 4, SETS_AT = 260, STATES = 64 * AS_REGEX_WORDS, FIXED_SETS = 4 };
enum { ACCEPTING, AHEAD, STAYS, MORE };

static bool has(const uint8_t *sets, uint32_t words, uint32_t set, uint32_t state) {
    return (sets[8 * words * set + state / 8] >> state % 8 & 1) != 0;
}

/* The same, one state at a time. */
static bool fits(as_span program, as_span text) {
    const uint8_t *sets = program.at + SETS_AT;
    const uint32_t words = program.at[0];
    const uint32_t fixed = program.at[1] + 1u;
    bool active[STATES + 1] = {true};
    for (uint32_t t = 0; t < text.len; t++) {
        const uint32_t to_class = program.at[CLASSES_AT + text.at[t]];
        bool next[STATES + 1] = {false};
        uint32_t row = fixed + FIXED_SETS;
        for (uint32_t state = 0; state < 64 * words; state++) {
            const bool ahead = state + 1 < 64 * words && has(sets, words, fixed + AHEAD, state + 1);
            next[state + 1] |= active[state] && ahead;
            next[state] |= active[state] && has(sets, words, fixed + STAYS, state);
            if (has(sets, words, fixed + MORE, state)) {
                for (uint32_t to = 0; active[state] && to < 64 * words; to++) {
                    next[to] |= has(sets, words, row, to);
                }
                row++;
            }
        }
        for (uint32_t state = 0; state < 64 * words; state++) {
            active[state] = next[state] && has(sets, words, to_class, state);
        }
    }
    bool accepted = false;
    for (uint32_t state = 0; state < 64 * words; state++) {
        accepted |= active[state] && has(sets, words, fixed + ACCEPTING, state);
    }
    return accepted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { HEAD = 4, MOST_CLASSES = 8 };
    if (size < HEAD || size > 65536) {
        return 0;
    }
    /* As it is: refused or run, without a look outside. */
    const as_span raw = as_span_of(data, size);
    if (as_regex_valid(raw)) {
        as_regex_match(raw, raw);
    }
    const uint32_t words = 1u + data[0] % AS_REGEX_WORDS;
    const uint32_t classes = 1u + data[1] % MOST_CLASSES;
    const size_t asked = (size_t)data[2] | (size_t)data[3] << 8;
    const size_t text_len = asked < size - HEAD ? asked : size - HEAD;
    const as_span text = as_span_of(data + HEAD, text_len);
    const uint8_t *rest = data + HEAD + text_len;
    const size_t rest_len = size - HEAD - text_len;
    /* Room for a row of every state; the sets that the input lacks are empty. */
    const size_t most = SETS_AT + 8u * words * (classes + FIXED_SETS + 64u * words);
    uint8_t *bytes = must(calloc(most, 1));
    for (size_t i = 0; i < rest_len && CLASSES_AT + i < most; i++) {
        bytes[CLASSES_AT + i] = (uint8_t)(i < 256 ? rest[i] % classes : rest[i]);
    }
    uint32_t rows = 0;
    for (uint32_t state = 0; state < 64 * words; state++) {
        rows += has(bytes + SETS_AT, words, classes + MORE, state) ? 1 : 0;
    }
    bytes[0] = (uint8_t)words;
    bytes[1] = (uint8_t)(classes - 1);
    bytes[2] = (uint8_t)rows;
    bytes[3] = (uint8_t)(rows >> 8);
    /* Exactly as long as the program, so that a sanitizer sees a byte more. */
    const size_t len = SETS_AT + 8u * words * (classes + FIXED_SETS + rows);
    uint8_t *exact = must(malloc(len));
    memcpy(exact, bytes, len);
    const as_span program = as_span_of(exact, len);
    PROMISE(as_regex_valid(program));
    PROMISE(as_regex_match(program, text) == fits(program, text));
    PROMISE(!as_regex_valid(as_span_of(exact, len - 1)));
    free(exact);
    free(bytes);
    return 0;
}
