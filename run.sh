#!/usr/bin/env bash
# Installs what it lacks (Debian 12) and builds. Then real input flows through a broker: the lines of this machine's
# package log (or of a file named as argument) go in by `sluice pub --lines` and come out of `sluice sub`. Then, on a
# terminal, `sluice demo` until Ctrl-C; otherwise `sluice demo --check`, which ends by itself, with 0 if all is well.
set -euo pipefail
cd "$(dirname "$0")"
source ./packages.sh
install_packages "${build_packages[@]}"

echo "== building (a few minutes the first time)"
cmake --preset release -DSLUICE_BUILD_TESTS=OFF >/dev/null
cmake --build --preset release --target sluiced sluice -j2
sluice=build/release/client/cli/sluice

work=$(mktemp -d)
broker=
subscriber=
clean_up() {
  for process in $subscriber $broker; do kill "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

build/release/broker/sluiced --listen 127.0.0.1:0 --http 127.0.0.1:0 --ports-file "$work/ports" 2>"$work/log" &
broker=$!
until [[ -s $work/ports ]]; do
  kill -0 "$broker" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.1
done
export SLUICE_URL SLUICE_HTTP
SLUICE_URL=sluice://$(sed -n 's/^listen=//p' "$work/ports") SLUICE_HTTP=http://$(sed -n 's/^http=//p' "$work/ports")

input=${1:-}
for candidate in "$input" /var/log/dpkg.log /var/lib/dpkg/status README.md; do
  [[ -n $candidate && -s $candidate ]] && { input=$candidate; break; }
done
head -n 2000 "$input" >"$work/in"
lines=$(wc -l <"$work/in")
$sluice sub 'log.>' --count "$lines" --raw >"$work/out" &
subscriber=$!
until $sluice consumers | grep -F 'log.>' >/dev/null; do
  kill -0 "$subscriber" 2>/dev/null || exit 1
  sleep 0.1
done
$sluice pub log.packages --lines <"$work/in"
wait "$subscriber"
subscriber=
cmp "$work/in" "$work/out"
echo "== $lines lines of $input went through the broker and came out the same"
clean_up
trap - EXIT INT TERM
unset SLUICE_URL SLUICE_HTTP

if [[ -t 1 ]]; then
  echo "== $sluice demo"
  exec $sluice demo
fi
echo "== $sluice demo --check"
exec $sluice demo --check
