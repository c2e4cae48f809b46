#!/usr/bin/env bash
# Installs what is missing (Debian 12), builds, and runs the tests.
set -euo pipefail
cd "$(dirname "$0")"
packages=(build-essential cmake ninja-build protobuf-compiler libprotobuf-dev libabsl-dev libfmt-dev
          libgtest-dev libgmock-dev prometheus-cpp-dev libspdlog-dev libcli11-dev
          libtomlplusplus-dev nlohmann-json3-dev prometheus ccache python3 python3-protobuf)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  run=()
  [[ $(id -u) == 0 ]] || run=(sudo)
  "${run[@]}" apt-get update -qq
  # Debian starts the daemons that it installs; the tests want prometheus' programs, not one more server.
  (
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
      trap '"${run[@]}" rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' | "${run[@]}" tee "$policy" >/dev/null
      "${run[@]}" chmod 755 "$policy"
    fi
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"
  )
  if [[ " ${missing[*]} " == *" prometheus "* ]] && command -v systemctl >/dev/null; then
    "${run[@]}" systemctl disable --quiet prometheus || true
  fi
fi
for preset in release asan; do
  cmake --preset "$preset"
  cmake --build --preset "$preset" -j2
  ctest --preset "$preset"
done
