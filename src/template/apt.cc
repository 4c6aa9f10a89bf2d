#include "template/apt.h"

#include <unistd.h>

#include <algorithm>
#include <optional>

#include "os/files.h"
#include "template/tools.h"

namespace wrenn::template_ {
namespace {

// The first real package in the output of "apt-cache depends": "  Depends: NAME". Virtual ones
// stand in angle brackets.
std::optional<std::string> FirstDependency(std::string_view text) {
  constexpr std::string_view kLabel = "Depends: ";
  for (size_t at = text.find(kLabel); at != text.npos; at = text.find(kLabel, at + 1)) {
    if (text.substr(0, at).ends_with("Pre")) continue;
    const std::string_view rest = text.substr(at + kLabel.size());
    const std::string_view name = rest.substr(0, rest.find('\n'));
    if (IsPackageName(name)) return std::string(name);
  }
  return std::nullopt;
}

Result<std::string> Depends(const Workspace& workspace, const std::string& name) {
  return RunTool(workspace, {.argv = {"apt-cache", "depends", name}});
}

// By "apt-cache policy": "  Candidate: VERSION".
Result<std::string> CandidateVersion(const Workspace& workspace, const std::string& name) {
  constexpr std::string_view kLabel = "  Candidate: ";
  ASSIGN_OR_RETURN(const auto text, RunTool(workspace, {.argv = {"apt-cache", "policy", name}}));
  const size_t at = text.find(kLabel);
  if (at == text.npos) return Fail(Code::kNotFound, "apt has no package '{}'", name);
  const size_t begin = at + kLabel.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

// Whether apt knows nothing at all, as on a machine where it was never updated.
bool HasLists(const Workspace& workspace) {
  const auto known = RunTool(workspace, {.argv = {"apt-cache", "depends", "base-files"}});
  return known && known->find("Depends:") != std::string::npos;
}

Status UpdateLists(const Workspace& workspace) {
  if (::geteuid() != 0) {
    return Fail(Code::kFailedPrecondition,
                "apt has no package lists on this machine: run 'apt-get update' as root first");
  }
  auto updated = RunTool(workspace, {.argv = {"apt-get", "update", "-q"}});
  if (!updated) return Fail(updated.error().WithContext("cannot fetch the package lists"));
  return {};
}

}  // namespace

bool IsPackageName(std::string_view name) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return name.size() >= 2 && name.size() <= 128 && alphanumeric(name.front()) &&
         name.back() != '-' && std::ranges::all_of(name, [&](char c) {
           return alphanumeric(c) || c == '+' || c == '-' || c == '.';
         });
}

Result<AvailablePackage> ResolveMetaPackage(const Workspace& workspace, const std::string& name) {
  auto depends = Depends(workspace, name);
  if (!depends || !FirstDependency(*depends)) {
    if (!HasLists(workspace)) {
      RETURN_IF_ERROR(UpdateLists(workspace));
      depends = Depends(workspace, name);
    }
  }
  if (depends) {
    if (auto package = FirstDependency(*depends)) {
      ASSIGN_OR_RETURN(auto version, CandidateVersion(workspace, *package));
      return AvailablePackage{std::move(*package), std::move(version)};
    }
  }
  return Fail(
      Error{Code::kFailedPrecondition,
            fmt::format("apt does not know the package '{}': wrenn takes it from Debian's "
                        "archive, so add a Debian source to /etc/apt and run 'apt-get update'",
                        name),
            depends ? *depends : depends.error().ToString()});
}

Result<std::string> DownloadPackage(const Workspace& workspace, const std::string& name,
                                    const std::string& directory) {
  if (!IsPackageName(name)) {
    return Fail(Code::kInvalidArgument, "'{}' is not a package name", name);
  }
  RETURN_IF_ERROR(os::MakeDirectory(directory));
  // The unprivileged user that apt downloads as cannot write to a folder of root's.
  auto downloaded = RunTool(
      workspace, {.argv = {"apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name},
                  .directory = directory});
  if (!downloaded) {
    return Fail(downloaded.error().WithContext("cannot download the package '" + name +
                                               "' (lists too old? try 'apt-get update')"));
  }
  ASSIGN_OR_RETURN(const auto files, os::ListDirectory(directory));
  for (const std::string& file : files) {
    if (file.starts_with(name + "_") && file.ends_with(".deb")) return directory + "/" + file;
  }
  return Fail(Code::kInternal, "apt did not download the package '{}'", name);
}

Status UnpackPackage(const Workspace& workspace, const std::string& file,
                     const std::string& directory) {
  auto unpacked = RunTool(workspace, {.argv = {"dpkg-deb", "-x", file, directory}});
  if (!unpacked) return Fail(std::move(unpacked.error()));
  return {};
}

Result<std::string> PackageVersion(const Workspace& workspace, const std::string& file) {
  ASSIGN_OR_RETURN(std::string version,
                   RunTool(workspace, {.argv = {"dpkg-deb", "-f", file, "Version"}}));
  while (!version.empty() && version.back() == '\n') version.pop_back();
  return version;
}

}  // namespace wrenn::template_
