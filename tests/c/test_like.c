/* Wildcards: against their definition, and how much work they are. */
#include "_ring/like.h"

#include "check.h"

static uint8_t folded(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool continues(uint8_t c) {
    return (c & 0xc0) == 0x80;
}

/* Whether ? stands for the character that ends before this place: one byte and all that continue it. */
static bool is_one_character(const bool before[], as_span text, uint32_t end) {
    bool like = false;
    if (end < text.len && continues(text.at[end])) {
        return false;
    }
    for (uint32_t at = end; !like && at-- > 0;) {
        like = before[at];
        if (!continues(text.at[at])) {
            break;
        }
    }
    return like;
}

/* The definition, slow: a table of which parts of the pattern are like which parts of the text. */
static bool defined(as_span pattern, as_span text) {
    static bool like[600][600];
    for (uint32_t p = 0; p <= pattern.len; p++) {
        for (uint32_t t = 0; t <= text.len; t++) {
            const uint8_t c = p == 0 ? 0 : pattern.at[p - 1];
            if (p == 0) {
                like[p][t] = t == 0;
            } else if (c == '*') {
                like[p][t] = like[p - 1][t] || (t > 0 && like[p][t - 1]);
            } else if (c == '?') {
                like[p][t] = is_one_character(like[p - 1], text, t);
            } else {
                like[p][t] = t > 0 && like[p - 1][t - 1] && folded(c) == folded(text.at[t - 1]);
            }
        }
    }
    return like[pattern.len][text.len];
}

static uint32_t draw(uint32_t below) {
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(state >> 33) % below;
}

/* Write this number of bytes of this alphabet. */
static as_span drawn(uint8_t *out, uint32_t len, const char *alphabet) {
    for (uint32_t i = 0; i < len; i++) {
        out[i] = (uint8_t)alphabet[draw((uint32_t)strlen(alphabet))];
    }
    return guarded_span((const char *)out, len);
}

static as_like_budget endless = {.left = UINT64_MAX};

static const uint32_t lengths[] = {0, 1, 2, 5, 20, 62, 63, 64, 65, 126, 127, 128, 254, 255, 256, 300, 500};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static void as_defined(void) {
    static uint8_t wanted[600];
    static uint8_t bytes[600];
    CASE("a text is like a pattern as the definition says, whatever was compared with it before");
    unsigned alike = 0;
    for (unsigned round = 0; round < 20000; round++) {
        as_like_cache liked = {0};
        as_span text =
            drawn(bytes, round % 50 == 0 ? lengths[draw(LENGTHS)] : draw(12), round % 3 == 0 ? "aB\xc3\xa9" : "aAbB");
        memcpy(bytes, text.at, text.len);
        text = as_span_of(bytes, text.len);
        if (draw(2) == 0) {
            liked.steps = UINT32_MAX; /* no more by hand */
        }
        for (unsigned i = 0; i < 3; i++) {
            const as_span pattern = drawn(wanted, round % 50 == 0 ? lengths[draw(LENGTHS)] : draw(8),
                                          i == 0   ? "ab*"
                                          : i == 1 ? "aB\xc3*??"
                                                   : "aaaB*?[");
            const bool like = as_like(pattern, text, true, &liked, &endless);
            alike += like ? 1 : 0;
            if (!CHECK_EQUAL(like, defined(pattern, text))) {
                printf("# pattern '%.*s', text '%.*s'\n", (int)pattern.len, (const char *)pattern.at, (int)text.len,
                       (const char *)text.at);
                return;
            }
        }
    }
    CHECK(alike > 1000);

    CASE("as many tokens as the automaton has states for, and one more, are found to the last");
    for (size_t i = 0; i < LENGTHS; i++) {
        as_like_cache liked = {.steps = UINT32_MAX};
        memset(wanted, 'a', lengths[i]);
        memset(bytes, 'A', lengths[i]);
        const as_span pattern = as_span_of(wanted, lengths[i]);
        CHECK(as_like(pattern, as_span_of(bytes, lengths[i]), true, &liked, &endless));
        if (lengths[i] > 0) {
            as_like_cache other = {.steps = UINT32_MAX};
            bytes[lengths[i] - 1] = 'b';
            CHECK(!as_like(pattern, as_span_of(bytes, lengths[i]), true, &other, &endless));
        }
    }
}

static void bounded(void) {
    enum { LONG = 15000 };
    static uint8_t bytes[LONG];
    static uint8_t wanted[256];
    memset(bytes, 'a', sizeof bytes);
    const as_span text = as_span_of(bytes, sizeof bytes);

    CASE("a pattern that nearly fits everywhere takes a few steps a byte by hand, and no more in all");
    as_like_cache liked = {0};
    for (unsigned i = 0; i < 1000; i++) {
        memset(wanted, 'a', 100);
        wanted[0] = '*';
        wanted[50] = '*';
        wanted[100] = (uint8_t)('b' + i % 20);
        CHECK(!as_like(as_span_of(wanted, 101), text, true, &liked, &endless));
    }
    CHECK(liked.steps <= 4 * LONG + 256);
    CHECK(liked.bytes_known && liked.pairs_known);

    CASE("what no grams exclude is work that is counted, and refused when it is used up");
    bytes[0] = 'b';
    wanted[100] = 'b';
    as_like_budget work = {.left = 2 * LONG + 1};
    as_like_cache near = {.steps = UINT32_MAX};
    for (unsigned i = 0; i < 3; i++) {
        bytes[1] = 'a';
        bytes[2] = 'b'; /* the pair is there, far from the end */
        CHECK(!as_like(as_span_of(wanted, 101), text, true, &near, &work));
        CHECK_EQUAL(work.left, i == 0 ? 1 : 0);
        CHECK_EQUAL(work.refused, i == 2);
    }
    memset(bytes, 'a', 3);
    CHECK(!as_like((as_span){(const uint8_t *)"*x*", 3}, text, true, &near, &work));

    CASE("a pattern that is found late is found after that");
    bytes[LONG - 1] = 'b';
    as_like_cache again = {0};
    wanted[100] = 'b';
    CHECK(as_like(as_span_of(wanted, 101), text, true, &again, &endless));
    wanted[99] = 'b';
    CHECK(!as_like(as_span_of(wanted, 101), text, true, &again, &endless));

    CASE("a text that is compared once or twice is looked at for nothing else");
    as_like_cache usual = {0};
    CHECK(as_like((as_span){(const uint8_t *)"/usr/*/x", 8}, GUARDED("/usr/bin/x"), true, &usual, &endless));
    CHECK(!as_like((as_span){(const uint8_t *)"/opt/*/x", 8}, GUARDED("/usr/bin/x"), true, &usual, &endless));
    CHECK(!usual.bytes_known && !usual.pairs_known);
}

int main(void) {
    as_defined();
    bounded();
    return check_done();
}
