"""auditsense rules: the audit rule in the kernel, without the sensor."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from auditsense.cli import print_data, print_message
from auditsense.config.settings import build_settings, load_config
from auditsense.errors import KernelCommandError, one_line
from auditsense.kernel import procfs
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import check_may_add
from auditsense.kernel.rules import auditctl
from auditsense.sources.factory import rules_needed
from auditsense.sources.unicast import DEFAULT_AUDIT_RULE

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    if arguments.action == "print":
        return _print(arguments)
    with Commands() as commands:
        return _ACTIONS[arguments.action](commands)


def _print(arguments: argparse.Namespace) -> int:
    """Print the audit rules that `run` needs with the same configuration and flags."""
    settings = build_settings(load_config(arguments))
    for line in settings.source.audit_rules or rules_needed(settings.detections):
        print_data(one_line(line))
    return 0


def _list(commands: Commands) -> int:
    for rule in commands.rules():
        print_data(one_line(auditctl.format_rule(rule)))
    return 0


def _there(commands: Commands) -> bool:
    wanted = auditctl.parse(DEFAULT_AUDIT_RULE)
    return any(rule.same_as(wanted) for rule in commands.rules())


def _check(commands: Commands) -> int:
    commands.status()  # the reason why audit does not answer here comes first
    procfs.require_host_proc([auditctl.parse(DEFAULT_AUDIT_RULE)])
    if not _there(commands):
        print_message(f"the kernel does not have the audit rule {DEFAULT_AUDIT_RULE}")
        return 1
    if not commands.status().enabled:
        print_message("the audit rule is listed, but audit is off; auditsense run turns it on while it runs")
    return 0


def _install(commands: Commands) -> int:
    status = commands.status()
    rule = auditctl.parse(DEFAULT_AUDIT_RULE)
    procfs.require_host_proc([rule])
    if _there(commands):
        print_message(f"the kernel has the audit rule {DEFAULT_AUDIT_RULE} already")
        return 0
    check_may_add(status, [rule])
    try:
        commands.add_rule(rule)
    except KernelCommandError as error:
        if error.errno != errno.EEXIST:  # another process added it in between
            raise
        print_message(f"the kernel has the audit rule {DEFAULT_AUDIT_RULE} already")
    else:
        print_message(f"the kernel has the audit rule {DEFAULT_AUDIT_RULE} now")
    return 0


def _remove(commands: Commands) -> int:
    try:
        commands.delete_rule(auditctl.parse(DEFAULT_AUDIT_RULE))
    except KernelCommandError as error:
        if error.errno != errno.ENOENT:
            raise
        print_message(f"the kernel does not have the audit rule {DEFAULT_AUDIT_RULE}")
    else:
        print_message(f"the kernel does not have the audit rule {DEFAULT_AUDIT_RULE} any more")
    return 0


_ACTIONS = {"list": _list, "check": _check, "install": _install, "remove": _remove}
