/* Stage 1, line: log text cut anywhere becomes the same lines, and a line is a record only from its start. */
#include "_ring/line.h"

#include "check.h"
#include "samples.h"

enum { LONGEST = 1024 };

/* Everything as_lines made of a text: lines joined by '|', a cut one with '!' behind it. */
typedef struct {
    char text[8 * LONGEST];
    uint32_t len;
} joined;

static void join(joined *to, as_span line, bool cut) {
    memcpy(to->text + to->len, line.at, line.len);
    to->len += line.len;
    to->text[to->len++] = cut ? '!' : '|';
}

/* The lines of this text, given in pieces of `piece` bytes. */
static joined lines_of(as_span text, uint32_t piece) {
    const as_config config = sample_config();
    uint8_t memory[LONGEST + 64];
    as_lines lines;
    as_carver from = {.base = memory};
    joined all = {.len = 0};
    as_span line;
    bool cut;
    as_lines_carve(&lines, &config, &from);
    while (text.len > 0) {
        const uint32_t len = piece < text.len ? piece : text.len;
        as_span part = guarded_span(text.at, len);
        text = as_span_skip(text, len);
        while (part.len > 0) {
            if (as_lines_take(&lines, &part, &line, &cut)) {
                join(&all, line, cut);
            }
        }
    }
    if (as_lines_rest(&lines, &line, &cut)) {
        join(&all, line, cut);
    }
    CHECK(!as_lines_rest(&lines, &line, &cut));
    return all;
}

static as_span text_of(const joined *all) {
    return as_span_of((const uint8_t *)all->text, all->len);
}

static void cuts(void) {
    static const char text[] = "one\n\ntwo\r\nthree";
    CASE("lines are the same however the text is cut; the last needs no end");
    for (uint32_t piece = 1; piece <= sizeof text - 1; piece++) {
        const joined all = lines_of(as_span_of((const uint8_t *)text, sizeof text - 1), piece);
        CHECK_TEXT(text_of(&all), "one||two\r|three|");
    }

    CASE("a line of just datagram_bytes is whole, and one byte more is cut, in one piece or in many");
    static const uint32_t pieces[] = {1, 7, LONGEST - 1, LONGEST, LONGEST + 1, 4 * LONGEST};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        uint8_t fill[2 * LONGEST];
        memset(fill, 'x', sizeof fill);
        fill[LONGEST] = '\n';
        joined all = lines_of(as_span_of(fill, LONGEST + 1), pieces[i]);
        CHECK_EQUAL(all.len, LONGEST + 1);
        CHECK_EQUAL(all.text[LONGEST], '|');
        fill[LONGEST] = 'x';
        fill[LONGEST + 1] = '\n';
        fill[LONGEST + 2] = 'y';
        all = lines_of(as_span_of(fill, LONGEST + 3), pieces[i]);
        CHECK_EQUAL(all.len, LONGEST + 3);
        CHECK_EQUAL(all.text[LONGEST], '!');
        CHECK_EQUAL(all.text[LONGEST + 1], 'y');
        all = lines_of(as_span_of(fill, LONGEST + 1), pieces[i]);
        CHECK_EQUAL(all.text[LONGEST], '!');
    }

    CASE("asked for the next line of no text, there is none");
    const as_config config = sample_config();
    uint8_t memory[LONGEST + 64];
    as_lines lines;
    as_carver from = {.base = memory};
    as_span nothing = GUARDED("");
    as_span line;
    bool cut;
    as_lines_carve(&lines, &config, &from);
    CHECK(!as_lines_take(&lines, &nothing, &line, &cut));
}

/* The type a line's name stands for; -1: no record. */
static int32_t type_of(as_span line) {
    as_line read;
    return as_line_read(line, &read) ? (int32_t)read.type : -1;
}

static void names(void) {
    static const struct {
        const char *name;
        uint16_t type;
    } wanted[] = {{"SYSCALL", 1300},
                  {"PATH", 1302},
                  {"IPC", 1303},
                  {"SOCKETCALL", 1304},
                  {"SOCKADDR", 1306},
                  {"CWD", 1307},
                  {"EXECVE", 1309},
                  {"OBJ_PID", 1318},
                  {"EOE", 1320},
                  {"BPRM_FCAPS", 1321},
                  {"CAPSET", 1322},
                  {"MMAP", 1323},
                  {"PROCTITLE", 1327},
                  {"URINGOP", 1336},
                  {"OPENAT2", 1337},
                  {"USER", 1100},
                  {"USER_CMD", 1100},
                  {"CRED_ACQ", 1100},
                  {"SERVICE_START", 1100},
                  {"DAEMON_END", 1200},
                  {"CONFIG_CHANGE", 0},
                  {"AVC", 0},
                  {"", 0},
                  {"SYSCAL", 0},
                  {"SYSCALLS", 0},
                  {"syscall", 0},
                  {"UNKNOWN[1334]", 1334},
                  {"UNKNOWN[65535]", UINT16_MAX},
                  {"UNKNOWN[65536]", 0},
                  {"UNKNOWN[]", 0},
                  {"UNKNOWN[", 0},
                  {"UNKNOWN[13", 0},
                  {"UNKNOWN[13x", 0},
                  {"UNKNOWN[13]x", 0}};
    CASE("a name decides the type; unknown ones are 0, or the number they carry");
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char line[128];
        const int len = snprintf(line, sizeof line, "type=%s msg=audit(1.000:2): ", wanted[i].name);
        if (!CHECK_EQUAL(type_of(guarded_span(line, (size_t)len)), wanted[i].type)) {
            printf("# for the name '%s'\n", wanted[i].name);
        }
    }
}

static void starts(void) {
    as_line read;
    CASE("a line is a record's type and the text behind msg=");
    CHECK(as_line_read(GUARDED("type=CWD msg=audit(1.000:2): cwd=\"/\""), &read));
    CHECK_EQUAL(read.type, 1307);
    CHECK_TEXT(read.text, "audit(1.000:2): cwd=\"/\"");
    CHECK_TEXT(read.node, "");

    CASE("a collector's node= before it is kept");
    CHECK(as_line_read(GUARDED("node=a.example type=CWD msg=audit(1.000:2): x"), &read));
    CHECK_TEXT(read.node, "a.example");
    CHECK_TEXT(read.text, "audit(1.000:2): x");

    CASE("a name that only starts as one that decides is another");
    CHECK_EQUAL(type_of(GUARDED("type=PROCTITLX msg=audit(1.000:2): x")), 0);
    CHECK_EQUAL(type_of(GUARDED("type=PROCTITL msg=audit(1.000:2): x")), 0);
    CHECK_EQUAL(type_of(GUARDED("type=PROCTITLES msg=audit(1.000:2): x")), 0);
    CHECK_EQUAL(type_of(GUARDED("type= msg=audit(1.000:2): x")), 0);

    CASE("a carriage return at the end is no part of it");
    CHECK(as_line_read(GUARDED("type=CWD msg=audit(1.000:2): x\r"), &read));
    CHECK_TEXT(read.text, "audit(1.000:2): x");

    CASE("what does not start as a record is none, whatever it says further on");
    CHECK_EQUAL(type_of(GUARDED("")), -1);
    CHECK_EQUAL(type_of(GUARDED("\r")), -1);
    CHECK_EQUAL(type_of(GUARDED(" type=CWD msg=audit(1.000:2): x")), -1);
    CHECK_EQUAL(type_of(GUARDED("x type=CWD msg=audit(1.000:2): x")), -1);
    CHECK_EQUAL(type_of(GUARDED("----")), -1);
    CHECK_EQUAL(type_of(GUARDED("node=a")), -1);
    CHECK_EQUAL(type_of(GUARDED("node=a node=b type=CWD msg=audit(1.000:2): x")), -1);
    CHECK_EQUAL(type_of(GUARDED("type=CWD audit(1.000:2): x")), -1);
    CHECK_EQUAL(type_of(GUARDED("type=USER msg='type=SYSCALL msg=audit(1.000:2): x'")), -1);

    CASE("of a record's line every prefix up to msg=audit( is none, and every longer one is");
    static const char line[] = "node=a type=CWD msg=audit(1.000:2): cwd=\"/\"";
    const size_t start = (size_t)(strchr(line, '(') - line) + 1;
    for (size_t len = 0; len < sizeof line; len++) {
        CHECK_EQUAL(type_of(guarded_span(line, len)), len < start ? -1 : 1307);
    }
}

int main(void) {
    cuts();
    names();
    starts();
    return check_done();
}
