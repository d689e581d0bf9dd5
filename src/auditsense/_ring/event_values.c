#include "event_values.h"

/* A value of hex digits decodes to half its size, and each comes from one stored text. */
static uint32_t scratch_bytes(const as_config *config) {
    return (AS_ROLES + 1) * (config->datagram_bytes / 2);
}

void as_event_values_init(as_event_values *values, const as_config *config, bool strict, as_arena *arena) {
    memset(values, 0, sizeof *values);
    values->strict = strict;
    values->scratch_bytes = scratch_bytes(config);
    values->scratch = as_arena_alloc(arena, values->scratch_bytes, 1);
    values->command_line = as_arena_alloc(arena, AS_ARGS_BYTES, 1);
    values->path = as_arena_alloc(arena, 2 * config->datagram_bytes + 1, 1);
    values->tails = as_arena_alloc(arena, 1, sizeof *values->tails);
    as_exec_args_init(&values->args, arena);
}

void as_event_values_begin(as_event_values *values, const as_events *events, const as_event *event, uint64_t kept) {
    values->events = events;
    values->event = event;
    values->number++;
    values->cursors = (as_event_cursors){.kept = kept & (AS_CALL_FIELDS | AS_PATH_FIELDS), .tails = values->tails};
    values->located = 0;
    values->decoded = 0;
    values->used = 0;
    values->cut = false;
    values->args_read = false;
    values->address_read = false;
    values->processes_begun = false;
    values->executes = false;
    values->processes.unknown = 0;
}

/* Processes */

static uint32_t pid_in(as_event_values *values, as_field field, uint32_t absent) {
    uint64_t number;
    return as_event_number(values, field, &number) && number < UINT32_MAX ? (uint32_t)number : absent;
}

as_event_processes *as_event_values_processes(as_event_values *values) {
    if (values->table == NULL) {
        return NULL;
    }
    if (!values->processes_begun) {
        values->processes_begun = true;
        as_event_processes_begin(&values->processes, values->table, values->event->node, values->event->ms,
                                 pid_in(values, AS_FIELD_PID, 0), pid_in(values, AS_FIELD_PPID, AS_PARENT_OF_TABLE));
    }
    return &values->processes;
}

/* A value from the process table. at: NULL: absent. */
static as_span from_table(as_event_values *values, as_field field) {
    as_span text = {0};
    as_event_processes *processes = as_event_values_processes(values);
    if (processes == NULL || !as_event_process_text(processes, field, &text)) {
        text = (as_span){0};
    }
    return text;
}

/* Whether an event without arguments has those of the last exec of its process. */
static bool has_own_arguments(const as_event_values *values) {
    return !values->strict && !values->executes && values->args.count == 0 && values->table != NULL;
}

/* Arguments of an exec */

static void read_args(as_event_values *values) {
    if (values->args_read) {
        return;
    }
    as_span records[AS_MAX_LINKED];
    const uint32_t count = (values->event->linked_kinds & AS_LINK_EXECVE) == 0
                               ? 0
                               : as_event_linked(values->events, values->event, AS_TYPE_EXECVE, records);
    for (uint32_t i = 0; i < count / 2; i++) { /* as they came */
        const as_span last = records[count - 1 - i];
        records[count - 1 - i] = records[i];
        records[i] = last;
    }
    values->args_read = true;
    as_event_values_load(values, AS_BIT(AS_FIELD_ARGC));
    as_exec_args_read(&values->args, records, count, values->values[AS_FIELD_ARGC]);
    values->args.cut = count > 0 && (values->args.cut || values->event->linked_count == AS_MAX_LINKED);
    values->cut_args += values->args.cut ? 1 : 0;
    if (values->strict && values->args.in_parts) {
        values->args.count = 0;
        values->args.cut = false;
    }
}

static as_span join_args(as_event_values *values) {
    const as_span joined = as_exec_args_joined(&values->args);
    for (uint32_t i = 0; i < joined.len; i++) {
        values->command_line[i] = joined.at[i] == 0 ? ' ' : joined.at[i];
    }
    return as_span_of(values->command_line, joined.len);
}

/* Addresses */

static void read_address(as_event_values *values) {
    as_span bodies[AS_MAX_LINKED];
    as_value found[AS_FIELDS];
    if (values->address_read) {
        return;
    }
    values->address_read = true;
    values->address = (as_socket_address){0};
    if ((values->event->linked_kinds & AS_LINK_SOCKADDR) == 0 ||
        as_event_linked(values->events, values->event, AS_TYPE_SOCKADDR, bodies) == 0) {
        return;
    }
    const as_record record = {.type = AS_TYPE_SOCKADDR, .body = bodies[0]};
    uint64_t arch = 0;
    as_values_clear(found, AS_BIT(AS_FIELD_SOCKET_FAMILY));
    as_record_fields(&record, AS_BIT(AS_FIELD_SOCKET_FAMILY), found);
    as_event_values_load(values, AS_BIT(AS_FIELD_ARCH));
    enum { LITTLE_ENDIAN = 0x40000000 }; /* __AUDIT_ARCH_LE */
    const bool big_endian =
        as_value_number(values->values[AS_FIELD_ARCH], AS_KIND_HEX, &arch) && (arch & LITTLE_ENDIAN) == 0;
    if (found[AS_FIELD_SOCKET_FAMILY].form != AS_FORM_ABSENT) {
        as_socket_address_read(found[AS_FIELD_SOCKET_FAMILY].span, big_endian, &values->address);
    }
}

static as_span address_part(const as_socket_address *address, as_field field) {
    switch (field) {
    case AS_FIELD_SOCKET_FAMILY:
        return as_span_of(address->family, address->family_len);
    case AS_FIELD_SOCKET_IP:
        return as_span_of(address->ip, address->ip_len);
    case AS_FIELD_SOCKET_PORT:
        return as_span_of(address->port, address->port_len);
    default:
        return as_span_of(address->path, address->path_len);
    }
}

/* Capabilities */

static void read_capabilities(as_event_values *values) {
    as_span bodies[AS_MAX_LINKED];
    as_value found[AS_FIELDS];
    uint64_t set = 0;
    values->capability_count = 0;
    if ((values->event->linked_kinds & AS_LINK_CAPABILITIES) == 0 ||
        as_event_linked(values->events, values->event, AS_TYPE_BPRM_FCAPS, bodies) == 0) {
        return;
    }
    const as_record record = {.type = AS_TYPE_BPRM_FCAPS, .body = bodies[0]};
    as_values_clear(found, AS_BIT(AS_FIELD_CAPABILITIES));
    as_record_fields(&record, AS_BIT(AS_FIELD_CAPABILITIES), found);
    if (as_value_number(found[AS_FIELD_CAPABILITIES], AS_KIND_HEX, &set)) {
        values->capability_count = as_capability_names(set, values->capabilities, values->capability_text);
    }
}

/* Paths */

/* Whether a relative path starts from the current directory: the call has no directory, or that of AT_FDCWD. */
static bool starts_from_cwd(as_event_values *values) {
    const uint8_t directory = values->event->directory;
    uint64_t number = 0;
    if (directory == 0) {
        return true;
    }
    const as_field field = (as_field)(AS_FIELD_A0 + directory - 1);
    return as_event_number(values, field, &number) && (uint32_t)number == UINT32_MAX - 99; /* -100 */
}

static void read_paths(as_event_values *values) {
    as_span name;
    as_span cwd;
    values->path_count = 0;
    if (!as_event_text(values, AS_FIELD_PATH_NAME, &name)) {
        return;
    }
    values->paths[values->path_count++] = name;
    if ((name.len > 0 && name.at[0] == '/') || !starts_from_cwd(values) || !as_event_text(values, AS_FIELD_CWD, &cwd)) {
        return;
    }
    uint32_t len = cwd.len;
    if (len > 0) {
        memcpy(values->path, cwd.at, len);
    }
    if (len == 0 || cwd.at[len - 1] != '/') {
        values->path[len++] = '/';
    }
    if (name.len > 0) {
        memcpy(values->path + len, name.at, name.len);
    }
    values->paths[values->path_count++] = as_span_of(values->path, len + name.len);
}

static void read_nametypes(as_event_values *values) {
    as_span paths[AS_MAX_PATHS];
    const uint32_t count = as_event_paths(values->events, values->event, paths);
    values->nametype_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const as_span nametype = as_path_nametype(paths[i]);
        if (nametype.len > 0) {
            values->nametypes[values->nametype_count++] = nametype;
        }
    }
}

/* Any field */

/* A record of user space does not name its process: use the program's name. */
static as_span name_of_program(as_event_values *values) {
    enum { NAME = 15 };
    as_span program;
    if (!as_record_stands_alone(values->event->main_type) || !as_event_text(values, AS_FIELD_EXE, &program)) {
        return (as_span){0};
    }
    for (uint32_t at = program.len; at > 0; at--) {
        if (program.at[at - 1] == '/') {
            program = as_span_skip(program, at);
            break;
        }
    }
    program.len = program.len > NAME ? NAME : program.len;
    return program;
}

/* Decode a field that is not plain. at: NULL: absent. */
static as_span decode(as_event_values *values, as_field field) {
    as_span text = {0};
    switch (field) {
    case AS_FIELD_ARGS:
    case AS_FIELD_COMMAND_LINE:
        read_args(values);
        if (values->args.count > 0) {
            text = field == AS_FIELD_ARGS ? as_exec_args_joined(&values->args) : join_args(values);
        } else if (has_own_arguments(values)) {
            text = from_table(values, field);
        }
        break;
    case AS_FIELD_SOCKET_FAMILY:
    case AS_FIELD_SOCKET_IP:
    case AS_FIELD_SOCKET_PORT:
    case AS_FIELD_SOCKET_PATH:
        read_address(values);
        text = address_part(&values->address, field);
        text = text.len > 0 ? text : (as_span){0};
        break;
    case AS_FIELD_CAPABILITIES:
        read_capabilities(values);
        if (values->capability_count > 0) {
            const as_span last = values->capabilities[values->capability_count - 1];
            text = as_span_of(values->capability_text, (size_t)(last.at - values->capability_text) + last.len);
        }
        break;
    case AS_FIELD_PATHS:
        read_paths(values);
        text = values->path_count > 0 ? values->paths[0] : text;
        break;
    default:
        text = (AS_BIT(field) & AS_PROCESS_FIELDS) != 0 ? from_table(values, field) : text;
        break;
    }
    return text;
}

static as_value quoted(as_span text) {
    return (as_value){.span = text, .form = text.at == NULL ? AS_FORM_ABSENT : AS_FORM_QUOTED};
}

/* The name of the process: without one, that of its program; in strict mode as the kernel wrote it. */
static void load_name(as_event_values *values) {
    as_value *name = &values->values[AS_FIELD_COMM];
    as_span text;
    if (values->strict) {
        *name = as_value_text(*name, AS_KIND_WORD, NULL, &text) ? quoted(text) : *name;
    } else if (name->form == AS_FORM_ABSENT) {
        text = from_table(values, AS_FIELD_COMM);
        *name = quoted(text.at != NULL ? text : name_of_program(values));
    }
}

/* Locate a field that is not plain. */
static void locate_decoded(as_event_values *values, as_field field) {
    values->located |= AS_BIT(field);
    const as_span text = decode(values, field);
    values->values[field] = quoted(text);
    values->texts[field] = text;
    values->decoded |= AS_BIT(field);
}

void as_event_values_read(as_event_values *values, uint64_t missing) {
    const uint64_t before = values->located;
    as_values_clear(values->values, missing);
    if ((missing & AS_PLAIN_FIELDS) != 0 &&
        !as_event_fields(values->events, values->event, &values->cursors, missing, &values->located, values->values)) {
        values->cut = true;
    }
    values->located |= missing;
    for (uint64_t rest = missing & ~AS_PLAIN_FIELDS; rest != 0; rest &= rest - 1) {
        locate_decoded(values, (as_field)__builtin_ctzll(rest));
    }
    if ((values->located & ~before & AS_BIT(AS_FIELD_COMM)) != 0) {
        load_name(values);
    }
}

bool as_event_text(as_event_values *values, as_field field, as_span *out) {
    if ((values->located & AS_BIT(field)) == 0) {
        if ((AS_BIT(field) & AS_PLAIN_FIELDS) == 0) {
            locate_decoded(values, field);
        } else {
            as_event_values_load(values, AS_BIT(field));
        }
    }
    if ((values->decoded & AS_BIT(field)) == 0) {
        as_span text = {0};
        uint8_t *const scratch = values->scratch + values->used;
        if (as_value_text(values->values[field], as_field_kind(field), scratch, &text)) {
            values->used += text.at == scratch ? text.len : 0;
        } else {
            text = (as_span){0}; /* its length, too: callers copy what they get */
        }
        values->texts[field] = text;
        values->decoded |= AS_BIT(field);
    }
    *out = values->texts[field];
    return out->at != NULL;
}

static as_list list_from_table(as_event_values *values, as_field field) {
    as_list list = {0};
    if (values->table != NULL) {
        list.count = as_event_process_arguments(as_event_values_processes(values), field, &list.at, &list.cut);
    }
    return list;
}

as_list as_event_list(as_event_values *values, as_field field) {
    as_span text;
    const bool present = as_event_text(values, field, &text);
    switch (field) {
    case AS_FIELD_PARENT_ARGS:
    case AS_FIELD_LEADER_ARGS:
        return list_from_table(values, field);
    case AS_FIELD_ARGS:
        if (has_own_arguments(values)) {
            return list_from_table(values, field);
        }
        return (as_list){.at = values->args.spans, .count = values->args.count, .cut = values->args.cut};
    case AS_FIELD_CAPABILITIES:
        return (as_list){.at = values->capabilities, .count = values->capability_count};
    case AS_FIELD_PATHS:
        return (as_list){.at = values->paths, .count = values->path_count};
    case AS_FIELD_PATH_NAMETYPE:
        if ((values->event->linked_kinds & AS_LINK_PATHS) == 0) {
            break;
        }
        read_nametypes(values);
        return (as_list){.at = values->nametypes, .count = values->nametype_count};
    default:
        break;
    }
    return (as_list){.at = &values->texts[field], .count = present ? 1 : 0};
}

bool as_event_number(as_event_values *values, as_field field, uint64_t *out) {
    as_event_values_load(values, AS_BIT(field));
    return as_value_number(values->values[field], as_field_kind(field), out);
}
