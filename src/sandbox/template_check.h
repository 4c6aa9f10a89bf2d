// Templates looked into: what is in one, and whether all of it is as it was written.
#pragma once

#include <string>

#include "sandbox/services.h"

namespace wrenn::sandbox {

// See Manager::InspectTemplate() and Manager::VerifyTemplate().
Result<TemplateDetails> InspectTemplate(const Services& services, const std::string& tenant,
                                        const std::string& name);
Result<snapshot::Verdict> VerifyTemplate(const Services& services, const std::string& tenant,
                                         const std::string& name);

}  // namespace wrenn::sandbox
