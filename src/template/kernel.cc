#include "template/kernel.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "os/digest.h"
#include "os/elf_file.h"
#include "os/files.h"
#include "template/apt.h"
#include "template/bzimage.h"
#include "template/debian_version.h"
#include "template/initramfs.h"
#include "template/kernel_modules.h"

namespace wrenn::template_ {
namespace {

constexpr const char* kMetaPackage = "linux-image-cloud-amd64";
constexpr int kFormat = 1;
constexpr size_t kMaxBzImage = 256 << 20;

struct Bundle {
  std::string hash;
  KernelManifest manifest;
};

std::vector<std::string> WantedModules() {
  return {std::begin(kGuestModules), std::end(kGuestModules)};
}

// The bundles that are here and whole, the newest kernel last.
std::vector<Bundle> ListBundles(const os::Paths& paths) {
  std::vector<Bundle> bundles;
  const auto names = os::ListDirectory(paths.Kernels());
  if (!names) return bundles;
  for (const std::string& hash : *names) {
    const std::string folder = paths.Kernel(hash);
    const auto text = ReadFile(folder + "/manifest.json");
    if (!text) continue;
    const auto object = ParseJsonObject(*text);
    if (!object) continue;
    auto manifest = KernelManifest::FromJson(*object);
    if (!manifest || manifest->Hash() != hash || !os::Exists(folder + "/vmlinux") ||
        !os::Exists(folder + "/initramfs")) {
      continue;
    }
    bundles.push_back({hash, std::move(*manifest)});
  }
  std::ranges::sort(bundles, [](const Bundle& a, const Bundle& b) {
    const int order = CompareVersions(a.manifest.version, b.manifest.version);
    return order < 0 || (order == 0 && a.hash < b.hash);
  });
  return bundles;
}

// The workspace's folder "kernel", empty: a bundle that turned out to exist leaves its files there.
Result<std::string> FreshFolder(const Workspace& workspace) {
  const std::string folder = workspace.path() + "/kernel";
  RETURN_IF_ERROR(os::RemoveTree(folder));
  RETURN_IF_ERROR(os::MakeDirectory(folder));
  return folder;
}

// Writes initramfs and manifest beside a vmlinux in the workspace's folder "kernel", and moves all
// to its place.
Result<std::string> Finish(const os::Paths& paths, const Workspace& workspace,
                           KernelManifest manifest, const std::vector<KernelModule>& modules,
                           const std::string& guest_program) {
  const std::string folder = workspace.path() + "/kernel";
  for (const KernelModule& module : modules) manifest.modules.push_back(module.file);
  RETURN_IF_ERROR(WriteInitramfs(folder + "/initramfs", guest_program, modules));
  RETURN_IF_ERROR(
      WriteFileAtomically(folder + "/manifest.json", json::serialize(manifest.ToJson()) + "\n"));
  const std::string hash = manifest.Hash();
  RETURN_IF_ERROR(workspace.Publish("kernel", paths.Kernel(hash)));
  return hash;
}

// The same kernel with another guest program.
Result<std::string> Derive(const os::Paths& paths, const Workspace& workspace, const Bundle& from,
                           const std::string& guest_program, const std::string& guest) {
  const std::string source = paths.Kernel(from.hash);
  ASSIGN_OR_RETURN(const auto modules, ReadInitramfsModules(source + "/initramfs"));
  ASSIGN_OR_RETURN(const auto folder, FreshFolder(workspace));
  if (::link((source + "/vmlinux").c_str(), (folder + "/vmlinux").c_str()) < 0) {
    return Fail(ErrnoError("cannot share the kernel '" + source + "/vmlinux'"));
  }
  KernelManifest manifest = from.manifest;
  manifest.guest = guest;
  manifest.modules.clear();
  return Finish(paths, workspace, std::move(manifest), modules, guest_program);
}

// The one file lib/modules/<version> or boot/vmlinuz-<version> of an unpacked kernel package.
Result<std::string> OnlyEntry(const std::string& folder, std::string_view prefix) {
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(folder));
  for (const std::string& name : names) {
    if (name.starts_with(prefix)) return folder + "/" + name;
  }
  return Fail(Code::kNotFound, "the kernel's package has no '{}...'", prefix);
}

Result<std::string> FromPackage(const os::Paths& paths, const Workspace& workspace,
                                const std::string& package, const std::string& guest_program,
                                const std::string& guest) {
  ASSIGN_OR_RETURN(const auto deb,
                   DownloadPackage(workspace, package, workspace.path() + "/download"));
  KernelManifest manifest{
      .package = package, .version = {}, .guest = guest, .modules = {}, .wanted = WantedModules()};
  ASSIGN_OR_RETURN(manifest.version, PackageVersion(workspace, deb));
  const std::string unpacked = workspace.path() + "/unpacked";
  RETURN_IF_ERROR(UnpackPackage(workspace, deb, unpacked));

  ASSIGN_OR_RETURN(const auto bzimage_file, OnlyEntry(unpacked + "/boot", "vmlinuz-"));
  ASSIGN_OR_RETURN(const auto bzimage, ReadFile(bzimage_file, kMaxBzImage));
  ASSIGN_OR_RETURN(const auto vmlinux, ExtractVmlinux(bzimage));
  // Since Debian 13 some packages have /usr/lib/modules.
  const std::string usr_modules = unpacked + "/usr/lib/modules";
  ASSIGN_OR_RETURN(
      const auto module_folder,
      OnlyEntry(os::Exists(usr_modules) ? usr_modules : unpacked + "/lib/modules", ""));
  ASSIGN_OR_RETURN(const auto modules, CollectModules(module_folder, kGuestModules));

  ASSIGN_OR_RETURN(const auto folder, FreshFolder(workspace));
  RETURN_IF_ERROR(WriteFileAtomically(folder + "/vmlinux", vmlinux));
  auto hash = Finish(paths, workspace, std::move(manifest), modules, guest_program);
  RETURN_IF_ERROR(os::RemoveTree(unpacked));
  RETURN_IF_ERROR(os::RemoveTree(workspace.path() + "/download"));
  return hash;
}

}  // namespace

json::object KernelManifest::ToJson() const {
  json::object object;
  object["format"] = kFormat;
  object["package"] = package;
  object["version"] = version;
  object["guest"] = guest;
  object["modules"] = json::array(modules.begin(), modules.end());
  if (!wanted.empty()) object["wanted"] = json::array(wanted.begin(), wanted.end());
  return object;
}

Result<KernelManifest> KernelManifest::FromJson(const json::object& object) {
  JsonReader reader(object, "kernel manifest");
  reader.Int("format", 0, kFormat, kFormat);
  KernelManifest manifest{.package = reader.RequiredString("package"),
                          .version = reader.RequiredString("version"),
                          .guest = reader.RequiredString("guest"),
                          .modules = reader.Strings("modules"),
                          .wanted = reader.Strings("wanted")};
  RETURN_IF_ERROR(reader.Finish());
  return manifest;
}

std::string KernelManifest::Hash() const {
  return os::Sha256Hex("wrenn kernel bundle\n" + json::serialize(ToJson()));
}

bool HasKernel(const os::Paths& paths, const std::string& hash) {
  return std::ranges::any_of(ListBundles(paths),
                             [&](const Bundle& bundle) { return bundle.hash == hash; });
}

Result<std::string> EnsureKernel(const os::Paths& paths, const Workspace& workspace,
                                 const std::string& guest_program, bool newest,
                                 const std::function<void(const std::string&)>& say) {
  auto guest = os::Sha256File(guest_program);
  if (!guest) {
    return Fail(guest.error().WithContext("cannot read the guest program '" + guest_program +
                                          "': build or install wrenn-init"));
  }
  std::vector<Bundle> bundles = ListBundles(paths);
  // To one without a module that guests need by now nothing can be put.
  std::erase_if(bundles,
                [](const Bundle& bundle) { return bundle.manifest.wanted != WantedModules(); });
  std::erase_if(bundles, [&](const Bundle& bundle) {
    return !os::IsElfFile(paths.Kernel(bundle.hash) + "/vmlinux");
  });
  AvailablePackage wanted;  // empty: any
  if (newest || bundles.empty()) {
    ASSIGN_OR_RETURN(wanted, ResolveMetaPackage(workspace, kMetaPackage));
  }
  const auto fits = [&](const Bundle& bundle) {
    return wanted.name.empty() ||
           (bundle.manifest.package == wanted.name && bundle.manifest.version == wanted.version);
  };
  const auto newest_fitting = std::find_if(bundles.rbegin(), bundles.rend(), fits);
  if (newest_fitting == bundles.rend()) {
    say("downloading and unpacking " + wanted.name + " " + wanted.version);
    return FromPackage(paths, workspace, wanted.name, guest_program, *guest);
  }
  for (const Bundle& bundle : bundles) {
    if (bundle.manifest.package == newest_fitting->manifest.package &&
        bundle.manifest.version == newest_fitting->manifest.version &&
        bundle.manifest.guest == *guest) {
      return bundle.hash;
    }
  }
  say("putting the guest program to kernel " + newest_fitting->manifest.version);
  return Derive(paths, workspace, *newest_fitting, guest_program, *guest);
}

}  // namespace wrenn::template_
