#include "template/catalogue.h"

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
