#!/usr/bin/env bash
# The README's two commands, in a clean clone of what is committed, on a Debian 12 where nothing but git is installed:
# a root file system made for it by debootstrap. Needs root, debootstrap and the network; takes most of an hour.
#
#   bare_root_test.sh SOURCE_DIR
set -euo pipefail
source=$1
if [[ $(id -u) != 0 ]] || ! command -v debootstrap >/dev/null; then
  echo "skipped: needs root and debootstrap"
  exit 77
fi
root=$(mktemp -d /var/tmp/sluice-bare.XXXXXX)
clean_up() {
  for mount in proc dev; do mountpoint -q "$root/$mount" && umount -R --lazy "$root/$mount"; done
  rm -rf --one-file-system "$root"
}
trap clean_up EXIT

echo "== a bare Debian 12"
debootstrap --variant=minbase --include=git,ca-certificates bookworm "$root" >/dev/null
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
git clone -q --no-hardlinks "$source" "$root/root/sluice"

inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 chroot "$root" bash -c "$1" </dev/null; }
for command in ./run.sh ./test.sh; do
  echo "== $command"
  begin=$SECONDS
  inside "cd /root/sluice && $command"
  echo "== $command: $((SECONDS - begin)) s"
done
