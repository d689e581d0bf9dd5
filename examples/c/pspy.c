/* An agent that finds pspy without Python: records in, one line a hit out, and at the end what was lost.
 *
 *     cc -O2 -o pspy pspy.c $(pkg-config --cflags --libs auditsense)
 *
 *     ./pspy FILE      log text, or a capture of `auditsense record`; - is standard input
 *     ./pspy fd:3      an audit socket that whoever started this has opened; until SIGTERM. With systemd, that is a
 *                      socket unit with ListenNetlink=audit 1, and this needs no privilege.
 *
 * What it looks for is in detections.h: `auditsense detections compile > detections.h`. */
#define _POSIX_C_SOURCE 200809L

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <auditsense.h>

#include "detections.h"

static const char magic[] = "auditsense capture 1\n";
static volatile sig_atomic_t stopped;

typedef struct {
    as_ring *ring;
    uint8_t *hits; /* hit_bytes of the configuration */
    size_t hit_bytes;
} agent;

static void stop(int number) {
    (void)number;
    stopped = 1;
}

static int die(const char *what) {
    fprintf(stderr, "pspy: %s: %s\n", what, strerror(errno));
    return 1;
}

/* A field as others wrote it: nothing of it may reach a terminal as a command. Bytes from at on, in `hit`. */
static void put(const uint8_t *hit, as_hit_field field) {
    for (uint32_t i = 0; i < field.len; i++) {
        const uint8_t byte = hit[field.at + i];
        if (isprint(byte) && byte != '\\') {
            putchar(byte);
        } else {
            printf("\\x%02x", byte);
        }
    }
}

static void print_hit(const uint8_t *at) {
    /* Copied rather than pointed at: the bytes are as they are, whatever the alignment of the buffer. */
    as_hit hit;
    as_hit_field fields[AS_FIELDS];
    memcpy(&hit, at, sizeof hit);
    const uint8_t *ids = at + sizeof hit;
    memcpy(fields, ids + hit.ids * sizeof(as_event_id), sizeof fields);

    printf("%s: ", as_detection_ids[hit.rule]);
    put(at, fields[AS_FIELD_COMM]);
    printf("[");
    put(at, fields[AS_FIELD_PID]);
    printf("] ");
    put(at, fields[AS_FIELD_EXE]);
    printf(" user ");
    put(at, fields[AS_FIELD_UID]);
    printf(", %" PRIu64 " more, ", hit.more);
    if (hit.others > 0) { /* of other programs, users or sessions under this pid */
        printf("%" PRIu32 " by others, ", hit.others);
    }
    printf("events");
    for (uint32_t i = 0; i < hit.ids; i++) {
        as_event_id id;
        memcpy(&id, ids + i * sizeof id, sizeof id);
        printf(" %" PRIu64 ".%03" PRIu64 ":%" PRIu32, id.ms / 1000, id.ms % 1000, id.serial);
    }
    printf("\n");
}

/* Print what waits. Returns how many, or an as_status. */
static int64_t drain(agent *self) {
    int64_t count = 0;
    const int64_t size = as_ring_drain(self->ring, self->hits, self->hit_bytes);
    if (size < 0) {
        return size;
    }
    for (const uint8_t *at = self->hits; at < self->hits + size; count++) {
        uint32_t step;
        memcpy(&step, at, sizeof step); /* as_hit.size */
        print_hit(at);
        at += step;
    }
    fflush(stdout);
    return count;
}

/* Feed a stream that is read in pieces: what is not consumed waits in front of the next piece. */
static int from_stream(agent *self, FILE *file) {
    static uint8_t buffer[1 << 18];
    size_t kept = fread(buffer, 1, sizeof magic - 1, file);
    const bool packed = kept == sizeof magic - 1 && memcmp(buffer, magic, kept) == 0;
    if (packed) {
        kept = 0;
        for (int c = getc(file); c != '\n' && c != EOF; c = getc(file)) {
            /* line 2 of a capture says where it was taken */
        }
    }
    for (;;) {
        const size_t got = fread(buffer + kept, 1, sizeof buffer - kept, file);
        kept += got;
        const int64_t used =
            packed ? as_ring_feed(self->ring, buffer, kept) : as_ring_feed_text(self->ring, buffer, kept);
        if (used < 0) {
            return die("feed");
        }
        kept -= (size_t)used;
        memmove(buffer, buffer + used, kept);
        /* Nothing read, nothing taken and nothing found: the end, or what is left is no whole datagram. */
        if (drain(self) <= 0 && got == 0 && used == 0) {
            break;
        }
    }
    if (ferror(file)) {
        return die("read");
    }
    return 0;
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int from_socket(agent *self, int fd) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    while (!stopped) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        if (poll(&waiting, 1, 100) < 0 && errno != EINTR) {
            return die("poll");
        }
        /* Fewer than wait when the hits are full: draining makes room, and poll returns at once. */
        if (as_ring_receive(self->ring, fd, now_ms(), 64, 0) < 0 && errno != ENOBUFS) {
            return die("receive"); /* ENOBUFS: this socket was full, which as_stats.serials_missing will say */
        }
        as_ring_expire(self->ring, now_ms()); /* events whose end was lost are not waited for for ever */
        drain(self);
        if ((waiting.revents & (POLLHUP | POLLNVAL)) != 0) {
            break;
        }
    }
    return 0;
}

static void print_stats(as_ring *ring) {
    as_stats stats;
    as_ring_stats(ring, &stats);
    fprintf(stderr, "records %" PRIu64 " events %" PRIu64 " matches %" PRIu64 " sequences %" PRIu64 "\n",
            stats.records, stats.events, stats.matches, stats.sequences);
    fprintf(stderr,
            "lost: serials_missing %" PRIu64 " incomplete %" PRIu64 " evicted %" PRIu64 " keys_evicted %" PRIu64
            " truncated %" PRIu64 " late %" PRIu64 " malformed %" PRIu64 " foreign %" PRIu64 "\n",
            stats.serials_missing, stats.incomplete, stats.evicted, stats.keys_evicted, stats.truncated,
            stats.late, stats.malformed, stats.foreign);
}

static int run(agent *self, const char *from) {
    if (strncmp(from, "fd:", 3) == 0) {
        return from_socket(self, atoi(from + 3));
    }
    FILE *file = strcmp(from, "-") == 0 ? stdin : fopen(from, "rb");
    if (file == NULL) {
        return die(from);
    }
    const int code = from_stream(self, file);
    fclose(file);
    return code;
}

int main(int argc, char **argv) {
    as_config config = {
        .datagram_slots = 256,
        .datagram_bytes = 16384,
        .event_slots = 4096,
        .small_texts = 8192,
        .large_texts = 64,
        .event_timeout_ms = 2000,
        .key_slots = 16384,
        .window_slack = 22,
        .hit_bytes = 1 << 20,
    };
    const as_rules rules = as_detections();
    if (argc != 2) {
        fprintf(stderr, "usage: pspy FILE | - | fd:N\n");
        return 2;
    }
    if (strcmp(as_version(), AUDITSENSE_HEADER_VERSION) != 0) {
        fprintf(stderr, "pspy: built with auditsense %s, runs with %s\n", AUDITSENSE_HEADER_VERSION, as_version());
    }
    FILE *random = fopen("/dev/urandom", "rb"); /* with a known seed, collisions can be made on purpose */
    if (random == NULL || fread(&config.seed, sizeof config.seed, 1, random) != 1) {
        return die("/dev/urandom");
    }
    fclose(random);

    agent self = {as_ring_new(&config, &rules), malloc(config.hit_bytes), config.hit_bytes};
    if (self.ring == NULL || self.hits == NULL) {
        return die("cannot have the memory");
    }
    int code = run(&self, argv[1]);
    while (code == 0 && as_ring_finish(self.ring) == 0) {
        drain(&self);
    }
    drain(&self);
    print_stats(self.ring);
    as_ring_free(self.ring);
    free(self.hits);
    if (ferror(stdout) || fflush(stdout) != 0) {
        code = die("standard output");
    }
    return code;
}
