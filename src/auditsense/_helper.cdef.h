/* Processes of `auditsense run` that run no Python: the broker. And the calls of SQLite in a confined process. */

/* Bytes from first up to, without, end. */
typedef struct {
    uint64_t first;
    uint64_t end;
} as_range;

/* The end of a start: memory of Python's that this process does not need, and its filter for system calls. */
typedef struct {
    const as_range *unneeded; /* mappings of this process; none of them holds what the process reads from now on */
    const void *program;      /* struct sock_fprog; NULL: no filter */
    uint32_t unneeded_count;
} as_helper_start;

typedef enum {
    AS_BROKER_TIDY = 0,   /* removes the files of the sensor */
    AS_BROKER_FILE = 1,   /* opens and rotates the file of a sink */
    AS_BROKER_SOCKET = 2, /* connects to a socket */
    AS_BROKER_LOG = 3,    /* opens a log and its predecessors for reading */
    AS_BROKER_CLIENTS = 64
} as_broker_kind;

/* One client, and what it may ask for. A request is one byte. The answer is one byte, 0 or a number of errno, and a
 * descriptor where one was asked for.
 *   TIDY    'B' note what the last file is before the sensor makes it; 'K' note that it is the sensor's; 'C' remove all
 *   FILE    'O' open; 'R' rename the file and its predecessors, unless another process has renamed it
 *   SOCKET  'D', 'S' connect a socket for datagrams, for a stream
 *   LOG     0 to count - 1: open that name; 255: 0 if the first name is still the file that was opened by it last, else
 *           ESTALE */
typedef struct {
    const char *const
        *names;      /* TIDY: absolute paths. FILE, LOG: in the folder, the newest first. SOCKET: sockaddr_un */
    uint64_t device; /* FILE: what the file is now */
    uint64_t inode;
    int32_t connection; /* a stream socket */
    int32_t folder;     /* FILE, LOG: a descriptor */
    uint32_t kind;      /* as_broker_kind */
    uint32_t count;     /* of the names */
    uint32_t files;     /* TIDY: how many of the names are files; the others are folders */
    uint32_t length;    /* SOCKET: bytes of the address */
    uint32_t flags;     /* FILE, LOG: of open(2) */
    uint32_t unused;
} as_broker_client;

/* Serve clients until all of them have closed their connections. Returns 0 or a number of errno. */
int32_t as_broker_serve(const as_broker_client *clients, uint32_t count);

/* Run the broker: unmap, filter, serve. Never returns. What clients and start point to must not be unneeded memory. */
void as_broker_run(const as_broker_client *clients, uint32_t count, const as_helper_start *start);

/* Files of one folder that SQLite may create, write and remove. */
typedef struct {
    const char *folder;       /* its path, without a slash at the end */
    const char *const *names; /* each in memory that is read-only */
    uint32_t count;           /* of the names */
    int32_t descriptor;       /* of the folder */
    int32_t flags;            /* of open(2); with O_CREAT where SQLite asks for it */
    int32_t mode;
} as_sqlite_files;

/* Let SQLite open and remove these files by their sealed names, and open all others for reading only.
 *   vfs    sqlite3_vfs
 *   files  copied; what it points to must stay. NULL: SQLite's own calls again
 * Returns 0, or ENOSYS where this SQLite has no calls that can be replaced. */
int32_t as_sqlite_replace(void *vfs, const as_sqlite_files *files);
