/* Log text gives the same hits, byte for byte, and the same counters, fed in one piece, byte by byte or cut
 * anywhere, live and in the order of stamps.
 *
 * Input: the text. */
#include "fuzz.h"

/* most: 0 for one piece, else the longest cut. */
static as_stats run(const uint8_t *data, size_t size, size_t most, uint32_t order, fuzz_random random,
                    fuzz_hits *hits) {
    as_ring *ring = fuzz_ring(true, order);
    for (size_t at = 0; at < size;) {
        size_t len = most == 0 ? size - at : fuzz_pick(&random, most);
        len = len > size - at ? size - at : len;
        /* An exact copy, so that a sanitizer sees a byte more being read. */
        uint8_t *copy = must(malloc(len));
        memcpy(copy, data + at, len);
        const int64_t consumed = as_ring_feed_text(ring, copy, len);
        free(copy);
        PROMISE(consumed >= 0 && (size_t)consumed <= len);
        at += (size_t)consumed;
        if (consumed == 0) {
            PROMISE(fuzz_collect(ring, hits) > 0);
        }
    }
    return fuzz_finish(ring, hits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 65536) {
        return 0;
    }
    const fuzz_random random = fuzz_random_of(data, size);
    const size_t cuts[] = {0, 1, 700};
    for (uint32_t order = 0; order <= 3; order += 3) {
        fuzz_hits whole = {0};
        const as_stats wanted = run(data, size, cuts[0], order, random, &whole);
        for (size_t i = 1; i < sizeof cuts / sizeof *cuts; i++) {
            fuzz_hits hits = {0};
            const as_stats stats = run(data, size, cuts[i], order, random, &hits);
            PROMISE(memcmp(&stats, &wanted, sizeof stats) == 0);
            PROMISE(hits.len == whole.len && memcmp(hits.bytes, whole.bytes, whole.len) == 0);
            free(hits.bytes);
        }
        PROMISE(wanted.disordered <= wanted.matches);
        free(whole.bytes);
    }
    return 0;
}
