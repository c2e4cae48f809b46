#!/usr/bin/env bash
# Installs what is missing (Debian 12), builds, and runs the tests, unit and e2e: in release, and under the address,
# undefined-behaviour and thread sanitizers. `./test.sh release` (or asan, tsan) runs them in one of these builds only,
# `./test.sh slow` what takes long.
set -euo pipefail
cd "$(dirname "$0")"
source ./packages.sh
install_packages "${test_packages[@]}"
install_node_modules
labels=(-LE slow)
presets=("$@")
if [[ ${1:-} == slow ]]; then
  labels=(-L slow)
  presets=(release)
fi
((${#presets[@]})) || presets=(release asan tsan)
for preset in "${presets[@]}"; do
  echo "== $preset"
  # run.sh may have configured it without.
  cmake --preset "$preset" -DSLUICE_BUILD_TESTS=ON >/dev/null
  cmake --build --preset "$preset" -j2
  ctest --preset "$preset" "${labels[@]}" -j4 --no-tests=error
done
