#include "sandbox/plan.h"

#include <gmock/gmock.h>

#include "base/encoding.h"
#include "base/id.h"
#include "os/files.h"
#include "sandbox/admission.h"
#include "sandbox/state.h"
#include "sandbox/text.h"

namespace wrenn::sandbox {
namespace {

using store::SandboxState;

template_::Resolved Template() {
  template_::Resolved from;
  from.record.id = "tp-1";
  from.record.name = "base";
  from.record.image = "image";
  from.record.kernel = "kernel";
  from.record.vcpus = 2;
  from.record.memory_mb = 256;
  from.image_bytes = (10 << 20) + 1;
  return from;
}

Limits SomeLimits() {
  Limits limits;
  limits.max_memory_mb = 1024;
  limits.max_sandbox_vcpus = 4;
  limits.max_sandbox_disk_mb = 100;
  return limits;
}

TEST(PlanTest, TakesDefaultsFromTheTemplate) {
  CreateRequest request;
  request.envs = {{"A_1", "x"}};
  request.metadata = {{"any key", "y"}};
  const auto plan = MakePlan("tenant", request, Template(), SomeLimits());
  ASSERT_TRUE(plan) << plan.error().ToString();
  EXPECT_TRUE(IsId("sb", plan->id));
  EXPECT_EQ(plan->tenant, "tenant");
  EXPECT_EQ(plan->state, SandboxState::kStarting);
  EXPECT_EQ(plan->vcpus, 2);
  EXPECT_EQ(plan->memory_mb, 256);
  EXPECT_EQ(plan->disk_mb, 11);
  EXPECT_EQ(plan->template_id, "tp-1");
  EXPECT_EQ(plan->image, "image");
  EXPECT_EQ(plan->agent_token.size(), 64u);
  EXPECT_NE(plan->agent_token, MakePlan("tenant", request, Template(), SomeLimits())->agent_token);
}

TEST(PlanTest, AnAllowListNeedsANetworkAndIsNotTheInternet) {
  CreateRequest request;
  EXPECT_FALSE(MakePlan("tenant", request, Template(), SomeLimits())->egress);
  request.network.allow_out = {"1.1.1.1"};
  const auto plan = MakePlan("tenant", request, Template(), SomeLimits());
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->egress);
  EXPECT_EQ(NetworkOf(*plan)->allow_internet_access, false);
  request.network.allow_internet_access = true;
  EXPECT_EQ(
      NetworkOf(*MakePlan("tenant", request, Template(), SomeLimits()))->allow_internet_access,
      true);
}

TEST(PlanTest, RefusesWhatIsOutOfRangeNamingTheField) {
  struct Case {
    std::string field;
    std::function<void(CreateRequest&)> change;
  };
  const Case cases[] = {
      {"vcpus", [](auto& r) { r.vcpus = 0; }},
      {"vcpus", [](auto& r) { r.vcpus = -1; }},
      {"vcpus", [](auto& r) { r.vcpus = 5; }},
      {"memory_mb", [](auto& r) { r.memory_mb = 63; }},
      {"memory_mb", [](auto& r) { r.memory_mb = -512; }},
      {"memory_mb", [](auto& r) { r.memory_mb = 1025; }},
      {"disk_mb", [](auto& r) { r.disk_mb = 10; }},
      {"disk_mb", [](auto& r) { r.disk_mb = 101; }},
      {"timeout_sec", [](auto& r) { r.timeout_sec = -1; }},
      {"timeout_sec", [](auto& r) { r.timeout_sec = kMaxTimeoutSec + 1; }},
      {"envs", [](auto& r) { r.envs["1A"] = "x"; }},
      {"envs", [](auto& r) { r.envs[""] = "x"; }},
      {"envs", [](auto& r) { r.envs["A=B"] = "x"; }},
      {"envs", [](auto& r) { r.envs["A"] = std::string("x\0y", 3); }},
      {"envs", [](auto& r) { r.envs["A"] = std::string(70'000, 'x'); }},
      {"metadata", [](auto& r) { r.metadata["A"] = std::string(70'000, 'x'); }},
  };
  for (const Case& one : cases) {
    CreateRequest request;
    one.change(request);
    const auto plan = MakePlan("tenant", request, Template(), SomeLimits());
    ASSERT_FALSE(plan) << one.field;
    EXPECT_EQ(plan.error().code, Code::kInvalidArgument);
    EXPECT_TRUE(plan.error().message.starts_with(one.field)) << plan.error().message;
  }
}

TEST(AdmissionTest, ReservesUpToTheLimitAndTakesBack) {
  Limits limits;
  limits.max_sandboxes = 3;
  limits.max_memory_mb = 1000;
  limits.max_vcpus = 4;
  limits.max_disk_mb = 100;
  Admission admission(limits, "/");
  auto first = admission.Reserve({1, 2, 600, 50});
  ASSERT_TRUE(first);
  EXPECT_EQ(admission.Reserve({1, 1, 500, 10}).error().code, Code::kResourceExhausted);
  EXPECT_EQ(admission.Reserve({1, 3, 100, 10}).error().code, Code::kResourceExhausted);
  EXPECT_EQ(admission.Reserve({1, 1, 100, 60}).error().code, Code::kResourceExhausted);
  EXPECT_EQ(admission.used().sandboxes, 1);
  {
    auto second = admission.Reserve({1, 2, 400, 50});
    ASSERT_TRUE(second);
    const Reservation moved = std::move(*second);
    EXPECT_EQ(admission.used().memory_mb, 1000);
  }
  EXPECT_EQ(admission.used().memory_mb, 600);
  // What runs already is counted whatever the limit.
  const Reservation adopted = admission.Take({1, 8, 2000, 0});
  EXPECT_EQ(admission.used().vcpus, 10);
  EXPECT_EQ(admission.Reserve({1, 1, 1, 1}).error().code, Code::kResourceExhausted);
  first->Release();
  first->Release();
  EXPECT_EQ(admission.used().vcpus, 8);
}

TEST(AdmissionTest, SpareMemoryIsAQuarterAndDoesNotCountAgainstItsOwner) {
  Limits limits;
  limits.max_sandboxes = 2;
  limits.max_memory_mb = 1000;
  Admission admission(limits, "/");
  EXPECT_EQ(admission.FreeSpareMb(), 250);
  auto first = admission.Reserve({1, 1, 200, 10});
  ASSERT_TRUE(first);
  const Amount standing{.memory_mb = 200, .spare_mb = 200};
  ASSERT_TRUE(admission.Change(*first, standing));
  EXPECT_EQ(admission.used().sandboxes, 0);
  EXPECT_EQ(admission.used().disk_mb, 0);
  EXPECT_EQ(admission.FreeSpareMb(), 50);
  EXPECT_EQ(admission.FreeSpareMb(*first), 250);
  EXPECT_EQ(admission.Reserve(standing).error().code, Code::kResourceExhausted);
  EXPECT_EQ(admission.used().memory_mb, 200);
  // All the other memory is taken, and more is wanted.
  const auto others = admission.Reserve({1, 1, 800, 0});
  ASSERT_TRUE(others);
  Reservation none;
  EXPECT_FALSE(admission.Change(none, {1, 1, 200, 0}));
  EXPECT_TRUE(admission.FitsWithoutSpare(none, {1, 1, 200, 0}));
  EXPECT_FALSE(admission.FitsWithoutSpare(none, {1, 1, 201, 0}));
  EXPECT_FALSE(admission.FitsWithoutSpare(none, {2, 1, 200, 0}));
  // Its own is there for it; a change that fails changes nothing.
  EXPECT_FALSE(admission.Change(*first, {2, 1, 200, 10}));
  EXPECT_EQ(admission.used().spare_mb, 200);
  ASSERT_TRUE(admission.Change(*first, {1, 1, 200, 10}));
  EXPECT_EQ(admission.used().spare_mb, 0);
  EXPECT_EQ(admission.used().memory_mb, 1000);
  first->Release();
  EXPECT_EQ(admission.used().memory_mb, 800);
}

TEST(AdmissionTest, KeepsSomeDiskFree) {
  Limits limits;
  limits.min_free_disk_mb = int64_t{1} << 40;
  Admission admission(limits, "/");
  const auto refused = admission.Reserve({1, 1, 1, 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("nearly full"), std::string::npos);
}

TEST(LimitsTest, TheHostsOwnAreSensible) {
  const Limits limits = DefaultLimits();
  EXPECT_GT(limits.max_memory_mb, 100);
  EXPECT_GE(limits.max_vcpus, 8);
  EXPECT_GE(limits.max_parallel_starts, 2);
  EXPECT_GE(limits.max_sandbox_vcpus, 2);
}

TEST(LimitsTest, DisksMayBeWhatTheHostHasRoomFor) {
  auto root = os::TemporaryDirectory::Make();
  ASSERT_TRUE(root);
  const os::Paths paths{.root = root->path(), .runtime = root->path() + "/run"};
  ASSERT_TRUE(paths.Prepare());
  Limits limits = DefaultLimits();
  ASSERT_TRUE(MeasureDisk(paths, limits));
  const auto free_mb = static_cast<int64_t>(*os::FreeDiskBytes(paths.root) >> 20);
  EXPECT_NEAR(limits.max_disk_mb, std::max<int64_t>(1, free_mb - limits.min_free_disk_mb), 1024);
  limits.max_disk_mb = kWhatFits;
  limits.min_free_disk_mb = int64_t{1} << 40;
  ASSERT_TRUE(MeasureDisk(paths, limits));
  EXPECT_EQ(limits.max_disk_mb, 1);
  limits.max_disk_mb = 0;  // chosen
  ASSERT_TRUE(MeasureDisk(paths, limits));
  EXPECT_EQ(limits.max_disk_mb, 0);
}

TEST(StateTest, NothingFollowsAnEndButAnotherTryToEnd) {
  const SandboxState all[] = {SandboxState::kStarting, SandboxState::kRunning,
                              SandboxState::kStopping, SandboxState::kStopped,
                              SandboxState::kError};
  for (const SandboxState to : all) {
    EXPECT_FALSE(MayFollow(SandboxState::kStopped, to));
    EXPECT_EQ(MayFollow(SandboxState::kError, to), to == SandboxState::kStopping);
    EXPECT_FALSE(MayFollow(to, SandboxState::kStarting));
  }
  EXPECT_TRUE(MayFollow(SandboxState::kStarting, SandboxState::kRunning));
  EXPECT_FALSE(MayFollow(SandboxState::kStopping, SandboxState::kRunning));
  EXPECT_EQ(CheckTransition("sb-x", SandboxState::kStopped, SandboxState::kRunning).error().code,
            Code::kInternal);
}

TEST(TextTest, AnythingBecomesPlainUtf8) {
  EXPECT_EQ(CleanTail("a\r\n\tb\x1b[0m\x7f", 100), "a\n\tb?[0m?");
  EXPECT_EQ(CleanTail("gr\xc3\xbc\xc3\x9f", 100), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(CleanTail("gr\xc3\xbc", 1), "");  // the cut is in a character
  EXPECT_EQ(CleanTail("bad\xff", 100), "bad?");
  EXPECT_EQ(CleanTail("0123456789", 4), "6789");
  EXPECT_TRUE(IsUtf8(CleanTail("\xc3\xbc\xff\xfe\x80", 100)));
}

TEST(TextTest, PathsOfTheHostAreCutToTheirLastName) {
  const os::Paths paths{"/srv/my wrenn", "/run/wrenn"};
  EXPECT_EQ(HidePaths("cannot make '/srv/my wrenn/sandboxes/sb-1/disk-a.qcow2': no space", paths),
            "cannot make 'disk-a.qcow2': no space");
  EXPECT_EQ(HidePaths("/run/wrenn/sb/1/qmp: gone; /run/wrenn/sb/1/agent.0, /run/wrenn", paths),
            "qmp: gone; agent.0, wrenn");
  // A guest's files are its user's own.
  for (const char* text : {"", "no '/run/wrennish'", "no '/mnt/run/wrenn/x'", "no '/home/user'"}) {
    EXPECT_EQ(HidePaths(text, paths), text);
  }
  EXPECT_EQ(HidePaths("cannot open '/x/y'", {"/", ""}), "cannot open '/x/y'");
}

TEST(PlanTest, WhatTheEngineCannotDoIsRefusedOrLeftOut) {
  vmm::EngineInfo engine;
  engine.snapshots = false;
  engine.snapshots_explanation = "no snapshots yet";
  CreateRequest request;
  EXPECT_TRUE(FitToEngine(engine, true, request));
  EXPECT_EQ(request.on_timeout, "stop");
  request.on_timeout = "pause";
  const Status refused = FitToEngine(engine, true, request);
  EXPECT_EQ(refused.error().code, Code::kUnimplemented);
  EXPECT_EQ(refused.error().message, "no snapshots yet");
}

TEST(PlanTest, ANetworkThatTheHostCannotGiveIsRefused) {
  vmm::EngineInfo engine;
  engine.user_network_explanation = "passt is missing";
  CreateRequest request;
  EXPECT_TRUE(FitToEngine(engine, false, request));
  EXPECT_FALSE(request.on_timeout);
  request.network.allow_internet_access = true;
  const Status no_network = FitToEngine(engine, false, request);
  EXPECT_EQ(no_network.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(no_network.error().message, testing::HasSubstr("passt is missing"));
  EXPECT_TRUE(FitToEngine(engine, true, request));

  engine.user_network = true;
  EXPECT_TRUE(FitToEngine(engine, false, request));
  request.network.deny_out = {"1.1.1.1"};
  const Status no_slot = FitToEngine(engine, false, request);
  EXPECT_EQ(no_slot.error().code, Code::kFailedPrecondition);
  EXPECT_THAT(no_slot.error().message, testing::HasSubstr("need a network slot"));
  EXPECT_TRUE(FitToEngine(engine, true, request));

  // A snapshot's machine that has a network whose policy was closed later.
  CreateRequest closed;
  closed.has_network = true;
  closed.network.allow_internet_access = false;
  EXPECT_EQ(FitToEngine(engine, false, closed).error().code, Code::kFailedPrecondition);
  EXPECT_TRUE(FitToEngine(engine, true, closed));
}

}  // namespace
}  // namespace wrenn::sandbox
