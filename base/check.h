#pragma once

// Broken invariants abort with file, line and the condition; they are bugs of this program, never what a client, a file
// or a peer can cause. TESSERA_CHECK is on in release builds; TESSERA_DCHECK is for costly checks, on without NDEBUG.
//   TESSERA_CHECK(count >= 0);
//   TESSERA_CHECK_OK(status);

#include "absl/status/status.h"

namespace tessera::base_internal {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
[[noreturn]] void CheckOkFailed(const char* file, int line, const char* expression, const absl::Status& status);

}  // namespace tessera::base_internal

#define TESSERA_CHECK(condition)                     \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::tessera::base_internal::CheckFailed(__FILE__, __LINE__, #condition))

#define TESSERA_CHECK_OK(expression)                                                                  \
  do {                                                                                                \
    if (const absl::Status tessera_check_status = (expression); !tessera_check_status.ok()) {         \
      ::tessera::base_internal::CheckOkFailed(__FILE__, __LINE__, #expression, tessera_check_status); \
    }                                                                                                 \
  } while (false)

#ifdef NDEBUG
#define TESSERA_DCHECK(condition) static_cast<void>(0)
#else
#define TESSERA_DCHECK(condition) TESSERA_CHECK(condition)
#endif
