#include "record.h"

#include "translation.h"

/* 2^53 seconds is past every calendar; times 1000 it still fits 64 bits. */
#define MOST_SECONDS (UINT64_C(1) << 53)

/* "audit(SECONDS.MILLIS:"; moves *text behind it. */
static bool read_time(as_span *text, uint64_t *ms) {
    uint64_t seconds = 0;
    uint64_t millis = 0;
    if (!as_span_starts(*text, AS_LITERAL("audit("))) {
        return false;
    }
    *text = as_span_skip(*text, sizeof "audit(" - 1);
    uint32_t digits = as_span_number(*text, 10, MOST_SECONDS, &seconds);
    if (digits == 0 || digits == text->len || text->at[digits] != '.') {
        return false;
    }
    *text = as_span_skip(*text, digits + 1);
    digits = as_span_number(*text, 10, 999, &millis);
    if (digits != 3 || digits == text->len || text->at[digits] != ':') {
        return false;
    }
    *text = as_span_skip(*text, digits + 1);
    *ms = seconds * 1000 + millis;
    return true;
}

/* "SERIAL): " and the body. */
static bool read_behind_time(uint16_t type, as_span text, uint64_t ms, as_record *out) {
    uint64_t serial = 0;
    const uint32_t digits = as_span_number(text, 10, UINT32_MAX, &serial);
    if (digits == 0 || !as_span_starts(as_span_skip(text, digits), AS_LITERAL("):"))) {
        return false;
    }
    text = as_span_skip(text, digits + 2);
    if (text.len > 0 && text.at[0] == ' ') {
        text = as_span_skip(text, 1);
    }
    *out = (as_record){.type = type, .serial = (uint32_t)serial, .ms = ms, .body = text};
    return true;
}

bool as_record_read(uint16_t type, as_span text, as_record *out) {
    uint64_t ms = 0;
    return read_time(&text, &ms) && read_behind_time(type, text, ms, out);
}

bool as_record_read_other(as_stamp *before, uint16_t type, as_span text, as_record *out) {
    as_span rest = text;
    uint64_t ms = before->ms; /* usually the next event has the same millisecond */
    if (before->len > 0 && as_span_starts_as(text, before->text, before->time_len)) {
        rest = as_span_skip(text, before->time_len);
    } else if (!read_time(&rest, &ms)) {
        return false;
    }
    const uint32_t time_len = text.len - rest.len;
    if (!read_behind_time(type, rest, ms, out)) {
        return false;
    }
    before->time_len = time_len;
    before->len = text.len - out->body.len;
    if (text.at[before->len - 1] == ' ') {
        before->len--;
    }
    /* Leading zeros can make a stamp longer than the kernel's; such a one is read every time. */
    if (before->len > sizeof before->text) {
        before->len = 0;
        return true;
    }
    memcpy(before->text, text.at, before->len);
    before->serial = out->serial;
    before->ms = out->ms;
    return true;
}

enum { MAX_KEY = 16 };

typedef struct {
    char key[MAX_KEY];      /* with '=', zero-padded, to compare eight bytes at a time */
    uint8_t len;            /* with '=' */
    uint8_t ignored;        /* bits of the first eight bytes that are after the key */
    uint8_t least;          /* minimum size of key and value, at least 8 */
    uint8_t field;          /* as_field */
    uint64_t bit;           /* of the field; 0: skipped */
    const char *terminator; /* a raw value ends before the last occurrence of this, not at a blank */
} field_spec;

/* clang-format off */
#define KEY(text)                                                                                                      \
    text "=", sizeof(text), 64 - 8 * (sizeof(text) < 8 ? sizeof(text) : 8), sizeof(text) < 8 ? 8 : sizeof(text) + 1
#define FIELD(field) field, AS_BIT(field)

/* In the kernel's order, which makes each search one comparison. */
static const field_spec syscall_fields[] = {
    {KEY("arch"), FIELD(AS_FIELD_ARCH), NULL},
    {KEY("syscall"), FIELD(AS_FIELD_SYSCALL), NULL},
    {KEY("success"), FIELD(AS_FIELD_SUCCESS), NULL},
    {KEY("exit"), FIELD(AS_FIELD_EXIT), NULL},
    {KEY("a0"), FIELD(AS_FIELD_A0), NULL},
    {KEY("a1"), FIELD(AS_FIELD_A1), NULL},
    {KEY("a2"), FIELD(AS_FIELD_A2), NULL},
    {KEY("a3"), FIELD(AS_FIELD_A3), NULL},
    {KEY("items"), FIELD(AS_FIELD_ITEMS), NULL},
    {KEY("ppid"), FIELD(AS_FIELD_PPID), NULL},
    {KEY("pid"), FIELD(AS_FIELD_PID), NULL},
    {KEY("auid"), FIELD(AS_FIELD_AUID), NULL},
    {KEY("uid"), FIELD(AS_FIELD_UID), NULL},
    {KEY("gid"), FIELD(AS_FIELD_GID), NULL},
    {KEY("euid"), FIELD(AS_FIELD_EUID), NULL},
    {KEY("suid"), FIELD(AS_FIELD_SUID), NULL},
    {KEY("fsuid"), FIELD(AS_FIELD_FSUID), NULL},
    {KEY("egid"), FIELD(AS_FIELD_EGID), NULL},
    {KEY("sgid"), FIELD(AS_FIELD_SGID), NULL},
    {KEY("fsgid"), FIELD(AS_FIELD_FSGID), NULL},
    {KEY("tty"), FIELD(AS_FIELD_TTY), NULL},
    {KEY("ses"), FIELD(AS_FIELD_SES), NULL},
    {KEY("comm"), FIELD(AS_FIELD_COMM), NULL},
    {KEY("exe"), FIELD(AS_FIELD_EXE), NULL},
    {KEY("subj"), FIELD(AS_FIELD_SUBJ), " key="},
    {KEY("key"), FIELD(AS_FIELD_KEY), NULL},
};
/* An operation of io_uring. Its number stands for that of a call. */
static const field_spec ring_fields[] = {
    {KEY("uring_op"), FIELD(AS_FIELD_SYSCALL), NULL},
    {KEY("success"), FIELD(AS_FIELD_SUCCESS), NULL},
    {KEY("exit"), FIELD(AS_FIELD_EXIT), NULL},
    {KEY("items"), FIELD(AS_FIELD_ITEMS), NULL},
    {KEY("ppid"), FIELD(AS_FIELD_PPID), NULL},
    {KEY("pid"), FIELD(AS_FIELD_PID), NULL},
    {KEY("uid"), FIELD(AS_FIELD_UID), NULL},
    {KEY("gid"), FIELD(AS_FIELD_GID), NULL},
    {KEY("euid"), FIELD(AS_FIELD_EUID), NULL},
    {KEY("suid"), FIELD(AS_FIELD_SUID), NULL},
    {KEY("fsuid"), FIELD(AS_FIELD_FSUID), NULL},
    {KEY("egid"), FIELD(AS_FIELD_EGID), NULL},
    {KEY("sgid"), FIELD(AS_FIELD_SGID), NULL},
    {KEY("fsgid"), FIELD(AS_FIELD_FSGID), NULL},
    {KEY("subj"), FIELD(AS_FIELD_SUBJ), " key="},
    {KEY("key"), FIELD(AS_FIELD_KEY), NULL},
};
static const field_spec path_fields[] = {
    {KEY("item"), 0, 0, NULL},
    {KEY("name"), FIELD(AS_FIELD_PATH_NAME), NULL},
    {KEY("inode"), FIELD(AS_FIELD_PATH_INODE), NULL},
    {KEY("dev"), FIELD(AS_FIELD_PATH_DEV), NULL},
    {KEY("mode"), FIELD(AS_FIELD_PATH_MODE), NULL},
    {KEY("ouid"), FIELD(AS_FIELD_PATH_OUID), NULL},
    {KEY("ogid"), FIELD(AS_FIELD_PATH_OGID), NULL},
    {KEY("rdev"), FIELD(AS_FIELD_PATH_RDEV), NULL},
    {KEY("obj"), FIELD(AS_FIELD_PATH_OBJ), " nametype="},
    {KEY("nametype"), FIELD(AS_FIELD_PATH_NAMETYPE), NULL},
    {KEY("cap_fp"), 0, 0, NULL},
    {KEY("cap_fi"), 0, 0, NULL},
    {KEY("cap_fe"), 0, 0, NULL},
    {KEY("cap_fver"), 0, 0, NULL},
    {KEY("cap_frootid"), 0, 0, NULL},
    {KEY("objtype"), FIELD(AS_FIELD_PATH_NAMETYPE), NULL}, /* its name in Red Hat's 3.10 kernels */
};
static const field_spec cwd_fields[] = {{KEY("cwd"), FIELD(AS_FIELD_CWD), NULL}};
static const field_spec proctitle_fields[] = {{KEY("proctitle"), FIELD(AS_FIELD_PROCTITLE), NULL}};
/* Of these three, event_values.c decodes the value. */
static const field_spec execve_fields[] = {{KEY("argc"), FIELD(AS_FIELD_ARGC), NULL}};
static const field_spec sockaddr_fields[] = {{KEY("saddr"), FIELD(AS_FIELD_SOCKET_FAMILY), NULL}};
static const field_spec capability_fields[] = {
    {KEY("fver"), 0, 0, NULL},
    {KEY("fp"), 0, 0, NULL},
    {KEY("fi"), 0, 0, NULL},
    {KEY("fe"), 0, 0, NULL},
    {KEY("old_pp"), 0, 0, NULL},
    {KEY("old_pi"), 0, 0, NULL},
    {KEY("old_pe"), 0, 0, NULL},
    {KEY("old_pa"), 0, 0, NULL},
    {KEY("pp"), 0, 0, NULL},
    {KEY("pi"), 0, 0, NULL},
    {KEY("pe"), FIELD(AS_FIELD_CAPABILITIES), NULL},
};
/* Records of user space: what the kernel writes, then what the program does, inside msg='...'. A program chooses
 * neither its ids nor a key. */
static const field_spec user_fields[] = {
    {KEY("pid"), FIELD(AS_FIELD_PID), NULL},
    {KEY("uid"), FIELD(AS_FIELD_UID), NULL},
    {KEY("auid"), FIELD(AS_FIELD_AUID), NULL},
    {KEY("ses"), FIELD(AS_FIELD_SES), NULL},
    {KEY("subj"), FIELD(AS_FIELD_SUBJ), " msg="},
};
static const field_spec message_fields[] = {
    {KEY("grantors"), FIELD(AS_FIELD_GRANTORS), NULL},
    {KEY("acct"), FIELD(AS_FIELD_ACCT), NULL},
    {KEY("unit"), FIELD(AS_FIELD_UNIT), NULL},
    {KEY("comm"), FIELD(AS_FIELD_COMM), NULL},
    {KEY("cwd"), FIELD(AS_FIELD_CWD), NULL},
    {KEY("exe"), FIELD(AS_FIELD_EXE), NULL},
    {KEY("hostname"), FIELD(AS_FIELD_HOSTNAME), NULL},
    {KEY("addr"), FIELD(AS_FIELD_ADDR), NULL},
    {KEY("terminal"), FIELD(AS_FIELD_TERMINAL), NULL},
    {KEY("res"), FIELD(AS_FIELD_RESULT), NULL},
};
static const field_spec id_fields[] = {{KEY("id"), FIELD(AS_FIELD_ACCT), NULL}};
/* The kernel's other records, which are the first of an event or the only one. */
static const field_spec other_fields[] = {
    {KEY("ppid"), FIELD(AS_FIELD_PPID), NULL},
    {KEY("pid"), FIELD(AS_FIELD_PID), NULL},
    {KEY("auid"), FIELD(AS_FIELD_AUID), NULL},
    {KEY("uid"), FIELD(AS_FIELD_UID), NULL},
    {KEY("gid"), FIELD(AS_FIELD_GID), NULL},
    {KEY("euid"), FIELD(AS_FIELD_EUID), NULL},
    {KEY("suid"), FIELD(AS_FIELD_SUID), NULL},
    {KEY("fsuid"), FIELD(AS_FIELD_FSUID), NULL},
    {KEY("egid"), FIELD(AS_FIELD_EGID), NULL},
    {KEY("sgid"), FIELD(AS_FIELD_SGID), NULL},
    {KEY("fsgid"), FIELD(AS_FIELD_FSGID), NULL},
    {KEY("tty"), FIELD(AS_FIELD_TTY), NULL},
    {KEY("ses"), FIELD(AS_FIELD_SES), NULL},
    {KEY("subj"), FIELD(AS_FIELD_SUBJ), NULL},
    {KEY("comm"), FIELD(AS_FIELD_COMM), NULL},
    {KEY("exe"), FIELD(AS_FIELD_EXE), NULL},
    {KEY("key"), FIELD(AS_FIELD_KEY), NULL},
    {KEY("terminal"), FIELD(AS_FIELD_TERMINAL), NULL},
    {KEY("addr"), FIELD(AS_FIELD_ADDR), NULL},
    {KEY("res"), FIELD(AS_FIELD_RESULT), NULL},
};
/* clang-format on */

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* By record type, from FIRST_TYPE on. */
enum { FIRST_TYPE = AS_TYPE_SYSCALL };
#define GRAMMAR(type, table, fields) [(type) - FIRST_TYPE] = {table, COUNT(table), fields}

static const struct {
    const field_spec *fields; /* NULL: other_fields */
    uint32_t count;
    uint64_t all; /* bits of the fields */
} grammar[] = {
    GRAMMAR(AS_TYPE_SYSCALL, syscall_fields, AS_RANGE(AS_FIELD_ARCH, AS_FIELD_KEY)),
    GRAMMAR(AS_TYPE_PATH, path_fields, AS_PATH_FIELDS),
    GRAMMAR(AS_TYPE_CWD, cwd_fields, AS_BIT(AS_FIELD_CWD)),
    GRAMMAR(AS_TYPE_PROCTITLE, proctitle_fields, AS_BIT(AS_FIELD_PROCTITLE)),
    GRAMMAR(AS_TYPE_EXECVE, execve_fields, AS_BIT(AS_FIELD_ARGC)),
    GRAMMAR(AS_TYPE_SOCKADDR, sockaddr_fields, AS_BIT(AS_FIELD_SOCKET_FAMILY)),
    GRAMMAR(AS_TYPE_URINGOP, ring_fields, AS_RANGE(AS_FIELD_SYSCALL, AS_FIELD_KEY)),
    GRAMMAR(AS_TYPE_BPRM_FCAPS, capability_fields, AS_BIT(AS_FIELD_CAPABILITIES)),
};

#define USER_FIELDS (AS_RANGE(AS_FIELD_PID, AS_FIELD_UID) | AS_BIT(AS_FIELD_SES) | AS_BIT(AS_FIELD_SUBJ))
#define MESSAGE_FIELDS \
    (AS_RANGE(AS_FIELD_COMM, AS_FIELD_EXE) | AS_BIT(AS_FIELD_CWD) | AS_RANGE(AS_FIELD_ACCT, AS_FIELD_UNIT))
#define OTHER_FIELDS                                                                             \
    (AS_RANGE(AS_FIELD_PPID, AS_FIELD_KEY) | AS_BIT(AS_FIELD_TERMINAL) | AS_BIT(AS_FIELD_ADDR) | \
     AS_BIT(AS_FIELD_RESULT))

static uint32_t find(as_span text, uint8_t byte) {
    const uint8_t *at = text.len == 0 ? NULL : memchr(text.at, byte, text.len);
    return at == NULL ? text.len : (uint32_t)(at - text.at);
}

/* Offset of the first '=' or blank, or text.len. */
static uint32_t find_key_end(as_span text) {
    uint32_t at = 0;
    for (; text.len - at >= 8; at += 8) {
        const uint64_t word = as_load8(text.at + at);
        const uint64_t matches = as_bytes_equal(word, '=') | as_bytes_equal(word, ' ');
        if (matches != 0) {
            return at + as_first_byte(matches);
        }
    }
    while (at < text.len && text.at[at] != '=' && text.at[at] != ' ') {
        at++;
    }
    return at;
}

static as_span skip_blanks(as_span text) {
    while (text.len >= 8 && as_load8(text.at) == AS_EACH_BYTE * ' ') {
        text = as_span_skip(text, 8);
    }
    while (text.len > 0 && text.at[0] == ' ') {
        text = as_span_skip(text, 1);
    }
    return text;
}

/* Offset of the last occurrence of this word, or text.len. */
static uint32_t find_last(as_span text, const char *terminator) {
    const uint32_t len = (uint32_t)strlen(terminator);
    for (uint32_t at = text.len >= len ? text.len - len + 1 : 0; at > 0; at--) {
        if (text.at[at + len - 2] == '=' && memcmp(text.at + at - 1, terminator, len) == 0) {
            return at - 1;
        }
    }
    return text.len;
}

/* Return the value at the start of text and move text behind it. The kernel writes nothing between a closing quote and
 * the next blank: such text starts a translation, so nothing more is read. */
static as_value read_value(as_span *text, const char *terminator) {
    as_value value = {.span = *text, .form = AS_FORM_BARE};
    if (terminator == NULL && text->len > 0 && text->at[0] == '"') {
        const as_span inside = as_span_skip(*text, 1);
        const uint32_t end = find(inside, '"');
        value.form = AS_FORM_QUOTED;
        value.span.at = inside.at;
        value.span.len = end;
        const bool closed = end < inside.len;
        *text = as_span_skip(inside, closed ? end + 1 : end);
        if (text->len > 0 && text->at[0] != ' ') {
            *text = as_span_skip(*text, text->len);
        }
        return value;
    }
    uint32_t end = terminator == NULL ? text->len : find_last(*text, terminator);
    if (end == text->len) {
        end = find(*text, ' ');
    }
    value.span.len = end;
    *text = as_span_skip(*text, end);
    if (terminator != NULL && end >= 2 && value.span.at[0] == '"' && value.span.at[end - 1] == '"') {
        value.form = AS_FORM_QUOTED; /* the kernel does not quote labels: a collector did */
        value.span = as_span_of(value.span.at + 1, end - 2);
    }
    if (terminator == NULL) { /* a second '=': a translation is attached to the value */
        const uint32_t cut = as_translation_start(value.span);
        if (cut < value.span.len) {
            value.span.len = cut;
            *text = as_span_skip(*text, text->len);
        }
    }
    return value;
}

/* The field with this key and its '=', searched from `expected` on; NULL: unknown. */
static const field_spec *field_of(as_span key, const field_spec *fields, uint32_t count, uint32_t expected) {
    for (uint32_t i = 0; i < count; i++) {
        const field_spec *field = &fields[expected + i < count ? expected + i : expected + i - count];
        if (field->len == key.len && field->key[0] == (char)key.at[0] && memcmp(field->key, key.at, key.len) == 0) {
            return field;
        }
    }
    return NULL;
}

/* The first blank, control character or `other`, or stop. */
static inline const uint8_t *end_of(const uint8_t *at, const uint8_t *stop, uint8_t other) {
    for (; stop - at >= 8; at += 8) {
        const uint64_t word = as_load8(at);
        const uint64_t matches = as_bytes_below(word, ' ' + 1) | as_bytes_equal(word, other);
        if (matches != 0) {
            return at + as_first_byte(matches);
        }
    }
    while (at < stop && *at > ' ' && *at != other) {
        at++;
    }
    return at;
}

static inline void put(as_value values[AS_FIELDS], const field_spec *field, as_value value) {
    if (values[field->field].form == AS_FORM_ABSENT) {
        values[field->field] = value;
    }
}

/* The fast path of read_any, while text continues in the kernel's form: with the next field, and an unmodified value
 * that ends at a blank. Takes the values of the kept fields until it has the wanted ones; over: in place of whatever values
 * hold. Removes what it takes from *wanted, and adds the fields that it passes to *passed. Returns the first field that does not continue so, or possibly not. */
__attribute__((always_inline)) static inline const field_spec *read_expected(as_span *text, const field_spec *field,
                                                                             const field_spec *last, uint64_t kept,
                                                                             uint64_t *wanted, uint64_t *passed,
                                                                             bool over, as_value values[AS_FIELDS]) {
    const uint8_t *at = text->at;
    const uint8_t *const stop = at + text->len;
    for (; field <= last && *wanted != 0; field++) {
        if (stop - at < field->least) {
            break;
        }
        const bool differs = (as_load8(at) ^ as_load8((const uint8_t *)field->key)) << field->ignored != 0;
        if (differs && field->terminator != NULL) {
            continue; /* not every kernel writes a label */
        }
        if (differs || field->terminator != NULL ||
            (field->len > 8 && memcmp(at + 8, field->key + 8, field->len - 8u) != 0)) {
            break;
        }
        /* Two branches instead of one with a condition inside: the end of a value determines the start of the next, so
         * every step here is on the critical path. */
        const uint8_t *start = at + field->len;
        const uint8_t *end;
        const uint8_t *next;
        as_form form = AS_FORM_BARE;
        if (*start == '"') {
            form = AS_FORM_QUOTED;
            start++;
            end = end_of(start, stop, '"');
            if (end == stop || *end != '"' || (stop - end > 1 && end[1] != ' ')) {
                break;
            }
            next = stop - end > 1 ? end + 2 : stop;
        } else {
            end = end_of(start, stop, '=');
            if (end == stop) {
                next = stop;
            } else if (*end == ' ') {
                next = end + 1;
            } else {
                break;
            }
        }
        if ((field->bit & kept) != 0) {
            const as_value value = {.span = as_span_of(start, (size_t)(end - start)), .form = form};
            if (over) {
                values[field->field] = value;
            } else {
                put(values, field, value);
            }
            *wanted &= ~field->bit;
        }
        *passed |= field->bit;
        at = next;
    }
    *text = as_span_of(at, (size_t)(stop - at));
    return field;
}

/* Read any field, expected or not, or a word without a value. Returns the field; NULL: unknown. */
static const field_spec *read_any(as_span *text, const field_spec *fields, uint32_t count, uint32_t expected,
                                  uint64_t *passed, as_value *value) {
    const uint32_t key = find_key_end(*text);
    if (key == text->len || text->at[key] == ' ') {
        *text = as_span_skip(*text, key); /* a word without a value */
        return NULL;
    }
    const field_spec *field = field_of(as_span_of(text->at, key + 1), fields, count, expected);
    const bool first = field != NULL && (*passed & field->bit) == 0;
    *text = as_span_skip(*text, key + 1);
    *passed |= field == NULL ? 0 : field->bit;
    *value = read_value(text, first ? field->terminator : NULL);
    return field;
}

/* Find the wanted fields of this table in a text that continues with the expected one. False: the unread rest may hold
 * some. One copy for all tables, with the fast path inside. */
__attribute__((noinline)) static bool read_fields_from(as_span text, const field_spec *fields,
                                                       const field_spec *expected, uint32_t count, uint64_t wanted,
                                                       as_value values[AS_FIELDS]) {
    uint64_t passed = 0; /* bits of the fields that read_any has seen */
    uint32_t others = 0; /* unknown or repeated fields and words */
    bool cut = false;    /* the daemon's translation is cut off; expected fields end before it anyway */
    while (others < AS_MAX_UNKNOWN) {
        uint64_t ignored = 0;
        expected = read_expected(&text, expected, &fields[count - 1], wanted, &wanted, &ignored, false, values);
        if (wanted == 0) {
            return true;
        }
        if (!cut) {
            text.len = find(text, AS_TRANSLATION);
            cut = true;
        }
        if (text.len > 0 && text.at[0] == ' ') {
            text = skip_blanks(text);
            continue;
        }
        if (text.len == 0) {
            return true;
        }
        const uint64_t before = passed;
        as_value value;
        const field_spec *field = read_any(&text, fields, count, (uint32_t)(expected - fields), &passed, &value);
        others += passed == before ? 1 : 0;
        if (field == NULL) {
            continue;
        }
        expected = field + 1;
        if ((wanted & field->bit) != 0) {
            put(values, field, value);
            wanted &= ~field->bit;
        }
    }
    return false;
}

static bool read_fields(as_span text, const field_spec *fields, uint32_t count, uint64_t wanted,
                        as_value values[AS_FIELDS]) {
    return read_fields_from(text, fields, fields, count, wanted, values);
}

bool as_record_fields_on(const as_record *record, as_record_cursor *cursor, uint64_t wanted, uint64_t kept,
                         uint64_t *located, as_value values[AS_FIELDS]) {
    const uint32_t row = (uint32_t)record->type - FIRST_TYPE;
    const field_spec *const fields = grammar[row].fields;
    const uint32_t count = grammar[row].count;
    uint64_t passed = 0;
    as_span text = as_span_skip(record->body, cursor->at);
    wanted &= grammar[row].all;
    /* The last key of a PATH is another name of one before it. */
    const field_spec *last = &fields[record->type == AS_TYPE_PATH ? count - 2 : count - 1];
    const field_spec *expected =
        read_expected(&text, fields + cursor->expected, last, kept, &wanted, &passed, true, values);
    cursor->at = record->body.len - text.len;
    cursor->expected = (uint32_t)(expected - fields);
    *located |= passed & kept;
    /* What lies before the cursor has the kernel's form, so all its fields were taken. */
    return wanted == 0 || text.len == 0 || read_fields_from(text, fields, expected, count, wanted, values);
}

/* A record of user space. */
__attribute__((noinline)) static bool read_user_fields(as_span text, uint64_t wanted, as_value values[AS_FIELDS]) {
    static const char start[] = "msg='";
    const uint32_t len = sizeof start - 1;
    as_span message = as_span_of(text.at, 0);
    for (uint32_t at = 0; text.len - at >= len; at++) {
        const uint8_t *quote = memchr(text.at + at + len - 1, '\'', text.len - at - (len - 1));
        if (quote == NULL) {
            break;
        }
        at = (uint32_t)(quote - text.at) - (len - 1);
        if (memcmp(text.at + at, start, len) == 0) {
            message = as_span_skip(text, at + len);
            text.len = at + len - 1; /* the key ends a label */
            break;
        }
    }
    for (uint32_t end = message.len; end > 0; end--) {
        if (message.at[end - 1] == '\'') {
            message.len = end - 1;
            break;
        }
    }
    bool complete =
        (wanted & USER_FIELDS) == 0 || read_fields(text, user_fields, COUNT(user_fields), wanted & USER_FIELDS, values);
    if ((wanted & MESSAGE_FIELDS) != 0) {
        complete =
            read_fields(message, message_fields, COUNT(message_fields), wanted & MESSAGE_FIELDS, values) && complete;
    }
    if ((wanted & AS_BIT(AS_FIELD_ACCT)) != 0 && values[AS_FIELD_ACCT].form == AS_FORM_ABSENT) {
        read_fields(message, id_fields, COUNT(id_fields), AS_BIT(AS_FIELD_ACCT), values);
        if (values[AS_FIELD_ACCT].form != AS_FORM_ABSENT) {
            values[AS_FIELD_ACCT].form = AS_FORM_QUOTED; /* a number, and no hex */
        }
    }
    return complete;
}

bool as_record_fields(const as_record *record, uint64_t wanted, as_value values[AS_FIELDS]) {
    const uint32_t row = (uint32_t)record->type - FIRST_TYPE;
    if (row < COUNT(grammar) && grammar[row].fields != NULL) {
        wanted &= grammar[row].all;
        return wanted == 0 || read_fields(record->body, grammar[row].fields, grammar[row].count, wanted, values);
    }
    if (as_record_stands_alone(record->type)) {
        return read_user_fields(record->body, wanted, values);
    }
    wanted &= OTHER_FIELDS;
    return wanted == 0 || read_fields(record->body, other_fields, COUNT(other_fields), wanted, values);
}

/* Read the number after this key at the start of text, if a blank ends it, and move *text behind the blank. */
static bool read_number(as_span *text, const char *key, size_t len, unsigned base, uint32_t *out) {
    uint64_t number = 0;
    if (!as_span_starts(*text, key, len)) {
        return false;
    }
    const as_span value = as_span_skip(*text, (uint32_t)len);
    const uint32_t digits = as_span_number(value, base, UINT32_MAX, &number);
    if (digits == 0 || digits == value.len || value.at[digits] != ' ') {
        return false;
    }
    *text = as_span_skip(value, digits + 1);
    *out = (uint32_t)number;
    return true;
}

bool as_record_call(const as_record *record, uint32_t *arch, uint32_t *number, uint32_t *len) {
    as_span text = record->body;
    *len = 0;
    if (read_number(&text, AS_LITERAL("arch="), 16, arch) && read_number(&text, AS_LITERAL("syscall="), 10, number)) {
        *len = record->body.len - text.len;
        return true; /* the kernel's form */
    }
    as_value values[AS_FIELDS] = {0};
    uint64_t wide[2] = {0};
    as_record_fields(record, AS_BIT(AS_FIELD_ARCH) | AS_BIT(AS_FIELD_SYSCALL), values);
    if (!as_value_number(values[AS_FIELD_ARCH], AS_KIND_HEX, &wide[0]) ||
        !as_value_number(values[AS_FIELD_SYSCALL], AS_KIND_DECIMAL, &wide[1]) || wide[0] > UINT32_MAX ||
        wide[1] > UINT32_MAX) {
        return false;
    }
    *arch = (uint32_t)wide[0];
    *number = (uint32_t)wide[1];
    return true;
}
