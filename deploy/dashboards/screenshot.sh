#!/usr/bin/env bash
# Takes the picture of the console that README.md shows, of a real broker with slow consumers: needs prometheus, chromium,
# python3-protobuf, python3-yaml and a build. Takes five minutes, since a graph wants something to show.
#
#   screenshot.sh [BUILD_DIR [PICTURE]]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$root/build/release}
picture=${2:-$root/deploy/prometheus/console.png}
/usr/bin/python3 -B "$root/tests/deploy/console_test.py" "$build/broker/sluiced" "$build/client/cli/sluice" \
  --screenshot "$picture"
size=$(stat -c %s "$picture")
echo "$picture: $size bytes"
((size < 200000)) || { echo "too large for the repository: at most 200,000" >&2; exit 1; }
