// Snapshots for another host.
#include "sandbox/snapshot_transfer_fixture.h"

namespace wrenn::sandbox {
namespace {

using ::testing::IsEmpty;

using SnapshotExportTest = SnapshotTransferFixture;

TEST_F(SnapshotExportTest, ExportsSnapshotsOnly) {
  const auto none = [](std::string_view) -> Status { return Fail(Code::kInternal, "called"); };
  EXPECT_EQ(ExportTo(none, "minimal").error().code, Code::kInvalidArgument);
  EXPECT_EQ(ExportTo(none, "nothing").error().code, Code::kNotFound);
  EXPECT_EQ(here_->manager().ExportSnapshot("another", "frozen", {}, none).error().code,
            Code::kNotFound);
}

TEST_F(SnapshotExportTest, ExportsNoDamage) {
  const std::string folder = here_->paths().Snapshot(snapshot_.snapshot);
  Flip(folder + "/" + NameWith(Names(folder), "memory-"), 5000);
  const Status exported =
      ExportTo([](std::string_view) -> Status { return Fail(Code::kInternal, "called"); });
  ASSERT_FALSE(exported);
  EXPECT_EQ(exported.error().code, Code::kDataLoss);
  EXPECT_THAT(Names(here_->paths().Temporary()), ::testing::Each("catalogue.lock"));
}

TEST_F(SnapshotExportTest, ExportEndsWithItsClient) {
  EXPECT_EQ(here_->manager()
                .ExportSnapshot(
                    kTenant, "frozen", [] { return false; },
                    [](std::string_view) -> Status { return Fail(Code::kInternal, "called"); })
                .error()
                .code,
            Code::kCanceled);
  const Status exported = ExportTo(
      [](std::string_view) -> Status { return Fail(Code::kUnavailable, "the client has gone"); });
  EXPECT_EQ(exported.error().code, Code::kUnavailable);
  EXPECT_THAT(Names(here_->paths().Temporary()), ::testing::Each("catalogue.lock"));
}

TEST_F(SnapshotExportTest, ExportsWhatIsRemovedMeanwhile) {
  std::string stream;
  int pieces = 0;
  const Status exported = ExportTo([&](std::string_view data) {
    if (++pieces == 1) {
      EXPECT_TRUE(here_->manager().Destroy(kTenant, sandbox_));
      const auto catalogue = template_::MakeCatalogue(here_->paths(), here_->store());
      for (const char* name : {"frozen", "minimal"}) {
        const Status gone = catalogue->Remove(kTenant, name);
        EXPECT_TRUE(gone) << gone.error().ToString();
      }
      EXPECT_THAT(Names(here_->paths().Images()), IsEmpty());
    }
    stream += data;
    return Status();
  });
  ASSERT_TRUE(exported) << exported.error().ToString();
  EXPECT_GT(pieces, 2);
  ASSERT_TRUE(there_->Import(stream));
  EXPECT_TRUE(there_->Create("frozen"));
}

}  // namespace
}  // namespace wrenn::sandbox
