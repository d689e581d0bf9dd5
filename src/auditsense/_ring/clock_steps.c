#include "clock_steps.h"

#include "hash.h"

void as_steps_init(as_steps *steps, uint64_t seed) {
    *steps = (as_steps){.seed = seed};
}

static as_host_time *host_of(as_steps *steps, as_span node) {
    const uint64_t hash = node.len == 0 ? 0 : as_hash_bytes(steps->seed, node);
    as_host_time *host = &steps->hosts[(hash >> 32) % AS_STEP_HOSTS];
    if (host->node != hash) {
        *host = (as_host_time){.node = hash};
    }
    return host;
}

/* Whether this event, far from its host's time, agrees with the previous ones: time continues from the last one. */
static bool agrees(const as_host_time *host, uint64_t ms) {
    const bool same_side = (host->other_ms < host->newest_ms) == (ms < host->newest_ms);
    return host->others > 0 && same_side && ms + AS_STEP_MS >= host->other_ms;
}

bool as_steps_observe(as_steps *steps, uint64_t ms, uint32_t serial, as_span node) {
    if (ms == steps->last_ms && serial == steps->last_serial) {
        return false; /* another record of the same event */
    }
    steps->last_ms = ms;
    steps->last_serial = serial;
    as_host_time *host = host_of(steps, node);
    if (host->newest_ms == 0) {
        host->newest_ms = ms;
    }
    if (ms + AS_STEP_MS >= host->newest_ms && ms <= host->newest_ms + AS_STEP_MS) {
        host->newest_ms = ms > host->newest_ms ? ms : host->newest_ms;
        host->others = 0;
        return false;
    }
    host->others = agrees(host, ms) ? host->others + 1 : 1;
    host->other_ms = ms;
    if (host->others < AS_STEP_EVENTS) {
        return false;
    }
    const bool back = ms < host->newest_ms;
    host->newest_ms = ms;
    host->others = 0;
    return back;
}
