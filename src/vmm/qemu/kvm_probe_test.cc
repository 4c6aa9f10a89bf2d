#include "vmm/qemu/kvm_probe.h"

#include <gtest/gtest.h>

#include "base/io.h"
#include "os/files.h"
#include "vmm/qemu/engine.h"

namespace wrenn::vmm {
namespace {

TEST(KvmProbeTest, AlwaysExplainsItself) {
  const KvmVerdict verdict = ProbeKvmDevice();
  EXPECT_FALSE(verdict.explanation.empty());
  if (!os::Exists("/dev/kvm")) {
    EXPECT_FALSE(verdict.usable);
    EXPECT_NE(verdict.explanation.find("kvm_intel"), std::string::npos);
  }
}

TEST(KvmProbeTest, AnswersAreKeptForTheirKeyOnly) {
  auto dir = os::TemporaryDirectory::Make();
  const std::string path = dir->path() + "/verdict.json";
  const std::string key = KvmProbeKey("7.2.22");
  EXPECT_NE(key, KvmProbeKey("8.0.0"));
  EXPECT_EQ(LoadKvmVerdict(path, key).error().code, Code::kNotFound);
  ASSERT_TRUE(SaveKvmVerdict(path, key, {false, "because"}));
  auto kept = LoadKvmVerdict(path, key);
  ASSERT_TRUE(kept);
  EXPECT_FALSE(kept->usable);
  EXPECT_EQ(kept->explanation, "because");
  EXPECT_EQ(LoadKvmVerdict(path, KvmProbeKey("8.0.0")).error().code, Code::kNotFound);
  ASSERT_TRUE(WriteFileAtomically(path, "{\"key\": 3"));
  EXPECT_FALSE(LoadKvmVerdict(path, key));
}

TEST(KvmProbeTest, WhatFailsForOtherReasonsIsNoAnswer) {
  HostFacts facts;
  const auto verdict =
      ProbeKvmGuest(facts, "/k", "/i", "/nowhere", Deadline::After(std::chrono::seconds(5)));
  ASSERT_FALSE(verdict);
  facts.binary = "/bin/false";  // ends at once, without a word of KVM
  const auto folder = os::TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  EXPECT_FALSE(
      ProbeKvmGuest(facts, "/k", "/i", folder->path(), Deadline::After(std::chrono::seconds(20))));
  EXPECT_TRUE(os::ListDirectory(folder->path())->empty());
}

TEST(KvmProbeTest, ARefusalIsAnAnswer) {
  const auto folder = os::TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  const std::string program = folder->path() + "/qemu";
  ASSERT_TRUE(WriteFileAtomically(
      program, "#!/bin/sh\necho 'qemu: failed to initialize KVM: No such device' >&2; exit 1\n",
      0755));
  HostFacts facts;
  facts.binary = program;
  const auto verdict =
      ProbeKvmGuest(facts, "/k", "/i", folder->path(), Deadline::After(std::chrono::seconds(20)));
  ASSERT_TRUE(verdict) << verdict.error().ToString();
  EXPECT_FALSE(verdict->usable);
  EXPECT_NE(verdict->explanation.find("failed to initialize KVM"), std::string::npos);
}

TEST(KvmProbeTest, OldProbesAreRemovedAndNothingElse) {
  const auto folder = os::TemporaryDirectory::Make();
  ASSERT_TRUE(folder);
  for (const char* name : {"/kvm.AbCdEf", "/kvm", "/sb"}) {
    ASSERT_TRUE(os::MakeDirectory(folder->path() + name));
  }
  RemoveOldProbes(folder->path());
  EXPECT_EQ(*os::ListDirectory(folder->path()), (std::vector<std::string>{"kvm", "sb"}));
}

}  // namespace
}  // namespace wrenn::vmm
