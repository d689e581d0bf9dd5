/* Position automata: programs written by hand, and hostile ones. tests/detections/test_regex.py compares compiled
 * expressions with another implementation. */
#include "_ring/regex.h"

#include "check.h"

enum { SETS = 260, BYTES = SETS + 8 * 4 * (256 + 4 + 256) };

typedef struct {
    uint8_t bytes[BYTES];
    uint32_t len;
} program;

static void put(program *out, uint64_t word) {
    for (uint32_t i = 0; i < 8; i++) {
        out->bytes[out->len++] = (uint8_t)(word >> 8 * i);
    }
}

/* Two byte classes: 0 for every byte, but 1 for `letter`. */
static void begin(program *out, uint8_t words, uint16_t rows, uint8_t letter) {
    *out = (program){.bytes = {words, 1, (uint8_t)rows, (uint8_t)(rows >> 8)}, .len = SETS};
    out->bytes[4 + letter] = 1;
}

/* (aa)*: state 1 leads to 2, and 2 back to 1. */
static program even(void) {
    program out;
    begin(&out, 1, 1, 'a');
    put(&out, 0); /* other bytes */
    put(&out, 1 << 1 | 1 << 2);
    put(&out, 1 | 1 << 2); /* accepting */
    put(&out, 1 << 1 | 1 << 2);
    put(&out, 0);
    put(&out, 1 << 2);
    put(&out, 1 << 1);
    return out;
}

/* a{1,n}, where n + 1 states take this number of words. */
static program up_to(uint32_t n, uint8_t words) {
    program out;
    begin(&out, words, 0, 'a');
    for (uint32_t set = 0; set < 6; set++) { /* two classes, accepting, ahead, stays, more */
        for (uint32_t w = 0; w < words; w++) {
            uint64_t word = 0;
            for (uint32_t bit = 0; set >= 1 && set <= 3 && bit < 64; bit++) {
                const uint32_t state = 64 * w + bit;
                word |= state >= 1 && state <= n ? UINT64_C(1) << bit : 0;
            }
            put(&out, word);
        }
    }
    return out;
}

static as_span span(const program *from) {
    return guarded_span(from->bytes, from->len);
}

static void fits(void) {
    const program pairs = even();

    CASE("an expression fits a whole text");
    CHECK(as_regex_valid(span(&pairs)));
    CHECK(as_regex_match(span(&pairs), GUARDED("aa")));
    CHECK(as_regex_match(span(&pairs), GUARDED("aaaaaa")));
    CHECK(!as_regex_match(span(&pairs), GUARDED("aaa")));
    CHECK(!as_regex_match(span(&pairs), GUARDED("aab")));
    CHECK(!as_regex_match(span(&pairs), GUARDED("baa")));

    CASE("an empty text fits if the start is accepting");
    CHECK(as_regex_match(span(&pairs), GUARDED("")));
    const program some = up_to(3, 1);
    CHECK(!as_regex_match(span(&some), GUARDED("")));

    CASE("states in several words follow each other across words");
    static char text[300];
    memset(text, 'a', sizeof text);
    for (uint8_t words = 1; words <= 4; words++) {
        const uint32_t n = 64u * words - 1;
        const program long_one = up_to(n, words);
        CHECK(as_regex_valid(span(&long_one)));
        CHECK(as_regex_match(span(&long_one), guarded_span(text, 1)));
        CHECK(as_regex_match(span(&long_one), guarded_span(text, n)));
        CHECK(!as_regex_match(span(&long_one), guarded_span(text, n + 1)));
    }
}

static void validity(void) {
    const program good = even();

    CASE("a program of another length is invalid");
    for (uint32_t len = 0; len < good.len; len++) {
        CHECK(!as_regex_valid(guarded_span(good.bytes, len)));
    }
    program longer = good;
    longer.len++;
    CHECK(!as_regex_valid(span(&longer)));

    CASE("a program without words, or with more than four, is invalid");
    for (uint32_t words = 0; words < 256; words++) {
        program other = good;
        other.bytes[0] = (uint8_t)words;
        CHECK_EQUAL(as_regex_valid(span(&other)), words == 1);
    }

    CASE("a byte of a class that the program lacks is invalid");
    program other = good;
    other.bytes[4 + 255] = 2;
    CHECK(!as_regex_valid(span(&other)));

    CASE("a state that needs a row the program lacks is invalid, and so is a row of no state");
    other = good;
    other.bytes[SETS + 8 * 5] |= 1 << 3;
    CHECK(!as_regex_valid(span(&other)));
    other.bytes[SETS + 8 * 5] = 0;
    CHECK(!as_regex_valid(span(&other)));
}

static uint32_t draw(uint32_t below) {
    static uint64_t state = 7;
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % below;
}

static void hostile(void) {
    CASE("a valid program of random bytes stays inside itself and its text");
    static program out;
    unsigned valid = 0;
    for (unsigned round = 0; round < 20000; round++) {
        const uint8_t words = (uint8_t)(1 + draw(4));
        const uint32_t classes = 1 + draw(4);
        const uint32_t rows = draw(3) == 0 ? draw(64u * words) : 0;
        out.len = SETS + 8u * words * (classes + 4 + rows);
        for (uint32_t i = 0; i < out.len; i++) {
            out.bytes[i] = i < SETS ? (uint8_t)draw(classes) : (uint8_t)draw(256);
        }
        out.bytes[0] = words;
        out.bytes[1] = (uint8_t)(classes - 1);
        out.bytes[2] = (uint8_t)rows;
        out.bytes[3] = (uint8_t)(rows >> 8);
        uint8_t *more = out.bytes + SETS + 8u * words * (classes + 3);
        if (rows == 0 || draw(2) == 0) {
            memset(more, 0, 8u * words);
            for (uint32_t row = 0; row < rows; row++) {
                more[row / 8] |= (uint8_t)(1u << row % 8);
            }
        }
        const as_span hostile = span(&out);
        if (as_regex_valid(hostile)) {
            uint8_t text[40];
            for (uint32_t i = 0; i < sizeof text; i++) {
                text[i] = (uint8_t)draw(256);
            }
            valid++;
            (void)as_regex_match(hostile, guarded_span(text, draw(sizeof text)));
        }
    }
    CHECK(valid > 10000);
}

int main(void) {
    fits();
    validity();
    hostile();
    return check_done();
}
