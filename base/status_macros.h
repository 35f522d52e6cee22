#pragma once

// Hands a failed absl::Status on to the caller.
//   TESSERA_RETURN_IF_ERROR(Validate(args));
//   TESSERA_ASSIGN_OR_RETURN(const Config config, Config::Load(path));

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define TESSERA_RETURN_IF_ERROR(expression)                                                      \
  do {                                                                                           \
    if (absl::Status tessera_status = (expression); !tessera_status.ok()) return tessera_status; \
  } while (false)

#define TESSERA_ASSIGN_OR_RETURN(declaration, expression) \
  TESSERA_ASSIGN_OR_RETURN_IMPL(TESSERA_STATUS_CONCAT(tessera_or_, __LINE__), declaration, expression)
#define TESSERA_ASSIGN_OR_RETURN_IMPL(result, declaration, expression) \
  auto result = (expression);                                          \
  if (!result.ok()) return result.status();                            \
  declaration = *std::move(result)
#define TESSERA_STATUS_CONCAT(a, b) TESSERA_STATUS_CONCAT_IMPL(a, b)
#define TESSERA_STATUS_CONCAT_IMPL(a, b) a##b
