#pragma once
/// Judges histories while they grow: operations of sampled keys and sessions go in, verdicts come out.
///
/// A node sees the operations of its own clients only, and never all of the past. What is *refuted* is a proof all
/// the same, because nothing is assumed that an unseen operation could have made otherwise:
///
///   strong    Answers carry versions, each of which was committed once, and in their order. One key: what is checked
///             is that there are moments, one in each operation, at which the key had the versions that were
///             answered. Versions that nobody here wrote may have been written at any moment.
///   weaker    Answers carry the version of the write that they are from. All sampled sessions of a level together:
///             versions that nobody here wrote are writes of sessions that saw nothing and wrote nothing else.
///
/// A missing operation therefore makes a verdict weaker, never wrong. Where every operation of every client is seen
/// (`complete`), values are checked as they are, with no regard to versions; then a window begins with any value that
/// anybody could have found, and an operation that was lost makes its window undecided.
///
/// A refutation is written as a history, and announced only if `troupe check` refutes what is written.

#include "protocol/check/linearizability.hpp"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::check {

/// What a history is held against. Eventual consistency promises nothing that the history of one node could show.
enum class promise : std::uint8_t { linearizable, causal, session };
inline constexpr std::array promises{promise::linearizable, promise::causal, promise::session};
std::string_view name_of(promise p);

/// Names a committed state of a key; all 0 = none is known. The parts of a strong one (round, node, incarnation,
/// counter) are compared in order; of a weaker one (node, incarnation, sequence number, 0) only equality is looked
/// at.
struct audit_version {
  std::array<std::uint64_t, 4> parts{};
  friend auto operator<=>(const audit_version&, const audit_version&) = default;
  explicit operator bool() const { return *this != audit_version{}; }
};
std::string to_string(const audit_version& v);

/// Which keys and sessions are sampled: the same ones everywhere and always, for one seed.
struct audit_sample {
  double rate = 0; ///< 0 = none, 1 = all
  std::uint64_t seed = 0;
  bool takes_key(std::string_view stored_key) const;
  bool takes_session(std::uint64_t session) const;
};

/// A value as audits keep it: short ones as they are, of longer ones length and checksum. Different texts are of
/// different values.
std::string audit_text(std::string value);

/// One operation of a client.
struct audited {
  promise held_to = promise::linearizable;
  std::string type; ///< data type
  /// As a recorder writes it; values through audit_text(). Clients are sessions: they may have several calls open.
  operation line;
  audit_version at; ///< of what was read, or written
};

struct audit_finding {
  verdict result = verdict::yes;
  promise held_to = promise::linearizable;
  std::string property{};     ///< for `troupe check`
  std::string type{}, key{};  ///< of the window, or of the operation whose answer is wrong
  std::size_t operations = 0; ///< that were judged together
  std::string why{};          ///< undecided: a sentence
  std::string text{};         ///< refuted: for people
  std::string history{};      ///< refuted: lines that `troupe check` refutes
};

struct audit_options {
  std::int64_t window_ns = 10'000'000'000; ///< a window is judged when it is as long
  std::size_t window_operations_max = 512; ///< or has as many operations, of one key; four times as many of sessions
  std::size_t windows_max = 4'096;
  std::size_t operations_max = 65'536; ///< kept in all windows; beyond they are dropped, and counted
  std::size_t bytes_max = std::size_t{32} << 20;
  bool complete = false;
  std::uint64_t states_max = 1'000'000; ///< of one search
  std::size_t memory_bytes_max = std::size_t{64} << 20;
};

class audit {
public:
  using effects = std::vector<audit_finding>;

  explicit audit(const audit_options& options) : options_(options) {}

  /// An operation is about to be sent. Only needed where all operations are seen, and its value may be read before it
  /// has ended; a duplicate ticket, or an end without a beginning, does no harm.
  /// @param ticket  unique; 0 and up.
  void begin(std::uint64_t ticket, audited call);
  /// It has ended; one whose outcome is unknown may yet happen.
  void end(std::uint64_t ticket, audited done, effects& out);
  /// Judges the windows that are full by time.
  void tick(std::int64_t now_ns, effects& out);
  /// Judges whatever there is.
  void finish(effects& out);
  /// An operation was lost on its way here, of whichever key; whoever lost it counts it. Of no weight unless the
  /// audit is complete.
  void lose();

  std::size_t operations() const { return operations_; } ///< kept
  std::size_t windows() const { return windows_.size(); }
  std::uint64_t dropped() const { return dropped_; }

private:
  using window_name = std::pair<promise, std::string>; ///< the key; empty for sessions
  struct window {
    std::vector<audited> ended;
    std::map<std::uint64_t, audited> open; ///< by ticket; of complete audits only
    std::int64_t since = 0;                ///< when its first operation that was not judged before was called
    std::size_t fresh = 0;                 ///< operations at the end of `ended` that were not judged before
    bool cut = false;                      ///< there were operations before those that are kept
    std::int64_t cut_ns = 0;               ///< and when the last of them had returned
    bool gap = false;                      ///< some were lost; for good, since what they wrote may stay for long
  };

  static window_name name_for(const audited& op);
  window* window_for(const audited& op);
  bool has_room_for(const audited& op) const;
  void take(window& w, audited op);
  void drop(window& w, std::size_t first, std::size_t last);
  void give_up(window& w);
  void judge(const window_name& name, window& w, effects& out);
  void keep_rest(promise held_to, window& w, bool refuted);
  void keep_half(window& w, bool refuted);

  const audit_options options_;
  std::map<window_name, window> windows_;
  std::size_t operations_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
  // Of windows that are not there any more, and that a new one may be the successor of:
  bool forgot_ = false;        ///< there were some
  std::int64_t forgot_ns_ = 0; ///< when the last of their operations had returned
  bool lost_ = false;          ///< and some of theirs were lost
};

/// The history that stands for these operations of one key and their versions: see above. Those without a version,
/// and those that did not happen, are left out.
///
/// Every operation is a read of the version that it was answered, at some moment between call and return; the writes
/// of the versions, in their order, are compare-and-sets from each to the next. They take effect at any moment, but
/// that of a version which an operation wrote, during that operation.
history history_of_versions(const std::vector<audited>& operations);

/// Two operations whose versions contradict the order of their calls and returns, or each other; none = there are no
/// two. Exactly then history_of_versions() is linearizable.
std::optional<std::pair<std::size_t, std::size_t>> contradiction_in(const std::vector<audited>& operations);

/// The history that stands for these operations of sessions, likewise.
history history_of_sessions(const std::vector<audited>& operations);

/// Operations of one key with nothing said about what came before: whatever value was there is put by an operation of
/// unknown outcome. None = which values could have been there cannot be listed.
std::optional<history> history_with_any_start(const history& cut);

} // namespace troupe::check
