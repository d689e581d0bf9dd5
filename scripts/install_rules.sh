#!/bin/sh
# Puts the audit rule that auditsense lives on in force, now and after every reboot:
#
#     -w /proc/ -p r -k audit_proc
#
# Two rules for this file:
#   1. It touches nothing but that one rule and its own two files. Every other audit rule and every kernel setting stays as it is: no -D, -e, -f, -b
#      or -r, and no `augenrules --load` (see regenerate()).
#   2. It believes listings, not exit codes: a rule is in force when the kernel lists it, and persistent when the file that is read at boot has it.
#
# With auditd: auditctl for now, /etc/audit/rules.d/50-auditsense.rules for later.
# Without: `auditsense rules install` for now, a systemd unit that runs the same command for later.
#
# A test seam: AUDITSENSE_SYSROOT=DIR puts the files below DIR while the commands found on PATH are still run; unlike --root, which runs none.

set -u
umask 022
LC_ALL=C
export LC_ALL

readonly RULE='-w /proc/ -p r -k audit_proc'
readonly MARK='# Written by install_rules.sh of auditsense.'
readonly UNIT_NAME=auditsense-rules.service
readonly NAME=install_rules.sh

# Exit codes, the same as the auditsense command's.
readonly FAILED=1 USAGE=2 NO_AUDIT=3 LOCKED=4

ACTION=install DRY='' LIVE=yes ROOT=${AUDITSENSE_SYSROOT:-}
STATUS=0 TEMP=''

usage() {
    cat <<TEXT
usage: $NAME [--remove | --check] [--dry-run] [--root DIR]

Puts the audit rule  $RULE  in force now and after a reboot.

  (no option)  install
  --remove     take away what an installation put there, and nothing else
  --check      say whether the rule is in force and persistent; changes nothing
  --dry-run    with install and --remove: say what would be done; changes nothing
  --root DIR   work on the files below DIR only (image builds); the kernel is left alone
  --help       this text

AUDITSENSE=PATH names the auditsense command (with --root: its path inside the image).

exit code: 0 done or in force; 1 failed, not in force or not persistent; 2 usage;
           3 no kernel audit here, or not root; 4 the audit configuration is locked until reboot
TEXT
}

# --- saying things -------------------------------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
note() { printf '%s: note: %s\n' "$NAME" "$*" >&2; }
complain() { printf '%s: %s\n' "$NAME" "$*" >&2; }
last_line() { printf '%s\n' "$1" | sed -n '/[^[:space:]]/h; ${ g; p; }'; }

die() {
    code=$1
    shift
    complain "$*"
    exit "$code"
}

# A failure outranks "locked", which outranks success.
failed() {
    complain "$*"
    STATUS=$FAILED
}
locked() {
    note "$*"
    [ "$STATUS" -ne 0 ] || STATUS=$LOCKED
}

cleanup() { [ -z "$TEMP" ] || rm -f -- "$TEMP"; }

# --- files ---------------------------------------------------------------------------------------------------------------------------------------

rules_text() {
    printf '%s\n' "$MARK" '# Reads below /proc, for auditsense. Take it away with: install_rules.sh --remove' "$RULE"
}

# No Protect*=, Private*= or ReadOnly*= here: each gives the service a mount namespace of its own, and a watch on /proc that is set from there is
# listed by the kernel and may match nothing.
unit_text() {
    printf '%s\n' "$MARK" \
        '# Not sandboxed on purpose: a watch set from a mount namespace of its own is listed and may match nothing.' \
        '[Unit]' \
        'Description=Audit rule of auditsense (reads below /proc)' \
        'ConditionSecurity=audit' \
        '# auditd deletes all rules when it starts, should it be installed one day.' \
        'After=auditd.service audit-rules.service' \
        '' \
        '[Service]' \
        'Type=oneshot' \
        'RemainAfterExit=yes' \
        "ExecStart=\"$1\" rules install" \
        '' \
        '[Install]' \
        'WantedBy=multi-user.target'
}

# write_file PATH MODE TEXT: whole or not at all.
write_file() {
    directory=${1%/*}
    if ! message=$(mkdir -p -- "$directory" 2>&1) || ! TEMP=$(mktemp "$directory/.${1##*/}.XXXXXX" 2>&1); then
        message=${message:-$TEMP}
        TEMP=''
        failed "cannot write $1: $(last_line "$message")"
        return 1
    fi
    # One substitution a step: between two of them a signal is noticed.
    if message=$({ printf '%s\n' "$3" >"$TEMP"; } 2>&1) && message=$(chmod "$2" "$TEMP" 2>&1) && message=$(mv -f -- "$TEMP" "$1" 2>&1); then
        TEMP=''
        return 0
    fi
    cleanup
    TEMP=''
    failed "cannot write $1: $(last_line "$message")"
    return 1
}

remove_file() {
    if [ -n "$DRY" ]; then
        say "would remove $1"
    elif message=$(rm -f -- "$1" 2>&1); then
        say "removed $1"
    else
        failed "cannot remove $1: $(last_line "$message")"
        return 1
    fi
}

# --- audit rules as text -------------------------------------------------------------------------------------------------------------------------

# Reads rules and prints them one a line: those that are ours, in any spelling ("ours"), or the others ("others"). /proc and /proc/ are one, and so
# are -w and the -a form in which newer auditctl versions list it. Another key, permission or architecture makes another rule.
rules_that_are() {
    wanted=$1
    shift
    awk -v wanted="$wanted" '
        function ours(    i, option, value, directory, permission, key, keys, watch, exits) {
            for (i = 1; i <= NF; i += 2) {
                option = $i; value = $(i + 1)
                if (option == "-F") {
                    if (value ~ /^dir=/) option = "-w"
                    else if (value ~ /^perm=/) option = "-p"
                    else if (value ~ /^key=/) option = "-k"
                    else return 0
                    sub(/^[a-z]+=/, "", value)
                } else if (option == "-w") watch = 1
                if (option == "-w") { directory = value; sub(/\/+$/, "", directory) }
                else if (option == "-p") permission = value
                else if (option == "-k") { key = value; keys++ }
                else if (option == "-a" || option == "-A") { if (value != "always,exit" && value != "exit,always") return 0; exits = 1 }
                else if (option != "-S" || value != "all") return 0
            }
            return watch + exits == 1 && directory == "/proc" && permission == "r" && key == "audit_proc" && keys == 1
        }
        /^[ \t]*(#|$)/ || $1 == "No" { next }
        (ours() ? "ours" : "others") == wanted { $1 = $1; print }
    ' "$@"
}

has_ours() { [ -n "$(rules_that_are ours "$@" 2>/dev/null)" ]; }

# The file of rules.d, other than our own, that has the rule already.
find_elsewhere() {
    for file in "$RULES_DIR"/*.rules; do
        if [ "$file" != "$RULES_FILE" ] && [ -f "$file" ] && has_ours "$file"; then
            printf '%s\n' "$file"
            return
        fi
    done
}

# --- the kernel: one way with auditctl, one with auditsense --------------------------------------------------------------------------------------

# ask_kernel: sets LISTED (yes, no, unknown) and ENABLED (0, 1, 2, unknown).
ask_kernel() {
    LISTED=unknown ENABLED=unknown
    if [ -n "$HAVE_AUDITCTL" ]; then
        if ! message=$(auditctl -s 2>&1); then
            refused "$message"
            return
        fi
        ENABLED=$(printf '%s\n' "$message" | sed -n 's/.*enabled[ =]*\([0-9]\).*/\1/p' | sed 1q)
        ENABLED=${ENABLED:-unknown}
        if ! message=$(auditctl -l 2>&1); then
            refused "$message"
            return
        fi
        LISTED=no
        if printf '%s\n' "$message" | has_ours -; then LISTED=yes; fi
    else
        message=$("$SENSOR" rules check 2>&1 >/dev/null)
        case $? in
            0) LISTED=yes REMARK=$(last_line "$message") ;;
            1) LISTED=no ;;
            4) LISTED=no ENABLED=2 ;;
            *) refused "$message" ;;
        esac
    fi
}

# The kernel did not answer. A dry run goes on without; everything else ends here, with nothing changed.
refused() {
    message=$(last_line "$1")
    [ -n "$DRY" ] || die "$NO_AUDIT" "no kernel audit here: ${message:-no answer}"
    note "the kernel's rules cannot be read: ${message:-no answer}"
}

# change_kernel install|remove: tries; the caller looks at the listing afterwards. Sets message to what was said.
change_kernel() {
    if [ -z "$HAVE_AUDITCTL" ]; then
        message=$("$SENSOR" rules "$1" 2>&1 >/dev/null) || [ $? -ne 4 ] || ENABLED=2
    elif [ "$1" = install ]; then
        message=$(auditctl -w /proc/ -p r -k audit_proc 2>&1)
    else
        message=$(auditctl -W /proc/ -p r -k audit_proc 2>&1)
    fi
}

mention_disabled() {
    if [ "$ENABLED" = 0 ]; then
        note 'the rule is listed but audit is off (enabled 0): auditsense run, or auditctl -e 1, turns it on'
    elif [ -n "$REMARK" ]; then
        note "$REMARK"
    fi
}

# --- after a reboot, with auditd -----------------------------------------------------------------------------------------------------------------

# regenerate [gone]: makes /etc/audit/audit.rules anew from rules.d, where that is needed and harmless; then it has our rule (or has it no more).
#
# Not `augenrules --load`. That runs the whole of audit.rules through auditctl, and its first line is -D: every rule in the kernel is deleted and only
# those in files come back. Rules that other tools loaded at run time would be gone, and there is a moment without any. So our rule goes into the kernel
# by itself, and augenrules without --load only writes the file for the next boot.
#
# Even that would drop rules which somebody wrote into audit.rules by hand: then it is left alone.
regenerate() {
    [ -n "$LIVE" ] || return 0
    if [ "${1:-}" = gone ]; then
        has_ours "$AUDIT_RULES" || return 0
    elif has_ours "$AUDIT_RULES"; then
        return 0
    fi
    if [ -z "$HAVE_AUGENRULES" ]; then
        failed "$AUDIT_RULES is not up to date: there is no augenrules to make it from $RULES_DIR"
        return
    fi
    by_hand=$(rules_only_in_audit_rules)
    if [ -n "$by_hand" ]; then
        failed "$AUDIT_RULES left as it is: it has a line that $RULES_DIR has not ($by_hand); move it there, then run augenrules"
        return
    fi
    if [ -n "$DRY" ]; then
        say 'would run augenrules (without --load)'
        return
    fi
    message=$(augenrules 2>&1)
    if [ "${1:-}" = gone ]; then
        ! has_ours "$AUDIT_RULES" || failed "augenrules left the rule in $AUDIT_RULES: $(last_line "$message")"
    elif ! has_ours "$AUDIT_RULES"; then
        failed "augenrules did not bring the rule into $AUDIT_RULES: $(last_line "$message")"
    fi
}

# The first line of audit.rules that making it anew would lose.
rules_only_in_audit_rules() {
    [ -f "$AUDIT_RULES" ] || return 0
    {
        for file in "$RULES_DIR"/*.rules; do
            [ ! -f "$file" ] || rules_that_are others "$file"
        done
        say '# audit.rules:'
        rules_that_are others "$AUDIT_RULES"
    } | awk '/^#/ { made = 1; next } !made { known[$0]; next } !($0 in known) && !lost++'
}

persist_with_auditd() {
    elsewhere=$(find_elsewhere)
    if [ -n "$elsewhere" ]; then
        say "already persistent: $elsewhere has the rule"
        # Twice in rules.d would stop auditctl with an error at boot, and everything after the second with it.
        if rules_file_is_ours; then remove_file "$RULES_FILE"; fi
    elif has_ours "$RULES_FILE"; then
        say "already persistent: $RULES_FILE"
    elif [ -s "$RULES_FILE" ] && ! rules_file_is_ours; then
        failed "$RULES_FILE has other rules in it: left alone; add this line to it: $RULE"
        return
    elif [ -n "$DRY" ]; then
        say "would write $RULES_FILE: $RULE"
    else
        write_file "$RULES_FILE" 0640 "$(rules_text)" || return
        say "wrote $RULES_FILE"
    fi
    regenerate
    if ! boot_loads_rules; then
        failed "not persistent: neither auditd nor audit-rules is enabled, so nothing loads $RULES_DIR at boot; systemctl enable auditd"
    fi
}

# Only comments and our rule in it: somebody's own rules in our file are still somebody's own.
rules_file_is_ours() {
    [ -f "$RULES_FILE" ] && [ -z "$(rules_that_are others "$RULES_FILE")" ]
}

boot_loads_rules() {
    [ -n "$LIVE" ] && [ -n "$HAVE_SYSTEMD" ] && command -v systemctl >/dev/null || return 0
    systemctl is-enabled --quiet auditd.service 2>/dev/null || systemctl is-enabled --quiet audit-rules.service 2>/dev/null
}

# --- after a reboot, without auditd --------------------------------------------------------------------------------------------------------------

unit_is_ours() { [ ! -L "$UNIT" ] && [ -f "$UNIT" ] && grep -qxF "$MARK" "$UNIT"; }

persist_with_systemd() {
    if [ -z "$SENSOR" ]; then
        failed 'not persistent: a unit needs the auditsense command; install it, or auditd, or set AUDITSENSE to its path'
        return
    fi
    case $SENSOR in
        *[!A-Za-z0-9_./+@:,=\ -]*)
            failed "not persistent: a unit cannot name $SENSOR; install auditsense under a plainer path"
            return
            ;;
    esac
    if [ -L "$UNIT" ] || { [ -e "$UNIT" ] && ! unit_is_ours; }; then
        failed "$UNIT is not ours (or masked): left alone"
        return
    fi
    text=$(unit_text "$SENSOR")
    if [ -f "$UNIT" ] && [ "$(cat -- "$UNIT")" = "$text" ] && [ -L "$UNIT_LINK" ]; then
        say "already persistent: $UNIT"
        return
    fi
    if [ -n "$DRY" ]; then
        say "would write and enable $UNIT: $SENSOR rules install"
        return
    fi
    if ! [ -f "$UNIT" ] || [ "$(cat -- "$UNIT")" != "$text" ]; then
        write_file "$UNIT" 0644 "$text" || return
        say "wrote $UNIT"
    fi
    if [ -n "$LIVE" ] && command -v systemctl >/dev/null; then
        systemctl daemon-reload >/dev/null 2>&1
        systemctl enable "$UNIT_NAME" >/dev/null 2>&1
    fi
    # What systemctl does, by hand: it may be missing, or find no manager to talk to.
    if ! [ -L "$UNIT_LINK" ] && ! message=$({ mkdir -p -- "${UNIT_LINK%/*}" && ln -s "/etc/systemd/system/$UNIT_NAME" "$UNIT_LINK"; } 2>&1); then
        failed "cannot enable $UNIT_NAME: $(last_line "$message")"
        return
    fi
    say "enabled $UNIT_NAME"
    mention_owner
}

# Root runs this file at every boot.
mention_owner() {
    if [ -n "$LIVE" ] && [ -z "$(find -L "$SENSOR" -prune -user 0 2>/dev/null)" ]; then
        note "$SENSOR does not belong to root: its owner decides what root runs at boot"
    fi
}

# --- the three actions ---------------------------------------------------------------------------------------------------------------------------

install() {
    if [ -n "$LIVE" ]; then install_now; fi
    if [ -n "$HAVE_AUDITD" ]; then
        persist_with_auditd
    elif [ -n "$HAVE_SYSTEMD" ]; then
        persist_with_systemd
    else
        failed "not persistent: no auditd, no systemd, so nothing re-adds the rule after a reboot;" \
            "put '${SENSOR:-auditsense} rules install' into a boot script (/etc/rc.local or the like)"
    fi
    if [ "$ENABLED" = 2 ] && [ "$LISTED" = no ]; then
        locked 'the audit configuration is locked: the rule takes effect at the next boot'
    fi
}

install_now() {
    ask_kernel
    if [ "$LISTED" = yes ]; then
        say "already in force: $RULE"
    elif [ "$ENABLED" = 2 ]; then
        return
    elif [ -n "$DRY" ]; then
        say "would put in force: $RULE"
        return
    else
        change_kernel install
        said=$message
        [ "$ENABLED" != 2 ] || return 0
        ask_kernel
        # A rule that the kernel refuses must not get into a file either: at boot it would stop the rules after it.
        [ "$LISTED" = yes ] || die "$FAILED" "the kernel does not list the rule after adding it: $(last_line "$said")"
        say "in force: $RULE"
    fi
    mention_disabled
}

remove() {
    ours='' elsewhere=$(find_elsewhere)
    if [ -f "$RULES_FILE" ] && has_ours "$RULES_FILE"; then ours=yes; fi
    if unit_is_ours; then ours=yes; fi
    # Where no file could have been written, the rule in the kernel is all that an installation left.
    if [ -z "$HAVE_AUDITD$HAVE_SYSTEMD" ]; then ours=yes; fi

    if [ -n "$LIVE" ]; then remove_now; fi
    if [ ! -f "$RULES_FILE" ] && ! unit_is_ours; then say 'no file of ours to remove'; fi
    remove_rules_file
    remove_unit
    if [ "$ENABLED" = 2 ] && [ "$LISTED" = yes ] && [ -n "$ours" ] && [ -z "$elsewhere" ]; then
        locked 'the audit configuration is locked: the rule stays in force until the next boot'
    fi
}

# The kernel's rule goes before the files: if that fails, the files still say that it is ours, and a second run can finish.
remove_now() {
    ask_kernel
    if [ "$LISTED" = no ]; then
        say 'already not in force'
    elif [ -n "$elsewhere" ]; then
        say "left in force: $elsewhere has the rule too"
    elif [ -z "$ours" ]; then
        [ "$LISTED" = unknown ] || say 'left in force: no file of ours is here, so somebody else loaded the rule'
    elif [ "$ENABLED" = 2 ]; then
        return
    elif [ -n "$DRY" ]; then
        say "would delete from the kernel: $RULE"
    else
        change_kernel remove
        said=$message
        [ "$ENABLED" != 2 ] || return 0
        ask_kernel
        [ "$LISTED" = no ] || die "$FAILED" "the kernel still lists the rule: $(last_line "$said")"
        say "no longer in force: $RULE"
    fi
}

remove_rules_file() {
    [ -f "$RULES_FILE" ] || return 0
    if ! rules_file_is_ours; then
        failed "$RULES_FILE has other rules in it: left alone; take this line out of it: $RULE"
    elif remove_file "$RULES_FILE" && [ -z "$elsewhere" ]; then
        regenerate gone
    fi
}

remove_unit() {
    unit_is_ours || return 0
    if [ -n "$DRY" ]; then
        say "would disable $UNIT_NAME"
    else
        if [ -n "$LIVE" ] && command -v systemctl >/dev/null; then systemctl disable --now "$UNIT_NAME" >/dev/null 2>&1; fi
        rm -f -- "$UNIT_LINK" 2>/dev/null
    fi
    remove_file "$UNIT" || return
    if [ -z "$DRY" ] && [ -n "$LIVE" ] && command -v systemctl >/dev/null; then systemctl daemon-reload >/dev/null 2>&1; fi
}

check() {
    if [ -n "$LIVE" ]; then
        ask_kernel
        if [ "$LISTED" = yes ]; then
            say "in force: $RULE"
            mention_disabled
        elif [ "$ENABLED" = 2 ]; then
            locked 'not in force: the audit configuration is locked until the next boot'
        else
            failed "not in force: the kernel does not list $RULE"
        fi
    fi
    check_persistence
}

check_persistence() {
    where=$(find_elsewhere)
    if [ -z "$where" ] && has_ours "$RULES_FILE"; then where=$RULES_FILE; fi
    if [ -n "$HAVE_AUDITD" ] && [ -n "$where" ]; then
        if [ -n "$LIVE" ] && ! has_ours "$AUDIT_RULES"; then
            failed "not persistent: $where has the rule, $AUDIT_RULES has not; run augenrules"
        elif ! boot_loads_rules; then
            failed "not persistent: $where has the rule, but neither auditd nor audit-rules is enabled"
        else
            say "persistent: $where"
        fi
    elif [ -n "$HAVE_SYSTEMD" ] && unit_is_ours; then
        if [ -L "$UNIT_LINK" ]; then
            say "persistent: $UNIT"
        else
            failed "not persistent: $UNIT is not enabled"
        fi
    else
        failed 'not persistent: nothing re-adds the rule after a reboot'
    fi
}

# --- what is here --------------------------------------------------------------------------------------------------------------------------------

# A program of the system that is worked on: of the running one on PATH, of an image in its own directories.
have() {
    if [ -n "$LIVE" ]; then
        command -v "$1" >/dev/null && printf yes
        return
    fi
    for place in /usr/sbin /sbin /usr/bin /bin; do
        if [ -x "$ROOT$place/$1" ]; then
            printf yes
            return
        fi
    done
}

find_sensor() {
    if [ -n "${AUDITSENSE:-}" ]; then
        if [ -n "$LIVE" ]; then command -v "$AUDITSENSE"; else printf '%s\n' "$AUDITSENSE"; fi
        return
    fi
    if [ -z "$LIVE" ]; then
        for place in /usr/bin /usr/local/bin /opt/auditsense/bin; do
            if [ -x "$ROOT$place/auditsense" ]; then
                printf '%s\n' "$place/auditsense"
                return
            fi
        done
        return
    fi
    command -v auditsense && return
    checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." 2>/dev/null && pwd)
    if [ -x "$checkout/.venv/bin/auditsense" ]; then printf '%s\n' "$checkout/.venv/bin/auditsense"; fi
}

look_around() {
    AUDIT_RULES=$ROOT/etc/audit/audit.rules
    RULES_DIR=$ROOT/etc/audit/rules.d
    RULES_FILE=$RULES_DIR/50-auditsense.rules
    UNIT=$ROOT/etc/systemd/system/$UNIT_NAME
    UNIT_LINK=$ROOT/etc/systemd/system/multi-user.target.wants/$UNIT_NAME
    LISTED=unknown ENABLED=unknown REMARK=''

    HAVE_AUDITCTL=$(have auditctl)
    HAVE_AUGENRULES=$(have augenrules)
    SENSOR=$(find_sensor)
    case $SENSOR in
        '' | /*) ;;
        *) SENSOR=$PWD/$SENSOR ;;
    esac

    # rules.d alone proves nothing on a running system: it stays behind when auditd is uninstalled, and then nobody reads it.
    HAVE_AUDITD=''
    if [ -n "$HAVE_AUGENRULES" ]; then HAVE_AUDITD=yes; fi
    if [ -d "$RULES_DIR" ] && [ -n "$HAVE_AUDITCTL" ]; then HAVE_AUDITD=yes; fi
    if [ -d "$RULES_DIR" ] && [ -z "$LIVE" ]; then HAVE_AUDITD=yes; fi

    HAVE_SYSTEMD=''
    if [ -n "$LIVE" ]; then
        if [ -d "$ROOT/run/systemd/system" ]; then HAVE_SYSTEMD=yes; fi
    elif [ -d "$ROOT/lib/systemd/system" ] || [ -d "$ROOT/usr/lib/systemd/system" ]; then
        HAVE_SYSTEMD=yes
    fi
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --remove | --check)
                if [ "$ACTION" != install ] && [ "$ACTION" != "${1#--}" ]; then die "$USAGE" '--remove and --check exclude each other'; fi
                ACTION=${1#--}
                ;;
            --dry-run) DRY=yes ;;
            --root | --root=*)
                if [ "$1" = --root ]; then
                    [ $# -ge 2 ] || die "$USAGE" '--root needs a directory'
                    shift
                fi
                ROOT=${1#--root=} LIVE=''
                [ -d "$ROOT" ] || die "$USAGE" "--root: no such directory: $ROOT"
                ROOT=${ROOT%/}
                ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) die "$USAGE" "unknown argument: $1 (see --help)" ;;
        esac
        shift
    done
    if [ "$ACTION" = check ] && [ -n "$DRY" ]; then die "$USAGE" '--check changes nothing anyway: leave --dry-run out'; fi
}

main() {
    parse "$@"
    if [ -n "$LIVE" ]; then
        # Where auditctl lives, and what a shell made by su may not have.
        PATH=$PATH:$ROOT/usr/sbin:$ROOT/sbin
        if [ -z "$DRY" ] && [ "$(id -u)" != 0 ]; then die "$NO_AUDIT" 'needs root (try --dry-run, or --root DIR)'; fi
    fi
    look_around
    if [ -n "$LIVE" ] && [ -z "$HAVE_AUDITCTL$SENSOR" ]; then
        die "$FAILED" 'neither auditctl nor auditsense is here: install auditd or auditsense, or set AUDITSENSE to its path'
    fi
    trap cleanup EXIT
    trap 'exit 1' HUP INT TERM
    case $ACTION in
        install) install ;;
        remove) remove ;;
        check) check ;;
    esac
    exit "$STATUS"
}

main "$@"
