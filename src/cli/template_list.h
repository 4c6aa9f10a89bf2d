// Templates as `wrenn template` and `wrenn snapshot` list and remove them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace wrenn::cli {

// The templates of one type ("base", "snapshot"; empty: all) as the running server says, or as the
// records do when there is no server on this machine.
Result<json::array> ListTemplates(std::string_view type);

// All that is known of one, from the same place. What a snapshot holds only a server can tell.
Result<json::object> FindTemplate(const std::string& name);

// As a table, or as JSON; `none` is said on a terminal when there are none.
void PrintTemplates(const json::array& templates, bool as_json, std::string_view none);

// Removes them in the same place, and prints the name of each, or the error; as JSON the list of
// those that are gone. The exit code.
Result<int> RemoveTemplates(const std::vector<std::string>& names, bool as_json);

}  // namespace wrenn::cli
