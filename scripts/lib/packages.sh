# The Debian packages that wrenn needs, the only list of them, and how they are installed.
# For sourcing by the scripts.

# To build it. Debian 13 has a newer Boost, which does as well.
boost=libboost1.81-dev
apt_knows() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; }

build_packages=(
  g++ cmake ninja-build pkg-config ccache git ca-certificates
  libcli11-dev libexpected-dev libfmt-dev libspdlog-dev libtomlplusplus-dev
  libssl-dev libsqlite3-dev libsqlitecpp-dev libnghttp2-dev libwslay-dev
  zlib1g-dev liblz4-dev liblzma-dev libzstd-dev libarchive-dev
  libgtest-dev libgmock-dev
)

# To run it: the machine emulator, its user-mode network, what templates are made with, and the README's client.
runtime_packages=(
  qemu-system-x86 qemu-utils passt
  mmdebstrap e2fsprogs busybox-static
  curl
)
# Who is not root makes Debian trees as the users of a namespace (src/template/debian.cc).
if [ "$(id -u)" -ne 0 ]; then
  runtime_packages+=(fakeroot)
  command -v fakechroot >/dev/null || runtime_packages+=(uidmap)
fi

# To make the emulated host, and fetch Firecracker for it.
host_packages=(python3)
command -v pip >/dev/null || host_packages+=(python3-pip)

# To test it.
test_packages=(
  "${host_packages[@]}"
  clang-19 lld-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev
  shellcheck python3-pytest python3-websocket python3-yaml python3-jsonschema
  procps util-linux iproute2 nftables iptables xfsprogs zstd
  chromium
)
# Node.js that is not Debian's brings an npm of its own, and conflicts with Debian's.
command -v npm >/dev/null || test_packages+=(npm)

# missing_packages NAME...: those of them that are not installed, one a line.
missing_packages() {
  local installed
  # dpkg-query fails when it does not know one of them, which is just what is asked here.
  installed=$(dpkg-query -W -f '${db:Status-Abbrev}|${Package}\n' "$@" 2>/dev/null |
              sed -n 's/^ii *|//p') || true
  grep -vxF -f <(printf '%s\n' "$installed") <(printf '%s\n' "$@") || true
}

# install_packages NAME...: installs what is missing; quick when nothing is. Needs root for that, and
# says what to install when it is not.
install_packages() {
  local names=("$@") missing
  # Any Boost from 1.81 on will do; Debian's default one is older than that in Debian 12.
  if [[ " ${names[*]} " == *" g++ "* ]]; then
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Abbrev}|${Package}\n' 'libboost1.8*-dev' 2>/dev/null |
                sed -n 's/^ii *|//p' | head -1) || true
    names+=("${installed:-$boost}")
  fi
  mapfile -t missing < <(missing_packages "${names[@]}")
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    printf 'These packages are missing. Install them as root, then run this again:\n\n' >&2
    printf '  apt-get install --no-install-recommends %s\n\n' "${missing[*]}" >&2
    return 1
  fi
  printf 'installing %d packages: %s\n' "${#missing[@]}" "${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q || return
  # Debian 13 has Boost 1.83.
  if [[ " ${missing[*]} " == *" $boost "* ]] && ! apt_knows "$boost"; then
    missing=("${missing[@]/#$boost/libboost-dev}")
  fi
  apt-get install -q -y --no-install-recommends "${missing[@]}"
}
