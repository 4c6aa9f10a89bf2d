#include "agent/client.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/protocol.h"
#include "wire/http_server.h"
#include "wire/sockets.h"

namespace wrenn::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline Soon() { return Deadline::After(seconds(60)); }

class TempFolder {
 public:
  TempFolder() {
    char pattern[] = "/tmp/wrenn-client-XXXXXX";
    path_ = ::mkdtemp(pattern);
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// --- Against the real agent, over TCP and over a mux ---

#ifdef WRENN_INIT_PROGRAM

class Agent {
 public:
  explicit Agent(std::string token) {
    int out[2];
    if (::pipe(out) < 0) std::abort();
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    ::posix_spawn_file_actions_addclose(&actions, out[0]);
    std::vector<std::string> words{"wrenn-init",  "--agent", "--listen",
                                   "127.0.0.1:0", "--token", token};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int failed =
        ::posix_spawn(&pid_, WRENN_INIT_PROGRAM, &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    FILE* lines = ::fdopen(out[0], "r");
    unsigned port = 0;
    if (failed || std::fscanf(lines, "listening on 127.0.0.1:%u", &port) != 1) {
      ADD_FAILURE() << "the agent did not start";
    }
    ::fclose(lines);
    port_ = static_cast<uint16_t>(port);
  }
  ~Agent() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  uint16_t port() const { return port_; }
  void Kill() const { ::kill(pid_, SIGKILL); }

 private:
  pid_t pid_ = -1;
  uint16_t port_ = 0;
};

// The agent behind a unix socket as QEMU's port would be.
class MuxedAgent {
 public:
  MuxedAgent(std::string path, uint16_t agent_port) : agent_port_(agent_port) {
    listener_ = wire::ListenUnix(path).value();
    stop_ = MakeEventFd().value();
    thread_ = std::thread([this] { Run(); });
  }
  ~MuxedAgent() {
    SignalEventFd(stop_.get());
    thread_.join();
  }

 private:
  void Run() {
    for (;;) {
      pollfd entries[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(entries, 2, -1);
      if (entries[1].revents) return;
      const UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      wire::MuxServerOptions options;
      options.accept = [&](uint16_t port) {
        return wire::ConnectTcp("127.0.0.1", port == wire::kAgentPort ? agent_port_ : port, Soon());
      };
      options.wait_for_peer = [] { return false; };
      options.stop = stop_.get();
      (void)wire::ServeMux(fd.get(), options);
    }
  }

  const uint16_t agent_port_;
  UniqueFd listener_, stop_;
  std::thread thread_;
};

class ClientTest : public testing::TestWithParam<const char*> {
 protected:
  ClientTest() : agent_("secret") {
    std::shared_ptr<Channel> channel;
    if (std::string_view(GetParam()) == "tcp") {
      channel = MakeTcpChannel("127.0.0.1", agent_.port());
    } else {
      interactive_ = std::make_unique<MuxedAgent>(folder_ / "i", agent_.port());
      bulk_ = std::make_unique<MuxedAgent>(folder_ / "b", agent_.port());
      channel = MakeMuxChannel(folder_ / "i", folder_ / "b");
    }
    client_.emplace(channel, "secret");
  }
  ~ClientTest() override { client_.reset(); }

  static wire::StartRequest Shell(const std::string& command) {
    wire::StartRequest request;
    request.process.cmd = "/bin/sh";
    request.process.args = {"-c", command};
    request.process.cwd = "/";
    return request;
  }

  struct Outcome {
    std::string out, err;
    std::optional<wire::ProcessEnded> ended;
    std::optional<Error> error;
  };
  static Outcome Collect(ProcessStream& stream) {
    Outcome outcome;
    for (;;) {
      auto event = stream.Next(Soon());
      if (!event) {
        outcome.error = event.error();
        return outcome;
      }
      if (!*event) return outcome;
      if (const auto* output = std::get_if<wire::ProcessOutput>(&**event)) {
        (output->stream == wire::ProcessOutput::Stream::kStderr ? outcome.err : outcome.out) +=
            output->data;
      }
      if (const auto* ended = std::get_if<wire::ProcessEnded>(&**event)) outcome.ended = *ended;
    }
  }
  Outcome Run(const wire::StartRequest& request, milliseconds timeout = milliseconds(0)) {
    auto started = client_->Start(request, {}, timeout, Soon());
    if (!started) return {{}, {}, {}, started.error()};
    return Collect(started->stream);
  }

  TempFolder folder_;
  Agent agent_;
  std::unique_ptr<MuxedAgent> interactive_, bulk_;
  std::optional<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Over, ClientTest, testing::Values("tcp", "mux"),
                         [](const auto& over) { return std::string(over.param); });

TEST_P(ClientTest, HealthMetricsAndInit) {
  EXPECT_TRUE(client_->Health(Soon()));
  auto metrics = client_->Metrics(Soon());
  ASSERT_TRUE(metrics) << metrics.error().ToString();
  EXPECT_GT(metrics->mem_total, 0);
  EXPECT_GT(metrics->cpu_count, 0u);

  wire::InitRequest request;
  request.access_token = "another";
  request.env_vars = {{"GREETING", "hello"}};
  auto reply = client_->Init(request, Soon());
  ASSERT_TRUE(reply) << reply.error().ToString();
  EXPECT_EQ(reply->protocol, wire::kAgentProtocol);
  EXPECT_EQ(Run(Shell("echo $GREETING")).out, "hello\n");  // with the new token
  Client old(MakeTcpChannel("127.0.0.1", agent_.port()), "secret");
  EXPECT_EQ(old.List(Soon()).error().code, Code::kUnauthenticated);
}

TEST_P(ClientTest, SyncsTheDisk) {
  const auto reply = client_->Init({}, Soon());
  ASSERT_TRUE(reply) << reply.error().ToString();
  EXPECT_EQ(std::count(reply->features.begin(), reply->features.end(), "sync"), 1);
  const Status synced = client_->Sync(Soon());
  EXPECT_TRUE(synced) << synced.error().ToString();
  Client stranger(MakeTcpChannel("127.0.0.1", agent_.port()), "wrong");
  EXPECT_EQ(stranger.Sync(Soon()).error().code, Code::kUnauthenticated);
}

TEST_P(ClientTest, RunsProcesses) {
  const Outcome good = Run(Shell("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(good.ended) << good.error->ToString();
  EXPECT_EQ(good.out, "out\n");
  EXPECT_EQ(good.err, "err\n");
  EXPECT_EQ(good.ended->exit_code, 3);

  const Outcome large = Run(Shell("head -c 5000000 /dev/zero"));
  EXPECT_EQ(large.out, std::string(5'000'000, '\0'));

  wire::StartRequest missing;
  missing.process.cmd = "/no/such/program";
  missing.process.cwd = "/";
  EXPECT_TRUE(Run(missing).error);
  wire::StartRequest lost = Shell("true");
  lost.process.cwd = "/no/such/folder";
  const Outcome refused = Run(lost);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code, Code::kInvalidArgument);
}

TEST_P(ClientTest, KillsAProcessAtItsTimeout) {
  const Outcome late = Run(Shell("sleep 1000 & sleep 1000"), milliseconds(200));
  EXPECT_TRUE(late.error || (late.ended && late.ended->exit_code != 0));
  EXPECT_TRUE(client_->List(Soon())->empty());
}

TEST_P(ClientTest, FeedsAndSignalsProcesses) {
  auto cat = client_->Start(Shell("cat"), {}, milliseconds(0), Soon());
  ASSERT_TRUE(cat) << cat.error().ToString();
  const wire::ProcessSelector process = cat->pid;
  std::string text;
  for (int i = 0; i < 20; ++i) {
    text += std::string(10'000, static_cast<char>('a' + i));
    ASSERT_TRUE(client_->SendInput(process, {false, text.substr(text.size() - 10'000)}, Soon()));
  }
  auto listed = client_->List(Soon());
  ASSERT_TRUE(listed && listed->size() == 1);
  EXPECT_EQ((*listed)[0].pid, cat->pid);
  ASSERT_TRUE(client_->CloseStdin(process, Soon()));
  EXPECT_EQ(Collect(cat->stream).out, text);

  auto sleep = client_->Start(Shell("exec sleep 1000"), {}, milliseconds(0), Soon());
  ASSERT_TRUE(sleep);
  auto attached = client_->Attach(sleep->pid, Soon());
  ASSERT_TRUE(attached) << attached.error().ToString();
  EXPECT_EQ(attached->pid, sleep->pid);
  auto nothing = attached->stream.Next(Deadline::After(milliseconds(50)));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, Code::kDeadlineExceeded);
  ASSERT_TRUE(client_->SendSignal(sleep->pid, wire::Signal::kKill, Soon()));
  for (ProcessStream* stream : {&sleep->stream, &attached->stream}) {
    const Outcome outcome = Collect(*stream);
    ASSERT_TRUE(outcome.ended);
    EXPECT_EQ(outcome.ended->exit_code, -1);
  }
  EXPECT_EQ(client_->SendSignal(uint32_t{4'000'000}, wire::Signal::kKill, Soon()).error().code,
            Code::kNotFound);
  EXPECT_EQ(client_->Attach(uint32_t{4'000'000}, Soon()).error().code, Code::kNotFound);
}

TEST_P(ClientTest, TerminalsHaveASize) {
  wire::StartRequest request = Shell("read line; stty size; exit 0");
  request.pty = wire::PtySize{100, 30};
  auto started = client_->Start(request, {}, milliseconds(0), Soon());
  ASSERT_TRUE(started);
  ASSERT_TRUE(client_->Resize(started->pid, {120, 40}, Soon()));
  ASSERT_TRUE(client_->SendInput(started->pid, {true, "\n"}, Soon()));
  EXPECT_NE(Collect(started->stream).out.find("40 120"), std::string::npos);
}

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

TEST_P(ClientTest, ManyCallsAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 30; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(Run(Shell(fmt::format("echo {}", i))).out, fmt::format("{}\n", i));
        EXPECT_TRUE(client_->Health(Soon()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(ClientTest, AGuestThatDiesBreaksStreamsAndCalls) {
  auto started = client_->Start(Shell("exec sleep 1000"), {}, milliseconds(0), Soon());
  ASSERT_TRUE(started);
  const pid_t orphan = static_cast<pid_t>(started->pid);
  agent_.Kill();
  auto event = started->stream.Next(Soon());
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, Code::kUnavailable);
  auto health = client_->Health(Soon());
  ASSERT_FALSE(health);
  EXPECT_EQ(health.error().code, Code::kUnavailable);
  ::kill(orphan, SIGKILL);
}

#endif

// --- Against an agent that misbehaves ---

class BadAgent {
 public:
  explicit BadAgent(wire::HttpServer::Handler handler) : server_(std::move(handler)) {
    auto listener = wire::ListenTcp("127.0.0.1", 0).value();
    port_ = wire::LocalPort(listener.get()).value();
    server_.Listen(std::move(listener));
  }
  std::shared_ptr<Channel> channel() const { return MakeTcpChannel("127.0.0.1", port_); }

 private:
  wire::HttpServer server_;
  uint16_t port_ = 0;
};

TEST(BadAgentTest, AnswersThatMakeNoSenseAreInternal) {
  for (const std::string& body :
       {std::string("nonsense"), std::string("[1]"), std::string("{\"entry\":1}"),
        std::string("{}"), std::string(100'000, '[')}) {
    BadAgent agent(
        [&](wire::Exchange& exchange) { (void)exchange.Respond(200, "application/json", body); });
    Client client(agent.channel(), "");
    auto entry = client.Stat("/", {}, Soon());
    ASSERT_FALSE(entry);
    EXPECT_EQ(entry.error().code, Code::kInternal) << body.substr(0, 20);
    EXPECT_FALSE(client.Start({}, {}, milliseconds(0), Soon()));
  }
}

TEST(BadAgentTest, EndlessAnswersAreRefused) {
  BadAgent agent([](wire::Exchange& exchange) {
    auto writer = exchange.StartBody(200, "application/json");
    const std::string chunk(1 << 20, ' ');
    while (writer && (*writer)->Write(chunk, exchange.WriteDeadline())) {
    }
  });
  Client client(agent.channel(), "");
  EXPECT_EQ(client.Stat("/", {}, Soon()).error().code, Code::kInternal);
}

// Many small elements would take many times their length in memory.
TEST(BadAgentTest, ListsAreBounded) {
  std::string body;
  BadAgent agent([&](wire::Exchange& exchange) {
    (void)exchange.body().ReadAll(1 << 20, Soon());
    (void)exchange.Respond(200, "application/json", body);
  });
  Client client(agent.channel(), "");
  const auto list = [&](std::string_view element, size_t count) {
    body = "{\"entries\":[";
    for (size_t i = 0; i < count; ++i) body.append(i ? "," : "").append(element);
    body += "]}";
    return client.ListDir("/", 1, {}, Soon());
  };
  constexpr std::string_view kNamed = R"({"name":"x"})";
  EXPECT_EQ(list(kNamed, kMaxListElements)->size(), kMaxListElements);
  const auto more = list(kNamed, kMaxListElements + 1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Code::kResourceExhausted);
  EXPECT_EQ(more.error().message, "the folder has too many entries: list fewer levels");
  EXPECT_EQ(list("{}", 1).error().code, Code::kInternal);
  EXPECT_EQ(list("1", 1).error().code, Code::kInternal);
  EXPECT_EQ(list("{}", 5'000'000).error().code, Code::kInternal);
  // The text alone is too long.
  const std::string longer = R"({"name":")" + std::string(1 << 20, 'x') + "\"}";
  EXPECT_EQ(list(longer, 17).error().code, Code::kResourceExhausted);
  body = "{\"processes\":[" + longer;
  for (int i = 0; i < 17; ++i) body += "," + longer;
  body += "]}";
  EXPECT_EQ(client.List(Soon()).error().code, Code::kResourceExhausted);
}

TEST(BadAgentTest, StreamsWithoutAnEndAreBroken) {
  BadAgent agent([](wire::Exchange& exchange) {
    (void)exchange.body().ReadAll(1 << 20, Soon());
    auto writer = exchange.StartBody(200, wire::kConnectStreamType);
    const std::string start = wire::FormatEnvelope(0, R"({"event":{"start":{"pid":7}}})");
    if (writer)
      (void)(*writer)->Write(start + wire::FormatEnvelope(0, "{}") + start.substr(0, 9),
                             exchange.WriteDeadline());
    (void)exchange.FinishBody();
  });
  Client client(agent.channel(), "");
  auto started = client.Start({}, {}, milliseconds(0), Soon());
  ASSERT_TRUE(started) << started.error().ToString();
  EXPECT_EQ(started->pid, 7u);
  auto event = started->stream.Next(Soon());
  ASSERT_TRUE(event && *event);
  EXPECT_TRUE(std::holds_alternative<wire::KeepAlive>(**event));
  EXPECT_EQ(started->stream.Next(Soon()).error().code, Code::kUnavailable);
}

// Answers the first request of its first connection and closes it at the second; other connections
// it serves well.
TEST(BadAgentTest, CallsAreRepeatedOnlyWhenThatIsHarmless) {
  for (const bool harmless : {true, false}) {
    std::atomic<int> requests{0};
    BadAgent agent([&](wire::Exchange& exchange) {
      (void)exchange.body().ReadAll(1 << 20, Soon());
      if (++requests == 2) {
        exchange.Upgrade();  // the connection ends with the handler, unanswered
        return;
      }
      (void)exchange.Respond(200, "application/json", "{}");
    });
    Client client(agent.channel(), "");
    ASSERT_TRUE(client.Health(Soon()));
    if (harmless) {
      EXPECT_TRUE(client.Health(Soon()));
      EXPECT_EQ(requests, 3);
    } else {
      auto sent = client.SendInput(uint32_t{1}, {false, "once"}, Soon());
      ASSERT_FALSE(sent);
      EXPECT_EQ(sent.error().code, Code::kUnavailable);
      EXPECT_EQ(requests, 2);
    }
  }
}

TEST(BadAgentTest, ConnectionsAreKept) {
  std::mutex mutex;
  std::vector<int> seen;
  BadAgent agent([&](wire::Exchange& exchange) {
    std::lock_guard lock(mutex);
    seen.push_back(exchange.client_fd());
    (void)exchange.RespondEmpty(204);
  });
  Client client(agent.channel(), "");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client.Health(Soon()));
  EXPECT_EQ(std::count(seen.begin(), seen.end(), seen[0]), 5);
}

}  // namespace
}  // namespace wrenn::agent
