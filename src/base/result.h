// Result<T>: a value or the Error that kept it from being made.
#pragma once

#include <utility>

#include <fmt/format.h>
#include <tl/expected.hpp>

#include "base/error.h"

namespace wrenn {

template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

// What a function returns to fail: `return Fail(Code::kNotFound, "no sandbox '{}'", id);`
template <typename... Args>
tl::unexpected<Error> Fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...), {}});
}
inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace wrenn

#define WRENN_CONCAT_INNER(a, b) a##b
#define WRENN_CONCAT(a, b) WRENN_CONCAT_INNER(a, b)

// RETURN_IF_ERROR(Status-like expression): passes a failure up.
#define RETURN_IF_ERROR(expr)                                \
  do {                                                       \
    if (auto wrenn_status = (expr); !wrenn_status)           \
      return ::wrenn::Fail(std::move(wrenn_status.error())); \
  } while (false)

// ASSIGN_OR_RETURN(auto x, Result expression): takes the value, or passes the failure up.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_INNER(WRENN_CONCAT(result_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_INNER(tmp, lhs, expr)            \
  auto tmp = (expr);                                      \
  if (!tmp) return ::wrenn::Fail(std::move(tmp.error())); \
  lhs = std::move(*tmp)
