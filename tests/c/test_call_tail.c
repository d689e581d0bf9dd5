/* The end of a SYSCALL record: read once, found again by its text. */
#include "_ring/call_tail.h"

#include "check.h"
#include "samples.h"

static as_tails tails;

/* What is known about the end of this record; a pointer into *values for its fields. */
static const as_tail *tail_of(as_span body, as_value values[AS_FIELDS]) {
    const as_record record = {.type = AS_TYPE_SYSCALL, .body = body};
    const uint64_t before = AS_BIT(AS_FIELD_PID);
    as_record_cursor cursor = {0};
    uint64_t located = 0;
    as_values_clear(values, AS_ALL_FIELDS);
    as_record_fields_on(&record, &cursor, before, before, &located, values);
    const as_tail *tail = as_tail_of(&tails, &record, &cursor);
    if (tail != NULL) {
        as_tail_values(tail, as_span_skip(body, cursor.at), AS_TAIL_BITS, values);
    }
    return tail;
}

/* Whether the end gives what reading the whole record gives. */
static bool same_as_read(as_span body) {
    as_value values[AS_FIELDS];
    as_value read[AS_FIELDS];
    const as_record record = {.type = AS_TYPE_SYSCALL, .body = body};
    as_values_clear(read, AS_ALL_FIELDS);
    as_record_fields(&record, AS_TAIL_BITS, read);
    bool same = tail_of(body, values) != NULL;
    for (uint32_t field = AS_TAIL_FIRST; same && field <= AS_FIELD_KEY; field++) {
        same = values[field].form == read[field].form &&
               (read[field].form == AS_FORM_ABSENT ||
                (values[field].span.at == read[field].span.at && values[field].span.len == read[field].span.len));
    }
    return same;
}

#define HEAD "arch=c000003e syscall=257 success=yes exit=3 a0=0 a1=0 a2=0 a3=0 items=1 ppid=1 pid=2"
#define IDS " auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=3"

int main(void) {
    as_value values[AS_FIELDS];

    CASE("an end has the values of its record, also the second time, and of another event of the program");
    CHECK(same_as_read(GUARDED(SAMPLE_SYSCALL)));
    CHECK(same_as_read(GUARDED(SAMPLE_SYSCALL)));
    CHECK(same_as_read(GUARDED(HEAD IDS " comm=\"a\" exe=\"/a\" key=(null)")));
    const as_tail *first = tail_of(GUARDED(HEAD IDS " comm=\"a\" exe=\"/a\" key=(null)"), values);
    CHECK(first == tail_of(GUARDED("arch=c000003e syscall=2 success=no exit=-2 a0=1 a1=1 a2=1 a3=1 items=0 ppid=7 "
                                   "pid=77" IDS " comm=\"a\" exe=\"/a\" key=(null)"),
                           values));

    CASE("an end of another length or another byte is another one");
    CHECK(same_as_read(GUARDED(HEAD IDS " comm=\"b\" exe=\"/a\" key=(null)")));
    CHECK(same_as_read(GUARDED(HEAD IDS " comm=\"bb\" exe=\"/a\" key=(null)")));
    CHECK(same_as_read(GUARDED(HEAD IDS " comm=\"a\" exe=\"/a\" key=(null)")));

    CASE("values that are missing, doubled or in another order are those of the whole record");
    CHECK(same_as_read(GUARDED(HEAD " uid=5 auid=6 uid=7 comm=6162 exe=\"/a b\"")));
    CHECK(same_as_read(GUARDED(HEAD IDS " comm=\"a\" exe=\"/a\" subj=x y z key=\"k\"")));
    CHECK(same_as_read(GUARDED(HEAD " comm=\"a\"")));

    CASE("a record that is not read up to pid in the kernel's order, or has an end that is too long, has none");
    CHECK(tail_of(GUARDED("syscall=257 pid=2" IDS), values) == NULL);
    CHECK(tail_of(GUARDED("arch=c000003e"), values) == NULL);
    CHECK(tail_of(GUARDED(HEAD), values) == NULL);
    char text[sizeof HEAD + AS_TAIL_TEXT + 16] = HEAD " auid=";
    memset(text + strlen(text), '1', AS_TAIL_TEXT);
    CHECK(tail_of(guarded_span(text, strlen(text)), values) == NULL);
    return check_done();
}
