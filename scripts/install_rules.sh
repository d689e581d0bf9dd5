#!/bin/sh
# Installs the audit rule that auditsense needs, now and after every reboot:
#
#     -w /proc/ -p r -k audit_proc
#
# Three rules for this file:
#   1. Change only that rule and our two files. Every other audit rule and every kernel setting stays as it is:
#      no -D, -e, -f, -b or -r, and no `augenrules --load` (see regenerate()).
#   2. Trust listings, not exit codes: a rule is in force when the kernel lists it, and persistent when the file
#      that is read at boot has it.
#   3. Run, and name in a unit, only programs that root alone can change.
#
# With auditd: auditctl for now, /etc/audit/rules.d/50-auditsense.rules for later.
# Without: `auditsense rules install` for now, a systemd unit that runs the same command for later.
#
# A test seam: AUDITSENSE_SYSROOT=DIR puts the files below DIR while the commands found on PATH are still run;
# unlike --root, which runs none.

set -u
umask 022
LC_ALL=C
export LC_ALL

readonly RULE='-w /proc/ -p r -k audit_proc'
readonly MARK='# Written by install_rules.sh of auditsense.'
readonly UNIT_NAME=auditsense-rules.service
readonly NAME=install_rules.sh
readonly OFF='the rule is listed but audit is off (enabled 0): auditsense run, or auditctl -e 1, turns it on'
readonly GET_ONE='install auditd or auditsense, or set AUDITSENSE to the path of auditsense'

# Exit codes, the same as the auditsense command's.
readonly FAILED=1 USAGE=2 NO_AUDIT=3 LOCKED=4

ACTION=install DRY='' LIVE=yes ROOT=${AUDITSENSE_SYSROOT:-}
STATUS=0 TEMP='' LISTED=unknown ENABLED=''

usage() {
    cat <<TEXT
usage: $NAME [--remove | --check] [--dry-run] [--root DIR]

Puts the audit rule  $RULE  in force now and after a reboot.

  (no option)  install
  --remove     take away what an installation put there, and nothing else
  --check      say whether the rule is in force and persistent; changes nothing
  --dry-run    with install and --remove: print what would be done; changes nothing
  --root DIR   work on the files below DIR only (image builds); the kernel is left alone
  --help       this text

AUDITSENSE=PATH names the auditsense command (with --root: its path inside the image).

exit code: 0 done or in force; 1 failed, not in force or not persistent; 2 usage;
           3 no kernel audit here, or not root; 4 the audit configuration is locked until reboot
TEXT
}

# --- messages ---------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
note() { printf '%s: note: %s\n' "$NAME" "$*" >&2; }
complain() { printf '%s: %s\n' "$NAME" "$*" >&2; }
last_line() { printf '%s\n' "$1" | sed -n '/[^[:space:]]/h; ${ g; p; }'; }

die() { code=$1; shift; complain "$*"; exit "$code"; }

# A failure outranks "locked", which outranks success.
failed() { complain "$*"; STATUS=$FAILED; }
locked() { note "$*"; [ "$STATUS" -ne 0 ] || STATUS=$LOCKED; }

# --- files ------------------------------------------------------------------------------------------------

# No Protect*=, Private*= or ReadOnly*= here, for the reason that the text gives. No here-document either: a full /tmp
# empties it in some shells.
unit_text() {
    printf '%s\n' "$MARK" \
        '# Not sandboxed on purpose: a watch set from another mount namespace is listed and may match nothing.' \
        '[Unit]' \
        'Description=Audit rule of auditsense (reads below /proc)' \
        'ConditionSecurity=audit' \
        '# auditd deletes all rules when it starts, should it be installed one day.' \
        'After=auditd.service audit-rules.service' \
        '' \
        '[Service]' \
        'Type=oneshot' \
        'RemainAfterExit=yes' \
        "ExecStart=\"$SENSOR\" rules install" \
        '' \
        '[Install]' \
        'WantedBy=multi-user.target'
}

cleanup() { [ -z "$TEMP" ] || rm -f -- "$TEMP"; }

# write_file PATH MODE LINE...: whole or not at all.
write_file() {
    path=$1 mode=$2
    shift 2
    # One substitution a step: between two of them a signal is noticed.
    if message=$(mkdir -p -- "${path%/*}" 2>&1) &&
        { TEMP=$(mktemp "${path%/*}/.${path##*/}.XXXXXX" 2>&1) || ! message=$TEMP TEMP=''; } &&
        message=$({ printf '%s\n' "$@" >"$TEMP"; } 2>&1) &&
        message=$(chmod "$mode" "$TEMP" 2>&1) &&
        message=$(mv -f -- "$TEMP" "$path" 2>&1); then
        say "wrote $path"
        TEMP=''
    else
        failed "cannot write $path: $(last_line "$message")"
        cleanup
        return 1
    fi
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

# --- audit rules as text ----------------------------------------------------------------------------------

# rules_that_are ours|others [FILE...]: of the rules in the files, or on standard input, those that are ours in any
# spelling, or the others, one a line. /proc and /proc/ are one, and so are -w and the -a form in which newer
# auditctl versions list it. Another key, permission or architecture makes another rule.
rules_that_are() {
    wanted=$1
    shift
    awk -v wanted="$wanted" '
        function ours(    i, pair, watches, exits, directories, permissions, keys) {
            for (i = 1; i <= NF; i += 2) {
                pair = $i " " $(i + 1)
                if ($i == "-w") watches++
                if (pair ~ /^(-w |-F dir=)\/proc\/*$/) directories++
                else if (pair ~ /^(-p |-F perm=)r$/) permissions++
                else if (pair ~ /^(-k |-F key=)audit_proc$/) keys++
                else if (pair ~ /^-[aA] (always,exit|exit,always)$/) exits++
                else if (pair != "-S all") return 0
            }
            return watches + exits == 1 && directories == 1 && permissions == 1 && keys == 1
        }
        /^[ \t]*(#|$)/ || $1 == "No" { next }
        (ours() ? "ours" : "others") == wanted { $1 = $1; print }
    ' "$@" 2>/dev/null
}

has_ours() { [ -n "$(rules_that_are ours "$@")" ]; }

# Only comments and our rule in it: rules that an administrator added stay theirs.
rules_file_is_ours() { others=$(rules_that_are others "$RULES_FILE") && [ -z "$others" ]; }

# The file of rules.d, other than our own, that has the rule already. Without auditd they are never read.
find_elsewhere() {
    [ -n "$HAVE_AUDITD" ] || return
    for file in "$RULES_DIR"/*.rules; do
        if [ "$file" != "$RULES_FILE" ] && has_ours "$file"; then say "$file"; break; fi
    done
}

# --- the kernel: one way with auditctl, one with auditsense -----------------------------------------------

# ask_kernel: sets LISTED (yes, no, unknown), ENABLED (0, 1, 2 or nothing) and REMARK (about a rule in force).
ask_kernel() {
    LISTED=unknown ENABLED='' REMARK=''
    if [ -z "$HAVE_AUDITCTL" ]; then
        message=$("$SENSOR" rules check 2>&1 >/dev/null)
        case $? in
            0) LISTED=yes REMARK=$(last_line "$message") ;;
            1) LISTED=no ;;
            4) LISTED=no ENABLED=2 ;;
        esac
    elif message=$(auditctl -s 2>&1) && status=$message && message=$(auditctl -l 2>&1); then
        ENABLED=$(say "$status" | sed -n '/enabled/ { s/.*enabled[ =]*\([0-9]\).*/\1/p; q; }')
        if say "$message" | has_ours; then LISTED=yes; else LISTED=no; fi
        [ "$LISTED$ENABLED" != yes0 ] || REMARK=$OFF
    fi
    # No answer. A dry run continues without; everything else ends here, with nothing changed.
    if [ "$LISTED" = unknown ]; then
        message=$(last_line "$message")
        [ -n "$DRY" ] || die "$NO_AUDIT" "no kernel audit here: ${message:-no answer}"
        note "the kernel's rules cannot be read: ${message:-no answer}"
    fi
}

# change_kernel install|remove: tries, unless that is known to be useless, and checks the result.
change_kernel() {
    if [ "$1" = install ]; then
        option=-w wanted=yes would='put in force' now='in force' if_not='does not list the rule after adding it'
    else
        option=-W wanted=no would='delete from the kernel' now='no longer in force' if_not='still lists the rule'
    fi
    [ "$ENABLED" != 2 ] || return 0
    if [ -n "$DRY" ]; then say "would $would: $RULE"; return; fi
    if [ -n "$HAVE_AUDITCTL" ]; then
        answer=$(auditctl "$option" /proc/ -p r -k audit_proc 2>&1)
    else
        answer=$("$SENSOR" rules "$1" 2>&1 >/dev/null) || [ $? -ne "$LOCKED" ] || ENABLED=2
    fi
    [ "$ENABLED" = 2 ] || ask_kernel
    if [ "$LISTED" = "$wanted" ]; then
        say "$now: $RULE"
    elif [ "$ENABLED" != 2 ]; then
        die "$FAILED" "the kernel $if_not: $(last_line "$answer")"
    fi
}

# --- after a reboot, with auditd --------------------------------------------------------------------------

audit_rules_has_ours() { if has_ours "$AUDIT_RULES"; then say yes; else say no; fi; }

# regenerate yes|no: makes /etc/audit/audit.rules anew from rules.d, where that is needed and harmless, so that it
# has our rule, or has it no more.
#
# Not `augenrules --load`: that runs audit.rules through auditctl, and its first line is -D. Rules that other tools
# loaded at run time would be gone, and there is a moment without any. So our rule goes into the kernel by itself,
# and augenrules without --load only writes the file for the next boot. Even that would drop rules that were
# written into audit.rules by hand: then it is left alone.
regenerate() {
    [ -n "$LIVE" ] && [ -n "$HAVE_AUDITD" ] && [ "$(audit_rules_has_ours)" != "$1" ] || return 0
    by_hand=$(rules_that_are others "$AUDIT_RULES" |
        grep -vxF -e "$(rules_that_are others "$RULES_DIR"/*.rules)" | sed 1q)
    if [ -z "$HAVE_AUGENRULES" ]; then
        failed "$AUDIT_RULES is not up to date: there is no augenrules to make it from $RULES_DIR"
    elif [ -n "$by_hand" ]; then
        failed "$AUDIT_RULES left as it is: it has a line that $RULES_DIR has not ($by_hand);" \
            'move it there, then run augenrules'
    elif [ -n "$DRY" ]; then
        say 'would run augenrules (without --load)'
    else
        message=$(augenrules 2>&1)
        [ "$(audit_rules_has_ours)" = "$1" ] ||
            failed "augenrules did not bring $AUDIT_RULES up to date: $(last_line "$message")"
    fi
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
        write_file "$RULES_FILE" 0640 "$MARK" \
            '# Reads below /proc, for auditsense. Take it away with: install_rules.sh --remove' "$RULE" || return
    fi
    regenerate yes
    boot_loads_rules || failed 'not persistent: neither auditd nor audit-rules is enabled, so nothing loads' \
        "$RULES_DIR at boot; systemctl enable auditd"
}

boot_loads_rules() {
    [ -n "$LIVE" ] && [ -n "$HAVE_SYSTEMD" ] && command -v systemctl >/dev/null || return 0
    manager is-enabled --quiet auditd.service || manager is-enabled --quiet audit-rules.service
}

# --- after a reboot, without auditd -----------------------------------------------------------------------

# systemctl, which may be missing, or find no manager to talk to: what must have happened is done by hand too.
manager() { [ -z "$LIVE" ] || { systemctl "$@"; } >/dev/null 2>&1; }

unit_is_ours() { [ ! -L "$UNIT" ] && [ -f "$UNIT" ] && grep -qxF -e "$MARK" -- "$UNIT"; }

# What a quoted word of a unit holds without being changed by systemd.
plain() { case $1 in *[!A-Za-z0-9_./+@:,=\ -]*) return 1 ;; esac }

persist_with_systemd() {
    text=$(unit_text) current=''
    if unit_is_ours; then current=$(cat -- "$UNIT"); fi
    if [ -z "$SENSOR" ]; then
        failed "not persistent: a unit needs the auditsense command; $GET_ONE"
    elif ! plain "$SENSOR"; then
        failed "not persistent: a unit cannot name $SENSOR; install auditsense under a plainer path"
    elif [ -z "$current" ] && { [ -e "$UNIT" ] || [ -L "$UNIT" ]; }; then
        failed "$UNIT is not ours (or masked): left alone"
    elif [ "$current" = "$text" ] && [ -L "$UNIT_LINK" ]; then
        say "already persistent: $UNIT"
    elif [ -n "$DRY" ]; then
        say "would write and enable $UNIT: $SENSOR rules install"
    elif [ "$current" = "$text" ] || write_file "$UNIT" 0644 "$text"; then
        enable_unit
    fi
}

enable_unit() {
    manager daemon-reload
    manager enable "$UNIT_NAME"
    if [ ! -L "$UNIT_LINK" ] && ! message=$({ mkdir -p -- "${UNIT_LINK%/*}" &&
        ln -s "/etc/systemd/system/$UNIT_NAME" "$UNIT_LINK"; } 2>&1); then
        failed "cannot enable $UNIT_NAME: $(last_line "$message")"
        return
    fi
    say "enabled $UNIT_NAME"
}

# --- the three actions ------------------------------------------------------------------------------------

install() {
    if [ -n "$LIVE" ]; then
        ask_kernel
        # Ends it here if the kernel refuses the rule: in a file, such a rule would stop those after it at boot.
        if [ "$LISTED" = yes ]; then say "already in force: $RULE"; else change_kernel install; fi
        [ -z "$REMARK" ] || note "$REMARK"
    fi
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

remove() {
    ours='' elsewhere=$(find_elsewhere)
    # Where no file could have been written, the rule in the kernel is all that an installation left.
    if has_ours "$RULES_FILE" || unit_is_ours || [ -z "$HAVE_AUDITD$HAVE_SYSTEMD" ]; then ours=yes; fi

    # Delete the kernel's rule before the files: if that fails, the files still show that it is ours, and a second
    # run can finish.
    if [ -n "$LIVE" ]; then remove_now; fi

    if [ ! -f "$RULES_FILE" ]; then
        unit_is_ours || say 'no file of ours to remove'
    elif ! rules_file_is_ours; then
        failed "$RULES_FILE has other rules in it: left alone; take this line out of it: $RULE"
    elif remove_file "$RULES_FILE" && [ -z "$elsewhere" ]; then
        regenerate no
    fi
    if unit_is_ours && [ -n "$DRY" ]; then
        say "would disable and remove $UNIT"
    elif unit_is_ours; then
        manager disable --now "$UNIT_NAME"
        rm -f -- "$UNIT_LINK" 2>/dev/null
        remove_file "$UNIT"
        manager daemon-reload
    fi
    if [ "$ENABLED" = 2 ] && [ "$LISTED" = yes ] && [ -n "$ours" ] && [ -z "$elsewhere" ]; then
        locked 'the audit configuration is locked: the rule stays in force until the next boot'
    fi
}

remove_now() {
    ask_kernel
    if [ "$LISTED" = no ]; then
        say 'already not in force'
    elif [ -n "$elsewhere" ]; then
        say "left in force: $elsewhere has the rule too"
    elif [ -n "$ours" ]; then
        change_kernel remove
    elif [ "$LISTED" = yes ]; then
        say 'left in force: no file of ours is here, so another program loaded the rule'
    fi
}

check() {
    if [ -n "$LIVE" ]; then
        ask_kernel
        if [ "$LISTED" = yes ]; then
            say "in force: $RULE"
        elif [ "$ENABLED" = 2 ]; then
            locked 'not in force: the audit configuration is locked until the next boot'
        else
            failed "not in force: the kernel does not list $RULE"
        fi
        [ -z "$REMARK" ] || note "$REMARK"
    fi
    where=$(find_elsewhere)
    if [ -z "$where" ] && [ -n "$HAVE_AUDITD" ] && has_ours "$RULES_FILE"; then where=$RULES_FILE; fi
    if [ -n "$where" ] && [ -n "$LIVE" ] && ! has_ours "$AUDIT_RULES"; then
        failed "not persistent: $where has the rule, $AUDIT_RULES has not; run augenrules"
    elif [ -n "$where" ] && ! boot_loads_rules; then
        failed "not persistent: $where has the rule, but neither auditd nor audit-rules is enabled"
    elif [ -n "$where" ]; then
        say "persistent: $where"
    elif [ -z "$HAVE_SYSTEMD" ] || ! unit_is_ours; then
        failed 'not persistent: nothing re-adds the rule after a reboot'
    elif [ ! -L "$UNIT_LINK" ]; then
        failed "not persistent: $UNIT is not enabled"
    else
        say "persistent: $UNIT"
    fi
}

# --- what is here -----------------------------------------------------------------------------------------

# Where a program is: of the running system on PATH, of an image in the directories that it has for programs.
find_program() {
    if [ -n "$LIVE" ]; then command -v "$1"; return; fi
    for place in /usr/sbin /sbin /usr/bin /bin /usr/local/bin /opt/auditsense/bin; do
        if [ -x "$ROOT$place/$1" ]; then say "$place/$1"; break; fi
    done
}

# changeable PATH: prints the file or folder, of the path and of its links' targets, that another user than root
# could change or replace; nothing when there is none. In a subshell, so that it can call itself.
changeable() (
    at=$1 depth=$((${2:-0} + 1))
    [ "$depth" -le 40 ] || { say "$at"; exit; }
    while :; do
        others=$(find "$at" -prune ! -user 0 2>/dev/null)
        if [ ! -L "$at" ]; then
            # shellcheck disable=SC3067 # -O: every shell here has it
            if [ -O "$at" ]; then others=''; fi # root's, or of the user who tries a dry run
            others=$others$(find "$at" -prune \( -perm -0020 -o -perm -0002 \) ! \( -type d -perm -1000 \) 2>/dev/null)
        elif [ -z "$others" ] || [ "$(id -u)" != 0 ]; then
            target=$(readlink "$at") || { say "$at"; exit; }
            case $target in /*) ;; *) target=${at%/*}/$target ;; esac
            others=$(changeable "$target" "$depth")
            [ -z "$others" ] || { say "$others"; exit; }
        fi
        [ -z "$others" ] || { say "$at"; exit; }
        [ "$at" != / ] || exit
        at=${at%/*} at=${at:-/}
    done
)

# refuse_changeable WHAT PATH: exits when another user than root could change that program.
refuse_changeable() {
    [ -n "$2" ] || return 0
    where=$(changeable "$2")
    [ -z "$where" ] || die "$FAILED" "$1: others than root may change $where, and with it what root runs;" \
        'install it where only root can write'
}

# With nothing but what the shell itself can do: no program is run before this.
refuse_relative_path() {
    case :$PATH: in
        *::* | *:[!/]*)
            die "$USAGE" 'PATH has a folder that is not absolute, so anybody could name the programs that run;' \
                'set PATH=/usr/sbin:/usr/bin:/sbin:/bin'
            ;;
    esac
}

refuse_changeable_programs() {
    old_ifs=$IFS IFS=:
    for folder in $PATH; do
        IFS=$old_ifs
        if [ -d "$folder" ]; then refuse_changeable "PATH" "$folder"; fi
    done
    IFS=$old_ifs
    refuse_changeable auditctl "$HAVE_AUDITCTL"
    refuse_changeable augenrules "$HAVE_AUGENRULES"
    refuse_changeable systemctl "$(find_program systemctl)"
    refuse_changeable auditsense "$SENSOR"
}

find_sensor() {
    if [ -n "${AUDITSENSE:-}" ]; then
        if [ -n "$LIVE" ]; then command -v "$AUDITSENSE"; else say "$AUDITSENSE"; fi
    elif ! find_program auditsense && [ -n "$LIVE" ]; then
        checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." 2>/dev/null && pwd)
        if [ -x "$checkout/.venv/bin/auditsense" ]; then say "$checkout/.venv/bin/auditsense"; fi
    fi
}

look_around() {
    AUDIT_RULES=$ROOT/etc/audit/audit.rules
    RULES_DIR=$ROOT/etc/audit/rules.d
    RULES_FILE=$RULES_DIR/50-auditsense.rules
    UNIT=$ROOT/etc/systemd/system/$UNIT_NAME
    UNIT_LINK=$ROOT/etc/systemd/system/multi-user.target.wants/$UNIT_NAME

    HAVE_AUDITCTL=$(find_program auditctl)
    HAVE_AUGENRULES=$(find_program augenrules)
    SENSOR=$(find_sensor)
    case $SENSOR in '' | /*) ;; *) SENSOR=${LIVE:+$PWD}/$SENSOR ;; esac

    # rules.d alone proves nothing on a running system: it stays behind, unread, when auditd is uninstalled.
    HAVE_AUDITD=$HAVE_AUGENRULES
    if [ -d "$RULES_DIR" ] && { [ -n "$HAVE_AUDITCTL" ] || [ -z "$LIVE" ]; }; then HAVE_AUDITD=yes; fi

    HAVE_SYSTEMD=''
    if [ -n "$LIVE" ]; then set -- run; else set -- lib usr/lib; fi
    for place in "$@"; do
        if [ -d "$ROOT/$place/systemd/system" ]; then HAVE_SYSTEMD=yes; fi
    done
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --remove | --check)
                [ "$ACTION" = install ] || [ "$ACTION" = "${1#--}" ] ||
                    die "$USAGE" '--remove and --check exclude each other'
                ACTION=${1#--}
                ;;
            --dry-run) DRY=yes ;;
            --root=*) ROOT=${1#--root=} LIVE='' ;;
            --root)
                [ $# -ge 2 ] || die "$USAGE" '--root needs a directory'
                shift
                ROOT=$1 LIVE=''
                ;;
            --help | -h) usage; exit 0 ;;
            *) die "$USAGE" "unknown argument: $1 (see --help)" ;;
        esac
        shift
    done
    [ "$ACTION$DRY" != checkyes ] || die "$USAGE" '--check changes nothing anyway: leave --dry-run out'
    [ -n "$LIVE" ] || [ -d "$ROOT" ] || die "$USAGE" "--root: no such directory: $ROOT"
    # Absolute, because awk and others take paths such as a=b/c or -x/y for something else.
    case $ROOT in '' | /*) ;; *) ROOT=$PWD/$ROOT ;; esac
    ROOT=${ROOT%/}
}

main() {
    parse "$@"
    # Where auditctl lives, and what a shell made by su may not have.
    if [ -n "$LIVE" ]; then
        refuse_relative_path
        PATH=$PATH:$ROOT/usr/sbin:$ROOT/sbin
    fi
    look_around
    if [ -n "$LIVE" ]; then
        refuse_changeable_programs
        [ -n "$DRY" ] || [ "$(id -u)" = 0 ] || die "$NO_AUDIT" 'needs root (try --dry-run, or --root DIR)'
        [ -n "$HAVE_AUDITCTL$SENSOR" ] || die "$FAILED" "neither auditctl nor auditsense is here; $GET_ONE"
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
