"""auditsense rules: the audit rules of the detections in the kernel, without the sensor."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from auditsense.cli import print_data, print_message
from auditsense.cli.audit_rules import audit_rules_needed
from auditsense.config.settings import build_settings, load_config
from auditsense.errors import KernelCommandError, one_line
from auditsense.kernel import procfs
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import check_may_add
from auditsense.kernel.rules import auditctl

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from auditsense.kernel.rules.rule import AuditRule


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    if arguments.action == "list":
        with Commands() as commands:
            return _list(commands)
    lines = _needed(arguments)
    if arguments.action == "print":
        for line in lines:
            print_data(one_line(line))
        return 0
    with Commands() as commands:
        return _ACTIONS[arguments.action](commands, {line: auditctl.parse(line) for line in lines})


def _needed(arguments: argparse.Namespace) -> list[str]:
    """Return the audit rules that detections name: Elastic's for what the shipped ones find on the host."""
    return audit_rules_needed(build_settings(load_config(arguments)), optional=True)


def _list(commands: Commands) -> int:
    for rule in commands.rules():
        print_data(one_line(auditctl.format_rule(rule)))
    return 0


def _missing(commands: Commands, wanted: Mapping[str, AuditRule]) -> dict[str, AuditRule]:
    present = commands.rules()
    return {line: rule for line, rule in wanted.items() if not any(other.same_as(rule) for other in present)}


def _check(commands: Commands, wanted: Mapping[str, AuditRule]) -> int:
    status = commands.status()  # the reason why audit does not answer here comes first
    procfs.require_host_proc([*wanted.values()])
    missing = _missing(commands, wanted)
    for line in missing:
        print_message(f"the kernel does not have the audit rule {line}")
    if missing:
        return 1
    if not status.enabled:
        print_message(
            "the kernel has every audit rule, but audit is off; auditsense run turns it on while it runs"
        )
    return 0


def _install(commands: Commands, wanted: Mapping[str, AuditRule]) -> int:
    status = commands.status()
    procfs.require_host_proc([*wanted.values()])
    missing = _missing(commands, wanted)
    if missing:
        check_may_add(status, [*missing.values()])
    for line, rule in wanted.items():
        added = line in missing and _added(commands, rule)
        print_message(f"the kernel has the audit rule {line} {'now' if added else 'already'}")
    return 0


def _added(commands: Commands, rule: AuditRule) -> bool:
    """Add a rule; return whether it was missing."""
    try:
        commands.add_rule(rule)
    except KernelCommandError as error:
        if error.errno != errno.EEXIST:  # another process added it in between
            raise
        return False
    return True


def _remove(commands: Commands, wanted: Mapping[str, AuditRule]) -> int:
    for line, rule in wanted.items():
        try:
            commands.delete_rule(rule)
        except KernelCommandError as error:
            if error.errno != errno.ENOENT:
                raise
            print_message(f"the kernel does not have the audit rule {line}")
        else:
            print_message(f"the kernel does not have the audit rule {line} any more")
    return 0


_ACTIONS = {"check": _check, "install": _install, "remove": _remove}
