/// A loss of power, as far as it can be played: processes are killed, and their logs lose all that was not synced.
#include "tests/support/cluster_trial.hpp"
#include "tests/support/rocksdb_log.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// The number of the newest write whose sync had returned, from the store's mark: kind, disk, count, checksum.
std::uint64_t synced_count(const fs::path& store) {
  const auto mark = content_of(store / "synced");
  REQUIRE(mark.size() == 32);
  std::uint64_t count = 0;
  std::memcpy(&count, mark.data() + 16, sizeof count);
  return count;
}

/// A batch of writes in a log of RocksDB, and the number that the store gave it.
struct log_batch {
  std::size_t begin = 0;
  std::uint64_t number = 0;
};

/// The number in the first entry of a batch: behind its header of 12 bytes, a put of key "c" with 8 bytes.
std::uint64_t number_of(std::string_view batch) {
  constexpr std::string_view put{"\x01\x01"
                                 "c\x08"};
  REQUIRE(batch.size() >= 12 + put.size() + 8);
  REQUIRE(batch.substr(12, put.size()) == put);
  std::uint64_t number = 0;
  for (const char c : batch.substr(12 + put.size(), 8))
    number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

std::vector<log_batch> batches_of(std::string_view log) {
  std::vector<log_batch> batches;
  std::string batch;
  std::size_t begin = 0;
  for (const auto& fragment : fragments_of(log)) {
    const bool begins = fragment.kind == log_fragment_kind::full || fragment.kind == log_fragment_kind::first;
    const bool ends = fragment.kind == log_fragment_kind::full || fragment.kind == log_fragment_kind::last;
    if (begins) {
      begin = fragment.begin;
      batch.clear();
    }
    batch += fragment.bytes;
    if (ends && batch.size() > 12) // RocksDB writes an empty one when it opens
      batches.push_back({begin, number_of(batch)});
  }
  return batches;
}

std::vector<fs::path> logs_of(const fs::path& store) {
  std::vector<fs::path> logs;
  for (const auto& entry : fs::directory_iterator{store / "rocksdb"})
    if (entry.path().extension() == ".log") logs.push_back(entry.path());
  std::sort(logs.begin(), logs.end());
  return logs;
}

/// Cuts the logs of a store behind write `count`; returns how many bytes were dropped.
std::uintmax_t cut_behind(const fs::path& store, std::uint64_t count) {
  std::uintmax_t dropped = 0;
  for (const auto& log : logs_of(store)) {
    const auto bytes = content_of(log);
    std::size_t keep = bytes.size();
    const auto batches = batches_of(bytes);
    const auto beyond = std::find_if(batches.begin(), batches.end(), [&](const auto& b) { return b.number > count; });
    if (beyond != batches.end()) keep = beyond->begin;
    dropped += bytes.size() - keep;
    fs::resize_file(log, keep);
  }
  return dropped;
}

} // namespace

TEST_CASE("D1: all nodes lose their power under load and with it what was not synced, and nothing acknowledged") {
  trial_options options;
  options.load.pace = 2ms;
  trial run{options};
  run.begin();
  std::uintmax_t dropped = 0;
  for (int round = 0; round < 4; ++round) {
    run.struck("loss of power");
    run.kill_all();
    for (std::size_t i = 0; i < run.cluster().size(); ++i) {
      const auto store = run.node(i).folder / "store";
      dropped += cut_behind(store, synced_count(store));
      // In every second round the first page that was never synced holds garbage instead.
      if (round % 2 == 1)
        std::ofstream{logs_of(store).back(), std::ios::binary | std::ios::app} << std::string(777, 'Z');
    }
    run.start_all();
    run.recovered();
    run.serve(50);
  }
  MESSAGE("dropped " << dropped << " bytes that were written and not synced");
  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}

TEST_CASE("D1: a node whose log lost a write that was synced does not start") { // the control of the above
  trial run;
  run.begin();
  run.struck("SIGKILL of node-1");
  auto& node = run.node(0);
  node.kill9();
  run.serve(10);
  const auto store = node.folder / "store";
  const auto count = synced_count(store);
  cut_behind(store, count - 1);
  const auto ended = troupe::test::run({troupe_binary(), "node", "--config", node.config().string()}, 20s);
  CHECK(ended.exit_code == 1);
  CHECK(ended.errors.find("but write " + std::to_string(count) + " was synced") != std::string::npos);
}
