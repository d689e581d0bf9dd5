/* What others write before a record, at the exact bounds of each form. tests/c/test_line.c has whole lines. */
#include "_ring/prefix.h"

#include "check.h"

enum { LONG = AS_LONGEST_PREFIX };

static bool known(const char *text) {
    return as_prefix_known(guarded_span(text, strlen(text)));
}

static void all_known(const char *const *texts, size_t count, bool wanted) {
    for (size_t i = 0; i < count; i++) {
        if (!CHECK_EQUAL(known(texts[i]), wanted)) {
            printf("# for '%s'\n", texts[i]);
        }
    }
}

#define KNOWN(sentence, ...)                                  \
    do {                                                      \
        static const char *const texts[] = {__VA_ARGS__};     \
        CASE(sentence);                                       \
        all_known(texts, sizeof texts / sizeof *texts, true); \
    } while (0)

#define UNKNOWN(sentence, ...)                                 \
    do {                                                       \
        static const char *const texts[] = {__VA_ARGS__};      \
        CASE(sentence);                                        \
        all_known(texts, sizeof texts / sizeof *texts, false); \
    } while (0)

static void dates(void) {
    KNOWN("months and days have three letters, the first of them large, and a comma at most",
          "Nov 24 audispd: ", "Zab 24 audispd: ", "Aaz 24 audispd: ", "AZZ 24 audispd: ", "Mon, 24 audispd: ",
          "24 audispd: ", "0 audispd: ", "9 audispd: ");
    UNKNOWN("other words before a file of containers are no date", "Nova stdout F ", "No stdout F ", "nov stdout F ",
            "Nov; stdout F ", "Nov,, stdout F ", "No,, stdout F ", "N,v stdout F ", "Mon-, stdout F ", "[ov stdout F ",
            "Nov, stdout", "@ov stdout F ", "stdout F ", "stderr P ", ", stdout F ", ",,, stdout F ", "-:- stdout F ");
    KNOWN("a number may have the marks and the letters of a time", "2026-11-24T16:00:00Z stdout F ",
          "1-:.,+/1 stdout F ", "20261124T160000 stdout F ", "Sat stdout F ", "160000Z stderr P ", "2026Zz stdout F ",
          "1T stdout F ", "Nov stdout F ", "1z1Z stderr F ");
    UNKNOWN("and no others", "2026x stdout F ", "2026xy stdout F ", "1TZa stdout F ", "1TTZ stdout F ", "1_1 stdout F ",
            "16:00PM stdout F ", "1` stdout F ", "1{ stdout F ", "1@ stdout F ");
    KNOWN("a date has at most eight parts, and two hosts may follow", "1 2 3 4 5 6 7 8 audispd: ",
          "1 2 3 4 5 6 7 8 a audispd: ", "1 2 3 4 5 6 7 8 a b audispd: ", "1 2 3 4 5 6 7 8 9 a audispd: ");
    KNOWN("a time zone is part of a date", "1 NZST a b audispd: ", "1 AAA a b audispd: ");
    UNKNOWN("more of them are text", "1 NzST a b audispd: ", "1 2 3 4 5 6 7 8 a b c audispd: ",
            "1 2 3 4 5 6 7 8 9 a b audispd: ", "a audispd: ", "1 a b ", "1 a 2 b 3 c audispd: ");
    KNOWN("a date alone is enough", "1 ", "1", "Nov 24 16:00:00 ", "1 2 3 4 5 6 7 8 ");
    KNOWN("so are a date and a host, and a program that may be trusted", "1 a ", "1 2 3 4 5 6 7 8 9 ", "1 a audispd ",
          "1 a 2 b audispd: ", "1 a <5>audispd: ");
}

static void programs(void) {
    KNOWN("a program is the kernel, or has audi in its name, in either case", "kernel: ", "kernel[1]: ", "audi: ",
          "AUDISPD: ", "xaUdIx: ", "audi[: ", "audispd[12]: ", "1 kernel: ", "audisp_remote: ");
    UNKNOWN("and no other", "kernels: ", "kerne: ", "Kernel: ", "aud: ", "audx: ", ": ", "audispd", "audispd ",
            "1 : ", "1 x: audispd: ");
    KNOWN("behind it stands what printk adds",
          "kernel: audit:", "kernel: audit: ", "kernel: [1.0] audit: ", "kernel: [1.0] [T1] ",
          "kernel:\t[ <a>,b:+.1 ] audit:\t");
    UNKNOWN("and nothing else", "kernel: audit", "kernel: audit: x", "kernel: audit: audit: ", "kernel: [1.0",
            "kernel: [1_0] ", "kernel: [1@] ", "kernel: [1{] ", "kernel: [`] ", "kernel: x[1] ", "kernel: [] x");
    KNOWN("brackets are empty or hold letters, digits and marks", "[] ", "[azAZ09] ", "[ .:,+<>] ", "[][][] ",
          "[1]audit:");
    UNKNOWN("brackets that do not end are text", "[", "[1", "[1 ", "][", "[/] ", "[;] ", "[=] ");
    KNOWN("docker compose writes the service and a bar", "auditd-1  | ", "audit |", "audit | Nov 24 audispd: ");
    UNKNOWN("a service without a bar, or of another name, is text", "audit x ", "audit ", "bob | ");
    KNOWN("a word with a quote or = is not part of a header", "1 audispd: ");
    UNKNOWN("", "1 a=b audispd: ", "1 a\"b audispd: ", "1 audi=: ", "1 audi\": ");
    KNOWN("a host and a file behind an arrow name audit", "1 hostA->/var/log/audit/a ", "a->audi ", "1 h->AUDIT");
    UNKNOWN("or are unknown", "1 hostA->/var/log/b ", "1 h->audit x ", "1 a audit-/x=b ");
    KNOWN("a line of a container ends with a tag", "1 stdout F ", "1 stdout P ", "1 stderr F", "1 stderr P");
    UNKNOWN("of two kinds, and nothing follows", "1 stdout ", "1 stdout X ", "1 stdout F F ", "1 stdouts F ",
            "1 out F ", "1 stdout FF ", "stdout F ");
}

static void syslog_headers(void) {
    KNOWN("a priority may stand before, with a length", "<1>", "<134> ",
          "<134>audispd: ", "12 <134>audispd: ", "12<134>audispd: ", "<0>\t", "<9>1 - h audi - - - ");
    UNKNOWN("a priority is a number in angles", "<", "<1", "<x>", "<1x>", "<1 >", "<1>> ", "1<", "<1>x ");
    KNOWN("RFC 5424 has a time, a host, a program, a pid, an id and data", "1 2026 h audispd 1 - - ",
          "1 - h audi - - -", "1 2026-11-24T16:00:00Z h kernel 1 2 - audit: ", "1 2026 h audi[1] p i - ",
          "1 - h audi - - [] ", "1 - h audi - - []", "1 - h audi - - [a] ", "1 - h audi - - [a][b] ",
          "1 - h audi - - [a x=\"]\"] ", "1 - h audi - - [a x=\"\\\"]\"] ", "1 - h audi - - [a x=\"\\\\\"] ",
          "1 - h audi - - [a\\] ", "1 - h audi - - [a][b] \xEF\xBB\xBF");
    UNKNOWN("each of them", "1 - h audi - - ", "1 - h audi - ", "1 - h audi ", "1 - h bob - - - ", "1 x h audi - - - ",
            "1 - h audi - - x ", "1 - h audi - - [", "1 - h audi - - [a", "1 - h audi - - [a x=\"] ",
            "2 - h audi - - - ", "1- h audi x - - ", "1 - h audi - - [a x=\"\\\"] ", "1 - h audi - - [a]x ",
            "1 - h audi - - -x ", "1 - h audi - - -- ", "1 -- h audi - - - ", "1 - h audi - - [a x=\"\\",
            "1 - h audi - - [a][b ");
    KNOWN("/dev/kmsg has numbers up to a semicolon", "5,1234,4000000000,-;audit: ", "0;",
          "9;audit:", "5;[1.0] audit: ", "5;[1] ", "5; host audispd: ");
    UNKNOWN("that begin with a digit", ";[1] ", "x;[1] ", ",5;[1] ", "x ;[1] ", "x\t;[1] ", "5;x y");
    KNOWN("dmesg names facility and level",
          "kern  :notice: ", "kern :x: audit: ", "kern  :notice: [1.0] audit: ", "kern :a: host kernel: ");
    UNKNOWN("between colons", "kern :: ", "kern :notice ", "kern notice: ", "kern : ", "kern x: audispd ",
            "kern:x: ", "kern", "kern ");
}

static void files(void) {
    KNOWN("grep writes a file's name and perhaps a number", "a.log:", "a.log-", "a.LOG:", "/:", "audi:", "a:", "-", ":",
          "a:1:", "a-1-", "a:\t1:", "a.log:1:1 audispd: ", "a b.log:", "/a b:", "a audi:", "a:b:c:d:e:f:g:h.log:",
          "a.log:1:1:1 audispd: ");
    UNKNOWN("a name with a blank looks like that of a log", "a b:", "a b.lo:", "a b.log", "a b.logx",
            "a aud:", "a b.lg:", "a og:", "g :", "i :", "x y-");
    UNKNOWN("and holds no byte that ends a message", "a=b.log:", "a\"b.log:", "a'b.log:", "a<b.log:", "a>b.log:",
            "a|b.log:", "a\037b.log:", "a\001.log:", "=:", "a.log=:");
    KNOWN("a blank behind the mark belongs to a number", "a.log: 1:", "a.log- 1-", "a- 1:");
    UNKNOWN("and ends a name that is not a file's",
            "bob: 1:", "a b - /c:", "a - b.log:", "bob: audit.log:", "a b: c.log:", "a.log x: y.log:");
    KNOWN("of many marks eight are tried", "1:x:x:x:x:x:x:", "x:x:x:x:x:x:x:x:");
    UNKNOWN("and no more", "x:x:x:x:x:x:x:x:x:", "a.log:x:x:x:x:x:x:x:1:x");
}

static void bounds(void) {
    static char text[LONG + 64];
    CASE("a word has at most 256 bytes");
    for (int len = 254; len < 260; len++) {
        memset(text, 'a', sizeof text);
        memcpy(text, "1 ", 2);
        memcpy(text + 2, "audi", 4);
        strcpy(text + 2 + len, ": ");
        CHECK_EQUAL(known(text), len + 1 <= 256);
    }
    CASE("brackets and the numbers of kmsg have at most 64 bytes");
    for (int len = 61; len < 67; len++) {
        memset(text, '1', sizeof text);
        text[0] = '[';
        strcpy(text + len, "]");
        CHECK_EQUAL(known(text), len <= 64);
        memset(text, '1', sizeof text);
        strcpy(text + len, ";");
        CHECK_EQUAL(known(text), len < 64);
    }
    CASE("nothing is a header, so are blanks and the mark of UTF-8, and one byte of anything is judged");
    CHECK(known(""));
    CHECK(known(" \t\xEF\xBB\xBF \xEF\xBB\xBF"));
    CHECK(!known("\xEF\xBB"));
    for (int byte = 1; byte < 256; byte++) {
        const char one[] = {(char)byte, 0};
        const bool wanted = byte == ' ' || byte == '\t' || byte == ':' || byte == '-' || (byte >= '0' && byte <= '9');
        if (!CHECK_EQUAL(known(one), wanted)) {
            printf("# for byte %d\n", byte);
        }
    }
}

int main(void) {
    dates();
    programs();
    syslog_headers();
    files();
    bounds();
    return check_done();
}
