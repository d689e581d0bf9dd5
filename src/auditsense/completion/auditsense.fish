# Written by scripts/write_pages.py, with shtab. Install it for one user:
#   auditsense completion fish > ~/.config/fish/completions/auditsense.fish

# Custom Preamble
function _auditsense_paths
    set -l word (commandline -ct)
    for prefix in $argv
        if string match -q -- "$prefix*" $word
            for path in (__fish_complete_path (string sub -s (math (string length -- $prefix) + 1) -- $word))
                printf '%s%s\n' $prefix $path
            end
        end
    end
end
function _auditsense_sinks
    printf '%s\n' stdout journald syslog file: spool: syslog:udp:// syslog:tcp://
    _auditsense_paths file: spool: syslog:
end
function _auditsense_sources
    printf '%s\n' auto netlink multicast audisp unix: log:
    _auditsense_paths unix: log:
end

# End Custom Preamble

# Parse current commandline:
# - _shtab_auditsense_cmdpath=(sub)command path seen so far
# - _shtab_auditsense_npos=number of positional arguments given after it
# - options are skipped based on _shtab_auditsense_opts_with_value & _shtab_auditsense_commands lists
function _shtab_auditsense_scan
  set -g _shtab_auditsense_cmdpath ''
  set -g _shtab_auditsense_npos 0
  set -l tokens (commandline -opc)
  set -e tokens[1]
  set -l expect_value 0
  for t in $tokens
    if test $expect_value -eq 1
      set expect_value 0
      continue
    end
    switch "$t"
      case '--*=*'
        continue
      case '-*'
        if contains -- $t $_shtab_auditsense_opts_with_value
          set expect_value 1
        end
        continue
      case '*'
        if test $_shtab_auditsense_npos -eq 0
          set -l candidate $t
          if test -n "$_shtab_auditsense_cmdpath"
            set candidate "$_shtab_auditsense_cmdpath $t"
          end
          if contains -- $candidate $_shtab_auditsense_commands
            set -g _shtab_auditsense_cmdpath $candidate
            continue
          end
        end
        set -g _shtab_auditsense_npos (math $_shtab_auditsense_npos + 1)
    end
  end
end

# Condition helper: true if the current (sub)command path equals the given one.
function _shtab_auditsense_using
  _shtab_auditsense_scan
  test "$_shtab_auditsense_cmdpath" = "$argv"
end

set -g _shtab_auditsense_commands run replay record doctor status test-alert detections 'detections list' 'detections show' 'detections check' 'detections test' 'detections compile' 'detections except' config 'config dump' 'config check' 'config sample' rules 'rules install' 'rules remove' 'rules check' 'rules list' 'rules print' 'rules derive' ship units bench 'bench compare' 'bench calls' schema completion help
set -g _shtab_auditsense_opts_with_value --api-key-file --audit-rule --batch --ca-file --client-cert --client-key --color --comment --compression --config --detections --duration --events --exceptions --format --header --html --json --mapping --max-alerts --max-rate --nats-creds-file --on-tamper --only --output --password-file --priority-boost --program --proxy --rounds --self-test --sink --source --spool --status-socket --timeout --to --user --watch --with -c -o

complete -c auditsense -e
complete -c auditsense -f

complete -c auditsense -n _shtab_auditsense_using -s h -l help -d 'print this help and exit'
complete -c auditsense -n _shtab_auditsense_using -s V -l version -d 'print the version and exit'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a run -d 'Watch this host, as root, until a signal or the end of --duration. On exit every change to the host is reverted.'
complete -c auditsense -n '_shtab_auditsense_using run' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using run' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using run' -l source -xka "(_auditsense_sources)" -d 'source of records. netlink: own the kernel'"'"'s audit socket; multicast: listen next to another owner; auto: netlink if possible, else multicast. Without root, from auditd: audisp (as its plugin), unix:PATH (its af_unix socket), log:PATH (its log file) (default: auto)'
complete -c auditsense -n '_shtab_auditsense_using run' -l audit-rule -x -d 'audit rules in auditctl syntax that are active while the sensor runs, instead of the rules that the detections need; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using run' -l costly-rules -l no-costly-rules -d 'include derived audit rules that report frequent calls, such as every creation of a file. auditsense rules derive --explain --with costly names them'
complete -c auditsense -n '_shtab_auditsense_using run' -l on-tamper -xka "report repair" -d 'reaction when another process changes the kernel'"'"'s audit configuration: report it, or also repair it (default: report)'
complete -c auditsense -n '_shtab_auditsense_using run' -l lean -l no-lean -d 'filter out record types that no loaded detection compares (in-kernel). This costs less, but alerts lack their fields: the working directory, the title, and arguments, addresses and capabilities that no detection compares'
complete -c auditsense -n '_shtab_auditsense_using run' -l self-test -x -d 'interval of the self-test, which opens /proc and waits for the record; 0: never; not set: 5m, but never with custom audit rules, or if no audit rule reports opens of /proc'
complete -c auditsense -n '_shtab_auditsense_using run' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using run' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using run' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using run' -l mapping -xka "native auditd_manager" -d 'fields that events have for detections: all that the sensor knows (native), or exactly those that Elastic'"'"'s integration auditd_manager fills (default: native)'
complete -c auditsense -n '_shtab_auditsense_using run' -l exceptions -xka "(__fish_complete_path (commandline -ct))" -d 'files with exceptions (matches to ignore); may be repeated'
complete -c auditsense -n '_shtab_auditsense_using run' -l known-harmless -l no-known-harmless -d 'suppress matches from the bundled list of known-benign collectors (listed by auditsense detections show)'
complete -c auditsense -n '_shtab_auditsense_using run' -s o -l output -xka "alerts sequences events" -d 'documents to write: alerts, every completed sequence, or every event (default: alerts)'
complete -c auditsense -n '_shtab_auditsense_using run' -l format -xka "jsonl compact ocsf" -d 'format of standard output. jsonl: one JSON object per line; compact: one readable line; ocsf: a Detection Finding of OCSF 1.8 per line, of alerts and sequences; not set: compact on a terminal, else jsonl'
complete -c auditsense -n '_shtab_auditsense_using run' -l user -xka "(__fish_complete_users)" -d 'drop privileges to this user after startup; use a dedicated account. Not set: auditsense if there is such an account, else an unused user id. root: stay root, with few capabilities'
complete -c auditsense -n '_shtab_auditsense_using run' -l priority-boost -x -d 'raise scheduling priority by N nice levels, so that alerts stay timely under load; 0: keep it (default: 10)'
complete -c auditsense -n '_shtab_auditsense_using run' -l status-socket -xka "(__fish_complete_path (commandline -ct))" -d 'socket for auditsense status, in a folder that only root may write; off: none (default: /run/auditsense/control)'
complete -c auditsense -n '_shtab_auditsense_using run' -l sink -xka "(_auditsense_sinks)" -d 'destination of documents instead of standard output: stdout, file:PATH[,size=10M,keep=5], journald, syslog, syslog:udp://HOST:PORT, syslog:tcp://HOST:PORT or spool:DIR[,size=256M]; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using run' -l duration -x -d 'end after this time, such as 30, 30s, 5m or 500ms'
complete -c auditsense -n '_shtab_auditsense_using run' -l dry-run -d 'check everything that a start needs and print the changes to this host; change nothing'
complete -c auditsense -n '_shtab_auditsense_using run' -l color -xka "auto always never" -d 'color text by severity; auto: on a terminal, unless NO_COLOR is set or TERM is dumb (default: auto)'
complete -c auditsense -n '_shtab_auditsense_using run' -s q -l quiet -d 'print warnings and errors only, and data'
complete -c auditsense -n '_shtab_auditsense_using run' -s v -l verbose -d 'print more about the progress'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a replay -d 'Search audit logs and captures of record. Logs may be plain or compressed (.gz, .zst, .xz, .bz2), in JSON or journal exports. The format is recognized by content.'
complete -c auditsense -n '_shtab_auditsense_using replay' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using replay' -s o -l output -xka "alerts sequences events count" -d 'documents to write: alerts, every completed sequence, or every event; count: only totals (default: alerts)'
complete -c auditsense -n '_shtab_auditsense_using replay' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'use the detections and exceptions of this configuration file (default: read none)'
complete -c auditsense -n '_shtab_auditsense_using replay' -l format -xka "jsonl compact ocsf" -d 'format of standard output. jsonl: one JSON object per line; compact: one readable line; ocsf: a Detection Finding of OCSF 1.8 per line, of alerts and sequences; not set: compact on a terminal, else jsonl'
complete -c auditsense -n '_shtab_auditsense_using replay' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using replay' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using replay' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using replay' -l exceptions -xka "(__fish_complete_path (commandline -ct))" -d 'files with exceptions (matches to ignore); may be repeated'
complete -c auditsense -n '_shtab_auditsense_using replay' -l known-harmless -l no-known-harmless -d 'suppress matches from the bundled list of known-benign collectors (listed by auditsense detections show)'
complete -c auditsense -n '_shtab_auditsense_using replay' -l mapping -xka "native auditd_manager" -d 'fields that events have for detections: all that the sensor knows (native), or exactly those that Elastic'"'"'s integration auditd_manager fills (default: native)'
complete -c auditsense -n '_shtab_auditsense_using replay' -l sink -xka "(_auditsense_sinks)" -d 'destination of documents instead of standard output: stdout, file:PATH[,size=10M,keep=5], journald, syslog, syslog:udp://HOST:PORT, syslog:tcp://HOST:PORT or spool:DIR[,size=256M]; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using replay' -l rotated -d 'also read the rotated predecessors of each file (PATH.1, PATH.2.gz, PATH-20261125), oldest first'
complete -c auditsense -n '_shtab_auditsense_using replay' -l fail-on-alert -d 'exit with 10 if there is an alert'
complete -c auditsense -n '_shtab_auditsense_using replay' -l max-alerts -x -d 'maximum number of alerts per five minutes of the input (default: no limit)'
complete -c auditsense -n '_shtab_auditsense_using replay' -l color -xka "auto always never" -d 'color text by severity; auto: on a terminal, unless NO_COLOR is set or TERM is dumb (default: auto)'
complete -c auditsense -n '_shtab_auditsense_using replay' -s q -l quiet -d 'print warnings and errors only, and data'
complete -c auditsense -n '_shtab_auditsense_using replay' -s v -l verbose -d 'print more about the progress'
complete -c auditsense -n '_shtab_auditsense_using replay; and test $_shtab_auditsense_npos -ge 0' -ka "(__fish_complete_path (commandline -ct))" -d 'file; folder with audit.log and its rotated predecessors; or - for standard input'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a record -d 'Capture the kernel'"'"'s audit records to a file, as root, for replay. On exit every change to the host is reverted.'
complete -c auditsense -n '_shtab_auditsense_using record' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using record' -l to -xka "(__fish_complete_path (commandline -ct))" -d 'file to create, with mode 0600'
complete -c auditsense -n '_shtab_auditsense_using record' -l audit-rule -x -d 'audit rule in auditctl syntax, instead of the one of the shipped detection; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using record' -l duration -x -d 'end after this time, such as 30, 30s, 5m or 500ms'
complete -c auditsense -n '_shtab_auditsense_using record' -l user -xka "(__fish_complete_users)" -d 'drop privileges to this user after startup; by default stay root, with few capabilities'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a doctor -d 'Diagnose audit problems on this host and suggest remedies. Changes nothing. The exit code is 1 after a warning or an error, else 0.'
complete -c auditsense -n '_shtab_auditsense_using doctor' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using doctor' -s a -l all -d 'also list the checks that are ok'
complete -c auditsense -n '_shtab_auditsense_using doctor' -l json -d 'print one JSON object'
complete -c auditsense -n '_shtab_auditsense_using doctor' -l self-test -d 'open /proc and wait for the record, if audit is on; other listeners receive it too'
complete -c auditsense -n '_shtab_auditsense_using doctor' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using doctor' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using doctor' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using doctor' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using doctor' -l status-socket -xka "(__fish_complete_path (commandline -ct))" -d 'socket for auditsense status, in a folder that only root may write; off: none (default: /run/auditsense/control)'
complete -c auditsense -n '_shtab_auditsense_using doctor' -l color -xka "auto always never" -d 'color text by severity; auto: on a terminal, unless NO_COLOR is set or TERM is dumb (default: auto)'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a status -d 'Show the state of the running sensor, as root: kernel settings and counters.'
complete -c auditsense -n '_shtab_auditsense_using status' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using status' -l json -d 'print one JSON object per line (auditsense schema status)'
complete -c auditsense -n '_shtab_auditsense_using status' -l prometheus -d 'print metrics for Prometheus, once; auditsense_up is 0 if no sensor answers'
complete -c auditsense -n '_shtab_auditsense_using status' -l watch -x -d 'repeat at this interval, with rates, until SIGINT (without a value: every second)'
complete -c auditsense -n '_shtab_auditsense_using status' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using status' -l status-socket -xka "(__fish_complete_path (commandline -ct))" -d 'socket for auditsense status, in a folder that only root may write; off: none (default: /run/auditsense/control)'
complete -c auditsense -n '_shtab_auditsense_using status' -l color -xka "auto always never" -d 'color text by severity; auto: on a terminal, unless NO_COLOR is set or TERM is dumb (default: auto)'
complete -c auditsense -n '_shtab_auditsense_using status' -s v -l verbose -d 'also show how full the queue and the tables of the core are'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a test-alert -d 'Provoke one harmless alert of the running sensor, as root: a process opens /proc twelve times. Wait for the alert and report its latency and its sinks. The exit code is 1 if no sensor runs, no alert comes, or a sink does not write it.'
complete -c auditsense -n '_shtab_auditsense_using test-alert' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using test-alert' -l user -xka "(__fish_complete_users)" -d 'open /proc as this user, for audit rules that do not see root'
complete -c auditsense -n '_shtab_auditsense_using test-alert' -l timeout -x -d 'longest wait for the alert (default: 10s)'
complete -c auditsense -n '_shtab_auditsense_using test-alert' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using test-alert' -l status-socket -xka "(__fish_complete_path (commandline -ct))" -d 'socket for auditsense status, in a folder that only root may write; off: none (default: /run/auditsense/control)'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a detections -d 'List, show and validate detections.'
complete -c auditsense -n '_shtab_auditsense_using detections' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using detections; and test $_shtab_auditsense_npos -eq 0' -a list -d 'List the detections with their files, one line each.'
complete -c auditsense -n '_shtab_auditsense_using detections list' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using detections list' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using detections list' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using detections list' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using detections list' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using detections; and test $_shtab_auditsense_npos -eq 0' -a show -d 'Show one detection with its exceptions and limits, as JSON.'
complete -c auditsense -n '_shtab_auditsense_using detections show' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using detections show' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using detections show' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using detections show' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using detections show' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using detections show' -l exceptions -xka "(__fish_complete_path (commandline -ct))" -d 'files with exceptions (matches to ignore); may be repeated'
complete -c auditsense -n '_shtab_auditsense_using detections show' -l known-harmless -l no-known-harmless -d 'suppress matches from the bundled list of known-benign collectors (listed by auditsense detections show)'
complete -c auditsense -n '_shtab_auditsense_using detections show; and test $_shtab_auditsense_npos -eq 0' -ka "(auditsense detections list 2>/dev/null | string split -f 1 \t)" -d 'id of the detection'
complete -c auditsense -n '_shtab_auditsense_using detections; and test $_shtab_auditsense_npos -eq 0' -a check -d 'Validate each file, also against the ids of the shipped detections, and print every mistake with its line. The table shows which detections run with all that the sensor knows of events (native), and with what Elastic'"'"'s integration auditd_manager fills. The exit code is 1 if a file is refused.'
complete -c auditsense -n '_shtab_auditsense_using detections check' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using detections check' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using detections check' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using detections check' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using detections check; and test $_shtab_auditsense_npos -ge 0' -ka "(__fish_complete_path (commandline -ct))" -d 'file or folder'
complete -c auditsense -n '_shtab_auditsense_using detections; and test $_shtab_auditsense_npos -eq 0' -a test -d 'Run each case of CASES.json (docs/detections.md) and print one line for each. A case is a list of recorded lines, and how many sequences they must complete. The exit code is 1 if a number differs.'
complete -c auditsense -n '_shtab_auditsense_using detections test' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using detections test' -l mapping -xka "native auditd_manager" -d 'the only mapping to test (default: both)'
complete -c auditsense -n '_shtab_auditsense_using detections; and test $_shtab_auditsense_npos -eq 0' -a compile -d 'Print the shipped detections, and those of each PATH, as a C header, for programs that embed the core without Python. A configuration is read only with --config.'
complete -c auditsense -n '_shtab_auditsense_using detections compile' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using detections compile' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using detections compile' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using detections compile' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using detections compile; and test $_shtab_auditsense_npos -ge 0' -ka "(__fish_complete_path (commandline -ct))" -d 'file or folder of detections'
complete -c auditsense -n '_shtab_auditsense_using detections; and test $_shtab_auditsense_npos -eq 0' -a except -d 'Read an alert as JSON and print an exception for its program, user and login, as TOML for detections.exceptions. Of several alerts, one per line, each program gets one exception.'
complete -c auditsense -n '_shtab_auditsense_using detections except' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using detections except' -l comment -x -d 'why the program is harmless (default: which alert it is from)'
complete -c auditsense -n '_shtab_auditsense_using detections except; and test $_shtab_auditsense_npos -eq 0' -ka "(__fish_complete_path (commandline -ct))" -d 'file with the alert; - is standard input'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a config -d 'Print or validate the configuration of run. Flags of run are accepted and override the files.'
complete -c auditsense -n '_shtab_auditsense_using config' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using config; and test $_shtab_auditsense_npos -eq 0' -a dump -d 'Print the active configuration as a file, with the origin of each value.'
complete -c auditsense -n '_shtab_auditsense_using config dump' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using config dump' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l source -xka "(_auditsense_sources)" -d 'source of records. netlink: own the kernel'"'"'s audit socket; multicast: listen next to another owner; auto: netlink if possible, else multicast. Without root, from auditd: audisp (as its plugin), unix:PATH (its af_unix socket), log:PATH (its log file) (default: auto)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l audit-rule -x -d 'audit rules in auditctl syntax that are active while the sensor runs, instead of the rules that the detections need; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l costly-rules -l no-costly-rules -d 'include derived audit rules that report frequent calls, such as every creation of a file. auditsense rules derive --explain --with costly names them'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l on-tamper -xka "report repair" -d 'reaction when another process changes the kernel'"'"'s audit configuration: report it, or also repair it (default: report)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l lean -l no-lean -d 'filter out record types that no loaded detection compares (in-kernel). This costs less, but alerts lack their fields: the working directory, the title, and arguments, addresses and capabilities that no detection compares'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l self-test -x -d 'interval of the self-test, which opens /proc and waits for the record; 0: never; not set: 5m, but never with custom audit rules, or if no audit rule reports opens of /proc'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l mapping -xka "native auditd_manager" -d 'fields that events have for detections: all that the sensor knows (native), or exactly those that Elastic'"'"'s integration auditd_manager fills (default: native)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l exceptions -xka "(__fish_complete_path (commandline -ct))" -d 'files with exceptions (matches to ignore); may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l known-harmless -l no-known-harmless -d 'suppress matches from the bundled list of known-benign collectors (listed by auditsense detections show)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -s o -l output -xka "alerts sequences events" -d 'documents to write: alerts, every completed sequence, or every event (default: alerts)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l format -xka "jsonl compact ocsf" -d 'format of standard output. jsonl: one JSON object per line; compact: one readable line; ocsf: a Detection Finding of OCSF 1.8 per line, of alerts and sequences; not set: compact on a terminal, else jsonl'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l user -xka "(__fish_complete_users)" -d 'drop privileges to this user after startup; use a dedicated account. Not set: auditsense if there is such an account, else an unused user id. root: stay root, with few capabilities'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l priority-boost -x -d 'raise scheduling priority by N nice levels, so that alerts stay timely under load; 0: keep it (default: 10)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l status-socket -xka "(__fish_complete_path (commandline -ct))" -d 'socket for auditsense status, in a folder that only root may write; off: none (default: /run/auditsense/control)'
complete -c auditsense -n '_shtab_auditsense_using config dump' -l sink -xka "(_auditsense_sinks)" -d 'destination of documents instead of standard output: stdout, file:PATH[,size=10M,keep=5], journald, syslog, syslog:udp://HOST:PORT, syslog:tcp://HOST:PORT or spool:DIR[,size=256M]; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config; and test $_shtab_auditsense_npos -eq 0' -a check -d 'Validate the configuration; exit 2, as run would, if it is invalid.'
complete -c auditsense -n '_shtab_auditsense_using config check' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using config check' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using config check' -l source -xka "(_auditsense_sources)" -d 'source of records. netlink: own the kernel'"'"'s audit socket; multicast: listen next to another owner; auto: netlink if possible, else multicast. Without root, from auditd: audisp (as its plugin), unix:PATH (its af_unix socket), log:PATH (its log file) (default: auto)'
complete -c auditsense -n '_shtab_auditsense_using config check' -l audit-rule -x -d 'audit rules in auditctl syntax that are active while the sensor runs, instead of the rules that the detections need; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config check' -l costly-rules -l no-costly-rules -d 'include derived audit rules that report frequent calls, such as every creation of a file. auditsense rules derive --explain --with costly names them'
complete -c auditsense -n '_shtab_auditsense_using config check' -l on-tamper -xka "report repair" -d 'reaction when another process changes the kernel'"'"'s audit configuration: report it, or also repair it (default: report)'
complete -c auditsense -n '_shtab_auditsense_using config check' -l lean -l no-lean -d 'filter out record types that no loaded detection compares (in-kernel). This costs less, but alerts lack their fields: the working directory, the title, and arguments, addresses and capabilities that no detection compares'
complete -c auditsense -n '_shtab_auditsense_using config check' -l self-test -x -d 'interval of the self-test, which opens /proc and waits for the record; 0: never; not set: 5m, but never with custom audit rules, or if no audit rule reports opens of /proc'
complete -c auditsense -n '_shtab_auditsense_using config check' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config check' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using config check' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config check' -l mapping -xka "native auditd_manager" -d 'fields that events have for detections: all that the sensor knows (native), or exactly those that Elastic'"'"'s integration auditd_manager fills (default: native)'
complete -c auditsense -n '_shtab_auditsense_using config check' -l exceptions -xka "(__fish_complete_path (commandline -ct))" -d 'files with exceptions (matches to ignore); may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config check' -l known-harmless -l no-known-harmless -d 'suppress matches from the bundled list of known-benign collectors (listed by auditsense detections show)'
complete -c auditsense -n '_shtab_auditsense_using config check' -s o -l output -xka "alerts sequences events" -d 'documents to write: alerts, every completed sequence, or every event (default: alerts)'
complete -c auditsense -n '_shtab_auditsense_using config check' -l format -xka "jsonl compact ocsf" -d 'format of standard output. jsonl: one JSON object per line; compact: one readable line; ocsf: a Detection Finding of OCSF 1.8 per line, of alerts and sequences; not set: compact on a terminal, else jsonl'
complete -c auditsense -n '_shtab_auditsense_using config check' -l user -xka "(__fish_complete_users)" -d 'drop privileges to this user after startup; use a dedicated account. Not set: auditsense if there is such an account, else an unused user id. root: stay root, with few capabilities'
complete -c auditsense -n '_shtab_auditsense_using config check' -l priority-boost -x -d 'raise scheduling priority by N nice levels, so that alerts stay timely under load; 0: keep it (default: 10)'
complete -c auditsense -n '_shtab_auditsense_using config check' -l status-socket -xka "(__fish_complete_path (commandline -ct))" -d 'socket for auditsense status, in a folder that only root may write; off: none (default: /run/auditsense/control)'
complete -c auditsense -n '_shtab_auditsense_using config check' -l sink -xka "(_auditsense_sinks)" -d 'destination of documents instead of standard output: stdout, file:PATH[,size=10M,keep=5], journald, syslog, syslog:udp://HOST:PORT, syslog:tcp://HOST:PORT or spool:DIR[,size=256M]; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using config; and test $_shtab_auditsense_npos -eq 0' -a sample -d 'Print a configuration file with every key in a comment.'
complete -c auditsense -n '_shtab_auditsense_using config sample' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a rules -d 'Install the audit rules of the loaded detections without the sensor, or print them. Installed rules do not survive a reboot; auditsense units installs a unit that adds them at each boot.'
complete -c auditsense -n '_shtab_auditsense_using rules' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using rules; and test $_shtab_auditsense_npos -eq 0' -a install -d 'Add the audit rules of the detections to the kernel, unless they exist.'
complete -c auditsense -n '_shtab_auditsense_using rules install' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using rules install' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using rules install' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules install' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using rules install' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules install' -l costly-rules -l no-costly-rules -d 'include derived audit rules that report frequent calls, such as every creation of a file. auditsense rules derive --explain --with costly names them'
complete -c auditsense -n '_shtab_auditsense_using rules; and test $_shtab_auditsense_npos -eq 0' -a remove -d 'Remove the audit rules of the detections, whichever program added them.'
complete -c auditsense -n '_shtab_auditsense_using rules remove' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using rules remove' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using rules remove' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules remove' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using rules remove' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules remove' -l costly-rules -l no-costly-rules -d 'include derived audit rules that report frequent calls, such as every creation of a file. auditsense rules derive --explain --with costly names them'
complete -c auditsense -n '_shtab_auditsense_using rules; and test $_shtab_auditsense_npos -eq 0' -a check -d 'Exit with 0 if the kernel has the audit rules of the detections, else with 1.'
complete -c auditsense -n '_shtab_auditsense_using rules check' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using rules check' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using rules check' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules check' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using rules check' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules check' -l costly-rules -l no-costly-rules -d 'include derived audit rules that report frequent calls, such as every creation of a file. auditsense rules derive --explain --with costly names them'
complete -c auditsense -n '_shtab_auditsense_using rules; and test $_shtab_auditsense_npos -eq 0' -a list -d 'List all audit rules of the kernel, in auditctl syntax.'
complete -c auditsense -n '_shtab_auditsense_using rules list' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using rules; and test $_shtab_auditsense_npos -eq 0' -a print -d 'Print the audit rules that the detections need; needs no privilege.'
complete -c auditsense -n '_shtab_auditsense_using rules print' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using rules print' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using rules print' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules print' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using rules print' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules print' -l costly-rules -l no-costly-rules -d 'include derived audit rules that report frequent calls, such as every creation of a file. auditsense rules derive --explain --with costly names them'
complete -c auditsense -n '_shtab_auditsense_using rules; and test $_shtab_auditsense_npos -eq 0' -a derive -d 'Print the audit rules that follow from the conditions of the detections, in auditctl syntax; needs no privilege. A rule reports every event that a detection looks for, and as few others as the kernel can tell apart (docs/how-to/derive-audit-rules.md).'
complete -c auditsense -n '_shtab_auditsense_using rules derive' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using rules derive' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using rules derive' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules derive' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using rules derive' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using rules derive' -l explain -d 'print for each detection its rules, the conditions they come from, their cost and what they do not report, as comments'
complete -c auditsense -n '_shtab_auditsense_using rules derive' -l with -xka "costly" -d 'also derive rules that report frequent calls, as run does with --costly-rules'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a ship -d 'Deliver the documents of a spool (--sink spool:DIR of run) to another host, until a signal. A document leaves the spool when the receiver has acknowledged it. The command runs as the owner of the spool, without access to the kernel'"'"'s audit. FILE is a path, or credential:NAME for a systemd credential.'
complete -c auditsense -n '_shtab_auditsense_using ship' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using ship' -l spool -xka "(__fish_complete_directories)" -d 'folder of the spool'
complete -c auditsense -n '_shtab_auditsense_using ship' -l to -x -d 'receiver: otlp+http(s)://HOST[:PORT][/PATH], elasticsearch+http(s)://HOST[:PORT][/STREAM] or nats[+tls]://HOST[:PORT][/SUBJECT]'
complete -c auditsense -n '_shtab_auditsense_using ship' -l until-empty -d 'exit with 0 when the spool is empty'
complete -c auditsense -n '_shtab_auditsense_using ship' -l api-key-file -xka "(__fish_complete_path (commandline -ct))" -d 'secret to present: an API key, or a token of OTLP or NATS'
complete -c auditsense -n '_shtab_auditsense_using ship' -l password-file -xka "(__fish_complete_path (commandline -ct))" -d 'user and password to present, as USER:PASSWORD'
complete -c auditsense -n '_shtab_auditsense_using ship' -l nats-creds-file -xka "(__fish_complete_path (commandline -ct))" -d 'credentials of a NATS user, as nsc writes them'
complete -c auditsense -n '_shtab_auditsense_using ship' -l ca-file -xka "(__fish_complete_path (commandline -ct))" -d 'certificates to trust instead of those of this system'
complete -c auditsense -n '_shtab_auditsense_using ship' -l client-cert -xka "(__fish_complete_path (commandline -ct))" -d 'client certificate to present'
complete -c auditsense -n '_shtab_auditsense_using ship' -l client-key -xka "(__fish_complete_path (commandline -ct))" -d 'private key of the client certificate'
complete -c auditsense -n '_shtab_auditsense_using ship' -l header -x -d 'header of each HTTP request, such as one for a tenant; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using ship' -l proxy -x -d 'address of an HTTP proxy (default: https_proxy and no_proxy of the environment)'
complete -c auditsense -n '_shtab_auditsense_using ship' -l compression -xka "gzip none" -d 'compression of HTTP requests; a receiver that answers 415 gets none (default: gzip)'
complete -c auditsense -n '_shtab_auditsense_using ship' -l timeout -x -d 'limit of one request (default: 30s)'
complete -c auditsense -n '_shtab_auditsense_using ship' -l batch -x -d 'number of documents per request, 1 to 1000 (default: 100)'
complete -c auditsense -n '_shtab_auditsense_using ship' -l max-rate -x -d 'maximum number of documents per second; 0: no limit (default: 1000)'
complete -c auditsense -n '_shtab_auditsense_using ship' -l status -d 'print what the spool holds and its counters, as JSON'
complete -c auditsense -n '_shtab_auditsense_using ship' -l prometheus -d 'print the same as metrics for Prometheus'
complete -c auditsense -n '_shtab_auditsense_using ship' -l list-refused -d 'print the documents that receivers refused, with the reasons, as JSON lines'
complete -c auditsense -n '_shtab_auditsense_using ship' -l retry-refused -d 'have these documents delivered again'
complete -c auditsense -n '_shtab_auditsense_using ship' -s q -l quiet -d 'print warnings and errors only, and data'
complete -c auditsense -n '_shtab_auditsense_using ship' -s v -l verbose -d 'print more about the progress'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a units -d 'Print the systemd units of the sensor, its audit rules and auditsense ship, or write them to a folder.'
complete -c auditsense -n '_shtab_auditsense_using units' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using units' -l to -xka "(__fish_complete_directories)" -d 'write the units to this folder, usually /etc/systemd/system'
complete -c auditsense -n '_shtab_auditsense_using units' -l program -xka "(__fish_complete_path (commandline -ct))" -d 'program that the units start (default: the running auditsense)'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a bench -d 'Measure CPU, memory and throughput on this machine, in a few minutes. Any user can measure the core and replay. As root, and if the audit socket has no owner, it also measures the live sensor under generated load. Every change to the host is reverted.'
complete -c auditsense -n '_shtab_auditsense_using bench' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using bench' -l json -xka "(__fish_complete_path (commandline -ct))" -d 'write all figures to this file'
complete -c auditsense -n '_shtab_auditsense_using bench' -l html -xka "(__fish_complete_path (commandline -ct))" -d 'write a page with plots to this file'
complete -c auditsense -n '_shtab_auditsense_using bench' -l offline -d 'measure without the kernel'"'"'s audit'
complete -c auditsense -n '_shtab_auditsense_using bench' -l events -x -d 'number of events per input and per burst; fewer are quicker and less exact (default: 200000)'
complete -c auditsense -n '_shtab_auditsense_using bench' -l fail-on-missed -d 'exit with 1 if a figure misses its goal'
complete -c auditsense -n '_shtab_auditsense_using bench' -l color -xka "auto always never" -d 'color text by severity; auto: on a terminal, unless NO_COLOR is set or TERM is dumb (default: auto)'
complete -c auditsense -n '_shtab_auditsense_using bench; and test $_shtab_auditsense_npos -eq 0' -a compare -d 'Compare two reports of bench --json, measuring nothing: each figure of B divided by that of A, and the limits of this ratio if both figures lie anywhere within their spreads.'
complete -c auditsense -n '_shtab_auditsense_using bench compare' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using bench compare; and test $_shtab_auditsense_npos -eq 0' -ka "(__fish_complete_path (commandline -ct))" -d 'report to compare with'
complete -c auditsense -n '_shtab_auditsense_using bench compare; and test $_shtab_auditsense_npos -eq 1' -ka "(__fish_complete_path (commandline -ct))" -d 'report to compare'
complete -c auditsense -n '_shtab_auditsense_using bench; and test $_shtab_auditsense_npos -eq 0' -a calls -d 'Measure the time of single system calls before audit rules, with audit on and no rule, with the rules of the detections, with -w /proc/ -p r, and after all are removed. Takes less than a minute. Needs root, a C compiler and an audit socket without an owner. Every change to the host is reverted, but a part of the cost stays until the next boot once audit was on, as after any sensor.'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -s c -l config -xka "(__fish_complete_path (commandline -ct))" -d 'read only this configuration file (default: auditsense.toml, conf.d/*.toml and detections.d in /etc/auditsense)'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -l detections -xka "(__fish_complete_path (commandline -ct))" -d 'files with detections, or folders of them, read in addition to the shipped ones; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -l shipped -l no-shipped -d 'use the detections that come with auditsense (default: yes)'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -l only -x -d 'ids of the detections to use; the others are left out. pspy is Elastic'"'"'s rule, and alone it has Elastic'"'"'s audit rule; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -l audit-rule -x -d 'audit rules in auditctl syntax that are active while the sensor runs, instead of the rules that the detections need; may be repeated'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -l costly-rules -l no-costly-rules -d 'include derived audit rules that report frequent calls, such as every creation of a file. auditsense rules derive --explain --with costly names them'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -l rounds -x -d 'rounds of all states, from 1 to 100; the fastest of them counts (default: 9)'
complete -c auditsense -n '_shtab_auditsense_using bench calls' -l json -xka "(__fish_complete_path (commandline -ct))" -d 'write all figures to this file'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a schema -d 'Print the JSON schema (draft 2020-12) of the documents, or of the output of status --json.'
complete -c auditsense -n '_shtab_auditsense_using schema' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using schema; and test $_shtab_auditsense_npos -eq 0' -ka "document status" -d 'schema to print (default: document)'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a completion -d 'Print the completion script of a shell, to be saved where the shell looks for it.'
complete -c auditsense -n '_shtab_auditsense_using completion' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using completion; and test $_shtab_auditsense_npos -eq 0' -ka "bash zsh fish" -d 'shell to complete in'
complete -c auditsense -n '_shtab_auditsense_using; and test $_shtab_auditsense_npos -eq 0' -a help -d 'Print the help of a command.'
complete -c auditsense -n '_shtab_auditsense_using help' -s h -l help -d 'print this help and exit'
complete -c auditsense -n '_shtab_auditsense_using help; and test $_shtab_auditsense_npos -ge 0' -ka "run replay record doctor status test-alert detections config rules ship units bench schema completion help" -d 'command, and its action'
