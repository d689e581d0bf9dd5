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
    if (lines->len > 0 || lines->cut) {
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

/* The names that decide something: the rest of an event's records only has to be told from a stranger.
 * From linux/audit.h, as daemons print them. */
static const struct {
    const char *name;
    uint16_t type;
} names[] = {
    {"SYSCALL", 1300}, {"PATH", 1302},   {"IPC", 1303},      {"SOCKETCALL", 1304}, {"SOCKADDR", 1306},
    {"CWD", 1307},     {"EXECVE", 1309}, {"OBJ_PID", 1318},  {"EOE", 1320},        {"BPRM_FCAPS", 1321},
    {"CAPSET", 1322},  {"MMAP", 1323},   {"PROCTITLE", 1327}, {"URINGOP", 1336},   {"OPENAT2", 1337},
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

static uint16_t type_of(as_span name) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (as_span_is(name, names[i].name, strlen(names[i].name))) {
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

/* The bytes up to the next blank; *rest: behind it. False: no blank. */
static bool word(as_span text, as_span *head, as_span *rest) {
    const uint8_t *blank = text.len == 0 ? NULL : memchr(text.at, ' ', text.len);
    if (blank == NULL) {
        return false;
    }
    *head = as_span_of(text.at, (size_t)(blank - text.at));
    *rest = as_span_skip(text, head->len + 1);
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
