// Checks of options' values.
#pragma once

#include <utility>

#include <CLI/Validators.hpp>

namespace wrenn::cli {

// A check that does not show in the help, where the option's own words say enough.
inline CLI::Validator Unnamed(CLI::Validator check) { return std::move(check.description("")); }

}  // namespace wrenn::cli
