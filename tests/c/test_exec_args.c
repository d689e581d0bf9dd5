/* Stage 2, exec arguments: EXECVE records as the kernel splits them, and hostile ones. */
#include "_ring/exec_args.h"

#include "check.h"

enum { EVERYTHING = AS_ARGS_BYTES + AS_MAX_ARGS * sizeof(as_span) + 64, MOST_RECORDS = 32 };

static as_exec_args args;

/* Read records, in this order of arrival; argc NULL: not announced. */
static void read_args(const char *argc, unsigned count, const char *const *bodies) {
    as_span records[MOST_RECORDS];
    for (unsigned i = 0; i < count; i++) {
        records[i] = guarded_span(bodies[i], strlen(bodies[i]));
    }
    const as_value announced = {.span = argc == NULL ? (as_span){0} : as_span_of((const uint8_t *)argc, strlen(argc)),
                                .form = argc == NULL ? AS_FORM_ABSENT : AS_FORM_BARE};
    as_exec_args_read(&args, records, count, announced);
    for (uint32_t i = 0; i < args.count; i++) {
        CHECK(args.spans[i].at >= args.bytes && args.spans[i].at + args.spans[i].len < args.bytes + args.used);
        CHECK_EQUAL(args.spans[i].at[args.spans[i].len], 0);
    }
}

#define READ(argc, ...)                                          \
    do {                                                         \
        const char *const bodies[] = {__VA_ARGS__};              \
        read_args(argc, sizeof bodies / sizeof *bodies, bodies); \
    } while (0)

/* All arguments, each in brackets. */
static as_span shown(void) {
    static uint8_t text[2 * AS_ARGS_BYTES + 3 * AS_MAX_ARGS];
    uint32_t len = 0;
    for (uint32_t i = 0; i < args.count; i++) {
        text[len++] = '[';
        if (args.spans[i].len > 0) {
            memcpy(text + len, args.spans[i].at, args.spans[i].len);
            len += args.spans[i].len;
        }
        text[len++] = ']';
    }
    return as_span_of(text, len);
}

static void whole(void) {
    CASE("arguments are decoded in their order");
    READ("3", "argc=3 a0=\"sh\" a1=2D63206C73 a2=\"a=b\"");
    CHECK_TEXT(shown(), "[sh][-c ls][a=b]");
    CHECK(!args.cut && !args.in_parts);
    CHECK_EQUAL(as_exec_args_joined(&args).len, strlen("sh -c ls a=b"));
    CASE("an empty argument is one");
    READ("2", "argc=2 a0=\"\" a1=\"x\"");
    CHECK_TEXT(shown(), "[][x]");
    CHECK(!args.cut);
    CASE("a program without arguments has none");
    READ("0", "argc=0 ");
    CHECK_EQUAL(args.count, 0);
    CHECK_EQUAL(as_exec_args_joined(&args).len, 0);
    CHECK(!args.cut);
    CASE("what looks like a key inside quotes is text");
    READ("1", "argc=1 a0=\"a1=x\"");
    CHECK_TEXT(shown(), "[a1=x]");
    CASE("a daemon's translation is no argument");
    READ("1", "argc=1 a0=\"x\"\x1d"
              "a1=\"UID\"");
    CHECK_TEXT(shown(), "[x]");
    CASE("text that is not hex stays; a zero byte becomes a blank");
    READ("3", "argc=3 a0=7g a1=616 a2=610062");
    CHECK_TEXT(shown(), "[7g][616][a b]");
    CASE("other keys are no arguments");
    READ("1", "argc=1 b0=\"x\" a=\"y\" ax=1 a1x=2 a1[=3 a1[]=4 a1[2=5 a99999999999=6 a0=\"z\"");
    CHECK_TEXT(shown(), "[z]");
}

static void in_parts(void) {
    CASE("records that continue an exec start with a blank");
    READ("4", "argc=4 a0=\"a\" a1=\"b\"", " a2=\"c\" a3=\"d\"");
    CHECK_TEXT(shown(), "[a][b][c][d]");
    CHECK(args.in_parts && !args.cut);
    CASE("a long argument is put together from its parts, whether quoted or hex");
    READ("2", "argc=2 a0=\"a\" a1_len=10 a1[0]=6263", " a1[1]=\"de\"", " a1[2]=6667");
    CHECK_TEXT(shown(), "[a][bcdefg]");
    CHECK(args.in_parts && !args.cut);
    CASE("the order of arrival does not matter");
    READ("4", " a1[2]=6667 a2=\"y\"", " a3=\"z\"", "argc=4 a0=\"a\" a1_len=10 a1[0]=6263", " a1[1]=\"de\"");
    CHECK_TEXT(shown(), "[a][bcdefg][y][z]");
    CHECK(!args.cut);
    CASE("what comes twice counts once");
    READ("3", "argc=3 a0=\"a\" a1_len=8 a1[0]=6263", "argc=3 a0=\"a\" a1_len=8 a1[0]=6263", " a1[1]=6465 a2=\"x\"",
         " a1[1]=6465 a2=\"x\"");
    CHECK_TEXT(shown(), "[a][bcde][x]");
    CHECK(!args.cut);
}

static void lost_parts(void) {
    CASE("a missing record cuts the arguments, and those behind it stay");
    READ("4", "argc=4 a0=\"a\"", " a3=\"d\"");
    CHECK_TEXT(shown(), "[a][d]");
    CHECK(args.cut);
    CASE("so does a missing first record");
    READ(NULL, " a2=\"c\" a3=\"d\"");
    CHECK_TEXT(shown(), "[c][d]");
    CHECK(args.cut);
    CASE("so does a missing last record");
    READ("3", "argc=3 a0=\"a\" a1=\"b\"");
    CHECK(args.cut);
    CASE("so does a missing part in the middle, and the rest of the argument stays");
    READ("1", "argc=1 a0_len=12 a0[0]=6162", " a0[2]=6566");
    CHECK_TEXT(shown(), "[abef]");
    CHECK(args.cut);
    CASE("so does a missing last part, even if other arguments follow");
    READ("2", "argc=2 a0_len=12 a0[0]=6162", " a1=\"x\"");
    CHECK_TEXT(shown(), "[ab][x]");
    CHECK(args.cut);
    CASE("so does a missing first part");
    READ("1", " a0[1]=6162");
    CHECK_TEXT(shown(), "[ab]");
    CHECK(args.cut);
    CASE("records of another exec leave nothing");
    READ("1", "argc=1 a0=\"a\"");
    CHECK(!args.cut && !args.in_parts);
}

static void bounds(void) {
    static char body[200000];
    size_t len = 0;
    CASE("1,024 arguments are kept, and no more");
    for (unsigned i = 0; i < AS_MAX_ARGS; i++) {
        len += (size_t)sprintf(body + len, " a%u=\"%u\"", i, i);
    }
    READ("1024", body);
    CHECK_EQUAL(args.count, AS_MAX_ARGS);
    CHECK(!args.cut);
    sprintf(body + len, " a1024=\"x\"");
    READ("1025", body);
    CHECK_EQUAL(args.count, AS_MAX_ARGS);
    CHECK(args.cut);
    CASE("32 KiB are kept, with a zero byte after each argument");
    static const char quoted[] = "argc=2 a0=\"a\" a1=\"";
    memcpy(body, quoted, sizeof quoted - 1);
    memset(body + sizeof quoted - 1, 'x', sizeof body - sizeof quoted);
    body[sizeof quoted - 1 + AS_ARGS_BYTES - 3] = '"';
    body[sizeof quoted + AS_ARGS_BYTES - 3] = 0;
    READ("2", body);
    CHECK_EQUAL(args.spans[1].len, AS_ARGS_BYTES - 3);
    CHECK_EQUAL(args.used, AS_ARGS_BYTES);
    CHECK(!args.cut);
    body[sizeof quoted - 1 + AS_ARGS_BYTES - 3] = 'x';
    READ("2", body);
    CHECK_EQUAL(args.spans[1].len, AS_ARGS_BYTES - 3);
    CHECK(args.cut);
    CASE("hex is cut at the same place");
    static const char hex[] = "argc=2 a0=\"a\" a1=";
    memcpy(body, hex, sizeof hex - 1);
    memset(body + sizeof hex - 1, '4', sizeof body - sizeof hex);
    body[sizeof hex - 1 + 2 * (AS_ARGS_BYTES - 3)] = 0;
    READ("2", body);
    CHECK_EQUAL(args.spans[1].len, AS_ARGS_BYTES - 3);
    CHECK_EQUAL(args.spans[1].at[AS_ARGS_BYTES - 4], 'D');
    CHECK(!args.cut);
    body[sizeof hex - 1 + 2 * (AS_ARGS_BYTES - 3)] = '4';
    body[sizeof hex + 2 * (AS_ARGS_BYTES - 3)] = '4';
    body[sizeof hex + 1 + 2 * (AS_ARGS_BYTES - 3)] = 0;
    READ("2", body);
    CHECK_EQUAL(args.spans[1].len, AS_ARGS_BYTES - 3);
    CHECK(args.cut);
    CASE("a length or a number out of bounds is read as text");
    READ("1", "argc=1 a0_len=99999999999999999999 a0[0]=\"x\"");
    CHECK_TEXT(shown(), "[x]");
    READ("9", "argc=9 a4294967295=\"x\" a0=\"y\"");
    CHECK_TEXT(shown(), "[y]");
}

int main(void) {
    uint8_t *memory = aligned_alloc(16, (EVERYTHING + 15) / 16 * 16);
    as_arena arena = {.base = memory};
    as_exec_args_init(&args, &arena);
    CHECK(arena.used <= EVERYTHING);
    whole();
    in_parts();
    lost_parts();
    bounds();
    free(memory);
    return check_done();
}
