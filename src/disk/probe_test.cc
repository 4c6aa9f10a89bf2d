#include "disk/probe.h"

#include <gtest/gtest.h>

#include <array>

#include "disk/backend.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

TEST(ProbeTest, EachHasABackendAndAReason) {
  auto dir = os::TemporaryDirectory::Make();
  const auto probes = ProbeBackends(dir->path());
  EXPECT_EQ(probes.size(), 4u);
  for (const BackendProbe& probe : probes) {
    EXPECT_STREQ((*MakeBackend(probe.name))->name(), probe.name.c_str());
    EXPECT_FALSE(probe.explanation.empty());
    EXPECT_EQ(probe.explanation.find(dir->path()), std::string::npos) << probe.explanation;
  }
  EXPECT_TRUE(probes.back().available);
  EXPECT_TRUE(os::ListDirectory(dir->path())->empty());
}

TEST(ProbeTest, TakesTheFirstThatCanBeUsed) {
  const std::vector<BackendProbe> probes{
      {"dm-snapshot", false, "no device-mapper"}, {"reflink", false, "no xfs"}, {"copy", true, ""}};
  constexpr std::array<std::string_view, 3> kWanted{"dm-snapshot", "reflink", "copy"};
  EXPECT_EQ(*ChooseBackend(probes, kWanted), "copy");
  const auto none = ChooseBackend(probes, std::span(kWanted).first(2));
  EXPECT_EQ(none.error().code, Code::kFailedPrecondition);
  EXPECT_NE(none.error().message.find("'dm-snapshot': no device-mapper; 'reflink': no xfs"),
            std::string::npos);
}

}  // namespace
}  // namespace wrenn::disk
