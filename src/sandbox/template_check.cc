#include "sandbox/template_check.h"

#include "base/id.h"
#include "template/image.h"

namespace wrenn::sandbox {
namespace {

Result<store::TemplateRecord> Lookup(const Services& services, const std::string& tenant,
                                     const std::string& name) {
  auto record = IsName(name) ? services.store.FindTemplate(tenant, name)
                             : Result<store::TemplateRecord>(Fail(Code::kNotFound, "no name"));
  if (record || record.error().code != Code::kNotFound) return record;
  return Fail(Code::kNotFound, "no template '{}': see 'wrenn template ls'", name.substr(0, 63));
}

// The files of one that is removed or replaced go away below who reads them.
Status CheckStillThere(const Services& services, const store::TemplateRecord& record) {
  const auto now = services.store.FindTemplate(record.tenant, record.name);
  if (now && now->id == record.id && now->snapshot == record.snapshot &&
      now->image == record.image) {
    return {};
  }
  return Fail(Code::kAborted, "template '{}' was removed or replaced meanwhile", record.name);
}

}  // namespace

Result<TemplateDetails> InspectTemplate(const Services& services, const std::string& tenant,
                                        const std::string& name) {
  TemplateDetails details;
  ASSIGN_OR_RETURN(details.record, Lookup(services, tenant, name));
  if (details.record.snapshot.empty()) return details;
  auto contents = snapshot::Inspect(services.config.paths.Snapshot(details.record.snapshot));
  if (!contents) {
    RETURN_IF_ERROR(CheckStillThere(services, details.record));
    return Fail(contents.error().WithContext(fmt::format("template '{}'", name)));
  }
  details.snapshot = std::move(*contents);
  return details;
}

Result<snapshot::Verdict> VerifyTemplate(const Services& services, const std::string& tenant,
                                         const std::string& name) {
  ASSIGN_OR_RETURN(const store::TemplateRecord record, Lookup(services, tenant, name));
  const snapshot::Base base{template_::ImageFile(services.config.paths, record.image),
                            record.image};
  const auto go_on = [&] { return !services.closing; };
  auto verdict =
      record.snapshot.empty()
          ? snapshot::VerifyBase(base, go_on)
          : snapshot::Verify(services.config.paths.Snapshot(record.snapshot), base, go_on);
  if (verdict && verdict->ok()) return verdict;
  if (!verdict && verdict.error().code == Code::kCanceled) {
    return Fail(Code::kUnavailable, "the server is shutting down");
  }
  RETURN_IF_ERROR(CheckStillThere(services, record));
  if (!verdict && verdict.error().code == Code::kNotFound) {
    snapshot::Verdict lost;
    lost.problems.emplace_back("the snapshot's files are missing");
    return lost;
  }
  return verdict;
}

}  // namespace wrenn::sandbox
