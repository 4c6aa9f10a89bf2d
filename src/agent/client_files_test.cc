// The client and files in a guest.
#include <fstream>

#include "agent/client_fixture.h"

namespace wrenn::agent {
namespace {

#ifdef WRENN_INIT_PROGRAM

TEST_P(ClientTest, ManagesFiles) {
  const std::string base = folder_ / "w";
  ASSERT_TRUE(client_->MakeDir(base + "/a/b", {}, Soon()));
  EXPECT_EQ(client_->MakeDir(base + "/a/b", {}, Soon()).error().code, Code::kAlreadyExists);
  std::ofstream(base + "/a/file") << "12345";
  auto entry = client_->Stat(base + "/a/file", {}, Soon());
  ASSERT_TRUE(entry) << entry.error().ToString();
  EXPECT_EQ(entry->size, 5);
  EXPECT_EQ(entry->type, wire::FileType::kFile);
  auto moved = client_->Move(base + "/a/file", base + "/a/other", {}, Soon());
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->name, "other");
  auto entries = client_->ListDir(base, 2, {}, Soon());
  ASSERT_TRUE(entries);
  EXPECT_EQ(entries->size(), 3u);
  EXPECT_TRUE(client_->Remove(base + "/a", {}, Soon()));
  EXPECT_TRUE(client_->ListDir(base, 1, {}, Soon())->empty());
  EXPECT_EQ(client_->Stat(base + "/a", {}, Soon()).error().code, Code::kNotFound);
}

TEST_P(ClientTest, TransfersFiles) {
  const std::string path = folder_ / "large file+%";
  const std::string chunk(1 << 20, 'x');
  for (const bool known : {true, false}) {
    auto upload =
        client_->Write(path, known ? std::optional<uint64_t>(20 << 20) : std::nullopt, {}, Soon());
    ASSERT_TRUE(upload) << upload.error().ToString();
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(upload->Write(chunk, Soon()));
    auto finished = upload->Finish(Soon());
    ASSERT_TRUE(finished) << finished.error().ToString();
    auto download = client_->Read(path, "", {}, Soon());
    ASSERT_TRUE(download);
    EXPECT_EQ(download->length.value_or(0), 20u << 20);
    EXPECT_EQ(download->http->body().ReadAll(100 << 20, Soon())->size(), 20u << 20);
  }
  auto part = client_->Read(path, "bytes=5-9", {}, Soon());
  ASSERT_TRUE(part) << part.error().ToString();
  EXPECT_EQ(part->status, 206);
  EXPECT_EQ(part->http->body().ReadAll(100, Soon()).value_or(""), "xxxxx");

  // One that is dropped leaves the old file.
  {
    auto cut = client_->Write(path, std::nullopt, {}, Soon());
    ASSERT_TRUE(cut);
    ASSERT_TRUE(cut->Write("short", Soon()));
  }
  EXPECT_EQ(std::filesystem::file_size(path), 20u << 20);
  EXPECT_EQ(client_->Read(folder_ / "none", "", {}, Soon()).error().code, Code::kNotFound);
  auto refused = client_->Write("/proc/none/x", std::nullopt, {}, Soon());
  ASSERT_TRUE(refused);
  Status status;
  for (int i = 0; i < 200 && status; ++i) status = refused->Write(chunk, Soon());
  if (status) status = refused->Finish(Soon());
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().code, Code::kUnavailable) << status.error().ToString();
}

TEST_P(ClientTest, WatchesFolders) {
  auto watch = client_->Watch(folder_ / "", false, {}, Soon());
  ASSERT_TRUE(watch) << watch.error().ToString();
  std::ofstream(folder_ / "new") << "x";
  auto event = watch->Next(Soon());
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->name, "new");
  EXPECT_EQ((*event)->type, wire::FileEventType::kCreate);
  EXPECT_EQ(client_->Watch(folder_ / "none", false, {}, Soon()).error().code, Code::kNotFound);
}

#endif

}  // namespace
}  // namespace wrenn::agent
