// The client and processes in a guest.
#include "agent/client_fixture.h"

namespace wrenn::agent {
namespace {

using std::chrono::milliseconds;

#ifdef WRENN_INIT_PROGRAM

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

#endif

}  // namespace
}  // namespace wrenn::agent
