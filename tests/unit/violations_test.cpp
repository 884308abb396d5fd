/// The ledger of violations: what is counted, whom it is worth waking, how often, and when it is over.
#include "protocol/monitor/violations.hpp"
#include "protocol/mutation.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr violation_ledger::options minutes{.fold = 60s, .resolve = 120s, .window = 300s, .operations_min = 100};

instant at(nanoseconds since_start) { return instant{1h + since_start}; }

violation_event served(nanoseconds when, violation_kind kind = violation_kind::checksum,
                       std::string type = "inventory") {
  return {.kind = kind, .end = violation_end::served, .type = std::move(type), .key = "inventory:k", .at = at(when)};
}

/// The environment: keeps what is told.
struct desk {
  explicit desk(const violation_ledger::options& o = minutes) : ledger(o) {}
  violation_ledger ledger;
  violation_ledger::effects told;

  void note(violation_event v) { ledger.note(std::move(v), told); }
  void operations(level l, std::uint64_t succeeded, std::uint64_t failed, nanoseconds when) {
    ledger.note({l, succeeded, failed, at(when)}, told);
  }
  void tick(nanoseconds when) { ledger.tick(at(when), told); }
  std::string turns() const {
    std::string all;
    for (const auto& n : told)
      all += (all.empty() ? "" : " ") + std::string{name_of(n.turn)};
    return all;
  }
};

} // namespace

TEST_CASE("violations: what was served and what was prevented are two counts, by kind, type and level") {
  desk d;
  for (const auto kind : all_violation_kinds)
    for (const auto end : {violation_end::prevented, violation_end::served})
      d.note({.kind = kind, .end = end, .given = level::causal, .type = "cart", .at = at(0s), .count = 3});
  d.note({.kind = violation_kind::checksum, .end = violation_end::served, .type = "cart", .at = at(0s)});
  CHECK(d.ledger.counts().size() == 2 * all_violation_kinds.size() + 1);
  CHECK(d.ledger.count_of(violation_kind::checksum, violation_end::served) == 4);
  CHECK(d.ledger.count_of(violation_kind::checksum, violation_end::prevented) == 3);
  CHECK(d.ledger.count_of(violation_kind::bound_exceeded, violation_end::prevented) == 3);
  CHECK(d.ledger.counts().at({violation_kind::checksum, violation_end::served, "cart", level::strong}) == 1);
}

TEST_CASE("violations: a served one is critical; a read that waited as it should is counted and wakes nobody") {
  desk d;
  for (const auto kind :
       {violation_kind::session_went_back, violation_kind::dependency_missing, violation_kind::bound_exceeded})
    d.note({.kind = kind, .end = violation_end::prevented, .at = at(0s)});
  CHECK(d.told.empty());
  d.note({.kind = violation_kind::checksum, .end = violation_end::prevented, .at = at(0s)});
  REQUIRE(d.told.size() == 1);
  CHECK(d.told[0].about.severity == alert_severity::warning);
  CHECK(d.told[0].about.name == "violation_prevented");
  for (const auto kind : all_violation_kinds)
    d.note(served(1s, kind));
  REQUIRE(d.told.size() == 1 + all_violation_kinds.size());
  for (std::size_t i = 1; i < d.told.size(); ++i) {
    CHECK(d.told[i].about.severity == alert_severity::critical);
    CHECK(d.told[i].about.kind == name_of(all_violation_kinds[i - 1]));
    CHECK(d.told[i].about.summary.starts_with("served: "));
  }
}

namespace {

/// Events at 0, 1, 2, 59, 61 and 62 s; what was told of them.
violation_ledger::effects told_of_six() {
  desk d;
  for (const auto s : {0s, 1s, 2s, 59s, 61s, 62s})
    d.note(served(s));
  d.tick(62s);
  d.tick(121s);
  return d.told;
}

} // namespace

TEST_CASE("violations: the same alert is told of once per fold, with how often it happened since") {
  const auto told = told_of_six();
  REQUIRE(told.size() == 3);
  CHECK(told[0].turn == alert_turn::raised);
  CHECK(told[0].about.since == 1);
  CHECK(told[1].turn == alert_turn::repeated); // by the event at 61 s
  CHECK(told[1].about.since == 4);
  CHECK(told[1].about.count == 5);
  CHECK(told[1].about.began == at(0s));
  CHECK(told[1].about.last == at(61s));
  CHECK(told[2].turn == alert_turn::repeated); // by the clock, for the event at 62 s
  CHECK(told[2].at == at(121s));
  CHECK(told[2].about.since == 1);
  CHECK(told[2].about.count == 6);
}

TEST_CASE("violations: planted: without folding every event is told of") {
  plant(mutation::alert_not_folded);
  const auto told = told_of_six();
  plant(mutation::none);
  CHECK(told.size() > 3);
}

TEST_CASE("violations: type, level and end make different alerts; the key does not") {
  desk d;
  d.note(served(0s));
  d.note(served(0s, violation_kind::checksum, "orders"));
  auto other_level = served(0s);
  other_level.given = level::eventual;
  d.note(other_level);
  auto other_end = served(0s);
  other_end.end = violation_end::prevented;
  d.note(other_end);
  CHECK(d.turns() == "raised raised raised raised");
  auto other_key = served(1s);
  other_key.key = "inventory:other";
  d.note(other_key);
  CHECK(d.told.size() == 4);
  CHECK(d.ledger.active() == 4);
}

TEST_CASE("violations: an alert is resolved after quiet time, once, and may be raised again") {
  desk d;
  d.note(served(0s));
  CHECK(d.ledger.wake_at() == at(120s));
  d.note(served(10s));
  CHECK(d.ledger.wake_at() == at(60s)); // to tell of the second
  d.tick(60s);
  CHECK(d.turns() == "raised repeated");
  CHECK(d.ledger.wake_at() == at(130s));
  d.tick(129s);
  CHECK(d.ledger.active() == 1);
  d.tick(130s);
  d.tick(131s);
  CHECK(d.turns() == "raised repeated resolved");
  CHECK(d.told.back().about.count == 2);
  CHECK(d.ledger.active() == 0);
  CHECK(d.ledger.wake_at() == never);
  d.note(served(200s));
  CHECK(d.turns() == "raised repeated resolved raised");
  CHECK(d.told.back().about.count == 1);
  CHECK(d.told.back().about.began == at(200s));
}

TEST_CASE("violations: time does not go back, and an event of the past counts as of now") {
  desk d;
  d.tick(100s);
  d.note(served(0s));
  CHECK(d.told[0].at == at(100s));
  d.tick(0s);
  d.tick(219s);
  CHECK(d.turns() == "raised");
  d.tick(220s);
  CHECK(d.turns() == "raised resolved");
}

TEST_CASE("violations: an event that happened no times is void") {
  desk d;
  auto none = served(0s);
  none.count = 0;
  d.note(none);
  CHECK(d.told.empty());
  CHECK(d.ledger.counts().empty());
}

TEST_CASE("violations: each level has its target, which one failure too many misses") {
  const std::pair<level, std::uint64_t> allowed[] = {
      {level::strong, 10}, {level::session, 10}, {level::causal, 20}, {level::eventual, 50}};
  for (const auto& [l, failures] : allowed) {
    CAPTURE(name_of(l));
    desk d;
    d.operations(l, 10'000 - failures, failures, 0s);
    CHECK(d.told.empty());
    d.operations(l, 0, 1, 1s);
    REQUIRE(d.told.size() == 1);
    CHECK(d.told[0].about.name == "success_rate_missed");
    CHECK(d.told[0].about.given == l);
    CHECK(d.told[0].about.detail.find(std::to_string(failures + 1) + " of 10001 failed") == 0);
  }
}

namespace {
std::string turns_after_one_failure() {
  desk d;
  d.operations(level::strong, 98, 1, 0s);
  return d.turns();
}
} // namespace

TEST_CASE("violations: too few operations miss no target") {
  CHECK(turns_after_one_failure().empty());
  desk d;
  d.operations(level::strong, 98, 1, 0s);
  d.operations(level::strong, 1, 0, 0s);
  CHECK(d.turns() == "raised");
}

TEST_CASE("violations: planted: without a minimum one failure is an alert") {
  plant(mutation::rate_without_minimum);
  const auto turns = turns_after_one_failure();
  plant(mutation::none);
  CHECK(turns == "raised");
}

TEST_CASE("violations: a missed target is repeated while it is missed, and over when the window has passed") {
  desk d;
  d.operations(level::causal, 900, 100, 0s);
  CHECK(d.turns() == "raised");
  for (auto s = 0s; s < 1000s; ++s)
    if (d.ledger.wake_at() <= at(s)) d.tick(s);
  CHECK(d.ledger.active() == 0);
  REQUIRE(d.told.size() > 2);
  CHECK(d.told.size() < 8);
  CHECK(d.told.back().turn == alert_turn::resolved);
  CHECK(d.told.back().at >= at(300s)); // the window, and after it the quiet time
  CHECK(d.told.back().at <= at(430s));
}

TEST_CASE("violations: what many good operations outweigh is no miss any more") {
  desk d;
  d.operations(level::strong, 900, 100, 0s);
  d.operations(level::strong, 1'000'000, 0, 1s);
  for (auto s = 0s; s < 200s; ++s)
    d.tick(s);
  CHECK(d.turns() == "raised resolved");
  CHECK(d.told.back().at == at(120s));
}

TEST_CASE("X1: violations: series and alerts are bounded, and what does not fit is counted together") {
  auto bounds = minutes;
  bounds.alerts_max = 8;
  bounds.counts_max = 16;
  bounds.text_bytes_max = 10;
  desk d{bounds};
  for (int i = 0; i < 1'000; ++i)
    d.note(served(0s, violation_kind::checksum, "type" + std::to_string(i)));
  CHECK(d.ledger.counts().size() == 17);
  CHECK(d.ledger.count_of(violation_kind::checksum, violation_end::served) == 1'000);
  CHECK(d.ledger.active() == 9);
  CHECK(d.told.back().about.type == "*");
  d.tick(60s);
  CHECK(d.told.back().about.since == 991);
  auto wordy = served(61s);
  wordy.type = "type0";
  wordy.detail = std::string(9, 'x') + "\xC3\xA4 and more"; // a character on the border is left out, not cut
  d.note(wordy);
  CHECK(d.told.back().about.detail == std::string(9, 'x'));
}

TEST_CASE("violations: whatever comes, every event is told of, and every alert ends") {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    std::mt19937 random{seed};
    desk d;
    std::uint64_t events = 0;
    auto now = 0s;
    for (int i = 0; i < 500; ++i, now += std::chrono::seconds{random() % 20}) {
      if (d.ledger.wake_at() <= at(now)) d.tick(now);
      if (random() % 3 != 0) continue;
      const std::uint64_t count = random() % 3;
      auto v = served(now, all_violation_kinds[random() % all_violation_kinds.size()],
                      "type" + std::to_string(random() % 3));
      v.count = count;
      d.note(v);
      events += count;
    }
    for (int i = 0; i < 1'000; ++i, ++now)
      d.tick(now);
    std::uint64_t told = 0;
    int open = 0;
    for (const auto& n : d.told) {
      told += n.about.since;
      open += n.turn == alert_turn::raised ? 1 : n.turn == alert_turn::resolved ? -1 : 0;
    }
    CHECK(told == events);
    CHECK(open == 0);
    CHECK(d.ledger.active() == 0);
  }
}
