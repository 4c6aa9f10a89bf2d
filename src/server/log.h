// The server's log: the one place where wrenn logs.
#pragma once

#include "api/api.h"
#include "sandbox/observer.h"
#include "server/config.h"

namespace wrenn::server {

// Sets up the program's log: lines on stderr, or in a file that is rotated so that all of it stays
// below 40 MiB.
Status OpenLog(const ServerConfig& config);

// What the parts below tell, as lines.
void LogAccess(const api::AccessEntry& entry);
void LogHappening(const sandbox::Happening& happening);

void LogInfo(const std::string& message);
void LogWarning(const std::string& message);

}  // namespace wrenn::server
