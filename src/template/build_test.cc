#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <thread>

#include "os/command.h"
#include "template/build_fixture.h"
#include "template/image.h"

namespace wrenn::template_ {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using BuildTest = BuildFixture;

std::string Debugfs(const std::string& image, const std::string& command) {
  os::CommandOptions options;
  options.argv = {"debugfs", "-R", command, image};
  return os::RunCommandOrFail(options, Deadline::After(std::chrono::seconds(60)))
      .value_or("failed");
}

TEST_F(BuildTest, MakesARootFileSystem) {
  const auto built = BuildMinimal();
  ASSERT_TRUE(built) << built.error().ToString();
  EXPECT_FALSE(built->reused);
  EXPECT_EQ(built->record.memory_mb, 128);
  EXPECT_LT(built->record.size_bytes, 8U << 20);

  const auto found = TheCatalogue()->Find(store::kDefaultTenant, "minimal");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->record.id, built->record.id);
  EXPECT_EQ(*ReadFile(found->vmlinux),
            "\x7f"
            "ELF kernel");
  struct stat info;
  ASSERT_EQ(::stat(found->image.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0444U);
  EXPECT_EQ(static_cast<uint64_t>(info.st_size), found->image_bytes);

  os::CommandOptions check;
  check.argv = {"e2fsck", "-fn", found->image};
  const auto checked = os::RunCommandOrFail(check, Deadline::After(std::chrono::seconds(60)));
  EXPECT_TRUE(checked) << checked.error().ToString();
  const auto owner = [&](const std::string& path) { return Debugfs(found->image, "stat " + path); };
  EXPECT_THAT(owner("/home/user"), testing::ContainsRegex("User: *1000 *Group: *1000"));
  EXPECT_THAT(owner("/bin/busybox"), testing::ContainsRegex("Mode: *0755.*User: *0 *Group: *0"));
  EXPECT_THAT(owner("/bin/sh"), HasSubstr("Type: symlink"));
  EXPECT_THAT(owner("/tmp"), testing::ContainsRegex("Mode: *01777"));
  EXPECT_THAT(owner("/etc/shadow"), testing::ContainsRegex("Mode: *0600"));
  EXPECT_THAT(Debugfs(found->image, "cat /etc/passwd"), HasSubstr("user:x:1000:1000:"));
  EXPECT_THAT(Leftovers(), IsEmpty());
}

TEST_F(BuildTest, AnEqualOneIsReusedUnlessForced) {
  const auto first = BuildMinimal();
  ASSERT_TRUE(first) << first.error().ToString();
  const auto second = BuildMinimal();
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->reused);
  EXPECT_EQ(second->record.id, first->record.id);
  EXPECT_EQ(second->record.version, first->record.version);

  // The same content under another name shares the image.
  BuildRequest request;
  request.name = "other";
  request.kind = "minimal";
  request.memory_mb = 256;
  const auto other = Build(paths_, *store_, request, guest_, {});
  ASSERT_TRUE(other);
  EXPECT_TRUE(other->reused);
  EXPECT_EQ(other->record.image, first->record.image);
  EXPECT_EQ(other->record.memory_mb, 256);
  EXPECT_NE(other->record.id, first->record.id);
  EXPECT_TRUE(TheCatalogue()->Remove(store::kDefaultTenant, "minimal"));
  EXPECT_TRUE(HasImage(paths_, other->record.image));
}

TEST_F(BuildTest, ANewGuestProgramGetsAKernelBundleOfItsOwn) {
  const auto first = BuildMinimal();
  ASSERT_TRUE(first) << first.error().ToString();
  AddSandbox(first->record);  // keeps the old bundle
  ASSERT_TRUE(WriteFileAtomically(guest_, "a newer guest program"));
  std::string said;
  const auto second = BuildMinimal(false, [&](int, int, const std::string& what) { said += what; });
  ASSERT_TRUE(second) << second.error().ToString();
  EXPECT_TRUE(second->reused);
  EXPECT_THAT(said, HasSubstr("kernel refreshed"));
  EXPECT_EQ(second->record.id, first->record.id);
  EXPECT_EQ(second->record.image, first->record.image);
  ASSERT_NE(second->record.kernel, first->record.kernel);

  struct stat old_kernel;
  struct stat new_kernel;
  ASSERT_EQ(::stat((paths_.Kernel(first->record.kernel) + "/vmlinux").c_str(), &old_kernel), 0);
  ASSERT_EQ(::stat((paths_.Kernel(second->record.kernel) + "/vmlinux").c_str(), &new_kernel), 0);
  EXPECT_EQ(old_kernel.st_ino, new_kernel.st_ino);
  const auto initramfs = ReadFile(paths_.Kernel(second->record.kernel) + "/initramfs");
  EXPECT_THAT(*initramfs, HasSubstr("a newer guest program"));
  EXPECT_THAT(*initramfs, HasSubstr("virtio.ko"));
}

TEST_F(BuildTest, BadRequestsAreRefused) {
  BuildRequest good;
  good.name = "x";
  good.kind = "minimal";
  const auto refused = [&](const std::function<void(BuildRequest&)>& spoil) {
    BuildRequest request = good;
    spoil(request);
    const auto built = Build(paths_, *store_, request, guest_, {});
    return !built && built.error().code == Code::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](BuildRequest& r) { r.name = "../x"; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.name = ""; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.kind = "windows"; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.disk_mb = -1; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.disk_mb = 2; }));  // too small for its content
  EXPECT_TRUE(refused([](BuildRequest& r) { r.vcpus = 0; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.memory_mb = -5; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.memory_mb = kMinMemoryMb - 1; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.memory_mb = kMaxMemoryMb + 1; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.disk_mb = kMaxDiskMb + 1; }));
  EXPECT_TRUE(refused([](BuildRequest& r) { r.package_file = "list"; }));
  EXPECT_THAT(Names(paths_.Images()), IsEmpty());
  EXPECT_THAT(Leftovers(), IsEmpty());
}

// The version of the kernel that a record names.
std::string KernelVersion(const os::Paths& paths, const store::TemplateRecord& record) {
  const auto text = ReadFile(paths.Kernel(record.kernel) + "/manifest.json").value_or("{}");
  const auto manifest = KernelManifest::FromJson(*ParseJsonObject(text));
  return manifest ? manifest->version : manifest.error().message;
}

TEST_F(BuildTest, TakesTheNewestKernelThatIsHereByItsVersion) {
  MakeKernel("10.0");
  MakeKernel("9.0");  // later, but older
  const auto built = BuildMinimal();
  ASSERT_TRUE(built) << built.error().ToString();
  EXPECT_EQ(KernelVersion(paths_, built->record), "10.0");
}

TEST_F(BuildTest, AKernelWithoutAModuleThatGuestsNeedByNowIsNotUsed) {
  MakeKernel("10.0", {});
  MakeKernel("11.0", {"virtio_blk"});
  const auto built = BuildMinimal();
  ASSERT_TRUE(built) << built.error().ToString();
  EXPECT_EQ(KernelVersion(paths_, built->record), "1.0");
}

TEST_F(BuildTest, ForcedItTakesTheKernelThatAptOffers) {
  MakeKernel("9.0");
  MakeKernel("10.0");
  // An apt that offers 9.0, e.g. because 10.0 was withdrawn.
  const std::string bin = directory_->path() + "/bin";
  ASSERT_TRUE(os::MakeDirectory(bin));
  ASSERT_TRUE(WriteFileAtomically(bin + "/apt-cache",
                                  "#!/bin/sh\n"
                                  "echo '  Depends: linux-image-1-test'\n"
                                  "echo '  Candidate: 9.0'\n",
                                  0755));
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", (bin + ":" + path).c_str(), 1);
  const auto built = BuildMinimal(true);
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(built) << built.error().ToString();
  EXPECT_EQ(KernelVersion(paths_, built->record), "9.0");
}

TEST_F(BuildTest, AMissingGuestProgramIsSaid) {
  guest_ = paths_.root + "/absent";
  const auto built = BuildMinimal();
  ASSERT_FALSE(built);
  EXPECT_THAT(built.error().message, HasSubstr("wrenn-init"));
}

TEST_F(BuildTest, TwoAtOnceComeOneAfterTheOther) {
  Result<BuildResult> results[2] = {Fail(Code::kUnknown, "not run"),
                                    Fail(Code::kUnknown, "not run")};
  {
    std::jthread one([&] { results[0] = BuildMinimal(); });
    std::jthread two([&] { results[1] = BuildMinimal(); });
  }
  ASSERT_TRUE(results[0]) << results[0].error().ToString();
  ASSERT_TRUE(results[1]) << results[1].error().ToString();
  EXPECT_EQ(results[0]->record.id, results[1]->record.id);
  EXPECT_NE(results[0]->reused, results[1]->reused);
}

// On a file system of a few megabytes, in a mount namespace of a child.
TEST_F(BuildTest, AFullDiskIsSaidAndNothingIsLeft) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to mount a small file system";
  const std::string small = directory_->path() + "/small";
  ASSERT_TRUE(os::MakeDirectory(small));
  const int status = InChild([&] {
    if (::unshare(CLONE_NEWNS) < 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0 ||
        ::mount("small", small.c_str(), "tmpfs", 0, "size=2m") < 0) {
      return 77;
    }
    UseRoot(small);
    const auto built = BuildMinimal();
    if (built || built.error().code != Code::kResourceExhausted) return 1;
    if (!Leftovers().empty() || !Names(paths_.Images()).empty()) return 2;
    return HasFailure() ? 3 : 0;
  });
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no mount namespace here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace wrenn::template_
