#!/usr/bin/env bash
# The Debian packages in a bare Debian 12: they install, the broker runs as its unit runs it, the command and a program
# built with the client library talk to it, a changed configuration is kept, and what was installed goes again. Needs
# root, debootstrap and the network.
#
#   package_test.sh BUILD_DIR COMPILER
set -euo pipefail
build=$1 compiler=$2
here=$(dirname "$(realpath "$0")")
if [[ $(id -u) != 0 ]] || ! command -v debootstrap >/dev/null; then
  echo "skipped: needs root and debootstrap"
  exit 77
fi
work=$(mktemp -d /var/tmp/sluice-package.XXXXXX)
root=$work/root
clean_up() {
  if mountpoint -q "$root/proc"; then umount --lazy "$root/proc"; fi
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
fail() { echo "$*" >&2; exit 1; }
chrooted=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
  NOTIFY_SOCKET=/run/notify chroot "$root")
inside() { "${chrooted[@]}" "$@" </dev/null; }

echo "== packages"
cmake --build "$build" --target sluiced sluice sluice_completion sluice_man sluice_client_shared sluice_client_static \
  >/dev/null
(cd "$build" && cpack -G DEB -B "$work/packages" >"$work/cpack" 2>&1) || { cat "$work/cpack" >&2; exit 1; }
ls "$work"/packages/*.deb

echo "== a program with the client library"
for package in "$work"/packages/libsluice-client*.deb; do dpkg-deb -x "$package" "$work/dev"; done
cmake -S "$here/../client/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/dev/usr" \
  -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
cmake --build "$work/consumer" >/dev/null

echo "== a bare Debian 12"
debootstrap --variant=minbase bookworm "$root" >/dev/null
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/"
cp "$work"/packages/*.deb "$root/tmp/"
cp "$work/consumer/consumer" "$root/tmp/"

echo "== install"
inside apt-get update -qq
install() { inside bash -c "apt-get install -y -qq --no-install-recommends $* >/tmp/apt 2>&1 || { cat /tmp/apt; exit 1; }"; }
install /tmp/sluice_*.deb /tmp/libsluice-client0*.deb
inside bash -c 'apt-get install --simulate -qq --no-install-recommends /tmp/libsluice-client-dev*.deb >/dev/null'
# shellcheck disable=SC2016  # for the other shell
inside bash -c 'dpkg -L sluice libsluice-client0.1 | while read -r path; do [[ -d $path ]] || echo "$path"; done' \
  >"$work/installed"
[[ -s $work/installed ]] || fail "nothing was installed"
# There is no man to look for the page.
complaints=$(inside systemd-analyze verify sluiced.service 2>&1 | grep sluiced | grep -v 'man sluiced' || true)
[[ -z $complaints ]] || fail "$complaints"
[[ -L $root/etc/systemd/system/multi-user.target.wants/sluiced.service ]] || fail "the unit is not enabled"
subcommands=$(inside sluice --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[[ $subcommands == *consumers* ]] || fail "what does sluice --help say? $subcommands"
# shellcheck disable=SC2086  # words
for page in man8/sluiced.8 man1/sluice.1 $(printf 'man1/sluice-%s.1 ' $subcommands); do
  zgrep -q '^\.SH NAME' "$root/usr/share/man/$page.gz" || fail "no man page $page"
done
inside bash -c 'source /usr/share/bash-completion/completions/sluice && complete -p sluice' >/dev/null

echo "== run"
cat >"$work/manager.py" <<'PYTHON'
import os, socket, sys

manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
manager.settimeout(120)
print("listens", flush=True)
print(manager.recv(4096).decode().replace("\n", " "), flush=True)
PYTHON
# As the unit does it.
run() {
  local start said broker subscriber
  ip link set lo up
  coproc MANAGER { exec /usr/bin/python3 "$work/manager.py" "$root/run/notify"; }
  read -r said <&"${MANAGER[0]}"
  start=$(sed -n 's/^ExecStart=//p' "$root/usr/lib/systemd/system/sluiced.service")
  # shellcheck disable=SC2086  # words
  "${chrooted[@]}" setpriv --reuid sluice --regid sluice --clear-groups --no-new-privs --bounding-set=-all $start \
    </dev/null 2>"$work/log" &
  broker=$!
  read -r said <&"${MANAGER[0]}" || { cat "$work/log"; fail "the broker never said that it is ready"; }
  echo "$said"
  [[ $said == "READY=1 STATUS=serving clients on 127.0.0.1:7584, HTTP 127.0.0.1:7585" ]] || fail "not as expected"

  inside sluice ping --timeout 60s
  inside timeout 60 sluice sub 'package.>' --count 1 --raw >"$work/received" &
  subscriber=$!
  while kill -0 "$subscriber" 2>/dev/null; do inside sluice pub package.test hello; done
  wait "$subscriber" || fail "nothing was received"
  [[ $(<"$work/received") == hello ]] || fail "received: $(<"$work/received")"
  said=$(inside /tmp/consumer sluice://127.0.0.1:7584)
  [[ $said == hello ]] || fail "the program with the client library said: $said"
  [[ $(stat -c %u "/proc/$broker") == "$(inside id -u sluice)" ]] || fail "runs as $(stat -c %U "/proc/$broker")"

  kill -TERM "$broker"
  wait "$broker" || fail "the broker ended with $?"
  grep -q 'stopped' "$work/log" || fail "the broker did not end in order"
}
unshare --net --kill-child bash -euo pipefail -c "$(declare -p work root chrooted; declare -f fail inside run); run"

echo "== a changed configuration and a secret"
echo '# changed' >>"$root/etc/sluice/sluiced.toml"
echo 0123456789abcdef0123 >"$root/etc/sluice/http-token"
install --reinstall /tmp/sluice_*.deb
tail -n 1 "$root/etc/sluice/sluiced.toml" | grep -qx '# changed' || fail "the changed configuration is gone"
token=$(inside stat -c '%a %U %G' /etc/sluice/http-token)
[[ $token == "640 root sluice" ]] || fail "the token is $token"

echo "== remove and purge"
rm "$root/etc/sluice/http-token"
inside apt-get remove -y -qq sluice libsluice-client0.1 >/dev/null 2>&1
left=$(while read -r path; do [[ ! -e $root$path ]] || echo "$path"; done <"$work/installed")
[[ $left == /etc/sluice/sluiced.toml ]] || fail "left behind: $left"
install /tmp/sluice_*.deb
[[ ! -e $root/etc/systemd/system/sluiced.service ]] || fail "the unit is masked after a new installation"
tail -n 1 "$root/etc/sluice/sluiced.toml" | grep -qx '# changed' || fail "a new installation has another configuration"
inside apt-get purge -y -qq sluice libsluice-client0.1 >/dev/null 2>&1
left=$(find "$root" -xdev \( -path "$root/proc" -o -path "$root/tmp" \) -prune -o -iname '*sluice*' -print)
[[ -z $left ]] || fail "left behind: $left"
