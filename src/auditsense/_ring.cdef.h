/* Every C declaration Python may see: read by cffi and by the C compiler, so there is no second copy.
 * cffi's parser takes declarations only, hence no include guard here: C code includes _ring.h. */

typedef struct as_ring as_ring;

/* One error convention: a result >= 0 is a count, a negative one is an as_status. */
typedef enum {
    AS_OK = 0,
    AS_BUSY = -1,     /* another thread is inside this handle */
    AS_ARGUMENT = -2, /* a value outside its bounds; nothing was done */
    AS_SYSTEM = -3,   /* a system call failed; errno says why */
    AS_UNREAD = -4    /* fetched datagrams are still waiting to be taken */
} as_status;

/* What a record can tell. The source of each is the record and the key in the comment. */
typedef enum {
    AS_FIELD_ARCH,          /* SYSCALL arch, hex */
    AS_FIELD_SYSCALL,       /* SYSCALL syscall, decimal */
    AS_FIELD_SUCCESS,       /* SYSCALL success, yes or no */
    AS_FIELD_EXIT,          /* SYSCALL exit, signed decimal */
    AS_FIELD_A0,            /* SYSCALL a0, hex of the whole register */
    AS_FIELD_A1,
    AS_FIELD_A2,
    AS_FIELD_A3,
    AS_FIELD_ITEMS,         /* SYSCALL items: at most so many PATH records */
    AS_FIELD_PPID,          /* SYSCALL ppid, in the initial pid namespace */
    AS_FIELD_PID,           /* SYSCALL pid: the process, never the thread */
    AS_FIELD_AUID,
    AS_FIELD_UID,
    AS_FIELD_GID,
    AS_FIELD_EUID,
    AS_FIELD_SUID,
    AS_FIELD_FSUID,
    AS_FIELD_EGID,
    AS_FIELD_SGID,
    AS_FIELD_FSGID,
    AS_FIELD_TTY,
    AS_FIELD_SES,
    AS_FIELD_COMM,          /* SYSCALL comm, decoded */
    AS_FIELD_EXE,           /* SYSCALL exe, decoded */
    AS_FIELD_SUBJ,          /* SYSCALL subj: not escaped by the kernel, may hold blanks */
    AS_FIELD_KEY,           /* SYSCALL key, decoded: several keys are joined with byte 1 */
    AS_FIELD_CWD,           /* CWD cwd, decoded */
    AS_FIELD_PATH_NAME,     /* PATH name, decoded; of the chosen PATH, as all that follow */
    AS_FIELD_PATH_INODE,
    AS_FIELD_PATH_DEV,
    AS_FIELD_PATH_MODE,     /* PATH mode, octal */
    AS_FIELD_PATH_OUID,
    AS_FIELD_PATH_OGID,
    AS_FIELD_PATH_RDEV,
    AS_FIELD_PATH_OBJ,
    AS_FIELD_PATH_NAMETYPE,
    AS_FIELD_PROCTITLE,     /* PROCTITLE proctitle, decoded: in a hit with its NULs, to a rule with blanks for them */
    AS_FIELD_NODE,          /* the node= a collector wrote before the record; empty: this host */
    AS_FIELDS
} as_field;

/* What the tables may hold: taken once, by as_ring_new. */
typedef struct {
    uint64_t seed;             /* of the hash tables; random, or collisions can be made on purpose */
    uint32_t datagram_slots;   /* datagrams of one recvmmsg call, 1 to 1024 */
    uint32_t datagram_bytes;   /* of one datagram or log line, 1024 to 65536; what is longer is cut */
    uint32_t event_slots;      /* events being put together or remembered, 16 to 1048576 */
    uint32_t small_texts;      /* records kept of at most 512 bytes, 16 to 1048576 */
    uint32_t large_texts;      /* records kept of at most datagram_bytes, 4 to 4096 */
    uint32_t event_timeout_ms; /* an event without its end is closed after this, 1 to 60000; without a clock (text, a
                                  now_ms of 0): when so many later ones have begun, see as_ring_feed_text */
    uint32_t key_slots;        /* keys with a window, 16 to 4194304 */
    uint32_t window_slack;     /* matches kept beyond a rule's count, for late ones, 0 to 1024 */
    uint32_t hit_bytes;        /* hits waiting to be drained; at least 8 * datagram_bytes + 65536 */
    uint32_t end;              /* as_event_end, of events that come as datagrams */
} as_config;

/* What tells that all records of an event have come. In log files it is PROCTITLE or EOE, or, where a host writes
 * neither, the PATH records that SYSCALL announces. */
typedef enum {
    AS_END_EOE = 0,
    AS_END_PROCTITLE = 1, /* PROCTITLE, the last but EOE */
    AS_END_PATHS = 2  /* as many PATH records as SYSCALL announces: for those who are sent none of the later ones */
} as_event_end;

/* The rule table: data made by the detection compiler. Offsets count from the arrays of as_rules. */
typedef enum {
    AS_OP_TEXT = 0,   /* the bytes are equal */
    AS_OP_LIKE = 1,   /* equal without ASCII case; * is any run, ? any byte */
    AS_OP_NUMBER = 2, /* (value & mask) == number, in the base the field is printed in */
    AS_OP_PRESENT = 3 /* the field is there; it has no operands, and negated it holds for an absent one */
} as_op;

typedef struct {
    uint64_t number; /* AS_OP_NUMBER; for texts see mask */
    uint64_t mask;   /* AS_OP_NUMBER. AS_OP_TEXT, AS_OP_LIKE: 0, or the operand fits only events with
                        (arch & mask) == number: the flags of open(2) differ by architecture */
    uint32_t at;     /* AS_OP_TEXT, AS_OP_LIKE: in as_rules.text */
    uint32_t len;
} as_operand;

typedef struct {
    uint32_t field;         /* as_field */
    uint32_t op;            /* as_op */
    uint32_t negated;       /* 1: true when no operand fits; an absent field fails either way (but AS_OP_PRESENT) */
    uint32_t first_operand; /* any of them is enough */
    uint32_t operands;
} as_test;

typedef struct {
    uint32_t arch;    /* SYSCALL arch */
    uint32_t syscall; /* SYSCALL syscall */
} as_call;

typedef struct {
    uint32_t first_call; /* which system calls are looked at */
    uint32_t calls;      /* 0: every one */
    uint32_t first_test; /* all must hold */
    uint32_t tests;
    uint32_t keys[2];    /* as_field: what a window belongs to, with the rule itself */
    uint32_t key_count;  /* 0 to 2; an event that lacks a key field does not count */
    uint32_t count;      /* matches that complete a hit, 1 to 64; at 1 there is no window */
    uint32_t span_ms;    /* from the first to the last of them at most, 1 to 86400000 */
    uint32_t merge_ms;   /* 0: every completed window is a hit of its own; else a waiting hit of the
                            same key and actor takes in those that come at most so much later, as long as
                            the stamps of completions stay within one second and no match between them
                            completed none: so each window it takes in is one match more */
    uint32_t first_exception; /* an event that any of them takes is no match of this rule */
    uint32_t exceptions;
} as_rule;

typedef struct {
    uint64_t until_ms;   /* it takes events stamped before, in ms since 1970 UTC; UINT64_MAX: all */
    uint32_t first_test; /* all must hold; without tests it takes everything */
    uint32_t tests;
} as_exception;

typedef struct {
    const as_rule *rules; /* at most 64 */
    const as_call *calls;
    const as_test *tests;
    const as_operand *operands;
    const as_exception *exceptions;
    const uint8_t *text;
    const uint32_t *arches; /* SYSCALL arch: whose calls are known; records of others are counted. None: all are */
    uint32_t rule_count;
    uint32_t call_count;
    uint32_t test_count;
    uint32_t operand_count;
    uint32_t exception_count;
    uint32_t text_len;
    uint32_t arch_count;
    uint64_t actor_fields; /* bits of as_field: events of one key that differ in them are of different actors, whose
                              windows are not merged (as_hit.others); 0: a key is one actor */
} as_rules;

/* A hit as it lies in the drained bytes: as_hit, then as_event_id[ids], as_hit_field[AS_FIELDS], text. */
typedef struct {
    uint32_t size;    /* of all of it, a multiple of 8 */
    uint32_t rule;    /* index in as_rules.rules */
    uint32_t ids;
    uint32_t others;  /* of these, events of another actor than the event that the fields are of */
    uint64_t more;    /* completed windows of the same key and actor that were merged into this hit */
    uint64_t last_ms; /* stamp of the newest of them */
} as_hit;

typedef struct {
    uint64_t ms;     /* since 1970 UTC, as the kernel stamped the system call's entry */
    uint32_t serial;
    uint32_t unused;
} as_event_id;

typedef struct {
    uint32_t at;  /* from the start of the as_hit; 0: the field is absent */
    uint32_t len; /* where it is absent: 1 when it was not kept (as_ring_select_fields), else 0 */
} as_hit_field;

/* Loss is data: everything that came in, and where it went. Never reset. */
typedef struct {
    uint64_t datagrams;          /* received or fed, whatever became of them */
    uint64_t foreign;            /* not sent by the kernel: dropped unread */
    uint64_t truncated;          /* longer than datagram_bytes: the rest is lost, the start was used. Records of a
                                    type that no field is read from are not counted. Also events a rule may want that
                                    have a record with 16 fields and words that are none of the kernel's: what
                                    follows is not read */
    uint64_t control;            /* answers and notices on the same socket: no records */
    uint64_t lines;              /* of log text, without those that ausearch and tail write between records */
    uint64_t records;            /* with a stamp that could be read */
    uint64_t malformed;          /* datagrams and lines without one */
    uint64_t events;             /* closed, for whatever reason */
    uint64_t incomplete;         /* of these: without their end or their SYSCALL record; of text: without SYSCALL, or
                                    without PATH records that it announces */
    uint64_t evicted;            /* of the incomplete: given up because a table was full */
    uint64_t late;               /* records of an event that was closed already */
    uint64_t duplicate;          /* records that their event had already */
    uint64_t serials_missing;    /* numbers the kernel gave out and that never came (datagrams only) */
    uint64_t serial_restarts;    /* times that they began again: another boot */
    uint64_t stamp_steps;        /* times that the stamps of a host went back by more than 5 s and stayed there */
    uint64_t matches;            /* events a rule wanted */
    uint64_t excepted;           /* events a rule would have wanted, but for one of its exceptions */
    uint64_t keyless;            /* matches that lack a key field: not counted in any window */
    uint64_t stale;              /* matches that are older than all of a full window, which are within the span of them:
                                    not counted in it */
    uint64_t keys_evicted;       /* windows given up because key_slots were full */
    uint64_t sequences;          /* completed windows */
    uint64_t hits;               /* of these: entries to drain; the others were merged into one */
    uint64_t unknown_arch;       /* SYSCALL records of architectures outside as_rules.arches */
    uint64_t open_events;        /* at this moment: being put together */
    uint64_t live_keys;          /* at this moment: with a window */
    uint64_t disordered;         /* matches decided after a later one of their host: as_ring_order was too small */
} as_stats;

/* Bytes a ring of this size takes, all at once; 0 when a value is outside its bounds, or all together are more than
 * this machine can address. */
size_t as_ring_bytes(const as_config *config, const as_rules *rules);

/* Take the memory and copy the rules. NULL: EINVAL (a bound, an index, as_ring_bytes 0) or ENOMEM in
 * errno. */
as_ring *as_ring_new(const as_config *config, const as_rules *rules);
void as_ring_free(as_ring *ring);

/* Let hits carry these fields only, a bit 1 << as_field each; the fields of rules need not be among them. What
 * nobody needs is not kept either, so it costs less. Before the first input only: AS_ARGUMENT. */
int64_t as_ring_select_fields(as_ring *ring, uint64_t fields);

/* Hold back so many matching events, and decide them by stamp and serial: for recorded input. 0, as a new ring does:
 * each event is decided as it ends. At most half of event_slots and an eighth of small_texts. Before the first input
 * only: AS_ARGUMENT. as_ring_finish decides all. */
int64_t as_ring_order(as_ring *ring, uint32_t order);

/* Flags of as_ring_receive. */
typedef enum {
    AS_RECEIVE_TRUSTED = 1 /* skip the per-datagram sender check, which is expensive. Only for a socket that accepts
                              nothing but the kernel's datagrams: connected to nl_pid 0 (connect(2)) and in no group */
} as_receive_flags;

/* Receive with recvmmsg(2) until the socket is empty, the hit buffer is full, or `rounds` calls were made. Never
 * blocks. now_ms: a monotonic clock. flags: as_receive_flags, or 0. Returns the number of datagrams processed. */
int64_t as_ring_receive(as_ring *ring, int fd, uint64_t now_ms, uint32_t rounds, uint32_t flags);

/* Make one recvmmsg(2) call and leave the datagrams in the ring's buffers, for as_ring_pack. Returns their number. */
int64_t as_ring_fetch(as_ring *ring, int fd);

/* Write the fetched datagrams in packed form: each a 16-byte little-endian header (u64 now_ms,
 * u32 length, u32 sender port) and its bytes. Returns the bytes written; takes datagram_slots *
 * (datagram_bytes + 16) at most. */
int64_t as_ring_pack(as_ring *ring, uint8_t *out, size_t size, uint64_t now_ms);

/* Feed packed datagrams. A now_ms of 0 in a header means: there is no clock; stamps are none.
 * Returns the bytes consumed: less than len when the hits are full (drain, then go on with the rest) or
 * when the rest is not a whole entry. */
int64_t as_ring_feed(as_ring *ring, const uint8_t *packed, size_t len);

/* Feed log text cut anywhere; an unfinished line waits for its rest. Returns the bytes consumed: less
 * than len when the hits are full. Text has no clock: an event whose end does not come is closed when
 * min(event_slots, small_texts / 4) / 2 later ones have begun (what as_ring_order holds is taken off before the
 * division), or by as_ring_expire. */
int64_t as_ring_feed_text(as_ring *ring, const uint8_t *text, size_t len);

/* Copy the start of the first line that was no record, at most 240 bytes, and forget it; blank lines are left out.
 * Returns its length; 0: there was none since the last call. */
int64_t as_ring_unread_line(as_ring *ring, uint8_t *out, size_t size);

/* Let time pass: close events and settle serials that waited long enough. Returns the events closed. The first time
 * that a ring without a clock is told is its beginning. */
int64_t as_ring_expire(as_ring *ring, uint64_t now_ms);

/* The input has ended: take the unfinished line, close all events, settle all serials. Returns 1 when
 * all is done, 0 when the hits are full (drain, then call again). */
int64_t as_ring_finish(as_ring *ring);

/* Move all waiting hits, oldest first, to out. size: at least hit_bytes. Returns the bytes moved. */
int64_t as_ring_drain(as_ring *ring, uint8_t *out, size_t size);

/* One column of drained hits: a value a hit, side by side. */
typedef enum {
    AS_COLUMN_TEXT = 0,   /* each text and a zero byte; a text may hold zeros of its own (count them), but not
                             AS_FIELD_PROCTITLE: blanks stand for them */
    AS_COLUMN_NUMBER = 1, /* int64_t each, of a field that is printed in decimal */
    AS_COLUMN_MS = 2,     /* int64_t each: the stamp of the hit's last event; field does not matter */
    AS_COLUMN_SERIAL = 3, /* int64_t each: its serial */
    AS_COLUMN_DICT = 4,  /* for texts that come again: a byte each, the number of its text from 1 on, 0: absent; then
                             the different texts, each with a zero byte */
    AS_COLUMN_ARGUMENTS = 5,  /* of AS_FIELD_PROCTITLE: its arguments, each with a zero byte; one zero byte of a row that
                             has none */
    AS_COLUMN_ARGUMENT_COUNTS = 6  /* int64_t each: how many of the parts of AS_COLUMN_ARGUMENTS are the row's, 1 and more; a row
                             without any is absent, and has one all the same */
} as_column_form;

typedef struct {
    uint32_t rows;   /* hits */
    uint32_t absent; /* rows without the field, with an empty text or a 0 */
    uint32_t fallback; /* AS_COLUMN_NUMBER: rows that are no number as the kernel prints one, or past 63 bits: 0;
                        AS_COLUMN_DICT: 1 when there are more than 255, or too many of one hash: take AS_COLUMN_TEXT */
    uint32_t dict_size; /* AS_COLUMN_DICT: different texts */
} as_column;

/* Take the waiting hits, oldest first, where they lie: as as_ring_drain, but nothing is copied. *out stays as it is
 * until the next call with this ring that takes input, lets time pass or ends it, as_ring_migrate or as_ring_free.
 * Returns their bytes. */
int64_t as_ring_borrow(as_ring *ring, const uint8_t **out);

/* Write a column of the hits that as_ring_drain wrote or as_ring_borrow gave. size: at least len. Returns the bytes written from the start
 * of out; the numbers of the absent rows, uint32_t each, stand at its end, the first one last (but AS_COLUMN_DICT). AS_ARGUMENT: these are
 * no hits. It needs no ring, and any thread may call it. */
int64_t as_hits_column(const uint8_t *hits, size_t len, uint32_t field, uint32_t form, uint8_t *out, size_t size,
                       as_column *column);

int64_t as_ring_stats(as_ring *ring, as_stats *out);

/* How many events each exception took, by index in as_rules.exceptions; the first of a rule that fits takes it.
 * Their sum is as_stats.excepted. size: of out, in counters; at least exception_count. Returns exception_count. */
int64_t as_ring_exception_counts(as_ring *ring, uint64_t *out, size_t size);

/* SYSCALL records of one architecture outside as_rules.arches. */
typedef struct {
    uint64_t records;
    uint32_t arch;
    uint32_t unused;
} as_unknown_arch;

/* Which architectures as_stats.unknown_arch counts: the first 8 that came. size: of out, in entries; at least 8.
 * Returns how many. */
int64_t as_ring_unknown_arches(as_ring *ring, as_unknown_arch *out, size_t size);

/* Go on where another ring was, with this one's rules: for a new ring of the same as_config, its seed too.
 * rules: for each rule of from, in order, its place in this ring, or UINT32_MAX when it is gone. A rule that stays
 * keeps its windows and the events that wait; a new one sees events whose SYSCALL record comes later. All counters go
 * on but those of as_ring_exception_counts, and what as_ring_select_fields and as_ring_only_kernel said holds on. Nothing is lost, and
 * nothing is decided early. Afterwards from can be freed.
 * Returns 1 when done; 0 when from has hits to be drained (drain, then call again); AS_ARGUMENT: this ring was used,
 * its configuration or its actor_fields differ, or a rule has other keys or another count than the one at its place. */
int64_t as_ring_migrate(as_ring *ring, as_ring *from, const uint32_t *rules);

/* The version this library was built as: a stale build beside newer Python files is found at import. */
const char *as_version(void);
