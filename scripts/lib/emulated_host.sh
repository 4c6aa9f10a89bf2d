# What tests/host/run needs before it can boot the emulated host. For sourcing, in the tree's folder.
. scripts/lib/packages.sh
log_dir=build/emulated-host
. scripts/lib/steps.sh

build_programs() { cmake --preset release && ninja -C build/release programs; }

# Installs the packages that are missing and builds what runs in there.
prepare_host() {
  mkdir -p "$log_dir"
  step "install packages" install_packages "${build_packages[@]}" "${runtime_packages[@]}" \
    "${host_packages[@]}" || {
    [ "$(id -u)" -eq 0 ] || sed -n '/These packages/,$p' "$step_log" >&2
    return 1
  }
  step "build" build_programs
}
