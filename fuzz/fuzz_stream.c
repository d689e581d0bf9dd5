/* A stream of datagrams gives the same hits, byte for byte, and the same counters, fed in one call or cut
 * anywhere, whatever the stamps do; every datagram is accounted for; and in a ring with an order events come by
 * stamp and serial, unless it counts that they did not.
 *
 * Input: lines. The first byte of a line is the time that passes (a digit: that many times 256 ms; '-': back
 * 1 s; '?': no clock), the second is the type ('S'YSCALL, 'P'ATH, 'C'WD, 'T'itle, 'E'OE, 'U'RINGOP, e'X'ECVE,
 * confi'G', 'L'OGIN, 'A'UDIT_USER, 'R'EPLACE, control 'K', 'h'eaderless, 'f'oreign, else 8 times its value),
 * and the rest is the text. */
#include "fuzz.h"

#include "_ring/datagram.h"

typedef struct {
    uint8_t *bytes;
    size_t len;
} stream;

static uint16_t type_of(uint8_t letter) {
    static const struct {
        char letter;
        uint16_t type;
    } types[] = {{'S', 1300}, {'P', 1302}, {'C', 1307}, {'T', 1327}, {'E', 1320}, {'U', 1336}, {'X', 1309},
                 {'G', 1305}, {'L', 1006}, {'A', 1100}, {'R', 1329}, {'K', 2},    {'f', 1300}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].letter == (char)letter) {
            return types[i].type;
        }
    }
    return (uint16_t)(letter * 8);
}

static void add(stream *to, uint64_t ms, uint8_t letter, const uint8_t *text, size_t len) {
    uint8_t datagram[16 + 65536] = {0};
    const uint16_t type = type_of(letter);
    size_t header = 16;
    memcpy(datagram + 4, &type, sizeof type);
    if (letter == 'h') {
        header = 0;
    }
    memcpy(datagram + header, text, len);
    const as_packed entry = {.ms = ms, .sender = letter == 'f' ? 4711 : 0, .bytes = as_span_of(datagram, header + len)};
    as_packed_write(to->bytes + to->len, &entry);
    to->len += AS_PACKED_HEADER + header + len;
}

static stream stream_of(const uint8_t *data, size_t size) {
    stream made = {.bytes = must(malloc(size * 17 + 64))};
    uint64_t now = 100000;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        const size_t len = end == NULL ? size - at : (size_t)(end - (data + at));
        if (len >= 2) {
            const uint8_t step = data[at];
            now += step >= '0' && step <= '9' ? (uint64_t)(step - '0') * 256 : 0;
            now -= step == '-' && now > 2000 ? 1000 : 0;
            add(&made, step == '?' ? 0 : now, data[at + 1], data + at + 2, len - 2);
        }
        at += len + 1;
    }
    return made;
}

/* Feed in cuts of at most `most` bytes; hits are taken only when there is no other way on, or, eager, always.
 */
static as_stats run(const stream *in, unsigned mode, size_t most, bool eager, fuzz_random random, fuzz_hits *hits) {
    as_ring *ring = fuzz_ring((mode & 1) != 0, (mode & 2) != 0 ? 3 : 0);
    size_t at = 0;
    size_t offered = 0;
    while (at < in->len) {
        offered = most == 0 ? in->len - at : offered + fuzz_pick(&random, most);
        offered = offered > in->len - at ? in->len - at : offered;
        /* An exact copy, so that a sanitizer sees a byte more being read. */
        uint8_t *copy = must(malloc(offered));
        memcpy(copy, in->bytes + at, offered);
        const int64_t consumed = as_ring_feed(ring, copy, offered);
        free(copy);
        PROMISE(consumed >= 0 && (size_t)consumed <= offered);
        const bool last = offered == in->len - at;
        at += (size_t)consumed;
        offered -= (size_t)consumed;
        if (eager || (consumed == 0 && last)) {
            PROMISE(fuzz_collect(ring, hits) > 0 || consumed > 0 || !last);
        }
    }
    return fuzz_finish(ring, hits);
}

static bool same_but_hits(as_stats a, as_stats b) {
    a.hits = b.hits = 0;
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Whether the single events, the hits of the first rule, are sorted by stamp and serial. */
static bool in_order(const fuzz_hits *hits) {
    as_event_id last = {0};
    bool sorted = true;
    for (size_t at = 0; at < hits->len;) {
        as_hit hit;
        memcpy(&hit, hits->bytes + at, sizeof hit);
        if (hit.rule == 0) {
            as_event_id id;
            memcpy(&id, hits->bytes + at + sizeof hit, sizeof id);
            sorted = sorted && (id.ms > last.ms || (id.ms == last.ms && id.serial >= last.serial));
            last = id;
        }
        at += hit.size;
    }
    return sorted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > 65536) {
        return 0;
    }
    const stream in = stream_of(data, size);
    const fuzz_random random = fuzz_random_of(data, size);
    for (unsigned mode = 0; mode < 4; mode++) {
        const bool merge = (mode & 1) != 0;
        fuzz_hits whole = {0};
        fuzz_hits cut = {0};
        fuzz_hits eager = {0};
        const as_stats a = run(&in, mode, 0, false, random, &whole);
        const as_stats b = run(&in, mode, 300, false, random, &cut);
        const as_stats c = run(&in, mode, 900, true, random, &eager);
        PROMISE(memcmp(&a, &b, sizeof a) == 0);
        PROMISE(whole.len == cut.len && memcmp(whole.bytes, cut.bytes, whole.len) == 0);
        PROMISE(same_but_hits(a, c));
        PROMISE((mode & 2) == 0 || a.disordered > 0 || in_order(&whole));
        PROMISE(a.disordered <= a.matches);
        /* How far windows are merged depends on when they are taken; without merging nothing does. */
        PROMISE(merge || (whole.len == eager.len && memcmp(whole.bytes, eager.bytes, whole.len) == 0));
        free(whole.bytes);
        free(cut.bytes);
        free(eager.bytes);
    }
    free(in.bytes);
    return 0;
}
