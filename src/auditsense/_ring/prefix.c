#include "prefix.h"

enum { LONGEST_WORD = 256, LONGEST_BRACKET = 64, LONGEST_POD = 400, MAX_DATES = 8, MAX_HOSTS = 2, MAX_SPLITS = 8 };

/* Relays that may have added a header before the original one. */
enum { MAX_RELAYS = 1 };

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static bool is_one_of(uint8_t c, const char *bytes, size_t len) {
    return memchr(bytes, c, len) != NULL;
}

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t';
}

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

as_span as_prefix_skip_blanks(as_span text) {
    for (;;) {
        if (text.len > 0 && is_blank(text.at[0])) {
            text = as_span_skip(text, 1);
        } else if (as_span_starts(text, AS_LITERAL("\xEF\xBB\xBF"))) {
            text = as_span_skip(text, 3);
        } else {
            return text;
        }
    }
}

static as_span skip_digits(as_span text) {
    while (text.len > 0 && is_digit(text.at[0])) {
        text = as_span_skip(text, 1);
    }
    return text;
}

/* Return the bytes up to the next blank and move *text behind the blanks. Empty: no word of acceptable length. */
static as_span take_word(as_span *text) {
    uint32_t len = 0;
    while (len < text->len && len <= LONGEST_WORD && !is_blank(text->at[len])) {
        len++;
    }
    const as_span word = as_span_of(text->at, len > LONGEST_WORD ? 0 : len);
    *text = as_prefix_skip_blanks(as_span_skip(*text, len));
    return word;
}

/* Whether a word contains this lower-case text, ignoring case. */
static bool holds(as_span word, const char *text, uint32_t len) {
    for (uint32_t at = 0; at + len <= word.len; at++) {
        uint32_t same = 0;
        while (same < len && lower(word.at[at + same]) == (uint8_t)text[same]) {
            same++;
        }
        if (same == len) {
            return true;
        }
    }
    return false;
}

static bool holds_byte(as_span word, uint8_t byte) {
    return word.len > 0 && memchr(word.at, byte, word.len) != NULL;
}

/* Programs that forward records have "audi" in their names, by default or by the administrator's choice. */
static bool names_audit(as_span word) {
    return holds(word, AS_LITERAL("audi"));
}

/* "NAME" or "NAME[PID]" of syslog. */
static bool trusted_program(as_span tag) {
    const uint8_t *pid = tag.len == 0 ? NULL : memchr(tag.at, '[', tag.len);
    const as_span name = pid == NULL ? tag : as_span_of(tag.at, (size_t)(pid - tag.at));
    return as_span_is(name, AS_LITERAL("kernel")) || names_audit(name);
}

/* A part of a date: numbers with punctuation, "Nov", "Mon,", "UTC". */
static bool is_dated(as_span word) {
    bool digit = false;
    uint32_t letters = 0;
    for (uint32_t i = 0; i < word.len; i++) {
        const uint8_t c = word.at[i];
        digit = digit || is_digit(c);
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
            letters++;
        } else if (!is_digit(c) && !is_one_of(c, AS_LITERAL("-:.,+/"))) {
            return false;
        }
    }
    if (digit) { /* "2026-11-24T16:00:00Z" has two letters */
        return letters == 0 || (letters <= 2 && (holds_byte(word, 'T') || holds_byte(word, 'Z')));
    }
    const bool three = letters == 3 && (word.len == 3 || (word.len == 4 && word.at[3] == ','));
    return three && word.at[0] >= 'A' && word.at[0] <= 'Z';
}

/* "CEST": the name of a time zone after a date. */
static bool is_zone(as_span word) {
    bool upper = word.len >= 3 && word.len <= 5;
    for (uint32_t i = 0; upper && i < word.len; i++) {
        upper = word.at[i] >= 'A' && word.at[i] <= 'Z';
    }
    return upper;
}

/* "Mär", "okt.": a month in another language, followed by the day. */
static bool is_month(as_span word, as_span behind) {
    bool letters = word.len >= 3 && word.len <= 12 && behind.len > 0 && is_digit(behind.at[0]);
    for (uint32_t i = 0; letters && i < word.len; i++) {
        const uint8_t c = lower(word.at[i]);
        letters = (c >= 'a' && c <= 'z') || c >= 0x80 || (c == '.' && i + 1 == word.len);
    }
    return letters;
}

/* "[pod/auditd-x7/auditd] ", from kubectl logs --prefix. */
static as_span skip_pod(as_span text) {
    if (!as_span_starts(text, AS_LITERAL("[pod/"))) {
        return text;
    }
    for (uint32_t at = 0; at < text.len && at < LONGEST_POD && !is_blank(text.at[at]); at++) {
        if (text.at[at] == ']') {
            return as_prefix_skip_blanks(as_span_skip(text, at + 1));
        }
    }
    return text;
}

/* "auditd-1  | ", from docker compose. */
static as_span skip_service(as_span text) {
    as_span behind = text;
    const as_span name = take_word(&behind);
    const bool fits = names_audit(name) && behind.len > 0 && behind.at[0] == '|';
    return fits ? as_prefix_skip_blanks(as_span_skip(behind, 1)) : text;
}

/* "[ 4000.000000]", "[Mon Nov 24 16:00:00 2026]", "[ T1234]": any number of them. */
static as_span skip_brackets(as_span text) {
    while (text.len > 0 && text.at[0] == '[') {
        uint32_t at = 1;
        while (at < text.len && at < LONGEST_BRACKET && text.at[at] != ']') {
            const uint8_t c = text.at[at];
            const bool letter = lower(c) >= 'a' && lower(c) <= 'z';
            if (!letter && !is_digit(c) && !is_one_of(c, AS_LITERAL(" .:,+<>"))) {
                return text;
            }
            at++;
        }
        if (at == text.len || text.at[at] != ']') {
            return text;
        }
        text = as_prefix_skip_blanks(as_span_skip(text, at + 1));
    }
    return text;
}

/* Whether there is nothing between the name of a trusted program and a record, except what the kernel's printk adds. */
static bool only_printk(as_span text) {
    text = skip_brackets(as_prefix_skip_blanks(text));
    if (as_span_starts(text, AS_LITERAL("audit:"))) {
        text = as_prefix_skip_blanks(as_span_skip(text, sizeof "audit:" - 1));
    }
    return text.len == 0;
}

/* Structured data of RFC 5424 at the start of text: "-" or "[id name=\"value\"]…". Returns the rest; *closed: it has an
 * end. */
static as_span skip_structured(as_span text, bool *closed) {
    *closed = false;
    if (text.len > 0 && text.at[0] == '-') {
        *closed = true;
        return as_span_skip(text, 1);
    }
    while (text.len > 0 && text.at[0] == '[') {
        bool quoted = false;
        uint32_t at = 1;
        while (at < text.len && (quoted || text.at[at] != ']')) {
            if (text.at[at] == '\\' && quoted) {
                at++;
            } else if (text.at[at] == '"') {
                quoted = !quoted;
            }
            at++;
        }
        if (at >= text.len) {
            return text;
        }
        *closed = true;
        text = as_span_skip(text, at + 1);
    }
    return text;
}

/* "TIME HOST PROGRAM PID MESSAGE-ID STRUCTURED-DATA". Without a version before it, which files often lack, it
 * must name a program, and PID must be a number. */
static bool is_rfc5424(as_span text) {
    bool closed = false;
    const bool version = as_span_starts(text, AS_LITERAL("1 "));
    if (version) {
        text = as_span_skip(text, 2);
    }
    const as_span time = take_word(&text);
    const as_span host = take_word(&text);
    const as_span program = take_word(&text);
    const as_span pid = take_word(&text);
    const as_span id = take_word(&text);
    const bool unnamed = version && as_span_is(program, AS_LITERAL("-"));
    if (host.len == 0 || pid.len == 0 || id.len == 0 || !(unnamed || trusted_program(program)) ||
        !(version || as_span_is(pid, AS_LITERAL("-")) || skip_digits(pid).len == 0)) {
        return false;
    }
    text = skip_structured(text, &closed);
    return closed && (is_dated(time) || as_span_is(time, AS_LITERAL("-"))) && only_printk(text);
}

/* "5,1234,4000000000,-;", from /dev/kmsg; otherwise text is unchanged. */
static as_span skip_kmsg(as_span text) {
    for (uint32_t at = 0; at < text.len && at < LONGEST_BRACKET && !is_blank(text.at[at]); at++) {
        if (text.at[at] == ';') {
            return at > 0 && is_digit(text.at[0]) ? as_prefix_skip_blanks(as_span_skip(text, at + 1)) : text;
        }
    }
    return text;
}

/* "kern  :notice: ", from dmesg -x; otherwise text is unchanged. */
static as_span skip_facility(as_span text) {
    if (!as_span_starts(text, AS_LITERAL("kern "))) {
        return text;
    }
    as_span level = as_prefix_skip_blanks(as_span_skip(text, sizeof "kern " - 1));
    const as_span word = take_word(&level);
    const bool fits = word.len > 2 && word.at[0] == ':' && word.at[word.len - 1] == ':';
    return fits ? level : text;
}

static bool is_header(as_span text, uint32_t relays);

/* "[DATE… [HOST]] PROGRAM:"; also "DATE HOST" and "DATE HOST PROGRAM" from templates without a tag or its colon, "DATE
 * stdout F" from containers, "DATE HOST->FILE". A whole header may follow a relay's DATE and HOST. dates: parts of a
 * date already seen before the text. */
static bool is_dated_header(as_span text, uint32_t dates, uint32_t relays) {
    uint32_t hosts = 0;
    as_span word = as_span_of(text.at, 0);
    while (text.len > 0) {
        const as_span from_word = text;
        word = take_word(&text);
        if (hosts == 0 && dates < MAX_DATES && (is_dated(word) || (dates > 0 ? is_zone(word) : is_month(word, text)))) {
            dates++;
            continue;
        }
        if (hosts > 0 && relays > 0 && (as_span_starts(word, AS_LITERAL("<")) || is_dated(word))) {
            return is_header(from_word, relays - 1);
        }
        if (word.len == 0 || holds_byte(word, '=') || holds_byte(word, '"')) {
            return false;
        }
        if (word.at[word.len - 1] == ':') { /* the first such word is the program, regardless of the rest */
            return trusted_program(as_span_of(word.at, word.len - 1)) && only_printk(text);
        }
        if (holds(word, AS_LITERAL("->"))) {
            return names_audit(word) && text.len == 0;
        }
        if (dates > 0 && (as_span_is(word, AS_LITERAL("stdout")) || as_span_is(word, AS_LITERAL("stderr")))) {
            const as_span tag = take_word(&text);
            return text.len == 0 && (as_span_is(tag, AS_LITERAL("F")) || as_span_is(tag, AS_LITERAL("P")));
        }
        hosts++;
        if (hosts > MAX_HOSTS || dates == 0) {
            return false;
        }
    }
    return dates > 0 && (hosts < MAX_HOSTS || trusted_program(word));
}

/* Skip "<134>", with the length that syslog over TCP adds. False: it starts like a priority, but is not one. */
static bool skip_priority(as_span *text) {
    const as_span framed = as_prefix_skip_blanks(skip_digits(*text));
    if (framed.len > 0 && framed.at[0] == '<') {
        *text = framed;
    }
    if (text->len == 0 || text->at[0] != '<') {
        return true;
    }
    const as_span behind = skip_digits(as_span_skip(*text, 1));
    if (behind.len == 0 || behind.at[0] != '>') {
        return false;
    }
    *text = as_prefix_skip_blanks(as_span_skip(behind, 1));
    return true;
}

static bool is_header(as_span text, uint32_t relays) {
    text = skip_service(skip_pod(as_prefix_skip_blanks(text)));
    if (!skip_priority(&text)) {
        return false;
    }
    if (is_rfc5424(text)) {
        return true;
    }
    const as_span behind = skip_brackets(skip_facility(skip_kmsg(text)));
    return only_printk(behind) || is_dated_header(behind, behind.len < text.len ? 1 : 0, relays);
}

/* Whether the text before `end` ends with this word, ignoring case. */
static bool ends_with(as_span text, uint32_t end, const char *word, uint32_t len) {
    return end >= len && holds(as_span_of(text.at + end - len, len), word, len);
}

/* After "FILE:" or "FILE-": skip the line number, if there is one. */
static as_span skip_line_number(as_span text) {
    const as_span number = as_prefix_skip_blanks(text);
    const as_span behind = skip_digits(number);
    const bool ends = behind.len > 0 && behind.len < number.len && (behind.at[0] == ':' || behind.at[0] == '-');
    return ends ? as_span_skip(behind, 1) : text;
}

/* A file name from grep ends at ':' or '-', and a line number may follow. Names can contain both, so each position is
 * tried. ": " after a program's name and " - " end a syslog header: the rest is text of a program. */
static bool is_behind_file(as_span text) {
    uint32_t splits = 0;
    bool blank = false;
    bool file = false; /* the text so far looks like the name of a log file */
    bool log = false;  /* and not only because of a '/', which names of programs also contain */
    const bool path = as_span_starts(text, AS_LITERAL("/")) || as_span_starts(text, AS_LITERAL("./"));
    if (as_span_starts(text, AS_LITERAL("(standard input):"))) {
        return is_header(skip_line_number(as_span_skip(text, sizeof "(standard input):" - 1)), MAX_RELAYS);
    }
    for (uint32_t at = 0; at < text.len && splits < MAX_SPLITS; at++) {
        const uint8_t c = text.at[at];
        const uint8_t last = at == 0 ? 0 : lower(text.at[at - 1]);
        log = log || (last == 'i' && ends_with(text, at, AS_LITERAL("audi"))) ||
              (last == 'g' && ends_with(text, at, AS_LITERAL(".log")));
        file = file || log || c == '/';
        if (c < ' ' || (is_one_of(c, AS_LITERAL("=\"'<>|")) && !(path && splits == 0))) {
            return false;
        }
        blank = blank || c == ' ';
        if (c != ':' && c != '-') {
            continue;
        }
        const as_span rest = as_span_skip(text, at + 1);
        const bool blank_behind = rest.len > 0 && rest.at[0] == ' ';
        if (blank_behind && (blank || !log) && (c == ':' || text.at[at == 0 ? 0 : at - 1] == ' ')) {
            return false;
        }
        if (!blank || file) {
            if (is_header(skip_line_number(rest), MAX_RELAYS)) {
                return true;
            }
            splits++;
        }
    }
    return false;
}

bool as_prefix_known(as_span prefix) {
    if (prefix.len > AS_LONGEST_PREFIX) {
        return false;
    }
    prefix = as_prefix_skip_blanks(prefix);
    return is_header(prefix, MAX_RELAYS) || is_behind_file(prefix);
}
