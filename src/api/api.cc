#include "api/api.h"

#include "api/errors.h"
#include "api/router.h"
#include "base/id.h"

namespace wrenn::api {

Result<std::unique_ptr<Api>> Api::Make(sandbox::Manager& manager, template_::Catalogue& catalogue,
                                       store::Store& store, Options options) {
  ASSIGN_OR_RETURN(UniqueFd stopping, MakeEventFd());
  Services services{manager, catalogue, store, options.version, options.paths, stopping.get()};
  return std::unique_ptr<Api>(
      new Api(std::move(services), std::move(options), std::move(stopping)));
}

wire::HttpServer::Options Api::HttpOptions() {
  wire::HttpServer::Options options;
  options.refusal_body = FormatRefusal;
  options.refusal_type = "application/json";
  return options;
}

void Api::Handle(wire::Exchange& exchange) {
  const auto began = std::chrono::steady_clock::now();
  const wire::RequestHead& request = exchange.request();
  AccessEntry entry;
  entry.method = request.method;
  entry.path = request.path();
  // Answers are for whoever asked, and are what they say they are.
  exchange.AddField("Cache-Control", "no-store");
  exchange.AddField("X-Content-Type-Options", "nosniff");

  Context context(exchange, services_);
  Status done;
  try {
    done = Dispatch(context, entry);
  } catch (const std::exception& exception) {
    done = Fail(Error{Code::kInternal, "internal error", exception.what()});
  }
  if (!done) {
    entry.error = done.error().ToString();
    AnswerError(context, done.error());
  }
  entry.status = exchange.status();
  entry.took = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - began);
  if (options_.on_access) options_.on_access(entry);
}

Status Api::Dispatch(Context& context, AccessEntry& entry) {
  const Gate::Pass pass = gate_.Enter();
  if (!pass) {
    context.exchange.CloseAfter();
    return Fail(Code::kUnavailable, "the server is stopping");
  }
  const wire::RequestHead& request = context.exchange.request();
  RouteMatch match = MatchRoute(Routes(), request.method, request.path());
  // Who has no key learns nothing about which paths exist.
  if (!match.route || !match.route->open) {
    ASSIGN_OR_RETURN(const store::KeyRecord key, authenticator_.Check(request));
    context.tenant = key.tenant;
    entry.key_id = key.id;
  }
  if (!match.route && match.allow.empty()) {
    return Fail(Code::kNotFound, "no route '{}'", request.path());
  }
  if (!match.route) {
    context.exchange.AddField("Allow", match.allow);
    return context.RespondError(
        405, kMethodNotAllowed,
        fmt::format("'{}' takes {}, not {}", request.path(), match.allow, request.method));
  }
  context.params = std::move(match.params);
  const auto names = ParamNames(match.route->pattern);
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == "id" && !IsId("sb", context.params[i])) {
      return Fail(Code::kNotFound, "no sandbox '{}'", context.params[i].substr(0, 64));
    }
  }
  return match.route->handler(context);
}

void Api::AnswerError(Context& context, const Error& error) {
  if (context.exchange.answered()) {
    context.exchange.CloseAfter();
    return;
  }
  const ErrorAnswer answer = AnswerFor(error);
  if (answer.status == 401) context.exchange.AddField("WWW-Authenticate", "Bearer");
  if (answer.status == 429 || answer.status == 503) context.exchange.AddField("Retry-After", "1");
  if (answer.status == 413) context.exchange.CloseAfter();
  [[maybe_unused]] auto sent = context.RespondError(answer.status, answer.code, answer.message);
}

bool Api::Drain(Deadline deadline) {
  gate_.Close();
  SignalEventFd(stopping_.get());
  return gate_.WaitEmpty(deadline);
}

}  // namespace wrenn::api
