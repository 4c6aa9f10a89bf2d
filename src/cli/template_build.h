// Building templates from the command line, with progress.
#pragma once

#include "template/catalogue.h"

namespace wrenn::cli {

// Whether a template of this name can be built without being told more: "minimal" and "base".
bool IsBuiltIn(const std::string& template_name);

// The request that builds a built-in template.
template_::BuildRequest BuiltInRequest(const std::string& template_name);

// Builds in this process on the root's records, shows the steps on stderr.
Result<template_::BuildResult> BuildTemplate(const template_::BuildRequest& request);

}  // namespace wrenn::cli
