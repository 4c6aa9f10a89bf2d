#include "snapshot/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "os/digest.h"
#include "os/files.h"
#include "snapshot/sample_manifest.h"

namespace wrenn::snapshot {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    auto parent = os::TemporaryDirectory::Make();
    ASSERT_TRUE(parent);
    parent_.emplace(std::move(*parent));
    place_ = parent_->path() + "/" + SampleManifest().id;
  }

  std::vector<std::string> Names() const { return *os::ListDirectory(parent_->path()); }

  static void Write(const std::string& path, const std::string& content) {
    ASSERT_TRUE(WriteFileAtomically(path, content, 0600)) << path;
  }

  // A draft that has all but its manifest.
  Result<Draft> MakeDraft(const std::string& state = "state") {
    auto draft = Draft::Make(place_);
    if (!draft) return draft;
    Write(draft->path() + "/state", state);
    Write(draft->path() + "/memory.map", "map of " + state);
    return draft;
  }

  void Commit(Durability durability = Durability::kPassing) {
    auto draft = MakeDraft();
    ASSERT_TRUE(draft);
    Manifest manifest = SampleManifest();
    const Status committed = draft->Commit(manifest, durability);
    ASSERT_TRUE(committed) << committed.error().ToString();
  }

  // Opens it and expects that this fails so.
  void ExpectDamage(const std::string& message) const {
    const auto opened = Open(place_);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Code::kDataLoss) << opened.error().ToString();
    EXPECT_THAT(opened.error().message, HasSubstr(message));
    // That is for the log.
    EXPECT_THAT(opened.error().message, testing::Not(HasSubstr(parent_->path())));
  }

  std::optional<os::TemporaryDirectory> parent_;
  std::string place_;
};

TEST_F(FolderTest, IsThereAsAWholeOrNotAtAll) {
  for (const Durability durability : {Durability::kDurable, Durability::kPassing}) {
    auto draft = MakeDraft();
    ASSERT_TRUE(draft) << draft.error().ToString();
    const std::string path = draft->path();
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700u);
    // On the same file system, so that a rename is all it takes; and no snapshot yet.
    EXPECT_THAT(path, testing::StartsWith(parent_->path() + "/"));
    EXPECT_FALSE(os::Exists(place_));
    EXPECT_FALSE(os::Exists(path + kManifestFile));
    EXPECT_EQ(Open(place_).error().code, Code::kNotFound);
    EXPECT_EQ(Open(path).error().code, Code::kNotFound);

    Manifest manifest = SampleManifest();
    const Status committed = draft->Commit(manifest, durability);
    ASSERT_TRUE(committed) << committed.error().ToString();
    struct stat moved{};
    ASSERT_EQ(::stat(place_.c_str(), &moved), 0);
    EXPECT_EQ(moved.st_ino, info.st_ino);
    EXPECT_THAT(Names(), ElementsAre(manifest.id));
    EXPECT_THAT(*os::ListDirectory(place_), ElementsAre("manifest.json", "memory.map", "state"));
    EXPECT_EQ(manifest.state_digest, os::Sha256Hex("state"));
    EXPECT_EQ(manifest.memory_digest, os::Sha256Hex("map of state"));
    ASSERT_EQ(::stat((place_ + kManifestFile).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u);  // it has the agent's secret

    const auto opened = Open(place_);
    ASSERT_TRUE(opened) << opened.error().ToString();
    EXPECT_EQ(opened->ToJson(), manifest.ToJson());
    ASSERT_TRUE(Remove(place_));
    EXPECT_THAT(Names(), IsEmpty());
  }
}

TEST_F(FolderTest, ADraftThatIsGivenUpLeavesNothing) {
  {
    auto draft = MakeDraft();
    ASSERT_TRUE(draft);
    Draft moved = std::move(*draft);
    EXPECT_EQ(Names().size(), 1u);
  }
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(FolderTest, TheFirstToCommitHasThePlace) {
  {
    auto first = MakeDraft("first");
    auto second = MakeDraft("second");
    ASSERT_TRUE(first && second);
    EXPECT_NE(first->path(), second->path());
    Manifest manifest = SampleManifest();
    ASSERT_TRUE(first->Commit(manifest, Durability::kPassing));
    Manifest other = SampleManifest();
    const Status late = second->Commit(other, Durability::kPassing);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Code::kAlreadyExists) << late.error().ToString();
    EXPECT_THAT(late.error().message, HasSubstr(other.id));
  }
  EXPECT_EQ(Names().size(), 1u);
  EXPECT_EQ(*ReadFile(place_ + kStateFile), "first");
  EXPECT_TRUE(Open(place_));
}

TEST_F(FolderTest, CommitsNothingThatCouldNotBeOpened) {
  {
    auto draft = Draft::Make(place_);
    ASSERT_TRUE(draft);
    Manifest manifest = SampleManifest();
    EXPECT_FALSE(draft->Commit(manifest, Durability::kPassing));  // no state
    Write(draft->path() + "/state", "s");
    EXPECT_FALSE(draft->Commit(manifest, Durability::kPassing));  // no map
    Write(draft->path() + "/memory.map", "m");
    manifest.layers.clear();
    const Status committed = draft->Commit(manifest, Durability::kPassing);
    ASSERT_FALSE(committed);
    EXPECT_EQ(committed.error().code, Code::kInternal);
    EXPECT_FALSE(os::Exists(place_));
  }
  EXPECT_THAT(Names(), IsEmpty());
}

// As a server that was killed leaves them.
TEST_F(FolderTest, RemovesDraftsAndNothingElse) {
  ASSERT_NO_FATAL_FAILURE(Commit());
  const pid_t child = ::fork();
  if (child == 0) {
    auto one = MakeDraft();
    auto two = MakeDraft();
    Manifest manifest = SampleManifest();
    ::_exit(one && two && WriteFileAtomically(two->path() + kManifestFile, "{}") ? 7 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(WEXITSTATUS(status), 7);
  Write(parent_->path() + "/draft", "a file of somebody else's");
  EXPECT_EQ(Names().size(), 4u);
  RemoveDrafts(parent_->path());
  EXPECT_THAT(Names(), ElementsAre("draft", SampleManifest().id));
  EXPECT_TRUE(Open(place_));
  RemoveDrafts(parent_->path() + "/absent");
}

TEST_F(FolderTest, DamageIsFoundWhereItIs) {
  ASSERT_NO_FATAL_FAILURE(Commit());
  const struct {
    const char* file;
    const char* what;
  } kParts[] = {{"/state", "machine state"}, {"/memory.map", "memory map"}};
  for (const auto& part : kParts) {
    const std::string path = place_ + part.file;
    const std::string content = *ReadFile(path);
    std::string flipped = content;
    flipped[0] ^= 1;
    for (const std::string& damaged : {flipped, content + "x", content.substr(1), std::string()}) {
      Write(path, damaged);
      ExpectDamage(fmt::format("{} is damaged", part.what));
    }
    ASSERT_TRUE(os::RemoveTree(path));
    ExpectDamage(fmt::format("{} is missing", part.what));
    Write(path, content);
    ASSERT_TRUE(Open(place_));
  }
}

TEST_F(FolderTest, ALayerOfAnotherLengthIsDamage) {
  auto draft = MakeDraft();
  ASSERT_TRUE(draft);
  Manifest manifest = SampleManifest();
  for (const std::string& layer : manifest.layers) Write(draft->path() + "/" + layer, layer);
  ASSERT_TRUE(draft->Commit(manifest, Durability::kPassing));
  for (const std::string& layer : manifest.layers) {
    const std::string path = place_ + "/" + layer;
    for (const std::string& damaged : {layer.substr(1), layer + "x", std::string()}) {
      Write(path, damaged);
      ExpectDamage("a layer is not whole");
    }
    ASSERT_TRUE(os::RemoveTree(path));
    ExpectDamage("a layer is not whole");
    Write(path, layer);
    ASSERT_TRUE(Open(place_));
  }
  // One that an older wrenn made says nothing of it.
  manifest.layer_bytes.clear();
  ASSERT_TRUE(ReplaceManifest(place_, manifest));
  Write(place_ + "/" + manifest.layers.front(), "x");
  EXPECT_TRUE(Open(place_));
}

TEST_F(FolderTest, ADamagedManifestIsNoFaultOfTheCaller) {
  ASSERT_NO_FATAL_FAILURE(Commit());
  const std::string path = place_ + kManifestFile;
  const std::string content = *ReadFile(path);
  for (const std::string& damaged : {std::string(), content.substr(0, content.size() / 2),
                                     std::string("[]"), std::string(2 << 20, ' ') + content}) {
    Write(path, damaged);
    ExpectDamage("the snapshot's manifest is damaged: ");
  }
  json::object object = *ParseJsonObject(content);
  object["vcpus"] = 0;
  Write(path, json::serialize(object));
  ExpectDamage("vcpus");
  object["format"] = 2;
  Write(path, json::serialize(object));
  EXPECT_EQ(Open(place_).error().code, Code::kUnimplemented);
}

TEST_F(FolderTest, RemoveIsHarmlessWhereThereIsNothing) {
  EXPECT_TRUE(Remove(place_));
  Write(place_, "a file");
  EXPECT_TRUE(Remove(place_));
  EXPECT_FALSE(os::Exists(place_));
}

// A removal that cannot be finished leaves no snapshot that looks whole.
TEST_F(FolderTest, RemovesTheManifestFirst) {
  ASSERT_NO_FATAL_FAILURE(Commit());
  // What RemoveTree() takes before and after "manifest.json" by name or by order of the folder.
  for (const char* name : {"/a", "/z"}) ASSERT_TRUE(os::MakeDirectory(place_ + name));
  const pid_t child = ::fork();
  if (child == 0) {
    // One who may unlink in the folder, but not in those below it.
    const bool ready = ::chmod(parent_->path().c_str(), 0777) == 0 &&
                       ::chmod(place_.c_str(), 0777) == 0 && ::setgid(65534) == 0 &&
                       ::setuid(65534) == 0;
    ::_exit(!ready ? 77 : Remove(place_) ? 1 : 7);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "needs root";
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_TRUE(os::Exists(place_ + "/z"));
  EXPECT_FALSE(os::Exists(place_ + kManifestFile));
  EXPECT_EQ(Open(place_).error().code, Code::kNotFound);
  EXPECT_TRUE(Remove(place_));
  EXPECT_THAT(Names(), IsEmpty());
}

}  // namespace
}  // namespace wrenn::snapshot
