"""Types of the documents, as in `schema/document.json` (tests/detect/test_schema.py compares the two).

`Document` has the fields of every kind of document. `event.dataset` tells the kinds apart. A field that not
all kinds have is not required. Imported for types only,
and without `annotations` of __future__, which would hide NotRequired from `__required_keys__`.
"""

from typing import NotRequired, TypedDict


class AttackFields(TypedDict):
    """An entry of MITRE ATT&CK."""

    id: str
    name: str
    reference: str


class ThreatFields(TypedDict):
    """A tactic with its techniques."""

    framework: str
    tactic: AttackFields
    technique: list[AttackFields]


class EventFields(TypedDict):
    """ECS `event`."""

    kind: str
    dataset: str
    module: str
    category: list[str]
    type: list[str]
    id: NotRequired[str]
    outcome: NotRequired[str]
    action: NotRequired[str]
    risk_score: NotRequired[int]
    severity: NotRequired[int]
    start: NotRequired[str]
    end: NotRequired[str]
    duration: NotRequired[int]


class RuleFields(TypedDict):
    """ECS `rule`: the detection, or the kind of a report of the sensor."""

    id: str
    name: str
    version: NotRequired[str]
    description: NotRequired[str]
    reference: NotRequired[str]


class EcsFields(TypedDict):
    """ECS `ecs`."""

    version: str


class OsFields(TypedDict):
    """ECS `host.os`."""

    type: str


class HostFields(TypedDict):
    """ECS `host`."""

    id: str
    name: str
    os: OsFields


class ParentFields(TypedDict, total=False):
    """ECS `process.parent`."""

    pid: int
    name: str
    executable: str
    args: list[str]
    command_line: str
    entity_id: str


class CapabilityFields(TypedDict, total=False):
    """ECS `process.thread.capabilities`."""

    effective: list[str]


class ThreadFields(TypedDict, total=False):
    """ECS `process.thread`."""

    capabilities: CapabilityFields


class EntryMetaFields(TypedDict, total=False):
    """ECS `process.entry_leader.entry_meta`."""

    type: str


class LeaderFields(TypedDict, total=False):
    """ECS `process.entry_leader`."""

    executable: str
    args: list[str]
    entry_meta: EntryMetaFields


class ProcessFields(TypedDict, total=False):
    """ECS `process`."""

    pid: int
    name: str
    executable: str
    title: str
    working_directory: str
    args: list[str]
    args_count: int
    command_line: str
    entity_id: str
    thread: ThreadFields
    parent: ParentFields
    entry_leader: LeaderFields


class AccountFields(TypedDict, total=False):
    """A user or a group."""

    id: str
    name: str


class EffectiveFields(AccountFields, total=False):
    """ECS `user.effective`."""

    group: AccountFields


class TargetFields(TypedDict, total=False):
    """ECS `user.target`."""

    name: str


class SelinuxFields(TypedDict, total=False):
    """ECS `user.selinux`."""

    user: str


class UserFields(AccountFields, total=False):
    """ECS `user`."""

    effective: EffectiveFields
    target: TargetFields
    saved: AccountFields
    filesystem: AccountFields
    audit: AccountFields
    group: AccountFields
    selinux: SelinuxFields


class FileFields(TypedDict, total=False):
    """ECS `file`."""

    path: str
    inode: str
    device: str
    mode: str
    uid: str
    gid: str
    owner: str
    group: str


class SocketFields(TypedDict, total=False):
    """`auditd.data.socket`."""

    family: str
    addr: str
    port: str
    path: str


class SyscallFields(TypedDict, total=False):
    """`auditd.data`."""

    arch: str
    syscall: str
    a0: str
    a1: str
    a2: str
    a3: str
    exit: str
    tty: str
    acct: str
    terminal: str
    hostname: str
    addr: str
    grantors: str
    unit: str
    socket: SocketFields


class AuditdFields(TypedDict, total=False):
    """`auditd`."""

    data: SyscallFields
    session: str


class EndFields(TypedDict, total=False):
    """ECS `destination` and `source`."""

    ip: str
    port: int
    address: str


class NetworkFields(TypedDict):
    """ECS `network`."""

    direction: str


class ContainerFields(TypedDict):
    """ECS `container`."""

    id: str
    runtime: NotRequired[str]


# `from` is a word of Python.
PlaceFields = TypedDict(
    "PlaceFields",
    {
        "pid_namespace": str,
        "pid_namespace_inode": NotRequired[str],
        "procfs": str,
        "from": NotRequired[str],
    },
)
"""`auditsense.container`: what is known of where the process of an alert is confined."""


class BurstFields(TypedDict):
    """`auditsense.burst`."""

    id: str


class ActorFields(TypedDict):
    """One of `auditsense.actors`."""

    count: int
    executable: NotRequired[str]
    user: NotRequired[str]
    login: NotRequired[str]
    session: NotRequired[str]


class LossFields(TypedDict):
    """`auditsense.loss`, in documents of the dataset `auditsense.loss`."""

    events: int
    records: int
    by_cause: dict[str, int]


class SinkFields(TypedDict):
    """`auditsense.sink`, in documents of the dataset `auditsense.sink`."""

    name: str
    given: int
    written: int
    dropped: int
    failed: int
    queued_bytes: int
    most_queued_bytes: int
    problem: NotRequired[str]


class WithheldProcessFields(TypedDict):
    """One of `auditsense.withheld.processes`."""

    rule: str
    count: int
    since: str
    until: str
    pid: NotRequired[int]
    name: NotRequired[str]
    executable: NotRequired[str]
    user: NotRequired[str]
    login: NotRequired[str]
    host: NotRequired[str]


class WithheldFields(TypedDict):
    """`auditsense.withheld`, in documents of the dataset `auditsense.withheld`."""

    count: int
    processes: list[WithheldProcessFields]
    more: int


class ClockFields(TypedDict):
    """`auditsense.clock`, in documents of the dataset `auditsense.clock`."""

    step_ms: int
    before: str
    after: str


class SensorFields(TypedDict):
    """`auditsense`: the fields that ECS does not have."""

    state: str
    events: list[str]
    severity: NotRequired[str]
    # alerts, sequences, updates and closing documents
    count: NotRequired[int]
    lost: NotRequired[int]
    lost_total: NotRequired[int]
    note: NotRequired[str]
    investigate: NotRequired[list[str]]
    respond: NotRequired[list[str]]
    cut: NotRequired[list[str]]
    others: NotRequired[int]
    rate: NotRequired[float]
    unknown: NotRequired[list[str]]
    container: NotRequired[PlaceFields]
    burst: NotRequired[BurstFields]
    suppressed: NotRequired[int]
    actors: NotRequired[list[ActorFields]]
    more_actors: NotRequired[int]
    also: NotRequired[list[str]]
    # reports of the sensor
    loss: NotRequired[LossFields]
    repaired: NotRequired[str]
    sink: NotRequired[SinkFields]
    withheld: NotRequired[WithheldFields]
    clock: NotRequired[ClockFields]


_Timestamp = TypedDict("_Timestamp", {"@timestamp": str})


class Document(_Timestamp):
    """A document: an alert, an event, a sequence, an update, the end of a burst, or a report of the sensor.

    Its JSON is one line of output. docs/alerts.md lists the fields.
    """

    ecs: EcsFields
    event: EventFields
    host: HostFields
    auditsense: SensorFields
    message: NotRequired[str]
    rule: NotRequired[RuleFields]
    process: NotRequired[ProcessFields]
    user: NotRequired[UserFields]
    file: NotRequired[FileFields]
    auditd: NotRequired[AuditdFields]
    destination: NotRequired[EndFields]
    source: NotRequired[EndFields]
    network: NotRequired[NetworkFields]
    container: NotRequired[ContainerFields]
    threat: NotRequired[list[ThreatFields]]
    tags: NotRequired[list[str]]
