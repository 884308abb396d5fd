/// VIEW KEEPER's core: takes this start's life from the view, and keeps the view true (PROTOCOLS §1, §4).
///
/// The view is one strong record, and every change of it a compare-and-set of its bytes against the bytes that were
/// read: whatever is decided here, the record decides. A compare-and-set whose outcome is not known is settled by
/// reading; should it happen later all the same, it either finds other bytes and does nothing, or this start
/// recognises it by its nonce.
///
/// What it sends:   ViewHeartbeat to every connected member; ViewChanged, after a change that it has committed.
/// What it is told: the same of others; answers about the record; peers up and down; view numbers that were seen in
/// other messages; that this node has caught up.
/// What the environment must provide: effects performed in order; every read and compare_and_set answered exactly
/// once, late or never known as an error; `tick()` no later than wake_at().
///
/// Silence alone changes nothing: it makes somebody propose. The lowest of those who are in and hear each other does
/// so first, the others behind it in their order. A member that is out proposes nobody while it hears anyone who is
/// in, and is taken back in by itself only: when it has caught up, and it and everyone who is in hear each other.
#pragma once

#include "protocol/effects.hpp"
#include "protocol/error.hpp"
#include "protocol/view.hpp"
#include "protocol/wire/view.pb.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe {

/// Where the record is: a type that no configuration can name, and its only key.
inline constexpr std::string_view view_type = "$view";
inline constexpr std::string_view view_key = "view";

struct view_keeper_options {
  node_id self;
  std::vector<node_id> members; ///< the static list, this node among them
  std::uint64_t nonce = 0;      ///< of this start: unlike that of any other start of this node; not 0
  milliseconds heartbeat{100};
  milliseconds out_after{500}; ///< a member that is silent for longer is proposed to be out
  milliseconds stagger{100};   ///< between the proposals of two members
  milliseconds reread{
      1'000}; ///< the record is read again when nothing has been heard of it for as long; zero = never
  milliseconds retry_min{20}; ///< after a failure, doubled each time
  milliseconds retry_max{500};
  milliseconds hold_min{100};    ///< between being put out and coming back in, doubled each time
  milliseconds hold_max{10'000}; ///< also: so long in, and the next hold is the shortest again
};

class view_keeper {
public:
  /// Read the record.
  struct read {
    std::uint64_t number = 0; ///< of the request
  };
  /// Replace the record by `value`, if it is `expected`, byte by byte.
  struct compare_and_set {
    std::uint64_t number = 0;            ///< of the request
    std::optional<std::string> expected; ///< none = there is no record
    std::string value;
  };
  /// A later view than any before is known. `ours`: this start's life; 0 = it has none yet.
  struct changed {
    view now;
    std::uint64_t ours = 0;
  };
  /// This start has its life, in this view; once.
  struct joined {
    view now;
    std::uint64_t life = 0;
  };
  /// Another start of this node has taken a later life: this one must end. Nothing is sent or proposed any more.
  struct superseded {
    std::uint64_t by = 0;
  };
  using effect = std::variant<read, compare_and_set, send, changed, joined, superseded, note>;
  using effects = std::vector<effect>;

  /// What became of a request about the record.
  struct answer {
    std::uint64_t number = 0;
    errc error = errc::none;          ///< none = the answer is sure; else the outcome is not known
    bool applied = false;             ///< compare-and-set
    std::optional<std::string> bytes; ///< the record; none = there is none. Unused when applied
  };

  explicit view_keeper(view_keeper_options options);

  void start(instant now, effects& out);
  void receive(const answer& a, instant now, effects& out);
  void receive(node_id from, const v1::ViewChanged& told, instant now, effects& out);
  void receive(node_id from, const v1::ViewHeartbeat& beat, instant now, effects& out);
  void peer(node_id who, bool connected, instant now, effects& out);
  /// A message of another node carried this view number: if it is a later one, the record is read.
  void heard(std::uint64_t number, instant now, effects& out);
  /// Whether this node has caught up with everyone that `as_of`, a view number, counts. A statement of an earlier
  /// view than the one that put this node out is ignored, and one before it has joined.
  void caught_up(bool reached, std::uint64_t as_of, instant now, effects& out);
  void tick(instant now, effects& out);
  instant wake_at() const { return wake_; }

  const view& current() const { return view_; }
  /// Of this start; 0 = none yet.
  std::uint64_t life() const { return life_; }

private:
  /// What another member has let be heard of itself.
  struct hearing {
    instant at{}; ///< when it was heard last, or was given the benefit of the doubt
    bool connected = false;
    std::set<node_id> hears; ///< as its last heartbeat said; members only
  };
  /// The one request about the record that is under way.
  struct request {
    std::uint64_t number = 0;
    std::optional<v1::View> proposed; ///< none = a read
  };
  enum class stage : std::uint8_t {
    idle,    ///< not started
    joining, ///< this start has no life yet
    member,
    ended, ///< superseded
  };

  void act(instant now, effects& out);
  void beat(instant now, effects& out);
  void ask(instant now, effects& out);
  void propose(v1::View next, effects& out);
  v1::View joining_view() const;
  std::optional<v1::View> wanted_view(instant now) const;
  bool may_return(const v1::View& next, instant now) const;
  std::optional<instant> due(node_id silent, instant now) const;
  std::optional<std::size_t> rank(node_id silent, instant now) const;
  bool silent(node_id who, instant now) const;
  void settle(const request& asked, const answer& a, instant now, effects& out);
  void take_record(const std::optional<std::string>& bytes, instant now, effects& out);
  bool adopt(const v1::View& next, instant now, effects& out);
  void follow_own(const view& before, instant now);
  bool is_own(const v1::View::Member& own) const;
  void join(std::uint64_t life, instant now);
  void back_off(instant now);
  instant next_wake(instant now) const;
  static void note_that(std::string what, std::string fields, effects& out);

  view_keeper_options options_;
  stage stage_ = stage::idle;
  v1::View record_;        ///< the newest that is known; number 0 = none
  view view_;              ///< the same
  bool read_once_ = false; ///< joining: whether there is a record is known
  std::uint64_t life_ = 0;
  std::uint64_t asked_life_ = 0; ///< joining: that this start has last asked for; 0 = none yet

  std::optional<request> open_;
  std::uint64_t numbers_ = 0;      ///< of requests
  instant next_request_{};         ///< none before
  milliseconds pause_;             ///< after the next failure
  bool doubt_ = false;             ///< the outcome of a compare-and-set is not known: read first
  std::uint64_t heard_number_ = 0; ///< the highest that any message carried
  instant reread_ = never;

  std::map<node_id, hearing> hearings_; ///< one entry per member of the static list but this one
  instant next_beat_ = never;

  bool caught_up_ = false;
  std::uint64_t out_since_ = 0; ///< this node is out: since the view of this number
  instant in_since_{};
  milliseconds hold_;    ///< the next
  instant hold_until_{}; ///< not back in before
  instant wake_ = never;
};

} // namespace troupe
