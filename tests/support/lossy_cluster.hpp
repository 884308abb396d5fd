/// The lossy shipper: the environment of the strong promise's cores on N nodes at once, in virtual time, from one
/// seed.
///
/// It keeps what the cores are promised and nothing more: effects in order, answers behind their persists, messages
/// in order on one connection and lost only with it, clocks that drift less than they may. Everything else goes
/// wrong: connections break and stall, nodes pause and crash, disks are slow and lose what was not synced, copies
/// rot; and what was said about read locks is lost, or comes twice, or long after its connection.
///
/// The judge keeps its own record. It never asks a core whether all is well, except for who believes to be home.
#pragma once

#include "protocol/check/history.hpp"
#include "protocol/membership.hpp"
#include "protocol/strong/acceptor.hpp"
#include "protocol/strong/holder.hpp"
#include "protocol/strong/home.hpp"
#include "protocol/strong/lock_acquisition.hpp"
#include "protocol/strong/requests.hpp"
#include "tests/support/toy_store.hpp"
#include "tests/support/toy_table.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

namespace troupe::lossy {

/// Real time of a run, in nanoseconds since it began; no node can read it.
using moment = std::int64_t;
inline constexpr moment us = 1'000, ms = 1'000'000;

/// Sessions from here on are those of lockers.
inline constexpr std::uint64_t locker_sessions = std::uint64_t{1} << 60;

struct options {
  std::uint64_t seed = 0;
  std::uint32_t nodes = 3, replicas = 3, shards = 2, keys = 3, clients = 2; ///< clients: per node
  milliseconds lease{200};
  std::uint32_t drift_ppm = 10'000;
  moment latency_min = 100 * us, latency_max = 2 * ms, sync_max = 3 * ms, think_max = 40 * ms;
  moment chaos = 3'000 * ms;     ///< how long things go wrong
  moment fault_every = 150 * ms; ///< mean time between two faults
  std::size_t settled_kept = 8, combine_max = 8, key_queue_max = 64, bytes_max = 1'000'000, index_max = 100,
              pending_max = 1'000;
  collection_options collection; ///< of tombstones
  unsigned removes = 8;          ///< so many in a hundred operations are removals
  unsigned hand_overs = 3;       ///< so many in a hundred faults
  bool damage = true;            ///< stored copies rot, never a majority of one key at a time
  std::size_t holders_max = 100, held_bytes_max = 100'000, holder_queue_max = 100, pending_copies_max = 100;
  bool locks = true;        ///< nodes read through their memory layers,
  unsigned hot_reads = 40;  ///< and so many in a hundred operations are reads beside the usual ones
  unsigned lockers = 0;     ///< per node: who asks for named locks, and writes under them
  std::uint32_t named = 1;  ///< named locks
  milliseconds held_max{0}; ///< how long one is asked for at most
  bool reorder =
      false; ///< messages to replicas and about locks overtake each other: more than the link's contract allows

  /// Sizes, latencies and fault rates, all from the seed.
  static options from_seed(std::uint64_t seed);
  std::string describe() const;
};

/// What a run came to.
struct outcome_of_run {
  std::string violation; ///< which invariant, and how; empty = none
  std::size_t operations = 0, done = 0, failed = 0, unknown = 0;
  std::size_t leaderships = 0, crashes = 0, messages = 0, repairs = 0, rollbacks = 0, collections = 0;
  std::size_t given_back = 0;                                   ///< writes that gave their node's copy back
  std::size_t hits = 0, granted = 0, recalled = 0, revived = 0; ///< reads, copies, copies, commits of a memory layer
  std::size_t generations = 0, gaps = 0, overflows = 0;         ///< of leases
  std::size_t undecided_keys = 0;                               ///< the checker gave up on them
  std::size_t locked = 0, renewed = 0, written = 0, fenced = 0,
              late = 0; ///< named locks; writes under them, and those
                        ///< of a grant whose successor was answered
};

class cluster_run {
public:
  cluster_run(options o, bool keep_log);
  ~cluster_run();
  cluster_run(const cluster_run&) = delete;
  cluster_run& operator=(const cluster_run&) = delete;
  outcome_of_run run();
  const std::vector<std::string>& log() const { return log_; }

private:
  struct caller {
    std::uint64_t session = 0, issued = 0;
    std::size_t name = 0;                    ///< a new one after every unknown outcome
    std::map<std::string, std::string> seen; ///< by key: the value last read, for compare and set
  };
  /// Asks for a named lock, uses it, and gives it back, or forgets to.
  struct locker {
    std::uint64_t session = 0, issued = 0, grants = 0;
    std::optional<lock_acquisition> acquiring;
    lock_acquisition::wish wish;
    instant deadline; ///< acquiring
    version token;    ///< of the grant that it uses; round 0 = of none
    instant until;    ///< by its own count
    int steps = 0;    ///< left to do under the lock
  };
  /// What a locker has asked for and is not answered yet.
  struct lock_ask {
    node_id at;
    std::size_t locker;
    std::string key;
    enum class kind : std::uint8_t { acquisition, renewal, access, nothing } what = kind::nothing;
    std::uint64_t number = 0;  ///< acquisition: what its core calls it
    std::uint64_t grant = 0;   ///< acquisition: which one
    instant sent{};            ///< renewal
    version token{};           ///< renewal
    std::size_t operation = 0; ///< access: index into the history
  };
  /// A write under a lock, whatever came of it.
  struct locked_write {
    std::size_t operation; ///< index into the history
    std::string lock;
    version token;
  };
  /// A read that a memory layer could not answer: it goes to the home.
  struct fallback {
    v1::Operation operation;
    moment deadline;
  };
  struct node {
    node_id id;
    incarnation life;
    bool up = false;
    moment paused_until = 0;
    moment offset = 0;                       ///< of its clock
    std::int64_t rate_ppm = 0;               ///< its clock runs this much too fast
    std::deque<std::function<void()>> inbox; ///< what arrived while it was paused
    moment armed = 0;                        ///< when its timer rings; 0 = it does not
    int spins = 0;                           ///< ticks in a row after which some core wanted another one at once
    toy_store disk;
    moment disk_stalled_until = 0;
    bool syncing = false;
    std::uint64_t asked = 0, synced = 0; ///< last persist of this incarnation that was asked for, was done
    std::deque<std::pair<std::uint64_t, acceptor::effect>> held; ///< by the persist that they wait for
    std::vector<caller> clients;
    std::vector<locker> lockers;
    std::map<shard_id, std::unique_ptr<home>> homes;
    std::unique_ptr<acceptor> replica;
    std::unique_ptr<membership> members;
    std::unique_ptr<requests> manager;
    std::unique_ptr<holder> memory;
    toy_table table;
    std::map<std::uint64_t, fallback> missed; ///< reads that wait for a LockRequest, by its number
    moment memory_told = 0;                   ///< when the memory layer last hears of a peer
    std::map<shard_id, epoch> leads;          ///< by the effects that were seen
  };
  struct wire {
    bool alive = false;
    std::uint64_t generation = 0;
    std::uint64_t believed[2] = {0, 0}; ///< by the lower, the higher node: the generation; 0 = in none
    moment last[2] = {0, 0};            ///< newest delivery towards the lower, the higher node
    moment stalled_until[2] = {0, 0};
  };
  struct event {
    moment at;
    std::uint64_t order;
    std::function<void()> what;
  };
  struct later {
    bool operator()(const event& a, const event& b) const { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };
  struct submitted {
    std::size_t operation; ///< index into the history
    node_id at;
    std::size_t client;
    shard_id shard;
    bool settled = false;
  };

  // time
  void at(moment when, std::function<void()> what);
  void on(node& n, std::function<void()> what);
  void on_at(node& n, moment when, std::function<void()> what);
  void after(node& n);
  void ring(node& n);
  instant local(const node& n) const;
  moment global(const node& n, instant t) const;
  moment random(moment below);
  bool chance(unsigned percent) { return random(100) < static_cast<moment>(percent); }
  node& node_of(node_id id) { return nodes_[id.value - 1]; }
  node& any() { return nodes_[static_cast<std::size_t>(random(options_.nodes))]; }

  // life and faults
  void start(node& n);
  void crash(node& n);
  void pause(node& n, moment how_long);
  void resume(node& n);
  wire& wire_between(node_id a, node_id b);
  void cut(node_id a, node_id b);
  void connect(node_id a, node_id b);
  void sees(node& n, node_id other, std::uint64_t generation);
  void fault();
  void heal();
  void rot();
  void stall(const node& from, const node& to);
  void hand_over(node& n);

  // effects
  void ship(node& from, node_id to, v1::Envelope envelope);
  void arrive(node& n, node_id from, v1::Envelope& e);
  bool arrive_lock(node& n, node_id from, v1::Envelope& e);
  void stray(node_id from, node& receiver, const v1::Envelope& envelope);
  void tell_memory(node& n, node_id other, bool up);
  void perform(node& n, shard_id shard, home::effects effects);
  void perform(node& n, acceptor::effects effects);
  void perform(node& n, membership::effects effects);
  void perform(node& n, requests::effects effects);
  void perform(node& n, holder::effects effects);
  void perform_now(node& n, acceptor::effect& e);
  void release_held(node& n);
  void sync(node& n);

  // clients
  void think(node& n, std::size_t client, moment how_long);
  void issue(node& n, std::size_t client);
  void submit(node& n, std::size_t client, v1::Operation op, check::operation record, moment deadline);
  void ask_home(node& n, v1::Operation op, moment deadline);
  void settle(node& n, const requests::settled& s);
  void read_here(node& n, v1::Operation op, moment deadline);
  void look_up(node& n, const v1::Operation& op, moment deadline, instant sampled);
  void settle_read(node& n, const v1::Operation& op, const version& at, const std::string* value);
  void evict(node& n);
  void final_read(std::size_t key, int attempts);

  // named locks
  void start_lockers(node& n);
  void end_lockers(node& n);
  void pause_locker(node& n, std::size_t l, moment at_most);
  void step(node& n, std::size_t l);
  void begin_acquiring(node& n, std::size_t l);
  void perform(node& n, std::size_t l, lock_acquisition::effects effects);
  void ask(node& n, std::size_t l, v1::Operation op, lock_ask what, nanoseconds at_most);
  void access(node& n, std::size_t l, bool write);
  bool settle_ask(node& n, const requests::settled& s);
  void leave_lock(node& n, std::size_t l, bool give_back);
  std::string lock_name(std::uint32_t l) const { return "lock:" + std::to_string(l); }
  std::vector<std::string> protected_by(std::uint32_t l) const;
  void judge_holders(node& n, std::size_t l);
  void judge_fences();

  // judge
  void violate(const std::string& what);
  void judge_answer(node& n, const v1::OperationAnswer& answer);
  void judge_grant(node& n, const v1::LockGranted& granted);
  void judge_homes(node& n);
  void judge_record(const acceptor::persist_record& p);
  void judge_liveness();
  void judge_history();

  void line(const node* n, const std::string& what);
  std::string key_name(std::size_t k) const { return (k % 2 == 0 ? "text:" : "count:") + std::to_string(k); }
  shard_id shard_of_key(std::size_t k) const { return {static_cast<std::uint32_t>(k) % options_.shards}; }

  options options_;
  cluster shape_;
  bool keep_log_;
  std::mt19937_64 dice_;
  moment now_ = 0;
  std::uint64_t order_ = 0;
  std::priority_queue<event, std::vector<event>, later> events_;
  std::vector<node> nodes_;
  std::map<std::pair<node_id, node_id>, wire> wires_;
  std::map<shard_id, std::vector<node_id>> replicas_;
  bool chaos_ = true;   ///< faults happen
  bool issuing_ = true; ///< clients go on

  std::map<request_id, submitted> submitted_;
  check::history history_;
  std::map<request_id, lock_ask> lock_asks_;
  std::vector<locked_write> locked_writes_;
  std::map<std::string, std::vector<std::pair<moment, version>>> grants_; ///< by lock: when which was answered
  std::size_t finals_ = 0;                                                ///< final reads that were answered
  std::map<shard_id, epoch> decided_;                                     ///< newest epoch that has decided anything
  std::map<std::pair<shard_id, version>, std::string> versions_; ///< what each version was when it was first stored
  outcome_of_run outcome_;
  std::vector<std::string> log_;
};

/// Runs one seed; on a violation runs it again with its log, and appends that (its last `lines`) to the violation.
outcome_of_run run_seed(const options& o, std::size_t lines = 120);

} // namespace troupe::lossy
