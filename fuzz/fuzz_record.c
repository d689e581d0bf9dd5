/* Whatever a record or a line says: no byte outside it is read, every value lies in it and in no other value,
 * decoding makes nothing longer, and a look at some fields finds what a look at all of them finds.
 *
 * Input: two bytes of record type, little-endian, then text. */
#include "fuzz.h"

#include "_ring/classes.h"
#include "_ring/exec_args.h"
#include "_ring/hash.h"
#include "_ring/line.h"
#include "_ring/record.h"
#include "_ring/socket_address.h"

static void look_at_values(const as_record *record) {
    as_value values[AS_FIELDS] = {0};
    uint64_t total = 0;
    as_record_fields(record, AS_ALL_FIELDS, values);
    for (int field = 0; field < AS_FIELDS; field++) {
        const as_value value = values[field];
        const as_kind kind = as_field_kind((as_field)field);
        uint64_t number = 0;
        as_span text;
        if (value.form == AS_FORM_ABSENT) {
            PROMISE(!as_value_text(value, kind, NULL, &text) && !as_value_number(value, kind, &number));
            continue;
        }
        PROMISE(value.span.at >= record->body.at);
        PROMISE(value.span.at + value.span.len <= record->body.at + record->body.len);
        total += value.span.len;
        /* Exactly what the header asks for, so that a sanitizer sees a byte more. */
        uint8_t *scratch = must(malloc(value.span.len > 1 ? value.span.len / 2 : 1));
        if (as_value_text(value, kind, scratch, &text)) {
            PROMISE(text.len <= value.span.len);
            PROMISE(text.at == scratch ? text.len == value.span.len / 2 : text.at == value.span.at);
        }
        as_value_number(value, kind, &number);
        free(scratch);
    }
    PROMISE(total <= record->body.len);
    /* Some fields: which ones is up to the input as well. */
    const uint64_t wanted = as_hash_bytes(record->type, record->body) & AS_ALL_FIELDS;
    as_value some[AS_FIELDS] = {0};
    as_record_fields(record, wanted, some);
    for (int field = 0; field < AS_FIELDS; field++) {
        if ((wanted & AS_BIT(field)) != 0) {
            PROMISE(some[field].form == values[field].form && some[field].span.at == values[field].span.at);
            PROMISE(some[field].span.len == values[field].span.len);
        }
    }
}

/* A class for openat, one for all other calls: an event is of the first exactly if the whole record names openat. */
static void look_at_call(const as_record *record) {
    static const as_call calls[] = {{.arch = 0xc000003e, .syscall = 257, .class_index = 1}};
    static const as_class rows[] = {{0}, {0}, {0}};
    static const as_rules table = {
        .calls = calls, .classes = rows, .call_count = 1, .class_count = 3, .other_call_class = 2};
    static const as_config config = {.datagram_bytes = 1024};
    static _Alignas(16) uint8_t memory[4096];
    static as_classes classes;
    if (classes.rows == NULL) {
        as_arena from = {.base = memory};
        as_classes_init(&classes, &config, &table, &from);
        PROMISE(from.used <= sizeof memory);
    }
    as_value values[AS_FIELDS] = {0};
    uint64_t arch = 0;
    uint64_t number = 0;
    as_record_fields(record, AS_ALL_FIELDS, values);
    const bool openat = as_value_number(values[AS_FIELD_ARCH], AS_KIND_HEX, &arch) && arch == 0xc000003e &&
                        as_value_number(values[AS_FIELD_SYSCALL], AS_KIND_DECIMAL, &number) && number == 257;
    PROMISE(as_class_of_record(&classes, record) == (openat ? 1 : 2));
}

/* Lines are the EXECVE records of one event: arguments lie in the buffer, each with a zero byte behind it. */
static void look_at_args(as_span text) {
    static _Alignas(16) uint8_t memory[AS_ARGS_BYTES + AS_MAX_ARGS * sizeof(as_span) + 64];
    static as_exec_args args;
    as_span records[32];
    uint32_t count = 0;
    if (args.bytes == NULL) {
        as_arena from = {.base = memory};
        as_exec_args_init(&args, &from);
        PROMISE(from.used <= sizeof memory);
    }
    while (text.len > 0 && count < 32) {
        const uint8_t *end = memchr(text.at, '\n', text.len);
        records[count] = as_span_of(text.at, end == NULL ? text.len : (size_t)(end - text.at));
        text = as_span_skip(text, end == NULL ? text.len : records[count].len + 1);
        count++;
    }
    as_exec_args_read(&args, records, count, (as_value){.form = AS_FORM_ABSENT});
    PROMISE(args.used <= AS_ARGS_BYTES && args.count <= AS_MAX_ARGS);
    const uint8_t *next = args.bytes;
    for (uint32_t i = 0; i < args.count; i++) {
        PROMISE(args.spans[i].at == next && next[args.spans[i].len] == 0);
        next += args.spans[i].len + 1;
    }
    PROMISE(next == args.bytes + args.used);
}

static void look_at_address(as_span text) {
    as_socket_address address;
    if (as_socket_address_read(text, (text.len & 1) != 0, &address)) {
        PROMISE(address.family_len > 0 && address.family_len <= sizeof address.family);
        PROMISE(address.ip_len <= sizeof address.ip && address.port_len <= sizeof address.port);
        PROMISE(address.path_len <= sizeof address.path);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 65536) {
        return 0;
    }
    fuzz_columns(data, size, false);
    const uint16_t type = (uint16_t)(data[0] | data[1] << 8);
    const as_span text = as_span_of(data + 2, size - 2);
    as_record record;
    as_line line;
    if (as_record_read(type, text, &record)) {
        PROMISE(record.type == type);
        PROMISE(record.body.at >= text.at && record.body.at + record.body.len == text.at + text.len);
        look_at_values(&record);
        record.type = AS_TYPE_SYSCALL;
        look_at_call(&record);
    }
    /* As a body of each kind, so that few inputs are lost to a stamp that cannot be read. */
    const uint16_t types[] = {AS_TYPE_SYSCALL,    AS_TYPE_PATH,       AS_TYPE_CWD,
                              AS_TYPE_PROCTITLE,  AS_TYPE_EXECVE,     AS_TYPE_SOCKADDR,
                              AS_TYPE_BPRM_FCAPS, AS_TYPE_USER_OTHER, AS_TYPE_AVC};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const as_record body = {.type = types[i], .body = text};
        look_at_values(&body);
    }
    const as_record body = {.type = AS_TYPE_SYSCALL, .body = text};
    look_at_call(&body);
    look_at_args(text);
    look_at_address(text);
    if (as_line_read(text, &line)) {
        PROMISE(line.text.at + line.text.len <= text.at + text.len);
        PROMISE(line.node.len == 0 || line.node.at + line.node.len < line.text.at);
    }
    return 0;
}
