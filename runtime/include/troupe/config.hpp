/// What a node is told from outside: the cluster it belongs to, the types of data, and who it is in there.
#pragma once

#include <troupe/error.hpp>
#include <troupe/merge.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace troupe {

struct node_config;

/// A checked configuration; the keys are explained by `troupe init --example`. Immutable, cheap to copy.
class config {
public:
  /// @errors invalid_argument: the detail has a line "FILE:LINE: KEY is …; allowed: …" for every mistake in the file.
  static result<config> from_file(const std::filesystem::path& file);

  /// The same for a text; relative paths in it start at the current folder.
  /// @param name  what the errors call it.
  static result<config> from_toml(std::string_view text, std::string_view name = "configuration");

  /// The same configuration, with every operation recorded in `file` (see session_options::recorded).
  config with_history(const std::filesystem::path& file) const;

  /// The same configuration, with get() of the keys of `type`, whose resolver is "siblings", answering what the
  /// function makes of their concurrent values, from the oldest to the newest. On this node, by this API: Redis and
  /// HTTP show what is stored.
  ///
  /// The function is tried on a thousand triples of values. That finds mistakes, and proves nothing.
  /// @errors unknown_type; invalid_argument: the resolver is another one, there is no id, version or function, the
  ///   version is not above the one that is known, or the function throws, makes too large a value or depends on
  ///   order or repetition: the detail has the values that show it. overloaded: there are 64 functions.
  result<config> with_merge(std::string_view type, merge_function function) const;

  /// As TOML, with every default written out.
  std::string toml() const;

  /// For the runtime.
  explicit config(std::shared_ptr<const node_config> checked) : checked_(std::move(checked)) {}
  const node_config& checked() const { return *checked_; }

private:
  std::shared_ptr<const node_config> checked_;
};

} // namespace troupe
