#!/bin/sh
# Demonstrate the auditsense of PATH: a scanner, and the alert it raises. run.sh calls it.
# As root on a host with kernel audit it does so live and restores the host; elsewhere it replays a capture.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

capture=tests/data/pspy.capture
work=$(mktemp -d)
alert=' low pspy: .* 10x /proc in ' # of the compact line
sensor=
# In every case the sensor is stopped, and restores the host first.
finish() {
    [ -z "$sensor" ] || kill -INT "$sensor" 2>/dev/null || :
    [ -z "$sensor" ] || wait "$sensor" || :
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! why=$(auditsense run --dry-run 2>&1); then
    say "kernel audit cannot be used here ($why)"
    say "replaying $capture instead, captured on a Linux 6.18 host:"
    auditsense replay "$capture" --format compact
    exit 0
fi

say "changes that the sensor makes on this host and undoes on exit:"
printf '%s\n' "$why" | sed 's/^/  /' >&2
auditsense run --format compact --duration 60 >"$work/alerts" 2>"$work/messages" &
sensor=$!
for _ in $(seq 100); do
    grep -q watching "$work/messages" && break
    kill -0 "$sensor" 2>/dev/null || { cat "$work/messages" >&2; die "the sensor did not start"; }
    sleep 0.1
done
say "scanning /proc twelve times within a second, as pspy does:"
python3 scripts/scan_proc.py
for _ in $(seq 50); do
    grep -q "$alert" "$work/alerts" && break
    sleep 0.1
done
kill -INT "$sensor"
wait "$sensor" || :
sensor=
cat "$work/alerts"
cat "$work/messages" >&2
grep -q "$alert" "$work/alerts" || die "the scanner raised no alert"
auditsense run --dry-run >"$work/after"
[ "$why" = "$(cat "$work/after")" ] || die "the host is not as it was"
say "it works: to watch this host, run $(command -v auditsense) run"
