#include <gmock/gmock.h>
#include <sys/stat.h>
#include <zlib.h>

#include "guest/agent/test_agent.h"
#include "guest/files/entries.h"

namespace wrenn::guest {
namespace {

std::string Target(const std::string& path) { return "/files?path=" + PercentEncode(path); }

TestAgent::Reply Put(TestAgent& agent, const std::string& path, std::string_view content,
                     const TestAgent::Extra& extra = {}) {
  wire::RequestHead head = agent.Head("POST", Target(path));
  head.fields.Add("Content-Type", "application/octet-stream");
  for (const auto& [name, value] : extra) head.fields.Add(name, value);
  return agent.Send(std::move(head), content);
}

TestAgent::Reply Get(TestAgent& agent, const std::string& path,
                     const TestAgent::Extra& extra = {}) {
  wire::RequestHead head = agent.Head("GET", Target(path));
  for (const auto& [name, value] : extra) head.fields.Add(name, value);
  return agent.Send(std::move(head));
}

bool WaitForNames(const std::string& path, size_t count) {
  const Deadline deadline = Soon();
  while (NamesIn(path).size() != count) {
    if (deadline.HasPassed()) return false;
    ::usleep(1000);
  }
  return true;
}

std::string GzipOf(std::string_view text) {
  std::string out(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Gunzip(std::string_view data, size_t size) {
  std::string out(size + 1, '\0');
  z_stream stream{};
  inflateInit2(&stream, 31);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

size_t HighWaterKb(pid_t pid) {
  const std::string status = FileText("/proc/" + std::to_string(pid) + "/status");
  return std::stoul(status.substr(status.find("VmHWM:") + 6));
}

TEST(ContentService, WhatIsWrittenIsRead) {
  TestAgent agent;
  TempFolder folder;
  const std::string path = folder / "deep/er/a file\xC3\xA9";
  const auto put = Put(agent, path, "hello");
  ASSERT_EQ(put.head.status, 200) << put.body;
  auto entries = ParseJson(put.body);
  ASSERT_TRUE(entries);
  const json::object& entry = entries->as_array().at(0).as_object();
  EXPECT_EQ(std::string_view(entry.at("path").as_string()), path);
  EXPECT_EQ(entry.at("name"), "a file\xC3\xA9");
  EXPECT_EQ(entry.at("type"), "file");
  const auto got = Get(agent, path);
  EXPECT_EQ(got.head.status, 200);
  EXPECT_EQ(got.body, "hello");
  EXPECT_EQ(got.head.fields.Get("content-length"), "5");
  EXPECT_EQ(got.head.fields.Get("vary"), "Accept-Encoding");
  EXPECT_EQ(NamesIn(folder / "deep/er").size(), 1u);
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0644u);
}

TEST(ContentService, AnEmptyFileSaysSo) {
  TestAgent agent;
  TempFolder folder;
  EXPECT_EQ(Put(agent, folder / "empty", "").head.status, 200);
  const auto got = Get(agent, folder / "empty");
  EXPECT_EQ(got.head.status, 200);
  EXPECT_EQ(got.head.fields.Get("content-length"), "0");
}

TEST(ContentService, FilesOfProcfsHaveContent) {
  TestAgent agent;
  const auto got = Get(agent, "/proc/self/status");
  EXPECT_EQ(got.head.status, 200);
  EXPECT_THAT(got.body, testing::HasSubstr("Name:\twrenn-init"));
}

TEST(ContentService, MissingFilesFoldersAndDevicesAreRefused) {
  TestAgent agent;
  const auto missing = Get(agent, "/no/such/file");
  EXPECT_EQ(missing.head.status, 404);
  EXPECT_EQ(missing.body, R"({"code":404,"message":"path '/no/such/file' does not exist"})");
  EXPECT_EQ(Get(agent, "/tmp").head.status, 400);
  EXPECT_EQ(Get(agent, "/dev/zero").head.status, 400);
  EXPECT_EQ(Put(agent, "/dev/null", "x").head.status, 400);
  EXPECT_EQ(Put(agent, "/tmp", "x").head.status, 400);
  TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(Get(agent, folder / "fifo").head.status, 400);
  EXPECT_EQ(Get(agent, std::string("/tmp/a\0b", 8)).head.status, 400);
}

TEST(ContentService, RangesAreServed) {
  TestAgent agent;
  TempFolder folder;
  for (const size_t size : {size_t{1000}, size_t{300000}}) {
    const std::string content = RandomBytes(size);
    WriteText(folder / "f", content);
    const auto part = Get(agent, folder / "f", {{"Range", "bytes=100-199"}});
    EXPECT_EQ(part.head.status, 206);
    EXPECT_EQ(part.body, content.substr(100, 100));
    EXPECT_EQ(part.head.fields.Get("content-range"), "bytes 100-199/" + std::to_string(size));
    EXPECT_EQ(Get(agent, folder / "f", {{"Range", "bytes=-7"}}).body, content.substr(size - 7));
    EXPECT_EQ(Get(agent, folder / "f", {{"Range", "bytes=990-"}}).body, content.substr(990));
    const auto beyond = Get(agent, folder / "f", {{"Range", "bytes=999999-"}});
    EXPECT_EQ(beyond.head.status, 416);
    EXPECT_EQ(beyond.head.fields.Get("content-range"), "bytes */" + std::to_string(size));
  }
}

TEST(ContentService, GzipWorksBothWays) {
  TestAgent agent;
  TempFolder folder;
  std::string text;
  while (text.size() < 500000) text += "line " + std::to_string(text.size()) + "\n";
  EXPECT_EQ(Put(agent, folder / "f", GzipOf(text), {{"Content-Encoding", "gzip"}}).head.status,
            200);
  EXPECT_EQ(FileText(folder / "f"), text);
  const auto got = Get(agent, folder / "f", {{"Accept-Encoding", "deflate, gzip"}});
  EXPECT_EQ(got.head.fields.Get("content-encoding"), "gzip");
  EXPECT_LT(got.body.size(), text.size() / 2);
  EXPECT_EQ(Gunzip(got.body, text.size()), text);
  const auto broken = Put(agent, folder / "f", "not gzip", {{"Content-Encoding", "gzip"}});
  EXPECT_EQ(broken.head.status, 400);
  EXPECT_EQ(FileText(folder / "f"), text);
}

TEST(ContentService, MultipartUploadsSeveralFiles) {
  TestAgent agent;
  TempFolder folder;
  const std::string binary = "\r\n--other\r\n" + RandomBytes(200000) + "\r";
  const auto part = [](const std::string& name, std::string_view content) {
    return "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name +
           "\"\r\nContent-Type: application/octet-stream\r\n\r\n" + std::string(content) + "\r\n";
  };
  const std::string body = part(folder / "one", binary) + part(folder / "sub/two", "") +
                           "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n" +
                           "--XX--\r\n";
  wire::RequestHead head = agent.Head("POST", "/files");
  head.fields.Add("Content-Type", "multipart/form-data; boundary=XX");
  const auto reply = agent.Send(head, body);
  ASSERT_EQ(reply.head.status, 200) << reply.body;
  EXPECT_EQ(ParseJson(reply.body)->as_array().size(), 2u);
  EXPECT_EQ(FileText(folder / "one"), binary);
  EXPECT_TRUE(std::filesystem::is_empty(folder / "sub/two"));
  // One that is cut leaves what was there.
  const auto cut = agent.Send(head, part(folder / "one", "new").substr(0, 80));
  EXPECT_EQ(cut.head.status, 503);
  EXPECT_EQ(FileText(folder / "one"), binary);
}

TEST(ContentService, ACutUploadLeavesTheOldFileAndNothingElse) {
  TestAgent agent;
  TempFolder folder;
  WriteText(folder / "f", "old");
  {
    auto http = agent.Connect();
    wire::RequestHead head = agent.Head("POST", Target(folder / "f"));
    head.fields.Add("Content-Type", "application/octet-stream");
    auto writer = http->StartRequest(std::move(head), 1000000, Soon());
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->Write(std::string(300000, 'x'), Soon()));
    ASSERT_TRUE(WaitForNames(folder.path(), 2));  // it has begun
  }
  EXPECT_TRUE(WaitForNames(folder.path(), 1));
  EXPECT_EQ(NamesIn(folder.path()), std::vector<std::string>{"f"});
  EXPECT_EQ(FileText(folder / "f"), "old");
}

TEST(ContentService, ARefusedUploadIsToldAtOnce) {
  TestAgent agent;
  auto http = agent.Connect();
  wire::RequestHead head = agent.Head("POST", Target("/proc/none/f"));
  head.fields.Add("Content-Type", "application/octet-stream");
  auto writer = http->StartRequest(std::move(head), uint64_t{50} << 30, Soon());
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->Write(std::string(100'000, 'x'), Soon()));
  // The rest of the 50 GiB is not waited for.
  ASSERT_TRUE(http->ReadHead(Soon()));
  EXPECT_EQ(http->response().status, 404);
  EXPECT_EQ(http->response().fields.Get("connection"), "close");
}

TEST(ContentService, OverwritingKeepsModeAndLink) {
  TestAgent agent;
  TempFolder folder;
  WriteText(folder / "tool", "old");
  ::chmod((folder / "tool").c_str(), 0755);
  ASSERT_EQ(::symlink("tool", (folder / "link").c_str()), 0);
  EXPECT_EQ(Put(agent, folder / "link", "new").head.status, 200);
  EXPECT_EQ(FileText(folder / "tool"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  struct stat info;
  ASSERT_EQ(::stat((folder / "tool").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
}

TEST(ContentService, FilesAndFoldersBelongToTheUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestAgent agent;
  TempFolder folder;
  wire::RequestHead head = agent.Head("POST", Target(folder / "sub/f") + "&username=nobody");
  head.fields.Add("Content-Type", "application/octet-stream");
  EXPECT_EQ(agent.Send(std::move(head), "x").head.status, 200);
  for (const char* name : {"sub", "sub/f"}) {
    struct stat info;
    ASSERT_EQ(::stat((folder / name).c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, 65534u) << name;
  }
  head = agent.Head("GET", Target(folder / "sub/f") + "&username=no-such-user");
  EXPECT_EQ(agent.Send(std::move(head)).head.status, 401);
}

TEST(ContentService, LargeFilesStreamInConstantMemory) {
  TestAgent agent;
  TempFolder folder;
  constexpr size_t kSize = 64 << 20;
  const std::string content = RandomBytes(kSize);
  [[maybe_unused]] const size_t before = HighWaterKb(agent.pid());
  EXPECT_EQ(Put(agent, folder / "big", content).head.status, 200);
  const auto got = Get(agent, folder / "big");
  EXPECT_TRUE(got.body == content);
  EXPECT_TRUE(Gunzip(Get(agent, folder / "big", {{"Accept-Encoding", "gzip"}}).body, kSize) ==
              content);
#ifndef WRENN_SANITIZED  // ASan keeps what was freed for a while
  EXPECT_LT(HighWaterKb(agent.pid()) - before, 32u * 1024);
#endif
}

TEST(ContentService, AFullDiskIsTold) {
  TestAgent agent;
  if (!std::filesystem::exists("/dev/shm") || ::geteuid() != 0) GTEST_SKIP() << "needs root";
  TempFolder folder;
  const std::string mount = "mount -t tmpfs -o size=64k tmpfs " + folder.path() + " 2>/dev/null";
  if (std::system(mount.c_str()) != 0) GTEST_SKIP() << "needs the right to mount";
  const auto put = Put(agent, folder / "big", std::string(1 << 20, 'x'));
  EXPECT_EQ(put.head.status, 507) << put.body;
  EXPECT_TRUE(NamesIn(folder.path()).empty());
  EXPECT_EQ(std::system(("umount " + folder.path()).c_str()), 0);
}

}  // namespace
}  // namespace wrenn::guest
