/* The start of a SYSCALL record: read once, found again by the slot of its text. */
#include "_ring/call_head.h"

#include "check.h"
#include "samples.h"

#define IDS                                                                                                            \
    " auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3 comm=\"cat\" exe=\"/bin/cat\" " \
    "subj=unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023 key=(null)"
#define HEAD "arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffe a2=80000 a3=0 items=1 ppid=1 pid=2"

static as_heads heads;

/* Whether the start gives what reading the whole record gives, and ends where reading up to pid ends. */
static bool same_as_read(as_span body, const as_head *head) {
    as_value values[AS_FIELDS];
    as_value read[AS_FIELDS];
    const as_record record = {.type = AS_TYPE_SYSCALL, .body = body};
    as_values_clear(values, AS_ALL_FIELDS);
    as_values_clear(read, AS_ALL_FIELDS);
    as_record_fields(&record, AS_HEAD_BITS, read);
    as_head_values(head, body, AS_ALL_FIELDS, values);
    as_record_cursor cursor = {0};
    as_value passed[AS_FIELDS];
    uint64_t located = 0;
    as_values_clear(passed, AS_ALL_FIELDS);
    as_record_fields_on(&record, &cursor, AS_BIT(AS_FIELD_PID), AS_BIT(AS_FIELD_PID), &located, passed);
    bool same = cursor.at == head->len && cursor.expected == AS_HEAD_FIELDS;
    for (uint32_t field = AS_FIELD_ARCH; same && field <= AS_FIELD_PID; field++) {
        same = values[field].form == read[field].form && values[field].span.at == read[field].span.at &&
               values[field].span.len == read[field].span.len;
    }
    return same && values[AS_FIELD_AUID].form == AS_FORM_ABSENT;
}

static bool reads(as_span body) {
    as_head head;
    return as_head_read(body, &head) && same_as_read(body, &head);
}

static bool refuses(as_span body) {
    as_head head = {.len = 1};
    return !as_head_read(body, &head) && head.len == 0;
}

static void forms(void) {
    CASE("a start has the values of its record, short and long ones");
    CHECK(reads(GUARDED(HEAD IDS)));
    CHECK(reads(GUARDED("arch=40000028 syscall=0 success=no exit=-13 a0=0 a1=0 a2=0 a3=0 items=0 ppid=0 pid=1" IDS)));
    CHECK(reads(GUARDED("arch=c000003e syscall=4294967295 success=yes exit=-9223372036854775808 a0=ffffffffffffffff "
                        "a1=ffffffffffffffff a2=ffffffffffffffff a3=ffffffffffffffff items=64 ppid=4194304 "
                        "pid=4194304" IDS)));

    CASE("a record in another form is read in the ordinary way");
    CHECK(refuses(GUARDED(HEAD))); /* short */
    CHECK(refuses(GUARDED("")));
    CHECK(refuses(GUARDED("arch=c000003e syscall=257 a0=0 a1=0 a2=0 a3=0 items=1 ppid=1 pid=2" IDS)));
    CHECK(
        refuses(GUARDED("syscall=257 arch=c000003e success=yes exit=3 a0=0 a1=0 a2=0 a3=0 items=1 ppid=1 pid=2" IDS)));
    CHECK(refuses(GUARDED("arch=c000003e per=400 syscall=257 success=yes exit=3 a0=0 a1=0 a2=0 a3=0 items=1 ppid=1 "
                          "pid=2" IDS)));
    CHECK(refuses(GUARDED(" " HEAD IDS)));

    CASE("of a prefix of a record, only those are read that hold a whole start, and nothing behind them is touched");
    const as_span whole = as_span_of((const uint8_t *)HEAD IDS, sizeof HEAD IDS - 1);
    for (uint32_t len = 0; len <= whole.len; len++) {
        const as_span part = guarded_span(whole.at, len);
        CHECK(len < AS_HEAD_TEXT ? refuses(part) : reads(part));
    }

    CASE("a start that does not end within AS_HEAD_TEXT is none");
    uint8_t wide[2 * AS_HEAD_TEXT];
    memset(wide, '0', sizeof wide);
    memcpy(wide, HEAD, sizeof HEAD - 1);
    for (uint32_t at = AS_HEAD_TEXT - 2; at < AS_HEAD_TEXT + 2; at++) {
        wide[at] = ' ';
        memcpy(wide + at + 1, "auid=0", 6);
        CHECK((at < AS_HEAD_TEXT ? reads : refuses)(guarded_span(wide, sizeof wide)));
        wide[at] = '0';
    }
}

/* Every byte in every place of a start: what is read from it is what reading the whole record gives. */
static void bytes(void) {
    uint8_t text[sizeof HEAD IDS - 1];
    uint32_t read = 0;
    CASE("a start with any byte in any place has the values of its record, or is none");
    for (uint32_t at = 0; at < sizeof HEAD - 1; at++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            as_head head;
            memcpy(text, HEAD IDS, sizeof text);
            text[at] = (uint8_t)byte;
            const as_span body = as_span_of(text, sizeof text);
            if (as_head_read(body, &head)) {
                read++;
                CHECK(same_as_read(body, &head));
            }
        }
    }
    CHECK(read > 200);

    CASE("stops are found in any place, with and without the processor's instructions for it");
    for (uint32_t at = 0; at < 16; at++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            const bool stop = byte <= ' ' || byte == '=' || byte == '"';
            static const uint8_t others[] = {'a', 0xff, ' ', 0};
            for (size_t i = 0; i < sizeof others; i++) {
                const uint32_t around = others[i] <= ' ' ? 0xffff & ~(1u << at) : 0;
                memset(text, others[i], 16);
                text[at] = (uint8_t)byte;
                CHECK_EQUAL(as_stops(text), around | (stop ? 1u << at : 0));
                CHECK_EQUAL(as_stops_portable(text), around | (stop ? 1u << at : 0));
            }
        }
    }
}

/* Whether a text gives the same start behind one of the same form as it does alone. */
static bool same_behind(as_span before, as_span body) {
    as_head alone;
    as_heads_add(&heads, 1, before);
    const as_head *head = as_heads_add(&heads, 2, body);
    if (!as_head_read(body, &alone)) {
        return head == NULL && as_heads_find(&heads, 2) == NULL;
    }
    return head != NULL && head->slot == 2 && head->len == alone.len &&
           memcmp(head->values, alone.values, sizeof alone.values) == 0;
}

static void other_forms(void) {
    const as_span usual = as_span_of((const uint8_t *)HEAD IDS, sizeof HEAD IDS - 1);
    uint8_t text[sizeof HEAD IDS - 1];
    CASE("behind another one, a start with any byte in any place is read as it is alone");
    for (uint32_t at = 0; at < AS_HEAD_TEXT; at++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            memcpy(text, usual.at, sizeof text);
            text[at] = (uint8_t)byte;
            CHECK(same_behind(usual, as_span_of(text, sizeof text)));
        }
    }

    CASE("behind another one, values may be longer, shorter, and other ones");
    CHECK(same_behind(usual, GUARDED("arch=40000028 syscall=5 success=no exit=-13 a0=0 a1=0 a2=0 a3=0 items=0 ppid=0 "
                                     "pid=1" IDS)));
    CHECK(same_behind(usual, GUARDED("arch=40000028 syscall=999 success=no! exit=4 a0=00000000 a1=0000 a2=00000 a3=1 "
                                     "items=0 ppid=0 pid=1" IDS)));
    CHECK(same_behind(usual, GUARDED(HEAD)));
}

int main(void) {
    forms();
    bytes();
    other_forms();
    heads = (as_heads){0};

    CASE("a start is found again by the slot of its text, until another text is added in its place");
    CHECK(as_heads_find(&heads, 0) == NULL);
    CHECK(as_heads_add(&heads, 5, GUARDED(HEAD IDS)) != NULL);
    CHECK(same_as_read(GUARDED(HEAD IDS), as_heads_find(&heads, 5)));
    CHECK(as_heads_find(&heads, 5 + AS_HEADS) == NULL);
    CHECK(as_heads_add(&heads, 5 + AS_HEADS, GUARDED(HEAD IDS)) != NULL);
    CHECK(as_heads_find(&heads, 5) == NULL);
    CHECK(as_heads_find(&heads, 5 + AS_HEADS) != NULL);
    CHECK(as_heads_add(&heads, 5 + AS_HEADS, GUARDED(HEAD)) == NULL);
    CHECK(as_heads_find(&heads, 5 + AS_HEADS) == NULL);
    return check_done();
}
