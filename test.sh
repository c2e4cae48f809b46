#!/usr/bin/env bash
# Installs what is missing (Debian 12), builds, and runs the tests.
set -euo pipefail
cd "$(dirname "$0")"
packages=(build-essential cmake ninja-build protobuf-compiler libprotobuf-dev libabsl-dev libfmt-dev
          libgtest-dev libgmock-dev prometheus-cpp-dev libspdlog-dev libcli11-dev
          libtomlplusplus-dev nlohmann-json3-dev ccache python3 python3-protobuf)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  run=()
  [[ $(id -u) == 0 ]] || run=(sudo)
  "${run[@]}" apt-get update -qq
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
for preset in release asan; do
  cmake --preset "$preset"
  cmake --build --preset "$preset" -j2
  ctest --preset "$preset"
done
