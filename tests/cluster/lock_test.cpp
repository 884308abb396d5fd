/// One named lock among processes, while its owners, those who wait for it, and the nodes that keep it are killed and
/// stopped.
#include "tests/support/cluster_load.hpp"
#include "tests/support/owner_process.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <random>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t hand_overs_wanted = 1'000;
constexpr std::size_t owners_at_a_time = 5;
constexpr auto pause_unit = 500ms;
/// Of owners in the middle of what they do under the lock; of the first, the second …
constexpr std::array<std::chrono::milliseconds, 5> naps{30'000ms, 600ms, 1'000ms, 2'000ms, 5'000ms};

/// Owners of one lock on three nodes, and what is done to them. What goes wrong throws a sentence.
class contest {
public:
  contest() : cluster_{options()} {
    if (!cluster_.start()) throw std::runtime_error{"the cluster does not start"};
    while (owners_.size() < owners_at_a_time)
      add_owner();
    wait_for_hand_overs(20, 20s);
  }

  void kill_an_owner() {
    auto& victim = any_owner();
    victim->kill9();
    ended_.push_back(std::move(victim));
    owners_.erase(std::find(owners_.begin(), owners_.end(), nullptr));
    add_owner();
    ++faults_;
  }
  /// Longer than it may have the lock, or not.
  void stop_an_owner(std::chrono::milliseconds how_long) {
    auto& victim = any_owner();
    victim->stop();
    pass(how_long);
    victim->cont();
    ++faults_;
  }
  void kill_a_node() {
    auto& victim = cluster_.node(random(cluster_.size()));
    victim.kill9();
    pass(300ms);
    victim.start();
    if (!victim.wait_ready(20s)) throw std::runtime_error{victim.name + " is not ready:\n" + victim.log()};
    ++faults_;
  }
  void stop_a_node(std::chrono::milliseconds how_long) {
    auto& victim = cluster_.node(random(cluster_.size()));
    victim.stop();
    pass(how_long);
    victim.cont();
    ++faults_;
  }

  std::size_t random(std::size_t below) { return random_() % below; }
  void pass(std::chrono::milliseconds time) {
    (void)wait_until([] { return false; }, time);
  }
  ledger_verdict so_far() const {
    std::vector<ledger_entry> all;
    for (const auto* list : {&owners_, &ended_})
      for (const auto& owner : *list)
        for (auto& entry : owner->ledger())
          all.push_back(std::move(entry));
    return judge(std::move(all));
  }
  void wait_for_hand_overs(std::size_t more, std::chrono::milliseconds at_most) const {
    const auto before = so_far().hand_overs;
    if (wait_until(
            [&] {
              (void)wait_until([] { return false; }, 100ms);
              return so_far().hand_overs >= before + more;
            },
            at_most))
      return;
    std::string errors;
    for (const auto& owner : owners_)
      errors += owner->name() + ": " + owner->errors();
    throw std::runtime_error{"the lock is not handed over any more\n" + errors};
  }
  /// Kills whoever still runs, so that all that was written down is there.
  ledger_verdict conclude() {
    for (auto& owner : owners_)
      owner->kill9();
    return so_far();
  }
  std::size_t faults() const { return faults_; }
  void keep() { cluster_.keep_folder(); }

private:
  static cluster_options options() {
    cluster_options o;
    o.shards = 5;
    o.lease_ms = 300;
    return o;
  }
  void add_owner() {
    const auto nap = naps[names_++ % naps.size()];
    owners_.push_back(std::make_unique<owner_process>(cluster_, "owner-" + std::to_string(names_), nap));
  }
  std::unique_ptr<owner_process>& any_owner() { return owners_[random(owners_.size())]; }

  test_cluster cluster_;
  std::vector<std::unique_ptr<owner_process>> owners_, ended_;
  std::size_t names_ = 0, faults_ = 0;
  std::mt19937 random_{20260923}; // NOLINT: the same faults in every run
};

ledger_entry held(const std::string& owner, std::uint64_t n, std::int64_t from, std::int64_t until) {
  return {.what = ledger_entry::kind::held, .owner = owner, .under = {{1, 1, 1, n}}, .begun = from, .ended = until};
}
ledger_entry did(ledger_entry::kind what, std::uint64_t under, std::int64_t at, std::uint64_t value = 0) {
  ledger_entry e{.what = what, .owner = "a", .under = {{1, 1, 1, under}}, .begun = at, .ended = at + 1};
  if (value != 0) e.value = {{1, 1, 1, value}};
  return e;
}

} // namespace

TEST_CASE("S4, S5: the judge of the ledgers finds planted violations, and nothing in a sound ledger") {
  using kind = ledger_entry::kind;
  const std::vector<ledger_entry> sound{held("a", 1, 10, 20),      did(kind::read, 1, 11), did(kind::wrote, 1, 13),
                                        did(kind::read, 1, 15, 1), held("a", 1, 16, 30),   did(kind::tried, 1, 35),
                                        held("b", 7, 40, 90),      did(kind::gave, 7, 50), did(kind::read, 7, 41, 1)};
  const auto found = judge(sound);
  CHECK(found.problems.empty());
  CHECK(found.grants == 2);
  CHECK(found.hand_overs == 1);
  CHECK(found.writes == 1);
  CHECK(found.late_writes_refused == 1);

  auto with = [&](ledger_entry planted) {
    auto all = sound;
    all.push_back(std::move(planted));
    const auto verdict = judge(all);
    return verdict.problems.empty() ? std::string{"nothing"} : verdict.problems.front();
  };
  CHECK(with(held("c", 5, 29, 35)).starts_with("S5: c under 1.1.1.5 [29, 35] begins before"));
  CHECK(with(held("c", 5, 45, 55)).find("begins before") != std::string::npos); // a token that goes back
  CHECK(with(held("c", 7, 60, 65)).starts_with("S5: one token for two"));
  CHECK(with(did(kind::wrote, 1, 31)).starts_with("S4: a write succeeded that began after its owner's time"));
  CHECK(with(did(kind::read, 7, 43, 5)).starts_with("S4: a under 1.1.1.7 [43, 44] finds 1.1.1.5"));
  CHECK(with(did(kind::read, 7, 43, 9)).starts_with("S5: a under 1.1.1.7 [43, 44] finds the later token"));
  CHECK(with(did(kind::read, 3, 43)).starts_with("nobody was granted"));
  CHECK(with(did(kind::read, 7, 43, 1)) == "nothing");
}

TEST_CASE(
    "S4, S5: a thousand hand-overs of one lock, with owners and nodes killed and stopped: never two owners, and "
    "nothing changes under an older token") {
  contest run;
  try {
    for (int round = 0; round < 4; ++round) {
      run.kill_an_owner();
      run.stop_an_owner(pause_unit + 500ms);
      run.kill_a_node();
      run.wait_for_hand_overs(20, 20s);
      run.stop_an_owner(pause_unit / 5);
      run.stop_a_node(pause_unit * static_cast<int>(1 + run.random(4)));
      run.kill_an_owner();
      run.wait_for_hand_overs(20, 20s);
    }
    const auto before = run.so_far().hand_overs;
    if (before < hand_overs_wanted) run.wait_for_hand_overs(hand_overs_wanted - before, 60s);
  } catch (...) {
    run.keep();
    throw;
  }
  const auto verdict = run.conclude();
  if (!verdict.problems.empty()) run.keep();
  for (const auto& problem : verdict.problems)
    FAIL_CHECK(problem);
  CHECK(verdict.hand_overs >= hand_overs_wanted);
  CHECK(verdict.late_writes_refused > 0);
  MESSAGE(verdict.hand_overs << " hand-overs, " << verdict.grants << " grants, " << verdict.writes << " writes, "
                             << verdict.late_writes_refused << " late writes refused, " << run.faults() << " faults");
}
