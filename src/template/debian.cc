#include "template/debian.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/io.h"
#include "os/files.h"
#include "template/tools.h"

namespace wrenn::template_ {
namespace {

// Runs when all packages are installed; $1 is the tree. What the machine's apt was told for this
// build (proxies, credentials) is taken out again, as are the host's name and name servers.
constexpr const char* kCustomize = R"SH(
set -eu
root=$1
cd /  # find wants back to where it began, which the users of a namespace may not be let into
chroot "$root" useradd --create-home --uid 1000 --user-group --shell /bin/bash user
if [ -d "$root/etc/sudoers.d" ]; then
  echo 'user ALL=(ALL:ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/user"
  chmod 0440 "$root/etc/sudoers.d/user"
fi
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' > "$root/etc/hosts"
echo sandbox > "$root/etc/hostname"
: > "$root/etc/resolv.conf"
mkdir -p "$root/etc/default"
echo 'LANG=C.UTF-8' > "$root/etc/default/locale"
for keys in /etc/apt/keyrings /etc/apt/trusted.gpg.d /usr/share/keyrings; do
  for key in "$keys"/*; do
    if [ -r "$key" ] && [ ! -e "$root$key" ]; then
      mkdir -p "$root$keys" && cp -L "$key" "$root$key"
    fi
  done
done
find "$root/etc/apt" -type f \( -name '*.list' -o -name '*.sources' \) \
  -exec sed -i -E 's#(://)[^/@[:space:]]+@#\1#g' {} +
printf '%s\n' 'APT::Install-Recommends "false";' 'Acquire::Languages "none";' \
  > "$root/etc/apt/apt.conf.d/99wrenn"
grep '^Acquire::Check-' "$root/etc/apt/apt.conf.d/99mmdebstrap" \
  >> "$root/etc/apt/apt.conf.d/99wrenn" || true
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
find "$root/var/log" -type f -delete
rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/usr/share/doc/* \
  "$root"/usr/share/info/* "$root"/usr/share/lintian
)SH";

// Nobody reads these in a sandbox; they are a third of a small system.
constexpr const char* kLeftOut[] = {"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*",
                                    "/usr/share/locale/*", "/usr/share/lintian/*"};

// Turns mmdebstrap's, apt's and dpkg's lines into news for people, and keeps the first error.
class Narrator {
 public:
  explicit Narrator(const std::function<void(const std::string&)>& say) : say_(say) {}

  void Line(std::string_view line) {
    if (line.starts_with("E: ") && error_.empty()) {
      // Of a hook mmdebstrap shows the text, and the line before says what went wrong.
      error_ = line.find("command failed") == line.npos ? line.substr(3) : before_;
    }
    before_ = line;
    if (line.starts_with("Get:")) {
      Say(fmt::format("downloading packages ({})", ++downloaded_));
    } else if (line.starts_with("Unpacking ")) {
      Say(fmt::format("unpacking packages ({})", ++unpacked_));
    } else if (line.starts_with("Setting up ")) {
      ++set_up_;
      Say(fmt::format("setting up packages ({} of {})", set_up_, std::max(unpacked_, set_up_)));
    }
  }

  const std::string& error() const { return error_; }

 private:
  void Say(const std::string& what) {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::seconds(1)) return;
    last_ = now;
    say_(what);
  }

  const std::function<void(const std::string&)>& say_;
  std::chrono::steady_clock::time_point last_;
  std::string error_;
  std::string before_;  // the last line
  int downloaded_ = 0;
  int unpacked_ = 0;
  int set_up_ = 0;
};

Status RunMmdebstrap(const Workspace& workspace, Tool tool,
                     const std::function<void(const std::string&)>& say) {
  Narrator narrator(say);
  tool.on_line = [&](std::string_view line) { narrator.Line(line); };
  auto done = RunTool(workspace, tool);
  if (done) return {};
  Error error = std::move(done.error());
  if (error.code == Code::kInternal) {
    const std::string& why = narrator.error().empty() ? error.message : narrator.error();
    error.message = "cannot install the packages: " + why;
  }
  return Fail(std::move(error));
}

std::vector<std::string> Mmdebstrap(const std::vector<std::string>& packages,
                                    const std::string& options_file) {
  std::vector<std::string> argv = {"mmdebstrap",
                                   "--variant=minbase",
                                   "--verbose",
                                   "--aptopt=" + options_file,
                                   "--aptopt=Acquire::Languages \"none\"",
                                   "--dpkgopt=force-unsafe-io"};  // the image is flushed as a whole
  for (const char* path : kLeftOut) argv.push_back(fmt::format("--dpkgopt=path-exclude={}", path));
  argv.push_back("--dpkgopt=path-include=/usr/share/locale/locale.alias");
  argv.push_back(fmt::format("--include={}", fmt::join(packages, ",")));
  argv.push_back(std::string("--customize-hook=") + kCustomize);
  return argv;
}

// Every child process ends with the build where a process namespace can be had, and what they
// mount with them where a mount namespace can.
std::vector<std::string> TiedToBuild(const Workspace& workspace) {
  const std::vector<std::string> prefixes[] = {
      {"unshare", "--mount", "--pid", "--fork", "--kill-child", "--"},
      {"unshare", "--pid", "--fork", "--kill-child", "--"}};
  for (const auto& prefix : prefixes) {
    std::vector<std::string> probe = prefix;
    probe.emplace_back("true");
    if (RunTool(workspace, {.argv = probe})) return prefix;
  }
  return {};
}

Result<DebianTree> MakeAsRoot(const Workspace& workspace, std::vector<std::string> argv,
                              const AptSetup& apt,
                              const std::function<void(const std::string&)>& say) {
  const std::string tree = workspace.path() + "/tree";
  const auto prefix = TiedToBuild(workspace);
  argv.insert(argv.begin(), prefix.begin(), prefix.end());
  argv.insert(argv.end(), {"--mode=root", "--format=directory", "", tree});
  argv.insert(argv.end(), apt.sources.begin(), apt.sources.end());
  RETURN_IF_ERROR(RunMmdebstrap(workspace, {.argv = argv}, say));
  return DebianTree{tree, {}};
}

// The tree must be made elsewhere, since its owners are users of a namespace; it comes as a tar,
// and is unpacked under fakeroot, which keeps the owners in a file for mke2fs to see.
Result<DebianTree> MakeAsUser(const Workspace& workspace, std::vector<std::string> argv,
                              const AptSetup& apt,
                              const std::function<void(const std::string&)>& say) {
  if (!HasProgram("fakeroot") || !(HasProgram("newuidmap") || HasProgram("fakechroot"))) {
    return Fail(Code::kFailedPrecondition,
                "building this template without root needs the packages fakeroot and uidmap (and a "
                "range of ids in /etc/subuid and /etc/subgid): install them, or build it as root; "
                "'wrenn template build minimal' needs neither");
  }
  const std::string tar = workspace.path() + "/tree.tar";
  argv.insert(argv.end(), {"--mode=auto", "--format=tar", "", tar});
  argv.insert(argv.end(), apt.sources.begin(), apt.sources.end());
  RETURN_IF_ERROR(RunMmdebstrap(workspace, {.argv = argv}, say));
  const std::string tree = workspace.path() + "/tree";
  const std::string state = workspace.path() + "/fakeroot";
  RETURN_IF_ERROR(os::MakeDirectory(tree));
  auto unpacked = RunTool(workspace, {.argv = {"fakeroot", "-s", state, "--", "tar", "-x", "-p",
                                               "--numeric-owner", "-f", tar, "-C", tree}});
  if (!unpacked) return Fail(std::move(unpacked.error()));
  RETURN_IF_ERROR(os::RemoveTree(tar));
  return DebianTree{tree, {"fakeroot", "-i", state, "--"}};
}

// The package sources of the machine, as sources.list(5) has them.
Result<std::vector<std::string>> SourceFiles() {
  std::vector<std::string> files;
  const auto add = [&](const std::string& path) {
    const auto text = ReadFile(path);
    if (text && text->find_first_not_of(" \t\n") != std::string::npos) files.push_back(path);
  };
  add("/etc/apt/sources.list");
  const std::string folder = "/etc/apt/sources.list.d";
  if (const auto names = os::ListDirectory(folder)) {
    for (const std::string& name : *names) {
      if (name.ends_with(".list") || name.ends_with(".sources")) add(folder + "/" + name);
    }
  }
  if (files.empty()) {
    return Fail(Code::kFailedPrecondition,
                "this machine has no package sources in /etc/apt/sources.list and "
                "/etc/apt/sources.list.d: add Debian's");
  }
  return files;
}

}  // namespace

Result<AptSetup> ReadAptSetup(const Workspace& workspace) {
  AptSetup setup;
  ASSIGN_OR_RETURN(setup.sources, SourceFiles());
  ASSIGN_OR_RETURN(const auto dump,
                   RunTool(workspace, {.argv = {"apt-config", "dump", "Acquire", "--no-empty"}}));
  std::string_view rest = dump;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    // Index targets are made by what is installed on the machine, e.g. for software centres.
    if (line.starts_with("Acquire::IndexTargets::")) continue;
    if (line.starts_with("Acquire::")) setup.options += std::string(line) + "\n";
  }
  // Credentials stay where they are: apt reads them for the build, and the template lacks them.
  if (os::Exists("/etc/apt/auth.conf"))
    setup.options += "Dir::Etc::netrc \"/etc/apt/auth.conf\";\n";
  if (os::Exists("/etc/apt/auth.conf.d")) {
    setup.options += "Dir::Etc::netrcparts \"/etc/apt/auth.conf.d\";\n";
  }
  return setup;
}

Result<DebianTree> MakeDebianTree(const Workspace& workspace, const AptSetup& apt,
                                  const std::vector<std::string>& packages,
                                  const std::function<void(const std::string&)>& say) {
  const std::string options_file = workspace.path() + "/apt-options";
  RETURN_IF_ERROR(WriteFileAtomically(options_file, apt.options));
  auto argv = Mmdebstrap(packages, options_file);
  if (::geteuid() == 0) return MakeAsRoot(workspace, std::move(argv), apt, say);
  return MakeAsUser(workspace, std::move(argv), apt, say);
}

}  // namespace wrenn::template_
