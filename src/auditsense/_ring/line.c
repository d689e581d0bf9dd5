#include "line.h"

#include "prefix.h"
#include "types.h"

void as_lines_init(as_lines *lines, const as_config *config, as_arena *arena) {
    lines->capacity = config->datagram_bytes;
    lines->len = 0;
    lines->clean = 0;
    lines->sample_len = 0;
    lines->cut = false;
    lines->rest = as_arena_alloc(arena, lines->capacity, 1);
}

static void append(as_lines *lines, as_span part) {
    const uint32_t room = lines->capacity - lines->len;
    const uint32_t len = part.len < room ? part.len : room;
    if (len > 0) {
        memcpy(lines->rest + lines->len, part.at, len);
        lines->len += len;
    }
    lines->cut = lines->cut || len < part.len;
}

void as_lines_begin(as_lines *lines) {
    lines->clean = 0;
}

static void skip(as_lines *lines, as_span *text, uint32_t n) {
    *text = as_span_skip(*text, n);
    lines->clean = lines->clean > n ? lines->clean - n : 0;
}

/* Offset of the line feed or zero byte that ends the line at the start of text; text.len: none. Zero bytes are searched
 * in blocks ahead, which costs next to nothing if there are none. */
static uint32_t line_end(as_lines *lines, as_span text) {
    enum { BLOCK = 8192 }; /* fits the nearest cache */
    uint32_t at = 0;
    while (at < text.len) {
        if (at >= lines->clean) {
            const uint32_t ahead = text.len - at < BLOCK ? text.len - at : BLOCK;
            const uint8_t *zero = memchr(text.at + at, 0, ahead);
            if (zero == text.at + at) {
                return at;
            }
            lines->clean = zero == NULL ? at + ahead : (uint32_t)(zero - text.at);
        }
        const uint8_t *end = memchr(text.at + at, '\n', lines->clean - at);
        if (end != NULL) {
            return (uint32_t)(end - text.at);
        }
        at = lines->clean;
    }
    return text.len;
}

bool as_lines_next(as_lines *lines, as_span *text, as_span *line, bool *cut) {
    const uint8_t *end = lines->clean == 0 || lines->len > 0 ? NULL : memchr(text->at, '\n', lines->clean);
    if (end != NULL && (size_t)(end - text->at) <= lines->capacity) { /* usual: a whole line without zero bytes */
        *line = as_span_of(text->at, (size_t)(end - text->at));
        *cut = false;
        *text = as_span_skip(*text, line->len + 1);
        lines->clean -= line->len + 1;
        return true;
    }
    if (lines->len == 0 && text->len > 0 && text->at[0] == 0) { /* zero bytes before a line are a hole in the file */
        uint32_t zeros = 1;
        while (zeros < text->len && text->at[zeros] == 0) {
            zeros++;
        }
        skip(lines, text, zeros);
    }
    as_span head = as_span_of(text->at, line_end(lines, *text));
    if (head.len == text->len) {
        append(lines, head);
        skip(lines, text, head.len);
        return false;
    }
    skip(lines, text, head.len + 1);
    if (lines->len > 0) { /* continues the stored part */
        append(lines, head);
        return as_lines_last(lines, line, cut);
    }
    *cut = head.len > lines->capacity;
    if (*cut) {
        head.len = lines->capacity;
    }
    *line = head;
    return true;
}

bool as_lines_last(as_lines *lines, as_span *line, bool *cut) {
    if (lines->len == 0) {
        return false;
    }
    *line = as_span_of(lines->rest, lines->len);
    *cut = lines->cut;
    /* *line stays valid until the next part is appended. */
    lines->len = 0;
    lines->cut = false;
    return true;
}

void as_lines_sample(as_lines *lines, as_span line) {
    line = as_prefix_skip_blanks(line);
    if (lines->sample_len == 0 && line.len > 0 && line.at[0] != '\r') {
        lines->sample_len = line.len < AS_SAMPLE_BYTES ? line.len : AS_SAMPLE_BYTES;
        memcpy(lines->sample, line.at, lines->sample_len);
    }
}

enum { LONGEST_NAME = 32 };

#define NAME(text) text, sizeof(text) - 1

/* Records of a system call: the others of its event only need to be distinguished from unrelated ones. From
 * linux/audit.h, as daemons print them, most frequent first. */
static const struct {
    char name[16]; /* zero-padded, to compare eight bytes at a time */
    uint32_t len;
    uint16_t type;
} names[] = {
    {NAME("SYSCALL"), 1300},   {NAME("PATH"), 1302},          {NAME("CWD"), 1307},
    {NAME("PROCTITLE"), 1327}, {NAME("EOE"), 1320},           {NAME("EXECVE"), 1309},
    {NAME("SOCKADDR"), 1306},  {NAME("SOCKETCALL"), 1304},    {NAME("IPC"), 1303},
    {NAME("OBJ_PID"), 1318},   {NAME("BPRM_FCAPS"), 1321},    {NAME("CAPSET"), 1322},
    {NAME("MMAP"), 1323},      {NAME("URINGOP"), 1336},       {NAME("OPENAT2"), 1337},
    {NAME("FD_PAIR"), 1317},   {NAME("MQ_OPEN"), 1312},       {NAME("MQ_SENDRECV"), 1313},
    {NAME("MQ_NOTIFY"), 1314}, {NAME("MQ_GETSETATTR"), 1315}, {NAME("IPC_SET_PERM"), 1311},
};

/* "USER" as as_load8 reads it: no record of a system call starts so. */
#define USER_PREFIX UINT32_C(0x52455355)

/* Records that are whole events, or decide what kind of event theirs is. From linux/audit.h and libaudit.h. */
static const struct {
    char name[16];
    uint32_t len;
    uint16_t type;
} main_names[] = {
    {NAME("USER_AUTH"), 1100},       {NAME("USER_ACCT"), 1101},
    {NAME("CRED_ACQ"), 1103},        {NAME("USER_START"), 1105},
    {NAME("CRED_DISP"), 1104},       {NAME("USER_END"), 1106},
    {NAME("CRED_REFR"), 1110},       {NAME("LOGIN"), 1006},
    {NAME("SERVICE_START"), 1130},   {NAME("SERVICE_STOP"), 1131},
    {NAME("USER_CMD"), 1123},        {NAME("AVC"), 1400},
    {NAME("SECCOMP"), 1326},         {NAME("CONFIG_CHANGE"), 1305},
    {NAME("USER_LOGIN"), 1112},      {NAME("USER_LOGOUT"), 1113},
    {NAME("USER_MGMT"), 1102},       {NAME("USER_AVC"), 1107},
    {NAME("USER_CHAUTHTOK"), 1108},  {NAME("USER_ERR"), 1109},
    {NAME("USYS_CONFIG"), 1111},     {NAME("ADD_USER"), 1114},
    {NAME("DEL_USER"), 1115},        {NAME("ADD_GROUP"), 1116},
    {NAME("DEL_GROUP"), 1117},       {NAME("GRP_MGMT"), 1132},
    {NAME("GRP_CHAUTHTOK"), 1133},   {NAME("GRP_AUTH"), 1126},
    {NAME("DAC_CHECK"), 1118},       {NAME("CHGRP_ID"), 1119},
    {NAME("CHUSER_ID"), 1125},       {NAME("TRUSTED_APP"), 1121},
    {NAME("USER_TTY"), 1124},        {NAME("TTY"), 1319},
    {NAME("SYSTEM_BOOT"), 1127},     {NAME("SYSTEM_SHUTDOWN"), 1128},
    {NAME("SYSTEM_RUNLEVEL"), 1129}, {NAME("ACCT_LOCK"), 1135},
    {NAME("ACCT_UNLOCK"), 1136},     {NAME("SOFTWARE_UPDATE"), 1138},
    {NAME("KERN_MODULE"), 1330},     {NAME("ANOM_ABEND"), 1701},
    {NAME("ANOM_LINK"), 1702},       {NAME("ANOM_PROMISCUOUS"), 1700},
    {NAME("NETFILTER_CFG"), 1325},   {NAME("BPF"), 1334},
};

/* A type without a name: the number, as the kernel prints it, or UNKNOWN[number], as daemons do. */
static uint16_t numbered_type(as_span name) {
    uint64_t number = 0;
    if (as_span_starts(name, AS_LITERAL("UNKNOWN[")) && name.at[name.len - 1] == ']') {
        name = as_span_of(name.at + sizeof "UNKNOWN[" - 1, name.len - sizeof "UNKNOWN[");
    }
    const uint32_t read = as_span_number(name, 10, UINT16_MAX, &number);
    return read > 0 && read == name.len ? (uint16_t)number : 0;
}

static uint16_t type_of(as_span name);

/* Some collectors turn all names into lower case. */
__attribute__((noinline, cold)) static uint16_t lower_type(as_span name) {
    uint8_t upper[2 * LONGEST_NAME] = {0}; /* type_of reads past the name */
    if (name.len > LONGEST_NAME) {
        return 0;
    }
    for (uint32_t i = 0; i < name.len; i++) {
        const uint8_t c = name.at[i];
        upper[i] = c >= 'a' && c <= 'z' ? (uint8_t)(c - ('a' - 'A')) : c;
    }
    return type_of(as_span_of(upper, name.len));
}

/* The first `len` of eight bytes, zero-padded; len is at least 1. */
static uint64_t load_up_to_8(const uint8_t *at, uint32_t len) {
    return as_load8(at) & UINT64_MAX >> (len < 8 ? 64 - 8 * len : 0);
}

/* The type of a record that is not one of a system call; 0: unknown. */
__attribute__((noinline)) static uint16_t main_type(as_span name, uint64_t start, uint64_t rest) {
    for (size_t i = 0; i < sizeof main_names / sizeof *main_names; i++) {
        const uint8_t *const padded = (const uint8_t *)main_names[i].name;
        if (as_load8(padded) == start && as_load8(padded + 8) == rest && main_names[i].len == name.len) {
            return main_names[i].type;
        }
    }
    /* Other records of user space and of daemons stand alone, too. */
    if (as_span_starts(name, AS_LITERAL("USER"))) {
        return AS_TYPE_USER_OTHER;
    }
    if (as_span_starts(name, AS_LITERAL("DAEMON_"))) {
        return AS_TYPE_DAEMON_OTHER;
    }
    return name.at[0] >= 'a' && name.at[0] <= 'z' ? lower_type(name) : numbered_type(name);
}

/* At least 8 readable bytes follow the name. */
static uint16_t type_of(as_span name) {
    if (name.len == 0) {
        return 0;
    }
    const uint64_t start = load_up_to_8(name.at, name.len);
    const uint64_t rest = name.len <= 8 ? 0 : load_up_to_8(name.at + 8, name.len - 8);
    if ((start & UINT32_MAX) == USER_PREFIX) {
        return main_type(name, start, rest);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const uint8_t *const padded = (const uint8_t *)names[i].name;
        if (as_load8(padded) == start && as_load8(padded + 8) == rest && names[i].len == name.len) {
            return names[i].type;
        }
    }
    return main_type(name, start, rest);
}

/* Split at the next blank. False: no blank. Words are short, so memchr would cost more. */
static bool word(as_span text, as_span *head, as_span *rest) {
    uint32_t at = 0;
    uint64_t blanks = 0;
    while (text.len - at >= 8 && (blanks = as_bytes_equal(as_load8(text.at + at), ' ')) == 0) {
        at += 8;
    }
    if (blanks != 0) {
        at += as_first_byte(blanks);
    } else {
        while (at < text.len && text.at[at] != ' ') {
            at++;
        }
        if (at == text.len) {
            return false;
        }
    }
    *head = as_span_of(text.at, at);
    *rest = as_span_skip(text, at + 1);
    return true;
}

/* Read the stamp after "type=NAME ": "msg=audit(" of daemons, or "audit(" of the kernel's log after a number. */
static inline bool read_stamp(as_span name, as_span rest, as_line *out) {
    if (as_span_starts(rest, AS_LITERAL("msg=audit("))) {
        out->type = type_of(name);
        out->text = as_span_skip(rest, sizeof "msg=" - 1);
        return true;
    }
    out->type = as_span_starts(rest, AS_LITERAL("audit(")) && name.at[0] != 'U' ? numbered_type(name) : 0;
    out->text = rest;
    return out->type != 0;
}

/* The types of most lines, by the eight bytes after "type=": what follows is "msg=". */
static inline uint32_t usual_type(const uint8_t *name, uint16_t *type) {
    const uint64_t start = as_load8(name);
    if (start == as_load8((const uint8_t *)"SYSCALL ")) {
        *type = AS_TYPE_SYSCALL;
        return sizeof "SYSCALL";
    }
    if (start == as_load8((const uint8_t *)"PATH msg")) {
        *type = AS_TYPE_PATH;
        return sizeof "PATH";
    }
    if (start == as_load8((const uint8_t *)"CWD msg=")) {
        *type = AS_TYPE_CWD;
        return sizeof "CWD";
    }
    if (start == as_load8((const uint8_t *)"PROCTITL") && name[8] == 'E' && name[9] == ' ') {
        *type = AS_TYPE_PROCTITLE;
        return sizeof "PROCTITLE";
    }
    if (start == as_load8((const uint8_t *)"EOE msg=")) {
        *type = AS_TYPE_EOE;
        return sizeof "EOE";
    }
    return 0;
}

/* The usual line: a frequent record at the very start. It is what read_start reads in it, without a search. */
static inline bool read_usual(as_span line, uint16_t *type, as_span *text) {
    enum { TYPE = sizeof "type=" - 1, MSG = sizeof "msg=" - 1, LEAST = sizeof "type=PROCTITLE msg=audit(" - 1 };
    if (line.len < LEAST || memcmp(line.at, "type=", TYPE) != 0) {
        return false;
    }
    const uint32_t name = usual_type(line.at + TYPE, type);
    if (name == 0 || memcmp(line.at + TYPE + name, "msg=audit(", sizeof "msg=audit(" - 1) != 0) {
        return false;
    }
    *text = as_span_skip(line, TYPE + name + MSG);
    return true;
}

bool as_line_continues(as_span line, const uint8_t *stamp, uint32_t stamp_len, uint16_t *type, as_span *body) {
    enum { TYPE = sizeof "type=" - 1, MSG = sizeof "msg=" - 1, LEAST = sizeof "type=PROCTITLE msg=audit(" - 1 };
    if (line.len < LEAST || stamp_len == 0 || line.at[line.len - 1] == '\r' || memcmp(line.at, "type=", TYPE) != 0) {
        return false;
    }
    const uint32_t name = usual_type(line.at + TYPE, type);
    if (name == 0 || *type == AS_TYPE_SYSCALL || memcmp(line.at + TYPE + name, "msg=", MSG) != 0) {
        return false;
    }
    const as_span text = as_span_skip(line, TYPE + name + MSG);
    if (!as_span_starts_as(text, stamp, stamp_len)) {
        return false;
    }
    *body = as_span_skip(text, stamp_len);
    if (body->len > 0 && body->at[0] == ' ') {
        *body = as_span_skip(*body, 1);
    }
    return true;
}

/* A record at the very start of the line. */
static bool read_start(as_span line, as_line *out) {
    as_span head;
    as_span rest;
    out->node = as_span_of(line.at, 0);
    if (as_span_starts(line, AS_LITERAL("node="))) {
        if (!word(as_span_skip(line, sizeof "node=" - 1), &out->node, &line)) {
            return false;
        }
    }
    return as_span_starts(line, AS_LITERAL("type=")) && word(as_span_skip(line, sizeof "type=" - 1), &head, &rest) &&
           read_stamp(head, rest, out);
}

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t';
}

/* The name at the start of text, followed by a blank; empty: none. */
static as_span type_name(as_span text) {
    uint32_t len = 0;
    while (len < text.len && len <= LONGEST_NAME && !is_blank(text.at[len])) {
        const uint8_t c = text.at[len];
        const bool in_names = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
                              c == '[' || c == ']';
        if (!in_names) {
            return as_span_of(text.at, 0);
        }
        len++;
    }
    return as_span_of(text.at, len < text.len && len <= LONGEST_NAME ? len : 0);
}

/* "node=NAME" before `end` and blanks, possibly attached to a prefix such as grep's; otherwise empty, at `end`. */
static as_span node_before(as_span line, uint32_t end) {
    enum { LONGEST_NODE = 256, KEY = sizeof "node=" - 1 };
    uint32_t behind = end;
    while (behind > 0 && is_blank(line.at[behind - 1])) {
        behind--;
    }
    if (behind == end) {
        return as_span_of(line.at + end, 0);
    }
    for (uint32_t at = behind; at >= KEY && behind - at < LONGEST_NODE; at--) {
        if (memcmp(line.at + at - KEY, "node=", KEY) == 0) {
            return as_span_of(line.at + at - KEY, behind - at + KEY);
        }
        if (is_blank(line.at[at - 1])) {
            break;
        }
    }
    return as_span_of(line.at + end, 0);
}

/* The first record in the line, if only a known prefix precedes it. Later ones are text of that record, or of the
 * program that wrote the line. */
__attribute__((noinline, cold)) static bool read_behind_prefix(as_span line, as_line *out) {
    const uint32_t len = sizeof "type=" - 1;
    for (uint32_t at = 0; at < line.len && at < AS_LONGEST_PREFIX + len;) {
        const uint8_t *equals = memchr(line.at + at, '=', line.len - at);
        if (equals == NULL) {
            return false;
        }
        at = (uint32_t)(equals - line.at) + 1;
        if (at < len || memcmp(line.at + at - len, "type=", len) != 0) {
            continue;
        }
        const as_span text = as_span_skip(line, at);
        const as_span name = type_name(text);
        if (name.len > 0 && read_stamp(name, as_prefix_skip_blanks(as_span_skip(text, name.len)), out)) {
            const as_span node = node_before(line, at - len);
            const as_span prefix = as_span_of(line.at, (size_t)(node.at - line.at));
            out->node = node.len == 0 ? node : as_span_of(node.at + 5, node.len - 5);
            return as_prefix_known(prefix);
        }
    }
    return false;
}

bool as_line_separates(as_span line) {
    if (line.len > 0 && line.at[line.len - 1] == '\r') {
        line.len--;
    }
    const bool file = as_span_starts(line, AS_LITERAL("==> ")) && memcmp(line.at + line.len - 4, " <==", 4) == 0;
    /* The date is 24 bytes long; a longer line is something else. */
    const bool date = line.len <= LONGEST_NAME && as_span_starts(line, AS_LITERAL("time->"));
    return file || date || as_span_is(line, AS_LITERAL("----"));
}

/* Any other line. By value: a line whose address is passed on would be in memory, and reading it back takes longer than
 * all of read_usual. */
__attribute__((noinline)) static as_line read_other(as_span line) {
    as_line read;
    if (!read_start(line, &read) && !read_behind_prefix(line, &read)) {
        read.text.at = NULL;
    }
    return read;
}

bool as_line_read(as_span line, as_line *out) {
    if (line.len > 0 && line.at[line.len - 1] == '\r') {
        line.len--;
    }
    if (read_usual(line, &out->type, &out->text)) {
        out->node = as_span_of(line.at, 0);
        return true;
    }
    const as_line other = read_other(line);
    *out = other;
    return other.text.at != NULL;
}
