#!/usr/bin/env bash
# Runs the two examples against a broker: every message that one publishes, the other prints.
#
#   examples_test.sh PUBLISHER SUBSCRIBER BROKER_PROGRAM
set -euo pipefail
publisher=$1 subscriber=$2 broker=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
coproc BROKER { exec "$broker"; }
read -r url <&"${BROKER[0]}"

# It ends by itself after three messages. The publisher publishes until then, since nobody tells us when the
# subscription is in force.
"$subscriber" "$url" 3 >"$dir/out" &
reader=$!
while kill -0 "$reader" 2>/dev/null; do
  "$publisher" "$url" 3 >"$dir/said"
done
wait "$reader"
grep -q '^3 messages went to [0-3] subscriptions$' "$dir/said"
[[ $(wc -l <"$dir/out") == 3 ]]
[[ $(grep -cE '^ticks\.nyse\.IBM 18[1-3] usd$' "$dir/out") == 3 ]]
