// What the WebSocket routes have in common: the way from a request to a running ProcessSession.
#pragma once

#include "api/process_session.h"

namespace wrenn::api {

// Starts the process, or attaches to the one, that the client's first message asks for, and sets
// `limit` to the end of its time when it has one.
using BeginProcess = Result<agent::Client::Started> (*)(Context& context, sandbox::Lease& lease,
                                                        const json::object& first, Deadline& limit);

// Serves one WebSocket request whole. What is wrong with the request itself (no upgrade, no such
// sandbox) is answered by HTTP before the upgrade; what is wrong later by an error message and a
// close.
Status ServeProcess(Context& context, BeginProcess begin, ProcessSession::Format& format);

}  // namespace wrenn::api
