/* The counters that a handle shows: of the ring, of exceptions and of unknown architectures. */
#include "handle.h"

int64_t as_ring_stats(as_ring *ring, as_stats *out) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    *out = ring->stats;
    out->unknown_arch = ring->match.unknown_records;
    return leave(ring, AS_OK);
}

int64_t as_ring_excepted(as_ring *ring, uint64_t *out, size_t size) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, as_match_excepted(&ring->match, out, size));
}

int64_t as_ring_unknown_arches(as_ring *ring, as_unknown_arch *out, size_t size) {
    if (!enter(ring)) {
        return AS_BUSY;
    }
    return leave(ring, as_match_unknown_arches(&ring->match, out, size));
}
