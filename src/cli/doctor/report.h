// What `wrenn doctor` found out, and how it is shown.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace wrenn::cli::doctor {

enum class Verdict {
  kOk,       // there, and it works
  kLimited,  // there, but less than it could be; or a part that only makes things better is absent
  kMissing,  // absent, and something cannot be done
};
std::string_view VerdictName(Verdict verdict);  // "ok", "limited", "missing"

// One capability of this host.
struct Check {
  explicit Check(std::string name) : capability(std::move(name)) {}

  std::string capability;  // "kvm", "device-mapper", ...
  Verdict verdict = Verdict::kOk;
  std::string finding;      // what the probe saw
  std::string consequence;  // what follows from it
  std::string remedy;       // how to get the better; empty when there is nothing to do
  bool required = false;    // no sandbox runs without it
};

// Whether sandboxes can run here: nothing that is required is missing.
bool CanRun(const std::vector<Check>& checks);

std::string FormatReport(const std::vector<Check>& checks);
json::object ToJson(const std::vector<Check>& checks);

}  // namespace wrenn::cli::doctor
