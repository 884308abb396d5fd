/// Several stream replicas with simulated disks, an in-order network that breaks, and the streams, the frontier and
/// the view between them in their simplest form. Sessions work on it and check what they are promised.
///
/// All that is random comes from the seed. A violation names the invariant of PROTOCOLS §10 that it breaks.
#pragma once

#include "protocol/stream/stream_replica.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace troupe::replicas {

inline constexpr auto us = std::chrono::microseconds{1};
inline constexpr auto ms = std::chrono::milliseconds{1};

/// A disk: what is synced survives a crash, of the rest only a prefix of whole batches may.
class toy_disk {
public:
  explicit toy_disk(std::uint32_t shards) : shards_{shards} {}
  void write(std::uint64_t number, std::vector<stream_write> writes) { tail_.push_back({number, std::move(writes)}); }
  std::uint64_t newest() const { return tail_.empty() ? 0 : tail_.back().number; }
  void sync(std::uint64_t number);
  void crash(std::size_t surviving);
  std::size_t unsynced() const { return tail_.size(); }
  void wipe() { *this = toy_disk{shards_}; }

  stream_replica::found read(const std::string& key) const;
  updates_page read(const updates_request& request) const;
  stream_image image() const;
  const std::map<std::string, v1::WeakRecord>& records() const { return records_; }
  /// Of the shard: six records above `after`, or the one of `key`; none, and not whole, when it fails.
  stream_replica::records_page scan(const stream_replica::read_copy& what, bool fails) const;
  /// One record that is on the disk cannot be read any more. @return its key, empty = there is none.
  std::string damage(std::uint64_t which);
  /// One record is gone, or what it was before it was written last. @return its key, empty = there is none.
  std::string lose(std::uint64_t which);

private:
  struct batch {
    std::uint64_t number;
    std::vector<stream_write> writes;
  };
  void apply(const stream_write& w);

  std::uint32_t shards_;
  std::map<std::string, v1::WeakRecord> records_, former_;
  std::map<std::pair<origin, stream_lane>, std::map<std::uint64_t, v1::Update>> logs_;
  std::map<std::string, std::string> marks_;
  std::deque<batch> tail_;
};

struct run_options {
  std::uint64_t seed = 1;
  std::uint32_t nodes = 4; ///< the first half in one region, the rest in the other
  std::uint32_t replicas = 4;
  std::uint32_t shards = 8;
  nanoseconds faults_for = 1500 * ms;
  bool crashes = true, breaks = true;
  std::size_t log_bytes = 0;    ///< a node's own log is cut when it holds more, per lane; 0 = never
  nanoseconds compare_every{0}; ///< of each node; 0 = never
  bool loses = false;           ///< in the end a disk loses some records, or writes of them, and nothing shows it
  bool damages = false;         ///< now and then a record is damaged, one at a time
  bool lost_disk = false; ///< one node comes back with an empty disk, once everybody has all that it ever answered
  nanoseconds snapshot_window = 200 * ms;
  std::size_t cache_bytes = 64 << 10;
};

struct run_outcome {
  std::vector<std::string> violations;
  std::uint64_t operations = 0, done = 0, unknown = 0, failed = 0, crashes = 0, messages = 0, waited = 0, folded = 0,
                collected = 0, answers_checked = 0, retries = 0, conflicts = 0, snapshots = 0, cuts = 0, copied = 0,
                repaired = 0, closed = 0, compared = 0, differed = 0, lost = 0;
  bool settled = false;
};

class cluster_run {
public:
  explicit cluster_run(run_options options);
  ~cluster_run();
  run_outcome run();

  // --- for the sessions ---

  /// Sends to the node's replica from another node; the answer comes through `answered`, or never.
  void ask(node_id from, node_id to, const v1::WeakOperation& what);
  std::function<void(const v1::WeakAnswer&)> answered;
  void at(instant when, std::function<void()> what);
  instant now() const { return now_; }
  std::uint64_t random(std::uint64_t below) { return below == 0 ? 0 : random_() % below; }
  nanoseconds up_to(nanoseconds most) {
    return nanoseconds{static_cast<std::int64_t>(random(static_cast<std::uint64_t>(most.count())))};
  }
  bool chance(unsigned percent) { return random(100) < percent; }
  void violate(const std::string& what);
  run_options options_;
  run_outcome outcome_;
  bool calm_ = false; ///< no more faults, and sessions begin nothing new
  std::uint64_t life_of(node_id who) const;
  std::string region_of(node_id who) const { return who.value * 2 <= options_.nodes ? "a" : "b"; }
  std::vector<node_id> replicas_of(const std::string& key) const;
  bool is_up(node_id who) const;
  /// What its replica would show of a key now, from its records and updates.
  v1::WeakAnswer peek(node_id who, const std::string& key);
  bool trusted(node_id who) const { return !wiped_.contains(who); }
  const std::map<std::string, data_type>& types() const { return types_; }

private:
  struct node;
  struct link {
    bool up = true;
    std::uint64_t generation = 0;
    bool placed[2] = {false, false}; ///< by direction: the receiver has said what it has
    /// By lane and origin: what the receiver lacks and no log holds, up to here. The stream goes on when it has that.
    std::map<std::pair<stream_lane, origin>, std::uint64_t> gone;
    instant last[2]; ///< arrival of the newest message, by direction
  };
  void start(node& n);
  void crash(node& n);
  void count(const stream_replica::status& s);
  void perform(node& n, stream_replica::effects effects);
  void sync(node& n);
  void deliver(node& from, node& to, std::function<void(node&)> what);
  void connect(node& a, node& b);
  void stream_from(node& sender, node& receiver, const version_vector (&positions)[stream_lanes]);
  void stream_life(node& sender, node& receiver, stream_lane lane, const dot& have);
  void offer(node& sender, node& receiver, stream_lane lane, const origin& of);
  void damage();
  void lose();
  void facts(node& n);
  void conclude(node& n);
  void views();
  void stability();
  void cut(node& a, node& b, nanoseconds lasts);
  void faults();
  void tick(node& n);
  bool converged();
  void judge_end();
  link& between(node_id a, node_id b) { return links_[{std::min(a, b), std::max(a, b)}]; }
  node& get(node_id id);
  const node& get(node_id id) const;
  std::uint64_t wall() const;

  std::mt19937_64 random_;
  std::map<std::string, data_type> types_;
  std::vector<std::unique_ptr<node>> nodes_;
  std::map<std::pair<node_id, node_id>, link> links_;
  std::map<std::pair<instant, std::uint64_t>, std::function<void()>> events_;
  std::uint64_t event_number_ = 0;
  instant now_{std::chrono::seconds{1}};
  std::set<node_id> counted_; ///< in the view
  std::set<node_id> wiped_;
  std::map<std::uint64_t, v1::WeakAnswer> peeked_;
  std::uint64_t peeks_ = 0;
  instant patient_until_; ///< peeks wait for damaged records
  std::map<origin, std::uint64_t> ended_;
  std::string damaged_; ///< key that was damaged last, at
  node_id damaged_at_;
  node_id lost_at_;
};

/// Sessions of every kind; `cluster_run` outlives them.
class sessions {
public:
  explicit sessions(cluster_run& cluster);
  ~sessions();
  bool idle() const;
  void judge_end(const std::vector<node_id>& nodes);

private:
  struct session;
  cluster_run& cluster_;
  std::vector<std::unique_ptr<session>> all_;
  struct counter {
    std::int64_t acknowledged_up = 0, unknown_up = 0, acknowledged_down = 0, unknown_down = 0;
  };
  std::map<std::string, counter> counters_;
  std::set<std::string> once_;                           ///< keys that were written once, and answered
  std::vector<std::string> questions_, answers_, pairs_; ///< names of those that were begun, newest last
  std::set<std::string> doomed_;               ///< keys whose removal, after all that was ever written, was answered
  std::map<std::string, std::uint64_t> grown_; ///< by key of a growing number: the highest that was executed
  std::uint64_t generations_ = 0;
};

} // namespace troupe::replicas
