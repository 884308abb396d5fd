/// What the weaker levels add to a session's operations: receipts, concurrent values, sets, maps, snapshots.
///
///     auto s = rt->open_session();
///     auto seen = s.get("catalogue", "85123A", {.receipt = true});
///     auto both = s.get_siblings("drafts", "42");
///     s.put("drafts", "42", merged(both->values), {.context = both->context});
#pragma once

#include <troupe/key_version.hpp>
#include <troupe/level.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace troupe {

/// A text that options carry along: a token, a context. Empty, it costs nothing to copy.
class quoted {
public:
  quoted() = default;
  template <class Text>
  requires std::is_convertible_v<const Text&, std::string_view>
  quoted(const Text& text) // NOLINT: implicit by intention
      : text_{std::string_view{text}.empty() ? nullptr
                                             : std::make_shared<const std::string>(std::string_view{text})} {}

  bool empty() const { return text_ == nullptr; }
  std::string_view view() const { return text_ ? std::string_view{*text_} : std::string_view{}; }

private:
  std::shared_ptr<const std::string> text_; ///< not empty
};

/// How an answer came about: what it promises, where it is from, how long that took and how old it may be.
struct receipt {
  enum class source : std::uint8_t {
    memory,  ///< of this node
    replica, ///< a node that stores the key
    home,    ///< of the strong key
  };
  level given = level::strong; ///< at least what was asked for
  source from = source::home;
  /// When the value was written: milliseconds since 1970 of its writer's clock, which may be wrong; 0 = not known, as
  /// for strong types. The version says which write it was.
  std::uint64_t written_ms = 0;
  /// For what the session has seen, or the call has named, to be visible where it was answered.
  std::chrono::nanoseconds waited{0};
  /// What is read was the newest there was no longer ago than this, at the time of the answer; 0 for strong types;
  /// absent = no bound is known.
  std::optional<std::chrono::nanoseconds> staleness{};
};
std::string_view name_of(receipt::source s);

/// Of the guarantees of a session (Terry et al., 1994), those that it wants for types of level session. Causal
/// operations always have all of them, eventual ones none.
struct session_guarantees {
  bool read_your_writes = true;    ///< a read sees what this session has written before
  bool monotonic_reads = true;     ///< a read sees what this session has read before
  bool monotonic_writes = true;    ///< everybody sees this session's writes in its order
  bool writes_follow_reads = true; ///< everybody sees a write after what this session had read before it
};

/// get_siblings: what was written concurrently and not replaced yet.
struct siblings {
  std::vector<std::string> values; ///< by stamp, the newest first; empty = there is nothing
  /// What a write quotes (call_options::context) to replace exactly these and nothing else; printable, authenticated.
  std::string context;
  std::optional<troupe::receipt> receipt{};
};

struct elements {
  std::vector<std::string> values; ///< each once, sorted by bytes; empty = none, or no such key
  std::optional<troupe::receipt> receipt{};
};

struct fields {
  std::map<std::string, std::string> values; ///< empty = none, or no such key
  std::optional<troupe::receipt> receipt{};
};

} // namespace troupe
