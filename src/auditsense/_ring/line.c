#include "line.h"

void as_lines_carve(as_lines *lines, const as_config *config, as_carver *from) {
    lines->capacity = config->datagram_bytes;
    lines->len = 0;
    lines->cut = false;
    lines->rest = as_carve(from, lines->capacity, 1);
}

static void keep(as_lines *lines, as_span part) {
    const uint32_t room = lines->capacity - lines->len;
    const uint32_t len = part.len < room ? part.len : room;
    if (len > 0) {
        memcpy(lines->rest + lines->len, part.at, len);
        lines->len += len;
    }
    lines->cut = lines->cut || len < part.len;
}

bool as_lines_take(as_lines *lines, as_span *text, as_span *line, bool *cut) {
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->at, '\n', text->len);
    if (end == NULL) {
        keep(lines, *text);
        *text = as_span_skip(*text, text->len);
        return false;
    }
    as_span head = as_span_of(text->at, (size_t)(end - text->at));
    *text = as_span_skip(*text, head.len + 1);
    if (lines->len > 0) { /* as it is when it was cut */
        keep(lines, head);
        return as_lines_rest(lines, line, cut);
    }
    *cut = head.len > lines->capacity;
    if (*cut) {
        head.len = lines->capacity;
    }
    *line = head;
    return true;
}

bool as_lines_rest(as_lines *lines, as_span *line, bool *cut) {
    if (lines->len == 0) {
        return false;
    }
    *line = as_span_of(lines->rest, lines->len);
    *cut = lines->cut;
    /* The bytes stay where they are until the next part is kept, after this line was read. */
    lines->len = 0;
    lines->cut = false;
    return true;
}

#define NAME(text) text, sizeof(text) - 1

/* The names that decide something: the rest of an event's records only has to be told from a stranger.
 * From linux/audit.h, as daemons print them; those that most events are made of first. */
static const struct {
    char name[12]; /* zeros behind it, so that it can be compared eight bytes at a time */
    uint32_t len;
    uint16_t type;
} names[] = {
    {NAME("SYSCALL"), 1300},   {NAME("PATH"), 1302},       {NAME("CWD"), 1307},
    {NAME("PROCTITLE"), 1327}, {NAME("EOE"), 1320},        {NAME("EXECVE"), 1309},
    {NAME("SOCKADDR"), 1306},  {NAME("SOCKETCALL"), 1304}, {NAME("IPC"), 1303},
    {NAME("OBJ_PID"), 1318},   {NAME("BPRM_FCAPS"), 1321}, {NAME("CAPSET"), 1322},
    {NAME("MMAP"), 1323},      {NAME("URINGOP"), 1336},    {NAME("OPENAT2"), 1337},
};

/* Daemons print a type that they have no name for as UNKNOWN[number]. */
static uint16_t unknown_type(as_span name) {
    uint64_t number = 0;
    if (!as_span_starts(name, AS_LITERAL("UNKNOWN["))) {
        return 0;
    }
    const as_span digits = as_span_skip(name, sizeof "UNKNOWN[" - 1);
    const uint32_t read = as_span_number(digits, 10, UINT16_MAX, &number);
    return read > 0 && read + 1 == digits.len && digits.at[read] == ']' ? (uint16_t)number : 0;
}

/* There are 8 bytes and more at name.at: what follows a name was looked at before. */
static uint16_t type_of(as_span name) {
    if (name.len == 0) {
        return 0;
    }
    const uint64_t start = as_load8(name.at) & UINT64_MAX >> (name.len < 8 ? 64 - 8 * name.len : 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].len == name.len && as_load8((const uint8_t *)names[i].name) == start &&
            (name.len <= 8 || memcmp(name.at + 8, names[i].name + 8, name.len - 8) == 0)) {
            return names[i].type;
        }
    }
    /* What user space reports has no event around it: every such name stands for its whole family. */
    if (as_span_starts(name, AS_LITERAL("USER")) || as_span_starts(name, AS_LITERAL("CRED_")) ||
        as_span_starts(name, AS_LITERAL("SERVICE_"))) {
        return 1100;
    }
    if (as_span_starts(name, AS_LITERAL("DAEMON_"))) {
        return 1200;
    }
    return unknown_type(name);
}

/* The bytes up to the next blank; *rest: behind it. False: no blank. Words are short: no call finds their end. */
static bool word(as_span text, as_span *head, as_span *rest) {
    uint32_t at = 0;
    uint64_t found = 0;
    while (text.len - at >= 8 && (found = as_bytes_equal(as_load8(text.at + at), ' ')) == 0) {
        at += 8;
    }
    if (found != 0) {
        at += as_first_byte(found);
    }
    while (at < text.len && text.at[at] != ' ') {
        at++;
    }
    if (at == text.len) {
        return false;
    }
    *head = as_span_of(text.at, at);
    *rest = as_span_skip(text, at + 1);
    return true;
}

bool as_line_read(as_span line, as_line *out) {
    as_span head;
    as_span rest;
    if (line.len > 0 && line.at[line.len - 1] == '\r') {
        line.len--;
    }
    out->node = as_span_of(line.at, 0);
    if (!word(line, &head, &rest)) {
        return false;
    }
    if (as_span_starts(head, AS_LITERAL("node="))) {
        out->node = as_span_skip(head, sizeof "node=" - 1);
        if (!word(rest, &head, &rest)) {
            return false;
        }
    }
    if (!as_span_starts(head, AS_LITERAL("type=")) || !as_span_starts(rest, AS_LITERAL("msg=audit("))) {
        return false;
    }
    out->type = type_of(as_span_skip(head, sizeof "type=" - 1));
    out->text = as_span_skip(rest, sizeof "msg=" - 1);
    return true;
}
