#include "exec_args.h"

#include "translation.h"

void as_exec_args_init(as_exec_args *args, as_arena *arena) {
    args->bytes = as_arena_alloc(arena, AS_ARGS_BYTES, 1);
    args->spans = as_arena_alloc(arena, AS_MAX_ARGS, sizeof *args->spans);
    args->used = 0;
    args->count = 0;
    args->cut = false;
    args->in_parts = false;
}

/* One "aN=VALUE", "aN[PART]=VALUE" or "aN_len=VALUE" of a record. */
typedef struct {
    uint32_t argument;
    uint32_t part;
    bool is_part;
    bool is_length;
    as_value value;
} piece;

/* Read the value at the start of text and move text behind it. */
static as_value read_value(as_span *text) {
    as_value value = {.span = *text, .form = AS_FORM_BARE};
    uint8_t end = ' ';
    if (text->len > 0 && text->at[0] == '"') {
        *text = as_span_skip(*text, 1);
        value.form = AS_FORM_QUOTED;
        end = '"';
    }
    const uint8_t *stop = text->len == 0 ? NULL : memchr(text->at, end, text->len);
    value.span = as_span_of(text->at, stop == NULL ? text->len : (size_t)(stop - text->at));
    *text = as_span_skip(*text, stop == NULL ? text->len : value.span.len + 1);
    return value;
}

/* Read the key at the start of text. False: another one. */
static bool read_key(as_span key, piece *out) {
    uint64_t number = 0;
    if (key.len < 2 || key.at[0] != 'a') {
        return false;
    }
    key = as_span_skip(key, 1);
    const uint32_t digits = as_span_number(key, 10, UINT32_MAX - 1, &number);
    const as_span rest = as_span_skip(key, digits);
    *out = (piece){.argument = (uint32_t)number, .is_length = as_span_is(rest, AS_LITERAL("_len"))};
    if (digits == 0 || rest.len == 0 || out->is_length) {
        return digits > 0;
    }
    const uint32_t part_digits = as_span_number(as_span_skip(rest, 1), 10, UINT32_MAX - 1, &number);
    out->is_part = rest.at[0] == '[' && part_digits > 0 && part_digits + 2 == rest.len && rest.at[rest.len - 1] == ']';
    out->part = (uint32_t)number;
    return out->is_part;
}

/* Move text past its next piece. False: there is no piece left. */
static bool next_piece(as_span *text, piece *out) {
    while (text->len > 0) {
        if (text->at[0] == ' ') {
            *text = as_span_skip(*text, 1);
            continue;
        }
        uint32_t key = 0;
        while (key < text->len && text->at[key] != '=' && text->at[key] != ' ') {
            key++;
        }
        const bool known = read_key(as_span_of(text->at, key), out);
        if (key == text->len || text->at[key] == ' ') {
            *text = as_span_skip(*text, key);
            continue; /* a word without a value */
        }
        *text = as_span_skip(*text, key + 1);
        out->value = read_value(text);
        if (known) {
            return true;
        }
    }
    return false;
}

/* Position of the first piece of a record; UINT64_MAX: it has none. */
static uint64_t position(as_span record) {
    piece first;
    return next_piece(&record, &first) ? (uint64_t)first.argument << 32 | first.part : UINT64_MAX;
}

/* By insertion: they usually come in order, and are few. */
static void sort(as_span *records, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        const as_span record = records[i];
        const uint64_t place = position(record);
        uint32_t at = i;
        for (; at > 0 && position(records[at - 1]) > place; at--) {
            records[at] = records[at - 1];
        }
        records[at] = record;
    }
}

/* Append bytes to the last argument, which keeps space for its NUL. */
static void append(as_exec_args *args, as_value value) {
    as_span *argument = &args->spans[args->count - 1];
    uint8_t *const to = args->bytes + args->used - 1;
    const uint32_t room = AS_ARGS_BYTES - args->used;
    const bool hex = value.form == AS_FORM_BARE;
    as_span text = value.span;
    if (hex && text.len / 2 > room) {
        args->cut = true;
        text.len = 2 * room;
    }
    /* Hex is decoded in place: NULs, which no argument has, become blanks. */
    as_span decoded;
    if (!hex || !as_value_text((as_value){.span = text, .form = AS_FORM_BARE}, AS_KIND_STRING, to, &decoded)) {
        decoded = text; /* quoted, or a marker: an argument "?" is quoted */
    }
    if (decoded.len > room) {
        args->cut = true;
        decoded.len = room;
    }
    if (decoded.at != to && decoded.len > 0) {
        memcpy(to, decoded.at, decoded.len);
    }
    argument->len += decoded.len;
    args->used += decoded.len;
    args->bytes[args->used - 1] = 0;
}

/* Begin another argument. False: there are too many, or too long ones. */
static bool begin_argument(as_exec_args *args) {
    if (args->count == AS_MAX_ARGS || args->used == AS_ARGS_BYTES) {
        args->cut = true;
        return false;
    }
    args->spans[args->count++] = as_span_of(args->bytes + args->used, 0);
    args->bytes[args->used++] = 0;
    return true;
}

/* What comes next: the position in the kernel's numbers, which continue where the kernel's record was lost. */
typedef struct {
    uint32_t argument; /* next one to begin */
    uint32_t part;     /* next part of the one before */
    uint64_t missing;  /* characters that the one before still lacks, if it has parts: two for each byte in hex */
} progress;

/* False: no more arguments fit. */
static bool add_piece(as_exec_args *args, const piece *next, progress *at) {
    if (next->is_length) {
        uint64_t length = 0;
        args->in_parts = true;
        if (next->argument == at->argument && as_value_number(next->value, AS_KIND_DECIMAL, &length)) {
            args->cut = args->cut || at->missing > 0;
            at->missing = length;
        }
        return true;
    }
    const uint32_t len = next->value.span.len;
    if (next->argument >= at->argument) {
        args->cut = args->cut || next->argument > at->argument || next->part > 0 || (!next->is_part && at->missing > 0);
        if (!begin_argument(args)) {
            return false;
        }
        at->argument = next->argument + 1;
        at->part = next->part + 1;
        append(args, next->value);
        at->missing = next->is_part && at->missing > len ? at->missing - len : 0;
    } else if (next->is_part && next->argument + 1 == at->argument && next->part >= at->part) {
        args->cut = args->cut || next->part > at->part;
        at->part = next->part + 1;
        append(args, next->value);
        at->missing = at->missing > len ? at->missing - len : 0;
    }
    args->in_parts = args->in_parts || next->is_part;
    return args->used < AS_ARGS_BYTES || !args->cut;
}

void as_exec_args_read(as_exec_args *args, as_span *records, uint32_t count, as_value argc) {
    progress at = {0};
    uint64_t announced = 0;
    bool more = true;
    args->used = 0;
    args->count = 0;
    args->cut = false;
    args->in_parts = count > 1;
    for (uint32_t i = 0; i < count; i++) { /* a daemon's translation is no part of a record */
        const uint8_t *end = records[i].len == 0 ? NULL : memchr(records[i].at, AS_TRANSLATION, records[i].len);
        records[i].len = end == NULL ? records[i].len : (uint32_t)(end - records[i].at);
    }
    if (count > 1) {
        sort(records, count);
    }
    for (uint32_t i = 0; more && i < count; i++) {
        piece next;
        while (more && next_piece(&records[i], &next)) {
            more = add_piece(args, &next, &at);
        }
    }
    const bool known = as_value_number(argc, AS_KIND_DECIMAL, &announced);
    args->cut = args->cut || at.missing > 0 || (known && announced > at.argument);
}
