#include "cli/doctor/report.h"

#include <algorithm>

#include "cli/table.h"
#include "cli/terminal.h"

namespace wrenn::cli::doctor {
namespace {

constexpr size_t kTextWidth = 72;

Colour ColourOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return Colour::kGreen;
    case Verdict::kLimited:
      return Colour::kYellow;
    case Verdict::kMissing:
      return Colour::kRed;
  }
  return Colour::kNone;
}

// The text in lines of at most `kTextWidth`, all but the first behind `indent` spaces.
std::string Wrap(const std::string& text, size_t indent) {
  std::string wrapped;
  size_t column = 0;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (column > 0 && column + 1 + Width(word) > kTextWidth) {
      wrapped += "\n" + std::string(indent, ' ');
      column = 0;
    } else if (column > 0) {
      wrapped += " ";
      ++column;
    }
    wrapped += word;
    column += Width(word);
    at = end + 1;
  }
  return wrapped;
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kLimited:
      return "limited";
    case Verdict::kMissing:
      return "missing";
  }
  return "";
}

bool CanRun(const std::vector<Check>& checks) {
  return std::ranges::none_of(checks, [](const Check& check) {
    return check.required && check.verdict == Verdict::kMissing;
  });
}

std::string FormatReport(const std::vector<Check>& checks) {
  size_t width = 0;
  for (const Check& check : checks) width = std::max(width, Width(check.capability));
  const size_t indent = width + 2 + 9;
  std::string text;
  for (const Check& check : checks) {
    text += fmt::format("{:<{}}  {}{}", check.capability, width,
                        Paint(VerdictName(check.verdict), ColourOf(check.verdict)),
                        std::string(9 - VerdictName(check.verdict).size(), ' '));
    text += Wrap(WithoutControls(check.finding), indent) + "\n";
    const auto add = [&](const char* label, const std::string& what) {
      if (what.empty()) return;
      text += std::string(indent, ' ') + Wrap(label + WithoutControls(what), indent) + "\n";
    };
    add("so: ", check.consequence);
    add("remedy: ", check.remedy);
  }
  return text;
}

json::object ToJson(const std::vector<Check>& checks) {
  json::array list;
  for (const Check& check : checks) {
    list.push_back(json::object{{"capability", check.capability},
                                {"status", VerdictName(check.verdict)},
                                {"required", check.required},
                                {"finding", check.finding},
                                {"consequence", check.consequence},
                                {"remedy", check.remedy}});
  }
  return {{"can_run", CanRun(checks)}, {"checks", std::move(list)}};
}

}  // namespace wrenn::cli::doctor
