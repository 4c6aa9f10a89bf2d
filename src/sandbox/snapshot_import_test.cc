// Snapshots from another host.
#include "disk/cow_file.h"
#include "sandbox/sandbox_files.h"
#include "sandbox/snapshot_transfer_fixture.h"

namespace wrenn::sandbox {
namespace {

using ::testing::HasSubstr;

using SnapshotImportTest = SnapshotTransferFixture;

TEST_F(SnapshotImportTest, GoesOnOnAnotherHost) {
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

TEST_F(SnapshotImportTest, BootsAnotherSizeOnAnotherHost) {
  ASSERT_TRUE(there_->Import(Exported(*here_)));
  CreateRequest request;
  request.template_name = "frozen";
  request.memory_mb = 128;
  const auto made = there_->manager().Create(kTenant, request);
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(there_->engine.boots(), 1);
}

TEST_F(SnapshotImportTest, GoesOverTwoHosts) {
  ASSERT_TRUE(there_->Import(Exported(*here_)));
  const std::string again = Exported(*there_);
  Host third(folder_->path() + "/third");
  ASSERT_TRUE(third.Import(again, "renamed"));
  const auto made = third.Create("renamed");
  ASSERT_TRUE(made) << made.error().ToString();
  EXPECT_EQ(third.Memory(made->id)[5000], 'a');
}

TEST_F(SnapshotImportTest, SharesImageAndKernelOnItsOwnHost) {
  const auto imported = here_->Import(Exported(*here_), "copy");
  ASSERT_TRUE(imported) << imported.error().ToString();
  EXPECT_EQ(imported->kernel, snapshot_.kernel);
  here_->ExpectNothingElse(1, 2);
}

TEST_F(SnapshotImportTest, RefusesATakenNameBeforeItReads) {
  const std::string stream = Exported(*here_);
  EXPECT_EQ(here_->Import(stream, "frozen").error().code, Code::kAlreadyExists);
  EXPECT_EQ(here_->reads, 0);
  EXPECT_EQ(here_->Import(stream, "minimal", true).error().code, Code::kAlreadyExists);
  EXPECT_EQ(here_->Import(stream, "../x").error().code, Code::kInvalidArgument);
  EXPECT_EQ(here_->reads, 0);
  EXPECT_EQ(here_->Import(stream).error().code, Code::kAlreadyExists);
  here_->ExpectNothingElse(1, 1);
}

TEST_F(SnapshotImportTest, ReplacesASnapshotWhenAskedTo) {
  const auto imported = here_->Import(Exported(*here_), "", true);
  ASSERT_TRUE(imported) << imported.error().ToString();
  here_->ExpectNothingElse(1, 1);
  EXPECT_EQ(here_->store().FindTemplate(kTenant, "frozen")->snapshot, imported->snapshot);
  EXPECT_TRUE(here_->Create("frozen"));
}

TEST_F(SnapshotImportTest, RefusesDamageAndSaysWhere) {
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

TEST_F(SnapshotImportTest, RefusesWhatDoesNotFitTogether) {
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
  ExpectRefused(with("network", json::object{{"allow_out", json::array{"10.0.0.0/8"}}}),
                "network.allow_out");
  ExpectRefused(with("network", json::object{{"rules", 1}}), "unknown field 'network.rules'");
  ExpectRefused(with("layers", json::array{"disk-00000000000000000000.qcow2"}), "missing");
  ExpectRefused(with("layers", json::array{"../disk.qcow2"}), "");
  ExpectRefused(with("layers", json::array{"state"}), "");
}

TEST_F(SnapshotImportTest, RefusesFilesTooManyAndTooFew) {
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
TEST_F(SnapshotImportTest, RefusesADiskOverAFileOfTheHost) {
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
                          ChangeManifest(folder, "template_name", "another");
                        }),
                "do not fit");
}

// Whoever can import must not be able to give this host's templates another kernel.
TEST_F(SnapshotImportTest, KeepsAForeignKernelApart) {
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

// From a host whose disks are dm-snapshots: here it becomes a whole disk.
TEST_F(SnapshotImportTest, TakesFilesOfChanges) {
  const std::string cow = "disk-0123456789abcdefghij.cow";
  const auto with = [&](const std::string& base, uint64_t chunk) {
    return Changed(Exported(*here_), [&](const auto& folder, auto& names) {
      std::erase_if(names, [](const std::string& name) { return name.starts_with("disk-"); });
      names.push_back(cow);
      ChangeManifest(folder, "layers", json::array{cow});
      const UniqueFd fd(::open((folder + "/" + cow).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      EXPECT_TRUE(disk::WriteEmptyCow(fd.get(), {base, 1 << 20, 1 << 20}));
      // The image's chunk 3 is in the file's chunk `chunk`.
      const uint64_t exception[] = {3, chunk};
      EXPECT_EQ(::pwrite(fd.get(), exception, sizeof exception, disk::kChunk), 16);
      EXPECT_EQ(::pwrite(fd.get(), "changed", 7, 2 * disk::kChunk), 7);
    });
  };
  const std::string base = "../../images/" + snapshot_.image + "/rootfs";
  ExpectRefused(with(base, 1), "impossible chunk");
  ExpectRefused(with("/etc/passwd", 2), "does not continue its image");

  const auto imported = there_->Import(with(base, 2));
  ASSERT_TRUE(imported) << imported.error().ToString();
  const auto made = there_->Create("frozen");
  ASSERT_TRUE(made) << made.error().ToString();
  const auto layers = ParseDisk(made->disk);
  ASSERT_TRUE(layers);
  ASSERT_EQ(layers->size(), 2u);
  EXPECT_EQ(layers->back().format, disk::Format::kRaw);
  const std::string content =
      *ReadFile(there_->paths().Sandbox(made->id) + "/" + layers->back().name);
  EXPECT_EQ(content.size(), size_t{1} << 20);
  EXPECT_EQ(content.substr(3 * disk::kChunk, 8), std::string("changed\0", 8));
  EXPECT_EQ(content[3 * disk::kChunk - 1], 'i');
}

TEST_F(SnapshotImportTest, LeavesNothingOfACutUpload) {
  const std::string stream = Exported(*here_);
  for (const size_t part : {0, 1, 3, 5, 7, 9}) {
    there_->cut_at = stream.size() * part / 10;
    const auto imported = there_->Import(stream);
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().code, Code::kUnavailable);
    there_->ExpectNothingElse(0, 0);
  }
}

TEST_F(SnapshotImportTest, LooksForRoomFirst) {
  const std::string stream = Exported(*here_);
  there_->SetSpareDisk(1 << 30);
  const auto imported = there_->Import(stream);
  ASSERT_FALSE(imported);
  EXPECT_EQ(imported.error().code, Code::kResourceExhausted);
  EXPECT_THAT(imported.error().message, HasSubstr("MiB"));
  there_->ExpectNothingElse(0, 0);
}

TEST_F(SnapshotImportTest, IsRefusedAtItsUseByAnotherEngine) {
  there_->engine.build = "2";
  ASSERT_TRUE(there_->Import(Exported(*here_)));
  const auto refused = there_->Create("frozen");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("--cold"));
  const auto cold = there_->Create("frozen", true);
  ASSERT_TRUE(cold) << cold.error().ToString();
  EXPECT_EQ(cold->origin, "boot: without the memory of snapshot 'frozen'");
  EXPECT_EQ(there_->Memory(cold->id)[5000], 0);
  EXPECT_EQ(there_->engine.restores(), 0);
}

}  // namespace
}  // namespace wrenn::sandbox
