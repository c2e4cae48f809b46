#!/usr/bin/env bash
# Installs the client library into an empty folder and builds a program against it there, as a user would: with CMake
# and with pkg-config, shared and static. Each program talks to a broker.
#
#   install_test.sh BUILD_DIR COMPILER BROKER_PROGRAM
set -euo pipefail
build=$1 compiler=$2 broker=$3
source=$(dirname "$(realpath "$0")")/consumer
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
prefix=$dir/prefix

for component in client-runtime client; do
  cmake --install "$build" --component "$component" --prefix "$prefix" >/dev/null
done

echo "== each header stands alone and shows nothing that is ours alone"
printf '%s\n' "$prefix"/include/sluice/*.h | xargs -P 2 -n 1 \
  "$compiler" -std=c++20 -Wall -Wextra -Wpedantic -Werror -I"$prefix/include" \
  -fsyntax-only -x c++
if grep -nE 'absl::string_view|\.pb\.h|broker/|#include "(client|protocol)/' "$prefix"/include/sluice/*.h; then
  echo "an installed header shows what it should not" >&2
  exit 1
fi

echo "== CMake"
cmake -S "$source" -B "$dir/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
cmake --build "$dir/cmake" -j 2 >/dev/null

echo "== pkg-config"
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name sluice-client.pc)")
libdir=$(pkg-config --variable=libdir sluice-client)
# shellcheck disable=SC2046  # flags are words
{
  "$compiler" -std=c++20 -c "$source/main.cc" -o "$dir/consumer.o" $(pkg-config --cflags sluice-client)
  "$compiler" "$dir/consumer.o" -o "$dir/consumer_pc" $(pkg-config --libs sluice-client) -Wl,-rpath,"$libdir"
  "$compiler" "$dir/consumer.o" -o "$dir/consumer_pc_static" \
    $(pkg-config --libs --static sluice-client | sed 's/-lsluice-client/-l:libsluice-client.a/')
}

coproc BROKER { exec "$broker"; }
read -r url <&"${BROKER[0]}"
for program in cmake/consumer cmake/consumer_static consumer_pc consumer_pc_static; do
  said=$("$dir/$program" "$url")
  [[ $said == hello ]] || { echo "$program said: $said" >&2; exit 1; }
  [[ $(ldd "$dir/$program") == *libsluice-client.so.0.1* ]] && uses=yes || uses=no
  [[ $program == *static ]] && expected=no || expected=yes
  [[ $uses == "$expected" ]] || { echo "$program uses the shared library: $uses" >&2; exit 1; }
  echo "$program: $said"
done
