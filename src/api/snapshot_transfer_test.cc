#include "api/api_fixture.h"

namespace wrenn::api {
namespace {

class SnapshotTransferTest : public ApiFixture {
 protected:
  Answer Import(std::string_view content, const std::string& query = "") {
    wire::RequestHead head = Head("POST", "/v1/snapshots/import" + query);
    head.fields.Add("Content-Type", "application/octet-stream");
    return Send(head, content);
  }
};

TEST_F(SnapshotTransferTest, ComesBackAsItWentIn) {
  const std::string content(3 << 20, 'c');
  const Answer imported = Import(content, "?name=mine");
  EXPECT_EQ(imported.status, 201) << imported.body;
  EXPECT_EQ(imported.Json().at("name"), "mine");
  EXPECT_EQ(imported.Json().at("type"), "snapshot");
  EXPECT_EQ(imported.fields.Get("location"), "/v1/snapshots/mine");
  const Answer exported = Call("GET", "/v1/snapshots/mine/export");
  EXPECT_EQ(exported.status, 200);
  EXPECT_EQ(exported.body, content);
  EXPECT_EQ(exported.fields.Get("content-type"), "application/octet-stream");
  EXPECT_EQ(exported.fields.Get("content-disposition"), "attachment; filename=\"mine.tar.zst\"");
}

TEST_F(SnapshotTransferTest, NamesWhatIsWrong) {
  EXPECT_EQ(Call("GET", "/v1/snapshots/none/export").status, 404);
  EXPECT_EQ(Call("GET", "/v1/snapshots/..%2Fx/export").status, 404);
  const Answer damaged = Import("damaged");
  EXPECT_EQ(damaged.status, 400);
  EXPECT_EQ(damaged.ErrorMessage(), "the packed snapshot is damaged");
  const Answer large = Import("large");
  EXPECT_EQ(large.status, 507);
  EXPECT_EQ(large.ErrorCode(), "disk_full");
  EXPECT_EQ(Import("x", "?overwrite=perhaps").status, 400);
}

TEST_F(SnapshotTransferTest, RefusesATakenNameWithoutReadingAll) {
  ASSERT_EQ(Import("first", "?name=mine").status, 201);
  EXPECT_EQ(Import(std::string(64 << 20, 'x'), "?name=mine").status, 409);
  EXPECT_EQ(Import("second", "?name=mine&overwrite=true").status, 201);
  EXPECT_EQ(Call("GET", "/v1/snapshots/mine/export").body, "second");
}

TEST_F(SnapshotTransferTest, BreaksOffWhatCannotBeWhole) {
  ASSERT_EQ(Import("breaks off" + std::string(5000, 'x'), "?name=mine").status, 201);
  wire::HttpClient http(*wire::ConnectTcp("127.0.0.1", port_, Soon()));
  ASSERT_TRUE(http.Send(Head("GET", "/v1/snapshots/mine/export"), {}, Soon()));
  EXPECT_EQ(http.response().status, 200);
  EXPECT_FALSE(http.body().ReadAll(1 << 20, Soon()));
}

TEST_F(SnapshotTransferTest, AServerThatStopsWaitsForNobody) {
  auto connection = wire::ConnectTcp("127.0.0.1", port_, Soon());
  ASSERT_TRUE(connection);
  wire::ByteStream stream(std::move(*connection));
  wire::RequestHead head = Head("POST", "/v1/snapshots/import");
  head.fields.Add("Content-Length", "10000000");
  head.fields.Add("Expect", "100-continue");
  ASSERT_TRUE(stream.Write(wire::FormatRequestHead(head), Soon()));
  // It reads the body.
  const auto go_on = stream.ReadThrough("\r\n\r\n", 1000, Soon());
  ASSERT_TRUE(go_on);
  EXPECT_TRUE(go_on->starts_with("HTTP/1.1 100")) << *go_on;
  EXPECT_TRUE(api_->Drain(Deadline::After(std::chrono::seconds(20))));
  const auto answer = stream.ReadThrough("\r\n\r\n", 10'000, Soon());
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->starts_with("HTTP/1.1 503")) << *answer;
}

}  // namespace
}  // namespace wrenn::api
