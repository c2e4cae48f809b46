#!/usr/bin/env bash
# Installs what is missing (Debian 12), builds, and runs the tests: unit and e2e, in release. `./test.sh asan` and
# `./test.sh tsan` run them under the sanitizers, `./test.sh slow` what takes long.
set -euo pipefail
cd "$(dirname "$0")"
source ./packages.sh
install_packages "${test_packages[@]}"
labels=(-LE slow)
presets=("$@")
if [[ ${1:-} == slow ]]; then
  labels=(-L slow)
  presets=(release)
fi
((${#presets[@]})) || presets=(release)
for preset in "${presets[@]}"; do
  echo "== $preset"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" -j2
  # Two tests of the client are not free of the machine's speed yet.
  ctest --preset "$preset" "${labels[@]}" -j2 --repeat until-pass:3
done
