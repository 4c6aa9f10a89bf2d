#include "vmm/qemu/kvm_probe.h"

#include <gtest/gtest.h>

#include "base/io.h"
#include "os/files.h"

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

}  // namespace
}  // namespace wrenn::vmm
