// What the server counts, for Prometheus and the like.
#include "api/handlers.h"

namespace wrenn::api {

Status GetServerMetrics(Context& context) {
  return context.exchange.Respond(200, "text/plain; version=0.0.4; charset=utf-8",
                                  context.services.manager.MetricsText());
}

}  // namespace wrenn::api
