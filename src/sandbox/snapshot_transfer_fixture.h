// SnapshotTransferFixture: two hosts for tests of snapshots that go from one to the other: two
// roots, two managers, fake machines.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/id.h"
#include "base/io.h"
#include "os/digest.h"
#include "os/files.h"
#include "sandbox/fake_engine.h"
#include "sandbox/manager.h"
#include "snapshot/folder.h"
#include "snapshot/pack.h"
#include "snapshot/unpack.h"
#include "template/image.h"
#include "template/kernel.h"

namespace wrenn::sandbox {

inline constexpr const char* kTenant = "default";

inline std::vector<std::string> Names(const std::string& folder) {
  return os::ListDirectory(folder).value_or(std::vector<std::string>{"?"});
}

// A root with its server's parts.
class Host {
 public:
  explicit Host(const std::string& folder) {
    config_.paths.root = folder + "/root";
    config_.paths.runtime = folder + "/run";
    config_.limits = Limits();
    EXPECT_TRUE(os::MakeDirectories(folder));
    EXPECT_TRUE(config_.paths.Prepare());
    store_ = std::move(*store::OpenSqlite(config_.paths.Database()));
    catalogue_ = template_::MakeCatalogue(config_.paths, *store_);
    Start();
  }

  void Start() {
    manager_.reset();
    manager_ = std::move(*MakeManager(config_, *store_, *catalogue_, engine));
    EXPECT_TRUE(manager_->Recover());
  }
  void SetSpareDisk(int64_t mb) {
    config_.limits.min_free_disk_mb = mb;
    Start();
  }

  // A template as a build would have left it.
  void MakeTemplate() {
    const std::string rootfs(1 << 20, 'i');
    const std::string image = os::Sha256Hex(rootfs);
    EXPECT_TRUE(os::MakeDirectory(paths().Image(image)));
    EXPECT_TRUE(WriteFileAtomically(paths().Image(image) + "/rootfs", rootfs));
    template_::ImageManifest manifest;
    manifest.hash = image;
    manifest.kind = "minimal";
    manifest.bytes = rootfs.size();
    EXPECT_TRUE(template_::WriteImageManifest(paths().Image(image), manifest));
    store::TemplateRecord record;
    record.id = "tp-0123456789abcdefghij";
    record.name = "minimal";
    record.image = image;
    record.kernel = MakeKernel("the kernel");
    record.vcpus = 1;
    record.memory_mb = 64;
    EXPECT_TRUE(store_->PutTemplate(record, false));
  }
  std::string MakeKernel(const std::string& vmlinux) {
    const template_::KernelManifest manifest{"linux-image-1", "1.0", "guest", {"a.ko"}};
    const std::string folder = paths().Kernel(manifest.Hash());
    EXPECT_TRUE(os::MakeDirectory(folder));
    EXPECT_TRUE(WriteFileAtomically(folder + "/vmlinux", vmlinux));
    EXPECT_TRUE(WriteFileAtomically(folder + "/initramfs", "the initramfs"));
    EXPECT_TRUE(WriteFileAtomically(folder + "/manifest.json", json::serialize(manifest.ToJson())));
    return manifest.Hash();
  }

  Result<store::SandboxRecord> Create(const std::string& name, bool cold = false) {
    CreateRequest request;
    request.cold = cold;
    request.template_name = name;
    request.timeout_sec = 0;
    return manager_->Create(kTenant, request);
  }
  std::span<char> Memory(const std::string& id) { return engine.Find(id)->memory(); }

  Result<store::TemplateRecord> Import(const std::string& stream, const std::string& name = "",
                                       bool overwrite = false) {
    reads = 0;
    return manager_->ImportSnapshot(
        kTenant, name, overwrite,
        [&, at = size_t{0}](std::span<char> out) mutable -> Result<size_t> {
          ++reads;
          if (at >= cut_at) return Fail(Code::kUnavailable, "the client has gone");
          const size_t count = std::min<size_t>({out.size(), 10'000, stream.size() - at});
          std::memcpy(out.data(), stream.data() + at, count);
          at += count;
          return count;
        });
  }

  // That nothing is here that no template has.
  void ExpectNothingElse(size_t images, size_t snapshots) {
    EXPECT_THAT(Names(paths().Images()), ::testing::SizeIs(images));
    EXPECT_THAT(Names(paths().Kernels()), ::testing::SizeIs(images));
    EXPECT_THAT(Names(paths().Snapshots()), ::testing::SizeIs(snapshots));
    EXPECT_THAT(Names(paths().Temporary()), ::testing::Each("catalogue.lock"));
  }

  const os::Paths& paths() const { return config_.paths; }
  Manager& manager() { return *manager_; }
  store::Store& store() { return *store_; }

  FakeEngine engine;
  int reads = 0;
  size_t cut_at = SIZE_MAX;

 private:
  ManagerConfig config_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<template_::Catalogue> catalogue_;
  std::unique_ptr<Manager> manager_;
};

class SnapshotTransferFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::make_unique<os::TemporaryDirectory>(*os::TemporaryDirectory::Make());
    here_ = std::make_unique<Host>(folder_->path() + "/here");
    there_ = std::make_unique<Host>(folder_->path() + "/there");
    here_->MakeTemplate();
    const auto made = here_->Create("minimal");
    ASSERT_TRUE(made) << made.error().ToString();
    sandbox_ = made->id;
    here_->Memory(sandbox_)[5000] = 'a';
    here_->Memory(sandbox_)[50 << 20] = 'b';
    // So that a stream is made of several pieces.
    std::ranges::copy(RandomBytes(1 << 20), here_->Memory(sandbox_).begin() + (8 << 20));
    const auto snapshot = here_->manager().CreateSnapshot(kTenant, sandbox_, "frozen", false);
    ASSERT_TRUE(snapshot) << snapshot.error().ToString();
    snapshot_ = *snapshot;
  }

  Status ExportTo(const snapshot::ByteSink& sink, const std::string& name = "frozen") {
    return here_->manager().ExportSnapshot(kTenant, name, {}, sink);
  }
  std::string Exported(Host& host, const std::string& name = "frozen") {
    std::string stream;
    const Status done = host.manager().ExportSnapshot(kTenant, name, {}, [&](auto data) {
      stream += data;
      return Status();
    });
    EXPECT_TRUE(done) << done.error().ToString();
    return stream;
  }

  // The stream with its files changed: `change` gets the folder that they were unpacked to, and the
  // names that will be packed.
  std::string Changed(
      const std::string& stream,
      const std::function<void(const std::string&, std::vector<std::string>&)>& change) {
    const std::string folder = folder_->path() + "/change";
    EXPECT_TRUE(os::RemoveTree(folder));
    EXPECT_TRUE(os::MakeDirectories(folder + "/kernel"));
    EXPECT_TRUE(os::MakeDirectories(folder + "/image"));
    auto unpacker = snapshot::Unpacker::Open(
        [&, at = size_t{0}](std::span<char> out) mutable -> Result<size_t> {
          const size_t count = std::min(out.size(), stream.size() - at);
          std::memcpy(out.data(), stream.data() + at, count);
          at += count;
          return count;
        });
    EXPECT_TRUE(unpacker->Unpack([&](const auto& name) { return folder + "/" + name; }));
    std::vector<std::string> names;
    for (const auto& file : unpacker->index().files) names.push_back(file.name);
    change(folder, names);
    std::vector<snapshot::PackSource> sources;
    for (const auto& name : names) sources.push_back({name, folder + "/" + name});
    std::string changed;
    const Status packed = snapshot::Pack(unpacker->index(), sources, [&](auto data) {
      changed += data;
      return Status();
    });
    EXPECT_TRUE(packed) << packed.error().ToString();
    return changed;
  }
  static std::string NameWith(const std::vector<std::string>& names, std::string_view prefix) {
    for (const std::string& name : names) {
      if (name.starts_with(prefix)) return name;
    }
    return "?";
  }
  static void Flip(const std::string& path, off_t offset) {
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(fd.get(), &byte, 1, offset), 1);
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(::pwrite(fd.get(), &byte, 1, offset), 1);
  }
  // And without digests and lengths of the layers, which may be left out, and would tell on the
  // forger.
  static void ChangeManifest(const std::string& folder, const char* member, json::value value) {
    json::object manifest = *ParseJsonObject(*ReadFile(folder + "/manifest.json"));
    manifest.erase("layer_digests");
    manifest.erase("layer_bytes");
    manifest[member] = std::move(value);
    ASSERT_TRUE(WriteFileAtomically(folder + "/manifest.json", json::serialize(manifest)));
  }

  void ExpectRefused(const std::string& stream, const std::string& why) {
    const auto imported = there_->Import(stream);
    ASSERT_FALSE(imported) << why;
    EXPECT_EQ(imported.error().code, Code::kInvalidArgument) << imported.error().ToString();
    EXPECT_THAT(imported.error().message, ::testing::HasSubstr(why));
    EXPECT_THAT(imported.error().message, ::testing::Not(::testing::HasSubstr(folder_->path())));
    there_->ExpectNothingElse(0, 0);
    EXPECT_THAT(*there_->store().ListTemplates(kTenant), ::testing::IsEmpty());
  }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  std::unique_ptr<Host> here_;
  std::unique_ptr<Host> there_;
  std::string sandbox_;
  store::TemplateRecord snapshot_;
};

}  // namespace wrenn::sandbox
