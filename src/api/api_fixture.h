// The API on a real HTTP server, for tests.
#pragma once

#include <gtest/gtest.h>

#include "api/api.h"
#include "api/fake_manager.h"
#include "api/keys.h"
#include "api/websocket.h"
#include "os/files.h"
#include "wire/http_client.h"
#include "wire/sockets.h"

namespace wrenn::api {

inline Deadline Soon() { return Deadline::After(std::chrono::seconds(100)); }

struct Answer {
  int status = 0;
  wire::Fields fields;
  std::string body;

  json::value Json() const {
    auto value = ParseJson(body);
    return value ? *value : json::value();
  }
  std::string ErrorCode() const { return ErrorMember("code"); }
  std::string ErrorMessage() const { return ErrorMember("message"); }

 private:
  std::string ErrorMember(const char* name) const {
    const json::value value = Json();
    const json::value* member =
        value.is_object() ? value.get_object().if_contains("error") : nullptr;
    if (!member || !member->is_object()) return "not an error: " + body.substr(0, 200);
    const json::value* text = member->get_object().if_contains(name);
    return text && text->is_string() ? std::string(text->get_string()) : std::string("none");
  }
};

class ApiFixture : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = os::TemporaryDirectory::Make();
    ASSERT_TRUE(directory);
    directory_ = std::make_unique<os::TemporaryDirectory>(std::move(*directory));
    auto opened = store::OpenSqlite(directory_->path() + "/wrenn.db");
    ASSERT_TRUE(opened) << opened.error().ToString();
    store_ = std::move(*opened);
    key_ = MakeKey();
    ASSERT_TRUE(store_->AddKey(MakeKeyRecord(key_, "test")));
    os::Paths paths;
    paths.root = directory_->path();
    paths.runtime = directory_->path() + "/run";
    catalogue_ = template_::MakeCatalogue(paths, *store_);
    const auto log = [this](const AccessEntry& entry) {
      std::lock_guard lock(log_mutex_);
      log_.push_back(entry);
    };
    auto api = Api::Make(manager_, *catalogue_, *store_, {"1.2.3", log, paths});
    ASSERT_TRUE(api);
    api_ = std::move(*api);
    server_ = std::make_unique<wire::HttpServer>(
        [this](wire::Exchange& exchange) { api_->Handle(exchange); }, Api::HttpOptions());
    auto listener = wire::ListenTcp("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    port_ = *wire::LocalPort(listener->get());
    server_->Listen(std::move(*listener));
  }

  void TearDown() override { server_.reset(); }

  wire::RequestHead Head(std::string_view method, std::string_view target) const {
    wire::RequestHead head;
    head.method = method;
    head.target = target;
    head.fields.Add("Host", "localhost");
    head.fields.Add("X-API-Key", key_);
    return head;
  }

  Answer Send(wire::RequestHead head, std::string_view body) {
    Answer answer;
    auto connection = wire::ConnectTcp("127.0.0.1", port_, Soon());
    if (!connection) return answer;
    wire::HttpClient http(std::move(*connection));
    auto sent = http.Send(std::move(head), body, Soon());
    EXPECT_TRUE(sent) << sent.error().ToString();
    if (!sent) return answer;
    answer.status = http.response().status;
    answer.fields = http.response().fields;
    auto content = http.body().ReadAll(256 << 20, Soon());
    EXPECT_TRUE(content) << content.error().ToString();
    if (content) answer.body = std::move(*content);
    return answer;
  }

  Answer Call(std::string_view method, std::string_view target, std::string_view body = {}) {
    return Send(Head(method, target), body);
  }

  // A running sandbox's path, "/v1/sandboxes/sb-...".
  std::string MakeSandbox() {
    const Answer made = Call("POST", "/v1/sandboxes", "{}");
    EXPECT_EQ(made.status, 201) << made.body;
    return "/v1/sandboxes/" + std::string(made.Json().at("id").as_string());
  }

  // The client's end of a WebSocket at `target`, with the stream that it stands on.
  struct Socket {
    std::unique_ptr<wire::ByteStream> stream;
    std::unique_ptr<WebSocket> socket;

    void Send(const json::object& message) {
      EXPECT_TRUE(socket->SendText(json::serialize(message), Soon()));
    }
    // The next text message; binary ones are collected in `binary`. {} when it closes or breaks.
    json::object Receive() {
      for (;;) {
        auto message = socket->Receive(Soon());
        if (!message) return {{"type", "broken"}, {"why", message.error().message}};
        if (message->type == WebSocketMessage::Type::kClose) {
          return {{"type", "close"}, {"status", message->close_status}};
        }
        if (message->type == WebSocketMessage::Type::kText) {
          return *ParseJsonObject(message->data);
        }
        binary += message->data;
      }
    }
    std::string binary;
  };

  Result<Socket> Open(std::string_view target) {
    ASSIGN_OR_RETURN(UniqueFd connection, wire::ConnectTcp("127.0.0.1", port_, Soon()));
    Socket opened;
    opened.stream = std::make_unique<wire::ByteStream>(std::move(connection));
    ASSIGN_OR_RETURN(opened.socket,
                     WebSocket::Connect(*opened.stream, Head("GET", target), Soon()));
    return opened;
  }

  std::unique_ptr<os::TemporaryDirectory> directory_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<template_::Catalogue> catalogue_;
  FakeManager manager_;
  std::string key_;
  std::mutex log_mutex_;
  std::vector<AccessEntry> log_;
  std::unique_ptr<Api> api_;
  uint16_t port_ = 0;
  std::unique_ptr<wire::HttpServer> server_;
};

}  // namespace wrenn::api
