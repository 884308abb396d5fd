/// LOCK MANAGER's core: claims one shard, and decides every operation on its keys while the lease runs (PROTOCOLS
/// §3).
///
/// What it sends:   to replicas Claim, ReleaseHome, ReadLatest, Accept, Collect, ListTombstones; to strong managers
///                  OperationAnswer, NotHome; to memory layers LockGranted / LockRefused / LargeCopy, LeaseGranted,
///                  Recall, Committed.
/// What it is told: Granted / Refused, Latest / Abstain, Accepted / Superseded, Tombstones; Operation; LockRequest,
///                  LockRelease, LeaseRenew, Recalled; lease renewals and the shard's lessee as this node's replica
///                  sees it; which peers are connected.
/// What the environment must provide: effects performed in order; `lead`/`unlead` reach whoever renews the lease;
/// `tick()` no later than wake_at(); `now` sampled after the message was taken from the mailbox.
///
/// An epoch is used once: whatever ends a leadership clears all that was decided in it, and the next claim has a new
/// one.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/error.hpp"
#include "protocol/ids.hpp"
#include "protocol/limits.hpp"
#include "protocol/strong/holders.hpp"
#include "protocol/strong/lease.hpp"
#include "protocol/strong/named_lock.hpp"
#include "protocol/strong/register_value.hpp"

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace troupe {

/// When a home collects tombstones: PROTOCOLS §3.4.
struct collection_options {
  milliseconds every{2'000}; ///< it asks for those that it may collect; 1 and up
  /// It collects none before it has led for so long. Why: with a record goes what it remembers of its writers, and
  /// whoever has lost an answer to the change of homes may still ask again.
  milliseconds after{60'000};
  /// It comes back in a higher round, which costs every read lock and the touch of every key, for so many tombstones
  /// of its own epoch: these it cannot collect. 1 and up
  std::size_t unripe_max = limits::unripe_tombstones_max;
  /// And not before it has led for so long, and for twice as long as any lock lasts that is held. Why: the next round
  /// counts the time of each from its beginning, and a lock whose owner is gone has to be over some day.
  milliseconds round_min{300'000};
};

struct home_options {
  node_id self;
  incarnation life;
  shard_id shard;
  std::vector<node_id> replicas; ///< of the shard, in the order in which they claim it; holds `self`
  milliseconds lease{400};
  std::uint32_t drift_ppm = 10'000;
  milliseconds stagger{150};    ///< how long each later node of the order waits for the earlier ones
  milliseconds retransmit{100}; ///< unanswered questions and Accepts are sent again after this
  std::size_t bytes_max = 0;    ///< memory for records of keys that nobody waits for
  std::size_t shard_queue_bytes_max =
      limits::shard_queue_bytes_max; ///< what is waiting or undecided may hold; one operation always may
  std::size_t key_queue_max = 0, shard_queue_max = 0, combine_max = 0, settled_kept = 0;
  std::size_t holders_max = limits::holders_max;
  std::size_t held_bytes_max = limits::held_bytes_max;
  std::size_t holder_queue_max = limits::holder_queue_max;
  std::size_t answers_bytes_max = limits::answers_bytes_max; ///< values in the answers of one step
  collection_options collection;
  bool trace = false; ///< note every decision and commit, not only what happens to the shard
};

class home {
public:
  struct lead {
    epoch era;
  };
  struct unlead {
    epoch era;
  };
  /// The shard was released for good, as release() asked, and is in other hands as far as that can be.
  struct released {};
  using effect = std::variant<send, lead, unlead, released, note>;
  using effects = std::vector<effect>;

  explicit home(home_options options);

  /// The node runs: claim when the order says so.
  void start(instant now, effects& out);
  void receive(node_id from, const v1::Granted& granted, instant now, effects& out);
  void receive(node_id from, const v1::Refused& refused, instant now, effects& out);
  void receive(node_id from, v1::Latest latest, instant now, effects& out);
  void receive(node_id from, const v1::Abstain& abstain, instant now, effects& out);
  void receive(node_id from, const v1::Accepted& accepted, instant now, effects& out);
  void receive(node_id from, const v1::Superseded& superseded, instant now, effects& out);
  void receive(node_id from, const v1::Tombstones& found, instant now, effects& out);
  void receive(node_id from, v1::Operation operation, instant now, effects& out);
  void receive(node_id from, const v1::LockRequest& request, instant now, effects& out);
  void receive(node_id from, const v1::LockRelease& release, instant now, effects& out);
  void receive(node_id from, const v1::Recalled& recalled, instant now, effects& out);
  /// The part of LeaseRenew `number` that concerns this shard.
  void renew_held(node_id from, std::uint64_t number, const v1::HeldLease& held, instant now, effects& out);
  /// `replica` answered a renewal of `era` that was sent at `sent_at`; `superseded_by`: round 0 = it is renewed.
  void renewed(node_id replica, const epoch& era, instant sent_at, const epoch& superseded_by, instant now,
               effects& out);
  /// This node's replica saw a new lessee; round 0 = nobody has the lease any more. `leaver`: who gave it back and
  /// will claim no more; value 0 = nobody did.
  void lessee_seen(const epoch& era, node_id leaver, instant now, effects& out);
  void peer(node_id who, bool connected, instant now, effects& out);
  void tick(instant now, effects& out);
  instant wake_at() const;

  /// Finish what is undecided, admit nothing new, release the shard and never claim it again. Ends with `released`:
  /// once the next home is seen, because until then this node's replica may be the one whose vote it needs; or after
  /// a lease, when a successor would have had it anyway; or at once, when there is nobody to take over.
  void release(instant now, effects& out);

  enum class role : std::uint8_t { idle, claiming, leading };
  role state() const { return role_; }
  const epoch& era() const { return era_; }
  node_id known_home() const { return known_home_; }
  instant lease_until() const;
  std::size_t keys() const { return keys_.size(); }
  std::size_t queued() const { return queued_; }
  /// Keys that are being touched, written or waited for; for somebody, not for collection.
  std::size_t undecided() const;
  /// Keys whose undecided write nobody waits for any more.
  std::size_t in_doubt() const;
  std::uint64_t committed() const { return commits_; }
  std::uint64_t collected() const { return collected_; }
  const holders& held() const { return holders_; }

  /// The named locks that this home knows to be taken, or waited for: the first `max` of them, by key.
  std::vector<lock_view> locks(instant now, std::size_t max) const;
  /// For people: what this home has of a key, and why a read of it would wait here. Nothing = it is not home, and
  /// knows who is.
  std::optional<v1::KeyView> explain(const std::string& key, instant now) const;

private:
  /// An operation that is not answered yet, and whom to answer.
  struct waiting {
    node_id from;
    v1::Operation operation;
    request_id id;
    instant deadline;
    version base;
    std::size_t bytes = 0;               ///< of key and values; what it counts in held_bytes_ while it is queued
    std::optional<holders::wish> lock{}; ///< it is a LockRequest, and `operation` a get of its key
    bool first = false;                  ///< an acquire of a named lock whose turn has come
    bool dropped = false;                ///< an acquire whose owner has given up what it waits for
    bool late = false;                   ///< a repeated acquire whose time is over: its refusal is to be remembered
    std::uint64_t given_back_in = 0;     ///< a write: the generation in which its node held the key; 0 = it did not
    bool relies = false;                 ///< a write under a lock, whose floor stays here until it is decided
  };
  /// An operation that came while this node claims the shard: decided when it leads, turned away when the claim
  /// fails.
  struct early_caller {
    node_id from;
    v1::Operation operation;
    instant arrived;
  };
  /// An operation whose outcome is `result` once the proposal that it is part of has committed.
  struct participant {
    waiting who;
    v1::Result result;
    bool settled = false; ///< the proposed record remembers it
  };
  /// What replicas were asked to accept, and not enough have.
  struct proposal {
    enum class kind : std::uint8_t { write, write_back, rollback };
    kind what = kind::write;
    version number;
    std::string bytes;                        ///< serialized record
    std::set<node_id> accepted;               ///< replicas that stored it durably
    std::map<node_id, std::uint64_t> repairs; ///< replicas whose copy is damaged: number of their Abstain
    std::vector<participant> participants;
    instant sent_at;        ///< of the last transmission
    std::size_t weight = 0; ///< what it counts in held_bytes_, until it has committed
    bool recalling = false; ///< somebody who holds the key has not given it back
    bool lock = false;      ///< the record is that of a named lock
    bool tombstone = false; ///< the record is a tombstone, and nothing else
  };
  /// What a home knows of a named lock beside its record.
  struct lock_state {
    lock_terms terms;
    std::list<waiting> waiters; ///< acquires; first come first served
  };
  /// A RaiseFence whose floor is committed, and which older writes may still be under way to.
  struct draining_fence {
    waiting who;
    v1::Result result;
    bool settled = false;
    std::set<std::string> left; ///< keys to be read, and those that had an undecided write
  };
  /// What one replica said to ReadLatest.
  struct copy {
    bool damaged = false;
    ballot accepted_in;
    version number;
    std::string bytes;
    std::uint64_t abstained = 0;
    version evicted; ///< nothing is stored there: what was collected there, of the shard
  };
  struct key_state {
    enum class stage : std::uint8_t { reading, ready } at = stage::reading;
    std::map<node_id, copy> copies; ///< reading: the answers so far
    instant asked_at;               ///< reading: last transmission of the question
    instant first_asked_at;         ///< reading: first transmission
    instant settle_at = never;      ///< reading: a majority has answered; wait for the others no longer than this
    std::uint64_t asked_as = 0;     ///< reading: number of the first question; older answers belong to other epochs
    bool to_collect = false;        ///< reading: nobody has asked for it but the collection of tombstones
    bool held = false;              ///< somebody may hold a read lock; false = certainly nobody
    version number;                 ///< ready: of the record, or of what was collected; round 0 = never written
    std::string record;             ///< ready: the committed record, serialized
    std::optional<proposal> undecided;
    std::list<waiting> queue;                ///< first come first served; of a floor: writes that wait for it, too
    std::map<node_id, std::uint64_t> givers; ///< nodes that gave it back with a write, by which generation
    std::unique_ptr<lock_state> named;       ///< ready: it is a named lock
    std::size_t relied_on = 0;               ///< ready: of a floor: writes under its lock in other queues
    std::list<std::string>::iterator used;   ///< place in the list of keys by use
    std::size_t bytes = 0;                   ///< what it counts in bytes_
  };
  using key_map = std::unordered_map<std::string, key_state>; ///< never iterated, except to clear
  using entry = key_map::value_type;

  // claiming
  bool can_reach_majority() const;
  std::size_t rank() const;
  nanoseconds jitter() const;
  void plan_claim(instant now, nanoseconds extra);
  bool leased_elsewhere() const { return lessee_here_ && lessee_here_.node != options_.self; }
  void claim(instant now, effects& out);
  void send_claim(node_id to, instant now, effects& out);
  void send_release(node_id to, effects& out) const;
  void abandon_claim(instant now, nanoseconds pause, effects& out);
  epoch next_epoch() const;
  void saw(const epoch& era);
  void begin_leading(instant now, effects& out);

  // leading
  bool leads(instant now, effects& out);
  void stop_leading(std::string_view why, instant now, effects& out);
  void raise_round(const epoch& promised, instant now, effects& out);
  void begin_draining(instant now, effects& out);
  void finish_draining(instant now, effects& out);
  void hand_over(instant now, effects& out);
  void ask_latest(entry& e, instant now, effects& out);
  static std::size_t good_copies(const key_state& state);
  void consider_touch(entry& e, instant now, effects& out);
  void touched(entry& e, instant now, effects& out);
  void somebody_waits(entry& e, instant now);
  bool overwrite(entry& e, const copy& best, v1::Record& record, instant now, effects& out);
  void advance(entry& e, instant now, effects& out);
  void propose(entry& e, proposal p, instant now, effects& out);
  void transmit(entry& e, instant now, effects& out);
  void send_accept(node_id to, entry& e, effects& out);
  void count_acceptance(node_id from, entry& e, instant now, effects& out);
  void roll_back(entry& e, instant now, effects& out);
  void expire(entry& e, instant now, effects& out);
  void look_after(entry& e, instant now, effects& out);
  void admit(waiting w, instant now, effects& out);
  void serve(entry& e, const waiting& w, v1::Record& committed, instant now, effects& out);
  bool join(entry& e, const waiting& again);
  void combine(entry& e, const v1::Record& committed, v1::Record& next, proposal& p, instant now, effects& out);
  bool settled_before(const v1::Record& committed, waiting& w, instant now, effects& out);
  void commit(entry& e, instant now, effects& out);
  void fail_queue(entry& e, errc code, effects& out);
  bool decided(const proposal& p) const { return p.accepted.size() >= majority() && !p.recalling; }
  void rest(entry& e);
  entry& key(const std::string& name, instant now, effects& out);
  void use(entry& e);
  void weigh(entry& e);
  void forget(entry& e);
  void forget_surplus();
  void watch(instant at) { wake_ = std::min(wake_, at); }

  // tombstones
  void ask_for_tombstones(instant now, effects& out);
  void touch_to_collect(const std::string& name, instant now, effects& out);
  bool may_be_collected(const entry& e, const copy& best, const v1::Record& record) const;
  bool end_collection(entry& e, const copy& best, const v1::Record& record, effects& out);

  // read locks
  void lock(entry& e, const waiting& w, const v1::Record& committed, instant now, effects& out);
  void refuse_lock(const waiting& w, errc code, effects& out) const;
  void drop_lock_message(node_id from, std::string_view reason, effects& out) const;
  void recall(entry& e, instant now, effects& out);
  void tell_holders(entry& e, instant now, effects& out);
  static bool is_quiet(const key_state& state);
  std::uint64_t take_back(node_id from, v1::Operation& write, instant now, effects& out);
  void grant_anew(entry& e, instant now, effects& out);
  void finish_recalls(instant now, effects& out);
  void look_after_holders(instant now, effects& out);
  void pass_on(holders::effects& from, instant now, effects& out);

  // named locks
  static bool reads(const v1::Operation& operation) { return operation.has_get() || operation.has_renew_lock(); }
  static bool has_waiters(const key_state& state) { return state.named && !state.named->waiters.empty(); }
  std::optional<applied> decide(entry& e, waiting& w, v1::Record& next, bool there, instant now, effects& out);
  void wait_for_lock(entry& e, waiting w, effects& out);
  bool call_waiter(entry& e, const v1::Record& committed, instant now);
  void drop_waiters(entry& e, const std::string& owner);
  void refuse_late_waiters(entry& e, instant now);
  nanoseconds longest_term(instant now) const;
  v1::Result renew(entry& e, const v1::RenewLock& asked, const v1::Record& committed, instant now);
  void follow_lock(entry& e, const v1::Record& committed, bool inherited, instant now);
  entry* floor_of(const v1::Fence& fence);
  void wait_for_floor(waiting w, instant now, effects& out);
  void pass_floor(entry& e, instant now, effects& out);
  void rely(waiting& w);
  void drain(waiting w, v1::Result result, bool settled, instant now, effects& out);
  void touch_for(draining_fence& f, instant now, effects& out);
  void drained(const std::string& key, effects& out);
  void look_after_drains(instant now, effects& out);

  // answers
  /// `settled`: the committed record remembers this outcome, or it is a read.
  void answer(const waiting& who, const v1::Result& result, bool settled, effects& out) const;
  /// An error of this attempt only.
  void answer(const waiting& who, errc code, effects& out) const;
  bool may_answer(instant now);
  bool has_room(std::size_t bytes) const;
  void leave_queue(waiting& w);
  void refuse_overload(const waiting& who, effects& out) const;
  void turn_away(node_id to, const v1::Operation& operation, v1::NotHome::Reason reason, effects& out) const;

  std::size_t majority() const { return options_.replicas.size() / 2 + 1; }

  home_options options_;
  role role_ = role::idle;
  epoch era_;                                    ///< claiming, leading: the epoch; idle: the last one used
  epoch highest_;                                ///< highest epoch ever seen anywhere; the next claim is above it
  epoch lessee_here_;                            ///< who holds the lease at this node's replica; round 0 = nobody
  node_id known_home_;                           ///< whom to send callers to; value 0 = not known
  std::set<node_id> connected_;                  ///< replicas that can be talked to, this node included
  std::set<node_id> leavers_;                    ///< replicas that will not claim: they have no turn
  instant claim_at_ = never;                     ///< idle: when to claim
  instant claim_ends_ = never;                   ///< claiming: when to give up
  std::vector<early_caller> lobby_;              ///< claiming: who came early; at most key_queue_max
  std::uint64_t attempts_ = 0;                   ///< claims so far; spreads the back-off
  std::map<std::uint64_t, instant> claims_sent_; ///< claiming, leading: send time by number, of unanswered Claims
  std::set<node_id> claimed_;                    ///< replicas that were sent a Claim in this epoch
  instant reclaim_at_ = never;                   ///< leading: when to ask replicas that have not granted again
  std::optional<lease_ledger> lease_;
  bool draining_ = false;         ///< admits nothing; ends leadership when nothing is undecided
  bool retired_ = false;          ///< release() was called: never claim again
  instant handover_ends_ = never; ///< retired: wait for the next home until then
  std::uint64_t numbers_ = 0;     ///< message numbers of this incarnation
  std::uint64_t counter_ = 0;     ///< leading: versions assigned in this epoch
  version newest_;                ///< highest committed version seen in this shard
  std::uint64_t commits_ = 0;
  std::uint64_t collected_ = 0;
  instant led_since_;               ///< leading
  instant ask_tombstones_ = never;  ///< leading: when next
  std::uint64_t tombstones_as_ = 0; ///< leading: number of the question that is open; 0 = none is
  std::string tombstones_after_;    ///< leading: where the next one goes on

  holders holders_; ///< leading: the read locks of this epoch
  key_map keys_;
  std::list<draining_fence> fences_; ///< at most key_queue_max
  std::set<std::string> locks_;      ///< those of keys_ that are named locks; sorted
  std::list<std::string> by_use_;    ///< keys, most recently used first
  std::set<std::string> busy_;       ///< keys that are being read, have an undecided proposal or a queue; sorted
  std::size_t bytes_ = 0;
  std::size_t queued_ = 0;         ///< operations in all queues
  std::size_t held_bytes_ = 0;     ///< what these, all proposals and the lobby hold
  instant answered_at_{};          ///< when a queue was last answered from,
  std::size_t answered_bytes_ = 0; ///< and the values in those answers
  instant wake_ = never;           ///< no later than the next thing to do
};

} // namespace troupe
