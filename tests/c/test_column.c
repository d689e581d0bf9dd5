/* Column: a field of many hits side by side, and nothing of what is no hit. */
#include "_ring/column.h"

#include <stdio.h>

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
static uint8_t out[1 << 19];
static int64_t out_numbers[1 << 15];
static uint8_t rows[1 << 10];
static as_column column;

static as_hits fresh(void) {
    const as_config config = sample_config();
    as_hits hits;
    as_arena from = {.base = memory};
    as_hits_init(&hits, &config, &from);
    return hits;
}

static void put(as_hits *hits, as_field field, const char *text, as_form form) {
    const as_event_id ids[] = {{.ms = 1, .serial = 2}, {.ms = 1000 + hits->used, .serial = UINT32_MAX}};
    as_value values[AS_FIELDS] = {0};
    values[field] = (as_value){.span = as_span_of((const uint8_t *)text, strlen(text)), .form = form};
    append(hits, 0, ids, 2, 0, values);
}

static int64_t read_column(size_t len, as_field field, as_column_form form) {
    if (form > AS_COLUMN_ARGUMENTS) {
        return as_hits_numbers(drained, len, field, form, rows, out_numbers, len, &column);
    }
    return as_hits_texts(drained, len, field, form, rows, out, len, &column);
}

static void texts(void) {
    as_hits hits = fresh();
    CASE("each text has a zero behind it; rows without one are marked");
    put(&hits, AS_FIELD_EXE, "/bin/a", AS_FORM_QUOTED);
    put(&hits, AS_FIELD_EXE, "", AS_FORM_ABSENT);
    put(&hits, AS_FIELD_EXE, "", AS_FORM_QUOTED);
    put(&hits, AS_FIELD_EXE, "2F62", AS_FORM_BARE);
    put(&hits, AS_FIELD_EXE, "", AS_FORM_ABSENT);
    size_t len = as_hits_drain(&hits, drained);
    CHECK_EQUAL(read_column(len, AS_FIELD_EXE, AS_COLUMN_TEXT), 13);
    CHECK(memcmp(out, "/bin/a\0\0\0/b\0\0", 13) == 0);
    CHECK_EQUAL(column.rows, 5);
    CHECK_EQUAL(column.absent, 2);
    CHECK(memcmp(rows, "\1\0\1\1\0", 5) == 0);
}

static void words(void) {
    as_hits hits = fresh();
    CASE("a text that comes again is written once; rows without one have the number 0");
    put(&hits, AS_FIELD_EXE, "/bin/longer/a", AS_FORM_QUOTED);
    put(&hits, AS_FIELD_EXE, "", AS_FORM_ABSENT);
    put(&hits, AS_FIELD_EXE, "", AS_FORM_QUOTED);
    put(&hits, AS_FIELD_EXE, "/bin/longer/a", AS_FORM_QUOTED);
    put(&hits, AS_FIELD_EXE, "/bin/longer/b", AS_FORM_QUOTED);
    size_t len = as_hits_drain(&hits, drained);
    CHECK_EQUAL(read_column(len, AS_FIELD_EXE, AS_COLUMN_DICT), 14 + 1 + 14);
    CHECK(memcmp(rows, "\1\0\2\1\3", 5) == 0);
    CHECK(memcmp(out, "/bin/longer/a\0\0/bin/longer/b\0", 14 + 1 + 14) == 0);
    CHECK_EQUAL(column.rows, 5);
    CHECK_EQUAL(column.absent, 1);
    CHECK_EQUAL(column.dict_size, 3);
    CHECK_EQUAL(column.fallback, 0);

    CASE("more texts than a byte can number are left to the other form");
    for (unsigned more = 0; more < 2; more++) {
        char text[16];
        hits = fresh();
        for (unsigned i = 0; i < 255 + more; i++) {
            snprintf(text, sizeof text, "%u", i);
            put(&hits, AS_FIELD_EXE, text, AS_FORM_QUOTED);
        }
        len = as_hits_drain(&hits, drained);
        read_column(len, AS_FIELD_EXE, AS_COLUMN_DICT);
        CHECK_EQUAL(column.fallback, more);
        CHECK(more == 1 || (column.dict_size == 255 && rows[254] == 255));
    }
}

static void any_length(void) {
    CASE("a text of any length is copied whole");
    for (size_t len = 0; len < 70; len++) {
        char text[80] = {0};
        for (size_t i = 0; i < len; i++) {
            text[i] = (char)('0' + i);
        }
        as_hits hits = fresh();
        put(&hits, AS_FIELD_EXE, text, AS_FORM_QUOTED);
        memset(out, 1, sizeof out);
        const size_t drained_len = as_hits_drain(&hits, drained);
        CHECK_EQUAL(read_column(drained_len, AS_FIELD_EXE, AS_COLUMN_TEXT), len + 1);
        CHECK(memcmp(out, text, len + 1) == 0 && out[len + 1] == 1);
    }

    CASE("a text is the same one whatever stands behind it, and other texts of its length are not");
    for (size_t len = 1; len < 40; len++) {
        as_hits hits = fresh();
        for (int i = 0; i < 6; i++) {
            const as_event_id id = {.ms = 1, .serial = 2};
            as_value values[AS_FIELDS] = {0};
            char text[40] = "1234567890123456789012345678901234567890";
            const char *const subj[] = {"a", "b", "cc", "ddd", "a", "b"};
            text[len - 1] = i < 4 ? 'x' : 'y';
            values[AS_FIELD_EXE] = (as_value){.span = as_span_of((const uint8_t *)text, len), .form = AS_FORM_QUOTED};
            values[AS_FIELD_SUBJ] =
                (as_value){.span = as_span_of((const uint8_t *)subj[i], strlen(subj[i])), .form = AS_FORM_BARE};
            append(&hits, 0, &id, 1, 0, values);
        }
        const size_t drained_len = as_hits_drain(&hits, drained);
        CHECK_EQUAL(read_column(drained_len, AS_FIELD_EXE, AS_COLUMN_DICT), 2 * (len + 1));
        CHECK(memcmp(rows, "\1\1\1\1\2\2", 6) == 0);
        CHECK_EQUAL(column.dict_size, 2);
    }
}

static void titles(void) {
    as_hits hits = fresh();
    CASE("a title has blanks for its zeros, and its arguments stand alone");
    put(&hits, AS_FIELD_PROCTITLE, "7368002D63006120620000", AS_FORM_BARE); /* sh, -c, a b, and an empty one */
    put(&hits, AS_FIELD_PROCTITLE, "", AS_FORM_ABSENT);
    put(&hits, AS_FIELD_PROCTITLE, "00", AS_FORM_BARE);
    put(&hits, AS_FIELD_PROCTITLE, "sh", AS_FORM_QUOTED);
    const size_t len = as_hits_drain(&hits, drained);
    CHECK_EQUAL(read_column(len, AS_FIELD_PROCTITLE, AS_COLUMN_TEXT), 12 + 1 + 2 + 3);
    CHECK(memcmp(out, "sh -c a b  \0\0 \0sh\0", 18) == 0);
    CHECK_EQUAL(column.absent, 1);
    CHECK_EQUAL(read_column(len, AS_FIELD_PROCTITLE, AS_COLUMN_DICT), 12 + 2 + 3);
    CHECK(memcmp(rows, "\1\0\2\3", 4) == 0);
    CHECK(memcmp(out, "sh -c a b  \0 \0sh\0", 17) == 0);
    CHECK_EQUAL(read_column(len, AS_FIELD_PROCTITLE, AS_COLUMN_ARGUMENTS), 11 + 1 + 1 + 3);
    CHECK(memcmp(out, "sh\0-c\0a b\0\0\0\0sh\0", 16) == 0);
    CHECK_EQUAL(read_column(len, AS_FIELD_PROCTITLE, AS_COLUMN_ARGUMENT_COUNTS), 4);
    CHECK(out_numbers[0] == 4 && out_numbers[1] == 1 && out_numbers[2] == 1 && out_numbers[3] == 1);
    CHECK_EQUAL(column.absent, 2);
    CHECK(memcmp(rows, "\1\0\0\1", 4) == 0);
}

static void lent(void) {
    const uint8_t *at = NULL;
    as_hits hits = fresh();
    CASE("what is lent is what is drained, and is gone afterwards");
    put(&hits, AS_FIELD_EXE, "/bin/a", AS_FORM_QUOTED);
    as_hits again = hits;
    const size_t len = as_hits_borrow(&hits, &at);
    CHECK_EQUAL(as_hits_drain(&again, drained), len);
    CHECK(memcmp(at, drained, len) == 0);
    CHECK_EQUAL(hits.drained, again.drained);
    CHECK_EQUAL(as_hits_borrow(&hits, &at), 0);
}

static void numbers(void) {
    static const struct {
        const char *text;
        int64_t value;
        uint32_t odd;
    } cases[] = {
        {"0", 0, 0},    {"-2", -2, 0}, {"9223372036854775807", INT64_MAX, 0},
        {"-0", 0, 1},   {"007", 7, 1}, {"9223372036854775808", 0, 1},
        {"12x", 12, 1}, {"-", 0, 1},   {"1-2", 1, 1},
    };
    CASE("numbers are those of the kernel; what is written in another way is odd");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        as_hits hits = fresh();
        put(&hits, AS_FIELD_EXIT, cases[i].text, AS_FORM_BARE);
        const size_t len = as_hits_drain(&hits, drained);
        CHECK_EQUAL(read_column(len, AS_FIELD_EXIT, AS_COLUMN_NUMBER), 1);
        CHECK_EQUAL(column.fallback, cases[i].odd);
        CHECK(cases[i].odd != 0 || out_numbers[0] == cases[i].value);
    }

    as_hits empty = fresh();
    put(&empty, AS_FIELD_EXIT, "", AS_FORM_QUOTED);
    const size_t size = as_hits_drain(&empty, drained);
    CHECK_EQUAL(read_column(size, AS_FIELD_EXIT, AS_COLUMN_NUMBER), 1);
    CHECK_EQUAL(column.fallback, 1);

    CASE("stamp and serial are those of the last event");
    as_hits hits = fresh();
    put(&hits, AS_FIELD_EXIT, "", AS_FORM_ABSENT);
    const size_t len = as_hits_drain(&hits, drained);
    CHECK_EQUAL(read_column(len, AS_FIELD_EXIT, AS_COLUMN_MS), 1);
    CHECK_EQUAL(out_numbers[0], 1000);
    CHECK_EQUAL(read_column(len, AS_FIELD_EXIT, AS_COLUMN_SERIAL), 1);
    CHECK_EQUAL(out_numbers[0], UINT32_MAX);
    CHECK_EQUAL(column.absent, 0);
    CHECK_EQUAL(read_column(len, AS_FIELD_EXIT, AS_COLUMN_NUMBER), 1);
    CHECK_EQUAL(column.absent, 1);
    CHECK_EQUAL(column.fallback, 0);
}

static void no_hits(void) {
    as_hits hits = fresh();
    put(&hits, AS_FIELD_EXE, "/bin/a", AS_FORM_QUOTED);
    const size_t len = as_hits_drain(&hits, drained);
    CASE("nothing is a column without rows");
    CHECK_EQUAL(read_column(0, AS_FIELD_EXE, AS_COLUMN_TEXT), 0);
    CHECK_EQUAL(column.rows, 0);

    CASE("a hit that is cut, a field or form that there is not, too little room");
    for (size_t cut = 1; cut < len; cut++) {
        CHECK_EQUAL(read_column(cut, AS_FIELD_EXE, AS_COLUMN_TEXT), AS_ARGUMENT);
        CHECK_EQUAL(read_column(cut, AS_FIELD_EXE, AS_COLUMN_DICT), AS_ARGUMENT);
        CHECK_EQUAL(read_column(cut, AS_FIELD_EXE, AS_COLUMN_MS), AS_ARGUMENT);
    }
    CHECK_EQUAL(read_column(len, AS_FIELDS, AS_COLUMN_TEXT), AS_ARGUMENT);
    CHECK_EQUAL(read_column(0, AS_FIELDS, AS_COLUMN_TEXT), AS_ARGUMENT);
    CHECK_EQUAL(as_hits_texts(drained, len, 0, AS_COLUMN_NUMBER, rows, out, len, &column), AS_ARGUMENT);
    CHECK_EQUAL(as_hits_texts(drained, len, 0, AS_COLUMN_TEXT, rows, out, len - 1, &column), AS_ARGUMENT);
    CHECK_EQUAL(as_hits_numbers(drained, len, 0, AS_COLUMN_ARGUMENTS, rows, out_numbers, len, &column), AS_ARGUMENT);
    const uint32_t past = AS_COLUMN_ARGUMENT_COUNTS + 1;
    CHECK_EQUAL(as_hits_numbers(drained, len, 0, past, rows, out_numbers, len, &column), AS_ARGUMENT);
    CHECK_EQUAL(as_hits_numbers(drained, len, 0, AS_COLUMN_MS, rows, out_numbers, len - 1, &column), AS_ARGUMENT);
    CHECK_EQUAL(read_column(len, AS_FIELDS, AS_COLUMN_MS), AS_ARGUMENT);

    CASE("places outside of their hit");
    const size_t place = sizeof(as_hit) + 2 * sizeof(as_event_id) + AS_FIELD_EXE * sizeof(as_hit_field);
    const as_hit_field wrong[] = {
        {1, 1}, {(uint32_t)len, 1}, {(uint32_t)len + 1, 0}, {UINT32_MAX, UINT32_MAX}, {(uint32_t)len - 1, UINT32_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        memcpy(drained + place, &wrong[i], sizeof wrong[i]);
        CHECK_EQUAL(read_column(len, AS_FIELD_EXE, AS_COLUMN_TEXT), AS_ARGUMENT);
        CHECK_EQUAL(read_column(len, AS_FIELD_EXE, AS_COLUMN_NUMBER), AS_ARGUMENT);
    }
    CASE("more ids than the hit has room for, or none");
    for (int i = 0; i < 2; i++) {
        const uint32_t ids = i == 0 ? UINT32_MAX : 0;
        memcpy(drained + offsetof(as_hit, ids), &ids, sizeof ids);
        CHECK_EQUAL(read_column(len, AS_FIELD_EXE, AS_COLUMN_TEXT), AS_ARGUMENT);
    }
}

static void kept(void) {
    as_hits hits = fresh();
    CASE("a field that is not kept is absent, and says why");
    as_hits_select_fields(&hits, AS_BIT(AS_FIELD_EXE));
    put(&hits, AS_FIELD_COMM, "a", AS_FORM_QUOTED);
    const size_t len = as_hits_drain(&hits, drained);
    as_hit_field place;
    const size_t table = sizeof(as_hit) + 2 * sizeof(as_event_id);
    memcpy(&place, drained + table + AS_FIELD_COMM * sizeof place, sizeof place);
    CHECK_EQUAL(place.at, 0);
    CHECK_EQUAL(place.len, 1);
    memcpy(&place, drained + table + AS_FIELD_EXE * sizeof place, sizeof place);
    CHECK_EQUAL(place.at, 0);
    CHECK_EQUAL(place.len, 0);
    read_column(len, AS_FIELD_COMM, AS_COLUMN_TEXT);
    CHECK_EQUAL(column.absent, 1);
}

int main(void) {
    texts();
    words();
    any_length();
    titles();
    lent();
    numbers();
    no_hits();
    kept();
    return check_done();
}
