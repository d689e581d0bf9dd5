/* Stage 2, record: stamps, values, and how the kernel prints them. The readable cases are in
 * tests/cases/records.txt; here are the bounds, the prefixes and what only C can see. */
#include "_ring/record.h"

#include "check.h"
#include "samples.h"

/* The fields of a body of this type. */
typedef struct {
    as_value values[AS_FIELDS];
} fields;

static fields fields_of(uint16_t type, as_span body) {
    const as_record record = {.type = type, .body = body};
    fields found = {0};
    as_record_fields(&record, AS_ALL_FIELDS, found.values);
    return found;
}

#define SYSCALL(text) fields_of(AS_TYPE_SYSCALL, GUARDED(text))
#define PATH(text) fields_of(AS_TYPE_PATH, GUARDED(text))

/* A decoded field; length UINT32_MAX: absent. */
static as_span text_of(const fields *from, as_field field) {
    static uint8_t scratch[65536];
    as_span text;
    const as_value value = from->values[field];
    const bool there = as_value_text(value, as_field_kind(field), scratch, &text);
    return there ? text : (as_span){.at = NULL, .len = UINT32_MAX};
}

static bool absent(const fields *from, as_field field) {
    return text_of(from, field).len == UINT32_MAX;
}

static void stamps(void) {
    as_record record;
    CASE("a stamp is seconds, milliseconds and serial");
    CHECK(as_record_read(1300, GUARDED("audit(1795495722.244:3): arch=c000003e"), &record));
    CHECK_EQUAL(record.type, 1300);
    CHECK_EQUAL(record.ms, INT64_C(1795495722244));
    CHECK_EQUAL(record.serial, 3);
    CHECK_TEXT(record.body, "arch=c000003e");

    CASE("an end record has no body, with or without the blank behind the stamp");
    CHECK(as_record_read(1320, GUARDED("audit(1.000:2): "), &record) && record.body.len == 0);
    CHECK(as_record_read(1320, GUARDED("audit(1.000:2):"), &record) && record.body.len == 0);
    CHECK(as_record_read(1320, GUARDED("audit(1.000:2):x"), &record) && record.body.len == 1);

    CASE("the largest numbers are read, one more of each is none");
    CHECK(as_record_read(1300, GUARDED("audit(9007199254740992.999:4294967295): "), &record));
    CHECK_EQUAL(record.ms, INT64_C(9007199254740992999));
    CHECK_EQUAL(record.serial, UINT32_MAX);
    CHECK(!as_record_read(1300, GUARDED("audit(9007199254740993.000:1): "), &record));
    CHECK(!as_record_read(1300, GUARDED("audit(1.000:4294967296): "), &record));
    CHECK(!as_record_read(1300, GUARDED("audit(99999999999999999999999999.000:1): "), &record));

    CASE("milliseconds are three digits");
    CHECK(!as_record_read(1300, GUARDED("audit(1.00:1): "), &record));
    CHECK(!as_record_read(1300, GUARDED("audit(1.0000:1): "), &record));
    CHECK(!as_record_read(1300, GUARDED("audit(1.1000:1): "), &record));
    CHECK(!as_record_read(1300, GUARDED("audit(1.a00:1): "), &record));

    CASE("a stamp whose parts are missing or others is none");
    static const char *const broken[] = {
        "audit 1.000:1): ", "audit(.000:1): ",  "audit(1,000:1): ", "audit(1.000.1): ",
        "audit(1.000:): ",  "audit(1.000:1]: ", "audit(1.000:1) ",  "audit(-1.000:1): ",
        "audit(f.000:1): ", "AUDIT(1.000:1): ", " audit(1.000:1): "};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        if (!CHECK(!as_record_read(1300, guarded_span(broken[i], strlen(broken[i])), &record))) {
            printf("# for '%s'\n", broken[i]);
        }
    }

    CASE("no prefix of a stamp is one, and the whole one is");
    static const char stamp[] = "audit(1795495722.244:31): ";
    const size_t enough = sizeof stamp - 2; /* the last blank may be missing */
    for (size_t len = 0; len < sizeof stamp; len++) {
        CHECK_EQUAL(as_record_read(1300, guarded_span(stamp, len), &record), len >= enough);
    }
}

static void kinds_of_record(void) {
    CASE("what user space and daemons report stands alone");
    static const uint16_t alone[] = {1100, 1199, 1200, 1299, 2000, 2100, 2999};
    static const uint16_t not_alone[] = {0, 1006, 1099, 1300, 1320, 1999, 3000, UINT16_MAX};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++) {
        CHECK(as_record_stands_alone(alone[i]));
    }
    for (size_t i = 0; i < sizeof not_alone / sizeof *not_alone; i++) {
        CHECK(!as_record_stands_alone(not_alone[i]));
    }
    CASE("of the kernel's types some may come without a system call around them, and so may those to come");
    static const uint16_t without[] = {1305, 1316, 1319, 1324, 1325, 1326, 1328, 1329, 1330, 1331,
                                       1332, 1333, 1334, 1335, 1338, 1339, 1340, 1399, 1299, 1400};
    static const uint16_t with[] = {1300, 1302, 1303, 1304, 1306, 1307, 1309, 1311, 1312, 1313, 1314,
                                    1315, 1317, 1318, 1320, 1321, 1322, 1323, 1327, 1336, 1337};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        CHECK(!as_record_of_syscall(without[i]));
    }
    for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
        CHECK(as_record_of_syscall(with[i]));
    }
}

static void kinds_of_field(void) {
    CASE("every field has the kind its values are printed in");
    CHECK_EQUAL(as_field_kind(AS_FIELD_A0), AS_KIND_HEX);
    CHECK_EQUAL(as_field_kind(AS_FIELD_PID), AS_KIND_DECIMAL);
    CHECK_EQUAL(as_field_kind(AS_FIELD_PATH_MODE), AS_KIND_OCTAL);
    CHECK_EQUAL(as_field_kind(AS_FIELD_SUBJ), AS_KIND_WORD);
    CHECK_EQUAL(as_field_kind(AS_FIELD_CWD), AS_KIND_STRING);
    CHECK_EQUAL(as_field_kind(AS_FIELD_PROCTITLE), AS_KIND_STRING);
    CHECK_EQUAL(as_field_kind(AS_FIELD_NODE), AS_KIND_WORD);
}

static void whole_records(void) {
    CASE("every field of a SYSCALL record is found");
    const fields call = SYSCALL(SAMPLE_SYSCALL);
    for (int field = AS_FIELD_ARCH; field <= AS_FIELD_KEY; field++) {
        CHECK(call.values[field].form != AS_FORM_ABSENT);
    }
    CHECK_TEXT(text_of(&call, AS_FIELD_ARCH), "c000003e");
    CHECK_TEXT(text_of(&call, AS_FIELD_KEY), "audit_proc");
    CHECK(absent(&call, AS_FIELD_PATH_NAME) && absent(&call, AS_FIELD_NODE) && absent(&call, AS_FIELD_TTY));

    CASE("every field of a PATH record is found; an obj that is not there is absent");
    const fields path = PATH(SAMPLE_PATH);
    CHECK_TEXT(text_of(&path, AS_FIELD_PATH_NAME), "/proc");
    CHECK_TEXT(text_of(&path, AS_FIELD_PATH_NAMETYPE), "NORMAL");
    CHECK_TEXT(text_of(&path, AS_FIELD_PATH_MODE), "040555");
    CHECK(absent(&path, AS_FIELD_PATH_OBJ));

    CASE("a record of another type has no fields");
    const fields other = fields_of(1309, GUARDED("argc=1 a0=\"x\""));
    CHECK(absent(&other, AS_FIELD_A0));

    CASE("in any order of keys the values are the same");
    const fields turned = SYSCALL("key=\"k\" pid=7 arch=c000003e comm=\"c\" syscall=257");
    CHECK_TEXT(text_of(&turned, AS_FIELD_KEY), "k");
    CHECK_TEXT(text_of(&turned, AS_FIELD_ARCH), "c000003e");
    CHECK_TEXT(text_of(&turned, AS_FIELD_SYSCALL), "257");

    CASE("a label that is there is read to its end, and what follows it as well");
    const fields labelled = SYSCALL("arch=c000003e syscall=257 comm=\"c\" exe=\"/e\" subj=a b c key=\"k\"");
    CHECK_TEXT(text_of(&labelled, AS_FIELD_SUBJ), "a b c");
    CHECK_TEXT(text_of(&labelled, AS_FIELD_KEY), "k");

    CASE("values that an earlier record gave stay");
    const as_record first = {.type = AS_TYPE_CWD, .body = GUARDED("cwd=\"/a\"")};
    const as_record second = {.type = AS_TYPE_CWD, .body = GUARDED("cwd=\"/b\"")};
    fields both = {0};
    as_record_fields(&first, AS_ALL_FIELDS, both.values);
    as_record_fields(&second, AS_ALL_FIELDS, both.values);
    CHECK_TEXT(text_of(&both, AS_FIELD_CWD), "/a");
}

/* What is read when the body is as the kernel writes it but for one thing in front of `field`. */
static as_span behind(const char *oddity, uint16_t type, as_field field) {
    static char body[512];
    static fields found;
    static const char path[] = "name=\"/a\" inode=12 dev=00:15 mode=040555 ouid=0 ogid=0 rdev=00:00 ";
    static const char call[] = "arch=c000003e syscall=257 success=yes exit=5 a0=ff a1=7f a2=80000 a3=0 ";
    const int len = snprintf(body, sizeof body, "%s%s%s", type == AS_TYPE_PATH ? path : call, oddity,
                             type == AS_TYPE_PATH ? " nametype=NORMAL cap_fp=0" : " items=1 ppid=3 pid=92 auid=0");
    found = fields_of(type, guarded_span(body, (size_t)len));
    return text_of(&found, field);
}

static void nearly_expected(void) {
    CASE("a key that only starts or ends as the expected one is another");
    CHECK_TEXT(behind("nametypes=X", AS_TYPE_PATH, AS_FIELD_PATH_NAMETYPE), "NORMAL");
    CHECK_TEXT(behind("nametypesuffix=X", AS_TYPE_PATH, AS_FIELD_PATH_NAMETYPE), "NORMAL");
    CHECK_TEXT(behind("objective=X", AS_TYPE_PATH, AS_FIELD_PATH_NAMETYPE), "NORMAL");
    CHECK_TEXT(behind("item=2", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "1");
    CHECK_TEXT(behind("itemss=2", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "1");
    CHECK_TEXT(behind("xitems=2", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "1");
    CHECK_TEXT(behind("items", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "1");

    CASE("a byte that differs from the equals sign in its highest bit alone is none");
    fields found = SYSCALL("arch=c000003e syscall=257 success\xbdyes exit=1 pid\xbd"
                           "7 comm=\"a\"");
    CHECK(absent(&found, AS_FIELD_SUCCESS));
    CHECK(absent(&found, AS_FIELD_PID));
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "a");
    found = SYSCALL("arch\xbd"
                    "c000003e syscall=257");
    CHECK(absent(&found, AS_FIELD_ARCH));

    CASE("an expected key may come with an unexpected value");
    CHECK_TEXT(behind("items=", AS_TYPE_SYSCALL, AS_FIELD_PID), "92");
    CHECK_TEXT(behind("items=\"2\"", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "2");
    CHECK_TEXT(behind("items=\"2 3\"", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "2 3");
    CHECK_TEXT(behind("items=\"2\"", AS_TYPE_SYSCALL, AS_FIELD_PID), "92");
    CHECK_TEXT(behind("items=2=3", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "2=3");
    CHECK_TEXT(behind("items=2\t", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "2\t");
    CHECK_TEXT(behind("items=2\x80", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "2\x80");
    CHECK_TEXT(behind("items=2 ", AS_TYPE_SYSCALL, AS_FIELD_PID), "92");

    CASE("behind a translation, or what a quote does not end at, nothing is read");
    CHECK_EQUAL(behind("items=2\x1d", AS_TYPE_SYSCALL, AS_FIELD_PID).len, UINT32_MAX);
    CHECK_TEXT(behind("items=2\x1d", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "2");
    CHECK_EQUAL(behind("\x1d", AS_TYPE_SYSCALL, AS_FIELD_PID).len, UINT32_MAX);
    CHECK_EQUAL(behind("items=\"2\"x", AS_TYPE_SYSCALL, AS_FIELD_PID).len, UINT32_MAX);
    CHECK_TEXT(behind("items=\"2\"x", AS_TYPE_SYSCALL, AS_FIELD_ITEMS), "2");
    CHECK_EQUAL(behind("items=\"2", AS_TYPE_SYSCALL, AS_FIELD_PID).len, UINT32_MAX);
    CHECK_EQUAL(behind("items=\"2\x1d\"", AS_TYPE_SYSCALL, AS_FIELD_PID).len, UINT32_MAX);

    CASE("of two equal keys the first counts, wherever they stand");
    CHECK_TEXT(behind("pid=7", AS_TYPE_SYSCALL, AS_FIELD_PID), "7");
    CHECK_TEXT(behind("a3=7", AS_TYPE_SYSCALL, AS_FIELD_A3), "0");
}

/* The call that a body says alone, and by its fields: the same, whatever it looks like. */
static void one_call(const char *body) {
    const as_record record = {.type = AS_TYPE_SYSCALL, .body = guarded_span(body, strlen(body))};
    const fields found = fields_of(AS_TYPE_SYSCALL, record.body);
    uint64_t wide[2] = {0};
    uint32_t call[2] = {0};
    uint32_t len = 0;
    const bool there = as_value_number(found.values[AS_FIELD_ARCH], AS_KIND_HEX, &wide[0]) &&
                       as_value_number(found.values[AS_FIELD_SYSCALL], AS_KIND_DECIMAL, &wide[1]) &&
                       wide[0] <= UINT32_MAX && wide[1] <= UINT32_MAX;
    CHECK_EQUAL(as_record_call(&record, &call[0], &call[1], &len), there);
    CHECK(!there || (call[0] == wide[0] && call[1] == wide[1]));
    CHECK(len <= record.body.len && (len == 0 || there));
}

static void calls(void) {
    static const char *const bodies[] = {
        "arch=c000003e syscall=257 success=yes",
        "arch=c000003e syscall=257",
        "arch=c000003e syscall=",
        "arch=c000003e syscall=257x y=z",
        "arch=c000003ex syscall=257 x",
        "arch=c000003e  syscall=257 x",
        "arch=c000003e",
        "arch=",
        "",
        "syscall=257 arch=c000003e x",
        "x arch=c000003e syscall=257 x",
        "arch=1c000003e syscall=257 x",
        "arch=c000003e syscall=4294967296 x",
        "arch=c000003e syscall=-1 x",
        "arch=\"c000003e\" syscall=257 x",
        "arch=c000003e syscall=257\x1d x",
        "arch=C000003E syscall=257 x",
        "arch=c000003e syscall=257 arch=1 syscall=2 x",
        "arch=00000000c000003e syscall=0000257 x",
    };
    CASE("which call it is, is the same whether asked alone or field by field");
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        one_call(bodies[i]);
    }
}

/* Read every prefix of a body, and all its values; the guard page judges. */
static void try_prefixes(uint16_t type, const char *body) {
    for (size_t len = 0; len <= strlen(body); len++) {
        const fields found = fields_of(type, guarded_span(body, len));
        for (int field = 0; field < AS_FIELDS; field++) {
            uint64_t number = 0;
            const as_value value = found.values[field];
            CHECK(value.form == AS_FORM_ABSENT || value.span.len <= len);
            text_of(&found, (as_field)field);
            as_value_number(value, as_field_kind((as_field)field), &number);
        }
    }
}

static void prefixes(void) {
    CASE("no prefix of any record makes it read too far");
    try_prefixes(AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    try_prefixes(AS_TYPE_SYSCALL, "arch=c000003e comm=7073207079 exe=\"/x\" subj=a b (enforce) key=6101620A");
    try_prefixes(AS_TYPE_SYSCALL, SAMPLE_SYSCALL "ARCH=x86_64 SYSCALL=openat AUID=\"unset\"");
    try_prefixes(AS_TYPE_PATH, SAMPLE_PATH);
    try_prefixes(AS_TYPE_PATH, "item=0 name=2F70726F63 obj=a b:c nametype=NORMAL cap_frootid=0\x1dOUID=\"root\"");
    try_prefixes(AS_TYPE_CWD, "cwd=\"/root\"");
    try_prefixes(AS_TYPE_PROCTITLE, SAMPLE_PROCTITLE);
}

static void odd_shapes(void) {
    CASE("words without a value are passed over, blanks are only blanks");
    fields found = SYSCALL("word  another pid=7 last");
    CHECK_TEXT(text_of(&found, AS_FIELD_PID), "7");
    found = SYSCALL("only words here");
    CHECK(absent(&found, AS_FIELD_PID));
    found = SYSCALL("a b  pid=7");
    CHECK_TEXT(text_of(&found, AS_FIELD_PID), "7");
    found = SYSCALL("   ");
    CHECK(absent(&found, AS_FIELD_PID));

    CASE("a record is read to its end, a blank there included");
    const as_record blank = {.type = AS_TYPE_SYSCALL, .body = GUARDED("pid=7 unknown=1 ")};
    fields behind_it = {0};
    CHECK(as_record_fields(&blank, AS_ALL_FIELDS, behind_it.values));
    CHECK_TEXT(text_of(&behind_it, AS_FIELD_PID), "7");

    CASE("an empty key is no field, an empty value is absent, empty quotes are an empty text");
    found = SYSCALL("=7 ppid= pid=8 comm=\"\"");
    CHECK_TEXT(text_of(&found, AS_FIELD_PID), "8");
    CHECK(absent(&found, AS_FIELD_PPID));
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "");

    CASE("a value at the end of the record may be empty or an open quote");
    found = SYSCALL("pid=");
    CHECK(absent(&found, AS_FIELD_PID));
    found = SYSCALL("comm=\"");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "");

    CASE("behind a closed quote without a blank a translation begins: nothing more is read");
    found = SYSCALL("comm=\"a\"ARCH=x pid=7");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "a");
    CHECK(absent(&found, AS_FIELD_PID));

    CASE("a bare value with an equals sign ends where a translation begins, or nowhere");
    found = SYSCALL("pid=7AUID=\"root\" ppid=1");
    CHECK_TEXT(text_of(&found, AS_FIELD_PID), "7");
    CHECK(absent(&found, AS_FIELD_PPID));
    found = SYSCALL("tty=a=b pid=7");
    CHECK_TEXT(text_of(&found, AS_FIELD_TTY), "a=b");
    CHECK_TEXT(text_of(&found, AS_FIELD_PID), "7");

    CASE("a label reaches to the last key= behind it, and to a blank without one");
    found = SYSCALL("subj=a b key=x c key=\"k\"");
    CHECK_TEXT(text_of(&found, AS_FIELD_SUBJ), "a b key=x c");
    CHECK_TEXT(text_of(&found, AS_FIELD_KEY), "k");
    found = SYSCALL("subj=u:r=OUID=t pid=7");
    CHECK_TEXT(text_of(&found, AS_FIELD_SUBJ), "u:r=OUID=t");
    CHECK_TEXT(text_of(&found, AS_FIELD_PID), "7");
    found = SYSCALL("subj=a");
    CHECK_TEXT(text_of(&found, AS_FIELD_SUBJ), "a");
    found = SYSCALL("subj=\"a b\" key=\"k\"");
    CHECK_TEXT(text_of(&found, AS_FIELD_SUBJ), "a b");
    CHECK_TEXT(text_of(&found, AS_FIELD_KEY), "k");

    CASE("of two equal keys the first counts");
    found = SYSCALL("pid=7 pid=8");
    CHECK_TEXT(text_of(&found, AS_FIELD_PID), "7");
}

static void decoding(void) {
    fields found;
    CASE("hex is decoded only when it is upper case, even, and of a string");
    found = SYSCALL("comm=7073207079");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "ps py");
    found = SYSCALL("comm=2f70");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "2f70");
    found = SYSCALL("comm=2F7");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "2F7");
    found = SYSCALL("comm=2FG0");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "2FG0");
    found = SYSCALL("comm=2F0G");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "2F0G");
    found = SYSCALL("comm=2F.0");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "2F.0");
    found = SYSCALL("comm=2F0:");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "2F0:");
    found = SYSCALL("a0=41");
    CHECK_TEXT(text_of(&found, AS_FIELD_A0), "41");

    CASE("a byte 0 in hex comes out as a blank");
    found = SYSCALL("comm=410042");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "A B");

    CASE("decoding needs half of the value's length and no byte more");
    static const char hex[] = "2F70726F63";
    uint8_t *scratch = (uint8_t *)(uintptr_t)guarded("     ", 5);
    as_span text;
    const as_value value = {.span = guarded_span(hex, sizeof hex - 1), .form = AS_FORM_BARE};
    CHECK(as_value_text(value, AS_KIND_STRING, scratch, &text));
    CHECK_TEXT(text, "/proc");
    const as_value odd = {.span = guarded_span(hex, sizeof hex - 2), .form = AS_FORM_BARE};
    CHECK(as_value_text(odd, AS_KIND_STRING, (uint8_t *)(uintptr_t)guarded("    ", 4), &text));
    CHECK_TEXT(text, "2F70726F6");

    CASE("markers are absent where they stand bare, and text where they are quoted");
    found = SYSCALL("comm=(null) exe=(none) key=?");
    CHECK(absent(&found, AS_FIELD_COMM) && absent(&found, AS_FIELD_EXE) && absent(&found, AS_FIELD_KEY));
    found = SYSCALL("comm=(nul) exe=(none key=??");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "(nul)");
    CHECK_TEXT(text_of(&found, AS_FIELD_EXE), "(none");
    CHECK_TEXT(text_of(&found, AS_FIELD_KEY), "??");
    found = SYSCALL("comm=\"(null)\" exe=\"(none)\" key=\"?\"");
    CHECK_TEXT(text_of(&found, AS_FIELD_COMM), "(null)");
    CHECK_TEXT(text_of(&found, AS_FIELD_EXE), "(none)");
    CHECK_TEXT(text_of(&found, AS_FIELD_KEY), "?");
}

static bool number_of(as_span text, as_form form, as_kind kind, uint64_t *out) {
    return as_value_number((as_value){.span = text, .form = form}, kind, out);
}

static void numbers(void) {
    uint64_t number = 0;
    CASE("numbers are read in the base of their field");
    CHECK(number_of(GUARDED("ff"), AS_FORM_BARE, AS_KIND_HEX, &number) && number == 255);
    CHECK(number_of(GUARDED("040555"), AS_FORM_BARE, AS_KIND_OCTAL, &number) && number == 040555);
    CHECK(number_of(GUARDED("-13"), AS_FORM_BARE, AS_KIND_DECIMAL, &number) && number == UINT64_MAX - 12);
    CHECK(number_of(GUARDED("ffffffffffffffff"), AS_FORM_BARE, AS_KIND_HEX, &number) && number == UINT64_MAX);
    CHECK(number_of(GUARDED("-9223372036854775808"), AS_FORM_BARE, AS_KIND_DECIMAL, &number) && number == UINT64_C(1)
                                                                                                              << 63);

    CASE("what is no number in that base, or too large, is none");
    CHECK(!number_of(GUARDED(""), AS_FORM_BARE, AS_KIND_DECIMAL, &number));
    CHECK(!number_of(GUARDED("-"), AS_FORM_BARE, AS_KIND_DECIMAL, &number));
    CHECK(!number_of(GUARDED("1a"), AS_FORM_BARE, AS_KIND_DECIMAL, &number));
    CHECK(!number_of(GUARDED("-1"), AS_FORM_BARE, AS_KIND_HEX, &number));
    CHECK(!number_of(GUARDED("8"), AS_FORM_BARE, AS_KIND_OCTAL, &number));
    CHECK(!number_of(GUARDED("FF"), AS_FORM_BARE, AS_KIND_HEX, &number));
    CHECK(!number_of(GUARDED("0x1"), AS_FORM_BARE, AS_KIND_HEX, &number));
    CHECK(!number_of(GUARDED("18446744073709551616"), AS_FORM_BARE, AS_KIND_DECIMAL, &number));
    CHECK(!number_of(GUARDED("10000000000000000"), AS_FORM_BARE, AS_KIND_HEX, &number));

    CASE("a number may be quoted; an absent value and a word are no numbers");
    CHECK(number_of(GUARDED("7"), AS_FORM_QUOTED, AS_KIND_DECIMAL, &number) && number == 7);
    CHECK(!number_of(GUARDED(""), AS_FORM_QUOTED, AS_KIND_DECIMAL, &number));
    CHECK(!number_of(GUARDED("7"), AS_FORM_ABSENT, AS_KIND_DECIMAL, &number));
    CHECK(!number_of(GUARDED("7"), AS_FORM_BARE, AS_KIND_WORD, &number));
    CHECK(!number_of(GUARDED("7"), AS_FORM_BARE, AS_KIND_STRING, &number));
}

/* A record of 64 KiB of one thing over and over: what grows with the square of it takes minutes here. */
static void repeat(const char *unit) {
    static char body[65536];
    const size_t len = strlen(unit);
    size_t at = 0;
    for (; at + len <= sizeof body; at += len) {
        memcpy(body + at, unit, len);
    }
    for (int i = 0; i < 20; i++) {
        fields_of(AS_TYPE_SYSCALL, guarded_span(body, at));
    }
}

/* What as_record_read_next says of a text, after these others, is what as_record_read says of it alone. */
static void one_after_another(void) {
    static const char *const texts[] = {
        "audit(1.000:1): a=1",
        "audit(1.000:1): b=2",
        "audit(1.000:1): ",
        "audit(1.000:1):",
        "audit(1.000:1):c=3",
        "audit(1.000:10): a",
        "audit(1.000:1)",
        "audit(1.000:1",
        "audit(11.000:1): a=1",
        "audit(1.001:1): a=1",
        "nonsense",
        "audit(1.000:2):  two blanks",
        "audit(1.000:2): a",
        "audit(1.000:99999999999): a",
        "audit(0000000000000000000000000000000000000000000000001.000:7): a=1",
        "audit(0000000000000000000000000000000000000000000000001.000:7): b=2",
        "audit(1795493114.674:100): a",
        "audit(1795493114.674:101): a",
        "audit(1795493114.674:1000): a",
        "audit(1795493115.674:100): a",
        "audit(17954931141.674:4294967295): a",
        "audit(1795493114.674:100",
    };
    const size_t count = sizeof texts / sizeof *texts;
    CASE("a stamp that stood in the record before is read as it was then, whatever came between");
    for (size_t i = 0; i < count * count * count; i++) {
        const size_t order[] = {i % count, i / count % count, i / count / count};
        as_stamp before = {0};
        for (size_t j = 0; j < 3; j++) {
            const as_span text = guarded_span(texts[order[j]], strlen(texts[order[j]]));
            as_record alone = {0};
            as_record next = {0};
            CHECK_EQUAL(as_record_read_next(&before, 1300, text, &next), as_record_read(1300, text, &alone));
            CHECK_EQUAL(next.ms, alone.ms);
            CHECK_EQUAL(next.serial, alone.serial);
            CHECK_EQUAL(next.type, alone.type);
            CHECK(next.body.at == alone.body.at && next.body.len == alone.body.len);
        }
    }
}

static void no_stamp_of_zeros(void) {
    CASE("zero bytes are no stamp, whatever stamp came before");
    static const char zeros[64];
    as_stamp before = {0};
    as_record record;
    CHECK(as_record_read_next(&before, 1300, GUARDED("audit(1.000:1): a=1"), &record));
    CHECK(!as_record_read_next(&before, 1300, guarded_span(zeros, sizeof zeros), &record));
}

static void longest_stamp(void) {
    CASE("a stamp of as many bytes as there is room for is remembered, a longer one is not");
    for (int zeros = 20; zeros < 60; zeros++) {
        char text[128];
        const int len = snprintf(text, sizeof text, "audit(%0*d.000:7): a=1", zeros, 1) - 4;
        const as_span span = guarded_span(text, strlen(text));
        as_stamp before = {0};
        as_record record;
        CHECK(as_record_read_next(&before, 1300, span, &record));
        CHECK_EQUAL(before.len, (size_t)len <= sizeof before.text ? len : 0);
        CHECK_EQUAL(record.serial, 7);
        CHECK_EQUAL(record.ms, 1000);
    }
}

static void only_what_is_wanted(void) {
    CASE("a field that is not wanted is not touched");
    const char *const body = "arch=c000003e syscall=257 pid=7 uid=8 comm=\"x\" exe=\"/x\" key=\"k\"";
    const as_record record = {.type = AS_TYPE_SYSCALL, .body = guarded_span(body, strlen(body))};
    as_value values[AS_FIELDS] = {0};
    CHECK(as_record_fields(&record, AS_BIT(AS_FIELD_PID) | AS_BIT(AS_FIELD_EXE), values));
    for (uint32_t field = 0; field < AS_FIELDS; field++) {
        CHECK_EQUAL(values[field].form != AS_FORM_ABSENT, field == AS_FIELD_PID || field == AS_FIELD_EXE);
    }
}

static void start_of_a_call(void) {
    static const struct {
        const char *body;
        bool read;
        uint32_t len; /* of what the kernel writes first; 0: it stands there in another way */
    } cases[] = {
        {"arch=c000003e syscall=257 a0=1", true, 26},
        {"arch=4 syscall=2 a0=1", true, 17},
        {"arch=4 syscall=2", true, 0},
        {"arch=4 syscall=2 ", true, 17},
        {"arch= syscall=2 a0=1", false, 0},
        {"arch=4 syscall= a0=1", false, 0},
        {"arch=4 a0=1 syscall=2 ", true, 0},
        {"syscall=2 arch=4 ", true, 0},
        {"arch=4x syscall=2 ", false, 0},
    };
    CASE("how much of a record tells the call is known where the kernel wrote it");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const as_record record = {.type = AS_TYPE_SYSCALL, .body = guarded_span(cases[i].body, strlen(cases[i].body))};
        uint32_t arch = 0;
        uint32_t number = 0;
        uint32_t len = 99;
        if (!CHECK_EQUAL(as_record_call(&record, &arch, &number, &len), cases[i].read) ||
            !CHECK_EQUAL(len, cases[i].len)) {
            printf("# for '%s'\n", cases[i].body);
        }
    }
}

static void pathological(void) {
    static const char *const units[] = {"a ",     "a a a=", "subj=a ", "subj=",    "=",     "\"", "comm=\"",
                                        "pid=7 ", "x=AUID", "x=y=",    "x=OUID= ", " key=", "41"};
    CASE("the longest records of one thing over and over are read in no time");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        repeat(units[i]);
    }
    CHECK(true);
}

static void unknown_fields(void) {
    CASE("text in the value of an unknown field is not a field");
    static const char *const bodies[] = {"arch=1 syscall=2 strange=\"a pid=7 b\" comm=\"x\"",
                                         "strange=\"a pid=7 b\" arch=1 syscall=2 comm=\"x\"",
                                         "arch=1 strange=\"a pid=7\" syscall=2 word comm=\"x\""};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        const as_record record = {.type = AS_TYPE_SYSCALL, .body = guarded_span(bodies[i], strlen(bodies[i]))};
        as_value values[AS_FIELDS] = {0};
        as_record_fields(&record, AS_ALL_FIELDS, values);
        CHECK_EQUAL(values[AS_FIELD_PID].form, AS_FORM_ABSENT);
        CHECK_TEXT(values[AS_FIELD_COMM].span, "x");
        CHECK_TEXT(values[AS_FIELD_SYSCALL].span, "2");
    }
}

/* Whether the key of a record is found after a number of equal words, and whether the whole record was read. */
static void key_behind(const char *word, unsigned count, bool found) {
    char body[512] = "";
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        at += (size_t)snprintf(body + at, sizeof body - at, "%s", word);
    }
    at += (size_t)snprintf(body + at, sizeof body - at, "key=\"k\"");
    const as_record record = {.type = AS_TYPE_SYSCALL, .body = guarded_span(body, at)};
    as_value values[AS_FIELDS] = {0};
    if (!CHECK_EQUAL(as_record_fields(&record, AS_BIT(AS_FIELD_KEY), values), found) ||
        !CHECK_EQUAL(values[AS_FIELD_KEY].form == AS_FORM_QUOTED, found)) {
        printf("# behind %u of '%s'\n", count, word);
    }
}

static void others(void) {
    static const char *const words[] = {"x=1 ", "word ", "x=\"a\" ", "== ", "cap_fp=0 ", "keys=\"\" ", "x= "};
    CASE("fields and words that the kernel does not write are read over up to a bound, whatever they are");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        key_behind(words[i], AS_MAX_UNKNOWN - 1, true);
        key_behind(words[i], AS_MAX_UNKNOWN, false);
    }

    CASE("a field that comes again is one of them, but not its first time; blanks are none");
    key_behind("pid= 1 ", (AS_MAX_UNKNOWN - 1) / 2, true);
    key_behind("subj=a ", AS_MAX_UNKNOWN, true); /* a label continues up to the key */
    key_behind("   ", 40, true);

    CASE("all fields of the kernel are found in any order");
    const fields found =
        SYSCALL("key=\"k\" exe=\"/x\" comm=\"x\" ses=1 tty=a fsgid=1 sgid=2 egid=3 fsuid=4 suid=5 euid=6 gid=7 "
                "uid=8 auid=9 pid=10 ppid=11 items=12 a3=1 a2=2 a1=3 a0=4 exit=5 success=yes syscall=6 "
                "arch=7");
    CHECK_TEXT(text_of(&found, AS_FIELD_ARCH), "7");
    CHECK_TEXT(text_of(&found, AS_FIELD_KEY), "k");

    CASE("a translation is looked for up to as many equal signs of a value");
    const fields near = SYSCALL("tty=a====UID=b key=\"k\"");
    CHECK_TEXT(text_of(&near, AS_FIELD_TTY), "a====");
    const fields longest = SYSCALL("tty=aOBJ_UID=b key=\"k\"");
    CHECK_TEXT(text_of(&longest, AS_FIELD_TTY), "a");
    const fields far = SYSCALL("tty=a================UID=b key=\"k\"");
    CHECK_TEXT(text_of(&far, AS_FIELD_TTY), "a================UID=b");
}

static void same_bytes(void) {
    static const uint8_t text[] = "0123456789abcdefghijklmnopqrstuv";
    uint8_t other[sizeof text];
    CASE("texts are the same if all their bytes are, whatever their length");
    for (uint32_t len = 0; len < sizeof text; len++) {
        CHECK(as_span_same(guarded_span(text, len), as_span_of(text, len)));
        CHECK(!as_span_same(guarded_span(text, len), as_span_of(text, len + 1)));
        for (uint32_t at = 0; at < len; at++) {
            memcpy(other, text, sizeof text);
            other[at] = 'X';
            CHECK(!as_span_same(guarded_span(text, len), as_span_of(other, len)));
        }
    }
}

int main(void) {
    same_bytes();
    stamps();
    one_after_another();
    no_stamp_of_zeros();
    longest_stamp();
    only_what_is_wanted();
    start_of_a_call();
    kinds_of_record();
    kinds_of_field();
    whole_records();
    nearly_expected();
    calls();
    prefixes();
    odd_shapes();
    decoding();
    numbers();
    pathological();
    unknown_fields();
    others();
    return check_done();
}
