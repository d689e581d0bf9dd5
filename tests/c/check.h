/* Support for the C tests: cases that read as sentences, checks that a release build keeps, and memory whose last byte
 * touches an inaccessible page, so that reading one byte too far ends the test.
 *
 * Output is TAP: one line per case. A failed check prints its file and line, and the exit status is 1.
 * Rule: a check never stops a case, so that one run shows all failures. */
#ifndef AUDITSENSE_CHECK_H
#define AUDITSENSE_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "_ring/span.h"

static struct {
    const char *sentence; /* of the current case; NULL before the first */
    unsigned cases;
    unsigned failed_cases;
    unsigned failures; /* of the current case */
    const char *skipped;
} check_state;

static inline void check_close_case(void) {
    if (check_state.sentence == NULL) {
        return;
    }
    check_state.cases++;
    check_state.failed_cases += check_state.failures > 0 ? 1 : 0;
    printf("%sok %u - %s%s%s\n", check_state.failures > 0 ? "not " : "", check_state.cases, check_state.sentence,
           check_state.skipped != NULL ? " # SKIP " : "", check_state.skipped != NULL ? check_state.skipped : "");
    fflush(stdout);
    check_state.sentence = NULL;
}

/* Begin a case: the sentence states what holds. */
static inline void CASE(const char *sentence) {
    check_close_case();
    check_state.sentence = sentence;
    check_state.failures = 0;
    check_state.skipped = NULL;
}

/* Skip: this machine cannot run the case. */
static inline void check_skip(const char *reason) {
    check_state.skipped = reason;
}

static inline bool check_that(bool holds, const char *what, const char *file, int line) {
    if (!holds) {
        check_state.failures++;
        printf("# %s:%d: not so: %s\n", file, line, what);
    }
    return holds;
}

static inline bool check_equal(int64_t found, int64_t wanted, const char *what, const char *file, int line) {
    if (found != wanted) {
        check_state.failures++;
        printf("# %s:%d: %s is %" PRId64 ", not %" PRId64 "\n", file, line, what, found, wanted);
    }
    return found == wanted;
}

static inline bool check_text(as_span found, const char *wanted, size_t len, const char *what, const char *file,
                              int line) {
    const bool same = found.len == len && (len == 0 || memcmp(found.at, wanted, len) == 0);
    if (!same) {
        check_state.failures++;
        printf("# %s:%d: %s is '%.*s', not '%.*s'\n", file, line, what, (int)found.len,
               found.len > 0 ? (const char *)found.at : "", (int)len, wanted);
    }
    return same;
}

#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(found, wanted) check_equal((int64_t)(found), (int64_t)(wanted), #found, __FILE__, __LINE__)
/* wanted: a string literal. */
#define CHECK_TEXT(found, wanted) check_text((found), AS_LITERAL(wanted), #found, __FILE__, __LINE__)

/* End the run: main returns this. */
static inline int check_done(void) {
    check_close_case();
    printf("1..%u\n", check_state.cases);
    return check_state.failed_cases > 0 ? 1 : 0;
}

enum { CHECK_ARENAS = 16, CHECK_ARENA_BYTES = 1 << 18 };

/* A copy of these bytes that ends at an inaccessible page. Valid until the CHECK_ARENAS-th further call. */
static inline const uint8_t *guarded(const void *bytes, size_t len) {
    static uint8_t *arenas[CHECK_ARENAS];
    static unsigned next;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t **arena = &arenas[next++ % CHECK_ARENAS];
    if (*arena == NULL) {
        void *mapped = mmap(NULL, CHECK_ARENA_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED || mprotect((uint8_t *)mapped + CHECK_ARENA_BYTES, page, PROT_NONE) != 0) {
            printf("Bail out! no memory for the tests\n");
            exit(2);
        }
        *arena = mapped;
    }
    if (len > CHECK_ARENA_BYTES) {
        printf("Bail out! a test needs larger arenas\n");
        exit(2);
    }
    uint8_t *at = *arena + CHECK_ARENA_BYTES - len;
    if (len > 0) {
        memcpy(at, bytes, len);
    }
    return at;
}

static inline as_span guarded_span(const void *bytes, size_t len) {
    return as_span_of(guarded(bytes, len), len);
}

/* A string literal, guarded. */
#define GUARDED(text) guarded_span(AS_LITERAL(text))

#endif
