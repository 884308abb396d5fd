/// Reading a TOML table key by key, so that every mistake of a file is reported with its line, its key, what was
/// found and what is allowed.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// What is wrong with one file, in the order in which it was found; one line each: "eu.toml:3: cluster.shards is 0;
/// …".
class toml_problems {
public:
  explicit toml_problems(std::string file) : file_(std::move(file)) {}

  void add(std::size_t line, std::string what);
  /// "KEY is FOUND; allowed: ALLOWED" at the place of `found`.
  void refuse(const toml::node& found, std::string_view key, std::string_view allowed);

  const std::vector<std::string>& lines() const { return lines_; }

private:
  std::string file_;
  std::vector<std::string> lines_;
};

/// The value as the file spells it, shortened; "a table", "a list" for what is too large to quote.
std::string toml_shown(const toml::node& node);

inline std::size_t toml_line(const toml::node& node) { return node.source().begin.line; }

/// Of `known`, the one that `found` is most likely a misspelling of; empty when none is close.
std::string closest_name(std::string_view found, const std::vector<std::string>& known);

enum class presence : std::uint8_t { optional, required };

/// One table of the file. Every key that is asked for is known; finish() refuses all others.
class toml_section {
public:
  /// @param path  how messages name it: "cluster", "cluster.nodes[2]"; empty for the file itself.
  toml_section(const toml::table& table, std::string path, std::size_t line, toml_problems& problems)
      : table_(table), path_(std::move(path)), line_(line), problems_(problems) {}

  std::size_t line() const { return line_; }
  /// Where the value of `key` stands; the section's line when it is not there.
  std::size_t line_of(std::string_view key) const;
  std::string path_of(std::string_view key) const;

  /// The node under `key`, whatever it is; null when it is not there, which is a problem when `required`.
  const toml::node* take(std::string_view key, std::string_view allowed, presence p = presence::optional);

  /// The typed readers answer nothing for a key that is absent, and for one that was refused.
  std::optional<std::string> text(std::string_view key, std::string_view allowed, presence p = presence::optional);
  std::optional<std::string> name(std::string_view key, presence p = presence::optional);
  std::optional<std::string> one_of(std::string_view key, const std::vector<std::string>& choices,
                                    presence p = presence::optional);
  std::optional<std::int64_t> whole(std::string_view key, std::int64_t least, std::int64_t most,
                                    presence p = presence::optional);
  std::optional<double> number(std::string_view key, double least, double most, presence p = presence::optional);
  /// A sub-table.
  std::optional<toml_section> section(std::string_view key, presence p = presence::optional);
  /// A list of tables.
  std::vector<toml_section> sections(std::string_view key, std::string_view allowed, presence p = presence::optional);

  /// Refuses `key`, which is there, with a sentence of its own.
  void refuse(std::string_view key, std::string_view allowed);
  /// The same for a secret, which no message may show.
  void refuse_unquoted(std::string_view key, std::string_view allowed);
  /// Reports every key that nobody asked for.
  void finish();

  const toml::table& table() const { return table_; }

private:
  const toml::table& table_;
  std::string path_;
  std::size_t line_;
  toml_problems& problems_;
  std::vector<std::string> known_;
};

} // namespace troupe
