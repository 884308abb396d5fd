// The memory layer's table under several readers and its one writer at once, for ThreadSanitizer as for everybody.
//
// The judge keeps its own record of what the writer was told and believes nothing that the table says of itself:
// before a read it notes what the read must no longer return, afterwards it looks at what came back. Values say
// themselves which key, version and lease they belong to, and carry a checksum.
#include "actors/layers/memory_table.hpp"
#include "protocol/mutation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace troupe;

namespace {

constexpr std::size_t keys = 64;
constexpr std::size_t hot_keys = 4;
constexpr std::size_t homes = 3;
constexpr std::size_t readers = 3;
constexpr std::size_t bytes_max = 5 * 1024; // less than half of the keys: something is evicted all the time
constexpr int steps = 100'000;
constexpr int steps_max = 40 * steps; // of a writer whose readers get no processor
constexpr std::uint64_t hits_wanted = 20'000;
/// A reader that stands still in the middle of a read holds back what was taken out: then less is published.
constexpr std::uint64_t commits_wanted = 1'000;
constexpr std::uint64_t generations_max = 1 << 18;
constexpr nanoseconds lease_length{128};
constexpr epoch era{.round = 1, .node = {1}, .life = {1}};

/// A mistake of those who use the table; those of the table itself are in protocol/mutation.hpp.
enum class misuse : std::uint8_t {
  none,
  answered_before_unpublished, ///< a recall is answered, and then the entry is unpublished
  ended_after_told,            ///< the home is told that its lease has ended, and then it is ended
  committed_before_decided,    ///< a pending record is made readable before its write is decided
  clock_sampled_early,         ///< a reader uses the clock that it sampled for its previous read
  value_damaged,               ///< a value of which one byte is another's
};

struct stamp_of_value {
  std::uint64_t key;
  std::uint64_t counter;
  std::uint64_t home;
  std::uint64_t generation;
};

std::string make_value(const stamp_of_value& stamp, std::size_t filler) {
  std::string value(sizeof stamp + filler, static_cast<char>('a' + stamp.counter % 26));
  std::memcpy(value.data(), &stamp, sizeof stamp);
  const std::uint64_t sum = XXH3_64bits(value.data(), value.size());
  value.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  return value;
}

std::optional<stamp_of_value> stamp_in(std::string_view value) {
  stamp_of_value stamp{};
  std::uint64_t sum = 0;
  if (value.size() < sizeof stamp + sizeof sum) return std::nullopt;
  std::memcpy(&stamp, value.data(), sizeof stamp);
  std::memcpy(&sum, value.data() + value.size() - sizeof sum, sizeof sum);
  if (sum != XXH3_64bits(value.data(), value.size() - sizeof sum)) return std::nullopt;
  return stamp;
}

/// What the world outside of the table knows: homes, writers, and the clock. Written by the writer, read by the
/// judge.
struct outside {
  std::atomic<nanoseconds::rep> clock{0};
  /// Per key: what a read that begins now must at least return, since it was recalled, or its lease had ended.
  std::array<std::atomic<std::uint64_t>, keys> floor{};
  /// Per key: the highest version that was ever decided or is being decided.
  std::array<std::atomic<std::uint64_t>, keys> decided{};
  /// Per home: the last generation that has ended.
  std::array<std::atomic<std::uint64_t>, homes> ended{};
  /// Per home and generation: how far it was ever prolonged.
  std::array<std::vector<std::atomic<nanoseconds::rep>>, homes> until{
      std::vector<std::atomic<nanoseconds::rep>>(generations_max),
      std::vector<std::atomic<nanoseconds::rep>>(generations_max),
      std::vector<std::atomic<nanoseconds::rep>>(generations_max)};
};

const std::vector<std::string>& key_names() {
  static const auto names = [] {
    std::vector<std::string> all;
    for (std::size_t k = 0; k < keys; ++k)
      all.push_back("inventory:" + std::to_string(k));
    return all;
  }();
  return names;
}

class stage {
public:
  stage(std::uint64_t seed, misuse planted, mutation in_table)
      : seed_{seed}, planted_{planted}, in_table_{in_table}, table_{{.bytes_max = bytes_max}} {}

  /// Runs until enough was read, or the first violation.
  void run() {
    std::barrier together{static_cast<std::ptrdiff_t>(readers + 1)};
    std::vector<std::thread> threads;
    for (std::size_t r = 0; r < readers; ++r)
      threads.emplace_back([&, r] {
        plant(in_table_);
        together.arrive_and_wait();
        read_on(r);
      });
    plant(in_table_);
    together.arrive_and_wait();
    write_on();
    over_ = true;
    plant(mutation::none);
    for (auto& thread : threads)
      thread.join();
  }

  /// Empty = none was found. To be read after run().
  const std::string& violation() const { return violation_; }
  memory_table::counters count() const { return table_.count(); }
  std::uint64_t commits() const { return commits_; }

private:
  // The judge.

  void violated(const std::string& what) {
    if (!found_.exchange(true)) violation_ = what; // read by others only after this thread has ended
    over_ = true;
  }

  struct expectation {
    std::size_t key;
    std::uint64_t floor;
    std::uint64_t ended;
    instant now;
  };

  void judge(const expectation& before, const version& at, bool exists, std::string_view value) {
    const auto name = key_names()[before.key] + " version " + std::to_string(at.counter);
    if (at.counter < before.floor) violated("recalled: " + name + ", below " + std::to_string(before.floor));
    if (at.counter > outside_.decided[before.key]) violated("undecided: " + name);
    if (!exists) return;
    const auto stamp = stamp_in(value);
    if (!stamp || stamp->key != before.key || stamp->counter != at.counter) return violated("torn: " + name);
    if (stamp->generation <= before.ended) violated("ended lease: " + name);
    const auto until = outside_.until[stamp->home][stamp->generation].load();
    if (before.now >= instant{nanoseconds{until}}) violated("lapsed lease: " + name);
  }

  void read_on(std::size_t reader) {
    std::mt19937_64 random{seed_ * 100 + reader};
    std::string value;
    instant sampled{};
    std::array<shared_record, 8> kept;
    std::array<std::uint64_t, 8> kept_sums{};
    for (std::size_t n = 0; !over_; ++n) {
      const auto key = random() % 2 == 0 ? random() % hot_keys : random() % keys;
      expectation before{.key = key, .floor = outside_.floor[key], .ended = outside_.ended[key % homes], .now = {}};
      before.now = instant{nanoseconds{outside_.clock.load()}};
      const auto asked = planted_ == misuse::clock_sampled_early ? sampled : before.now;
      sampled = before.now;
      if (n % 2 == 0) {
        if (const auto hit = table_.read(key_names()[key], asked, value); hit)
          judge(before, hit->at, hit->exists, value);
        continue;
      }
      auto record = table_.share(key_names()[key], asked);
      if (!record) continue;
      judge(before, record.at(), record.exists(), record.value());
      const auto place = random() % kept.size();
      if (kept[place] && kept_sums[place] != XXH3_64bits(kept[place].value().data(), kept[place].value().size()))
        violated("torn: a shared record has changed");
      kept_sums[place] = XXH3_64bits(record.value().data(), record.value().size());
      kept[place] = std::move(record);
    }
  }

  // The writer, and with it everybody whom the table's owner talks to.

  struct home_state {
    std::uint64_t generation = 0;
    bool leased = false;
    nanoseconds::rep until = 0;
  };

  bool runs(std::size_t home) const { return homes_[home].leased && outside_.clock < homes_[home].until; }

  table_record describe(std::size_t key, std::uint64_t counter) {
    const auto home = key % homes;
    value_ = make_value({key, counter, home, homes_[home].generation}, random_() % 300);
    if (planted_ == misuse::value_damaged) value_[value_.size() / 2] ^= 1;
    const bool absent = random_() % 16 == 0;
    return {.key = key_names()[key],
            .home = shard_id{static_cast<std::uint32_t>(home + 1)},
            .generation = {.era = era, .n = homes_[home].generation},
            .at = {.era = era, .counter = counter},
            .what = absent ? content::absent : content::value,
            .value = absent ? std::string_view{} : std::string_view{value_}};
  }

  void write(std::size_t key) {
    const auto counter = ++counter_;
    if (!runs(key % homes)) { // nobody waits for a holder without a lease
      outside_.decided[key] = counter;
      outside_.floor[key] = counter;
      return;
    }
    if (planted_ == misuse::answered_before_unpublished) answer_recall(key, counter);
    const bool kept = table_.unpublish(describe(key, counter));
    answer_recall(key, counter);
    if (kept && random_() % 4 == 0) // a commit that is not this one's
      table_.commit_pending(key_names()[key], {.era = era, .counter = counter - 1});
    if (random_() % 8 == 0) return; // decided later: by the next grant or write
    if (planted_ == misuse::committed_before_decided) {
      table_.commit_pending(key_names()[key], {.era = era, .counter = counter});
      std::this_thread::yield();
    }
    outside_.decided[key] = counter;
    if (table_.commit_pending(key_names()[key], {.era = era, .counter = counter})) ++commits_;
  }

  void answer_recall(std::size_t key, std::uint64_t counter) {
    outside_.floor[key] = counter;
    if (planted_ == misuse::answered_before_unpublished) std::this_thread::yield();
  }

  void grant(std::size_t key) {
    const auto newest = std::max(outside_.floor[key].load(), outside_.decided[key].load());
    outside_.decided[key] = newest;
    if (runs(key % homes)) static_cast<void>(table_.publish(describe(key, newest)));
  }

  void lease(std::size_t home) {
    auto& state = homes_[home];
    const bool renewal = runs(home) && random_() % 16 != 0;
    if (!renewal && state.generation + 1 == generations_max) return;
    const auto before = state.generation;
    if (!renewal) ++state.generation;
    state.leased = true;
    state.until = outside_.clock + lease_length.count();
    outside_.until[home][state.generation] = state.until;
    table_.set_lease(shard_id{static_cast<std::uint32_t>(home + 1)}, {.era = era, .n = state.generation},
                     instant{nanoseconds{state.until}});
    if (!renewal) outside_.ended[home] = before;
  }

  void end_lease(std::size_t home) {
    auto& state = homes_[home];
    if (planted_ == misuse::ended_after_told) {
      outside_.ended[home] = state.generation;
      std::this_thread::yield();
    }
    table_.end_lease(shard_id{static_cast<std::uint32_t>(home + 1)});
    outside_.ended[home] = state.generation;
    state.leased = false;
  }

  void write_on() {
    for (std::size_t home = 0; home < homes; ++home)
      lease(home);
    for (int step = 0; !over_ && step < steps_max; ++step) {
      if (step >= steps && step % 1024 == 0 && table_.count().hits >= hits_wanted && commits_ > commits_wanted)
        return;
      const auto key = random_() % 2 == 0 ? random_() % hot_keys : random_() % keys;
      const auto dice = random_() % 100;
      if (dice < 40)
        write(key);
      else if (dice < 80)
        grant(key);
      else if (dice < 86)
        outside_.clock += static_cast<nanoseconds::rep>(random_() % 48);
      else if (dice < 96)
        lease(random_() % homes);
      else if (dice < 97)
        end_lease(random_() % homes);
      else if (dice < 98)
        table_.erase(key_names()[key]);
      else
        table_.reclaim(16);
      if (table_.count().bytes > bytes_max) violated("X1: the table is larger than it may be");
    }
  }

  const std::uint64_t seed_;
  const misuse planted_;
  const mutation in_table_;
  memory_table table_;
  outside outside_;
  std::atomic<bool> over_{false};
  std::atomic<bool> found_{false};
  std::string violation_;

  std::mt19937_64 random_{seed_};
  std::array<home_state, homes> homes_;
  std::uint64_t counter_ = 0;
  std::uint64_t commits_ = 0;
  std::string value_;
};

constexpr std::uint64_t seeds_max = 20;

/// The first violation that the judge sees in some runs; empty = none.
std::string caught(misuse planted, mutation in_table) {
  for (std::uint64_t seed = 1; seed <= seeds_max; ++seed) {
    const auto run = std::make_unique<stage>(seed, planted, in_table);
    run->run();
    if (!run->violation().empty()) return run->violation();
  }
  return {};
}

bool begins_with_one_of(std::string_view text, const std::vector<std::string_view>& names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return text.starts_with(name); });
}

} // namespace

TEST_CASE("memory table S1, X1: several readers never see a torn, recalled, undecided or unleased record") {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    CAPTURE(seed);
    const auto run = std::make_unique<stage>(seed, misuse::none, mutation::none);
    run->run();
    CHECK_MESSAGE(run->violation().empty(), run->violation());
    CHECK(run->count().hits >= hits_wanted);
    CHECK(run->count().misses > 0);
    CHECK(run->count().evictions > 100);
    CHECK(run->commits() > commits_wanted);
  }
}

TEST_CASE("memory table: the judge sees every mistake that its users may make") {
  struct row {
    misuse planted;
    const char* name;
    std::vector<std::string_view> seen_as;
  };
  // A lapsed lease that a reader overlooks is first seen as what its home did after it.
  const row table[] = {
      {misuse::answered_before_unpublished, "answered_before_unpublished", {"recalled"}},
      {misuse::ended_after_told, "ended_after_told", {"ended lease"}},
      {misuse::committed_before_decided, "committed_before_decided", {"undecided"}},
      {misuse::clock_sampled_early, "clock_sampled_early", {"lapsed lease", "recalled"}},
      {misuse::value_damaged, "value_damaged", {"torn"}},
  };
  for (const auto& mistake : table) {
    CAPTURE(mistake.name);
    const auto seen = caught(mistake.planted, mutation::none);
    CHECK_MESSAGE(begins_with_one_of(seen, mistake.seen_as), seen);
  }
}

TEST_CASE("memory table: the judge sees every mistake that is planted in the table") {
  struct row {
    mutation planted;
    std::vector<std::string_view> seen_as;
  };
  const row table[] = {
      {mutation::table_lease_not_checked, {"ended lease", "lapsed lease", "recalled"}},
      {mutation::table_generation_reused, {"ended lease", "recalled"}},
      {mutation::table_pending_not_checked, {"undecided"}},
  };
  static_assert(std::size(table) == std::size(table_mutations));
  for (const auto& mistake : table) {
    CAPTURE(name_of(mistake.planted));
    const auto seen = caught(misuse::none, mistake.planted);
    CHECK_MESSAGE(begins_with_one_of(seen, mistake.seen_as), seen);
  }
}
