// For tests: builds of the template `minimal` for real, in a root of their own. The kernel is a
// synthetic bundle, so that nothing is fetched.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "os/files.h"
#include "template/catalogue.h"
#include "template/initramfs.h"
#include "template/kernel.h"
#include "template/kernel_modules.h"

namespace wrenn::template_ {

class BuildFixture : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(directory_);
    UseRoot(directory_->path() + "/root");
  }

  // Makes the root, with a kernel bundle and a guest program.
  void UseRoot(const std::string& root) {
    paths_ = {.root = root, .runtime = root + "/run"};
    const auto prepared = paths_.Prepare();
    ASSERT_TRUE(prepared) << prepared.error().message;
    auto opened = store::OpenSqlite(paths_.Database());
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
    guest_ = root + "/wrenn-init";
    ASSERT_TRUE(WriteFileAtomically(guest_, "the guest program"));
    MakeKernel();
  }

  // Answers the bundle's hash.
  std::string MakeKernel(const std::string& version = "1.0",
                         const std::vector<std::string>& wanted = {std::begin(kGuestModules),
                                                                   std::end(kGuestModules)}) {
    const KernelManifest manifest{.package = "linux-image-1-test",
                                  .version = version,
                                  .guest = "of another guest program",
                                  .modules = {"virtio.ko"},
                                  .wanted = wanted};
    const std::string folder = paths_.Kernel(manifest.Hash());
    EXPECT_TRUE(os::MakeDirectory(folder));
    EXPECT_TRUE(WriteFileAtomically(folder + "/vmlinux",
                                    "\x7f"
                                    "ELF kernel"));
    EXPECT_TRUE(WriteInitramfs(folder + "/initramfs", guest_, {{"virtio.ko", "module"}}));
    EXPECT_TRUE(WriteFileAtomically(folder + "/manifest.json", json::serialize(manifest.ToJson())));
    return manifest.Hash();
  }

  Result<BuildResult> BuildMinimal(bool force = false, const Progress& progress = {}) {
    BuildRequest request;
    request.name = "minimal";
    request.kind = "minimal";
    request.force = force;
    return Build(paths_, *store_, request, guest_, progress);
  }

  std::unique_ptr<Catalogue> TheCatalogue() { return MakeCatalogue(paths_, *store_); }
  std::vector<std::string> Names(const std::string& folder) {
    auto names = os::ListDirectory(folder);
    return names ? *names : std::vector<std::string>{names.error().message};
  }
  // The workspaces below tmp/, with their locks.
  std::vector<std::string> Leftovers() {
    auto names = Names(paths_.Temporary());
    std::erase_if(names, [](const std::string& name) { return !name.starts_with("build-"); });
    return names;
  }

  store::SandboxRecord AddSandbox(const store::TemplateRecord& record) {
    store::SandboxRecord sandbox;
    sandbox.id = "sb-00000000000000000001";
    sandbox.state = store::SandboxState::kRunning;
    sandbox.image = record.image;
    sandbox.kernel = record.kernel;
    const store::EventRecord event{.sandbox_id = sandbox.id,
                                   .kind = "create",
                                   .phase = "intent",
                                   .message = {},
                                   .details = {}};
    const auto added = store_->AddSandbox(sandbox, event);
    EXPECT_TRUE(added) << added.error().message;
    return sandbox;
  }

  // Runs `body` in a process of its own, which ends with its answer or by a signal.
  int InChild(const std::function<int()>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(body());
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return status;
  }

  Result<os::TemporaryDirectory> directory_ = Fail(Code::kUnknown, "not made");
  os::Paths paths_;
  std::unique_ptr<store::Store> store_;
  std::string guest_;
};

}  // namespace wrenn::template_
