#include "order.h"

#include "hash.h"

#define NONE AS_NO_SLOT

/* More hosts than can hold events at a time, so one is always idle or unused. */
static uint32_t most_hosts(const as_order *order) {
    return order->most + 2;
}

void as_order_init(as_order *order, const as_config *config, as_arena *arena) {
    memset(order, 0, sizeof *order);
    order->slots = config->event_slots;
    order->most = config->event_slots / 2;
    order->most = order->most < config->small_texts / 8 ? order->most : config->small_texts / 8;
    order->bucket_mask = as_power_of_two(2 * order->most) - 1;
    order->held = as_arena_alloc(arena, order->slots, sizeof *order->held);
    order->hosts = as_arena_alloc(arena, most_hosts(order), sizeof *order->hosts);
    order->buckets = as_arena_alloc(arena, (size_t)order->bucket_mask + 1, sizeof *order->buckets);
}

/* The memory is first written here: live it gets no page. */
bool as_order_begin(as_order *order, as_events *events, uint32_t limit) {
    if (limit > order->most) {
        return false;
    }
    order->limit = limit;
    order->idle = (as_queue_ends){NONE, NONE};
    for (uint32_t i = 0; limit > 0 && i <= order->bucket_mask; i++) {
        order->buckets[i] = NONE;
    }
    as_events_reserve(events, limit);
    return true;
}

/* Hosts */

/* A node is a seeded hash already. */
static uint32_t *bucket_of(const as_order *order, uint64_t node) {
    return &order->buckets[(node ^ node >> 32) & order->bucket_mask];
}

static void become_idle(as_order *order, uint32_t at) {
    order->hosts[at].idle = (as_link){.next = NONE, .previous = order->idle.last};
    if (order->idle.last == NONE) {
        order->idle.first = at;
    } else {
        order->hosts[order->idle.last].idle.next = at;
    }
    order->idle.last = at;
}

static void leave_idle(as_order *order, uint32_t at) {
    const as_link link = order->hosts[at].idle;
    if (link.previous == NONE) {
        order->idle.first = link.next;
    } else {
        order->hosts[link.previous].idle.next = link.next;
    }
    if (link.next == NONE) {
        order->idle.last = link.previous;
    } else {
        order->hosts[link.next].idle.previous = link.previous;
    }
}

static bool is_idle(const as_held_host *host) {
    return host->first == NONE && host->heap == NONE;
}

/* A slot for another host: a new one, or that of the longest idle host. */
static uint32_t free_slot(as_order *order) {
    if (order->hosts_used < most_hosts(order)) {
        return order->hosts_used++;
    }
    const uint32_t at = order->idle.first;
    uint32_t *link = bucket_of(order, order->hosts[at].node);
    leave_idle(order, at);
    while (*link != at) {
        link = &order->hosts[*link].next_in_bucket;
    }
    *link = order->hosts[at].next_in_bucket;
    return at;
}

static uint32_t host_of(as_order *order, uint64_t node) {
    uint32_t *bucket = bucket_of(order, node);
    for (uint32_t at = *bucket; at != NONE; at = order->hosts[at].next_in_bucket) {
        if (order->hosts[at].node == node) {
            if (is_idle(&order->hosts[at])) {
                leave_idle(order, at);
            }
            return at;
        }
    }
    const uint32_t at = free_slot(order);
    order->hosts[at] =
        (as_held_host){.node = node, .first = NONE, .last = NONE, .heap = NONE, .next_in_bucket = *bucket};
    *bucket = at;
    return at;
}

/* Order of the events of a host */

static bool smaller(const as_order *order, const as_events *events, uint32_t a, uint32_t b) {
    const as_event *left = &events->slots[a];
    const as_event *right = &events->slots[b];
    if (left->ms != right->ms) {
        return left->ms < right->ms;
    }
    if (left->serial != right->serial) {
        return left->serial < right->serial;
    }
    return order->held[a].number < order->held[b].number;
}

/* Merge two heaps; either can be empty. */
static uint32_t meld(as_order *order, const as_events *events, uint32_t a, uint32_t b) {
    if (a == NONE || b == NONE) {
        return a == NONE ? b : a;
    }
    const bool swap = smaller(order, events, b, a);
    const uint32_t parent = swap ? b : a;
    const uint32_t child = swap ? a : b;
    order->held[child].next = order->held[parent].child;
    order->held[parent].child = child;
    return parent;
}

/* Merge the children of an event into one heap: in pairs from first to last, then the pairs from last to first. */
static uint32_t meld_children(as_order *order, const as_events *events, uint32_t at) {
    uint32_t pairs = NONE;
    uint32_t heap = NONE;
    while (at != NONE) {
        const uint32_t second = order->held[at].next;
        const uint32_t rest = second == NONE ? NONE : order->held[second].next;
        const uint32_t pair = meld(order, events, at, second);
        order->held[pair].next = pairs;
        pairs = pair;
        at = rest;
    }
    while (pairs != NONE) {
        const uint32_t rest = order->held[pairs].next;
        heap = meld(order, events, heap, pairs);
        pairs = rest;
    }
    return heap;
}

void as_order_hold(as_order *order, as_events *events, as_event *event, const uint16_t *matched, uint32_t count,
                   uint32_t unknown) {
    const uint32_t at = as_slot_of(events, event);
    as_held *held = &order->held[at];
    *held = (as_held){.number = order->number++,
                      .host = host_of(order, event->node),
                      .child = NONE,
                      .next = NONE,
                      .count = (uint16_t)count,
                      .unknown = (uint16_t)unknown};
    as_held_host *host = &order->hosts[held->host];
    for (uint32_t i = 0; i < count && i < AS_HELD_FILTERS; i++) {
        held->matched[i] = matched[i];
    }
    as_list_move(events, event, AS_HELD);
    order->count++;
    if (host->first == NONE) {
        host->first = host->last = at;
    } else if (smaller(order, events, host->last, at)) {
        order->held[host->last].next = at;
        host->last = at;
    } else {
        host->heap = meld(order, events, host->heap, at);
    }
}

static uint32_t remove_smallest(as_order *order, const as_events *events, as_held_host *host) {
    const uint32_t first = host->first;
    const uint32_t heap = host->heap;
    if (heap == NONE || (first != NONE && smaller(order, events, first, heap))) {
        host->first = order->held[first].next;
        host->last = host->first == NONE ? NONE : host->last;
        return first;
    }
    host->heap = meld_children(order, events, order->held[heap].child);
    return heap;
}

/* Prefetch the texts of the event that has been held longest, and the slot of the one after it: they were written
 * thousands of events ago. Inlined, because gcc drops calls of a function that has no other effect. */
__attribute__((always_inline)) static inline void prefetch_oldest(const as_order *order, const as_events *events) {
    enum { LINE = 64, MOST = 512 };
    const as_event *event = as_list_first(events, AS_LIST_ALL, AS_HELD);
    if (event != NULL && event->links[AS_LIST_ALL].next != NONE) {
        as_list_prefetch(events, event->links[AS_LIST_ALL].next);
        __builtin_prefetch(&order->held[event->links[AS_LIST_ALL].next]);
    }
    for (unsigned role = 0; event != NULL && role < AS_ROLES; role++) {
        if ((event->stored & (1u << role)) != 0) {
            const as_span text = as_slab_span(&events->slab, event->texts[role]);
            for (uint32_t at = 0; at < text.len && at < MOST; at += LINE) {
                __builtin_prefetch(text.at + at);
            }
        }
    }
}

as_event *as_order_release(as_order *order, as_events *events, as_stats *stats) {
    const as_event *longest = as_events_oldest_holder(events, AS_HELD);
    if (longest == NULL) {
        longest = as_list_first(events, AS_LIST_ALL, AS_HELD);
    }
    const uint32_t at = order->held[as_slot_of(events, longest)].host;
    as_held_host *host = &order->hosts[at];
    as_event *event = &events->slots[remove_smallest(order, events, host)];
    order->count--;
    const bool late =
        host->decided && (event->ms < host->ms || (event->ms == host->ms && event->serial < host->serial));
    stats->disordered += late ? 1 : 0;
    if (!late) {
        host->decided = true;
        host->ms = event->ms;
        host->serial = event->serial;
    }
    if (is_idle(host)) {
        become_idle(order, at);
    }
    as_list_move(events, event, AS_CLOSED);
    prefetch_oldest(order, events);
    return event;
}

void as_order_migrate(as_order *order, const as_order *from) {
    const as_order to = *order;
    if (from->limit == 0) {
        return;
    }
    memcpy(to.held, from->held, from->slots * sizeof *to.held);
    memcpy(to.hosts, from->hosts, from->hosts_used * sizeof *to.hosts);
    memcpy(to.buckets, from->buckets, ((size_t)from->bucket_mask + 1) * sizeof *to.buckets);
    *order = *from;
    order->held = to.held;
    order->hosts = to.hosts;
    order->buckets = to.buckets;
}
