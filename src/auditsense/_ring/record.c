#include "record.h"

/* 2^53 seconds is past every calendar; times 1000 it still fits 64 bits. */
#define MOST_SECONDS (UINT64_C(1) << 53)

/* What daemons put between the kernel's text and their own translation of it. */
#define TRANSLATION 0x1D

bool as_record_read(uint16_t type, as_span text, as_record *out) {
    uint64_t seconds = 0;
    uint64_t millis = 0;
    uint64_t serial = 0;
    if (!as_span_starts(text, AS_LITERAL("audit("))) {
        return false;
    }
    text = as_span_skip(text, sizeof "audit(" - 1);
    uint32_t digits = as_span_number(text, 10, MOST_SECONDS, &seconds);
    if (digits == 0 || digits == text.len || text.at[digits] != '.') {
        return false;
    }
    text = as_span_skip(text, digits + 1);
    digits = as_span_number(text, 10, 999, &millis);
    if (digits != 3 || digits == text.len || text.at[digits] != ':') {
        return false;
    }
    text = as_span_skip(text, digits + 1);
    digits = as_span_number(text, 10, UINT32_MAX, &serial);
    if (digits == 0 || !as_span_starts(as_span_skip(text, digits), AS_LITERAL("):"))) {
        return false;
    }
    text = as_span_skip(text, digits + 2);
    if (text.len > 0 && text.at[0] == ' ') {
        text = as_span_skip(text, 1);
    }
    *out = (as_record){.type = type, .serial = (uint32_t)serial, .ms = seconds * 1000 + millis, .body = text};
    return true;
}

bool as_record_read_next(as_stamp *before, uint16_t type, as_span text, as_record *out) {
    if (before->len > 0 && as_span_starts(text, (const char *)before->text, before->len)) {
        as_span body = as_span_skip(text, before->len);
        if (body.len > 0 && body.at[0] == ' ') {
            body = as_span_skip(body, 1);
        }
        *out = (as_record){.type = type, .serial = before->serial, .ms = before->ms, .body = body};
        return true;
    }
    if (!as_record_read(type, text, out)) {
        return false;
    }
    before->len = text.len - out->body.len;
    if (before->len > 0 && text.at[before->len - 1] == ' ') {
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

bool as_record_stands_alone(uint16_t type) {
    /* AUDIT_USER and its families, what a daemon says of itself, and AUDIT_KERNEL. */
    return (type >= 1100 && type <= 1299) || (type >= 2000 && type <= 2999);
}

bool as_record_of_syscall(uint16_t type) {
    switch (type) {
    case 1305: /* CONFIG_CHANGE, NETFILTER_CFG, SECCOMP, FEATURE_CHANGE, REPLACE, KERN_MODULE, FANOTIFY,
                  BPF, EVENT_LISTENER, DM_*: also come alone, from kernel threads or the socket's owner */
    case 1325:
    case 1326:
    case 1328:
    case 1329:
    case 1330:
    case 1331:
    case 1334:
    case 1335:
    case 1338:
    case 1339:
        return false;
    default:
        return type >= 1300 && type <= 1399;
    }
}

typedef struct {
    const char *key;
    uint32_t len;
    as_field field;
    as_kind kind;
    const char *until; /* a value printed raw ends before the last of these, not at a blank */
} known;

/* In the kernel's order, which makes each search one comparison. */
static const known syscall_fields[] = {
    {AS_LITERAL("arch"), AS_FIELD_ARCH, AS_KIND_HEX, NULL},
    {AS_LITERAL("syscall"), AS_FIELD_SYSCALL, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("success"), AS_FIELD_SUCCESS, AS_KIND_WORD, NULL},
    {AS_LITERAL("exit"), AS_FIELD_EXIT, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("a0"), AS_FIELD_A0, AS_KIND_HEX, NULL},
    {AS_LITERAL("a1"), AS_FIELD_A1, AS_KIND_HEX, NULL},
    {AS_LITERAL("a2"), AS_FIELD_A2, AS_KIND_HEX, NULL},
    {AS_LITERAL("a3"), AS_FIELD_A3, AS_KIND_HEX, NULL},
    {AS_LITERAL("items"), AS_FIELD_ITEMS, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("ppid"), AS_FIELD_PPID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("pid"), AS_FIELD_PID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("auid"), AS_FIELD_AUID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("uid"), AS_FIELD_UID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("gid"), AS_FIELD_GID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("euid"), AS_FIELD_EUID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("suid"), AS_FIELD_SUID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("fsuid"), AS_FIELD_FSUID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("egid"), AS_FIELD_EGID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("sgid"), AS_FIELD_SGID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("fsgid"), AS_FIELD_FSGID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("tty"), AS_FIELD_TTY, AS_KIND_WORD, NULL},
    {AS_LITERAL("ses"), AS_FIELD_SES, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("comm"), AS_FIELD_COMM, AS_KIND_STRING, NULL},
    {AS_LITERAL("exe"), AS_FIELD_EXE, AS_KIND_STRING, NULL},
    {AS_LITERAL("subj"), AS_FIELD_SUBJ, AS_KIND_WORD, " key="},
    {AS_LITERAL("key"), AS_FIELD_KEY, AS_KIND_STRING, NULL},
};
static const known path_fields[] = {
    {AS_LITERAL("name"), AS_FIELD_PATH_NAME, AS_KIND_STRING, NULL},
    {AS_LITERAL("inode"), AS_FIELD_PATH_INODE, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("dev"), AS_FIELD_PATH_DEV, AS_KIND_WORD, NULL},
    {AS_LITERAL("mode"), AS_FIELD_PATH_MODE, AS_KIND_OCTAL, NULL},
    {AS_LITERAL("ouid"), AS_FIELD_PATH_OUID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("ogid"), AS_FIELD_PATH_OGID, AS_KIND_DECIMAL, NULL},
    {AS_LITERAL("rdev"), AS_FIELD_PATH_RDEV, AS_KIND_WORD, NULL},
    {AS_LITERAL("obj"), AS_FIELD_PATH_OBJ, AS_KIND_WORD, " nametype="},
    {AS_LITERAL("nametype"), AS_FIELD_PATH_NAMETYPE, AS_KIND_WORD, NULL},
};
static const known cwd_fields[] = {{AS_LITERAL("cwd"), AS_FIELD_CWD, AS_KIND_STRING, NULL}};
static const known proctitle_fields[] = {
    {AS_LITERAL("proctitle"), AS_FIELD_PROCTITLE, AS_KIND_STRING, NULL}};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* The bits of the fields from one to another, as they stand in as_field. */
#define RANGE(from, to) ((AS_BIT(to) | (AS_BIT(to) - 1)) & ~(AS_BIT(from) - 1))

static const struct {
    uint16_t type;
    const known *fields;
    uint32_t count;
    uint64_t all; /* bits of the fields */
} grammar[] = {
    {AS_TYPE_SYSCALL, syscall_fields, COUNT(syscall_fields), RANGE(AS_FIELD_ARCH, AS_FIELD_KEY)},
    {AS_TYPE_PATH, path_fields, COUNT(path_fields), RANGE(AS_FIELD_PATH_NAME, AS_FIELD_PATH_NAMETYPE)},
    {AS_TYPE_CWD, cwd_fields, COUNT(cwd_fields), AS_BIT(AS_FIELD_CWD)},
    {AS_TYPE_PROCTITLE, proctitle_fields, COUNT(proctitle_fields), AS_BIT(AS_FIELD_PROCTITLE)},
};

as_kind as_field_kind(as_field field) {
    /* In as_field's order the fields of a record type follow each other as in its grammar. */
    for (size_t i = 0; i < COUNT(grammar); i++) {
        const as_field first = grammar[i].fields[0].field;
        if (field >= first && field - first < grammar[i].count) {
            return grammar[i].fields[field - first].kind;
        }
    }
    return AS_KIND_WORD; /* AS_FIELD_NODE: no key of any record */
}

/* The names a daemon's translation starts with, in case its separator was lost on the way. */
static uint32_t translated(as_span value) {
    static const char *const first[] = {"ARCH=", "OUID=", "UID=", "AUID=", "SADDR=", "OBJ_UID="};
    uint32_t cut = value.len;
    for (size_t i = 0; i < COUNT(first); i++) {
        const uint32_t len = (uint32_t)strlen(first[i]);
        for (uint32_t at = 0; at + len <= value.len && at < cut; at++) {
            if (memcmp(value.at + at, first[i], len) == 0) {
                cut = at;
            }
        }
    }
    return cut;
}

static uint32_t find(as_span text, uint8_t byte) {
    const uint8_t *at = text.len == 0 ? NULL : memchr(text.at, byte, text.len);
    return at == NULL ? text.len : (uint32_t)(at - text.at);
}

/* Where the last of these words starts, or text.len. */
static uint32_t find_last(as_span text, const char *until) {
    const uint32_t len = (uint32_t)strlen(until);
    for (uint32_t at = text.len >= len ? text.len - len + 1 : 0; at > 0; at--) {
        if (memcmp(text.at + at - 1, until, len) == 0) {
            return at - 1;
        }
    }
    return text.len;
}

/* The value at the start of text, which is moved to behind it. What stands between a closing quote and
 * the next blank is not the kernel's: a translation follows, so nothing more is read. */
static as_value take_value(as_span *text, const char *until) {
    as_value value = {.span = *text, .form = AS_FORM_BARE};
    if (until == NULL && text->len > 0 && text->at[0] == '"') {
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
    uint32_t end = until == NULL ? text->len : find_last(*text, until);
    bool assigned = false; /* a second '=': a translation is glued to the value */
    if (end == text->len) {
        for (end = 0; end < text->len && text->at[end] != ' '; end++) {
            assigned = assigned || text->at[end] == '=';
        }
    }
    value.span.len = end;
    *text = as_span_skip(*text, end);
    if (assigned && until == NULL) {
        const uint32_t cut = translated(value.span);
        if (cut < value.span.len) {
            value.span.len = cut;
            *text = as_span_skip(*text, text->len);
        }
    }
    return value;
}

/* True when text goes on with this field's key and its '='. Keys are a few bytes: a call would cost more. */
static inline bool at_key(as_span text, const known *field) {
    if (text.len <= field->len || text.at[field->len] != '=') {
        return false;
    }
    for (uint32_t i = 0; i < field->len; i++) {
        if (text.at[i] != (uint8_t)field->key[i]) {
            return false;
        }
    }
    return true;
}

/* The field whose key text goes on with, looked for from `expected` on; NULL: none of these. */
static const known *field_at(as_span text, const known *fields, uint32_t count, uint32_t expected) {
    for (uint32_t i = expected; i < count; i++) {
        if (at_key(text, &fields[i])) {
            return &fields[i];
        }
    }
    for (uint32_t i = 0; i < expected; i++) {
        if (at_key(text, &fields[i])) {
            return &fields[i];
        }
    }
    return NULL;
}

void as_record_fields(const as_record *record, uint64_t wanted, as_value values[AS_FIELDS]) {
    const known *fields = NULL;
    uint32_t count = 0;
    for (size_t i = 0; i < COUNT(grammar); i++) {
        if (grammar[i].type == record->type) {
            fields = grammar[i].fields;
            count = grammar[i].count;
            wanted &= grammar[i].all;
        }
    }
    if (fields == NULL || wanted == 0) {
        return;
    }
    as_span text = record->body;
    text.len = find(text, TRANSLATION);
    uint32_t expected = 0;
    while (text.len > 0) {
        if (text.at[0] == ' ') {
            text = as_span_skip(text, 1);
            continue;
        }
        const known *field = field_at(text, fields, count, expected);
        uint32_t key = field == NULL ? 0 : field->len;
        if (field == NULL) {
            while (key < text.len && text.at[key] != '=' && text.at[key] != ' ') {
                key++;
            }
            if (key == text.len || text.at[key] == ' ') {
                text = as_span_skip(text, key); /* a word without a value */
                continue;
            }
        }
        text = as_span_skip(text, key + 1);
        const bool first = field != NULL && values[field->field].form == AS_FORM_ABSENT;
        const as_value value = take_value(&text, first ? field->until : NULL);
        if (first) {
            values[field->field] = value;
            wanted &= ~AS_BIT(field->field);
            if (wanted == 0) {
                return;
            }
        }
        if (field != NULL) {
            expected = (uint32_t)(field - fields) + 1;
        }
    }
}

static unsigned upper_digit(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10u : 255u;
}

/* Decode upper-case hex. False: it is not, and the text stands for itself. */
static bool unhex(as_span hex, uint8_t *out) {
    for (uint32_t i = 0; i < hex.len; i += 2) {
        const unsigned high = upper_digit(hex.at[i]);
        const unsigned low = upper_digit(hex.at[i + 1]);
        if (high > 15 || low > 15) {
            return false;
        }
        const uint8_t byte = (uint8_t)(high * 16 + low);
        out[i / 2] = byte == 0 ? ' ' : byte;
    }
    return true;
}

bool as_value_text(as_value value, as_kind kind, uint8_t *scratch, as_span *out) {
    const as_span text = value.span;
    if (value.form == AS_FORM_ABSENT) {
        return false;
    }
    *out = text;
    if (value.form == AS_FORM_QUOTED) {
        return true;
    }
    if (text.len == 0 || as_span_is(text, AS_LITERAL("(null)")) || as_span_is(text, AS_LITERAL("(none)")) ||
        as_span_is(text, AS_LITERAL("?"))) {
        return false;
    }
    if (kind == AS_KIND_STRING && text.len % 2 == 0 && unhex(text, scratch)) {
        *out = as_span_of(scratch, text.len / 2);
    }
    return true;
}

bool as_value_number(as_value value, as_kind kind, uint64_t *out) {
    static const unsigned bases[] = {[AS_KIND_DECIMAL] = 10, [AS_KIND_OCTAL] = 8, [AS_KIND_HEX] = 16};
    const bool number = kind == AS_KIND_DECIMAL || kind == AS_KIND_OCTAL || kind == AS_KIND_HEX;
    as_span text = value.span;
    if (value.form != AS_FORM_BARE || !number || text.len == 0) {
        return false;
    }
    const bool negative = kind == AS_KIND_DECIMAL && text.at[0] == '-';
    if (negative) {
        text = as_span_skip(text, 1);
    }
    const uint32_t digits = as_span_number(text, bases[kind], UINT64_MAX, out);
    if (negative) {
        *out = 0 - *out;
    }
    return digits > 0 && digits == text.len;
}
