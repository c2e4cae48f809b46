#!/usr/bin/env bash
# The unit is one that systemd takes without a complaint, leaves the broker next to nothing that it could do harm with,
# and names the exit codes of the broker.
#
#   systemd_unit_test.sh SOURCE_DIR BROKER
set -euo pipefail
unit=$1/deploy/systemd/sluiced.service broker=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# As it is, but for what only an installed broker has.
sed -e "s|^ExecStart=/usr/bin/sluiced|ExecStart=$broker|" -e '/^Documentation=man:/d' "$unit" >"$dir/sluiced.service"
complaints=$(systemd-analyze verify "$dir/sluiced.service" 2>&1 | grep sluiced || true)
[[ -z $complaints ]] || { echo "$complaints" >&2; exit 1; }

# In tenths: 1.2 of 10.
systemd-analyze security --offline=true --threshold=12 "$unit" >"$dir/security" || { cat "$dir/security" >&2; exit 1; }
tail -n 1 "$dir/security"

codes=$(sed -n 's/^RestartPreventExitStatus=//p' "$unit")
exits_with() {
  local code=$1 got=0
  shift
  "$broker" "$@" 2>/dev/null || got=$?
  [[ $got == "$code" && " $codes " == *" $code "* ]] || { echo "$* ended with $got, for $code of: $codes" >&2; exit 1; }
}
exits_with 2 --no-such-flag
exits_with 78 --config "$dir/no-such-file"

# Room for as many connections as the default allows, and for what else is open.
files=$(sed -n 's/^LimitNOFILE=//p' "$unit")
connections=$("$broker" --print-config | sed -n 's/^connections_max = //p')
((files >= connections + 128)) || { echo "LimitNOFILE=$files is too low for $connections connections" >&2; exit 1; }
