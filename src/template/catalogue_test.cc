#include "template/catalogue.h"

#include "base/id.h"
#include "template/build_fixture.h"
#include "template/image.h"
#include "template/workspace.h"

namespace wrenn::template_ {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using CatalogueTest = BuildFixture;

TEST_F(CatalogueTest, AVanishedImageIsBuiltAgain) {
  const auto first = BuildMinimal();
  ASSERT_TRUE(first) << first.error().ToString();
  ASSERT_EQ(::truncate(ImageFile(paths_, first->record.image).c_str(), 4096), 0);
  const auto found = TheCatalogue()->Find(store::kDefaultTenant, "minimal");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::kNotFound);
  EXPECT_THAT(found.error().message, HasSubstr("vanished"));
  const auto second = BuildMinimal();
  ASSERT_TRUE(second) << second.error().ToString();
  EXPECT_FALSE(second->reused);
  EXPECT_TRUE(TheCatalogue()->Find(store::kDefaultTenant, "minimal"));
}

TEST_F(CatalogueTest, WhatASandboxUsesIsNotRemoved) {
  const auto built = BuildMinimal();
  ASSERT_TRUE(built) << built.error().ToString();
  auto sandbox = AddSandbox(built->record);
  const auto refused = TheCatalogue()->Remove(store::kDefaultTenant, "minimal");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kAborted);
  EXPECT_THAT(refused.error().message, HasSubstr(sandbox.id));
  EXPECT_TRUE(HasImage(paths_, built->record.image));

  // Another recipe gives the name to another image; the old one stays for the sandbox.
  BuildRequest larger;
  larger.name = "minimal";
  larger.kind = "minimal";
  larger.disk_mb = 300;
  const auto replaced = Build(paths_, *store_, larger, guest_, {});
  ASSERT_TRUE(replaced) << replaced.error().ToString();
  EXPECT_FALSE(replaced->reused);
  EXPECT_NE(replaced->record.image, built->record.image);
  EXPECT_TRUE(HasImage(paths_, built->record.image));

  sandbox.state = store::SandboxState::kStopped;
  ASSERT_TRUE(store_->UpdateSandbox(sandbox, nullptr));
  const auto removed = TheCatalogue()->Remove(store::kDefaultTenant, "minimal");
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_THAT(Names(paths_.Images()), IsEmpty());
  EXPECT_THAT(Names(paths_.Kernels()), IsEmpty());
}

class SnapshotCatalogueTest : public CatalogueTest {
 protected:
  // A template `name` that is a snapshot of a machine that began as `of`; answers its folder.
  std::string AddSnapshot(const std::string& name, store::TemplateRecord of) {
    of.id = NewId("tp");
    of.name = name;
    of.type = "snapshot";
    of.snapshot = NewId("sn");
    const std::string place = paths_.Snapshot(of.snapshot);
    EXPECT_TRUE(os::MakeDirectories(place));
    EXPECT_TRUE(WriteFileAtomically(place + "/state", "state"));
    EXPECT_TRUE(store_->PutTemplate(of, false));
    return place;
  }
};

TEST_F(SnapshotCatalogueTest, ARemovedSnapshotsManifestGoesFirst) {
  const auto built = BuildMinimal();
  ASSERT_TRUE(built) << built.error().ToString();
  const std::string place = AddSnapshot("snap", built->record);
  // One that cannot be unlinked.
  ASSERT_TRUE(os::MakeDirectories(place + "/manifest.json"));
  ASSERT_TRUE(TheCatalogue()->Remove(store::kDefaultTenant, "snap"));
  EXPECT_TRUE(os::Exists(place + "/state"));
  const std::string other = AddSnapshot("snap", built->record);
  ASSERT_TRUE(TheCatalogue()->Remove(store::kDefaultTenant, "snap"));
  EXPECT_FALSE(os::Exists(other));
}

TEST_F(SnapshotCatalogueTest, ABuildTakesTheNameOfASnapshot) {
  const auto built = BuildMinimal();
  ASSERT_TRUE(built) << built.error().ToString();
  const std::string place = AddSnapshot("snap", built->record);
  BuildRequest request;
  request.name = "snap";
  request.kind = "minimal";
  const auto again = Build(paths_, *store_, request, guest_, {});
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(again->record.image, built->record.image);
  const auto record = store_->FindTemplate(store::kDefaultTenant, "snap");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->type, "base");
  EXPECT_EQ(record->snapshot, "");
  EXPECT_FALSE(os::Exists(place));
}

TEST_F(CatalogueTest, UnknownNamesAreNotFoundWithTheRemedy) {
  for (const char* name : {"minimal", "nothing", "../../etc", "", "A"}) {
    for (const Code code : {TheCatalogue()->Find(store::kDefaultTenant, name).error().code,
                            TheCatalogue()->Remove(store::kDefaultTenant, name).error().code}) {
      EXPECT_EQ(code, Code::kNotFound) << name;
    }
  }
  EXPECT_THAT(TheCatalogue()->Find(store::kDefaultTenant, "base").error().message,
              HasSubstr("'wrenn template build base'"));
}

TEST_F(CatalogueTest, TheCatalogueIsNotWaitedForWithoutEnd) {
  const auto held = LockCatalogue(paths_, Deadline::Never());
  ASSERT_TRUE(held);
  const auto second = LockCatalogue(paths_, Deadline::After(std::chrono::milliseconds(30)));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace wrenn::template_
