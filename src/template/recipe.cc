#include "template/recipe.h"

#include <vector>

#include "base/io.h"
#include "os/digest.h"
#include "os/files.h"
#include "template/debian.h"
#include "template/ext4.h"
#include "template/minimal.h"
#include "template/package_list.h"

namespace wrenn::template_ {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kMinimalRoom = 1024 * kMiB;
constexpr uint64_t kDebianRoom = 2048 * kMiB;
constexpr size_t kMaxPackageFile = 1 << 20;
// Part of every recipe: to be raised when the same ingredients give another image.
constexpr int kRecipeFormat = 1;

class MinimalRecipe : public Recipe {
 public:
  static Result<std::unique_ptr<Recipe>> From(const Workspace& workspace, int disk_mb) {
    auto recipe = std::make_unique<MinimalRecipe>();
    recipe->disk_mb_ = disk_mb;
    ASSIGN_OR_RETURN(recipe->busybox_, FindBusybox(workspace));
    ASSIGN_OR_RETURN(recipe->digest_, os::Sha256File(recipe->busybox_));
    return recipe;
  }

  std::string Text() const override {
    return fmt::format("kind minimal\ndisk_mb {}\nbusybox {}\n", disk_mb_, digest_);
  }
  std::string Description() const override { return "busybox"; }

  Status Make(const Workspace& workspace,
              const std::function<void(const std::string&)>& say) override {
    const std::string tree = workspace.path() + "/tree";
    const std::string image = workspace.path() + "/image/rootfs";
    say("laying out files");
    RETURN_IF_ERROR(MakeMinimalTree(workspace, busybox_, tree));
    say("writing the root file system");
    RETURN_IF_ERROR(MakeExt4(workspace, {.tree = tree,
                                         .image = image,
                                         .size_bytes = disk_mb_ * kMiB,
                                         .room_bytes = kMinimalRoom,
                                         .identity = Text(),
                                         .wrapper = {}}));
    return SetOwners(workspace, image, tree, MinimalOwner);
  }

 private:
  uint64_t disk_mb_ = 0;
  std::string busybox_;
  std::string digest_;
};

class DebianRecipe : public Recipe {
 public:
  static Result<std::unique_ptr<Recipe>> From(const Workspace& workspace, int disk_mb,
                                              const std::string& package_file) {
    auto recipe = std::make_unique<DebianRecipe>();
    recipe->disk_mb_ = disk_mb;
    std::string list = kBasePackages;
    if (!package_file.empty()) {
      auto text = ReadFile(package_file, kMaxPackageFile);
      if (!text) return Fail(text.error().WithContext("cannot read the package list"));
      list = std::move(*text);
    }
    ASSIGN_OR_RETURN(recipe->packages_, ParsePackageList(list));
    ASSIGN_OR_RETURN(recipe->apt_, ReadAptSetup(workspace));
    os::Sha256 digest;
    for (const std::string& file : recipe->apt_.sources) {
      ASSIGN_OR_RETURN(const auto text, ReadFile(file));
      digest.Update(text);
    }
    recipe->sources_hash_ = digest.FinishHex();
    return recipe;
  }

  std::string Text() const override {
    return fmt::format("kind debian\ndisk_mb {}\nsources {}\npackages {}\n", disk_mb_,
                       sources_hash_, fmt::join(packages_, " "));
  }
  std::string Description() const override {
    return fmt::format("Debian with {} packages and what they need", packages_.size());
  }

  Status Make(const Workspace& workspace,
              const std::function<void(const std::string&)>& say) override {
    say("installing packages");
    ASSIGN_OR_RETURN(const auto tree, MakeDebianTree(workspace, apt_, packages_, say));
    say("writing the root file system");
    RETURN_IF_ERROR(MakeExt4(workspace, {.tree = tree.path,
                                         .image = workspace.path() + "/image/rootfs",
                                         .size_bytes = disk_mb_ * kMiB,
                                         .room_bytes = kDebianRoom,
                                         .identity = Text(),
                                         .wrapper = tree.wrapper}));
    return os::RemoveTree(tree.path);
  }

 private:
  uint64_t disk_mb_ = 0;
  std::vector<std::string> packages_;
  AptSetup apt_;
  std::string sources_hash_;
};

}  // namespace

std::string Recipe::Hash() const {
  return os::Sha256Hex(fmt::format("wrenn recipe {}\n{}", kRecipeFormat, Text()));
}

Result<std::unique_ptr<Recipe>> MakeRecipe(const Workspace& workspace,
                                           const BuildRequest& request) {
  if (request.kind == "minimal") return MinimalRecipe::From(workspace, request.disk_mb);
  return DebianRecipe::From(workspace, request.disk_mb, request.package_file);
}

}  // namespace wrenn::template_
