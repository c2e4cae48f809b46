#!/usr/bin/env bash
# Installs what it lacks (Debian 12), builds, starts a broker, and lets real input flow through it: the lines of
# this machine's package log (or of a file named as argument) go in by `sluice pub --lines` and come out of
# `sluice sub`. On a terminal it then goes on until Ctrl-C; otherwise it ends by itself.
set -euo pipefail
cd "$(dirname "$0")"
source ./packages.sh
install_packages "${build_packages[@]}"

echo "== building (a few minutes the first time)"
cmake --preset release -DSLUICE_BUILD_TESTS=OFF >/dev/null
cmake --build --preset release --target sluiced sluice -j2
bin=build/release

work=$(mktemp -d)
broker=
subscriber=
follower=
clean_up() {
  for process in $follower $subscriber $broker; do kill "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

listen=127.0.0.1:7584 http=127.0.0.1:7585
if (: </dev/tcp/127.0.0.1/7584 || : </dev/tcp/127.0.0.1/7585) 2>/dev/null; then
  listen=127.0.0.1:0 http=127.0.0.1:0  # somebody has them
fi
$bin/broker/sluiced --listen "$listen" --http "$http" --ports-file "$work/ports" 2>"$work/log" &
broker=$!
for _ in $(seq 100); do
  [[ -s $work/ports ]] && break
  kill -0 "$broker" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.1
done
listen=$(sed -n 's/^listen=//p' "$work/ports") http=$(sed -n 's/^http=//p' "$work/ports")
export SLUICE_URL=sluice://$listen
echo "== broker: $SLUICE_URL   metrics: http://$http/metrics   health: http://$http/healthz"

input=${1:-}
for candidate in "$input" /var/log/dpkg.log /var/lib/dpkg/status README.md; do
  [[ -n $candidate && -s $candidate ]] && { input=$candidate; break; }
done
head -n 2000 "$input" >"$work/in"
lines=$(wc -l <"$work/in")
$bin/client/cli/sluice sub 'log.>' --count "$lines" --raw >"$work/out" &
subscriber=$!
# In force when the broker counts it.
for _ in $(seq 200); do
  page=$(exec 3<>"/dev/tcp/${http%:*}/${http##*:}" && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3)
  grep -q '^sluice_subscriptions 1' <<<"$page" && break
  sleep 0.05
done
$bin/client/cli/sluice pub log.packages --lines <"$work/in"
wait "$subscriber"
subscriber=
cmp "$work/in" "$work/out"
echo "== $lines lines of $input went through the broker and came out the same; the last of them:"
tail -n 3 "$work/out" | cut -c1-100

if [[ -t 1 && -t 0 ]]; then
  echo "== following $input (Ctrl-C ends); try in another terminal: SLUICE_URL=$SLUICE_URL $bin/client/cli/sluice sub 'log.>'"
  tail -n 0 -F "$input" 2>/dev/null | $bin/client/cli/sluice pub log.packages --lines &
  follower=$!
  $bin/client/cli/sluice sub 'log.>'
fi
