/* Entry points: configuration, the four inputs, the output, time, and the guard against a second thread.
 *
 * The linker wraps recvmmsg, so that a socket of this process can act as the kernel's: otherwise only the kernel could
 * send trusted datagrams. Where possible the kernel itself sends (route netlink). calloc is wrapped to measure and to
 * refuse allocations. */
#include "_ring.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "_ring/arena.h"
#include "_ring/datagram.h"
#include "_ring/window.h"
#include "check.h"
#include "samples.h"

enum { HIT_BYTES = 8 * 1024 + 262144 };

/* Interposed between the core and the system. */
static struct {
    bool no_memory;
    size_t taken;   /* by the last calloc */
    bool as_kernel; /* datagrams look as if the kernel had sent them */
    int successes;  /* number of calls that succeed first */
    int failures;   /* number of calls that then fail with `failure` */
    int failure;
    bool blocks; /* post `inside` and wait for `resume` */
    sem_t inside;
    sem_t resume;
} wrapped;

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout);
int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout);

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
    CHECK((flags & MSG_DONTWAIT) != 0);
    if (wrapped.blocks) {
        sem_post(&wrapped.inside);
        sem_wait(&wrapped.resume);
    }
    if (wrapped.successes > 0) {
        wrapped.successes--;
    } else if (wrapped.failures > 0) {
        wrapped.failures--;
        errno = wrapped.failure;
        return -1;
    }
    const int got = __real_recvmmsg(fd, messages, count, flags, timeout);
    for (int i = 0; wrapped.as_kernel && i < got; i++) {
        *(struct sockaddr_nl *)messages[i].msg_hdr.msg_name = (struct sockaddr_nl){.nl_family = AF_NETLINK};
    }
    return got;
}

void *__wrap_calloc(size_t n, size_t size);
void *__real_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size) {
    wrapped.taken = n * size;
    if (wrapped.no_memory) {
        errno = ENOMEM; /* as calloc(3) promises */
        return NULL;
    }
    return __real_calloc(n, size);
}

/* Every event of a process. */
static const as_filter by_pid = {.start = AS_NODE_TRUE, .stages = 1, .keys = {AS_FIELD_PID}, .key_count = 1};

static as_ring *ring_of(const as_config *config, uint32_t first, uint32_t count) {
    const as_rules rules = sample_rules(first, count);
    return as_ring_new(config, &rules);
}

/* Every event that has a SYSCALL record is a hit. */
static as_ring *sample_ring(void) {
    const as_config config = sample_config();
    as_ring *ring = ring_of(&config, 1, 1);
    CHECK(ring != NULL);
    return ring;
}

static as_stats stats_of(as_ring *ring) {
    as_stats stats;
    CHECK_EQUAL(as_ring_stats(ring, &stats), AS_OK);
    return stats;
}

static uint8_t drained[HIT_BYTES];

/* Drain, and count. */
static uint32_t hits_of(as_ring *ring) {
    const int64_t bytes = as_ring_drain(ring, drained, sizeof drained);
    uint32_t count = 0;
    CHECK(bytes >= 0);
    for (int64_t at = 0; at < bytes;) {
        as_hit hit;
        memcpy(&hit, drained + at, sizeof hit);
        at += hit.size;
        count++;
    }
    return count;
}

/* Packed datagrams, put together one by one. */
typedef struct {
    uint8_t bytes[1 << 19];
    size_t len;
} packed;

static size_t make_datagram(uint8_t *out, uint16_t type, uint64_t ms, uint32_t serial, const char *body) {
    const struct nlmsghdr header = {.nlmsg_type = type};
    memcpy(out, &header, sizeof header);
    return sizeof header + (size_t)sprintf((char *)out + sizeof header, "audit(%u.%03u:%u): %s", (unsigned)(ms / 1000),
                                           (unsigned)(ms % 1000), serial, body);
}

static void pack(packed *to, uint64_t now_ms, uint32_t sender, uint16_t type, uint64_t ms, uint32_t serial,
                 const char *body) {
    uint8_t datagram[8192];
    const size_t len = make_datagram(datagram, type, ms, serial, body);
    const as_packed entry = {.ms = now_ms, .sender = sender, .bytes = as_span_of(datagram, len)};
    as_packed_write(to->bytes + to->len, &entry);
    to->len += AS_PACKED_HEADER + len;
}

static void pack_event(packed *to, uint64_t now_ms, uint64_t ms, uint32_t serial) {
    pack(to, now_ms, 0, 1300, ms, serial, SAMPLE_SYSCALL);
    pack(to, now_ms, 0, 1307, ms, serial, SAMPLE_CWD);
    pack(to, now_ms, 0, 1302, ms, serial, SAMPLE_PATH);
    pack(to, now_ms, 0, 1327, ms, serial, SAMPLE_PROCTITLE);
    pack(to, now_ms, 0, 1320, ms, serial, "");
}

static packed in;

static int64_t feed(as_ring *ring) {
    return as_ring_feed(ring, guarded(in.bytes, in.len), in.len);
}

/* Creation */

#define BOUND(field, least, most)                      \
    do {                                               \
        as_config bound = sample_config();             \
        bound.field = (least);                         \
        CHECK(as_ring_bytes(&bound, &rules) > 0);      \
        bound.field = (least) - 1;                     \
        CHECK_EQUAL(as_ring_bytes(&bound, &rules), 0); \
        bound.field = (most);                          \
        CHECK(as_ring_bytes(&bound, &rules) > 0);      \
        bound.field = (most) + 1;                      \
        CHECK_EQUAL(as_ring_bytes(&bound, &rules), 0); \
        bound.field = UINT32_MAX;                      \
        CHECK_EQUAL(as_ring_bytes(&bound, &rules), 0); \
    } while (0)

static void bounds(void) {
    const as_rules rules = sample_rules(0, 2);
    as_config defaults;
    CASE("the default configuration is valid, and its seed is left to the caller");
    as_config_default(&defaults);
    CHECK(as_ring_bytes(&defaults, &rules) > 0);
    CHECK_EQUAL(defaults.seed, 0);

    CASE("each number of the configuration is taken at both its bounds and refused beyond them");
    BOUND(datagram_slots, 1, 1024);
    BOUND(event_slots, 16, 1048576);
    BOUND(small_texts, 16, 1048576);
    BOUND(large_texts, 4, 4096);
    BOUND(event_timeout_ms, 1, 60000);
    if (SIZE_MAX > UINT32_MAX) { /* on 32-bit machines this exceeds the address space */
        BOUND(key_slots, 16, 4194304);
    }
    BOUND(hit_bytes, 8 * 1024 + 262144, 1 << 30);
    as_config config = sample_config();
    config.window_slack = 0;
    CHECK(as_ring_bytes(&config, &rules) > 0);
    config.window_slack = 1024;
    CHECK(as_ring_bytes(&config, &rules) > 0);
    config.end = AS_END_PATHS;
    CHECK(as_ring_bytes(&config, &rules) > 0);
    config.end = AS_END_PATHS + 1;
    CHECK_EQUAL(as_ring_bytes(&config, &rules), 0);
    config.end = AS_END_EOE;
    config.window_slack = 1025;
    CHECK_EQUAL(as_ring_bytes(&config, &rules), 0);

    CASE("what is more than this machine can address is refused, with EINVAL, not made smaller");
    config = sample_config();
    config.key_slots = 4194304;
    config.window_slack = 1024; /* 32 KiB each: 128 GiB */
    const uint64_t wanted = UINT64_C(4194304) * (32768 + sizeof(as_window));
    if (wanted > PTRDIFF_MAX) {
        CHECK_EQUAL(as_ring_bytes(&config, &rules), 0);
        errno = 0;
        CHECK(as_ring_new(&config, &rules) == NULL);
        CHECK_EQUAL(errno, EINVAL);
    } else {
        CHECK(as_ring_bytes(&config, &rules) > wanted);
    }

    CASE("no size wraps: neither a product, nor a sum, nor the padding");
    const struct {
        size_t used;
        size_t n;
        size_t size;
    } sizes[] = {{0, SIZE_MAX / 2, 3},           {0, 3, SIZE_MAX / 2}, {0, SIZE_MAX / 16 + 2, 16},
                 {SIZE_MAX - 100, 200, 1},       {SIZE_MAX - 3, 0, 1}, {PTRDIFF_MAX - 100, 101, 1},
                 {0, (size_t)PTRDIFF_MAX + 1, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        as_arena from = {.used = sizes[i].used};
        CHECK(as_arena_alloc(&from, sizes[i].n, sizes[i].size) == NULL);
        CHECK(from.too_large);
        CHECK_EQUAL(from.used, sizes[i].used);
        as_arena_alloc(&from, 1, 1); /* it stays so */
        CHECK(from.too_large);
    }
    as_arena whole = {.used = 0};
    as_arena_alloc(&whole, 1, PTRDIFF_MAX);
    CHECK(!whole.too_large);

    CASE("the longest datagram has bounds, and the hits' bytes follow from it");
    config = sample_config();
    config.datagram_bytes = 1023;
    CHECK_EQUAL(as_ring_bytes(&config, &rules), 0);
    config.datagram_bytes = 1025;
    CHECK_EQUAL(as_ring_bytes(&config, &rules), 0);
    config.datagram_bytes = 65536;
    config.hit_bytes = 8 * 65536 + 262144;
    CHECK(as_ring_bytes(&config, &rules) > 0);
    config.datagram_bytes = 65537;
    config.hit_bytes = 1 << 30;
    CHECK_EQUAL(as_ring_bytes(&config, &rules), 0);

    CASE("a table that is not valid is refused, with EINVAL");
    config = sample_config();
    as_rules broken = sample_rules(0, 2);
    broken.class_count = 0;
    CHECK_EQUAL(as_ring_bytes(&config, &broken), 0);
    errno = 0;
    CHECK(as_ring_new(&config, &broken) == NULL);
    CHECK_EQUAL(errno, EINVAL);

    CASE("a large ring, whose pages are asked for, is one like any other");
    config.key_slots = 1 << 18;
    CHECK(as_ring_bytes(&config, &rules) > 64 << 20);
    as_ring *large = as_ring_new(&config, &rules);
    CHECK(large != NULL);
    as_ring_free(large);

    CASE("memory that cannot be had is refused, with ENOMEM");
    config = sample_config();
    wrapped.no_memory = true;
    errno = 0;
    CHECK(as_ring_new(&config, &rules) == NULL);
    CHECK_EQUAL(errno, ENOMEM);
    wrapped.no_memory = false;

    CASE("a library says which version it is");
    CHECK(strlen(as_version()) > 0);

    CASE("freeing no ring is no harm");
    as_ring_free(NULL);
}

static void memory(void) {
    CASE("as_ring_bytes names what is taken, for any configuration and table");
    for (uint32_t i = 0; i < 40; i++) {
        as_config config = sample_config();
        config.datagram_slots = 1 + i * 7 % 30;
        config.datagram_bytes = 1024 + i * 13;
        config.event_slots = 16 + i * 3;
        config.small_texts = 16 + i * 5;
        config.large_texts = 4 + i;
        config.key_slots = 16 + i * 11;
        config.window_slack = i;
        config.hit_bytes = 8 * config.datagram_bytes + 262144 + i;
        const as_rules rules = i % 5 == 0 ? (as_rules){0} : sample_rules(i % 2, 2 - i % 2);
        as_ring *ring = as_ring_new(&config, &rules);
        CHECK(ring != NULL);
        CHECK_EQUAL(wrapped.taken, as_ring_bytes(&config, &rules));
        as_ring_free(ring);
    }
}

/* Datagrams in packed form */

static void feeding(void) {
    as_ring *ring = sample_ring();
    CASE("a whole event fed is a hit, and every datagram is accounted for");
    in.len = 0;
    pack_event(&in, 1000, 1000, 1);
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(hits_of(ring), 1);
    as_stats stats = stats_of(ring);
    CHECK_EQUAL(stats.datagrams, 5);
    CHECK_EQUAL(stats.records, 5);
    CHECK_EQUAL(stats.events, 1);
    CHECK_EQUAL(stats.matches, 1);
    CHECK_EQUAL(stats.sequences, 1);
    CHECK_EQUAL(stats.hits, 1);
    as_ring_free(ring);

    CASE("of every prefix the whole datagrams are taken, and the rest is given back");
    size_t whole = 0;
    for (size_t len = 0; len <= in.len; len++) {
        as_packed entry;
        while (as_packed_read(as_span_of(in.bytes + whole, len - whole), &entry) > 0) {
            whole += AS_PACKED_HEADER + entry.bytes.len;
        }
        ring = sample_ring();
        CHECK_EQUAL(as_ring_feed(ring, guarded(in.bytes, len), len), whole);
        as_ring_free(ring);
    }
    CHECK_EQUAL(whole, in.len);

    CASE("a datagram cut anywhere is taken, counted, and read no further than it reaches");
    for (size_t len = 0; len <= sizeof SAMPLE_SYSCALL; len++) {
        uint8_t cut[8192];
        uint8_t one[8192];
        const size_t full = make_datagram(cut, 1300, 1000, 1, SAMPLE_SYSCALL);
        const as_packed entry = {.ms = 1, .bytes = as_span_of(cut, len < full ? len : full)};
        as_packed_write(one, &entry);
        ring = sample_ring();
        const size_t size = AS_PACKED_HEADER + entry.bytes.len;
        CHECK_EQUAL(as_ring_feed(ring, guarded(one, size), size), size);
        CHECK_EQUAL(as_ring_finish(ring), 1);
        const as_stats counted = stats_of(ring);
        CHECK_EQUAL(counted.malformed + counted.records, 1);
        CHECK_EQUAL(hits_of(ring), counted.records);
        as_ring_free(ring);
    }

    CASE("control, foreign, short and unreadable datagrams are counted as what they are");
    ring = sample_ring();
    in.len = 0;
    pack(&in, 1, 0, 2, 0, 0, "");
    pack(&in, 1, 0, 1329, 0, 0, "");
    pack(&in, 1, 4711, 1300, 1, 1, SAMPLE_SYSCALL);
    const as_packed tiny = {.ms = 1, .bytes = GUARDED("short")};
    as_packed_write(in.bytes + in.len, &tiny);
    in.len += AS_PACKED_HEADER + 5;
    const as_packed nameless = {.ms = 1, .bytes = GUARDED("\0\0\0\0\x14\x05\0\0\0\0\0\0\0\0\0\0no stamp")};
    as_packed_write(in.bytes + in.len, &nameless);
    in.len += AS_PACKED_HEADER + 24;
    CHECK_EQUAL(feed(ring), in.len);
    stats = stats_of(ring);
    CHECK_EQUAL(stats.datagrams, 5);
    CHECK_EQUAL(stats.control, 2);
    CHECK_EQUAL(stats.foreign, 1);
    CHECK_EQUAL(stats.malformed, 2);
    CHECK_EQUAL(stats.records, 0);
    as_ring_free(ring);

    CASE("a datagram longer than the limit is cut, counted, and its start is used");
    ring = sample_ring();
    in.len = 0;
    char body[2048];
    memset(body, 'x', sizeof body);
    body[sizeof body - 1] = '\0';
    memcpy(body, "arch=c000003e syscall=257 items=0 comm=", 39);
    pack(&in, 1, 0, 1300, 1, 1, body);
    pack(&in, 1, 0, 1320, 1, 1, "");
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(hits_of(ring), 1);
    CHECK_EQUAL(stats_of(ring).truncated, 1);
    as_ring_free(ring);

    CASE("an event that a rule may want, with a record of more unknown fields than are read, is counted");
    const as_config limits = sample_config();
    ring = ring_of(&limits, 0, 1);
    in.len = 0;
    size_t at_end = (size_t)snprintf(body, sizeof body, "arch=c000003e syscall=257");
    for (unsigned i = 0; i < AS_MAX_UNKNOWN; i++) {
        at_end += (size_t)snprintf(body + at_end, sizeof body - at_end, " x=%u", i);
    }
    snprintf(body + at_end, sizeof body - at_end, " items=0 pid=7");
    pack(&in, 1, 0, 1300, 1, 1, body);
    pack(&in, 1, 0, 1320, 1, 1, "");
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(stats_of(ring).truncated, 1);
    CHECK_EQUAL(stats_of(ring).events, 1);
    as_ring_free(ring);

    CASE("an event whose SYSCALL is missing matches no rule");
    ring = sample_ring();
    in.len = 0;
    pack(&in, 1, 0, 1302, 1, 1, SAMPLE_PATH);
    pack(&in, 1, 0, 1320, 1, 1, "");
    feed(ring);
    CHECK_EQUAL(as_ring_finish(ring), 1);
    CHECK_EQUAL(hits_of(ring), 0);
    CHECK_EQUAL(stats_of(ring).incomplete, 1);
    as_ring_free(ring);

    CASE("serials that never came are counted, by the clock of the headers or by the stamps");
    for (uint64_t clock = 0; clock < 2; clock++) {
        ring = sample_ring();
        in.len = 0;
        pack_event(&in, clock * 1000, 10000, 1);
        pack_event(&in, clock * 1001, 10001, 4);
        pack_event(&in, clock * 4000, 13000, 5);
        pack_event(&in, clock * 8000, 17000, 6);
        feed(ring);
        CHECK_EQUAL(stats_of(ring).serials_missing, 2);
        as_ring_free(ring);
    }

    CASE("nothing fed is nothing taken");
    ring = sample_ring();
    CHECK_EQUAL(as_ring_feed(ring, NULL, 0), 0);
    CHECK_EQUAL(as_ring_feed_text(ring, NULL, 0), 0);
    as_ring_free(ring);
}

static void full_hits(void) {
    CASE("when the hit buffer is full no more is taken, and after draining it continues where it was");
    as_ring *ring = sample_ring();
    in.len = 0;
    for (uint32_t serial = 1; serial <= 480; serial++) {
        pack_event(&in, 1000, 1000 + serial, serial);
    }
    size_t at = 0;
    uint32_t hits = 0;
    uint32_t stops = 0;
    while (at < in.len) {
        const int64_t consumed = as_ring_feed(ring, in.bytes + at, in.len - at);
        at += (size_t)consumed;
        if (at < in.len) {
            stops++;
            CHECK_EQUAL(as_ring_feed(ring, in.bytes + at, in.len - at), 0);
            CHECK_EQUAL(as_ring_feed_text(ring, (const uint8_t *)"x", 1), 0);
            CHECK_EQUAL(as_ring_finish(ring), 0);
        }
        hits += hits_of(ring);
    }
    CHECK_EQUAL(hits, 480);
    CHECK(stops > 0);
    CHECK_EQUAL(stats_of(ring).events, 480);
    as_ring_free(ring);

    CASE("time that passes while the hits are full closes no event; the end of the input waits as well");
    const as_config config = sample_config();
    as_config large = config;
    large.event_slots = 512;
    large.small_texts = 2048;
    ring = ring_of(&large, 1, 1);
    in.len = 0;
    for (uint32_t serial = 1; serial <= 480; serial++) {
        pack(&in, 1000, 0, 1300, 1000 + serial, serial, SAMPLE_SYSCALL);
    }
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(stats_of(ring).open_events, 480);
    const int64_t closed = as_ring_expire(ring, 9000);
    CHECK(closed > 0 && closed < 480);
    CHECK_EQUAL(as_ring_expire(ring, 9000), 0);
    CHECK_EQUAL(as_ring_finish(ring), 0);
    hits = hits_of(ring);
    while (as_ring_finish(ring) == 0) {
        hits += hits_of(ring);
    }
    hits += hits_of(ring);
    CHECK_EQUAL(hits, 480);
    CHECK_EQUAL(stats_of(ring).incomplete, 480);
    CHECK_EQUAL(as_ring_finish(ring), 1);
    as_ring_free(ring);

    CASE("the hits may be full in the middle of one event's windows and rules");
    const as_rule rules[] = {{.kind = AS_RULE_RUNS, .stages = 1, .count = 2, .span_ms = 60000},
                             {.kind = AS_RULE_EVENT, .stages = 1, .count = 1, .span_ms = 1},
                             {.kind = AS_RULE_RUNS, .stages = 1, .count = 64, .span_ms = 60000}};
    const as_filter filters[] = {{.start = AS_NODE_TRUE, .stages = 1, .rule = 0},
                                 {.start = AS_NODE_TRUE, .stages = 1, .rule = 1},
                                 {.start = AS_NODE_TRUE, .stages = 1, .rule = 2}};
    const as_rules table = rules_of_every_call(rules, filters, 3);
    large.window_slack = 1024;
    ring = as_ring_new(&large, &table);
    CHECK(ring != NULL);
    in.len = 0;
    for (uint32_t serial = 1; serial <= 200; serial++) {
        /* Every other stamp late: one event can complete up to 64 windows of one rule. */
        pack_event(&in, 1000, 100000 - (serial % 2 == 0 ? serial * 100 : 0), serial);
    }
    at = 0;
    hits = 0;
    while (at < in.len) {
        at += (size_t)as_ring_feed(ring, in.bytes + at, in.len - at);
        hits += hits_of(ring);
    }
    while (as_ring_finish(ring) == 0) {
        hits += hits_of(ring);
    }
    hits += hits_of(ring);
    const as_stats stats = stats_of(ring);
    CHECK_EQUAL(stats.matches, 600);
    CHECK_EQUAL(stats.sequences, hits);
    CHECK_EQUAL(stats.hits, hits);
    CHECK_EQUAL(hits, 200 + 199 + 137);
    as_ring_free(ring);

    CASE("there has to be room for all hits to drain any");
    ring = sample_ring();
    CHECK_EQUAL(as_ring_drain(ring, drained, HIT_BYTES - 1), AS_ARGUMENT);
    CHECK_EQUAL(as_ring_drain(ring, drained, HIT_BYTES), 0);
    as_ring_free(ring);
}

static void windows(void) {
    const as_config config = sample_config();
    CASE("ten matches of one process within the span are a sequence; nine, or matches without a pid, are "
         "none");
    as_ring *ring = ring_of(&config, 0, 1);
    in.len = 0;
    for (uint32_t serial = 1; serial <= 9; serial++) {
        pack_event(&in, 1000, 1000 + serial, serial);
    }
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(hits_of(ring), 0);
    in.len = 0;
    for (uint32_t serial = 10; serial <= 12; serial++) {
        pack(&in, 1000, 0, 1300, 2000, serial, "arch=c000003e syscall=257 a0=ffffff9c a2=80000 items=1 comm=\"x\"");
        pack(&in, 1000, 0, 1302, 2000, serial, SAMPLE_PATH);
        pack(&in, 1000, 0, 1320, 2000, serial, "");
    }
    pack_event(&in, 1000, 2000, 13);
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(hits_of(ring), 1);
    as_stats stats = stats_of(ring);
    CHECK_EQUAL(stats.matches, 13);
    CHECK_EQUAL(stats.keyless, 3);
    CHECK_EQUAL(stats.live_keys, 1);

    CASE("an event of a call that no rule looks at is closed and matches nothing");
    in.len = 0;
    pack(&in, 1000, 0, 1300, 2000, 14, "arch=c000003e syscall=0 success=yes items=0 pid=92 comm=\"x\"");
    pack(&in, 1000, 0, 1320, 2000, 14, "");
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(stats_of(ring).events, 14);
    CHECK_EQUAL(stats_of(ring).matches, 13);

    CASE("a match older than all that a full window keeps is stale");
    in.len = 0;
    for (uint32_t serial = 20; serial <= 60; serial++) {
        pack_event(&in, 1000, 3000, serial);
    }
    pack_event(&in, 1000, 999, 61);
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(stats_of(ring).stale, 1);
    as_ring_free(ring);

    CASE("windows that complete while their hit waits are merged into it, if the rule has a merge_ms");
    as_rule rule = {.kind = AS_RULE_RUNS, .stages = 1, .count = 2, .span_ms = 5000, .merge_ms = 300};
    const as_rules table = rules_of_every_call(&rule, &by_pid, 1);
    ring = as_ring_new(&config, &table);
    in.len = 0;
    pack_event(&in, 1000, 1000, 1);
    pack_event(&in, 1000, 1100, 2);
    pack_event(&in, 1000, 1400, 3);
    pack_event(&in, 1000, 1701, 4);
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(hits_of(ring), 2);
    stats = stats_of(ring);
    CHECK_EQUAL(stats.sequences, 3);
    CHECK_EQUAL(stats.hits, 2);
    as_ring_free(ring);

    CASE("a window after a match that completed none is a separate hit: its ids include that match");
    rule.span_ms = 300;
    ring = as_ring_new(&config, &table);
    in.len = 0;
    pack_event(&in, 1000, 1000, 1);
    pack_event(&in, 1000, 1100, 2);
    pack_event(&in, 1000, 1401, 3);
    pack_event(&in, 1000, 1402, 4);
    pack_event(&in, 1000, 1403, 5);
    CHECK_EQUAL(feed(ring), in.len);
    CHECK_EQUAL(hits_of(ring), 2);
    CHECK_EQUAL(stats_of(ring).sequences, 3);
    as_ring_free(ring);
}

/* Log text */

static void text(void) {
    static const char log[] = "type=SYSCALL msg=audit(1.000:1): " SAMPLE_SYSCALL "\n"
                              "no record\n"
                              "type=PATH msg=audit(1.000:1): " SAMPLE_PATH "\n"
                              "type=PATH msg=audit(1.000): no stamp\n"
                              "type=PROCTITLE msg=audit(1.000:1): " SAMPLE_PROCTITLE;
    CASE("a log is taken however it is cut; its last line needs no end, and PROCTITLE ends an event");
    for (size_t piece = 1; piece <= sizeof log; piece += piece < 40 ? 1 : 97) {
        as_ring *ring = sample_ring();
        for (size_t at = 0; at < sizeof log - 1; at += piece) {
            const size_t len = sizeof log - 1 - at < piece ? sizeof log - 1 - at : piece;
            CHECK_EQUAL(as_ring_feed_text(ring, guarded(log + at, len), len), len);
        }
        CHECK_EQUAL(stats_of(ring).events, 0);
        CHECK_EQUAL(as_ring_finish(ring), 1);
        CHECK_EQUAL(hits_of(ring), 1);
        const as_stats stats = stats_of(ring);
        CHECK_EQUAL(stats.lines, 5);
        CHECK_EQUAL(stats.malformed, 2);
        CHECK_EQUAL(stats.records, 3);
        CHECK_EQUAL(stats.incomplete, 0);
        CHECK_EQUAL(stats.serials_missing, 0);
        as_ring_free(ring);
    }

    CASE("a line longer than the limit is counted as truncated");
    as_ring *ring = sample_ring();
    uint8_t line[3000];
    memset(line, 'x', sizeof line);
    line[1500] = '\n';
    as_ring_feed_text(ring, line, sizeof line);
    as_ring_finish(ring);
    CHECK_EQUAL(stats_of(ring).truncated, 2);
    CHECK_EQUAL(stats_of(ring).malformed, 2);
    as_ring_free(ring);
}

static void time_passes(void) {
    CASE("time closes what waits for its end, and settles serials");
    as_ring *ring = sample_ring();
    in.len = 0;
    pack(&in, 1000, 0, 1300, 5000, 1, SAMPLE_SYSCALL);
    pack(&in, 1000, 0, 1300, 5000, 3, SAMPLE_SYSCALL);
    feed(ring);
    CHECK_EQUAL(as_ring_expire(ring, 2999), 0);
    CHECK_EQUAL(hits_of(ring), 0);
    CHECK_EQUAL(as_ring_expire(ring, 3000), 2);
    CHECK_EQUAL(hits_of(ring), 2);
    CHECK_EQUAL(as_ring_expire(ring, 5000), 0);
    CHECK_EQUAL(stats_of(ring).serials_missing, 1);

    CASE("and so does the time of the next datagram, or of the end of the input");
    in.len = 0;
    pack(&in, 6000, 0, 1300, 5000, 4, SAMPLE_SYSCALL);
    pack(&in, 7000, 0, 1300, 5000, 6, SAMPLE_SYSCALL);
    feed(ring);
    CHECK_EQUAL(hits_of(ring), 0);
    in.len = 0;
    pack(&in, 8000, 0, 1320, 5000, 6, "");
    feed(ring);
    CHECK_EQUAL(hits_of(ring), 1);
    CHECK_EQUAL(as_ring_finish(ring), 1);
    CHECK_EQUAL(hits_of(ring), 1);
    CHECK_EQUAL(stats_of(ring).serials_missing, 2);
    as_ring_free(ring);

    CASE("in a table that is full every event is decided all the same");
    ring = sample_ring();
    in.len = 0;
    for (uint32_t serial = 1; serial <= 40; serial++) {
        pack(&in, 1000, 0, 1300, 5000, serial, SAMPLE_SYSCALL);
    }
    feed(ring);
    CHECK_EQUAL(hits_of(ring), 24);
    CHECK_EQUAL(stats_of(ring).evicted, 24);
    CHECK_EQUAL(stats_of(ring).open_events, 16);
    as_ring_free(ring);
}

/* Sockets */

static void send_event(int fd, uint32_t serial) {
    in.len = 0;
    pack_event(&in, 0, 1000 + serial, serial);
    as_span rest = as_span_of(in.bytes, in.len);
    as_packed entry;
    for (uint32_t size = as_packed_read(rest, &entry); size > 0; size = as_packed_read(rest, &entry)) {
        CHECK(send(fd, entry.bytes.at, entry.bytes.len, 0) == (ssize_t)entry.bytes.len);
        rest = as_span_skip(rest, size);
    }
}

static void receiving(void) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);

    CASE("without a sender's port a datagram is foreign, as is one of any other family");
    as_ring *ring = sample_ring();
    send_event(pair[1], 1);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 5);
    CHECK_EQUAL(stats_of(ring).foreign, 5);
    as_ring_free(ring);

    CASE("a name of another family is no port, although 0 lies where a port would");
    ring = sample_ring();
    const int named = socket(AF_UNIX, SOCK_DGRAM, 0);
    const int to = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    snprintf(here.sun_path + 1, sizeof here.sun_path - 1, "auditsense-test-%d", (int)getpid());
    memcpy(name.sun_path, "\0A\0\0\0\0", 6);
    const socklen_t here_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(here.sun_path + 1));
    const socklen_t name_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 6);
    if (bind(named, (struct sockaddr *)&name, name_len) != 0 || bind(to, (struct sockaddr *)&here, here_len) != 0) {
        check_skip("an abstract name is taken");
    } else {
        CHECK(connect(named, (struct sockaddr *)&here, here_len) == 0);
        send_event(named, 1);
        CHECK_EQUAL(as_ring_receive(ring, to, 1, 100, 0), 5);
        CHECK_EQUAL(stats_of(ring).foreign, 5);
        CHECK_EQUAL(stats_of(ring).records, 0);
    }
    close(named);
    close(to);
    as_ring_free(ring);

    CASE("the socket is read until it is empty, in as many calls as it takes");
    wrapped.as_kernel = true;
    ring = sample_ring();
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 0);
    send_event(pair[1], 1);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 0, 0), 0);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 1, 0), 4);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 1);
    CHECK_EQUAL(hits_of(ring), 1);
    send_event(pair[1], 2);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 5);
    CHECK_EQUAL(hits_of(ring), 1);
    CHECK_EQUAL(stats_of(ring).datagrams, 10);
    CHECK_EQUAL(stats_of(ring).records, 10);

    CASE("an interrupted call is made again; a failed one is an error, at the next call when something came before");
    wrapped.failures = 3;
    wrapped.failure = EINTR;
    send_event(pair[1], 3);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 5);
    wrapped.failures = 1;
    wrapped.failure = EIO;
    errno = 0;
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), AS_SYSTEM);
    CHECK_EQUAL(errno, EIO);
    send_event(pair[1], 4);
    wrapped.successes = 1;
    wrapped.failures = 1;
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 4);
    errno = 0;
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), AS_SYSTEM);
    CHECK_EQUAL(errno, EIO);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 1);
    wrapped.failures = 1;
    wrapped.failure = EAGAIN;
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 0);
    CHECK_EQUAL(as_ring_receive(ring, -1, 1, 100, 0), AS_SYSTEM);
    CHECK_EQUAL(errno, EBADF);
    hits_of(ring);

    CASE("a datagram that did not fit is cut and counted, received or fetched");
    uint8_t datagram[2000];
    size_t len = make_datagram(datagram, 1300, 1000, 9, "arch=c000003e syscall=257 items=0 comm=");
    memset(datagram + len, 'x', sizeof datagram - len);
    CHECK(send(pair[1], datagram, sizeof datagram, 0) == sizeof datagram);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 1);
    CHECK_EQUAL(stats_of(ring).truncated, 1);
    as_ring_free(ring);

    CASE("when the hits are full the rest waits in the ring, and is taken first when there is room");
    as_config config = sample_config();
    config.datagram_slots = 64;
    ring = ring_of(&config, 1, 1);
    uint32_t sent = 0;
    int64_t received = 0;
    uint32_t hits = 0;
    bool stopped = false;
    while (sent < 400) {
        send_event(pair[1], ++sent);
        const int64_t got = as_ring_receive(ring, pair[0], 1, 100, 0);
        CHECK(got >= 0);
        received += got;
        if (got < 5) {
            stopped = true;
            CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 0);
            CHECK_EQUAL(as_ring_fetch(ring, pair[0]), AS_UNREAD);
            hits += hits_of(ring);
            received += as_ring_receive(ring, pair[0], 1, 100, 0);
        }
    }
    hits += hits_of(ring);
    CHECK(stopped);
    CHECK_EQUAL(received, 2000);
    CHECK_EQUAL(hits, 400);
    CHECK_EQUAL(stats_of(ring).datagrams, 2000);
    as_ring_free(ring);
    close(pair[0]);
    close(pair[1]);
    wrapped.as_kernel = false;
}

static void fetching(void) {
    int pair[2];
    uint8_t out[4 * (1024 + 16)];
    as_packed entry;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    wrapped.as_kernel = true;
    as_ring *ring = sample_ring();

    CASE("fetched datagrams are packed as they came, undecided, and counted once");
    CHECK_EQUAL(as_ring_fetch(ring, pair[0]), 0);
    CHECK_EQUAL(as_ring_pack(ring, out, sizeof out, 1), 0);
    CHECK(send(pair[1], "hello", 5, 0) == 5 && send(pair[1], "", 0, 0) == 0);
    CHECK_EQUAL(as_ring_fetch(ring, pair[0]), 2);
    CHECK_EQUAL(as_ring_pack(ring, out, sizeof out, 77), 2 * AS_PACKED_HEADER + 5);
    CHECK_EQUAL(as_packed_read(as_span_of(out, sizeof out), &entry), AS_PACKED_HEADER + 5);
    CHECK_TEXT(entry.bytes, "hello");
    CHECK_EQUAL(entry.ms, 77);
    CHECK_EQUAL(entry.sender, 0);
    CHECK_EQUAL(stats_of(ring).datagrams, 2);
    CHECK_EQUAL(stats_of(ring).records, 0);

    CASE("with too little room nothing is packed, and nothing is lost");
    CHECK(send(pair[1], "again", 5, 0) == 5);
    CHECK_EQUAL(as_ring_fetch(ring, pair[0]), 1);
    CHECK_EQUAL(as_ring_pack(ring, out, sizeof out - 1, 1), AS_ARGUMENT);
    CHECK_EQUAL(as_ring_fetch(ring, pair[0]), AS_UNREAD);
    CHECK_EQUAL(as_ring_pack(ring, out, sizeof out, 1), AS_PACKED_HEADER + 5);

    CASE("a sender that is not the kernel is written down");
    wrapped.as_kernel = false;
    CHECK(send(pair[1], "hello", 5, 0) == 5);
    CHECK_EQUAL(as_ring_fetch(ring, pair[0]), 1);
    CHECK_EQUAL(as_ring_pack(ring, out, sizeof out, 1), AS_PACKED_HEADER + 5);
    as_packed_read(as_span_of(out, sizeof out), &entry);
    CHECK_EQUAL(entry.sender, UINT32_MAX);

    CASE("a datagram cut while fetching is counted");
    uint8_t large[1025] = {0};
    CHECK(send(pair[1], large, sizeof large, 0) == sizeof large);
    CHECK_EQUAL(as_ring_fetch(ring, pair[0]), 1);
    CHECK_EQUAL(as_ring_pack(ring, out, sizeof out, 1), AS_PACKED_HEADER + 1024);
    CHECK_EQUAL(stats_of(ring).truncated, 1);

    CASE("a failed fetch is an error");
    CHECK_EQUAL(as_ring_fetch(ring, -1), AS_SYSTEM);
    as_ring_free(ring);

    CASE("what was fetched can be received instead: it is counted once, and the socket is read to its end");
    ring = sample_ring();
    wrapped.as_kernel = true;
    send_event(pair[1], 1);
    send_event(pair[1], 2);
    CHECK_EQUAL(as_ring_fetch(ring, pair[0]), 4);
    CHECK_EQUAL(as_ring_receive(ring, pair[0], 1, 100, 0), 10);
    CHECK_EQUAL(stats_of(ring).datagrams, 10);
    CHECK_EQUAL(hits_of(ring), 2);
    as_ring_free(ring);
    wrapped.as_kernel = false;
    close(pair[0]);
    close(pair[1]);
}

static void netlink(void) {
    CASE("another process's netlink datagram is foreign");
    as_ring *ring = sample_ring();
    const int mine = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    const int theirs = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
    struct sockaddr_nl at = {.nl_family = AF_NETLINK};
    socklen_t len = sizeof at;
    uint8_t datagram[1024];
    const size_t size = make_datagram(datagram, 1300, 1000, 1, SAMPLE_SYSCALL);
    if (mine < 0 || theirs < 0 || bind(mine, (struct sockaddr *)&at, sizeof at) != 0 ||
        getsockname(mine, (struct sockaddr *)&at, &len) != 0 ||
        sendto(theirs, datagram, size, 0, (struct sockaddr *)&at, len) != (ssize_t)size) {
        check_skip("no user netlink here");
    } else {
        CHECK_EQUAL(as_ring_receive(ring, mine, 1, 100, 0), 1);
        CHECK_EQUAL(stats_of(ring).foreign, 1);
        CHECK_EQUAL(stats_of(ring).records, 0);
    }
    close(mine);
    close(theirs);
    as_ring_free(ring);

    CASE("the kernel's own answer is not foreign, and a control datagram by its type");
    ring = sample_ring();
    const int route = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct {
        struct nlmsghdr header;
        struct rtgenmsg family;
    } ask = {.header = {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ && getenv("AUDITSENSE_EMULATED") != NULL) {
        check_skip("qemu-user leaves some headers of the host's kernel in its byte order");
    } else if (route < 0 || send(route, &ask, sizeof ask, 0) != sizeof ask) {
        check_skip("no route netlink here");
    } else {
        int64_t got = 0;
        for (int tries = 0; tries < 100 && got == 0; tries++) {
            got = as_ring_receive(ring, route, 1, 100, 0);
            usleep(1000);
        }
        CHECK(got > 0);
        CHECK_EQUAL(stats_of(ring).control, got);
        CHECK_EQUAL(stats_of(ring).foreign, 0);
    }
    close(route);
    as_ring_free(ring);
}

/* A second thread */

static void *receive_in_thread(void *ring) {
    const int64_t got = as_ring_receive(ring, -1, 1, 1, 0);
    return got == AS_SYSTEM ? ring : NULL;
}

static void second_thread(void) {
    as_ring *ring = sample_ring();
    as_stats stats;
    uint8_t out[4 * (1024 + 16)];
    pthread_t thread;
    void *result = NULL;
    CASE("while a thread is inside, every call of another is refused at once, and does nothing");
    sem_init(&wrapped.inside, 0, 0);
    sem_init(&wrapped.resume, 0, 0);
    wrapped.blocks = true;
    CHECK(pthread_create(&thread, NULL, receive_in_thread, ring) == 0);
    sem_wait(&wrapped.inside);
    CHECK_EQUAL(as_ring_receive(ring, -1, 1, 1, 0), AS_BUSY);
    CHECK_EQUAL(as_ring_fetch(ring, -1), AS_BUSY);
    CHECK_EQUAL(as_ring_pack(ring, out, sizeof out, 1), AS_BUSY);
    CHECK_EQUAL(as_ring_feed(ring, out, 0), AS_BUSY);
    CHECK_EQUAL(as_ring_feed_text(ring, out, 0), AS_BUSY);
    CHECK_EQUAL(as_ring_expire(ring, 1), AS_BUSY);
    CHECK_EQUAL(as_ring_finish(ring), AS_BUSY);
    CHECK_EQUAL(as_ring_drain(ring, drained, sizeof drained), AS_BUSY);
    CHECK_EQUAL(as_ring_stats(ring, &stats), AS_BUSY);
    CHECK_EQUAL(as_ring_exception_counts(ring, NULL, 0), AS_BUSY);
    CHECK_EQUAL(as_ring_unknown_arches(ring, NULL, 0), AS_BUSY);
    wrapped.blocks = false;
    sem_post(&wrapped.resume);
    pthread_join(thread, &result);
    CHECK(result == ring);

    CASE("and once it is out, they are taken again");
    CHECK_EQUAL(as_ring_stats(ring, &stats), AS_OK);
    sem_destroy(&wrapped.inside);
    sem_destroy(&wrapped.resume);
    as_ring_free(ring);
}

/* Exceptions */

static const uint8_t excepted_text[] = "init/initps";

/* Two rules that match every event: the second excepts comm init until 5,000 ms, events without exe, and the exe
 * /init; the first has no exceptions. */
static as_ring *excepting_ring(void) {
    static const as_operand operands[] = {{.at = 0, .len = 4}, {.at = 4, .len = 5}};
    static const as_predicate predicates[] = {
        {.field = AS_FIELD_COMM, .op = AS_OP_TEXT, .operands = 1},
        {.field = AS_FIELD_EXE, .op = AS_OP_PRESENT},
        {.field = AS_FIELD_EXE, .op = AS_OP_TEXT, .first_operand = 1, .operands = 1}};
    static const as_node nodes[] = {
        {0, AS_NODE_TRUE, AS_NODE_FALSE}, {1, AS_NODE_FALSE, AS_NODE_TRUE}, {2, AS_NODE_TRUE, AS_NODE_FALSE}};
    static const as_exception exceptions[] = {
        {.until_ms = 5000, .start = 0}, {.until_ms = UINT64_MAX, .start = 1}, {.until_ms = UINT64_MAX, .start = 2}};
    static const as_rule rules[] = {{.stages = 1, .count = 1, .span_ms = 1},
                                    {.stages = 1, .count = 1, .span_ms = 1, .exceptions = 3}};
    static const as_filter filters[] = {{.start = AS_NODE_TRUE, .stages = 1, .rule = 0},
                                        {.start = AS_NODE_TRUE, .stages = 1, .rule = 1}};
    as_rules table = rules_of_every_call(rules, filters, 2);
    table.predicates = predicates;
    table.nodes = nodes;
    table.operands = operands;
    table.exceptions = exceptions;
    table.text = excepted_text;
    table.predicate_count = 3;
    table.node_count = 3;
    table.operand_count = 2;
    table.exception_count = 3;
    table.text_len = sizeof excepted_text - 1;
    const as_config config = sample_config();
    as_ring *ring = as_ring_new(&config, &table);
    CHECK(ring != NULL);
    return ring;
}

static void with_exceptions(void) {
    static const char log[] =
        "type=SYSCALL msg=audit(4.999:1): arch=c000003e syscall=257 pid=1 comm=\"init\" exe=\"/init\"\n"
        "type=SYSCALL msg=audit(5.000:2): arch=c000003e syscall=257 pid=1 comm=\"init\" exe=\"/init\"\n"
        "type=SYSCALL msg=audit(5.001:3): arch=c000003e syscall=257 pid=1 comm=\"init\" exe=(null)\n"
        "type=SYSCALL msg=audit(4.000:4): arch=c000003e syscall=257 pid=1 comm=\"init\"\n"
        "type=SYSCALL msg=audit(4.000:5): arch=c000003e syscall=257 pid=1 comm=\"ps\" exe=\"/ps\"\n";
    as_ring *ring = excepting_ring();
    uint64_t taken[4] = {9, 9, 9, 9};

    CASE("an exception takes an event from its own rule only, the first that fits, and until its time");
    CHECK_EQUAL(as_ring_feed_text(ring, (const uint8_t *)log, sizeof log - 1), sizeof log - 1);
    CHECK_EQUAL(as_ring_finish(ring), 1);
    CHECK_EQUAL(stats_of(ring).matches, 5 + 1);
    CHECK_EQUAL(stats_of(ring).excepted, 4);
    CHECK_EQUAL(as_ring_exception_counts(ring, taken, 4), 3);
    CHECK_EQUAL(taken[0], 2);
    CHECK_EQUAL(taken[1], 1);
    CHECK_EQUAL(taken[2], 1);
    CHECK_EQUAL(taken[3], 9);

    CASE("their counters are copied only where there is room for all");
    CHECK_EQUAL(as_ring_exception_counts(ring, taken, 2), AS_ARGUMENT);
    as_ring_free(ring);

    CASE("a ring without exceptions has no counters");
    ring = sample_ring();
    CHECK_EQUAL(as_ring_exception_counts(ring, NULL, 0), 0);
    as_ring_free(ring);
}

/* Migration to another table */

static void migrating(void) {
    const as_config config = sample_config();
    const uint32_t stays[1] = {1};
    const uint32_t gone[1] = {UINT32_MAX};
    int pair[2];

    CASE("fetched datagrams that were not taken, and an incomplete event, continue in the next ring");
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    wrapped.as_kernel = true;
    as_ring *before = sample_ring();
    send_event(pair[1], 1);
    CHECK_EQUAL(as_ring_fetch(before, pair[0]), config.datagram_slots < 5 ? config.datagram_slots : 5);
    as_ring *ring = ring_of(&config, 0, 2);
    CHECK_EQUAL(as_ring_migrate(ring, before, stays), 1);
    as_ring_free(before);
    CHECK(as_ring_receive(ring, pair[0], 1, 100, 0) > 0);
    wrapped.as_kernel = false;
    CHECK_EQUAL(hits_of(ring), 1);
    as_hit hit;
    memcpy(&hit, drained, sizeof hit);
    CHECK_EQUAL(hit.rule, 1);
    CHECK_EQUAL(stats_of(ring).datagrams, 5);
    close(pair[0]);
    close(pair[1]);

    CASE("hits must be drained before, and a rule that is gone decides nothing more");
    as_ring *next = ring_of(&config, 0, 1);
    in.len = 0;
    pack_event(&in, 2000, 2000, 2);
    pack(&in, 2000, 0, 1300, 2001, 3, SAMPLE_SYSCALL);
    CHECK_EQUAL(feed(ring), in.len);
    const uint32_t both[2] = {0, UINT32_MAX};
    CHECK_EQUAL(as_ring_migrate(next, ring, both), 0);
    CHECK_EQUAL(hits_of(ring), 1);
    CHECK_EQUAL(as_ring_migrate(next, ring, both), 1);
    CHECK_EQUAL(as_ring_finish(next), 1);
    CHECK_EQUAL(hits_of(next), 0);
    CHECK_EQUAL(stats_of(next).events, 3);

    CASE("not from itself, not into one that was used, and not where seed or places do not fit");
    CHECK_EQUAL(as_ring_migrate(next, next, both), AS_ARGUMENT);
    CHECK_EQUAL(as_ring_migrate(next, ring, both), AS_ARGUMENT);
    as_config other = config;
    other.seed++;
    as_ring *fresh = ring_of(&other, 0, 2);
    CHECK_EQUAL(as_ring_migrate(fresh, ring, both), AS_ARGUMENT);
    as_ring_free(fresh);
    fresh = ring_of(&config, 1, 1);
    const uint32_t outside[2] = {UINT32_MAX, 1};
    CHECK_EQUAL(as_ring_migrate(fresh, ring, outside), AS_ARGUMENT);
    CHECK_EQUAL(as_ring_migrate(fresh, next, gone), 1);
    as_ring_free(fresh);
    as_ring_free(next);
    as_ring_free(ring);
}

/* Opens of forty processes through sixteen windows, with serials missing, late matches and steps of the clock. Returns
 * a sum of the hits' bytes. */
static uint64_t flood(as_ring *ring, uint32_t from, uint32_t to) {
    uint64_t sum = 0;
    for (uint32_t i = from; i < to; i++) {
        const uint32_t random = i * UINT32_C(2654435761);
        const uint64_t ms = 1000000 + 40 * i - (random >> 8) % 60 * 100 - (i % 500 > 400 ? 900000 : 0);
        char call[128];
        snprintf(call, sizeof call, "arch=c000003e syscall=257 items=0 pid=%u exe=\"/%u\"",
                 (random >> 16) % (i % 2 == 0 ? 6 : 40), (random >> 24) % 3);
        in.len = 0;
        pack(&in, 1000 + 10 * i, 0, 1300, ms, i + i / 7, call);
        pack(&in, 1000 + 10 * i, 0, 1320, ms, i + i / 7, "");
        CHECK_EQUAL(feed(ring), in.len);
        const int64_t bytes = as_ring_drain(ring, drained, sizeof drained);
        for (int64_t at = 0; at < bytes; at++) {
            sum = (sum ^ drained[at]) * UINT64_C(0x100000001b3);
        }
    }
    return sum;
}

static void migration_changes_nothing(void) {
    const as_rule rule = {.kind = AS_RULE_RUNS, .stages = 1, .count = 3, .span_ms = 5000};
    as_rules table = rules_of_every_call(&rule, &by_pid, 1);
    table.actor_fields = UINT64_C(1) << AS_FIELD_EXE;
    const uint32_t same[1] = {0};
    as_config config = sample_config();
    config.window_slack = 3;
    CASE("wherever a ring is migrated, also in a flood, it continues as if it had stayed");
    static const uint32_t cuts[] = {50, 147, 341, 402, 403, 404, 405, 438, 902, 903, 904, 905, 1200};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        const uint32_t cut = cuts[i];
        as_ring *stays = as_ring_new(&config, &table);
        as_ring *first = as_ring_new(&config, &table);
        as_ring *second = as_ring_new(&config, &table);
        CHECK(flood(stays, 1, cut) == flood(first, 1, cut));
        CHECK_EQUAL(as_ring_migrate(second, first, same), 1);
        as_ring_free(first);
        CHECK(flood(stays, cut, 2000) == flood(second, cut, 2000));
        const as_stats a = stats_of(stays);
        const as_stats b = stats_of(second);
        CHECK(a.keys_evicted > 100);
        CHECK(a.serials_missing > 0);
        CHECK(a.stamp_steps > 0);
        CHECK(a.sequences > 100);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
        as_ring_free(stays);
        as_ring_free(second);
    }

    CASE("a deferred error and a cut line are reported by the next ring");
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    as_ring *before = sample_ring();
    as_ring *after = sample_ring();
    const uint32_t stayed[1] = {0};
    wrapped.as_kernel = true;
    send_event(pair[1], 1);
    wrapped.successes = 1;
    wrapped.failures = 1;
    wrapped.failure = EIO;
    CHECK(as_ring_receive(before, pair[0], 1, 100, 0) > 0);
    wrapped.as_kernel = false;
    static uint8_t line[3000];
    memset(line, 'x', sizeof line);
    CHECK_EQUAL(as_ring_feed_text(before, line, sizeof line), sizeof line);
    hits_of(before);
    CHECK_EQUAL(stats_of(before).truncated, 0);
    CHECK_EQUAL(as_ring_migrate(after, before, stayed), 1);
    errno = 0;
    CHECK_EQUAL(as_ring_receive(after, pair[0], 1, 100, 0), AS_SYSTEM);
    CHECK_EQUAL(errno, EIO);
    CHECK_EQUAL(as_ring_feed_text(after, (const uint8_t *)"\n", 1), 1);
    CHECK_EQUAL(stats_of(after).truncated, 1);
    as_ring_free(before);
    as_ring_free(after);
    close(pair[0]);
    close(pair[1]);
}

/* Of the matches of each window, how many are of another actor than the last. */
static void actors(void) {
    const as_rule rule = {.kind = AS_RULE_RUNS, .stages = 1, .count = 2, .span_ms = 5000};
    as_rules table = rules_of_every_call(&rule, &by_pid, 1);
    table.actor_fields = AS_BIT(AS_FIELD_UID) | AS_BIT(AS_FIELD_EXE);
    static const struct {
        const char *body;
        uint32_t others;
    } opens[] = {{"pid=7 uid=0 exe=\"/a\"", 0}, {"pid=7 uid=0 exe=\"/a\"", 0}, {"pid=7 uid=0 exe=\"/b\"", 1},
                 {"pid=7 uid=0 exe=\"/b\"", 0}, {"pid=7 uid=1 exe=\"/b\"", 1}, {"pid=7 uid=1 exe=\"/b\"", 0},
                 {"pid=7 exe=\"/b\"", 1},       {"pid=7 exe=\"/b\"", 0},       {"pid=7 uid=0 exe=\"/a\"", 1}};
    const as_config config = sample_config();
    CASE("each window tells how many of its matches are of other actors, whatever actors came before");
    as_ring *ring = as_ring_new(&config, &table);
    for (uint32_t i = 0; i < sizeof opens / sizeof *opens; i++) {
        char body[128];
        (void)snprintf(body, sizeof body, "arch=c000003e syscall=257 %s", opens[i].body);
        in.len = 0;
        pack(&in, 1000, 0, 1300, 2000 + i, i + 1, body);
        pack(&in, 1000, 0, 1320, 2000 + i, i + 1, "");
        CHECK_EQUAL(feed(ring), in.len);
        CHECK_EQUAL(hits_of(ring), i > 0 ? 1 : 0);
        as_hit hit;
        memcpy(&hit, drained, sizeof hit);
        CHECK_EQUAL(i > 0 ? hit.others : 0, opens[i].others);
    }
    as_ring_free(ring);
}

static void other_outputs(void) {
    const as_config config = sample_config();
    as_ring *ring = ring_of(&config, 1, 1);
    uint8_t line[240];
    const uint8_t *hits = NULL;
    CASE("the first line that was not a record is returned once, cut to the buffer");
    CHECK_EQUAL(as_ring_feed_text(ring, GUARDED("\nno record\nnone either\n").at, 23), 23);
    CHECK_EQUAL(as_ring_unread_line(ring, line, 4), 4);
    CHECK(memcmp(line, "no r", 4) == 0);
    CHECK_EQUAL(as_ring_unread_line(ring, line, sizeof line), 0);

    CASE("borrowed hits are those of the ring, and removed from it");
    CHECK_EQUAL(as_ring_borrow(ring, &hits), 0);
    const char event[] = "type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=257 pid=4\n"
                         "type=EOE msg=audit(1.000:1): \n";
    as_ring_feed_text(ring, (const uint8_t *)event, sizeof event - 1);
    const int64_t len = as_ring_borrow(ring, &hits);
    CHECK(len > 0 && as_hit_next(hits, (size_t)len, NULL) == hits);
    CHECK_EQUAL(as_ring_borrow(ring, &hits), 0);
    as_ring_free(ring);
}

int main(void) {
    other_outputs();
    actors();
    migration_changes_nothing();
    migrating();
    with_exceptions();
    bounds();
    memory();
    feeding();
    full_hits();
    windows();
    text();
    time_passes();
    receiving();
    fetching();
    netlink();
    second_thread();
    return check_done();
}
