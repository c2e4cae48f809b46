# What Debian 12 needs for Sluice; sourced by run.sh and test.sh.
build_packages=(build-essential cmake ninja-build protobuf-compiler libprotobuf-dev libabsl-dev libfmt-dev
                prometheus-cpp-dev libspdlog-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev
                libcurl4-openssl-dev libncurses-dev libsystemd-dev python3)
test_packages=("${build_packages[@]}" libgtest-dev libgmock-dev prometheus ccache iproute2 nftables python3-protobuf python3-yaml
               clang libclang-rt-14-dev llvm valgrind pkg-config nodejs chromium fonts-dejavu-core
               help2man debootstrap systemd)
# Some packages of nodejs bring it.
command -v npm >/dev/null || test_packages+=(npm)

# What tests/bench/compare compares with, and what draws its plots.
bench_packages=(nats-server redis-server mosquitto libnats-dev python3 python3-matplotlib)

install_packages() {
  local missing=() package as_root=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  [[ $(id -u) == 0 ]] || as_root=(sudo)
  echo "== installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  # Debian starts the daemons that it installs; the tests want their programs, not one more server.
  (
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
      trap '"${as_root[@]}" rm -f "$policy"' EXIT
      printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
      "${as_root[@]}" chmod 755 "$policy"
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends "${missing[@]}"
  )
  for package in prometheus nats-server redis-server mosquitto; do
    if [[ " ${missing[*]} " == *" $package "* ]] && command -v systemctl >/dev/null; then
      "${as_root[@]}" systemctl disable --quiet "$package" || true
    fi
  done
}

# What the tests of the status page take from npm: as the lock file has it, and only when that has changed.
install_node_modules() {
  local folder=tests/status_page
  cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed" && return 0
  echo "== installing node modules"
  npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund
  cp "$folder/package-lock.json" "$folder/node_modules/.installed"
}
