#include "event_processes.h"

void as_event_processes_begin(as_event_processes *of, as_processes *processes, uint64_t node, uint64_t ms, uint32_t pid,
                              uint32_t parent) {
    of->processes = processes;
    of->node = node;
    of->ms = ms;
    of->pid = pid;
    of->parent = parent;
    of->unknown = 0;
    of->looked_up = 0;
    of->read = 0;
}

static as_process *find(as_event_processes *of, as_person person);

static uint32_t parent_pid(as_event_processes *of) {
    if (of->parent != AS_PARENT_OF_TABLE) {
        return of->parent;
    }
    const as_process *self = find(of, AS_SELF);
    return self == NULL ? 0 : self->parent;
}

static as_process *find_leader(as_event_processes *of) {
    as_process *leader = NULL;
    as_process *self = find(of, AS_SELF);
    uint32_t missing;
    of->leader_type = UINT32_MAX;
    if (self == NULL ||
        as_processes_leader(of->processes, self, &leader, &of->leader_type, &missing) != AS_PROCESS_FOUND) {
        of->leader_type = UINT32_MAX;
    }
    return leader;
}

/* The entry of a process; NULL: unknown. */
static as_process *find(as_event_processes *of, as_person person) {
    if ((of->looked_up & (1u << person)) == 0) {
        of->looked_up |= (uint8_t)(1u << person);
        if (person == AS_LEADER) {
            of->found[person] = find_leader(of);
        } else {
            const uint32_t pid = person == AS_SELF ? of->pid : parent_pid(of);
            as_processes_find(of->processes, of->node, pid, of->ms, &of->found[person]);
        }
    }
    return of->found[person];
}

static const as_process_texts *read_texts(as_event_processes *of, as_person person) {
    if ((of->read & (1u << person)) == 0) {
        of->read |= (uint8_t)(1u << person);
        of->texts[person] = as_processes_read(of->processes, of->found[person], (uint32_t)person);
    }
    return &of->texts[person];
}

uint32_t as_event_processes_missing(const as_event_processes *of, uint64_t fields, bool own) {
    as_process *self = NULL;
    as_process *other;
    uint32_t type;
    uint32_t missing = 0;
    own = own || (fields & (AS_LEADER_FIELDS | AS_BIT(AS_FIELD_ENTITY_ID))) != 0 || of->parent == AS_PARENT_OF_TABLE;
    if (own && as_processes_find(of->processes, of->node, of->pid, of->ms, &self) == AS_PROCESS_MISSING) {
        return of->pid;
    }
    const uint32_t parent = of->parent != AS_PARENT_OF_TABLE ? of->parent : self == NULL ? 0 : self->parent;
    if ((fields & AS_PARENT_FIELDS) != 0 &&
        as_processes_find(of->processes, of->node, parent, of->ms, &other) == AS_PROCESS_MISSING) {
        return parent;
    }
    if ((fields & AS_LEADER_FIELDS) != 0 && self != NULL &&
        as_processes_leader(of->processes, self, &other, &type, &missing) == AS_PROCESS_MISSING) {
        return missing;
    }
    return 0;
}

static as_person person_of(as_field field) {
    if (field >= AS_FIELD_LEADER_EXECUTABLE && field <= AS_FIELD_LEADER_TYPE) {
        return AS_LEADER;
    }
    return field >= AS_FIELD_PARENT_NAME && field <= AS_FIELD_PARENT_ENTITY_ID ? AS_PARENT : AS_SELF;
}

static void mark_unknown(as_event_processes *of, as_field field) {
    of->unknown |= (AS_BIT(field) & AS_PROCESS_FIELDS) != 0 ? 1u << (field - AS_FIELD_PARENT_NAME)
                   : field == AS_FIELD_COMM                 ? AS_UNKNOWN_NAME
                                                            : AS_UNKNOWN_ARGUMENTS;
}

static bool format_entity(uint8_t text[16], uint64_t entity, as_span *out) {
    for (uint32_t i = 0; i < 16; i++) {
        text[i] = (uint8_t)"0123456789abcdef"[entity >> (60 - 4 * i) & 15];
    }
    *out = as_span_of(text, 16);
    return true;
}

/* A value of a process that the table has. False: not of this one. */
static bool value_of(as_event_processes *of, as_field field, as_person person, as_span *out) {
    const as_process *process = of->found[person];
    const bool has_arguments = (process->flags & AS_ARGUMENTS_KNOWN) != 0;
    switch (field) {
    case AS_FIELD_COMM:
    case AS_FIELD_PARENT_NAME:
        *out = as_process_name(process);
        return true;
    case AS_FIELD_PARENT_EXECUTABLE:
    case AS_FIELD_LEADER_EXECUTABLE:
        *out = read_texts(of, person)->executable;
        return out->len > 0;
    case AS_FIELD_COMMAND_LINE:
    case AS_FIELD_PARENT_COMMAND_LINE:
        *out = has_arguments ? as_processes_command_line(of->processes, read_texts(of, person), (uint32_t)person)
                             : (as_span){0};
        if ((process->flags & AS_ARGUMENTS_CUT) != 0) {
            mark_unknown(of, field);
        }
        return has_arguments;
    case AS_FIELD_PARENT_ENTITY_ID:
    case AS_FIELD_ENTITY_ID:
        return format_entity(of->entities[person], process->entity, out);
    default:
        return false;
    }
}

bool as_event_process_text(as_event_processes *of, as_field field, as_span *out) {
    const as_person person = person_of(field);
    if (field == AS_FIELD_PARENT_ARGS || field == AS_FIELD_LEADER_ARGS || field == AS_FIELD_ARGS) {
        const as_span *arguments;
        bool cut;
        const uint32_t count = as_event_process_arguments(of, field, &arguments, &cut);
        *out = count > 0 ? of->texts[person].joined : (as_span){0};
        return count > 0;
    }
    const as_process *process = find(of, person);
    if (field == AS_FIELD_LEADER_TYPE && of->leader_type < of->processes->entry_count) {
        *out = of->processes->entries[of->leader_type].type;
        return true;
    }
    if (process != NULL && value_of(of, field, person, out)) {
        return true;
    }
    /* Process 1 has no parent: nothing is unknown of it. */
    if (person != AS_PARENT || of->parent != 0) {
        mark_unknown(of, field);
    }
    return false;
}

uint32_t as_event_process_arguments(as_event_processes *of, as_field field, const as_span **out, bool *cut) {
    const as_person person = person_of(field);
    const as_process *process = find(of, person);
    const bool known = process != NULL && (process->flags & AS_ARGUMENTS_KNOWN) != 0;
    *cut = known && (process->flags & AS_ARGUMENTS_CUT) != 0;
    if ((!known || *cut) && (person != AS_PARENT || of->parent != 0)) {
        mark_unknown(of, field);
    }
    *out = known ? read_texts(of, person)->arguments : NULL;
    return known ? read_texts(of, person)->argument_count : 0;
}
