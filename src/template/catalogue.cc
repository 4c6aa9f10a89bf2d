#include "template/catalogue.h"

#include <algorithm>

#include "base/id.h"
#include "os/files.h"
#include "snapshot/folder.h"
#include "template/garbage.h"
#include "template/image.h"
#include "template/workspace.h"

namespace wrenn::template_ {
namespace {

Error NoTemplate(const std::string& name) {
  const bool ours = name == "minimal" || name == "base";
  return Error{Code::kNotFound,
               fmt::format("no template '{}': see 'wrenn template ls', or build {}", name,
                           ours ? fmt::format("it with 'wrenn template build {}'", name)
                                : "one with 'wrenn template build'"),
               {}};
}

class StoreCatalogue : public Catalogue {
 public:
  StoreCatalogue(os::Paths paths, store::Store& store) : paths_(std::move(paths)), store_(store) {}

  Result<Resolved> Find(const std::string& tenant, const std::string& name) override {
    ASSIGN_OR_RETURN(auto record, Lookup(tenant, name));
    Resolved resolved{.record = record,
                      .image = ImageFile(paths_, record.image),
                      .image_bytes = 0,
                      .vmlinux = paths_.Kernel(record.kernel) + "/vmlinux",
                      .initramfs = paths_.Kernel(record.kernel) + "/initramfs"};
    if (!HasImage(paths_, record.image) || !os::Exists(resolved.vmlinux) ||
        !os::Exists(resolved.initramfs)) {
      return Fail(Code::kNotFound,
                  "the files of template '{}' have vanished: build it again with 'wrenn template "
                  "build'",
                  name);
    }
    resolved.image_bytes = FileBytes(resolved.image);
    return resolved;
  }

  Result<std::vector<store::TemplateRecord>> List(const std::string& tenant) override {
    return store_.ListTemplates(tenant);
  }

  Status Remove(const std::string& tenant, const std::string& name) override {
    ASSIGN_OR_RETURN(const auto lock, LockCatalogue(paths_, Deadline::After(kCatalogueLimit)));
    ASSIGN_OR_RETURN(const auto record, Lookup(tenant, name));
    ASSIGN_OR_RETURN(const auto users, UsersOf(record));
    if (!users.empty()) {
      return Fail(Code::kAborted,
                  "template '{}' is in use by sandbox{} '{}': remove {} first with 'wrenn rm'",
                  name, users.size() == 1 ? "" : "es", fmt::join(users, "', '"),
                  users.size() == 1 ? "it" : "them");
    }
    RETURN_IF_ERROR(store_.RemoveTemplate(tenant, name));
    // What cannot be removed now nobody names any more: the server's next start removes it.
    if (IsId("sn", record.snapshot)) (void)snapshot::Remove(paths_.Snapshot(record.snapshot));
    auto collected = CollectGarbage(paths_, store_, lock);
    if (collected) return {};
    return Fail(
        Error{collected.error().code,
              fmt::format("template '{}' is removed, but some of its files are not: the next "
                          "build or removal tries again",
                          name),
              collected.error().ToString()});
  }

 private:
  Result<store::TemplateRecord> Lookup(const std::string& tenant, const std::string& name) {
    if (!IsName(name)) return Fail(NoTemplate(name.substr(0, 63)));
    auto record = store_.FindTemplate(tenant, name);
    if (!record && record.error().code == Code::kNotFound) return Fail(NoTemplate(name));
    return record;
  }

  // The sandboxes that would lose their image; none as long as another template has it too.
  Result<std::vector<std::string>> UsersOf(const store::TemplateRecord& record) {
    std::vector<std::string> users;
    ASSIGN_OR_RETURN(const auto templates, store_.ListAllTemplates());
    const auto shares = [&](const store::TemplateRecord& other) {
      return other.id != record.id && other.image == record.image;
    };
    if (std::ranges::any_of(templates, shares)) return users;
    ASSIGN_OR_RETURN(const auto sandboxes, store_.ListAllSandboxes());
    for (const auto& sandbox : sandboxes) {
      if (sandbox.image == record.image && NeedsFiles(sandbox)) users.push_back(sandbox.id);
    }
    return users;
  }

  const os::Paths paths_;
  store::Store& store_;
};

}  // namespace

std::unique_ptr<Catalogue> MakeCatalogue(os::Paths paths, store::Store& store) {
  return std::make_unique<StoreCatalogue>(std::move(paths), store);
}

}  // namespace wrenn::template_
