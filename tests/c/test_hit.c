/* Stage 6, hit: written whole or not at all, merged while it waits, drained as a whole. */
#include "_ring/hit.h"

#include "check.h"
#include "samples.h"

static uint64_t append(as_hits *hits, uint32_t rule, const as_event_id *ids, uint32_t count, uint32_t others,
                       const as_value values[AS_FIELDS]) {
    const as_hit hit = {.rule = rule, .filter = rule, .ids = count, .others = others, .last_ms = ids[count - 1].ms};
    return as_hits_append(hits, &hit, ids, values);
}

static _Alignas(16) uint8_t memory[1 << 19];
static uint8_t drained[1 << 19];

static as_hits fresh(void) {
    const as_config config = sample_config();
    as_hits hits;
    as_arena from = {.base = memory};
    as_hits_init(&hits, &config, &from);
    CHECK(from.used <= sizeof memory);
    return hits;
}

static as_hit header_at(const uint8_t *at) {
    as_hit hit;
    memcpy(&hit, at, sizeof hit);
    return hit;
}

static as_span field_at(const uint8_t *at, as_field field) {
    const as_hit hit = header_at(at);
    as_hit_field place;
    memcpy(&place, at + sizeof hit + hit.ids * sizeof(as_event_id) + (size_t)field * sizeof place, sizeof place);
    return place.at == 0 ? (as_span){.at = NULL, .len = UINT32_MAX} : as_span_of(at + place.at, place.len);
}

static void written(void) {
    as_hits hits = fresh();
    const as_event_id ids[] = {{.ms = 1000, .serial = 1}, {.ms = 2000, .serial = UINT32_MAX}};
    as_value values[AS_FIELDS] = {0};
    const as_record call = {.type = AS_TYPE_SYSCALL, .body = GUARDED(SAMPLE_SYSCALL)};
    const as_record title = {.type = AS_TYPE_PROCTITLE, .body = GUARDED(SAMPLE_PROCTITLE)};
    as_record_fields(&call, AS_ALL_FIELDS, values);
    as_record_fields(&title, AS_ALL_FIELDS, values);
    values[AS_FIELD_CWD] = (as_value){.span = GUARDED(""), .form = AS_FORM_QUOTED};

    CASE("a hit carries its ids and its fields, decoded; absent ones have no place, empty ones do");
    CHECK_EQUAL(as_hits_drain(&hits, drained), 0);
    CHECK(append(&hits, 3, ids, 2, 1, values) != 0);
    const uint32_t moved = as_hits_drain(&hits, drained);
    const as_hit hit = header_at(drained);
    CHECK_EQUAL(hit.size, moved);
    CHECK_EQUAL(hit.size % 8, 0);
    CHECK_EQUAL(hit.rule, 3);
    CHECK_EQUAL(hit.ids, 2);
    CHECK_EQUAL(hit.others, 1);
    CHECK_EQUAL(hit.more, 0);
    CHECK_EQUAL(hit.last_ms, 2000);
    CHECK(memcmp(drained + sizeof hit, ids, sizeof ids) == 0);
    CHECK_TEXT(field_at(drained, AS_FIELD_COMM), "init");
    const as_span shown = field_at(drained, AS_FIELD_PROCTITLE);
    CHECK(as_span_is(shown, AS_LITERAL("/init\0-x"))); /* a NUL between arguments stays one */
    CHECK_TEXT(field_at(drained, AS_FIELD_KEY), "audit_proc");
    CHECK_EQUAL(field_at(drained, AS_FIELD_TTY).len, UINT32_MAX);
    CHECK_EQUAL(field_at(drained, AS_FIELD_NODE).len, UINT32_MAX);
    CHECK_EQUAL(field_at(drained, AS_FIELD_CWD).len, 0);

    CASE("no byte of a hit is left over from an earlier one");
    memset(hits.bytes, 0xee, hits.capacity);
    values[AS_FIELD_COMM] = (as_value){.span = GUARDED("x"), .form = AS_FORM_QUOTED};
    append(&hits, 0, ids, 2, 0, values);
    const uint32_t size = header_at(hits.bytes).size;
    CHECK(memchr(hits.bytes, 0xee, size) == NULL);
    CHECK_EQUAL(hits.bytes[size], 0xee);

    CASE("hex that is none after all leaves nothing behind");
    values[AS_FIELD_COMM] = (as_value){.span = GUARDED("41424g"), .form = AS_FORM_BARE};
    as_hits_drain(&hits, drained);
    append(&hits, 0, ids, 1, 0, values);
    CHECK_TEXT(field_at(hits.bytes, AS_FIELD_COMM), "41424g");
}

static void accessors(void) {
    as_hits hits = fresh();
    const as_event_id ids[] = {{.ms = 1000, .serial = 1}, {.ms = 2000, .serial = UINT32_MAX}};
    const as_filter filters[] = {{.key_count = 0}, {.keys = {AS_FIELD_PID, AS_FIELD_NODE}, .key_count = 2}};
    const as_rules table = {.filters = filters, .filter_count = 2};
    const uint8_t *text = NULL;
    int64_t number = 0;
    as_event_id id;
    as_value values[AS_FIELDS] = {0};
    const as_record call = {.type = AS_TYPE_SYSCALL, .body = GUARDED(SAMPLE_SYSCALL)};
    as_record_fields(&call, AS_ALL_FIELDS, values);
    const uint64_t place = append(&hits, 1, ids, 2, 1, values);
    CHECK(as_hits_merge(&hits, place, 2500, 1000));
    append(&hits, 7, ids, 1, 0, values);
    const uint32_t len = as_hits_drain(&hits, drained + 1); /* at an odd address */
    const uint8_t *const first = as_hit_next(drained + 1, len, NULL);
    const uint8_t *const second = as_hit_next(drained + 1, len, first);

    CASE("hits follow each other, and nothing follows the last one");
    CHECK(first == drained + 1 && second > first);
    CHECK(as_hit_next(drained + 1, len, second) == NULL);
    CHECK(as_hit_next(drained + 1, 0, NULL) == NULL);
    CHECK(as_hit_next(drained + 1, len - 1, first) == NULL);

    CASE("accessors read the head, the events and the fields of a hit");
    CHECK_EQUAL(as_hit_rule(first), 1);
    CHECK_EQUAL(as_hit_rule(second), 7);
    CHECK_EQUAL(as_hit_count(first), 2);
    CHECK_EQUAL(as_hit_count(second), 1);
    CHECK_EQUAL(as_hit_others(first), 1);
    CHECK_EQUAL(as_hit_more(first), 1);
    CHECK_EQUAL(as_hit_first_ms(first), 1000);
    CHECK_EQUAL(as_hit_last_ms(first), 2500);
    CHECK_EQUAL(as_hit_event(first, 1, &id), AS_OK);
    CHECK(id.ms == 2000 && id.serial == UINT32_MAX);
    CHECK_EQUAL(as_hit_event(first, 2, &id), AS_ARGUMENT);
    CHECK_EQUAL(as_hit_text(first, AS_FIELD_EXE, &text), 5);
    CHECK(memcmp(text, "/init", 5) == 0);
    CHECK_EQUAL(as_hit_text(first, AS_FIELD_CWD, &text), AS_ABSENT);
    CHECK_EQUAL(as_hit_text(first, AS_FIELDS, &text), AS_ARGUMENT);

    CASE("numbers are read in the base that the kernel prints the field in");
    CHECK_EQUAL(as_hit_number(first, AS_FIELD_PID, &number), AS_OK);
    CHECK_EQUAL(number, 92);
    CHECK_EQUAL(as_hit_number(first, AS_FIELD_A0, &number), AS_OK);
    CHECK_EQUAL(number, -100);
    CHECK_EQUAL(as_hit_number(first, AS_FIELD_EXE, &number), AS_ABSENT);
    CHECK_EQUAL(as_hit_number(first, AS_FIELD_PATH_MODE, &number), AS_ABSENT);
    CHECK_EQUAL(as_hit_number(first, AS_FIELDS, &number), AS_ARGUMENT);

    CASE("keys are those of the filter that the last event fits");
    CHECK_EQUAL(as_hit_key(first, &table, 0, &text), 2);
    CHECK(memcmp(text, "92", 2) == 0);
    CHECK_EQUAL(as_hit_key(first, &table, 1, &text), AS_ABSENT);
    CHECK_EQUAL(as_hit_key(first, &table, 2, &text), AS_ARGUMENT);
    CHECK_EQUAL(as_hit_key(second, &table, 0, &text), AS_ARGUMENT);
}

static void lengths(void) {
    CASE("a text of any length is copied whole, and nothing behind it");
    const as_event_id id = {.ms = 1, .serial = 1};
    uint8_t text[100];
    for (uint32_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)('A' + i % 50);
    }
    for (uint32_t len = 0; len <= sizeof text; len++) {
        as_hits hits = fresh();
        as_value values[AS_FIELDS] = {0};
        values[AS_FIELD_COMM] = (as_value){.span = guarded_span(text, len), .form = AS_FORM_QUOTED};
        append(&hits, 0, &id, 1, 0, values);
        const as_span found = field_at(hits.bytes, AS_FIELD_COMM);
        CHECK_EQUAL(found.len, len);
        CHECK(len == 0 || memcmp(found.at, text, len) == 0);
    }

    CASE("a hit that was drained takes nothing in, however many were drained before it");
    as_hits hits = fresh();
    const as_value values[AS_FIELDS] = {0};
    uint64_t places[3];
    for (int i = 0; i < 3; i++) {
        places[i] = append(&hits, 0, &id, 1, 0, values);
        CHECK(as_hits_merge(&hits, places[i], 1, 9));
        CHECK(as_hits_drain(&hits, drained) > 0);
        for (int j = 0; j <= i; j++) {
            CHECK(!as_hits_merge(&hits, places[j], 1, 9));
        }
    }
    CHECK(places[0] < places[1] && places[1] < places[2]);
}

static void room(void) {
    as_hits hits = fresh();
    const as_value values[AS_FIELDS] = {0};
    const as_event_id ids[64] = {{.ms = 1}};
    CASE("there is room until the largest hit might not fit, and again once they were drained");
    uint32_t count = 0;
    while (as_hits_has_space(&hits)) {
        append(&hits, 0, ids, 64, 0, values);
        count++;
    }
    CHECK(count > 1);
    CHECK(hits.capacity - hits.used < hits.most);
    const uint32_t moved = as_hits_drain(&hits, drained);
    CHECK_EQUAL(moved, count * header_at(drained).size);
    CHECK(as_hits_has_space(&hits));

    CASE("there is room for a hit that fits exactly, and not for one byte more");
    hits.used = hits.capacity - hits.most;
    CHECK(as_hits_has_space(&hits));
    hits.used++;
    CHECK(!as_hits_has_space(&hits));
    hits.used = 0;

    CASE("the largest hit, every kept text as long as a datagram may be, fits where there is room");
    as_value longest[AS_FIELDS] = {0};
    static const as_field of_role[] = {AS_FIELD_COMM,      AS_FIELD_CWD,  AS_FIELD_PATH_NAME,
                                       AS_FIELD_PROCTITLE, AS_FIELD_NODE, AS_FIELD_PATH_DEV};
    static uint8_t text[1024];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof of_role / sizeof *of_role; i++) {
        longest[of_role[i]] = (as_value){.span = as_span_of(text, sizeof text), .form = AS_FORM_QUOTED};
    }
    append(&hits, 0, ids, 64, 0, longest);
    CHECK(header_at(hits.bytes).size <= hits.most);
}

static void merged(void) {
    as_hits hits = fresh();
    const as_value values[AS_FIELDS] = {0};
    const as_event_id id = {.ms = 10000, .serial = 1};
    CASE("no place is one to merge into");
    CHECK(!as_hits_merge(&hits, 0, 10000, 1000));

    CASE("a waiting hit takes in what comes within the time, counted from the last taken in");
    const uint64_t other = append(&hits, 0, &id, 1, 0, values);
    const uint64_t place = append(&hits, 1, &id, 1, 0, values);
    CHECK(other != 0 && place != other);
    CHECK(as_hits_merge(&hits, place, 10100, 100));
    CHECK(as_hits_merge(&hits, place, 10200, 100));
    CHECK(!as_hits_merge(&hits, place, 10301, 100));
    const uint8_t *second = hits.bytes + header_at(hits.bytes).size;
    CHECK_EQUAL(header_at(second).more, 2);
    CHECK_EQUAL(header_at(second).last_ms, 10200);
    CHECK_EQUAL(header_at(hits.bytes).more, 0);

    CASE("an older one is taken in and does not turn time back");
    CHECK(as_hits_merge(&hits, place, 10000, 100));
    CHECK_EQUAL(header_at(second).more, 3);
    CHECK_EQUAL(header_at(second).last_ms, 10200);

    CASE("another second of the stamps begins another run, and so does coming back");
    CHECK(!as_hits_merge(&hits, place, 11000, 1000));
    CHECK(!as_hits_merge(&hits, place, 10999, 1000));
    CHECK_EQUAL(header_at(second).more, 3);
    const uint64_t again = append(&hits, 1, &id, 1, 0, values);
    CHECK(as_hits_merge(&hits, again, 10999, 1000));

    CASE("a drained hit takes in nothing, and its place is never another's");
    as_hits_drain(&hits, drained);
    CHECK(!as_hits_merge(&hits, place, 10200, 1000));
    for (int i = 0; i < 10; i++) {
        CHECK(append(&hits, 0, &id, 1, 0, values) > place);
    }
    CHECK(!as_hits_merge(&hits, place, 10200, 1000));
}

int main(void) {
    written();
    accessors();
    lengths();
    room();
    merged();
    return check_done();
}
