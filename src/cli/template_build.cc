#include "cli/template_build.h"

#include <chrono>

#include "cli/local.h"
#include "cli/terminal.h"

namespace wrenn::cli {

bool IsBuiltIn(const std::string& template_name) {
  return template_name == "minimal" || template_name == "base";
}

template_::BuildRequest BuiltInRequest(const std::string& template_name) {
  template_::BuildRequest request;
  request.name = template_name;
  request.kind = template_name == "minimal" ? "minimal" : "debian";
  if (request.kind == "minimal") request.memory_mb = 128;
  return request;
}

Result<template_::BuildResult> BuildTemplate(const template_::BuildRequest& request) {
  ASSIGN_OR_RETURN(const Local local, OpenLocal());
  ASSIGN_OR_RETURN(const std::string guest_program, GuestProgram());
  ProgressLine line;
  return template_::Build(
      local.paths, *local.store, request, guest_program,
      [&](int step, int steps, const std::string& what) {
        line.Show(fmt::format("template '{}' [{}/{}] {}", request.name, step, steps, what));
      });
}

}  // namespace wrenn::cli
