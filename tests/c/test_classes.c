/* Stage 2, class: what a SYSCALL record alone decides, and the type of an event's first record. */
#include "_ring/classes.h"

#include "check.h"
#include "samples.h"

static _Alignas(16) uint8_t memory[1 << 20];

static as_classes classes_of(const as_rules *rules) {
    const as_config config = sample_config();
    as_classes classes;
    as_arena counting = {.base = NULL};
    as_arena from = {.base = memory};
    memset(memory, 0, sizeof memory);
    as_classes_init(&classes, &config, rules, &counting);
    CHECK(counting.used <= sizeof memory);
    as_classes_init(&classes, &config, rules, &from);
    CHECK_EQUAL(counting.used, from.used);
    return classes;
}

static as_record syscall_record(as_span body) {
    return (as_record){.type = AS_TYPE_SYSCALL, .body = body};
}

#define CLASS(classes, text) as_class_of_record((classes), &(as_record){.type = AS_TYPE_SYSCALL, .body = GUARDED(text)})

static void calls(void) {
    static const as_call named[] = {{0xc000003e, 257, 1}, {0xc000003e, 2, 3}, {0x40000003, 295, 2}};
    static const as_class rows[8];
    as_rules table = {.calls = named, .classes = rows, .call_count = 3, .class_count = 8};
    as_classes classes = classes_of(&table);

    CASE("a call is of the class that names it with its arch");
    CHECK_EQUAL(CLASS(&classes, SAMPLE_SYSCALL), 1);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e syscall=2 success=yes pid=1"), 3);
    CHECK_EQUAL(CLASS(&classes, "arch=40000003 syscall=295 success=yes pid=1"), 2);
    CHECK_EQUAL(CLASS(&classes, "arch=40000003 syscall=257 success=yes pid=1"), 0);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e syscall=2570 success=yes pid=1"), 0);

    CASE("a SYSCALL record that does not say which call is of no class");
    CHECK_EQUAL(CLASS(&classes, ""), 0);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e success=yes exit=0 a0=0 a1=0"), 0);
    CHECK_EQUAL(CLASS(&classes, "syscall=257 success=yes exit=0 a0=0 a1=0"), 0);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e1 syscall=257 success=yes exit=0"), 0);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e syscall=4294967553 success=yes"), 0);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e syscall=x257 success=yes exit=0"), 0);

    CASE("a short record is looked at as a long one is");
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e syscall=257"), 1);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e syscall=257 "), 1);

    CASE("a number that the quick look would cut in two is read whole");
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e foo=bar syscall=2570 pid=1"), 0);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e fo=bar syscall=257 pid=1"), 1);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e foo=some-more-text-than-fits syscall=257 pid=1"), 1);
    CHECK_EQUAL(CLASS(&classes, "arch=000000000000000000000000000c000003e syscall=257"), 1);
    CHECK_EQUAL(CLASS(&classes, "syscall=257 success=yes exit=0 a0=0 a1=0 arch=c000003e"), 1);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e syscall=0000000000000000257 success=yes"), 1);
    CHECK_EQUAL(CLASS(&classes, "arch=c000003e syscall=\"257\" success=yes exit=0"), 1);
    CHECK_EQUAL(CLASS(&classes, "arch=\"c000003e\" syscall=257 success=yes exit=0"), 1);

    CASE("a record of another type names no system call");
    const as_record path = {.type = AS_TYPE_PATH, .body = GUARDED("item=0")};
    const as_record uring = {.type = AS_TYPE_URINGOP, .body = GUARDED("uring_op=18")};
    CHECK_EQUAL(as_class_of_record(&classes, &path), AS_CLASS_UNKNOWN);
    CHECK_EQUAL(as_class_of_record(&classes, &uring), AS_CLASS_UNKNOWN);

    CASE("all other calls have a separate class");
    table.other_call_class = 4;
    classes = classes_of(&table);
    CHECK_EQUAL(CLASS(&classes, SAMPLE_SYSCALL), 1);
    CHECK_EQUAL(CLASS(&classes, "arch=b7 syscall=1 success=yes exit=0 a0=0"), 4);
    CHECK_EQUAL(CLASS(&classes, ""), 4);

    CASE("the call of the record before is taken for no other one");
    static const char *const odd[] = {"arch=c000003e syscall=2 x=y",
                                      "arch=c000003e syscall=25 x=y",
                                      "arch=c000003e syscall=257 x=y",
                                      "arch=c000003e syscall=2570 x=y",
                                      "arch=c000003e syscall=257",
                                      "arch=c000003e syscall=257x a=b",
                                      "arch=000000000000000000000000c000003e syscall=257 x=y"};
    static const uint16_t wanted[] = {3, 4, 1, 4, 1, 4, 1};
    for (size_t i = 0; i < 49; i++) {
        const size_t pair[] = {i / 7, i % 7};
        for (size_t j = 0; j < 2; j++) {
            const as_record record = syscall_record(guarded_span(odd[pair[j]], strlen(odd[pair[j]])));
            CHECK_EQUAL(as_class_of_record(&classes, &record), wanted[pair[j]]);
        }
    }

    CASE("a call is remembered when its text has room, and only then");
    for (int zeros = 8; zeros < 40; zeros++) {
        char body[128];
        const int len = snprintf(body, sizeof body, "arch=%0*x syscall=257 ", zeros, 0xc000003e);
        const uint32_t read = (uint32_t)len;
        (void)snprintf(body + len, sizeof body - (size_t)len, "x=y");
        classes = classes_of(&table);
        CHECK_EQUAL(CLASS(&classes, body), 1);
        CHECK_EQUAL(classes.last.len, read <= sizeof classes.last.text ? read : 0);
    }

    CASE("thousands of calls are distinguished");
    static as_call many[8192];
    static const as_class all[65];
    for (uint32_t i = 0; i < 8192; i++) {
        many[i] = (as_call){.arch = 0xc000003e + i % 3, .syscall = i, .class_index = 1 + i / 128};
    }
    const as_rules large = {.calls = many, .classes = all, .call_count = 8192, .class_count = 65};
    classes = classes_of(&large);
    for (uint32_t i = 0; i < 8192; i++) {
        char body[64];
        const int len = snprintf(body, sizeof body, "arch=%x syscall=%u success=yes", 0xc000003e + i % 3, i);
        const as_record record = syscall_record(guarded_span(body, (size_t)len));
        CHECK_EQUAL(as_class_of_record(&classes, &record), 1 + i / 128);
    }
}

static void mains(void) {
    static const as_class rows[8];
    static const as_main listed[] = {{1400, 1, 2}, {1400, AS_CLASS_NONE, 3}, {1326, 1, 4}, {1112, AS_CLASS_NONE, 5}};
    const as_rules table = {.mains = listed, .classes = rows, .main_count = 4, .class_count = 8};
    const as_classes classes = classes_of(&table);

    CASE("the type of the first record decides with the class of the call, else alone");
    CHECK_EQUAL(as_class_of_main(&classes, 1400, 1), 2);
    CHECK_EQUAL(as_class_of_main(&classes, 1400, 7), 3);
    CHECK_EQUAL(as_class_of_main(&classes, 1400, AS_CLASS_NONE), 3);
    CHECK_EQUAL(as_class_of_main(&classes, 1326, 1), 4);
    CHECK_EQUAL(as_class_of_main(&classes, 1112, AS_CLASS_NONE), 5);

    CASE("a type that is not listed leaves the decision to the call; without one the event is not wanted");
    CHECK_EQUAL(as_class_of_main(&classes, 1326, 7), 7);
    CHECK_EQUAL(as_class_of_main(&classes, 1700, 6), 6);
    CHECK_EQUAL(as_class_of_main(&classes, 1700, 0), 0);
    CHECK_EQUAL(as_class_of_main(&classes, 1700, AS_CLASS_NONE), 0);
}

static void see(as_classes *classes, const char *body) {
    const as_record record = syscall_record(guarded_span(body, strlen(body)));
    (void)as_class_of_record(classes, &record);
}

static void unknown_architectures(void) {
    static const as_class rows[2];
    const as_call call = {.arch = 0xc000003e, .syscall = 257, .class_index = 1};
    const uint32_t arches[] = {0xc000003e, 0x28};
    as_rules rules = {
        .calls = &call, .classes = rows, .arches = arches, .call_count = 1, .class_count = 2, .arch_count = 2};
    as_classes classes = classes_of(&rules);
    as_unknown_arch out[AS_UNKNOWN_ARCHES + 1] = {0};

    CASE("records of known architectures are not counted, whatever their call");
    see(&classes, "arch=c000003e syscall=257 success=yes");
    see(&classes, "arch=c000003e syscall=1 success=yes");
    see(&classes, "arch=28 syscall=9999 success=yes");
    see(&classes, "success=yes");
    CHECK_EQUAL(classes.unknown_records, 0);
    CHECK_EQUAL(as_classes_unknown_arches(&classes, out, AS_UNKNOWN_ARCHES), 0);

    CASE("others are, also when the same call comes again, and also architecture 0");
    for (int i = 0; i < 3; i++) {
        see(&classes, "arch=deadbeef syscall=5 success=yes");
    }
    see(&classes, "arch=deadbeef syscall=6 success=yes");
    see(&classes, "arch=0 syscall=6 success=yes");
    see(&classes, "arch=c000003e syscall=257 success=yes");
    see(&classes, "arch=deadbeef syscall=5 success=yes");
    CHECK_EQUAL(as_classes_unknown_arches(&classes, out, AS_UNKNOWN_ARCHES), 2);
    CHECK_EQUAL(out[0].arch, 0xdeadbeef);
    CHECK_EQUAL(out[0].records, 5);
    CHECK_EQUAL(out[1].arch, 0);
    CHECK_EQUAL(out[1].records, 1);
    CHECK_EQUAL(classes.unknown_records, 6);

    CASE("eight are counted separately, more together");
    for (uint32_t arch = 100; arch < 120; arch++) {
        char body[64];
        (void)snprintf(body, sizeof body, "arch=%x syscall=1 success=yes", arch);
        see(&classes, body);
    }
    out[AS_UNKNOWN_ARCHES].records = 77;
    CHECK_EQUAL(as_classes_unknown_arches(&classes, out, AS_UNKNOWN_ARCHES + 1), AS_UNKNOWN_ARCHES);
    CHECK_EQUAL(out[AS_UNKNOWN_ARCHES - 1].arch, 105);
    CHECK_EQUAL(out[AS_UNKNOWN_ARCHES].records, 77);
    CHECK_EQUAL(classes.unknown_records, 26);
    CHECK_EQUAL(as_classes_unknown_arches(&classes, out, AS_UNKNOWN_ARCHES - 1), AS_ARGUMENT);

    CASE("a table that names no architecture counts none");
    rules.arches = NULL;
    rules.arch_count = 0;
    classes = classes_of(&rules);
    see(&classes, "arch=deadbeef syscall=5 success=yes");
    see(&classes, "arch=0 syscall=5 success=yes");
    CHECK_EQUAL(classes.unknown_records, 0);
}

static void operations(void) {
    static const as_call named[] = {{0xc000003e, 257, 1}, {AS_ARCH_RING, 18, 1}, {AS_ARCH_RING, 28, 2}};
    static const as_class rows[8];
    as_rules table = {.calls = named, .classes = rows, .call_count = 3, .class_count = 8, .other_call_class = 4};
    as_classes classes = classes_of(&table);

    CASE("an operation of a ring is of the class that names its number");
    CHECK_EQUAL(as_class_of_operation(&classes, GUARDED("uring_op=18 success=yes exit=5 items=1 pid=7")), 1);
    CHECK_EQUAL(as_class_of_operation(&classes, GUARDED("uring_op=28")), 2);

    CASE("another one is any other call, also without a number");
    CHECK_EQUAL(as_class_of_operation(&classes, GUARDED("uring_op=257 success=yes")), 4);
    CHECK_EQUAL(as_class_of_operation(&classes, GUARDED("uring_op=4294967314 success=yes")), 4);
    CHECK_EQUAL(as_class_of_operation(&classes, GUARDED("uring_op=x success=yes")), 4);
    CHECK_EQUAL(as_class_of_operation(&classes, GUARDED("")), 4);

    CASE("a table that names no operation wants none");
    table.call_count = 1;
    classes = classes_of(&table);
    CHECK_EQUAL(as_class_of_operation(&classes, GUARDED("uring_op=18")), 0);
}

int main(void) {
    calls();
    operations();
    mains();
    unknown_architectures();
    return check_done();
}
