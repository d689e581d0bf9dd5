/* Stage 1, line: log text cut anywhere becomes the same lines, and a line is a record only from its start. */
#include "_ring/line.h"

#include "_ring/prefix.h"
#include "check.h"
#include "samples.h"

enum { LONGEST = 1024 };

/* Everything as_lines made of a text: lines joined by '|', a cut one with '!' behind it. */
typedef struct {
    char text[16 * LONGEST];
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
    as_arena from = {.base = memory};
    joined all = {.len = 0};
    as_span line;
    bool cut;
    as_lines_init(&lines, &config, &from);
    while (text.len > 0) {
        const uint32_t len = piece < text.len ? piece : text.len;
        as_span part = guarded_span(text.at, len);
        text = as_span_skip(text, len);
        as_lines_begin(&lines);
        while (part.len > 0) {
            cut = true;
            if (as_lines_next(&lines, &part, &line, &cut)) {
                join(&all, line, cut);
            }
        }
    }
    if (as_lines_last(&lines, &line, &cut)) {
        join(&all, line, cut);
    }
    CHECK(!as_lines_last(&lines, &line, &cut));
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

    CASE("zero bytes end a line, and those before a line are skipped, however the text is cut");
    static const char holes[] = "\0\0one\0\0\0two\n\0\n\0three\0";
    for (uint32_t piece = 1; piece <= sizeof holes - 1; piece++) {
        const joined all = lines_of(as_span_of((const uint8_t *)holes, sizeof holes - 1), piece);
        CHECK_TEXT(text_of(&all), "one|two||three|");
    }

    CASE("a zero byte is found beyond the block that is looked at ahead, and behind a line that crosses it");
    static char large[3 * 4096];
    memset(large, 'x', sizeof large);
    for (size_t i = 1000; i < sizeof large; i += 1000) {
        large[i] = i % 3000 == 0 ? '\0' : '\n';
    }
    const joined both = lines_of(as_span_of((const uint8_t *)large, sizeof large), sizeof large);
    CHECK_EQUAL(both.len, sizeof large + 1);
    for (size_t i = 0; i <= sizeof large; i++) {
        CHECK_EQUAL(both.text[i], i == sizeof large || (i % 1000 == 0 && i > 0) ? '|' : 'x');
    }

    CASE("behind the first block, neither what follows the text nor what follows a zero byte ends a line");
    enum { BLOCK = 8192 };
    static uint8_t long_line[BLOCK + 32];
    for (uint32_t has_zero = 0; has_zero < 2; has_zero++) {
        memset(long_line, 'x', sizeof long_line);
        long_line[BLOCK + 10] = has_zero ? '\0' : 'x';
        long_line[BLOCK + 20] = '\n';
        const joined one = lines_of(as_span_of(long_line, BLOCK + 15), BLOCK + 15);
        CHECK_EQUAL(one.len, LONGEST + 1 + (has_zero ? 5 : 0));
    }
    as_config large_config = sample_config();
    large_config.datagram_bytes = 2 * BLOCK;
    static uint8_t large_memory[2 * BLOCK + 64];
    as_lines lines;
    as_arena from = {.base = large_memory};
    as_span line;
    bool cut;
    as_lines_init(&lines, &large_config, &from);
    as_lines_begin(&lines);
    as_span rest = as_span_of(long_line, BLOCK + 30);
    CHECK(as_lines_next(&lines, &rest, &line, &cut));
    CHECK_EQUAL(line.len, BLOCK + 10);
    long_line[BLOCK + 10] = 'x';
    as_lines_begin(&lines);
    rest = as_span_of(long_line, BLOCK + 15);
    CHECK(!as_lines_next(&lines, &rest, &line, &cut));
    CHECK(as_lines_last(&lines, &line, &cut));
    CHECK_EQUAL(line.len, BLOCK + 15);

    CASE("asked for the next line of no text, there is none");
    const as_config config = sample_config();
    uint8_t memory[LONGEST + 64];
    from = (as_arena){.base = memory};
    as_span nothing = GUARDED("");
    as_lines_init(&lines, &config, &from);
    CHECK(!as_lines_next(&lines, &nothing, &line, &cut));
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
                  {"USER", 1199},
                  {"USER_OF_THE_FUTURE", 1199},
                  {"USER_AUTH", 1100},
                  {"USER_CMD", 1123},
                  {"CRED_ACQ", 1103},
                  {"SERVICE_START", 1130},
                  {"SERVICE_", 0},
                  {"ADD_USER", 1114},
                  {"DAEMON_END", 1299},
                  {"LOGIN", 1006},
                  {"CONFIG_CHANGE", 1305},
                  {"SECCOMP", 1326},
                  {"AVC", 1400},
                  {"ANOM_ABEND", 1701},
                  {"ANOM_PROMISCUOUS", 1700},
                  {"", 0},
                  {"SYSCAL", 0},
                  {"SYSCALLS", 0},
                  {"SOCKADD\xd2", 0},
                  {"syscall", 1300},
                  {"user_cmd", 1123},
                  {"syscal", 0},
                  {"sysCALL_of_more_than_any_name_is_long", 0},
                  {"FD_PAIR", 1317},
                  {"MQ_OPEN", 1312},
                  {"MQ_SENDRECV", 1313},
                  {"MQ_NOTIFY", 1314},
                  {"MQ_GETSETATTR", 1315},
                  {"IPC_SET_PERM", 1311},
                  {"5", 5},
                  {"1300", 1300},
                  {"1327", 1327},
                  {"65536", 0},
                  {"13x", 0},
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

#define RECORD "type=CWD msg=audit(1.000:2): x"
#define PRINTK "type=1307 audit(1.000:2): x"

static void prefixes(void) {
    static const char *const known[] = {
        "  " RECORD,
        "\t" RECORD,
        "\xEF\xBB\xBF" RECORD,
        "\xEF\xBB\xBF  node=a " RECORD,
        PRINTK,
        "Nov 24 16:00:00 hostA audispd: node=a " RECORD,
        "Nov  4 16:00:00 hostA audisp-syslog[985]: " RECORD,
        "<134>Apr 20 08:43:50 server1 audisp-syslog: " RECORD,
        "312 <134>Apr 20 08:43:50 server1 audisp-syslog: " RECORD,
        "<134>" RECORD,
        "Nov 24 2026 16:00:00.123 hostA auditd: " RECORD,
        "Nov 24 16:00:00 audispd: " RECORD,
        "Nov 24 16:00:00 audit-1 tag_audit_log: " RECORD,
        "2026-11-24T16:00:00.000000+00:00 hostA audispd: " RECORD,
        "2026-11-24T16:00:00Z hostA audisp-remote[1]: " RECORD,
        "Tue 2026-11-24 16:00:00 UTC hostA kernel: audit: " PRINTK,
        "1795536000.000000 hostA kernel: audit: " PRINTK,
        "<165>1 2026-11-24T16:00:00.000Z hostA audispd 123 - - " RECORD,
        "<165>1 2026-11-24T16:00:00.000Z hostA audispd - ID47 [a@1 x=\"]\\\"[\" y=\"2\"][b@2] \xEF\xBB\xBF" RECORD,
        "<165>1 - hostA kernel - - - audit: " PRINTK,
        "1 2026-11-24T16:00:00.000Z hostA audispd - - - node=a " RECORD,
        "[ 4000.000000] audit: " PRINTK,
        "[ 4000.000000] " PRINTK,
        "[ 4000.000000] hostA kernel: audit: " PRINTK,
        "[    4.000000][   T12] audit: " PRINTK,
        "[Tue Nov 24 16:00:00 2026] audit: " PRINTK,
        "[  +0.020000] audit: " PRINTK,
        "<5>[ 4000.000000] audit: " PRINTK,
        "kern  :notice: [ 4000.000000] audit: " PRINTK,
        "5,1234,4000000000,-;audit: " PRINTK,
        "2026-11-24T16:00:00,000000+00:00 audit: " PRINTK,
        "Nov 24 16:00:00 hostA kernel: [ 4000.000000] audit: " PRINTK,
        "Nov 24 16:00:00 hostA kernel: audit: " PRINTK,
        "kernel: audit: " PRINTK,
        "audit: " PRINTK,
        "audispd: node=a " RECORD,
        "2026-11-24T16:00:00.000000000Z stdout F " RECORD,
        "2026-11-24T16:00:00.000000000Z " RECORD,
        "2026 Nov 24 16:00:00 hostA->/var/log/audit/audit.log " RECORD,
        "     1\t" RECORD,
        "12:" RECORD,
        "audit.log:" RECORD,
        "audit.log:12:" RECORD,
        "audit.log-12-" RECORD,
        "audit.log-" RECORD,
        "audit.log:  12:\t" RECORD,
        "audit.log:node=a " RECORD,
        "audit.log-20261129.1:12:node=a " RECORD,
        "/var/log/my logs/audit.log:12:" RECORD,
        "old audit.log:" RECORD,
        "C:\\logs\\a:b.log:12:" RECORD,
        "messages:12:Nov 24 16:00:00 hostA audispd: " RECORD,
        "/var/log/syslog-1:Nov 24 16:00:00 hostA kernel: [ 4.0] audit: " PRINTK,
        "/var/log/my logs/kern.log:[ 4000.000000] audit: " PRINTK,
        "/tmp/it's a=b.log:12:" RECORD,
        "(standard input):" RECORD,
        "(standard input):12:node=a " RECORD,
        "Nov 24 16:00:00 hostA " RECORD,
        "Nov 24 16:00:00 fe80::1 node=a " RECORD,
        "<13>2026-11-24T16:00:00.1+01:00 hostA " RECORD,
        "Nov 24 16:00:00 hostA audispd " RECORD,
        "Nov 24 16:00:00 hostA auditd[12]  " RECORD,
        "Tue Nov 24 16:00:00 CEST 2026 hostA audispd: " RECORD,
        "M\xC3\xA4r 24 16:00:00 hostA audispd: " RECORD,
        "okt. 24 16:00:00 hostA kernel: audit: " PRINTK,
        "Nov 24 16:00:00 relay Nov 24 16:00:00 hostA audispd: " RECORD,
        "Nov 24 16:00:00 relay <13>Nov 24 16:00:00 hostA audispd: " RECORD,
        "2026-11-24T16:00:00Z hostA audispd - - - " RECORD,
        "2026-11-24T16:00:00Z hostA audispd 12 ID - node=a " RECORD,
        "<13>1 2026-11-24T16:00:00Z hostA - - - - " RECORD,
        "[pod/auditd-x7_y/auditd] " RECORD,
        "[pod/auditd-x7/auditd] 2026-11-24T16:00:00Z " RECORD,
        "auditd-1  | node=a " RECORD,
        "type=CWD  msg=audit(1.000:2): x",
        "type=CWD\tmsg=audit(1.000:2): x",
        "node=a  type=CWD \t msg=audit(1.000:2): x",
        "type=cwd msg=audit(1.000:2): x",
        "<13>node=a\ttype=cwd\tmsg=audit(1.000:2): x",
    };
    static const char *const others[] = {
        "/usr/lib/bob: " RECORD,
        "/usr/lib/bob's: " RECORD,
        "Nov 24 16:00:00 hostA bob " RECORD,
        "Nov 24 16:00:00 hostA Nov 24 16:00:00 hostB bob: " RECORD,
        "Nov 24 16:00:00 a Nov 24 16:00:00 b Nov 24 16:00:00 c audispd: " RECORD,
        "2026-11-24T16:00:00Z hostA bob - - - " RECORD,
        "2026-11-24T16:00:00Z hostA - - - - " RECORD,
        "2026-11-24 16:00:00 audit-host bob: - - " RECORD,
        "[pod/x y] " RECORD,
        "[bob/x/y] " RECORD,
        "bob | " RECORD,
        "auditd | bob: " RECORD,
        "audit.log:a='b':" RECORD,
        "(standard input): bob: " RECORD,
        "x " RECORD,
        "bob: " RECORD,
        "bob[1]: audit: " PRINTK,
        "hello audit: " PRINTK " y z: " RECORD,
        "Nov 24 16:00:00 hostA bob: " RECORD,
        "Nov 24 16:00:00 hostA bob: audispd: " RECORD,
        "Nov 24 16:00:00 hostA bob[1]: [ 4.0] audit: " PRINTK,
        "Nov 24 16:00:00 hostA bob: x:" RECORD,
        "Nov 24 16:00:00 hostA bob: /audit.log:12:" RECORD,
        "Nov 24 16:00:00 audit-host bob: x:" RECORD,
        "Nov 24 16:00:00 hostA audispd: x " RECORD,
        "Nov 24 16:00:00 hostA kernel: x audit: " PRINTK,
        "messages:Nov 24 16:00:00 hostA bob: x:" RECORD,
        "messages:12:Nov 24 16:00:00 hostA bob: audit.log:12:" RECORD,
        "<13>Nov 24 16:00:00 hostA bob: " RECORD,
        "<x>audispd: " RECORD,
        "<13>1 2026-11-24T16:00:00Z hostA bob - - - " RECORD,
        "<13>1 2026-11-24T16:00:00Z hostA bob - - - audispd: " RECORD,
        "<13>1 2026-11-24T16:00:00Z hostA bob - - - /audit.log:12:" RECORD,
        "1 2026-11-24T16:00:00Z audit-host bob - - - x:" RECORD,
        "<13>1 2026-11-24T16:00:00Z hostA audispd - - [a x=\"" RECORD,
        "<13>1 2026-11-24T16:00:00Z hostA audispd - - [a x=\"1\"] y " RECORD,
        "type=USER msg='op=x " RECORD "'",
        "type=USER msg='audit: " PRINTK "'",
        "audit: type=USER " RECORD,
        "audit.log:a=b:" RECORD,
        "audit.log:\"x\":" RECORD,
        "2026-11-24T16:00:00.000000000Z stdout X " RECORD,
        "2026-11-24T16:00:00.000000000Z stdout F x " RECORD,
        "bob wrote: 'audit.log:" RECORD,
        "node=a node=b " RECORD,
        "audit: type=CWD audit(1.000:2): x",
        "audit: type=UNKNOWN[1307] audit(1.000:2): x",
        "audit: type=0 audit(1.000:2): x",
        "Nov 24 16:00:00 hostA audispd: type=cwd type=CWD x",
    };
    CASE("a record is read behind what syslog, the kernel's log, containers and grep write before it");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        as_line read;
        const as_span line = guarded_span(known[i], strlen(known[i]));
        if (!CHECK(as_line_read(line, &read) && read.type == 1307)) {
            printf("# for '%s'\n", known[i]);
            continue;
        }
        CHECK_TEXT(read.text, "audit(1.000:2): x");
        if (strstr(known[i], "node=") != NULL) {
            CHECK_TEXT(read.node, "a");
        } else {
            CHECK_TEXT(read.node, "");
        }
    }

    CASE("a record in a program's message, in a value or behind another record is none");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (!CHECK_EQUAL(type_of(guarded_span(others[i], strlen(others[i]))), -1)) {
            printf("# for '%s'\n", others[i]);
        }
    }

    CASE("of two records in a line the first is read, and nothing of the second");
    as_line read;
    CHECK(as_line_read(GUARDED("audispd: type=USER_CMD msg=audit(1.000:2): msg='x audispd: " RECORD "'"), &read));
    CHECK_EQUAL(read.type, 1123);
    CHECK_TEXT(read.text, "audit(1.000:2): msg='x audispd: " RECORD "'");

    CASE("a prefix of any length up to the longest is looked at, and no longer one");
    static char text[2 * AS_LONGEST_PREFIX];
    for (uint32_t len = AS_LONGEST_PREFIX - 10; len < AS_LONGEST_PREFIX + 10; len++) {
        memset(text, ' ', sizeof text);
        memcpy(text + len, RECORD, sizeof RECORD - 1);
        CHECK_EQUAL(type_of(guarded_span(text, len + sizeof RECORD - 1)), len <= AS_LONGEST_PREFIX ? 1307 : -1);
    }
}

static void samples(void) {
    const as_config config = sample_config();
    uint8_t memory[LONGEST + 64];
    as_lines lines;
    as_arena from = {.base = memory};
    as_lines_init(&lines, &config, &from);
    CASE("the first line that is kept as a sample is not blank, and only its start is kept");
    as_lines_sample(&lines, GUARDED(""));
    as_lines_sample(&lines, GUARDED("  \r"));
    CHECK_EQUAL(lines.sample_len, 0);
    as_lines_sample(&lines, GUARDED("  first"));
    as_lines_sample(&lines, GUARDED("second"));
    CHECK_TEXT(as_span_of(lines.sample, lines.sample_len), "first");
    uint8_t fill[2 * AS_SAMPLE_BYTES];
    memset(fill, 'x', sizeof fill);
    lines.sample_len = 0;
    as_lines_sample(&lines, as_span_of(fill, sizeof fill));
    CHECK_EQUAL(lines.sample_len, AS_SAMPLE_BYTES);
}

static void separators(void) {
    CASE("separators between records are distinguished from other lines");
    CHECK(as_line_separates(GUARDED("----")));
    CHECK(as_line_separates(GUARDED("----\r")));
    CHECK(as_line_separates(GUARDED("time->Tue Nov 24 16:00:00 2026")));
    CHECK(as_line_separates(GUARDED("==> /var/log/audit/audit.log <==")));
    CHECK(!as_line_separates(GUARDED("time->SYSCALL msg=audit(1.000:1): arch=c000003e")));
    CHECK(!as_line_separates(GUARDED("==> ")));
    CHECK(!as_line_separates(GUARDED("==> x")));
    CHECK(!as_line_separates(GUARDED("-----")));
    CHECK(!as_line_separates(GUARDED("time")));
    CHECK(!as_line_separates(GUARDED("")));
    CHECK(!as_line_separates(GUARDED("\r")));
}

int main(void) {
    separators();
    cuts();
    names();
    starts();
    prefixes();
    samples();
    return check_done();
}
