/// What stands in a request's target: a type, a name, and parameters. Free of sockets.
#pragma once

#include "protocol/ids.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::http {

/// "%41" -> "A"; no value when a percent sign is not followed by two hexadecimal digits. '+' stays as it is.
std::optional<std::string> percent_decoded(std::string_view text);

std::optional<std::int64_t> number_in(std::string_view text);

/// "7.2.1.42", as in an ETag: round, node and incarnation of the epoch, and the counter in it.
std::string spelled(const version& v);
/// Exactly what spelled() makes of some version that was written: no signs, no spaces, no leading zeros.
std::optional<version> version_in(std::string_view text);

/// The parameters behind a question mark.
class query {
public:
  struct known_name {
    std::string_view name;
    bool repeatable = false;
  };
  /// @errors what is wrong, for people: bad spelling, a name that is not among `known`, or one that stands there
  /// twice.
  static tl::expected<query, std::string> parse(std::string_view text, std::initializer_list<known_name> known);

  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  /// nullptr = it is not there.
  const std::string* find(std::string_view name) const;
  std::vector<std::string> all(std::string_view name) const;

private:
  std::multimap<std::string, std::string, std::less<>> values_; ///< decoded
};

/// A target of the form PREFIX/TYPE/NAME?QUERY.
struct target_parts {
  std::string type;
  std::string name;
  std::string_view query; ///< undecoded, of the target
};
/// @param form  how it should look, for who reads the error.
/// @errors what is wrong, for people.
tl::expected<target_parts, std::string> split_target(std::string_view target, std::string_view prefix,
                                                     std::string_view form);

} // namespace troupe::http
