#include "process.h"

#include "hash.h"

#define NONE UINT32_MAX

/* Values of a byte. */
enum { FIRST_BYTES = 256 };

/* Bytes of a buffer: every text of an entry. */
enum { BUFFER = AS_PROCESS_EXECUTABLE + 2 * AS_PROCESS_ARGUMENT_COUNT + AS_PROCESS_ARGUMENTS };

static uint32_t session_bytes(const as_rules *rules) {
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < rules->session_count; i++) {
        bytes += rules->sessions[i].name_len + rules->sessions[i].type_len;
    }
    return bytes;
}

static as_span copy_text(uint8_t **to, const as_rules *rules, uint32_t at, uint32_t len) {
    const as_span copy = as_span_of(*to, len);
    if (len > 0) {
        memcpy(*to, rules->text + at, len);
    }
    *to += len;
    return copy;
}

void as_processes_init(as_processes *processes, uint32_t slots, uint64_t seed, bool keeps_arguments,
                       const as_rules *rules, as_arena *arena) {
    memset(processes, 0, sizeof *processes);
    if (slots == 0) {
        return;
    }
    const uint32_t buckets = as_power_of_two(2 * slots);
    processes->seed = seed;
    processes->keeps_arguments = keeps_arguments;
    processes->entry_count = rules->session_count;
    processes->slot_count = slots;
    processes->block_count = AS_PROCESS_BLOCKS * slots;
    processes->bucket_mask = buckets - 1;
    processes->oldest = processes->newest = processes->free_block = processes->free_slot = NONE;
    processes->slots = as_arena_alloc(arena, slots, sizeof *processes->slots);
    processes->buckets = as_arena_alloc(arena, buckets, sizeof *processes->buckets);
    processes->blocks = as_arena_alloc(arena, processes->block_count, sizeof *processes->blocks);
    for (uint32_t i = 0; i < 3; i++) {
        processes->buffers[i].bytes = as_arena_alloc(arena, 1, BUFFER);
        processes->buffers[i].line = as_arena_alloc(arena, 1, AS_PROCESS_ARGUMENTS);
        processes->buffers[i].arguments = as_arena_alloc(arena, AS_PROCESS_ARGUMENT_COUNT, sizeof(as_span));
    }
    processes->entries = as_arena_alloc(arena, rules->session_count, sizeof *processes->entries);
    processes->entries_by_byte = as_arena_alloc(arena, FIRST_BYTES + 1, sizeof *processes->entries_by_byte);
    processes->entries_by_second = as_arena_alloc(arena, FIRST_BYTES + 1, sizeof *processes->entries_by_second);
    uint8_t *text = as_arena_alloc(arena, session_bytes(rules), 1);
    if (text == NULL) {
        return;
    }
    for (uint32_t i = 0; i < rules->session_count; i++) {
        const as_session *session = &rules->sessions[i];
        processes->entries[i].name = copy_text(&text, rules, session->name_at, session->name_len);
        processes->entries[i].type = copy_text(&text, rules, session->type_at, session->type_len);
        const as_span name = processes->entries[i].name;
        processes->entries_by_byte[name.len > 0 ? name.at[0] : FIRST_BYTES] |= UINT64_C(1) << i;
        for (uint32_t c = 0; c <= FIRST_BYTES; c++) {
            const bool begins_so = name.len < 2 || name.at[1] == c;
            processes->entries_by_second[c] |= (begins_so ? UINT64_C(1) : 0) << i;
        }
    }
    for (uint32_t i = 0; i < buckets; i++) {
        processes->buckets[i] = NONE;
    }
}

static uint32_t slot_of(const as_processes *processes, const as_process *process) {
    return (uint32_t)(process - processes->slots);
}

/* Order of last use */

static void leave_order(as_processes *processes, const as_process *process) {
    if (process->older == NONE) {
        processes->oldest = process->newer;
    } else {
        processes->slots[process->older].newer = process->newer;
    }
    if (process->newer == NONE) {
        processes->newest = process->older;
    } else {
        processes->slots[process->newer].older = process->older;
    }
}

static void enter_order(as_processes *processes, as_process *process) {
    const uint32_t at = slot_of(processes, process);
    process->older = processes->newest;
    process->newer = NONE;
    if (processes->newest == NONE) {
        processes->oldest = at;
    } else {
        processes->slots[processes->newest].newer = at;
    }
    processes->newest = at;
}

static void use(as_processes *processes, as_process *process) {
    if (processes->newest != slot_of(processes, process)) {
        leave_order(processes, process);
        enter_order(processes, process);
    }
}

/* Texts: chains of blocks */

static void release_texts(as_processes *processes, as_process *process) {
    while (process->first_block != NONE) {
        const uint32_t at = process->first_block;
        process->first_block = processes->blocks[at].next;
        processes->blocks[at].next = processes->free_block;
        processes->free_block = at;
        processes->free_blocks++;
    }
    process->executable_len = process->argument_count = process->arguments_len = 0;
    process->flags &= (uint8_t)~(AS_ARGUMENTS_KNOWN | AS_ARGUMENTS_CUT);
}

static uint32_t take_block(as_processes *processes) {
    uint32_t at = processes->free_block;
    if (at != NONE) {
        processes->free_block = processes->blocks[at].next;
        processes->free_blocks--;
        return at;
    }
    at = processes->blocks_used++;
    return at;
}

/* Appends to the blocks of an entry. There must be enough free ones. */
typedef struct {
    as_processes *processes;
    uint32_t *link;
    uint8_t *to;
    uint32_t room;
} writer;

static void write_bytes(writer *out, const void *bytes, uint32_t len) {
    const uint8_t *from = bytes;
    while (len > 0) {
        if (out->room == 0) {
            const uint32_t at = take_block(out->processes);
            as_process_block *block = &out->processes->blocks[at];
            *out->link = at;
            block->next = NONE;
            out->link = &block->next;
            out->to = block->bytes;
            out->room = AS_PROCESS_BLOCK;
        }
        const uint32_t part = len < out->room ? len : out->room;
        memcpy(out->to, from, part);
        out->to += part;
        out->room -= part;
        from += part;
        len -= part;
    }
}

/* The table */

static uint32_t *bucket_of(const as_processes *processes, uint64_t node, uint32_t pid) {
    return &processes->buckets[as_mix(processes->seed ^ node, pid) & processes->bucket_mask];
}

static as_process *find_pid(const as_processes *processes, uint64_t node, uint32_t pid) {
    uint32_t at = *bucket_of(processes, node, pid);
    while (at != NONE && (processes->slots[at].pid != pid || processes->slots[at].node != node)) {
        at = processes->slots[at].next_in_bucket;
    }
    return at == NONE ? NULL : &processes->slots[at];
}

/* Free the entry that has been unused for longest. */
static void evict(as_processes *processes) {
    as_process *process = &processes->slots[processes->oldest];
    const uint32_t self = processes->oldest;
    uint32_t *at = bucket_of(processes, process->node, process->pid);
    while (*at != self) {
        at = &processes->slots[*at].next_in_bucket;
    }
    *at = process->next_in_bucket;
    if (process->origin != AS_PROCESS_ABSENT && process->image_ms > processes->evicted_ms) {
        processes->evicted_ms = process->image_ms;
    }
    leave_order(processes, process);
    release_texts(processes, process);
    process->entity = 0; /* it leads no session any more */
    process->next_in_bucket = processes->free_slot;
    processes->free_slot = self;
    processes->live--;
    processes->evicted++;
}

/* Add a pid that the table lacks. Everything but its place in the table is zero. */
static as_process *add_pid(as_processes *processes, uint64_t node, uint32_t pid) {
    if (processes->free_slot == NONE && processes->used == processes->slot_count) {
        evict(processes);
    }
    uint32_t at = processes->free_slot;
    if (at == NONE) {
        at = processes->used++;
    } else {
        processes->free_slot = processes->slots[at].next_in_bucket;
    }
    as_process *process = &processes->slots[at];
    uint32_t *bucket = bucket_of(processes, node, pid);
    *process = (as_process){.node = node, .pid = pid, .first_block = NONE, .next_in_bucket = *bucket};
    *bucket = at;
    processes->live++;
    enter_order(processes, process);
    return process;
}

/* The session entry that a process is, by its index; entry_count: none. */
static uint32_t entry_of(const as_processes *processes, uint32_t pid, as_span name) {
    uint64_t left = name.len > 0 ? processes->entries_by_byte[name.at[0]] : 0;
    left &= name.len > 1 ? processes->entries_by_second[name.at[1]] : processes->entries_by_second[FIRST_BYTES];
    left |= pid == 1 ? processes->entries_by_byte[FIRST_BYTES] : 0;
    for (; left != 0; left &= left - 1) {
        const uint32_t at = (uint32_t)__builtin_ctzll(left);
        const as_span wanted = processes->entries[at].name;
        if (wanted.len == 0 || (name.len >= wanted.len && name.at[wanted.len - 1] == wanted.at[wanted.len - 1] &&
                                as_span_starts_as(name, wanted.at, wanted.len))) {
            return at;
        }
    }
    return processes->entry_count;
}

/* Replace the texts of the entry that was used last. Others are evicted until there is space. */
static void set_texts(as_processes *processes, as_process *process, as_span name, as_span executable,
                      const as_span *arguments, uint32_t count) {
    uint16_t lengths[AS_PROCESS_ARGUMENT_COUNT];
    uint32_t joined = 0;
    uint32_t kept = 0;
    release_texts(processes, process);
    process->name_len = (uint8_t)(name.len < AS_PROCESS_NAME ? name.len : AS_PROCESS_NAME);
    if (process->name_len > 0) {
        memcpy(process->name, name.at, process->name_len);
    }
    process->entry = (uint8_t)entry_of(processes, process->pid, as_process_name(process));
    process->executable_len =
        (uint16_t)(executable.len < AS_PROCESS_EXECUTABLE ? executable.len : AS_PROCESS_EXECUTABLE);
    for (; kept < count && kept < AS_PROCESS_ARGUMENT_COUNT; kept++) {
        const uint32_t blank = kept > 0 ? 1 : 0;
        if (joined + blank > AS_PROCESS_ARGUMENTS) {
            break;
        }
        const uint32_t room = AS_PROCESS_ARGUMENTS - joined - blank;
        lengths[kept] = (uint16_t)(arguments[kept].len < room ? arguments[kept].len : room);
        joined += blank + lengths[kept];
        if (lengths[kept] < arguments[kept].len) {
            process->flags |= AS_ARGUMENTS_CUT;
        }
    }
    process->flags |= kept < count ? AS_ARGUMENTS_CUT : 0;
    process->argument_count = (uint16_t)kept;
    process->arguments_len = (uint16_t)joined;
    const uint32_t bytes = process->executable_len + (uint32_t)sizeof *lengths * kept + joined;
    const uint32_t blocks = (bytes + AS_PROCESS_BLOCK - 1) / AS_PROCESS_BLOCK;
    while (processes->block_count - processes->blocks_used + processes->free_blocks < blocks) {
        evict(processes);
    }
    writer out = {.processes = processes, .link = &process->first_block};
    write_bytes(&out, executable.at, process->executable_len);
    write_bytes(&out, lengths, (uint32_t)sizeof *lengths * kept);
    for (uint32_t i = 0; i < kept; i++) {
        write_bytes(&out, "", i > 0 ? 1 : 0);
        write_bytes(&out, arguments[i].at, lengths[i]);
    }
}

as_process_texts as_processes_read(const as_processes *processes, const as_process *process, uint32_t buffer) {
    const as_process_buffer *to = &processes->buffers[buffer];
    const uint32_t lengths = (uint32_t)sizeof(uint16_t) * process->argument_count;
    uint32_t left = process->executable_len + lengths + process->arguments_len;
    uint8_t *at = to->bytes;
    for (uint32_t block = process->first_block; left > 0; block = processes->blocks[block].next) {
        const uint32_t part = left < AS_PROCESS_BLOCK ? left : AS_PROCESS_BLOCK;
        memcpy(at, processes->blocks[block].bytes, part);
        at += part;
        left -= part;
    }
    const uint8_t *joined = to->bytes + process->executable_len + lengths;
    as_process_texts texts = {.executable = as_span_of(to->bytes, process->executable_len),
                              .joined = as_span_of(joined, process->arguments_len),
                              .arguments = to->arguments,
                              .argument_count = process->argument_count};
    for (uint32_t i = 0; i < process->argument_count; i++) {
        uint16_t len;
        memcpy(&len, to->bytes + process->executable_len + sizeof len * i, sizeof len);
        to->arguments[i] = as_span_of(joined, len);
        joined += len + 1u;
    }
    return texts;
}

as_span as_processes_command_line(const as_processes *processes, const as_process_texts *texts, uint32_t buffer) {
    uint8_t *line = processes->buffers[buffer].line;
    for (uint32_t i = 0; i < texts->joined.len; i++) {
        line[i] = texts->joined.at[i] == 0 ? ' ' : texts->joined.at[i];
    }
    return as_span_of(line, texts->joined.len);
}

/* Times and ancestors */

static bool begins_after(const as_process *process, uint64_t ms) {
    return process->start_ms > ms && process->start_ms - ms > AS_PROCESS_SLACK_MS;
}

/* The entry of a process that had this pid at this time. NULL: none. */
static as_process *process_at(const as_processes *processes, uint64_t node, uint32_t pid, uint64_t ms) {
    as_process *process = pid == 0 ? NULL : find_pid(processes, node, pid);
    return process == NULL || process->origin == AS_PROCESS_ABSENT || begins_after(process, ms) ? NULL : process;
}

as_process_answer as_processes_find(as_processes *processes, uint64_t node, uint32_t pid, uint64_t ms,
                                    as_process **out) {
    as_process *process = pid == 0 || processes->slot_count == 0 ? NULL : find_pid(processes, node, pid);
    *out = NULL;
    if (process == NULL) {
        /* Process 0 has no entry in procfs, and another host has no procfs here. */
        return pid == 0 || node != 0 ? AS_PROCESS_UNKNOWN : AS_PROCESS_MISSING;
    }
    use(processes, process);
    if (process->origin == AS_PROCESS_ABSENT) {
        /* A later event means a process that has begun since. */
        return ms > process->image_ms ? AS_PROCESS_MISSING : AS_PROCESS_UNKNOWN;
    }
    if (begins_after(process, ms)) {
        return AS_PROCESS_UNKNOWN;
    }
    *out = process;
    return AS_PROCESS_FOUND;
}

/* Whether an orphan of this process's parent could have got this parent. True as well if the table cannot tell. */
static bool may_be_adopted_by(const as_processes *processes, const as_process *process, uint32_t parent) {
    uint32_t pid = process->parent;
    uint64_t ms = process->start_ms;
    for (uint32_t depth = 0; depth < AS_PROCESS_DEPTH && pid != parent; depth++) {
        const as_process *ancestor = process_at(processes, process->node, pid, ms);
        if (ancestor == NULL) {
            return pid != 0;
        }
        pid = ancestor->parent;
        ms = ancestor->start_ms;
    }
    return true;
}

/* Whether the process of an entry can be the one that has this parent now. */
static bool same_process(const as_processes *processes, const as_process *process, uint32_t parent) {
    const as_process *known = parent == 0 ? NULL : find_pid(processes, process->node, parent);
    /* Orphans go to older processes, and a parent is older, too. */
    if (known != NULL && (known->flags & AS_START_EXACT) != 0 && begins_after(known, process->image_ms)) {
        return false;
    }
    return process->parent == parent || may_be_adopted_by(processes, process, parent);
}

/* Sessions */

static bool same_type(const as_processes *processes, uint32_t a, uint32_t b) {
    return a < processes->entry_count && b < processes->entry_count &&
           as_span_same(processes->entries[a].type, processes->entries[b].type);
}

static void lead(const as_processes *processes, as_process *process, uint32_t type) {
    process->flags |= AS_LEADER_KNOWN;
    process->leader = slot_of(processes, process);
    process->leader_entity = process->entity;
    process->leader_type = (uint8_t)type;
}

/* Set the leader of a process. parent: its entry; NULL: there is none. False: the leader is unknown. */
static bool find_leader(const as_processes *processes, as_process *process, const as_process *parent) {
    const uint32_t self = process->entry;
    if (process->parent == 0) { /* process 1, or one of the kernel */
        lead(processes, process, process->pid == 1 ? self : processes->entry_count);
        return true;
    }
    const uint32_t type = parent == NULL ? entry_of(processes, process->parent, (as_span){0}) : parent->entry;
    /* The helpers of such a process, as the one that sshd runs for a connection, begin no session. */
    if (type < processes->entry_count && !same_type(processes, type, self)) {
        lead(processes, process, type);
        return true;
    }
    if (parent == NULL || (parent->flags & AS_LEADER_KNOWN) == 0) {
        return false;
    }
    process->flags |= AS_LEADER_KNOWN;
    process->leader = parent->leader;
    process->leader_entity = parent->leader_entity;
    process->leader_type = parent->leader_type;
    return true;
}

as_process_answer as_processes_leader(as_processes *processes, as_process *process, as_process **out, uint32_t *type,
                                      uint32_t *missing) {
    as_process *chain[AS_PROCESS_DEPTH];
    uint32_t depth = 0;
    *out = NULL;
    /* Up to an ancestor whose leader is known. */
    for (as_process *at = process; (at->flags & AS_LEADER_KNOWN) == 0;) {
        as_process *parent = NULL;
        const as_process_answer answer =
            at->parent == 0 ? AS_PROCESS_UNKNOWN
                            : as_processes_find(processes, at->node, at->parent, at->image_ms, &parent);
        if (depth == AS_PROCESS_DEPTH) {
            return AS_PROCESS_UNKNOWN;
        }
        chain[depth++] = at;
        if (find_leader(processes, at, parent)) {
            break;
        }
        if (parent == NULL) {
            *missing = at->parent;
            return answer;
        }
        at = parent;
    }
    /* And down again. */
    for (; depth > 1; depth--) {
        find_leader(processes, chain[depth - 2], chain[depth - 1]);
    }
    as_process *leader = &processes->slots[process->leader];
    *type = process->leader_type;
    *out = leader->entity == process->leader_entity ? leader : NULL;
    return AS_PROCESS_FOUND;
}

/* Entering */

static void set_entity(as_process *process, uint64_t boot) {
    /* Without the secret seed: the same process has the same entity in every run. */
    static const uint64_t FIXED = UINT64_C(0x6175646974736e73);
    const uint64_t entity = as_mix(as_mix(as_mix(FIXED, boot), process->pid), process->start_ms);
    process->entity = entity == 0 ? 1 : entity;
}

/* Whether the last exec of this process came after this one, which is reported late. */
static bool is_later(const as_process *process, const as_process_exec *exec) {
    return process->image_ms > exec->ms || (process->image_ms == exec->ms && process->image_serial > exec->serial);
}

as_process *as_processes_enter_exec(as_processes *processes, const as_process_exec *exec) {
    if (exec->pid == 0 || processes->slot_count == 0) {
        return NULL;
    }
    as_process *process = find_pid(processes, exec->node, exec->pid);
    const bool known = process != NULL && process->origin != AS_PROCESS_ABSENT;
    if (known && begins_after(process, exec->ms)) {
        return NULL;
    }
    if (known && process->origin == AS_PROCESS_EXEC && is_later(process, exec)) {
        return process;
    }
    const bool same = known && same_process(processes, process, exec->parent);
    const bool orphaned = same && process->parent != exec->parent;
    if (process == NULL) {
        process = add_pid(processes, exec->node, exec->pid);
    } else {
        use(processes, process);
    }
    processes->begun_ms = processes->begun_ms == 0 ? exec->ms : processes->begun_ms;
    process->parent = exec->parent;
    process->origin = AS_PROCESS_EXEC;
    process->image_ms = exec->ms;
    process->image_serial = exec->serial;
    if (!same) {
        process->start_ms = exec->ms;
        set_entity(process, exec->boot);
    }
    /* An orphan stays in its session. */
    process->flags &= orphaned ? AS_LEADER_KNOWN : 0;
    const bool keep = exec->arguments_known && processes->keeps_arguments;
    set_texts(processes, process, exec->name, exec->executable, exec->arguments, keep ? exec->argument_count : 0);
    process->flags |= (uint8_t)((keep ? AS_ARGUMENTS_KNOWN : 0) | (exec->arguments_cut ? AS_ARGUMENTS_CUT : 0));
    if ((process->flags & AS_LEADER_KNOWN) == 0) {
        const as_process *parent = process_at(processes, exec->node, exec->parent, exec->ms);
        find_leader(processes, process, parent == process ? NULL : parent);
    }
    return process;
}

/* The part of a text before its next zero byte, which is removed from the text. */
static as_span next_argument(as_span *text) {
    const uint8_t *end = text->len == 0 ? NULL : memchr(text->at, 0, text->len);
    const as_span argument = as_span_of(text->at, end == NULL ? text->len : (size_t)(end - text->at));
    *text = as_span_skip(*text, end == NULL ? text->len : argument.len + 1);
    return argument;
}

/* The parent of a fork without exec, whose executable and arguments are the fork's, too. NULL: its own exec may be
 * unknown here, or another process forked it. executable: of the fork; empty if it may not be read. */
static const as_process *forked_by(const as_processes *processes, const as_process_facts *facts, as_span name,
                                   as_span executable) {
    const as_process *parent = process_at(processes, 0, facts->parent, facts->start_ms);
    const bool all_known =
        processes->begun_ms != 0 && facts->start_ms > processes->begun_ms && facts->start_ms > processes->evicted_ms;
    if (parent == NULL || !all_known || parent->image_ms > facts->start_ms) {
        return NULL;
    }
    const bool same = executable.len > 0 ? as_span_same(as_processes_read(processes, parent, 0).executable, executable)
                                         : as_span_same(as_process_name(parent), name);
    return same ? parent : NULL;
}

static void set_facts(as_processes *processes, as_process *process, const as_process_facts *facts) {
    as_span texts = as_span_bounded(facts->texts, facts->texts_len);
    const as_span name = next_argument(&texts);
    const as_span executable = next_argument(&texts);
    as_span arguments[AS_PROCESS_ARGUMENT_COUNT];
    as_process_texts given = {.executable = executable, .arguments = arguments};
    bool known = (facts->flags & AS_FACTS_ARGUMENTS) != 0;
    bool cut = (facts->flags & AS_FACTS_CUT) != 0;
    while (known && texts.len > 0 && given.argument_count < AS_PROCESS_ARGUMENT_COUNT) {
        arguments[given.argument_count++] = next_argument(&texts);
    }
    cut = cut || (known && texts.len > 0);
    const as_process *parent = known ? NULL : forked_by(processes, facts, name, executable);
    if (parent != NULL) {
        given = as_processes_read(processes, parent, 0);
        known = (parent->flags & AS_ARGUMENTS_KNOWN) != 0;
        cut = (parent->flags & AS_ARGUMENTS_CUT) != 0;
    }
    known = known && processes->keeps_arguments;
    set_texts(processes, process, name, given.executable, given.arguments, known ? given.argument_count : 0);
    process->flags |=
        (uint8_t)(AS_START_EXACT | (known ? AS_ARGUMENTS_KNOWN : 0) | (known && cut ? AS_ARGUMENTS_CUT : 0));
}

void as_processes_enter_facts(as_processes *processes, const as_process_facts *facts, uint64_t boot) {
    const bool absent = (facts->flags & AS_FACTS_ABSENT) != 0;
    if (facts->pid == 0 || processes->slot_count == 0) {
        return;
    }
    as_process *process = find_pid(processes, 0, facts->pid);
    const bool known = process != NULL && process->origin != AS_PROCESS_ABSENT;
    if (known && (absent || facts->start_ms <= process->image_ms + AS_PROCESS_SLACK_MS)) {
        /* The same process: its exec record told more. */
        if (!absent && facts->start_ms < process->start_ms) {
            process->start_ms = facts->start_ms;
        }
        process->flags |= absent ? 0 : AS_START_EXACT;
        return;
    }
    if (process == NULL) {
        process = add_pid(processes, 0, facts->pid);
    } else {
        use(processes, process);
    }
    release_texts(processes, process);
    process->flags = 0;
    process->entity = 0;
    process->image_serial = 0;
    process->parent = facts->parent;
    process->start_ms = process->image_ms = facts->start_ms;
    if (absent) {
        process->origin = AS_PROCESS_ABSENT;
        process->image_ms = facts->read_ms;
        return;
    }
    process->origin = (facts->flags & AS_FACTS_AT_START) != 0 ? AS_PROCESS_AT_START : AS_PROCESS_AT_MISS;
    set_entity(process, boot);
    set_facts(processes, process, facts);
}

void as_processes_migrate(as_processes *processes, const as_processes *from) {
    const as_processes to = *processes;
    if (to.slot_count == 0 || to.slot_count != from->slot_count) {
        return;
    }
    memcpy(to.slots, from->slots, from->used * sizeof *to.slots);
    memcpy(to.buckets, from->buckets, ((size_t)from->bucket_mask + 1) * sizeof *to.buckets);
    memcpy(to.blocks, from->blocks, from->blocks_used * sizeof *to.blocks);
    *processes = *from;
    processes->slots = to.slots;
    processes->buckets = to.buckets;
    processes->blocks = to.blocks;
    memcpy(processes->buffers, to.buffers, sizeof to.buffers);
    processes->entries = to.entries;
    processes->entries_by_byte = to.entries_by_byte;
    processes->entries_by_second = to.entries_by_second;
    processes->entry_count = to.entry_count;
    processes->keeps_arguments = to.keeps_arguments;
    for (uint32_t i = 0; i < processes->used; i++) { /* the sessions may be others */
        as_process *process = &processes->slots[i];
        process->entry = (uint8_t)entry_of(processes, process->pid, as_process_name(process));
    }
}
