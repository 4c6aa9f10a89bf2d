// The API's errors: {"error":{"code","message"}} and the HTTP status that goes with each.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::api {

// What is answered to a request that failed.
struct ErrorAnswer {
  int status = 500;
  std::string code;  // "not_found", ...: base's code names and the few below
  std::string message;
};

// Codes that HTTP knows and base/error.h does not.
inline constexpr std::string_view kMethodNotAllowed = "method_not_allowed";
inline constexpr std::string_view kTooLarge = "too_large";
inline constexpr std::string_view kDiskFull = "disk_full";
inline constexpr std::string_view kRangeNotSatisfiable = "range_not_satisfiable";

// The answer for an error. Text for the log (Error::detail) is left out.
ErrorAnswer AnswerFor(const Error& error);

// The message as JSON can carry it: it may quote what a client or guest sent, which need not be
// UTF-8.
std::string PrintableMessage(std::string_view message);

std::string FormatErrorBody(std::string_view code, std::string_view message);

// The same for what the HTTP server itself refuses, before a request is one.
std::string FormatRefusal(int status, std::string_view why);

// The other way round, for clients: the error that an answer stands for. Without a message it is
// not one of wrenn's.
Error ParseErrorBody(int status, std::string_view body);

}  // namespace wrenn::api
