// The record that a later server adopts a machine by.
#include <gtest/gtest.h>

#include "vmm/qemu/machine.h"

namespace wrenn::vmm {
namespace {

json::object Record(const char* text) { return *ParseJsonObject(text); }

TEST(QemuRecordTest, ReadsWhatIsWritten) {
  auto record = ParseRecord(Record(
      R"({"engine": "qemu", "pid": 12, "start_time": 3000000000, "boot_id": "b", "acceleration": "kvm",
          "helpers": [{"pid": 13, "start_time": 1}, {"pid": 14, "start_time": 2}], "later": true})"));
  ASSERT_TRUE(record) << record.error().ToString();
  EXPECT_EQ(record->vmm.pid, 12);
  EXPECT_EQ(record->vmm.start_time, 3000000000u);
  EXPECT_TRUE(record->kvm);
  ASSERT_EQ(record->helpers.size(), 2u);
  EXPECT_EQ(record->helpers[1].pid, 14);
}

TEST(QemuRecordTest, RefusesBrokenOnes) {
  for (const char* text :
       {R"({})", R"({"engine": "firecracker", "pid": 12, "start_time": 1, "boot_id": "b"})",
        R"({"engine": "qemu", "start_time": 1, "boot_id": "b"})",
        R"({"engine": "qemu", "pid": 0, "start_time": 1, "boot_id": "b"})",
        R"({"engine": "qemu", "pid": -7, "start_time": 1, "boot_id": "b"})",
        R"({"engine": "qemu", "pid": 12, "start_time": -1, "boot_id": "b"})",
        R"({"engine": "qemu", "pid": 12, "start_time": 1})",
        R"({"engine": "qemu", "pid": 12, "start_time": 1, "boot_id": "b", "helpers": [{}]})"}) {
    EXPECT_FALSE(ParseRecord(Record(text))) << text;
  }
}

}  // namespace
}  // namespace wrenn::vmm
