// Snapshots from one host to another: two roots, two managers, fake machines.
#include <sys/stat.h>

#include <memory>

#include <gmock/gmock.h>

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
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kTenant = "default";

std::vector<std::string> Names(const std::string& folder) {
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

  Result<store::SandboxRecord> Create(const std::string& name) {
    CreateRequest request;
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
    EXPECT_THAT(Names(paths().Images()), SizeIs(images));
    EXPECT_THAT(Names(paths().Kernels()), SizeIs(images));
    EXPECT_THAT(Names(paths().Snapshots()), SizeIs(snapshots));
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

class SnapshotTransferTest : public ::testing::Test {
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
  static void ChangeManifest(const std::string& folder, const char* member, json::value value) {
    json::object manifest = *ParseJsonObject(*ReadFile(folder + "/manifest.json"));
    manifest[member] = std::move(value);
    ASSERT_TRUE(WriteFileAtomically(folder + "/manifest.json", json::serialize(manifest)));
  }

  void ExpectRefused(const std::string& stream, const std::string& why) {
    const auto imported = there_->Import(stream);
    ASSERT_FALSE(imported) << why;
    EXPECT_EQ(imported.error().code, Code::kInvalidArgument) << imported.error().ToString();
    EXPECT_THAT(imported.error().message, HasSubstr(why));
    EXPECT_THAT(imported.error().message, ::testing::Not(HasSubstr(folder_->path())));
    there_->ExpectNothingElse(0, 0);
    EXPECT_THAT(*there_->store().ListTemplates(kTenant), IsEmpty());
  }

  std::unique_ptr<os::TemporaryDirectory> folder_;
  std::unique_ptr<Host> here_;
  std::unique_ptr<Host> there_;
  std::string sandbox_;
  store::TemplateRecord snapshot_;
};

TEST_F(SnapshotTransferTest, GoesOnOnAnotherHost) {
  const auto imported = there_->Import(Exported(*here_));
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_EQ(imported->name, "frozen");
  EXPECT_EQ(imported->type, "snapshot");
  EXPECT_EQ(imported->description, snapshot_.description);
  EXPECT_EQ(imported->image, snapshot_.image);
  EXPECT_NE(imported->id, snapshot_.id);
  EXPECT_NE(imported->snapshot, snapshot_.snapshot);
  EXPECT_EQ(imported->memory_mb, 64);
  there_->ExpectNothingElse(1, 1);

  const auto made = there_->Create("frozen");
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(there_->engine.boots(), 0);
  EXPECT_EQ(there_->Memory(made->id)[5000], 'a');
  EXPECT_EQ(there_->Memory(made->id)[50 << 20], 'b');
  EXPECT_EQ(there_->Memory(made->id)[7000], 0);
  // The token of the frozen agent has come along.
  EXPECT_EQ(snapshot::Open(there_->paths().Snapshot(imported->snapshot))->agent_token,
            snapshot::Open(here_->paths().Snapshot(snapshot_.snapshot))->agent_token);
}

TEST_F(SnapshotTransferTest, BootsAnotherSizeOnAnotherHost) {
  ASSERT_TRUE(there_->Import(Exported(*here_)));
  CreateRequest request;
  request.template_name = "frozen";
  request.memory_mb = 128;
  const auto made = there_->manager().Create(kTenant, request);
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(there_->engine.boots(), 1);
}

TEST_F(SnapshotTransferTest, GoesOverTwoHosts) {
  ASSERT_TRUE(there_->Import(Exported(*here_)));
  const std::string again = Exported(*there_);
  Host third(folder_->path() + "/third");
  ASSERT_TRUE(third.Import(again, "renamed"));
  const auto made = third.Create("renamed");
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(third.Memory(made->id)[5000], 'a');
}

TEST_F(SnapshotTransferTest, SharesImageAndKernelOnItsOwnHost) {
  const auto imported = here_->Import(Exported(*here_), "copy");
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_EQ(imported->kernel, snapshot_.kernel);
  here_->ExpectNothingElse(1, 2);
}

TEST_F(SnapshotTransferTest, RefusesATakenNameBeforeItReads) {
  const std::string stream = Exported(*here_);
  EXPECT_EQ(here_->Import(stream, "frozen").error().code, Code::kAlreadyExists);
  EXPECT_EQ(here_->reads, 0);
  EXPECT_EQ(here_->Import(stream, "minimal", true).error().code, Code::kAlreadyExists);
  EXPECT_EQ(here_->Import(stream, "../x").error().code, Code::kInvalidArgument);
  EXPECT_EQ(here_->reads, 0);
  EXPECT_EQ(here_->Import(stream).error().code, Code::kAlreadyExists);
  here_->ExpectNothingElse(1, 1);
}

TEST_F(SnapshotTransferTest, ReplacesASnapshotWhenAskedTo) {
  const auto imported = here_->Import(Exported(*here_), "", true);
  ASSERT_TRUE(imported) << imported.error().ToString();
  here_->ExpectNothingElse(1, 1);
  EXPECT_EQ(here_->store().FindTemplate(kTenant, "frozen")->snapshot, imported->snapshot);
  EXPECT_TRUE(here_->Create("frozen"));
}

TEST_F(SnapshotTransferTest, RefusesDamageAndSaysWhere) {
  const std::string stream = Exported(*here_);
  const auto flipped = [&](std::string_view prefix, off_t offset) {
    return Changed(stream, [&](const auto& folder, const auto& names) {
      Flip(folder + "/" + NameWith(names, prefix), offset);
    });
  };
  ExpectRefused(flipped("state", 3), "state is damaged");
  ExpectRefused(flipped("memory.map", 100), "memory map");
  ExpectRefused(flipped("memory-", 5000), "chunk 0 of the snapshot's file 'memory-");
  ExpectRefused(flipped("image/rootfs", 100'000), "image");
  ExpectRefused(flipped("disk-", 0), "disk");
  ExpectRefused(Changed(stream,
                        [&](const auto& folder, const auto&) {
                          (void)WriteFileAtomically(folder + "/kernel/manifest.json", "{}");
                        }),
                "kernel manifest");
  ExpectRefused(Changed(stream,
                        [&](const auto& folder, const auto&) {
                          (void)WriteFileAtomically(folder + "/manifest.json", R"({"format":1})");
                        }),
                "required");
}

TEST_F(SnapshotTransferTest, RefusesWhatDoesNotFitTogether) {
  const std::string stream = Exported(*here_);
  const auto with = [&](const char* member, const json::value& value) {
    return Changed(stream,
                   [&](const auto& folder, const auto&) { ChangeManifest(folder, member, value); });
  };
  ExpectRefused(with("image", "../../etc"), "");
  ExpectRefused(with("image", json::string(64, 'a')), "");
  ExpectRefused(with("kernel", json::string(64, 'a')), "kernel");
  ExpectRefused(with("memory_mb", 128), "memory");
  ExpectRefused(with("vcpus", 1000), "CPUs");
  ExpectRefused(with("disk_mb", 0), "disk");
  ExpectRefused(with("layers", json::array{"disk-00000000000000000000.qcow2"}), "missing");
  ExpectRefused(with("layers", json::array{"../disk.qcow2"}), "");
  ExpectRefused(with("layers", json::array{"state"}), "");
}

TEST_F(SnapshotTransferTest, RefusesFilesTooManyAndTooFew) {
  const std::string stream = Exported(*here_);
  const std::string extra = "memory-zzzzzzzzzzzzzzzzzzzz";
  ExpectRefused(Changed(stream,
                        [&](const auto& folder, auto& names) {
                          (void)WriteFileAtomically(folder + "/" + extra, "x");
                          names.push_back(extra);
                        }),
                "nothing names");
  ExpectRefused(
      Changed(stream,
              [&](const auto&, auto& names) { std::erase(names, NameWith(names, "memory-")); }),
      "missing");
}

// The next machine would open whatever its disk names.
TEST_F(SnapshotTransferTest, RefusesADiskOverAFileOfTheHost) {
  const std::string stream = Exported(*here_);
  ExpectRefused(Changed(stream,
                        [&](const auto& folder, const auto& names) {
                          const std::string old = "../../images/" + snapshot_.image + "/rootfs";
                          std::string path;
                          std::string text;
                          for (const auto& name : names) {
                            if (!name.starts_with("disk-")) continue;
                            path = folder + "/" + name;
                            text = *ReadFile(path);
                            if (text.find(old) != std::string::npos) break;
                          }
                          const size_t at = text.find(old);
                          ASSERT_NE(at, std::string::npos);
                          std::string other = "/etc/passwd";
                          other.insert(0, std::string(old.size() - other.size(), '/'));
                          text.replace(at, old.size(), other);
                          (void)WriteFileAtomically(path, text);
                        }),
                "do not fit");
}

// Whoever can import must not be able to give this host's templates another kernel.
TEST_F(SnapshotTransferTest, KeepsAForeignKernelApart) {
  const std::string stream = Changed(Exported(*here_), [](const auto& folder, const auto&) {
    (void)WriteFileAtomically(folder + "/kernel/vmlinux", "another kernel");
  });
  const std::string own = there_->MakeKernel("the kernel");
  const auto imported = there_->Import(stream);
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_NE(imported->kernel, own);
  EXPECT_EQ(*ReadFile(there_->paths().Kernel(own) + "/vmlinux"), "the kernel");
  EXPECT_EQ(*ReadFile(there_->paths().Kernel(imported->kernel) + "/vmlinux"), "another kernel");
  EXPECT_TRUE(template_::HasKernel(there_->paths(), own));
  EXPECT_FALSE(template_::HasKernel(there_->paths(), imported->kernel));
  EXPECT_TRUE(there_->Create("frozen"));
}

TEST_F(SnapshotTransferTest, LeavesNothingOfACutUpload) {
  const std::string stream = Exported(*here_);
  for (const size_t part : {0, 1, 3, 5, 7, 9}) {
    there_->cut_at = stream.size() * part / 10;
    const auto imported = there_->Import(stream);
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().code, Code::kUnavailable);
    there_->ExpectNothingElse(0, 0);
  }
}

TEST_F(SnapshotTransferTest, LooksForRoomFirst) {
  const std::string stream = Exported(*here_);
  there_->SetSpareDisk(1 << 30);
  const auto imported = there_->Import(stream);
  ASSERT_FALSE(imported);
  EXPECT_EQ(imported.error().code, Code::kResourceExhausted);
  EXPECT_THAT(imported.error().message, HasSubstr("MiB"));
  there_->ExpectNothingElse(0, 0);
}

TEST_F(SnapshotTransferTest, IsRefusedAtItsUseByAnotherEngine) {
  there_->engine.build = "2";
  ASSERT_TRUE(there_->Import(Exported(*here_)));
  EXPECT_EQ(there_->Create("frozen").error().code, Code::kFailedPrecondition);
}

TEST_F(SnapshotTransferTest, ExportsSnapshotsOnly) {
  const auto none = [](std::string_view) -> Status { return Fail(Code::kInternal, "called"); };
  EXPECT_EQ(ExportTo(none, "minimal").error().code, Code::kInvalidArgument);
  EXPECT_EQ(ExportTo(none, "nothing").error().code, Code::kNotFound);
  EXPECT_EQ(here_->manager().ExportSnapshot("another", "frozen", {}, none).error().code,
            Code::kNotFound);
}

TEST_F(SnapshotTransferTest, ExportsNoDamage) {
  const std::string folder = here_->paths().Snapshot(snapshot_.snapshot);
  Flip(folder + "/" + NameWith(Names(folder), "memory-"), 5000);
  const Status exported =
      ExportTo([](std::string_view) -> Status { return Fail(Code::kInternal, "called"); });
  ASSERT_FALSE(exported);
  EXPECT_EQ(exported.error().code, Code::kDataLoss);
  EXPECT_THAT(Names(here_->paths().Temporary()), ::testing::Each("catalogue.lock"));
}

TEST_F(SnapshotTransferTest, ExportEndsWithItsClient) {
  EXPECT_EQ(here_->manager()
                .ExportSnapshot(
                    kTenant, "frozen", [] { return false; },
                    [](std::string_view) -> Status { return Fail(Code::kInternal, "called"); })
                .error()
                .code,
            Code::kCanceled);
  const Status exported = ExportTo(
      [](std::string_view) -> Status { return Fail(Code::kUnavailable, "the client has gone"); });
  EXPECT_EQ(exported.error().code, Code::kUnavailable);
  EXPECT_THAT(Names(here_->paths().Temporary()), ::testing::Each("catalogue.lock"));
}

TEST_F(SnapshotTransferTest, ExportsWhatIsRemovedMeanwhile) {
  std::string stream;
  int pieces = 0;
  const Status exported = ExportTo([&](std::string_view data) {
    if (++pieces == 1) {
      EXPECT_TRUE(here_->manager().Destroy(kTenant, sandbox_));
      const auto catalogue = template_::MakeCatalogue(here_->paths(), here_->store());
      for (const char* name : {"frozen", "minimal"}) {
        const Status gone = catalogue->Remove(kTenant, name);
        EXPECT_TRUE(gone) << gone.error().ToString();
      }
      EXPECT_THAT(Names(here_->paths().Images()), IsEmpty());
    }
    stream += data;
    return Status();
  });
  ASSERT_TRUE(exported) << exported.error().ToString();
  EXPECT_GT(pieces, 2);
  ASSERT_TRUE(there_->Import(stream));
  EXPECT_TRUE(there_->Create("frozen"));
}

}  // namespace
}  // namespace wrenn::sandbox
