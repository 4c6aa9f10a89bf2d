// Files, against a real agent.
#include "api/agent_fixture.h"

namespace wrenn::api {
namespace {

using FilesTest = AgentApiTest;

std::string Multipart(const std::string& path, const std::string& user, std::string_view content) {
  std::string body;
  for (const auto& [name, value] :
       {std::pair<std::string, std::string>{"path", path}, {"user", user}}) {
    body += "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
  }
  body += "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
  return body.append(content).append("\r\n--b--\r\n");
}

TEST_F(FilesTest, FilesGoInAndOutByMultipart) {
  for (const char* route : {"/files/write", "/files/stream/write"}) {
    const std::string path = folder_ + "/deep" + PercentEncode(route) + "/f";
    std::string content;
    for (int i = 0; i < 300'000; ++i) content.push_back(static_cast<char>(i * 7));
    wire::RequestHead head = Head("POST", sandbox_ + route);
    head.fields.Add("Content-Type", "multipart/form-data; boundary=b");
    const Answer written = Send(head, Multipart(path, user_, content));
    EXPECT_EQ(written.status, 204) << written.body;
    for (const char* read : {"/files/read", "/files/stream/read"}) {
      const Answer answer = Post(read, AsUser({{"path", path}}));
      EXPECT_EQ(answer.status, 200);
      EXPECT_TRUE(answer.body == content) << read;
      EXPECT_EQ(answer.fields.Get("content-length"), "300000");
    }
  }
}

TEST_F(FilesTest, FilesGoInAndOutRawAndInRanges) {
  const std::string path = folder_ + "/a b+c%é";
  wire::RequestHead head = Head("POST", sandbox_ + "/files/stream/write" + Query(path));
  head.fields.Add("Content-Type", "application/octet-stream");
  EXPECT_EQ(Send(head, "0123456789").status, 204);
  EXPECT_EQ(*ReadFile(path), "0123456789");
  EXPECT_EQ(Call("GET", sandbox_ + "/files/stream/read" + Query(path)).body, "0123456789");
  const Answer length = Call("HEAD", sandbox_ + "/files/stream/read" + Query(path));
  EXPECT_EQ(length.status, 200);
  EXPECT_EQ(length.body, "");
  EXPECT_EQ(length.fields.Get("content-length"), "10");
  wire::RequestHead range = Head("GET", sandbox_ + "/files/stream/read" + Query(path));
  range.fields.Add("Range", "bytes=2-4");
  const Answer part = Send(range, {});
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "234");
  EXPECT_EQ(part.fields.Get("content-range"), "bytes 2-4/10");
  range.fields.Set("Range", "bytes=20-");
  EXPECT_EQ(Send(range, {}).status, 416);
  EXPECT_EQ(Send(head, "").status, 204);
  const Answer empty = Post("/files/read", AsUser({{"path", path}}));
  EXPECT_EQ(empty.status, 200);
  EXPECT_EQ(empty.fields.Get("content-length"), "0");
}

TEST_F(FilesTest, SmallRoutesNameTheLargeOnes) {
  const std::string path = folder_ + "/large";
  const std::string content(33 << 20, 'x');
  wire::RequestHead head = Head("POST", sandbox_ + "/files/write");
  head.fields.Add("Content-Type", "multipart/form-data; boundary=b");
  const Answer refused = Send(head, Multipart(path, user_, content));
  EXPECT_EQ(refused.status, 413);
  EXPECT_NE(refused.ErrorMessage().find("/files/stream/write"), std::string::npos);
  EXPECT_FALSE(os::Exists(path));
  head.target = sandbox_ + "/files/stream/write";
  EXPECT_EQ(Send(head, Multipart(path, user_, content)).status, 204);
  const Answer large = Post("/files/read", AsUser({{"path", path}}));
  EXPECT_EQ(large.status, 413);
  EXPECT_NE(large.ErrorMessage().find("/files/stream/read"), std::string::npos);
  EXPECT_EQ(Post("/files/stream/read", AsUser({{"path", path}})).body.size(), content.size());
}

TEST_F(FilesTest, ACutUploadLeavesTheOldFile) {
  const std::string path = folder_ + "/file";
  ASSERT_TRUE(WriteFileAtomically(path, "old"));
  const auto cut = [&](std::string_view type, const std::string& target, std::string body) {
    auto connection = wire::ConnectTcp("127.0.0.1", port_, Soon());
    ASSERT_TRUE(connection);
    wire::ByteStream stream(std::move(*connection));
    wire::RequestHead head = Head("POST", target);
    head.fields.Add("Content-Type", std::string(type));
    head.fields.Add("Content-Length", "10000000");
    ASSERT_TRUE(stream.Write(wire::FormatRequestHead(head) + std::move(body), Soon()));
  };
  cut("application/octet-stream", sandbox_ + "/files/stream/write" + Query(path),
      std::string(1 << 20, 'n'));
  cut("multipart/form-data; boundary=b", sandbox_ + "/files/stream/write",
      Multipart(path, user_, std::string(1 << 20, 'n')).substr(0, 900'000));
  ASSERT_TRUE(api_->Drain(Soon()));  // both requests are over then
  EXPECT_EQ(*ReadFile(path), "old");
  const Deadline limit = Soon();
  while (os::ListDirectory(folder_)->size() > 1 && !limit.HasPassed()) {
  }
  EXPECT_EQ(*os::ListDirectory(folder_), std::vector<std::string>{"file"});
}

TEST_F(FilesTest, BadUploadsAreRefused) {
  const auto write = [this](std::string_view type, std::string_view body,
                            std::string_view query = {}) {
    wire::RequestHead head = Head("POST", sandbox_ + "/files/write" + std::string(query));
    head.fields.Add("Content-Type", std::string(type));
    return Send(head, body).status;
  };
  EXPECT_EQ(write("multipart/form-data; boundary=x", "garbage"), 400);
  EXPECT_EQ(write("multipart/form-data", "x"), 400);
  EXPECT_EQ(write("application/octet-stream", "x"), 400);
  EXPECT_EQ(write("multipart/form-data; boundary=b",
                  "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n"),
            400);
  EXPECT_EQ(write("application/octet-stream", "x", "?path=/a%00b"), 400);
  EXPECT_EQ(write("application/octet-stream", "x", "?path=/" + std::string(5000, 'a')), 400);
}

TEST_F(FilesTest, MissingFilesFoldersAndDevices) {
  EXPECT_EQ(Post("/files/read", AsUser({{"path", folder_ + "/none"}})).status, 404);
  EXPECT_EQ(Post("/files/read", AsUser({{"path", folder_}})).status, 400);
  EXPECT_EQ(Post("/files/read", {{"path", std::string("/a\0b", 4)}}).status, 400);
  EXPECT_EQ(Post("/files/read", {}).ErrorMessage(), "path is required");
}

TEST_F(FilesTest, FoldersAreMadeListedMovedAndRemoved) {
  const std::string top = folder_ + "/top";
  const Answer made = Post("/files/mkdir", AsUser({{"path", top + "/sub"}}));
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.Json().at("type"), "directory");
  EXPECT_EQ(Post("/files/mkdir", AsUser({{"path", top + "/sub"}})).status, 409);
  ASSERT_TRUE(WriteFileAtomically(top + "/sub/one", "1"));
  json::value list = Call("GET", sandbox_ + "/files/list" + Query(top)).Json();
  EXPECT_EQ(list.as_array().size(), 1u);
  list = Call("GET", sandbox_ + "/files/list" + Query(top) + "&depth=2").Json();
  ASSERT_EQ(list.as_array().size(), 2u);
  EXPECT_EQ(list.at(1).at("path").as_string(), top + "/sub/one");
  EXPECT_EQ(list.at(1).at("type"), "file");
  const Answer moved = Post(
      "/files/move", AsUser({{"source", top + "/sub/one"}, {"destination", top + "/new/two"}}));
  EXPECT_EQ(moved.status, 200) << moved.body;
  EXPECT_EQ(Call("GET", sandbox_ + "/files/stat" + Query(top + "/new/two")).Json().at("size"), 1);
  EXPECT_EQ(Call("GET", sandbox_ + "/files/stat" + Query(top + "/sub/one")).status, 404);
  EXPECT_EQ(Call("GET", sandbox_ + "/files/stat").status, 400);
  EXPECT_EQ(Call("GET", sandbox_ + "/files/list" + Query(top) + "&depth=0").status, 400);
  EXPECT_EQ(Post("/files/remove", AsUser({{"path", top}})).status, 204);
  EXPECT_FALSE(os::Exists(top));
}

TEST_F(FilesTest, MetricsComeFromTheGuest) {
  const json::value metrics = Call("GET", sandbox_ + "/metrics").Json();
  EXPECT_GT(metrics.at("memory_total_bytes").to_number<int64_t>(), 0);
  EXPECT_GT(metrics.at("cpu_count").to_number<int64_t>(), 0);
}

}  // namespace
}  // namespace wrenn::api
