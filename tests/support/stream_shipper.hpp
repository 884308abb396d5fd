/// The lossy shipper of the update streams: outbound, inbound and frontier on a few nodes in two regions, in virtual
/// time, from one seed, with a disk each that loses what was not synced, and a replica that persists what is
/// accepted.
///
/// Messages arrive in order on one connection and are lost with it; in some runs single ones are lost too, or come
/// twice. Nodes crash, come back in a new life, are counted out and in; disks are slow; logs are cut, and what they
/// have lost is copied.
///
/// The judge knows every update that is on its origin's disk, and what every disk has. It asks no core whether all is
/// well.
#pragma once

#include "protocol/stream/frontier.hpp"
#include "protocol/stream/inbound.hpp"
#include "protocol/stream/outbound.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace troupe::shipping {

struct stream_options {
  std::uint64_t seed = 1;
  std::uint32_t nodes = 3, shards = 6;
  int chaos_ms = 2'500;
  int write_every_ms = 4; ///< per node, on average
  int fault_every_ms = 60;
  int latency_max_ms = 8;
  bool loses = false; ///< single messages are lost, and come twice
  bool trims = false; ///< logs keep a few updates only
  std::size_t window = 1'500, queue = 3'000, read = 800, message = 700, unsynced = 2'000;

  static stream_options from_seed(std::uint64_t seed);
  std::string describe() const;
};

struct stream_outcome {
  std::string violation; ///< empty = none
  std::uint64_t written = 0, accepted = 0, crashes = 0, connections = 0, reads = 0, cuts = 0, gaps = 0, full = 0,
                repeated = 0, duplicates = 0, refused = 0, reached = 0, timeouts = 0, lost = 0, outs = 0,
                settled_after_ms = 0;
};

class stream_run {
public:
  explicit stream_run(stream_options o);
  stream_outcome run();

private:
  struct violation : std::runtime_error {
    using runtime_error::runtime_error;
  };
  /// One sequence: a lane of an origin.
  struct sequence {
    stream_lane lane;
    origin from;
    friend auto operator<=>(const sequence&, const sequence&) = default;
  };
  using message = std::variant<v1::Updates, v1::UpdatesAcknowledged, v1::FrontierFacts>;
  struct under_way {
    int due;
    message what;
  };
  /// What waits for the disk.
  struct unsynced {
    int due;
    sequence of;
    shared_updates updates;
    std::uint64_t upto;
    std::uint64_t clock;
  };
  struct open_wait {
    version_vector vector, stable; ///< stable: anywhere when it began
    int deadline;
  };
  struct machine {
    node_id id;
    std::string region;
    std::vector<bool> stored;
    // On disk.
    std::map<sequence, std::uint64_t> has;
    std::map<sequence, std::vector<std::uint64_t>> accepted; ///< numbers, in order
    std::map<sequence, std::uint64_t> log_begins;            ///< own: nothing at or below it is kept
    version_vector applied_once;
    std::uint64_t clock = 0; ///< highest stamp, or promise of one
    std::uint64_t life = 0;
    // Of the process.
    bool up = false;
    int up_again = 0;
    int disk_ms = 3;
    std::map<sequence, std::uint64_t> taken, written;
    std::deque<unsynced> waiting;
    std::map<node_id, outbound> outs;
    std::map<node_id, inbound> ins;
    std::unique_ptr<frontier> front;
    std::map<std::uint64_t, open_wait> waits;
    std::deque<std::pair<int, outbound::read_log>> reads; ///< due; asked by readers_
    std::deque<node_id> readers;
    view known;
    int hears_view_at = 0;
    version_vector best_applied; ///< of all its processes
    std::uint64_t out_since = 0; ///< number of the view that counts it out; 0 = it is in
  };
  struct connection {
    bool up = false;
    std::map<node_id, std::deque<under_way>> to;   ///< by receiver
    std::vector<std::pair<node_id, message>> said; ///< a few, to be said again
  };

  // Deterministic and of the standard's own making, unlike std::uniform_int_distribution.
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : random_() % n; }
  bool chance(unsigned percent) { return below(100) < percent; }
  instant now() const { return instant{std::chrono::hours{1} + milliseconds{ms_}}; }
  static int ms_of(instant t) { return static_cast<int>((t - instant{std::chrono::hours{1}}) / milliseconds{1}); }
  [[noreturn]] void broken(const std::string& what) const {
    throw violation{what + " at " + std::to_string(ms_) + " ms"};
  }
  void must(bool holds, const std::string& what) const {
    if (!holds) broken(what);
  }
  machine& at(node_id n) { return machines_.at(n); }
  connection& between(node_id a, node_id b) { return connections_.at(std::minmax(a, b)); }
  std::string text(const sequence& s) const { return to_string(s.from) + "/" + std::string{name_of(s.lane)}; }

  void start(machine& m);
  void crash(machine& m);
  void connect(node_id a, node_id b);
  void cut(node_id a, node_id b);
  void write(machine& m);
  void sync(machine& m, bool all);
  void catch_up(machine& from, machine& to, const sequence& s);
  void post(machine& from, node_id to, message what);
  void deliver(machine& to, node_id from, const message& what);
  void perform(machine& m, node_id peer, outbound::effects& out);
  void perform(machine& m, node_id peer, inbound::effects& out);
  void perform(machine& m, frontier::effects& out);
  void judge_accept(machine& m, const inbound::accept& a);
  void judge_frontier(machine& m);
  void judge_bounds(machine& m);
  void judge_end();
  bool settled();
  void step(bool chaos);
  void fault();
  void wait_somewhere();
  void change_view(machine& about);
  void log_reads(machine& m);
  void learn_views();
  void run_cores(machine& m);

  stream_options options_;
  std::mt19937_64 random_;
  stream_outcome outcome_;
  int ms_ = 0;
  std::map<node_id, machine> machines_;
  std::map<std::pair<node_id, node_id>, connection> connections_;
  std::map<sequence, shared_updates> truth_; ///< on their origin's disk, ever
  std::set<origin> dead_;
  view view_;
  std::map<std::string, version_vector> region_stated_; ///< by region: what anybody in it has ever concluded of F
  version_vector stable_anywhere_;
  std::uint64_t clock_promised_[stream_lanes] = {0, 0}; ///< highest stable_clock that any node gave
  std::uint64_t cookies_ = 0;
  struct copying {
    int due;
    node_id from, to;
    sequence what;
  };
  std::vector<copying> copies_;
};

} // namespace troupe::shipping
