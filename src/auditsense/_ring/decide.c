#include "decide.h"

#include "hash.h"
#include "rules.h"

static uint64_t emit_hit(as_ring *ring, const as_filter *filter, as_event_id *ids, uint32_t count, uint32_t others) {
    as_event_values_load(&ring->values, ring->hits.fields);
    ids[count - 1].type = ring->decision.event->main_type;
    ids[count - 1].flags = as_event_args_cut(&ring->values) ? AS_EVENT_ARGS_CUT : 0;
    const as_hit hit = {.rule = filter->rule,
                        .filter = (uint32_t)(filter - ring->match.filters),
                        .ids = count,
                        .others = others,
                        .unknown = ring->decision.unknown,
                        .last_ms = ids[count - 1].ms};
    const uint64_t place = as_hits_append(&ring->hits, &hit, ids, ring->values.values);
    ring->stats.hits++;
    if (ring->decision.window != NULL) {
        ring->decision.window->pending = place;
        ring->decision.window->pending_actor = ring->decision.actor;
    }
    return place;
}

static void emit_window(as_ring *ring, const as_filter *filter, uint32_t first) {
    const as_rule *rule = &ring->match.rules[filter->rule];
    as_window *window = ring->decision.window;
    const uint64_t ms = as_window_entry(&ring->windows, window, first + rule->count - 1).ms;
    ring->stats.sequences++;
    /* A merged window stands for one match. If the match before this one completed no window, more than one match came
     * in between, and the window must stay separate. */
    if (rule->merge_ms != 0 && window->pending_actor == ring->decision.actor &&
        as_window_entry(&ring->windows, window, first + rule->count - 2).complete != 0 &&
        as_hits_merge(&ring->hits, window->pending, ms, rule->merge_ms)) {
        return;
    }
    as_event_id ids[AS_MOST_COUNT];
    uint32_t others = 0;
    for (uint32_t i = 0; i < rule->count; i++) {
        const as_entry entry = as_window_entry(&ring->windows, window, first + i);
        ids[i] = (as_event_id){.ms = entry.ms, .serial = entry.serial};
        others += entry.actor != ring->decision.actor ? 1 : 0;
    }
    emit_hit(ring, filter, ids, rule->count, others);
}

/* True if a value lies in this text. The process table and other records give values, too. */
static bool lies_in(as_span value, as_span text) {
    const uintptr_t start = (uintptr_t)text.at;
    const uintptr_t at = (uintptr_t)value.at;
    return at >= start && at - start <= text.len && value.len <= text.len - (at - start);
}

/* The part of the SYSCALL record that identifies the actor: what follows the field before its first one, in the kernel's
 * order. The call and its arguments, which change from event to event, come before that. */
static as_span actor_text(as_ring *ring) {
    const as_decision *decision = &ring->decision;
    const uint64_t fields = ring->windows.actor_fields & AS_CALL_FIELDS;
    if ((decision->event->stored & (1u << AS_ROLE_SYSCALL)) == 0 ||
        (decision->event->linked_kinds & AS_LINK_MAIN) != 0 || fields <= 1) {
        return (as_span){0}; /* values come from another record, too */
    }
    const uint32_t before = (uint32_t)__builtin_ctzll(fields) - 1;
    as_event_values_load(&ring->values, AS_BIT(before));
    const as_span text = as_slab_span(&ring->events.slab, decision->event->texts[AS_ROLE_SYSCALL]);
    const as_value value = ring->values.values[before];
    if (value.form == AS_FORM_ABSENT || !lies_in(value.span, text)) {
        return (as_span){0};
    }
    return as_span_skip(text, (uint32_t)(value.span.at - text.at) + value.span.len);
}

/* Cache slot of an actor with this text. Programs differ near the end, users near the start. */
static uint32_t cache_slot(as_span text) {
    uint64_t mixed = text.len;
    if (text.len >= 64) {
        mixed += as_load8(text.at + 16) + as_load8(text.at + text.len - 40) + as_load8(text.at + text.len - 48);
    }
    return (uint32_t)(mixed * UINT64_C(0x9e3779b97f4a7c15) >> 32) % AS_ACTORS;
}

/* True if all values of the actor are present and lie in this text: a record that ends with the same text then has the
 * same actor. */
static bool values_lie_in(const as_ring *ring, as_span text) {
    for (uint64_t fields = ring->windows.actor_fields; fields != 0; fields &= fields - 1) {
        const as_value value = ring->values.values[__builtin_ctzll(fields)];
        if (value.form == AS_FORM_ABSENT || !lies_in(value.span, text)) {
            return false;
        }
    }
    return true;
}

static uint32_t compute_actor(as_ring *ring) {
    as_event_values_load(&ring->values, ring->windows.actor_fields);
    return as_window_actor(&ring->windows, ring->values.values, ring->match.predicates.scratch);
}

/* Find the actor of the event, once for all rules that have a window for it. */
static void find_actor(as_ring *ring) {
    as_decision *decision = &ring->decision;
    if (decision->actor_known || ring->windows.actor_fields == 0) {
        return;
    }
    decision->actor_known = true;
    const as_span rest = actor_text(ring);
    as_cached_actor *known = &ring->actors[cache_slot(rest)];
    if (rest.len > 0 && known->len == rest.len && memcmp(known->text, rest.at, rest.len) == 0) {
        decision->actor = known->actor;
        return;
    }
    decision->actor = compute_actor(ring);
    if ((ring->windows.actor_fields & ~AS_CALL_FIELDS) == 0 && rest.len <= AS_ACTOR_TEXT && values_lie_in(ring, rest)) {
        known->len = rest.len;
        known->actor = decision->actor;
        memcpy(known->text, rest.at, rest.len);
    }
}

/* Find the key of this filter and the actor. False: the event has no key. */
static bool find_key(as_ring *ring, const as_filter *filter) {
    as_decision *decision = &ring->decision;
    if (!decision->key_known) {
        as_event_values_load(&ring->values, as_filter_keys(filter));
        decision->key_known =
            as_window_key(&ring->windows, filter, ring->values.values, ring->match.predicates.scratch, decision->key);
    }
    if (decision->key_known) {
        find_actor(ring);
    }
    return decision->key_known;
}

/* Add the event to the window of this filter's key. False: it has no key, or the window is full of newer matches. */
static bool enter_window(as_ring *ring, const as_filter *filter) {
    as_decision *decision = &ring->decision;
    const as_rule *rule = &ring->match.rules[filter->rule];
    if (!find_key(ring, filter)) {
        ring->stats.keyless++;
        return false;
    }
    const as_entry entry = {
        .ms = decision->event->ms, .serial = decision->event->serial, .actor = decision->actor & (UINT32_MAX >> 1)};
    decision->window = as_windows_of(&ring->windows, filter->rule, decision->key, &ring->stats);
    const bool added = as_window_add(&ring->windows, decision->window, rule, entry, &decision->search);
    ring->stats.stale += added ? 0 : 1;
    return added;
}

/* Apply a filter of a sequence or sample. There is space for its hit. */
static void apply_staged(as_ring *ring, const as_filter *filter) {
    const as_decision *decision = &ring->decision;
    const as_rule *rule = &ring->match.rules[filter->rule];
    const as_event_id id = {.ms = decision->event->ms, .serial = decision->event->serial};
    uint64_t key[2];
    ring->stats.matches++;
    if (!as_sequence_key(&ring->sequences, filter, &ring->values, key)) {
        ring->stats.keyless++;
        return;
    }
    const bool complete = as_sequences_apply(&ring->sequences, rule, filter, key, id, &ring->values, &ring->stats);
    ring->stats.disordered += ring->sequences.late && ring->order.limit == 0 ? 1 : 0; /* order.h counts others */
    if (complete) {
        as_completed *completed = &ring->sequences.completed;
        ring->stats.sequences++;
        as_hits_append_members(&ring->hits, emit_hit(ring, filter, completed->ids, completed->count, 0), completed);
    }
}

/* Apply the rule of one filter to the event. False: the hit buffer is full; call again after a drain. */
static bool apply_filter(as_ring *ring, const as_filter *filter) {
    as_decision *decision = &ring->decision;
    const as_rule *rule = &ring->match.rules[filter->rule];
    uint32_t first = 0;
    if (!as_hits_has_space(&ring->hits)) {
        return false;
    }
    if (rule->kind == AS_RULE_SEQUENCE || rule->kind == AS_RULE_SAMPLE) {
        apply_staged(ring, filter);
        return true;
    }
    if (rule->kind == AS_RULE_EVENT) {
        as_event_id id = {.ms = decision->event->ms, .serial = decision->event->serial};
        ring->stats.matches++;
        ring->stats.sequences++;
        emit_hit(ring, filter, &id, 1, 0);
        return true;
    }
    if (decision->window == NULL) {
        ring->stats.matches++;
        if (!enter_window(ring, filter)) {
            return true;
        }
    }
    while (as_hits_has_space(&ring->hits)) {
        if (!as_window_complete(&ring->windows, decision->window, rule, &decision->search, &first)) {
            return true;
        }
        emit_window(ring, filter, first);
    }
    return false;
}

/* Begin with an event, without reading a field. */
static void begin(as_ring *ring, as_event *event) {
    memset(&ring->decision, 0, sizeof ring->decision);
    ring->decision.event = event;
    const bool known = event->class_index < ring->match.class_count;
    as_event_values_begin(&ring->values, &ring->events, event,
                          known ? ring->match.classes[event->class_index].kept_fields : 0);
}

/* Begin with an event. False: nothing can match it. */
static bool load(as_ring *ring, as_event *event) {
    begin(ring, event);
    if (event->class_index == 0 || event->class_index == AS_CLASS_UNKNOWN) {
        return false;
    }
    ring->values.executes = ring->match.classes[event->class_index].executes;
    return true;
}

/* Find the filters that the event fits. stats: where exceptions are counted; NULL: they were before. */
static void match_event(as_ring *ring, as_event *event, as_stats *stats) {
    as_decision *decision = &ring->decision;
    decision->matched = as_match_event(&ring->match, event->class_index, event->tables, &ring->values);
    if (decision->matched > 0) {
        decision->matched = as_match_except(&ring->match, event->ms, decision->matched, &ring->values, stats);
    }
}

/* Processes */

/* Number of a host and its boot, the same in every run. */
static uint64_t boot_of(as_ring *ring) {
    as_span node;
    enum { FIXED = 0x6e6f6465 };
    return as_event_text(&ring->values, AS_FIELD_NODE, &node) ? as_hash_bytes(FIXED, node) : ring->config.boot;
}

/* Enter an event that starts a program. */
static void enter_exec(as_ring *ring, const as_event *event, const as_event_processes *processes) {
    as_process_exec exec = {.node = event->node, .ms = event->ms, .serial = event->serial, .pid = processes->pid};
    as_span success;
    if (!as_event_text(&ring->values, AS_FIELD_SUCCESS, &success) || !as_span_is(success, AS_LITERAL("yes"))) {
        return;
    }
    exec.boot = boot_of(ring);
    exec.parent = processes->parent == AS_PARENT_OF_TABLE ? 0 : processes->parent;
    as_event_text(&ring->values, AS_FIELD_COMM, &exec.name);
    as_event_text(&ring->values, AS_FIELD_EXE, &exec.executable);
    if (ring->processes.keeps_arguments) {
        const as_list arguments = as_event_list(&ring->values, AS_FIELD_ARGS);
        exec.arguments = arguments.at;
        exec.argument_count = arguments.count;
        exec.arguments_known = arguments.count > 0;
        exec.arguments_cut = arguments.cut;
    }
    as_processes_enter_exec(&ring->processes, &exec);
}

/* Prepare what rules may ask of the processes of this event. False: procfs has to be asked first. */
static bool prepare_processes(as_ring *ring, const as_event *event) {
    const as_match_class *row = &ring->match.classes[event->class_index];
    const uint64_t own = row->executes ? 0 : row->fields & (AS_BIT(AS_FIELD_ARGS) | AS_BIT(AS_FIELD_COMMAND_LINE));
    if (ring->values.table == NULL || (!row->executes && (row->fields & AS_PROCESS_FIELDS) == 0 && own == 0)) {
        return true;
    }
    const as_event_processes *processes = as_event_values_processes(&ring->values);
    if (row->executes) {
        enter_exec(ring, event, processes);
    }
    if (ring->config.asks != 0) {
        ring->wanted_process = as_event_processes_missing(processes, row->fields, own != 0);
    }
    return ring->wanted_process == 0;
}

bool as_decision_begin(as_ring *ring, as_event *event) {
    if (!load(ring, event)) {
        return true;
    }
    if (!prepare_processes(ring, event)) {
        ring->decision.event = NULL;
        return false;
    }
    match_event(ring, event, &ring->stats);
    ring->stats.truncated += ring->values.cut ? 1 : 0;
    ring->decision.unknown = ring->values.processes.unknown;
    ring->stats.parents_unknown += (ring->decision.unknown & AS_UNKNOWN_PARENT) != 0 ? 1 : 0;
    return true;
}

void as_decision_hold(as_ring *ring) {
    as_decision *decision = &ring->decision;
    as_event *event = decision->event;
    const as_filter *filter = &ring->match.filters[ring->match.matched[0]];
    const bool window = decision->matched == 1 && ring->match.rules[filter->rule].kind == AS_RULE_RUNS;
    const bool known = window && find_key(ring, filter);
    as_order_hold(&ring->order, &ring->events, event, ring->match.matched, decision->matched, decision->unknown);
    as_held *held = &ring->order.held[as_slot_of(&ring->events, event)];
    held->key_known = known;
    held->actor = decision->actor;
    held->key[0] = decision->key[0];
    held->key[1] = decision->key[1];
    decision->event = NULL;
}

void as_decision_resume(as_ring *ring, as_event *event) {
    as_decision *decision = &ring->decision;
    const as_held *held = &ring->order.held[as_slot_of(&ring->events, event)];
    if (held->key_known) {
        begin(ring, event);
        decision->actor = held->actor;
        decision->actor_known = true;
        decision->key_known = true;
        decision->key[0] = held->key[0];
        decision->key[1] = held->key[1];
    } else {
        load(ring, event);
    }
    decision->unknown = held->unknown;
    if (held->count > AS_HELD_FILTERS) {
        match_event(ring, event, NULL);
        return;
    }
    decision->matched = held->count;
    memcpy(ring->match.matched, held->matched, held->count * sizeof *held->matched);
}

bool as_decision_run(as_ring *ring) {
    as_decision *decision = &ring->decision;
    while (decision->next < decision->matched) {
        if (!apply_filter(ring, &ring->match.filters[ring->match.matched[decision->next]])) {
            return false;
        }
        decision->next++;
        decision->window = NULL;
        decision->key_known = false;
    }
    return true;
}
