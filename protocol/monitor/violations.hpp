/// Counts what was found to break a promise, or nearly did, and decides whom that is worth waking.
///
/// Events come in; notices about alerts go out. An alert is one (what happened, data type, level): it is raised by
/// its first event, repeated at most once per `fold` while there are more, and resolved when there have been none for
/// `resolve`. Beside the violations, the share of operations that succeed is held against each level's target.
#pragma once

#include "protocol/ids.hpp"

#include <troupe/level.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace troupe {

/// What the checks that run beside every operation find.
enum class violation_kind : std::uint8_t {
  checksum,                  ///< bytes that are not those that were written
  session_went_back,         ///< an answer older than what its session had seen or written
  version_failed_validation, ///< a copy whose version nobody entitled to know it confirmed
  dependency_missing,        ///< an effect where its causes were not
  bound_exceeded,            ///< staler than the caller allowed
  history_refuted,           ///< the auditor has proved that a promise was broken
};
inline constexpr std::array all_violation_kinds{
    violation_kind::checksum,           violation_kind::session_went_back, violation_kind::version_failed_validation,
    violation_kind::dependency_missing, violation_kind::bound_exceeded,    violation_kind::history_refuted};
std::string_view name_of(violation_kind kind);
/// One sentence for people, without its end.
std::string_view text_of(violation_kind kind);

/// Who got to see it.
enum class violation_end : std::uint8_t {
  prevented, ///< nobody: the read waited, was redone, or ended with an error
  served,    ///< a caller
};
std::string_view name_of(violation_end end);

struct violation_event {
  violation_kind kind = violation_kind::checksum;
  violation_end end = violation_end::prevented;
  level given = level::strong; ///< that the operation was to be given
  std::string type{};          ///< data type; empty = of none
  std::string key{};           ///< as stored; empty = of none
  std::string detail{};        ///< for people; never a value's bytes
  instant at{};
  std::uint64_t count = 1; ///< equal ones together; 0 = the event is void
};

/// Operations of one level since the last such event. Left out are those that their caller gave up, or asked wrongly.
struct operation_tally {
  level given = level::strong;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0; ///< not done, or unknown
  instant at{};
};

enum class alert_severity : std::uint8_t { warning, critical };
std::string_view name_of(alert_severity severity);

struct alert {
  std::string name; ///< of what happened: "violation_served", "violation_prevented", "success_rate_missed"
  alert_severity severity = alert_severity::warning;
  std::string kind; ///< of the violation; empty for a success rate
  std::string type; ///< empty = of none, or of many
  level given = level::strong;
  std::string summary;     ///< one sentence
  std::string key, detail; ///< of the newest event
  instant began;           ///< first event
  instant last;            ///< newest event
  std::uint64_t count = 0; ///< events since it was raised
  std::uint64_t since = 0; ///< of these, those that no notice has told of before
};

enum class alert_turn : std::uint8_t { raised, repeated, resolved };
std::string_view name_of(alert_turn turn);

/// What there is to tell about an alert.
struct alert_notice {
  alert_turn turn = alert_turn::raised;
  alert about;
  instant at;
};

class violation_ledger {
public:
  using effects = std::vector<alert_notice>;
  static constexpr std::size_t levels = 4;

  struct options {
    nanoseconds fold = std::chrono::minutes{5};    ///< an alert is told of at most once in
    nanoseconds resolve = std::chrono::minutes{5}; ///< without an event after which it is over
    nanoseconds window = std::chrono::minutes{5};  ///< that success rates are taken over
    std::uint64_t operations_min = 1'000;          ///< in the window; fewer miss no target
    /// Operations of a million that have to succeed, by level.
    std::array<std::uint32_t, levels> target_ppm{995'000, 999'000, 998'000, 999'000};
    std::size_t alerts_max = 1'024; ///< active at a time; beyond, one per kind and level takes them all in
    std::size_t counts_max = 4'096; ///< series that are counted; beyond, likewise
    std::size_t text_bytes_max = 512;
  };

  /// What a series of counts is of.
  struct series {
    violation_kind kind = violation_kind::checksum;
    violation_end end = violation_end::prevented;
    std::string type;
    level given = level::strong;
    friend auto operator<=>(const series&, const series&) = default;
  };

  explicit violation_ledger(const options& o) : options_(o) {}

  /// An event that is older than what was seen before counts as of now.
  void note(violation_event event, effects& out);
  void note(const operation_tally& event, effects& out);
  /// Repeats and resolves what is due; changes nothing when called early or twice.
  void tick(instant now, effects& out);
  /// When tick() has something to do; `never` = not before the next event.
  instant wake_at() const;

  /// Ordered by kind, end, type, level; grows only.
  const std::map<series, std::uint64_t>& counts() const { return counts_; }
  std::uint64_t count_of(violation_kind kind, violation_end end) const;
  /// Alerts that were raised and are not resolved.
  std::size_t active() const { return alerts_.size(); }

private:
  using alert_key = std::tuple<std::string, std::string, std::string, level>; ///< name, kind, type, level
  struct entry {
    alert about;
    instant told;
  };
  /// A ring of parts of the window. A part is emptied when its place is needed again, or its time is over.
  struct rate {
    static constexpr std::size_t parts = 30;
    std::array<std::uint64_t, parts> succeeded{};
    std::array<std::uint64_t, parts> failed{};
    std::int64_t newest = 0; ///< number of the part that is filled now
    bool missed = false;     ///< as last evaluated
  };

  instant advance(instant at);
  void count(const violation_event& event);
  void event(alert about, effects& out);
  void tell(entry& e, alert_turn turn, effects& out) const;
  nanoseconds part_length() const;
  void slide(rate& r) const;
  void evaluate(level l, effects& out);

  const options options_;
  instant now_{};
  std::map<series, std::uint64_t> counts_;
  std::map<alert_key, entry> alerts_;
  std::array<rate, levels> rates_{};
};

} // namespace troupe
