// Snapshots as tests/tools/read_snapshot.py understands them, which was written from the document.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/io.h"
#include "memory/image.h"
#include "os/command.h"
#include "os/files.h"
#include "snapshot/folder.h"
#include "snapshot/layer_digests.h"
#include "snapshot/sample_manifest.h"

namespace wrenn::snapshot {
namespace {

using testing::HasSubstr;

class ReadSnapshotTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!os::FindProgram("python3")) GTEST_SKIP() << "needs python3";
    auto parent = os::TemporaryDirectory::Make();
    ASSERT_TRUE(parent);
    parent_.emplace(std::move(*parent));
  }

  static Result<std::string> Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"python3", WRENN_READ_SNAPSHOT});
    os::CommandOptions command;
    command.argv = std::move(arguments);
    return os::RunCommandOrFail(command, Deadline::After(std::chrono::seconds(60)));
  }

  std::optional<os::TemporaryDirectory> parent_;
};

TEST_F(ReadSnapshotTest, TakesAWholeOneAndFindsDamage) {
  Manifest manifest = SampleManifest();
  manifest.memory_mb = 1;
  const std::string place = parent_->path() + "/" + manifest.id;
  auto draft = Draft::Make(place);
  ASSERT_TRUE(draft);
  ASSERT_TRUE(WriteFileAtomically(draft->path() + kStateFile, "state"));
  ASSERT_TRUE(memory::Save(memory::Image::Zero(1 << 20), draft->path()));
  for (const std::string& layer : manifest.layers) {
    ASSERT_TRUE(WriteFileAtomically(draft->path() + "/" + layer, "layer"));
  }
  // One with holes, with data across a border of chunks, and of a length that is no whole chunk.
  const std::string sparse = "/" + manifest.layers.back();
  const auto write_sparse = [](const std::string& path, const char* data) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return ::pwrite(fd.get(), data, 4, (6 << 20) - 2) == 4 && ::ftruncate(fd.get(), 9'000'001) == 0;
  };
  ASSERT_TRUE(write_sparse(draft->path() + sparse, "data"));
  manifest.layer_digests.clear();
  ASSERT_TRUE(AddLayerDigests(draft->path(), manifest));
  ASSERT_TRUE(HasAllDigests(manifest));
  ASSERT_TRUE(draft->Commit(manifest, Durability::kPassing));
  const auto taken = Run({place});
  ASSERT_TRUE(taken) << taken.error().ToString();

  ASSERT_TRUE(WriteFileAtomically(place + kStateFile, "another"));
  EXPECT_THAT(Run({place}).error().ToString(), HasSubstr("state has a wrong digest"));
  ASSERT_TRUE(WriteFileAtomically(place + kStateFile, "state"));
  ASSERT_TRUE(Run({place}));
  ASSERT_TRUE(write_sparse(place + sparse, "date"));
  EXPECT_THAT(Run({place}).error().ToString(), HasSubstr(manifest.layers.back() + " is damaged"));
  ASSERT_TRUE(write_sparse(place + sparse, "data"));
  ASSERT_TRUE(os::RemoveTree(place + "/" + manifest.layers.front()));
  EXPECT_THAT(Run({place}).error().ToString(), HasSubstr(manifest.layers.front()));
}

// Both readers take and refuse the same manifests, and see the same in them.
TEST_F(ReadSnapshotTest, AgreesAboutTheCorpus) {
  int taken = 0;
  int refused = 0;
  const auto names = os::ListDirectory(WRENN_MANIFEST_CORPUS);
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    SCOPED_TRACE(name);
    const std::string text = *ReadFile(std::string(WRENN_MANIFEST_CORPUS "/") + name);
    ASSERT_TRUE(WriteFileAtomically(parent_->path() + kManifestFile, text));
    const auto printed = Run({parent_->path(), "--manifest"});
    const auto manifest = ParseManifest(text);
    ASSERT_EQ(manifest.has_value(), printed.has_value());
    ++(manifest ? taken : refused);
    if (!manifest) continue;
    json::object wanted = manifest->ToJson();
    wanted.erase("format");
    EXPECT_EQ(*ParseJsonObject(*printed), wanted);
  }
  EXPECT_GE(taken, 5);
  EXPECT_GE(refused, 8);
}

}  // namespace
}  // namespace wrenn::snapshot
