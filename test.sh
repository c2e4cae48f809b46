#!/usr/bin/env bash
# Installs what is missing (Debian 12), builds, and runs the tests: unit and e2e in release and under the
# sanitizers. `./test.sh release` runs one preset only; `./test.sh slow` what takes long.
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
((${#presets[@]})) || presets=(release asan tsan)
for preset in "${presets[@]}"; do
  echo "== $preset"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" -j2
  ctest --preset "$preset" "${labels[@]}" -j2
done
