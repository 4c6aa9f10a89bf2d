#include "api/errors.h"

#include "base/encoding.h"
#include "base/json.h"

namespace wrenn::api {
namespace {

Code CodeOfStatus(int status) {
  switch (status) {
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kPermissionDenied;
    case 404:
      return Code::kNotFound;
    case 409:
      return Code::kAborted;
    case 413:
    case 416:
      return Code::kOutOfRange;
    case 429:
    case 507:
      return Code::kResourceExhausted;
    case 501:
      return Code::kUnimplemented;
    case 502:
    case 503:
      return Code::kUnavailable;
    case 504:
      return Code::kDeadlineExceeded;
    default:
      return status < 500 ? Code::kInvalidArgument : Code::kInternal;
  }
}

}  // namespace

ErrorAnswer AnswerFor(const Error& error) {
  ErrorAnswer answer{HttpStatus(error.code), std::string(CodeName(error.code)), error.message};
  switch (error.code) {
    case Code::kFailedPrecondition:  // the state is in the way, not the request
      answer.status = 409;
      break;
    case Code::kOutOfRange:
      answer = {413, std::string(kTooLarge), error.message};
      break;
    default:
      break;
  }
  return answer;
}

std::string PrintableMessage(std::string_view message) {
  return IsUtf8(message) ? std::string(message) : PercentEncode(message, true);
}

std::string FormatErrorBody(std::string_view code, std::string_view message) {
  return json::serialize(
      json::object{{"error", {{"code", code}, {"message", PrintableMessage(message)}}}});
}

std::string FormatRefusal(int status, std::string_view why) {
  return FormatErrorBody(CodeName(CodeOfStatus(status)), why) + "\n";
}

Error ParseErrorBody(int status, std::string_view body) {
  Error error{CodeOfStatus(status), {}, {}};
  const auto object = ParseJsonObject(body);
  if (!object) return error;
  JsonReader outer(*object);
  const json::object* inner = outer.Object("error");
  if (!inner) return error;
  JsonReader reader(*inner);
  const Code code = CodeFromName(reader.String("code"));
  if (code != Code::kUnknown) error.code = code;
  if (reader.Has("message")) error.message = reader.String("message");
  return error;
}

}  // namespace wrenn::api
