# bash completion. Written by scripts/write_pages.py of auditsense.
# shellcheck shell=bash disable=SC2207 # words without blanks
_auditsense() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} path="" number
    COMPREPLY=()
    if [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi
    if [[ $cur == "=" ]]; then cur=""; fi
    for ((number = 1; number < COMP_CWORD; number++)); do
        case $path/${COMP_WORDS[number]} in
            /run | /replay | /record | /rules | /rules/install | /rules/remove | /rules/check | /rules/list | /rules/print | /detections | /detections/list | /detections/show | /detections/check | /detections/compile | /doctor | /schema | /status | /config | /config/dump | /config/check | /config/sample | /bench | /units) path=$path/${COMP_WORDS[number]} ;;
        esac
    done
    case "$path $prev" in
        "/run -c" | "/run --config") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/run --source") COMPREPLY=($(compgen -W "auto netlink multicast" -- "$cur")); return ;;
        "/run --audit-rule") COMPREPLY=(); return ;;
        "/run --on-tamper") COMPREPLY=($(compgen -W "report repair" -- "$cur")); return ;;
        "/run --self-test") COMPREPLY=(); return ;;
        "/run --detections") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/run --exceptions") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/run -o" | "/run --output") COMPREPLY=($(compgen -W "alerts sequences events" -- "$cur")); return ;;
        "/run --format") COMPREPLY=($(compgen -W "jsonl compact" -- "$cur")); return ;;
        "/run --user") COMPREPLY=($(compgen -u -- "$cur")); return ;;
        "/run --priority-boost") COMPREPLY=(); return ;;
        "/run --status-socket") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/run --sink") COMPREPLY=(); return ;;
        "/run --duration") COMPREPLY=(); return ;;
        "/replay -o" | "/replay --output") COMPREPLY=($(compgen -W "alerts sequences events count" -- "$cur")); return ;;
        "/replay --format") COMPREPLY=($(compgen -W "jsonl compact" -- "$cur")); return ;;
        "/replay --detections") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/replay --exceptions") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/replay --sink") COMPREPLY=(); return ;;
        "/replay --max-alerts") COMPREPLY=(); return ;;
        "/record --to") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/record --audit-rule") COMPREPLY=(); return ;;
        "/record --duration") COMPREPLY=(); return ;;
        "/record --user") COMPREPLY=($(compgen -u -- "$cur")); return ;;
        "/detections/show -c" | "/detections/show --config") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/detections/show --exceptions") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/doctor -c" | "/doctor --config") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/doctor --status-socket") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/status --watch") COMPREPLY=(); return ;;
        "/status -c" | "/status --config") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/status --status-socket") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/dump -c" | "/config/dump --config") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/dump --source") COMPREPLY=($(compgen -W "auto netlink multicast" -- "$cur")); return ;;
        "/config/dump --audit-rule") COMPREPLY=(); return ;;
        "/config/dump --on-tamper") COMPREPLY=($(compgen -W "report repair" -- "$cur")); return ;;
        "/config/dump --self-test") COMPREPLY=(); return ;;
        "/config/dump --detections") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/dump --exceptions") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/dump -o" | "/config/dump --output") COMPREPLY=($(compgen -W "alerts sequences events" -- "$cur")); return ;;
        "/config/dump --format") COMPREPLY=($(compgen -W "jsonl compact" -- "$cur")); return ;;
        "/config/dump --user") COMPREPLY=($(compgen -u -- "$cur")); return ;;
        "/config/dump --priority-boost") COMPREPLY=(); return ;;
        "/config/dump --status-socket") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/dump --sink") COMPREPLY=(); return ;;
        "/config/check -c" | "/config/check --config") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/check --source") COMPREPLY=($(compgen -W "auto netlink multicast" -- "$cur")); return ;;
        "/config/check --audit-rule") COMPREPLY=(); return ;;
        "/config/check --on-tamper") COMPREPLY=($(compgen -W "report repair" -- "$cur")); return ;;
        "/config/check --self-test") COMPREPLY=(); return ;;
        "/config/check --detections") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/check --exceptions") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/check -o" | "/config/check --output") COMPREPLY=($(compgen -W "alerts sequences events" -- "$cur")); return ;;
        "/config/check --format") COMPREPLY=($(compgen -W "jsonl compact" -- "$cur")); return ;;
        "/config/check --user") COMPREPLY=($(compgen -u -- "$cur")); return ;;
        "/config/check --priority-boost") COMPREPLY=(); return ;;
        "/config/check --status-socket") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/config/check --sink") COMPREPLY=(); return ;;
        "/bench --json") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/bench --html") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        "/bench --events") COMPREPLY=(); return ;;
        "/units --to") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
        "/units --program") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    esac
    case $path in
        "") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help --version" -- "$cur")); else COMPREPLY=($(compgen -W "run replay record rules detections doctor schema status config bench units" -- "$cur")); fi ;;
        "/run") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help -c --config --source --audit-rule --on-tamper --lean --no-lean --self-test --detections --exceptions --known-harmless --no-known-harmless -o --output --format --user --priority-boost --status-socket --sink --duration --dry-run" -- "$cur")); fi ;;
        "/replay") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help -o --output --format --detections --exceptions --known-harmless --no-known-harmless --sink --rotated --fail-on-alert --max-alerts" -- "$cur")); else compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); fi ;;
        "/record") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help --to --audit-rule --duration --user" -- "$cur")); fi ;;
        "/rules") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); else COMPREPLY=($(compgen -W "install remove check list print" -- "$cur")); fi ;;
        "/rules/install") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); fi ;;
        "/rules/remove") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); fi ;;
        "/rules/check") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); fi ;;
        "/rules/list") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); fi ;;
        "/rules/print") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); fi ;;
        "/detections") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); else COMPREPLY=($(compgen -W "list show check compile" -- "$cur")); fi ;;
        "/detections/list") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); fi ;;
        "/detections/show") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help -c --config --exceptions --known-harmless --no-known-harmless" -- "$cur")); else COMPREPLY=(); fi ;;
        "/detections/check") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); else compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); fi ;;
        "/detections/compile") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); else compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); fi ;;
        "/doctor") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help --json --self-test -c --config --status-socket" -- "$cur")); fi ;;
        "/schema") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); else COMPREPLY=($(compgen -W "document status" -- "$cur")); fi ;;
        "/status") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help --json --watch -c --config --status-socket" -- "$cur")); fi ;;
        "/config") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); else COMPREPLY=($(compgen -W "dump check sample" -- "$cur")); fi ;;
        "/config/dump") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help -c --config --source --audit-rule --on-tamper --lean --no-lean --self-test --detections --exceptions --known-harmless --no-known-harmless -o --output --format --user --priority-boost --status-socket --sink" -- "$cur")); fi ;;
        "/config/check") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help -c --config --source --audit-rule --on-tamper --lean --no-lean --self-test --detections --exceptions --known-harmless --no-known-harmless -o --output --format --user --priority-boost --status-socket --sink" -- "$cur")); fi ;;
        "/config/sample") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help" -- "$cur")); fi ;;
        "/bench") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help --json --html --offline --events" -- "$cur")); fi ;;
        "/units") if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "-h --help --to --program" -- "$cur")); fi ;;
    esac
}
complete -F _auditsense auditsense
