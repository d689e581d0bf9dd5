#!/bin/sh
# Set up everything on a fresh machine and demonstrate the sensor: a scanner, and the alert it raises.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh
setup build
exec scripts/show_alert.sh
