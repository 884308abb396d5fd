/// Assertions that stay on in every build: a broken invariant stops the process before it can answer wrongly.
#pragma once

#include <cstdio>
#include <cstdlib>

#define TROUPE_ASSERT(condition)                                                                                     \
  do {                                                                                                               \
    if (!(condition)) {                                                                                              \
      std::fprintf(stderr, "troupe: assertion failed: %s (%s:%d)\n", #condition, __FILE__, __LINE__);                \
      std::abort();                                                                                                  \
    }                                                                                                                \
  } while (false)
