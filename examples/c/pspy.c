/* An agent that finds pspy without Python: records in, one line per hit out, and the losses at the end.
 *
 *     cc -O2 -o pspy pspy.c $(pkg-config --cflags --libs auditsense)
 *
 *     ./pspy FILE      log text, or a capture of `auditsense record`; - is standard input
 *     ./pspy fd:3      an inherited audit socket; until SIGTERM. With systemd that is a socket unit with
 *                      ListenNetlink=audit 1, and the agent needs no privilege.
 *
 * The detections are in detections.h: `auditsense detections compile > detections.h`. */
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

/* Print a field. Another process chose its bytes, so none of them may reach a terminal as a command. */
static void print_field(const uint8_t *hit, as_field field) {
    const uint8_t *text;
    const int64_t len = as_hit_text(hit, field, &text); /* AS_ABSENT prints nothing */
    for (int64_t i = 0; i < len; i++) {
        if (isprint(text[i]) && text[i] != '\\') {
            putchar(text[i]);
        } else {
            printf("\\x%02x", text[i]);
        }
    }
}

static void print_hit(const uint8_t *hit) {
    printf("%s: ", as_detection_ids[as_hit_rule(hit)]);
    print_field(hit, AS_FIELD_COMM);
    printf("[");
    print_field(hit, AS_FIELD_PID);
    printf("] ");
    print_field(hit, AS_FIELD_EXE);
    printf(" user ");
    print_field(hit, AS_FIELD_UID);
    printf(", %" PRIu64 " more, ", as_hit_more(hit));
    if (as_hit_others(hit) > 0) { /* of other programs, users or sessions under this pid */
        printf("%" PRIu32 " by others, ", as_hit_others(hit));
    }
    printf("events");
    for (uint32_t i = 0; i < as_hit_count(hit); i++) {
        as_event_id id;
        as_hit_event(hit, i, &id);
        printf(" %" PRIu64 ".%03" PRIu64 ":%" PRIu32, id.ms / 1000, id.ms % 1000, id.serial);
    }
    printf("\n");
}

/* Print all hits. Returns how many, or an as_status. */
static int64_t drain(agent *self) {
    int64_t count = 0;
    const int64_t size = as_ring_drain(self->ring, self->hits, self->hit_bytes);
    if (size < 0) {
        return size;
    }
    const uint8_t *hit = NULL;
    while ((hit = as_hit_next(self->hits, (size_t)size, hit)) != NULL) {
        print_hit(hit);
        count++;
    }
    fflush(stdout);
    return count;
}

/* Feed a stream piece by piece: bytes that were not consumed come before the next piece. */
static int from_stream(agent *self, FILE *file) {
    static uint8_t buffer[1 << 18];
    size_t kept = fread(buffer, 1, sizeof magic - 1, file);
    const bool packed = kept == sizeof magic - 1 && memcmp(buffer, magic, kept) == 0;
    if (packed) {
        kept = 0;
        for (int c = getc(file); c != '\n' && c != EOF; c = getc(file)) {
            /* line 2 of a capture names its host */
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
        /* Nothing read, consumed or found: the end, or the rest is not a whole datagram. */
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
        /* A full hit buffer leaves datagrams on the socket: drain empties it, and poll returns at once. */
        if (as_ring_receive(self->ring, fd, now_ms(), 64, 0) < 0 && errno != ENOBUFS) {
            return die("receive"); /* ENOBUFS: the socket overflowed; counted in as_stats.serials_missing */
        }
        as_ring_expire(self->ring, now_ms()); /* close events whose end was lost */
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
    fprintf(stderr, "records %" PRIu64 " events %" PRIu64 " matches %" PRIu64 " sequences %" PRIu64 "\n", stats.records,
            stats.events, stats.matches, stats.sequences);
    fprintf(stderr,
            "lost: serials_missing %" PRIu64 " incomplete %" PRIu64 " evicted %" PRIu64 " keys_evicted %" PRIu64
            " truncated %" PRIu64 " late %" PRIu64 " malformed %" PRIu64 " foreign %" PRIu64 "\n",
            stats.serials_missing, stats.incomplete, stats.evicted, stats.keys_evicted, stats.truncated, stats.late,
            stats.malformed, stats.foreign);
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
    as_config config;
    const as_rules rules = as_detections();
    if (argc != 2) {
        fprintf(stderr, "usage: pspy FILE | - | fd:N\n");
        return 2;
    }
    if (strcmp(as_version(), AUDITSENSE_HEADER_VERSION) != 0) {
        fprintf(stderr, "pspy: built with auditsense %s, runs with %s\n", AUDITSENSE_HEADER_VERSION, as_version());
    }
    as_config_default(&config);
    FILE *random = fopen("/dev/urandom", "rb"); /* with a known seed, an attacker can construct collisions */
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
