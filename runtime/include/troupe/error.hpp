/// What an operation that did not succeed says: which error, and whether anything may have happened.
#pragma once

#include <troupe/errc.hpp>

#include <tl/expected.hpp>

#include <string>
#include <utility>

namespace troupe {

/// Why something was not done, or is not known to be done.
class error {
public:
  /// @param detail  what is particular to this case: the key, the address, the limit; may be empty.
  explicit error(errc code, std::string detail = {}) : code_(code), detail_(std::move(detail)) {}

  errc code() const noexcept { return code_; }

  /// Nothing happened, and never will.
  bool not_done() const noexcept { return outcome_of(code_) == outcome::not_done; }
  /// It may have happened, or may still happen. Only reading finds out.
  bool unknown() const noexcept { return !not_done(); }

  /// For people: "timeout: the deadline passed before the outcome was known".
  std::string message() const;
  const std::string& detail() const noexcept { return detail_; }

private:
  errc code_;
  std::string detail_;
};

/// A value, or the error that took its place.
template <class T> using result = tl::expected<T, error>;

} // namespace troupe
