/* All C declarations that Python sees. cffi and the C compiler read this file, so there is no second copy.
 * cffi's parser accepts declarations only, hence no include guard: C code includes _ring.h. */

typedef struct as_ring as_ring;

/* One error convention: a result >= 0 is a count, a negative one is an as_status. */
typedef enum {
    AS_OK = 0,
    AS_BUSY = -1,     /* another thread is using this ring */
    AS_ARGUMENT = -2, /* an argument is out of bounds; nothing was done */
    AS_SYSTEM = -3,   /* a system call failed; see errno */
    AS_UNREAD = -4,   /* fetched datagrams have not been processed yet */
    AS_ABSENT = -5    /* the hit lacks this field, or its value is not a number */
} as_status;

/* Fields of an event. The comment names the source: record and key. */
typedef enum {
    AS_FIELD_ARCH,    /* SYSCALL arch, hex */
    AS_FIELD_SYSCALL, /* SYSCALL syscall, decimal */
    AS_FIELD_SUCCESS, /* SYSCALL success, yes or no */
    AS_FIELD_EXIT,    /* SYSCALL exit, signed decimal */
    AS_FIELD_A0,      /* SYSCALL a0, hex of the whole register */
    AS_FIELD_A1,
    AS_FIELD_A2,
    AS_FIELD_A3,
    AS_FIELD_ITEMS, /* SYSCALL items: upper bound of the number of PATH records */
    AS_FIELD_PPID,  /* SYSCALL ppid, in the initial pid namespace */
    AS_FIELD_PID,   /* SYSCALL pid: the process, never the thread */
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
    AS_FIELD_COMM,      /* SYSCALL comm, decoded */
    AS_FIELD_EXE,       /* SYSCALL exe, decoded */
    AS_FIELD_SUBJ,      /* SYSCALL subj: not escaped by the kernel, may hold blanks */
    AS_FIELD_KEY,       /* SYSCALL key, decoded: several keys are joined with byte 1 */
    AS_FIELD_CWD,       /* CWD cwd, decoded */
    AS_FIELD_PATH_NAME, /* PATH name, decoded; this and the following fields come from the chosen PATH */
    AS_FIELD_PATH_INODE,
    AS_FIELD_PATH_DEV,
    AS_FIELD_PATH_MODE, /* PATH mode, octal */
    AS_FIELD_PATH_OUID,
    AS_FIELD_PATH_OGID,
    AS_FIELD_PATH_RDEV,
    AS_FIELD_PATH_OBJ,
    AS_FIELD_PATH_NAMETYPE,
    AS_FIELD_PROCTITLE, /* PROCTITLE proctitle, decoded: a hit keeps its NULs, rules see blanks instead */
    AS_FIELD_NODE,      /* node= that a collector wrote before the record; empty: this host */
    /* In a hit, the values of a list are joined with NUL. A list of one empty value has length 0 and is present. */
    AS_FIELD_ARGC,          /* EXECVE argc */
    AS_FIELD_ARGS,          /* list: EXECVE a0, a1, ..., of all its records, decoded */
    AS_FIELD_COMMAND_LINE,  /* these arguments, joined with blanks; only for rules: a hit has AS_FIELD_ARGS */
    AS_FIELD_SOCKET_FAMILY, /* SOCKADDR saddr: unix, ipv4, ipv6, netlink, or the number in decimal */
    AS_FIELD_SOCKET_IP,     /* of ipv4 and ipv6; a mapped IPv4 address is written as IPv4 */
    AS_FIELD_SOCKET_PORT,   /* of ipv4 and ipv6, decimal */
    AS_FIELD_SOCKET_PATH,   /* of unix; an abstract name starts with @ */
    AS_FIELD_CAPABILITIES,  /* list: BPRM_FCAPS pe, as names: CAP_CHOWN, ... */
    AS_FIELD_ACCT,          /* acct, else id, of a record of user space, decoded */
    AS_FIELD_TERMINAL,      /* terminal of such a record, and so on */
    AS_FIELD_HOSTNAME,
    AS_FIELD_ADDR,
    AS_FIELD_GRANTORS,
    AS_FIELD_RESULT, /* res, of records of user space and of some of the kernel */
    AS_FIELD_UNIT,
    AS_FIELD_PARENT_NAME, /* of the parent process and of the leader of the session, from the process table */
    AS_FIELD_PARENT_EXECUTABLE,
    AS_FIELD_PARENT_ARGS,         /* list */
    AS_FIELD_PARENT_COMMAND_LINE, /* only for rules */
    AS_FIELD_PARENT_ENTITY_ID,
    AS_FIELD_ENTITY_ID,
    AS_FIELD_LEADER_EXECUTABLE,
    AS_FIELD_LEADER_ARGS, /* list */
    AS_FIELD_LEADER_TYPE,
    AS_FIELD_PATHS, /* list, only for rules: AS_FIELD_PATH_NAME, and the same joined with cwd if it is relative to it */
    AS_FIELDS
} as_field;

/* Sizes of the tables, fixed by as_ring_new. */
typedef struct {
    uint64_t seed;             /* of the hash tables; random, or an attacker can construct collisions */
    uint64_t boot;             /* identifies this boot of this host in entity ids (AS_FIELD_ENTITY_ID) */
    uint32_t datagram_slots;   /* datagrams per recvmmsg call, 1 to 1024 */
    uint32_t datagram_bytes;   /* maximum size of a datagram or log line, 1024 to 65536; longer ones are cut */
    uint32_t event_slots;      /* open and remembered events, 16 to 1048576 */
    uint32_t small_texts;      /* stored records of at most 512 bytes, 16 to 1048576 */
    uint32_t large_texts;      /* stored records of at most datagram_bytes, 4 to 4096 */
    uint32_t event_timeout_ms; /* an event without an end is closed after this time, 1 to 60000; without a clock (text,
                                  a now_ms of 0): after a number of later events, see as_ring_feed_text */
    uint32_t key_slots;        /* keys with a window, 16 to 4194304 */
    uint32_t window_slack;     /* matches kept in addition to a rule's count, for late ones, 0 to 1024 */
    uint32_t process_slots;    /* processes that are remembered if a rule or a selected field needs them, with 1 KiB of
                                  texts each, 16 to 1048576 */
    uint32_t hit_bytes;        /* buffer for undrained hits; at least 8 * datagram_bytes + 262144 */
    uint32_t end;              /* as_event_end, of events that arrive as datagrams */
    uint32_t asks;             /* 1: input waits for a process that an event needs and that is not known, see
                                  as_ring_wanted_process. 0: it is unknown at once */
} as_config;

/* Which record ends an event. In log files it is PROCTITLE or EOE, or, if a host writes neither, the last of the PATH
 * records that SYSCALL announces. */
typedef enum {
    AS_END_EOE = 0,
    AS_END_PROCTITLE = 1, /* the last record but EOE */
    AS_END_PATHS = 2      /* as many PATH records as SYSCALL announces, if the kernel filters out all later records */
} as_event_end;

/* The rule table: data written by the detection compiler. Offsets and indexes count from the arrays of as_rules.
 *
 *     call ─► class ─► filters ─► rule
 *                        └─► nodes ─► predicates ─► operands
 *
 * A class is what calls or record types have in common. Its filters are the ones that its events can fit. */
typedef enum {
    AS_OP_TEXT = 0,    /* the bytes are equal */
    AS_OP_LIKE = 1,    /* wildcards: * matches any run of bytes, ? any byte */
    AS_OP_REGEX = 2,   /* the whole text matches; operands are programs of the detection compiler (_ring/regex.h) */
    AS_OP_NUMBER = 3,  /* (value & mask) == number, in the base that the kernel prints the field in */
    AS_OP_PRESENT = 4, /* the field is present; no operands */
    AS_OP_NETWORK = 5, /* an address inside a network: 16 bytes of text, IPv4 mapped, and number = bits of prefix */
    AS_OP_LENGTH = 6,  /* the number of characters of the text, compared by length_op with number */
    AS_OP_LESS = 7,    /* signed comparisons with number */
    AS_OP_AT_MOST = 8,
    AS_OP_GREATER = 9,
    AS_OP_AT_LEAST = 10
} as_op;

typedef enum {
    AS_FOLD_CASE = 1 /* AS_OP_TEXT, AS_OP_LIKE: ASCII case does not matter */
} as_predicate_flag;

typedef struct {
    uint64_t number; /* AS_OP_NUMBER and other comparisons; for texts see mask */
    uint64_t mask;   /* AS_OP_NUMBER. AS_OP_TEXT, AS_OP_LIKE: 0, or the operand applies only to events with
                        (arch & mask) == number: the flags of open(2) differ by architecture */
    uint32_t at;     /* AS_OP_TEXT, AS_OP_LIKE, AS_OP_REGEX, AS_OP_NETWORK: offset in as_rules.text */
    uint32_t len;
} as_operand;

typedef struct {
    uint8_t field;          /* as_field */
    uint8_t op;             /* as_op */
    uint8_t flags;          /* bits of as_predicate_flag */
    uint8_t length_op;      /* AS_OP_LENGTH: AS_OP_NUMBER (equal) or AS_OP_LESS to AS_OP_AT_LEAST */
    uint32_t first_operand; /* one of them has to fit */
    uint32_t operands;
} as_predicate; /* of an absent field it never holds */

/* Where a decision program ends. */
typedef enum { AS_NODE_FALSE = 0xfffe, AS_NODE_TRUE = 0xffff } as_node_end;

/* A decision program starts at a node and follows yes or no to a later one, up to one of its ends. */
typedef struct {
    uint16_t predicate;
    uint16_t yes; /* as_node index larger than this one's, or as_node_end */
    uint16_t no;
} as_node;

typedef struct {
    uint16_t start;        /* its program: an as_node, or AS_NODE_TRUE: every event of the class fits */
    uint16_t rule;         /* that its events count for */
    uint16_t first_stage;  /* of the rule; 0 for AS_RULE_EVENT and AS_RULE_RUNS */
    uint16_t stages;       /* that it stands for, one event each; 1 for AS_RULE_EVENT and AS_RULE_RUNS */
    uint16_t until;        /* 1: its events end the rule's pending sequences instead */
    uint16_t anchors;      /* 0: it is evaluated for every event of its class */
    uint32_t first_anchor; /* predicates one of which holds wherever the filter does */
    uint8_t keys[4];       /* as_field: a window belongs to a rule and the values of these fields */
    uint8_t key_count;     /* 0 to 4; an event without a key field does not count */
    uint8_t optional_keys; /* bits: an event without these key fields counts; absence is a value */
    uint8_t unused[2];
} as_filter;

typedef enum {
    AS_CLASS_EXECUTES = 1, /* its events start programs */
    AS_CLASS_KEPT = 2      /* its events are wanted although it has no filter */
} as_class_flag;

typedef struct {
    uint32_t first_filter; /* in order of their rules; of one rule the last stage first, and until last */
    uint32_t filters;
    uint8_t first_path; /* 0 to 2: PATH record that the search for the object starts with */
    uint8_t flags;      /* bits of as_class_flag */
    uint8_t directory;  /* 0 to 4: n + 1 if a relative path starts from the directory in register n; 0: no register */
    uint8_t unused;
} as_class;

typedef struct {
    uint32_t arch;        /* SYSCALL arch */
    uint32_t syscall;     /* SYSCALL syscall */
    uint32_t class_index; /* in as_rules.classes; 0: its events are not wanted */
} as_call;

/* The class of events that start with another record than SYSCALL. */
typedef struct {
    uint16_t type;        /* of the first record, 1000 to 3047; 1500: an AVC record of AppArmor */
    uint16_t call_class;  /* of its call; AS_CLASS_NONE: any, or no call */
    uint32_t class_index; /* in as_rules.classes; 0: its events are not wanted */
} as_main;

typedef enum { AS_CLASS_NONE = 0xffff } as_class_end;

typedef enum {
    AS_RULE_EVENT = 0,    /* every match is a hit */
    AS_RULE_RUNS = 1,     /* `count` matches of one key within span_ms are a hit */
    AS_RULE_SEQUENCE = 2, /* an event of each stage, in their order, within span_ms of the first one */
    AS_RULE_SAMPLE = 3    /* a separate event of each stage, in any order; span_ms: how long each is remembered, and how
                             long a key without such events is silent after a hit */
} as_rule_kind;

typedef struct {
    uint32_t kind;     /* as_rule_kind */
    uint32_t stages;   /* AS_RULE_SEQUENCE: 2 to 101, or 1 with a limit; AS_RULE_SAMPLE: 2 to 8; otherwise 1 */
    uint32_t count;    /* AS_RULE_RUNS: 2 to 101; otherwise 1 */
    uint32_t span_ms;  /* maximum time from the first to the last of them, 1 to 604800000 (7 days) */
    uint32_t merge_ms; /* 0: every completed window is a separate hit. Otherwise an undrained hit absorbs the windows
                          of its key and actor that complete within this time, as long as the stamps of
                          completions stay within one second and each match between them completes a window:
                          so each absorbed window adds exactly one match. AS_RULE_RUNS only */
    uint32_t limit;    /* AS_RULE_SEQUENCE, AS_RULE_SAMPLE: most hits of a key in any limit_ms, at most 65535; further
                          ones are only counted (as_stats.limited). 0: no limit */
    uint32_t limit_ms; /* 0 to 604800000 */
    uint32_t first_exception; /* an event that fits one of them is not a match of this rule */
    uint32_t exceptions;
} as_rule;

typedef struct {
    uint64_t until_ms; /* applies to events stamped earlier, in ms since 1970 UTC; UINT64_MAX: to all */
    uint32_t start;    /* its program, as as_filter.start */
    uint32_t unused;
} as_exception;

/* The child of such a process leads a session (AS_FIELD_LEADER_TYPE). */
typedef struct {
    uint32_t name_at;  /* its name begins so; offset in as_rules.text */
    uint32_t name_len; /* 0: process 1 */
    uint32_t type_at;  /* the type of the session */
    uint32_t type_len;
} as_session;

typedef enum {
    AS_STRICT = 1,   /* values are those of Elastic's integration auditd_manager: hex in comm stays, and the arguments
                        of an exec are absent if they come in several records */
    AS_PROCESSES = 2 /* remember processes, although no rule reads a field of theirs: a selected field does */
} as_rules_flag;

typedef struct {
    const as_rule *rules;    /* at most 1,024 */
    const as_class *classes; /* at most 65,535; class 0 has no filters: its events are not wanted */
    const as_call *calls;    /* at most 65,536 of each kind from here on */
    const as_main *mains;
    const as_filter *filters;
    const uint16_t *anchors; /* with their operands, over all classes: at most 16,777,216 */
    const as_node *nodes;
    const as_predicate *predicates; /* at most 8,192 */
    const as_operand *operands;
    const as_exception *exceptions;
    const as_session *sessions; /* at most 64; the first that fits counts */
    const uint8_t *text;        /* at most 1 MiB */
    const uint32_t *arches; /* SYSCALL arch values whose calls are known; records of others are counted. None: all */
    uint32_t rule_count;
    uint32_t class_count;
    uint32_t call_count;
    uint32_t main_count;
    uint32_t filter_count;
    uint32_t anchor_count;
    uint32_t node_count;
    uint32_t predicate_count;
    uint32_t operand_count;
    uint32_t exception_count;
    uint32_t text_len;
    uint32_t arch_count;
    uint32_t session_count;
    uint32_t other_call_class; /* class of calls without an as_call; 0: not wanted */
    uint32_t flags;            /* bits of as_rules_flag */
    uint64_t actor_fields;     /* bits of as_field. Events of one key that differ in them have different actors, whose
                                  windows are not merged (as_hit.others). 0: a key is one actor */
} as_rules;

/* Layout of a hit: as_hit, then as_event_id[ids], as_hit_field[AS_FIELDS], text. as_hit_next and the accessors after it
 * read it for you. */
typedef struct {
    uint32_t size;    /* in bytes, including text; a multiple of 8 */
    uint32_t rule;    /* index in as_rules.rules */
    uint32_t ids;     /* events of the window */
    uint32_t others;  /* of these, events of another actor than the event that the fields come from */
    uint64_t more;    /* completed windows of the same key and actor that were merged into this hit */
    uint64_t last_ms; /* stamp of the newest of them */
    uint32_t filter;  /* index in as_rules.filters: the one that the last event fits */
    uint32_t unknown; /* unknown fields of its processes that rules compare: bit n is AS_FIELD_PARENT_NAME + n, and
                         as_unknown. A value can be there, but not whole: arguments that were cut */
    uint32_t members; /* AS_RULE_SEQUENCE, AS_RULE_SAMPLE: offset of an as_hit_field for each event but the last, which
                         leads to its fields (as_hit_member reads them): of each a byte with the as_field, a byte that
                         is 1 if the value was cut, its length in two bytes, low one first, and its bytes. 0: none */
    uint32_t unused;
} as_hit;

/* Further bits of as_hit.unknown: of the event's own process, of which a record of another kind than exec tells little. */
typedef enum { AS_UNKNOWN_NAME = 1 << 14, AS_UNKNOWN_ARGUMENTS = 1 << 15 } as_unknown;

typedef struct {
    uint64_t ms; /* since 1970 UTC: the kernel's stamp, taken at entry of the system call */
    uint32_t serial;
    uint16_t type;  /* of the event's first record, of the event that completed the hit; 0: of another event */
    uint16_t flags; /* bits of as_event_flag, of the same event */
} as_event_id;

typedef enum {
    AS_EVENT_ARGS_CUT = 1 /* AS_FIELD_ARGS is not all: there are more, or longer ones, or a record of them was lost */
} as_event_flag;

typedef struct {
    uint32_t at;  /* offset from the start of the as_hit; 0: the field is absent */
    uint32_t len; /* of an absent field: 1 if it was not selected (as_ring_select_fields), else 0 */
} as_hit_field;

/* Loss is data: everything that came in, and its outcome. Never reset. */
typedef struct {
    uint64_t datagrams;       /* received or fed, regardless of outcome */
    uint64_t foreign;         /* not sent by the kernel: dropped unread */
    uint64_t truncated;       /* longer than datagram_bytes: the start was used, the rest is lost. Excludes record
                                 types that no field is read from. Includes events that a rule may match and that
                                 have a record with 16 fields and words unknown to the kernel: the rest of such a
                                 record is not read */
    uint64_t control;         /* replies and notices on the same socket: not records */
    uint64_t lines;           /* of log text, without the separators that ausearch and tail write */
    uint64_t records;         /* with a readable stamp */
    uint64_t malformed;       /* datagrams and lines without one */
    uint64_t events;          /* closed, for any reason */
    uint64_t incomplete;      /* of these: without an end or a SYSCALL record; in text: without SYSCALL, or without
                                 PATH records that it announces */
    uint64_t evicted;         /* of the incomplete: closed early because a table was full */
    uint64_t late;            /* records of an event that was already closed */
    uint64_t duplicate;       /* records that their event already had */
    uint64_t serials_missing; /* serials that the kernel issued and that never arrived (datagrams only) */
    uint64_t serial_restarts; /* restarts of the serials: another boot */
    uint64_t stamp_steps;     /* times that the stamps of a host stepped back by more than 5 s and stayed there */
    uint64_t matches;         /* events that a rule matched */
    uint64_t excepted;        /* events that a rule would have matched, except for one of its exceptions */
    uint64_t keyless;         /* matches without a key field: not counted in any window */
    uint64_t stale;           /* matches older than all of a full window, within its span: not counted in it */
    uint64_t keys_evicted;    /* windows evicted because key_slots were full */
    uint64_t sequences;       /* completed windows */
    uint64_t hits;            /* of these: separate hits; the others were merged into one */
    uint64_t unknown_arch;    /* SYSCALL records of architectures outside as_rules.arches */
    uint64_t open_events;     /* gauge: events being reassembled */
    uint64_t live_keys;       /* gauge: keys with a window */
    uint64_t limited;         /* completed sequences and samples beyond the limit of their rule: not in `sequences` */
    uint64_t disordered; /* matches decided after a later one of their host: as_ring_order was too small. Without it,
                            steps of sequences decided after a later step before them */
    uint64_t parents_unknown;   /* events of which rules asked the parent, and it is not known */
    uint64_t processes_evicted; /* processes that are forgotten because process_slots or their texts were full */
    uint64_t live_processes;    /* gauge: processes remembered */
    uint64_t args_cut;          /* events whose arguments were read and are not complete (AS_EVENT_ARGS_CUT) */
} as_stats;

/* Set the defaults of the command line: 20 MiB. The seed is 0: set it to a random number. */
void as_config_default(as_config *config);

/* Size in bytes of a ring with this configuration; 0 if a value is out of bounds, or the total exceeds the address
 * space. */
size_t as_ring_bytes(const as_config *config, const as_rules *rules);

/* Allocate a ring and copy the rules. NULL: errno is EINVAL (a bound, an index, as_ring_bytes 0) or ENOMEM. */
as_ring *as_ring_new(const as_config *config, const as_rules *rules);
void as_ring_free(as_ring *ring);

/* Restrict hits to these fields (a bit 1 << as_field each), which costs less: what neither they nor a rule needs is not
 * stored. Fields of rules may be left out. Only before the first input, otherwise AS_ARGUMENT. */
int64_t as_ring_select_fields(as_ring *ring, uint64_t fields);

/* Hold back up to `order` matching events and decide them by stamp and serial: for recorded input. 0, the default:
 * decide each event as it ends. At most half of event_slots and an eighth of small_texts. Only before the first input,
 * otherwise AS_ARGUMENT. as_ring_finish decides all. */
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

/* Write the fetched datagrams in packed form: for each a 16-byte little-endian header (u64 now_ms, u32 length, u32
 * sender port) and its bytes. size: at least datagram_slots * (datagram_bytes + 16). Returns the bytes written. */
int64_t as_ring_pack(as_ring *ring, uint8_t *out, size_t size, uint64_t now_ms);

/* Feed packed datagrams. A now_ms of 0 in a header means that there is no clock; stamps are not one. Returns the bytes
 * consumed: less than len if the hit buffer is full (drain, then continue with the rest) or if the rest is not a whole
 * entry. */
int64_t as_ring_feed(as_ring *ring, const uint8_t *packed, size_t len);

/* Feed log text, split anywhere; an unfinished line waits for its rest. Returns the bytes consumed: less than len if
 * the hit buffer is full. Text has no clock: an event without an end is closed after min(event_slots, small_texts / 4)
 * / 2 later events (as_ring_order's number is subtracted before the division), or by as_ring_expire. */
int64_t as_ring_feed_text(as_ring *ring, const uint8_t *text, size_t len);

/* Copy the start of the first non-blank line that was not a record, at most 240 bytes, and forget it. Returns its
 * length; 0: no such line since the last call. */
int64_t as_ring_unread_line(as_ring *ring, uint8_t *out, size_t size);

/* Advance the clock: close events and judge serials that have timed out. The first time given to a ring without a clock
 * starts it. Returns the number of events closed. */
int64_t as_ring_expire(as_ring *ring, uint64_t now_ms);

/* End the input: process the unfinished line, close all events, judge all serials. Returns 1 when finished; 0 if the
 * hit buffer is full (drain, then call again). */
int64_t as_ring_finish(as_ring *ring);

/* Move all hits, oldest first, to out. size: at least hit_bytes. Returns the bytes moved. */
int64_t as_ring_drain(as_ring *ring, uint8_t *out, size_t size);

/* Remove all hits as as_ring_drain does, but return them in place. *out stays valid until the next call that feeds,
 * expires, finishes, migrates or frees this ring. Returns their size in bytes. */
int64_t as_ring_borrow(as_ring *ring, const uint8_t **out);

/* The hit after `hit` in drained or borrowed bytes; the first one for NULL. NULL at the end, or if no valid hit
 * follows. The functions below read such a hit. None of them needs a ring, and any thread may call them. */
const uint8_t *as_hit_next(const uint8_t *hits, size_t len, const uint8_t *hit);
uint32_t as_hit_rule(const uint8_t *hit);     /* as_hit.rule */
uint32_t as_hit_count(const uint8_t *hit);    /* number of events, 1 or more */
uint32_t as_hit_others(const uint8_t *hit);   /* as_hit.others */
uint64_t as_hit_more(const uint8_t *hit);     /* as_hit.more */
uint64_t as_hit_first_ms(const uint8_t *hit); /* stamp of the first event */
uint64_t as_hit_last_ms(const uint8_t *hit);  /* as_hit.last_ms */

/* Copy the id of an event, 0 to as_hit_count - 1, oldest first. The last one completed the window; fields are its. */
int64_t as_hit_event(const uint8_t *hit, uint32_t index, as_event_id *out);

/* Point *out at a field (as_field), decoded and not zero-terminated. Returns its length, or AS_ABSENT. */
int64_t as_hit_text(const uint8_t *hit, uint32_t field, const uint8_t **out);

/* As as_hit_text, for an earlier event of an AS_RULE_SEQUENCE or AS_RULE_SAMPLE: index 0 to as_hit_count - 2. About 480
 * bytes of fields are kept of each: those that do not fit are absent, and one may be cut. */
int64_t as_hit_member(const uint8_t *hit, uint32_t index, uint32_t field, const uint8_t **out);

/* Read a field as a number, in the base that the kernel prints it in. AS_ABSENT: the field is absent or not a number.
 *  */
int64_t as_hit_number(const uint8_t *hit, uint32_t field, int64_t *out);

/* As as_hit_text, for key number `index` of the hit's rule, 0 to as_filter.key_count - 1 of its filter. rules: those of the
 * ring. */
int64_t as_hit_key(const uint8_t *hit, const as_rules *rules, uint32_t index, const uint8_t **out);

/* Forms of a column: one field of many hits, side by side. */
typedef enum {
    /* as_hits_texts */
    AS_COLUMN_TEXT = 0, /* each text and a zero byte. A text may hold zero bytes itself (count them), but not
                           AS_FIELD_PROCTITLE and lists, which have blanks instead */
    AS_COLUMN_DICT = 1, /* dictionary-encoded, for texts that repeat: the distinct texts, each with a zero byte;
                           rows holds the number of each row's text, from 1 */
    AS_COLUMN_ARGUMENTS =
        2, /* of AS_FIELD_PROCTITLE and lists: the values, each with a zero byte; a row without any has
              one zero byte */
    /* as_hits_numbers */
    AS_COLUMN_NUMBER = 3,         /* a field that is printed in decimal */
    AS_COLUMN_MS = 4,             /* stamp of the hit's last event; field does not matter */
    AS_COLUMN_SERIAL = 5,         /* its serial */
    AS_COLUMN_ARGUMENT_COUNTS = 6 /* number of texts that AS_COLUMN_ARGUMENTS has for the row, 1 or more, also where the
                                     row has no arguments and is absent */
} as_column_form;

typedef struct {
    uint32_t rows;      /* hits */
    uint32_t absent;    /* rows without the field: an empty text or 0 */
    uint32_t fallback;  /* AS_COLUMN_NUMBER: rows whose value is not in the kernel's form, or exceeds 63 bits: 0;
                           AS_COLUMN_DICT: 1 if there are more than 255 texts or many collisions: use AS_COLUMN_TEXT */
    uint32_t dict_size; /* AS_COLUMN_DICT: distinct texts */
} as_column;

/* Write a column of drained or borrowed hits. rows: len / 256 bytes at least; gets a byte per hit, 0 where the field is
 * absent. size: of out in bytes, at least len. as_hits_texts returns the bytes written to out, as_hits_numbers the
 * number of rows. AS_ARGUMENT: the bytes are not whole hits. They need no ring, and any thread may call them. */
int64_t as_hits_texts(const uint8_t *hits, size_t len, uint32_t field, uint32_t form, uint8_t *rows, uint8_t *out,
                      size_t size, as_column *column);
int64_t as_hits_numbers(const uint8_t *hits, size_t len, uint32_t field, uint32_t form, uint8_t *rows, int64_t *out,
                        size_t size, as_column *column);

int64_t as_ring_stats(as_ring *ring, as_stats *out);

/* Number of events that each exception excluded, by index in as_rules.exceptions; the first of a rule that fits counts.
 * Their sum is as_stats.excepted. size: of out, in counters; at least exception_count. Returns exception_count. */
int64_t as_ring_exception_counts(as_ring *ring, uint64_t *out, size_t size);

/* SYSCALL records of one architecture outside as_rules.arches. */
typedef struct {
    uint64_t records;
    uint32_t arch;
    uint32_t unused;
} as_unknown_arch;

/* The architectures that as_stats.unknown_arch counts, the first 8 of them. size: of out, in entries; at least 8.
 * Returns their number. */
int64_t as_ring_unknown_arches(as_ring *ring, as_unknown_arch *out, size_t size);

typedef enum {
    AS_FACTS_ABSENT = 1,    /* there is no such process */
    AS_FACTS_AT_START = 2,  /* read when the sensor started, not because an event asked for it */
    AS_FACTS_ARGUMENTS = 4, /* the arguments were read */
    AS_FACTS_CUT = 8        /* of them, the first ones */
} as_facts_flags;

/* What procfs tells of a process of this host. */
typedef struct {
    uint64_t start_ms; /* since 1970 UTC */
    uint64_t read_ms;  /* when it was read */
    uint32_t pid;      /* in the first pid namespace */
    uint32_t parent;
    uint32_t flags;     /* bits of as_facts_flags */
    uint32_t texts_len; /* name, executable, arguments, with a zero byte after each */
    const uint8_t *texts;
} as_process_facts;

/* 1 if the ring remembers processes: some rule reads a field of theirs, or AS_PROCESSES. */
int64_t as_ring_remembers_processes(as_ring *ring);

/* The pid that the input waits for (as_config.asks): as with a full hit buffer, nothing more is consumed until
 * as_ring_add_process was called for it. 0: none. */
int64_t as_ring_wanted_process(as_ring *ring);

/* Add what procfs tells of a process, or that there is none. What exec records told of the same process stays. */
int64_t as_ring_add_process(as_ring *ring, const as_process_facts *facts);

/* Migrate the state of ring `from` to a new ring with other rules and the same as_config, including its seed.
 * rules: for each rule of from, in order, its index in the new ring, or UINT32_MAX if it is gone. A rule that stays
 * keeps its windows and pending events; a new one sees events whose SYSCALL record comes later. All counters continue
 * except as_ring_exception_counts, and so does the selection of fields. Nothing is lost or decided early. Free from
 * afterwards.
 * Returns 1 when done; 0 if from has hits (drain, then call again); AS_ARGUMENT if this ring was used before, if its
 * configuration or actor_fields differ, or if a rule has other keys or another count than its counterpart. */
int64_t as_ring_migrate(as_ring *ring, as_ring *from, const uint32_t *rules);

/* Version that this library was built as. At import it detects a stale build next to newer Python files. */
const char *as_version(void);
