#include "protocol/monitor/violations.hpp"

#include "protocol/mutation.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace troupe {

namespace {

constexpr std::string_view others = "*"; ///< no type is called so

/// What was prevented in the ordinary course of a protocol is counted and wakes nobody: that a session's read waits
/// for what the session has seen is how the promise is kept.
std::optional<alert_severity> severity_of(violation_kind kind, violation_end end) {
  if (end == violation_end::served) return alert_severity::critical;
  switch (kind) {
  case violation_kind::checksum:
  case violation_kind::version_failed_validation:
  case violation_kind::history_refuted:
    return alert_severity::warning;
  case violation_kind::session_went_back:
  case violation_kind::dependency_missing:
  case violation_kind::bound_exceeded:
    return std::nullopt;
  }
  return alert_severity::critical;
}

/// Whole characters of `text` that fit.
void shorten(std::string& text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return;
  auto end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;
  text.resize(end);
}

std::string percent(std::uint64_t ppm) {
  auto digits = std::to_string(ppm % 10'000 / 100);
  if (digits.size() < 2) digits.insert(digits.begin(), '0');
  return std::to_string(ppm / 10'000) + "." + digits + " %";
}

} // namespace

std::string_view name_of(violation_kind kind) {
  switch (kind) {
  case violation_kind::checksum:
    return "checksum";
  case violation_kind::session_went_back:
    return "session_went_back";
  case violation_kind::version_failed_validation:
    return "version_failed_validation";
  case violation_kind::dependency_missing:
    return "dependency_missing";
  case violation_kind::bound_exceeded:
    return "bound_exceeded";
  case violation_kind::history_refuted:
    return "history_refuted";
  }
  return "?";
}

std::string_view text_of(violation_kind kind) {
  switch (kind) {
  case violation_kind::checksum:
    return "damaged bytes";
  case violation_kind::session_went_back:
    return "an answer older than what its session had seen";
  case violation_kind::version_failed_validation:
    return "a copy whose version was not confirmed";
  case violation_kind::dependency_missing:
    return "an effect without its causes";
  case violation_kind::bound_exceeded:
    return "an answer staler than was allowed";
  case violation_kind::history_refuted:
    return "a history that the promise does not allow";
  }
  return "?";
}

std::string_view name_of(violation_end end) { return end == violation_end::served ? "served" : "prevented"; }

std::string_view name_of(alert_severity severity) {
  return severity == alert_severity::critical ? "critical" : "warning";
}

std::string_view name_of(alert_turn turn) {
  switch (turn) {
  case alert_turn::raised:
    return "raised";
  case alert_turn::repeated:
    return "repeated";
  case alert_turn::resolved:
    return "resolved";
  }
  return "?";
}

instant violation_ledger::advance(instant at) { return now_ = std::max(now_, at); }

void violation_ledger::note(violation_event e, effects& out) {
  if (e.count == 0) return;
  const auto at = advance(e.at);
  count(e);
  const auto severity = severity_of(e.kind, e.end);
  if (!severity) return;
  shorten(e.key, options_.text_bytes_max);
  shorten(e.detail, options_.text_bytes_max);
  alert about;
  about.name = e.end == violation_end::served ? "violation_served" : "violation_prevented";
  about.severity = *severity;
  about.kind = name_of(e.kind);
  about.type = std::move(e.type);
  about.given = e.given;
  about.summary = std::string{name_of(e.end)} + ": " + std::string{text_of(e.kind)};
  about.key = std::move(e.key);
  about.detail = std::move(e.detail);
  about.began = about.last = at;
  about.count = e.count;
  event(std::move(about), out);
}

void violation_ledger::count(const violation_event& e) {
  series of{e.kind, e.end, e.type, e.given};
  shorten(of.type, options_.text_bytes_max);
  if (counts_.size() >= options_.counts_max && !counts_.contains(of)) of.type = others;
  counts_[std::move(of)] += e.count;
}

std::uint64_t violation_ledger::count_of(violation_kind kind, violation_end end) const {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0}, [&](std::uint64_t sum, const auto& c) {
    return c.first.kind == kind && c.first.end == end ? sum + c.second : sum;
  });
}

void violation_ledger::event(alert about, effects& out) {
  shorten(about.type, options_.text_bytes_max);
  if (alerts_.size() >= options_.alerts_max && !alerts_.contains({about.name, about.kind, about.type, about.given}))
    about.type = others;
  alert_key key{about.name, about.kind, about.type, about.given};
  const auto found = alerts_.find(key);
  if (found == alerts_.end()) {
    about.since = about.count;
    auto& fresh = alerts_.emplace(std::move(key), entry{std::move(about), now_}).first->second;
    return tell(fresh, alert_turn::raised, out);
  }
  auto& known = found->second;
  known.about.key = std::move(about.key);
  known.about.detail = std::move(about.detail);
  known.about.last = now_;
  known.about.count += about.count;
  known.about.since += about.count;
  if (now_ - known.told >= options_.fold || mutated(mutation::alert_not_folded))
    tell(known, alert_turn::repeated, out);
}

void violation_ledger::tell(entry& e, alert_turn turn, effects& out) const {
  e.told = now_;
  out.push_back({turn, e.about, now_});
  e.about.since = 0;
}

void violation_ledger::tick(instant now, effects& out) {
  now = advance(now);
  for (std::size_t l = 0; l < levels; ++l)
    if (rates_[l].missed) evaluate(static_cast<level>(l), out);
  for (auto next = alerts_.begin(); next != alerts_.end();) {
    auto& e = next->second;
    if (now - e.about.last >= options_.resolve) {
      tell(e, alert_turn::resolved, out);
      next = alerts_.erase(next);
      continue;
    }
    if (e.about.since > 0 && now - e.told >= options_.fold) tell(e, alert_turn::repeated, out);
    ++next;
  }
}

instant violation_ledger::wake_at() const {
  auto at = never;
  for (const auto& [key, e] : alerts_) {
    at = std::min(at, e.about.last + options_.resolve);
    if (e.about.since > 0) at = std::min(at, e.told + options_.fold);
  }
  for (const auto& r : rates_)
    if (r.missed) at = std::min(at, instant{part_length() * (r.newest + 1)});
  return at;
}

// -- success rates
// ----------------------------------------------------------------------------------------------------

nanoseconds violation_ledger::part_length() const {
  return std::max(options_.window / static_cast<std::int64_t>(rate::parts), nanoseconds{1});
}

void violation_ledger::slide(rate& r) const {
  const std::int64_t newest = now_.time_since_epoch() / part_length();
  constexpr std::int64_t parts = rate::parts;
  for (auto n = std::max(r.newest + 1, newest - parts + 1); n <= newest; ++n) {
    const auto place = static_cast<std::size_t>(n % parts);
    r.succeeded[place] = r.failed[place] = 0;
  }
  r.newest = std::max(r.newest, newest);
}

void violation_ledger::note(const operation_tally& e, effects& out) {
  advance(e.at);
  auto& r = rates_[static_cast<std::size_t>(e.given)];
  slide(r);
  const auto place = static_cast<std::size_t>(r.newest % static_cast<std::int64_t>(rate::parts));
  r.succeeded[place] += e.succeeded;
  r.failed[place] += e.failed;
  evaluate(e.given, out);
}

void violation_ledger::evaluate(level l, effects& out) {
  auto& r = rates_[static_cast<std::size_t>(l)];
  slide(r);
  const auto succeeded = std::accumulate(r.succeeded.begin(), r.succeeded.end(), std::uint64_t{0});
  const auto failed = std::accumulate(r.failed.begin(), r.failed.end(), std::uint64_t{0});
  const auto all = succeeded + failed;
  const auto target = options_.target_ppm[static_cast<std::size_t>(l)];
  const bool enough = all > 0 && (all >= options_.operations_min || mutated(mutation::rate_without_minimum));
  r.missed = enough && failed * 1'000'000 > all * (1'000'000 - target);
  if (!r.missed) return;
  alert about;
  about.name = "success_rate_missed";
  about.severity = alert_severity::warning;
  about.given = l;
  about.summary = "fewer operations succeed than the level's target asks for";
  about.detail = std::to_string(failed) + " of " + std::to_string(all) + " failed: "
                 + percent(succeeded * 1'000'000 / all) + " succeeded, the target is " + percent(target);
  about.began = about.last = now_;
  about.count = 1;
  event(std::move(about), out);
}

} // namespace troupe
