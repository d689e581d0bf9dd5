#include "value.h"

as_kind as_field_kind(as_field field) {
    static const uint8_t kinds[AS_FIELDS] = {
        [AS_FIELD_ARCH] = AS_KIND_HEX,
        [AS_FIELD_SYSCALL] = AS_KIND_DECIMAL,
        [AS_FIELD_SUCCESS] = AS_KIND_WORD,
        [AS_FIELD_EXIT] = AS_KIND_DECIMAL,
        [AS_FIELD_A0] = AS_KIND_HEX,
        [AS_FIELD_A1] = AS_KIND_HEX,
        [AS_FIELD_A2] = AS_KIND_HEX,
        [AS_FIELD_A3] = AS_KIND_HEX,
        [AS_FIELD_ITEMS] = AS_KIND_DECIMAL,
        [AS_FIELD_PPID] = AS_KIND_DECIMAL,
        [AS_FIELD_PID] = AS_KIND_DECIMAL,
        [AS_FIELD_AUID] = AS_KIND_DECIMAL,
        [AS_FIELD_UID] = AS_KIND_DECIMAL,
        [AS_FIELD_GID] = AS_KIND_DECIMAL,
        [AS_FIELD_EUID] = AS_KIND_DECIMAL,
        [AS_FIELD_SUID] = AS_KIND_DECIMAL,
        [AS_FIELD_FSUID] = AS_KIND_DECIMAL,
        [AS_FIELD_EGID] = AS_KIND_DECIMAL,
        [AS_FIELD_SGID] = AS_KIND_DECIMAL,
        [AS_FIELD_FSGID] = AS_KIND_DECIMAL,
        [AS_FIELD_TTY] = AS_KIND_WORD,
        [AS_FIELD_SES] = AS_KIND_DECIMAL,
        [AS_FIELD_COMM] = AS_KIND_STRING,
        [AS_FIELD_EXE] = AS_KIND_STRING,
        [AS_FIELD_SUBJ] = AS_KIND_WORD,
        [AS_FIELD_KEY] = AS_KIND_STRING,
        [AS_FIELD_CWD] = AS_KIND_STRING,
        [AS_FIELD_PATH_NAME] = AS_KIND_STRING,
        [AS_FIELD_PATH_INODE] = AS_KIND_DECIMAL,
        [AS_FIELD_PATH_DEV] = AS_KIND_WORD,
        [AS_FIELD_PATH_MODE] = AS_KIND_OCTAL,
        [AS_FIELD_PATH_OUID] = AS_KIND_DECIMAL,
        [AS_FIELD_PATH_OGID] = AS_KIND_DECIMAL,
        [AS_FIELD_PATH_RDEV] = AS_KIND_WORD,
        [AS_FIELD_PATH_OBJ] = AS_KIND_WORD,
        [AS_FIELD_PATH_NAMETYPE] = AS_KIND_WORD,
        [AS_FIELD_PROCTITLE] = AS_KIND_STRING,
        [AS_FIELD_NODE] = AS_KIND_WORD, /* not a key of a record */
        [AS_FIELD_ARGC] = AS_KIND_DECIMAL,
        [AS_FIELD_SOCKET_PORT] = AS_KIND_DECIMAL,
        [AS_FIELD_ACCT] = AS_KIND_STRING,
        /* Others are words, or values that event_values.c has decoded. */
    };
    return (as_kind)kinds[field];
}

/* One more than the value of a digit; 0: no digit. */
static const uint8_t upper_digits[256] = {['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
                                          ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['A'] = 11, ['B'] = 12,
                                          ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

/* Decode upper-case hex; nul: replacement for NUL. False: not hex, so the text is the value. */
static bool unhex(as_span hex, uint8_t nul, uint8_t *out) {
    for (uint32_t i = 0; i < hex.len; i += 2) {
        const unsigned high = upper_digits[hex.at[i]];
        const unsigned low = upper_digits[hex.at[i + 1]];
        if (high == 0 || low == 0) {
            return false;
        }
        const uint8_t byte = (uint8_t)((high - 1) * 16 + low - 1);
        out[i / 2] = byte == 0 ? nul : byte;
    }
    return true;
}

static bool decode(as_value value, as_kind kind, uint8_t nul, uint8_t *scratch, as_span *out) {
    const as_span text = value.span;
    if (value.form == AS_FORM_ABSENT) {
        return false;
    }
    *out = text;
    if (value.form == AS_FORM_QUOTED) {
        return true;
    }
    if (text.len == 0) {
        return false;
    }
    if (text.at[0] == '(' && (as_span_is(text, AS_LITERAL("(null)")) || as_span_is(text, AS_LITERAL("(none)")))) {
        return false;
    }
    if (text.at[0] == '?' && text.len == 1) {
        return false;
    }
    if (kind == AS_KIND_STRING && text.len % 2 == 0 && unhex(text, nul, scratch)) {
        *out = as_span_of(scratch, text.len / 2);
    }
    return true;
}

bool as_value_text(as_value value, as_kind kind, uint8_t *scratch, as_span *out) {
    return decode(value, kind, ' ', scratch, out);
}

bool as_value_bytes(as_value value, as_kind kind, uint8_t *scratch, as_span *out) {
    return decode(value, kind, 0, scratch, out);
}

static bool decimal(as_span text, uint64_t *out) {
    const bool negative = text.at[0] == '-';
    if (negative) {
        text = as_span_skip(text, 1);
    }
    const uint32_t digits = as_span_number(text, 10, UINT64_MAX, out);
    if (digits == 0 || digits != text.len) {
        return false;
    }
    *out = negative ? 0 - *out : *out;
    return true;
}

bool as_value_number(as_value value, as_kind kind, uint64_t *out) {
    const as_span text = value.span;
    if (value.form == AS_FORM_ABSENT || text.len == 0) {
        return false;
    }
    switch (kind) { /* a known base takes fewer instructions per digit */
    case AS_KIND_DECIMAL:
        return decimal(text, out);
    case AS_KIND_OCTAL:
        return as_span_number(text, 8, UINT64_MAX, out) == text.len;
    case AS_KIND_HEX:
        return as_span_number(text, 16, UINT64_MAX, out) == text.len;
    default:
        return false;
    }
}
