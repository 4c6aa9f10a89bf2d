#include "store/conformance_test.h"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>

#include "base/id.h"

namespace wrenn::store {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Time At(int64_t second) { return Time(seconds(1'700'000'000 + second)); }

SandboxRecord MakeSandbox(const std::string& id, int64_t second = 0) {
  SandboxRecord record;
  record.id = id;
  record.template_name = "base";
  record.template_id = "tp-1";
  record.image = "i1";
  record.kernel = "k1";
  record.disk_backend = "qcow2";
  record.created_at = At(second);
  return record;
}

EventRecord MakeEvent(const std::string& sandbox, const std::string& kind = "create") {
  EventRecord event;
  event.sandbox_id = sandbox;
  event.time = At(1);
  event.kind = kind;
  event.phase = "intent";
  event.message = "because";
  event.details = {{"total_ms", 12}};
  return event;
}

TemplateRecord MakeTemplate(const std::string& id, const std::string& name) {
  TemplateRecord record;
  record.id = id;
  record.name = name;
  record.image = "i-" + id;
  record.created_at = At(0);
  return record;
}

template <typename Records>
std::vector<std::string> Ids(const Result<Records>& records) {
  std::vector<std::string> ids;
  if (!records) return {"error: " + records.error().ToString()};
  for (const auto& record : *records) ids.push_back(record.id);
  return ids;
}

template <typename T>
Code CodeOf(const Result<T>& result) {
  return result ? Code::kUnknown : result.error().code;
}

TEST_P(StoreConformanceTest, ASandboxComesBackAsItWentIn) {
  SandboxRecord in = MakeSandbox("sb-a");
  in.tenant = "tenant";
  in.state = SandboxState::kRunning;
  in.reason = "a \"reason\"\nwith 'quotes' and ünïcode";
  in.vcpus = 3;
  in.memory_mb = 1024;
  in.disk_mb = 4096;
  in.disk = {{"layers", {"b", "a"}}};
  in.snapshot = "sn-1";
  in.origin = "fork of sb-0";
  in.timeout_sec = 0;
  in.on_timeout = "stop";
  in.auto_resume = true;
  in.egress = true;
  in.network = {{"allow_out", {"1.1.1.1"}}, {"upload_kbps", 1000}};
  in.envs = {{"A", "1"}, {"EMPTY", ""}};
  in.metadata = {{"k", "v"}};
  in.agent_token = "secret";
  in.engine = "qemu/tcg";
  in.machine = {{"pid", 12}, {"nested", {{"x", "y"}}}};
  in.created_at = At(5) + microseconds(123456);
  in.started_at = At(6);
  in.last_active_at = At(7) + microseconds(1);
  ASSERT_TRUE(store_->AddSandbox(in, MakeEvent("sb-a")));
  EXPECT_EQ(in.version, 1);

  const auto out = store_->GetSandbox("sb-a");
  ASSERT_TRUE(out) << out.error().ToString();
  EXPECT_EQ(out->tenant, "tenant");
  EXPECT_EQ(out->version, 1);
  EXPECT_EQ(out->state, SandboxState::kRunning);
  EXPECT_EQ(out->reason, in.reason);
  EXPECT_EQ(out->template_name, "base");
  EXPECT_EQ(out->template_id, "tp-1");
  EXPECT_EQ(out->image, "i1");
  EXPECT_EQ(out->kernel, "k1");
  EXPECT_EQ(out->disk_backend, "qcow2");
  EXPECT_EQ(out->vcpus, 3);
  EXPECT_EQ(out->memory_mb, 1024);
  EXPECT_EQ(out->disk_mb, 4096);
  EXPECT_EQ(out->disk, in.disk);
  EXPECT_EQ(out->snapshot, "sn-1");
  EXPECT_EQ(out->origin, "fork of sb-0");
  EXPECT_EQ(out->timeout_sec, 0);
  EXPECT_EQ(out->on_timeout, "stop");
  EXPECT_TRUE(out->auto_resume);
  EXPECT_TRUE(out->egress);
  EXPECT_EQ(out->network, in.network);
  EXPECT_EQ(out->envs, in.envs);
  EXPECT_EQ(out->metadata, in.metadata);
  EXPECT_EQ(out->agent_token, "secret");
  EXPECT_EQ(out->engine, "qemu/tcg");
  EXPECT_EQ(out->machine, in.machine);
  EXPECT_EQ(out->created_at, in.created_at);
  EXPECT_EQ(out->started_at, in.started_at);
  EXPECT_EQ(out->ended_at, std::nullopt);
  EXPECT_EQ(out->last_active_at, in.last_active_at);
  EXPECT_GT(out->updated_at, At(0));
}

TEST_P(StoreConformanceTest, AddingTwiceIsRefusedAndChangesNothing) {
  SandboxRecord first = MakeSandbox("sb-a");
  ASSERT_TRUE(store_->AddSandbox(first, MakeEvent("sb-a")));
  SandboxRecord second = MakeSandbox("sb-a");
  second.template_name = "other";
  EXPECT_EQ(CodeOf(store_->AddSandbox(second, MakeEvent("sb-a"))), Code::kAlreadyExists);
  EXPECT_EQ(second.version, 0);
  EXPECT_EQ(store_->GetSandbox("sb-a")->template_name, "base");
  EXPECT_EQ(store_->ListEvents("sb-a", 10)->size(), 1u);
}

TEST_P(StoreConformanceTest, RecordAndJournalLineGoTogether) {
  // The event names a sandbox that does not exist, so neither may be stored.
  SandboxRecord record = MakeSandbox("sb-a");
  EXPECT_EQ(CodeOf(store_->AddSandbox(record, MakeEvent("sb-b"))), Code::kNotFound);
  EXPECT_EQ(CodeOf(store_->GetSandbox("sb-a")), Code::kNotFound);

  ASSERT_TRUE(store_->AddSandbox(record, MakeEvent("sb-a")));
  record.reason = "changed";
  const EventRecord stray = MakeEvent("sb-b");
  EXPECT_EQ(CodeOf(store_->UpdateSandbox(record, &stray)), Code::kNotFound);
  EXPECT_EQ(record.version, 1);
  EXPECT_EQ(store_->GetSandbox("sb-a")->reason, "");
}

TEST_P(StoreConformanceTest, AnUpdateNeedsTheVersionThatItRead) {
  SandboxRecord record = MakeSandbox("sb-a");
  ASSERT_TRUE(store_->AddSandbox(record, MakeEvent("sb-a")));
  SandboxRecord stale = record;

  record.state = SandboxState::kRunning;
  record.started_at = At(9);
  const EventRecord event = MakeEvent("sb-a", "start");
  ASSERT_TRUE(store_->UpdateSandbox(record, &event));
  EXPECT_EQ(record.version, 2);
  EXPECT_EQ(store_->GetSandbox("sb-a")->state, SandboxState::kRunning);

  stale.state = SandboxState::kError;
  EXPECT_EQ(CodeOf(store_->UpdateSandbox(stale, &event)), Code::kAborted);
  EXPECT_EQ(stale.version, 1);
  const auto out = store_->GetSandbox("sb-a");
  EXPECT_EQ(out->state, SandboxState::kRunning);
  EXPECT_EQ(out->version, 2);
  EXPECT_EQ(store_->ListEvents("sb-a", 10)->size(), 2u);

  SandboxRecord unknown = MakeSandbox("sb-x");
  EXPECT_EQ(CodeOf(store_->UpdateSandbox(unknown, nullptr)), Code::kNotFound);
}

TEST_P(StoreConformanceTest, WhatIsDurableSoonIsThereAtOnce) {
  SandboxRecord record = MakeSandbox("sb-a");
  ASSERT_TRUE(store_->AddSandbox(record, MakeEvent("sb-a")));
  record.state = SandboxState::kRunning;
  const EventRecord event = MakeEvent("sb-a", "start");
  ASSERT_TRUE(store_->UpdateSandbox(record, &event, Durable::kSoon));
  const auto other = database_->Open();
  ASSERT_TRUE(other);
  EXPECT_EQ(other->GetSandbox("sb-a")->state, SandboxState::kRunning);
  EXPECT_EQ(other->ListEvents("sb-a", 10)->size(), 2u);
  EXPECT_TRUE(store_->Sync());
}

TEST_P(StoreConformanceTest, ATouchIsNotAChange) {
  SandboxRecord record = MakeSandbox("sb-a");
  ASSERT_TRUE(store_->AddSandbox(record, MakeEvent("sb-a")));
  ASSERT_TRUE(store_->TouchSandboxes({{"sb-gone", At(3)}, {"sb-a", At(4)}}));
  ASSERT_TRUE(store_->TouchSandboxes({}));
  const auto out = store_->GetSandbox("sb-a");
  EXPECT_EQ(out->last_active_at, At(4));
  EXPECT_EQ(out->version, 1);
}

TEST_P(StoreConformanceTest, ListsAreByTenantAndOldestFirst) {
  for (const auto& [id, second] : {std::pair("sb-c", 3), {"sb-a", 1}, {"sb-b", 2}}) {
    SandboxRecord record = MakeSandbox(id, second);
    record.tenant = id == std::string("sb-a") ? "other" : "default";
    ASSERT_TRUE(store_->AddSandbox(record, MakeEvent(id)));
  }
  EXPECT_THAT(Ids(store_->ListSandboxes("default")), ElementsAre("sb-b", "sb-c"));
  EXPECT_THAT(Ids(store_->ListSandboxes("other")), ElementsAre("sb-a"));
  EXPECT_THAT(Ids(store_->ListSandboxes("' OR 1=1 --")), IsEmpty());
  EXPECT_THAT(Ids(store_->ListAllSandboxes()), ElementsAre("sb-a", "sb-b", "sb-c"));
}

TEST_P(StoreConformanceTest, EndedOnesAreFoundByTheirEnd) {
  const auto add = [&](const std::string& id, SandboxState state, std::optional<Time> ended) {
    SandboxRecord record = MakeSandbox(id);
    record.state = state;
    record.ended_at = ended;
    ASSERT_TRUE(store_->AddSandbox(record, MakeEvent(id)));
  };
  add("sb-new", SandboxState::kStopped, At(100));
  add("sb-old", SandboxState::kError, At(20));
  add("sb-older", SandboxState::kStopped, At(10));
  add("sb-running", SandboxState::kRunning, std::nullopt);
  EXPECT_THAT(Ids(store_->ListEndedSandboxes(At(100), 10)), ElementsAre("sb-older", "sb-old"));
  EXPECT_THAT(Ids(store_->ListEndedSandboxes(At(100), 1)), ElementsAre("sb-older"));
  EXPECT_THAT(Ids(store_->ListEndedSandboxes(At(5), 10)), IsEmpty());
}

TEST_P(StoreConformanceTest, TheJournalKeepsItsOrderAndGoesWithTheSandbox) {
  SandboxRecord record = MakeSandbox("sb-a");
  ASSERT_TRUE(store_->AddSandbox(record, MakeEvent("sb-a", "one")));
  ASSERT_TRUE(store_->AddEvent(MakeEvent("sb-a", "two")));
  ASSERT_TRUE(store_->AddEvent(MakeEvent("sb-a", "three")));
  EXPECT_EQ(CodeOf(store_->AddEvent(MakeEvent("sb-x", "stray"))), Code::kNotFound);

  const auto last = store_->ListEvents("sb-a", 2);
  ASSERT_TRUE(last);
  ASSERT_EQ(last->size(), 2u);
  EXPECT_EQ((*last)[0].kind, "two");
  EXPECT_EQ((*last)[1].kind, "three");
  EXPECT_LT((*last)[0].sequence, (*last)[1].sequence);
  EXPECT_EQ((*last)[1].phase, "intent");
  EXPECT_EQ((*last)[1].message, "because");
  EXPECT_EQ((*last)[1].time, At(1));
  EXPECT_EQ((*last)[1].details.at("total_ms").as_int64(), 12);

  ASSERT_TRUE(store_->RemoveSandbox("sb-a"));
  EXPECT_TRUE(store_->ListEvents("sb-a", 10)->empty());
  EXPECT_EQ(CodeOf(store_->GetSandbox("sb-a")), Code::kNotFound);
  EXPECT_EQ(CodeOf(store_->RemoveSandbox("sb-a")), Code::kNotFound);
}

TEST_P(StoreConformanceTest, ATemplateIsReplacedInOneStep) {
  TemplateRecord first = MakeTemplate("tp-1", "base");
  first.recipe = "r1";
  first.snapshot = "sn-1";
  first.description = "the first";
  first.vcpus = 2;
  first.memory_mb = 256;
  first.size_bytes = uint64_t{5} << 32;
  ASSERT_TRUE(store_->PutTemplate(first, false));
  EXPECT_EQ(first.version, 1);
  auto out = store_->FindTemplate("default", "base");
  ASSERT_TRUE(out);
  EXPECT_EQ(out->id, "tp-1");
  EXPECT_EQ(out->type, "base");
  EXPECT_EQ(out->image, "i-tp-1");
  EXPECT_EQ(out->recipe, "r1");
  EXPECT_EQ(out->snapshot, "sn-1");
  EXPECT_EQ(out->description, "the first");
  EXPECT_EQ(out->vcpus, 2);
  EXPECT_EQ(out->memory_mb, 256);
  EXPECT_EQ(out->size_bytes, uint64_t{5} << 32);
  EXPECT_EQ(out->created_at, At(0));

  TemplateRecord second = MakeTemplate("tp-2", "base");
  EXPECT_EQ(CodeOf(store_->PutTemplate(second, false)), Code::kAlreadyExists);
  EXPECT_EQ(store_->FindTemplate("default", "base")->id, "tp-1");
  ASSERT_TRUE(store_->PutTemplate(second, true));
  EXPECT_EQ(second.version, 2);
  EXPECT_EQ(store_->FindTemplate("default", "base")->id, "tp-2");
  EXPECT_THAT(Ids(store_->ListTemplates("default")), ElementsAre("tp-2"));

  TemplateRecord foreign = MakeTemplate("tp-3", "base");
  foreign.tenant = "other";
  EXPECT_TRUE(store_->PutTemplate(foreign, false));
  EXPECT_THAT(Ids(store_->ListTemplates("default")), ElementsAre("tp-2"));
  EXPECT_THAT(Ids(store_->ListAllTemplates()), testing::UnorderedElementsAre("tp-2", "tp-3"));

  ASSERT_TRUE(store_->RemoveTemplate("default", "base"));
  EXPECT_EQ(CodeOf(store_->RemoveTemplate("default", "base")), Code::kNotFound);
  EXPECT_EQ(CodeOf(store_->FindTemplate("default", "base")), Code::kNotFound);
  EXPECT_TRUE(store_->FindTemplate("other", "base"));
}

TEST_P(StoreConformanceTest, Keys) {
  KeyRecord key;
  key.id = "ky-1";
  key.name = "first";
  key.hash = "aa";
  key.hint = "wr_12";
  key.created_at = At(1);
  ASSERT_TRUE(store_->AddKey(key));
  KeyRecord same_hash = key;
  same_hash.id = "ky-2";
  EXPECT_EQ(CodeOf(store_->AddKey(same_hash)), Code::kAlreadyExists);

  auto out = store_->FindKey("aa");
  ASSERT_TRUE(out);
  EXPECT_EQ(out->id, "ky-1");
  EXPECT_EQ(out->tenant, "default");
  EXPECT_EQ(out->name, "first");
  EXPECT_EQ(out->hint, "wr_12");
  EXPECT_EQ(out->created_at, At(1));
  EXPECT_EQ(out->last_used_at, std::nullopt);
  EXPECT_EQ(CodeOf(store_->FindKey("AA")), Code::kNotFound);

  ASSERT_TRUE(store_->TouchKey("ky-1", At(2)));
  EXPECT_EQ(store_->FindKey("aa")->last_used_at, At(2));
  EXPECT_EQ(CodeOf(store_->TouchKey("ky-9", At(2))), Code::kNotFound);
  EXPECT_THAT(Ids(store_->ListKeys("default")), ElementsAre("ky-1"));
  EXPECT_THAT(Ids(store_->ListKeys("other")), IsEmpty());
  ASSERT_TRUE(store_->RemoveKey("ky-1"));
  EXPECT_EQ(CodeOf(store_->RemoveKey("ky-1")), Code::kNotFound);
  EXPECT_EQ(CodeOf(store_->FindKey("aa")), Code::kNotFound);
}

TEST_P(StoreConformanceTest, AnotherConnectionSeesWhatWasStored) {
  auto other = database_->Open();
  SandboxRecord record = MakeSandbox("sb-a");
  ASSERT_TRUE(store_->AddSandbox(record, MakeEvent("sb-a")));
  auto seen = other->GetSandbox("sb-a");
  ASSERT_TRUE(seen) << seen.error().ToString();
  seen->reason = "by the other";
  ASSERT_TRUE(other->UpdateSandbox(*seen, nullptr));
  EXPECT_EQ(CodeOf(store_->UpdateSandbox(record, nullptr)), Code::kAborted);

  store_.reset();
  other.reset();
  EXPECT_EQ(database_->Open()->GetSandbox("sb-a")->reason, "by the other");
}

TEST_P(StoreConformanceTest, OfManyWritersOfOneVersionOneWins) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 20;
  SandboxRecord record = MakeSandbox("sb-a");
  ASSERT_TRUE(store_->AddSandbox(record, MakeEvent("sb-a")));
  auto second = database_->Open();
  std::atomic<int> won = 0;
  std::atomic<int> strange = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, mine = i % 2 ? store_.get() : second.get()] {
      for (int round = 0; round < kRounds; ++round) {
        auto read = mine->GetSandbox("sb-a");
        const EventRecord event = MakeEvent("sb-a", "race");
        if (!read) {
          ++strange;
        } else if (auto updated = mine->UpdateSandbox(*read, &event); updated) {
          ++won;
        } else if (updated.error().code != Code::kAborted) {
          ++strange;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(strange, 0);
  EXPECT_GE(won, kRounds);
  EXPECT_EQ(store_->GetSandbox("sb-a")->version, 1 + won);
  EXPECT_EQ(store_->ListEvents("sb-a", 1000)->size(), static_cast<size_t>(1 + won));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreConformanceTest);

}  // namespace
}  // namespace wrenn::store
