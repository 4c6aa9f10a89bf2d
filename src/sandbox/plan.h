// Plan: what a request for a sandbox comes to, once template, defaults and limits are applied.
#pragma once

#include <string>

#include "base/result.h"
#include "sandbox/admission.h"
#include "sandbox/manager.h"

namespace wrenn::sandbox {

// The least memory that a Debian kernel with its initramfs starts in, in MiB.
inline constexpr int kMinMemoryMb = 64;
// A year, in seconds.
inline constexpr int64_t kMaxTimeoutSec = 366LL * 24 * 3600;

// Checks the request and makes the record of the sandbox that it asks for: with a new id and token,
// in the state `starting`. kInvalidArgument, naming field and range.
Result<store::SandboxRecord> MakePlan(const std::string& tenant, const CreateRequest& request,
                                      const template_::Resolved& from, const Limits& limits);

// What a request leaves open and the engine decides. kUnimplemented and kFailedPrecondition for
// what it, or this host with or without network slots, cannot do.
Status FitToEngine(const vmm::EngineInfo& engine, bool has_slots, CreateRequest& request);

// kFailedPrecondition: what is asked for needs a network slot, and this server's machines have
// none.
Error NoNetworkSlots();

// The record of a sandbox that goes on from where `parent` is, with a new id and token.
store::SandboxRecord PlanFork(const store::SandboxRecord& parent);

// What a sandbox reserves of its host.
Amount AmountOf(const store::SandboxRecord& record);

// kInvalidArgument unless 0 <= timeout_sec <= kMaxTimeoutSec.
Status CheckTimeout(int64_t timeout_sec);

}  // namespace wrenn::sandbox
