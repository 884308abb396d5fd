#include "protocol/view_keeper.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

/// A step that comes so many heartbeats late says that this node was not there.
constexpr int beats_late = 2;

/// So many members that a node does not hear make it wait the longer.
constexpr std::size_t missed_max = 3;

v1::View::Member* member_of(v1::View& v, node_id who) {
  auto& all = *v.mutable_members();
  auto found = std::find_if(all.begin(), all.end(), [&](const auto& m) { return m.node() == who.value; });
  return found == all.end() ? nullptr : &*found;
}

const v1::View::Member* member_of(const v1::View& v, node_id who) {
  const auto& all = v.members();
  auto found = std::find_if(all.begin(), all.end(), [&](const auto& m) { return m.node() == who.value; });
  return found == all.end() ? nullptr : &*found;
}

/// Whether `next` may follow `before`: nobody vanishes, and no life goes back.
bool follows(const v1::View& before, const v1::View& next) {
  return std::all_of(before.members().begin(), before.members().end(), [&](const auto& was) {
    const auto* is = member_of(next, {was.node()});
    return is != nullptr && is->life() >= was.life();
  });
}

} // namespace

view_keeper::view_keeper(view_keeper_options options)
    : options_{std::move(options)}, pause_{options_.retry_min}, hold_{options_.hold_min} {
  TROUPE_ASSERT(options_.nonce != 0);
  std::sort(options_.members.begin(), options_.members.end());
  TROUPE_ASSERT(std::binary_search(options_.members.begin(), options_.members.end(), options_.self));
  for (const auto m : options_.members)
    if (m != options_.self) hearings_[m];
}

// -- what is told
// -----------------------------------------------------------------------------------------------------

void view_keeper::start(instant now, effects& out) {
  if (stage_ != stage::idle) return;
  stage_ = stage::joining;
  act(now, out);
}

void view_keeper::receive(const answer& a, instant now, effects& out) {
  if (!open_ || open_->number != a.number) return note_that("view.answer_ignored", {}, out);
  settle(*std::exchange(open_, std::nullopt), a, now, out);
  act(now, out);
}

void view_keeper::receive(node_id from, const v1::ViewChanged& told, instant now, effects& out) {
  if (stage_ == stage::ended) return;
  if (!hearings_.contains(from)) return note_that("view.stranger_ignored", "from=" + to_string(from), out);
  if (const auto defect = defect_of(told.view()); !defect.empty())
    return note_that("view.malformed", "from=" + to_string(from) + " why=\"" + std::string{defect} + "\"", out);
  if (told.view().number() <= record_.number())
    return note_that("view.old_ignored",
                     "from=" + to_string(from) + " number=" + std::to_string(told.view().number()), out);
  adopt(told.view(), now, out);
  act(now, out);
}

void view_keeper::receive(node_id from, const v1::ViewHeartbeat& beat, instant now, effects& out) {
  if (stage_ == stage::ended) return;
  const auto known = hearings_.find(from);
  if (known == hearings_.end()) return note_that("view.stranger_ignored", "from=" + to_string(from), out);
  known->second.at = now;
  known->second.hears.clear();
  for (const auto n : beat.hears()) // whoever is no member is left out, so that there are no more than members
    if (n == options_.self.value || hearings_.contains({n})) known->second.hears.insert({n});
  heard(beat.number(), now, out);
}

void view_keeper::peer(node_id who, bool connected, instant now, effects& out) {
  const auto known = hearings_.find(who);
  if (known == hearings_.end()) return;
  known->second.connected = connected;
  if (connected) {
    known->second.at = std::max(known->second.at, now); // it has said hello
    next_beat_ = std::min(next_beat_, now);             // and waits for a word of this node
  } else {
    known->second.hears.clear();
  }
  act(now, out);
}

void view_keeper::heard(std::uint64_t number, instant now, effects& out) {
  heard_number_ = std::max(heard_number_, number);
  act(now, out);
}

void view_keeper::caught_up(bool reached, std::uint64_t as_of, instant now, effects& out) {
  if (stage_ != stage::member || as_of < out_since_)
    return note_that("view.catch_up_ignored", "as_of=" + std::to_string(as_of), out);
  caught_up_ = reached;
  act(now, out);
}

void view_keeper::tick(instant now, effects& out) { act(now, out); }

// -- what is done
// -----------------------------------------------------------------------------------------------------

void view_keeper::act(instant now, effects& out) {
  if (stage_ == stage::member && now - wake_ > beats_late * options_.heartbeat) {
    // This node was stopped, or starved: what it has not heard may lie in its mailbox.
    for (auto& [who, h] : hearings_)
      h.at = std::max(h.at, now);
    note_that("view.was_away", {}, out);
  }
  if (stage_ == stage::joining || stage_ == stage::member) {
    if (stage_ == stage::member && now >= next_beat_) beat(now, out);
    if (!open_ && now >= next_request_) ask(now, out);
  }
  wake_ = next_wake(now);
}

void view_keeper::beat(instant now, effects& out) {
  next_beat_ = now + options_.heartbeat;
  send one{.to = {}, .envelope = {}};
  auto& said = *one.envelope.mutable_view_heartbeat();
  said.set_number(record_.number());
  for (const auto& [who, h] : hearings_)
    if (h.connected && !silent(who, now)) said.add_hears(who.value);
  for (const auto& [who, h] : hearings_) {
    if (!h.connected) continue;
    one.to = who;
    out.emplace_back(one);
  }
}

/// The one question, or change, of the record that is due; if any.
void view_keeper::ask(instant now, effects& out) {
  const bool joining = stage_ == stage::joining;
  if (doubt_ || (joining && !read_once_) || heard_number_ > record_.number() || now >= reread_) {
    open_ = request{++numbers_, std::nullopt};
    out.emplace_back(read{numbers_});
    return;
  }
  if (joining) return propose(joining_view(), out);
  if (auto next = wanted_view(now)) propose(std::move(*next), out);
}

void view_keeper::propose(v1::View next, effects& out) {
  next.set_number(record_.number() + 1);
  TROUPE_ASSERT(defect_of(next).empty());
  open_ = request{++numbers_, std::move(next)};
  compare_and_set change{.number = numbers_, .expected = {}, .value = record_of(*open_->proposed)};
  if (record_.number() != 0) change.expected = record_of(record_);
  if (stage_ == stage::joining) asked_life_ = member_of(*open_->proposed, options_.self)->life();
  note_that("view.proposed", to_string(from_wire(*open_->proposed)), out);
  out.emplace_back(std::move(change));
}

/// The known view with one more life for this node. It stays in when it was and nobody has missed it: what it has
/// stated of itself is on its disk. A new one begins out, like everyone else of a new list.
v1::View view_keeper::joining_view() const {
  v1::View next;
  const auto former = [&](node_id n) {
    return !std::binary_search(options_.members.begin(), options_.members.end(), n);
  };
  std::map<node_id, v1::View::Member> all;
  for (const auto n : options_.members) {
    all[n].set_node(n.value);
    all[n].set_out(true);
  }
  for (const auto& m : record_.members()) {
    all[{m.node()}] = m;
    if (former({m.node()})) all[{m.node()}].set_out(true);
  }
  auto& own = all[options_.self];
  own.set_life(own.life() + 1);
  own.set_nonce(options_.nonce);
  for (auto& [n, m] : all)
    next.mutable_members()->Add(std::move(m));
  return next;
}

/// The known view as it should be now; nothing when it is.
std::optional<v1::View> view_keeper::wanted_view(instant now) const {
  auto next = record_;
  bool differs = false;
  for (auto& m : *next.mutable_members()) {
    const node_id who{m.node()};
    if (m.out() || who == options_.self) continue;
    if (const auto at = due(who, now); at && now >= *at) {
      m.set_out(true);
      differs = true;
    }
  }
  if (auto* own = member_of(next, options_.self); own->out() && may_return(next, now)) {
    own->set_out(false);
    differs = true;
  }
  return differs ? std::optional{std::move(next)} : std::nullopt;
}

/// Whether this node, which is out, may propose itself in, beside those who are in `next`.
///
/// Why in both directions: whoever is in and does not hear this node would put it out again.
bool view_keeper::may_return(const v1::View& next, instant now) const {
  if (!caught_up_ || now < hold_until_) return false;
  return std::all_of(next.members().begin(), next.members().end(), [&](const auto& m) {
    const node_id who{m.node()};
    if (m.out() || who == options_.self) return true;
    return !silent(who, now) && hearings_.at(who).hears.contains(options_.self);
  });
}

/// When this node proposes that `who` be out, if it stays silent; nothing = it does not.
std::optional<instant> view_keeper::due(node_id who, instant now) const {
  const auto place = rank(who, now);
  if (!place) return std::nullopt;
  const auto known = hearings_.find(who);
  if (known == hearings_.end()) return now; // of a former list
  return known->second.at + options_.out_after + static_cast<int>(*place) * options_.stagger;
}

/// How many others this node lets propose before it, that `who` be out; nothing = it leaves it to those who are in.
///
/// Who misses others besides is rather the one that is cut off: it waits for as many more, within bounds.
std::optional<std::size_t> view_keeper::rank(node_id who, instant now) const {
  const bool in = view_.counts(options_.self);
  std::size_t before = 0;
  std::size_t missed = 0;
  for (const auto n : options_.members) {
    if (n == options_.self || n == who) continue;
    if (silent(n, now)) {
      missed += view_.counts(n) ? 1 : 0;
      continue;
    }
    if (view_.counts(n) && !in) return std::nullopt;
    if (view_.counts(n) == in && n < options_.self) ++before;
  }
  return before + std::min(missed, missed_max);
}

bool view_keeper::silent(node_id who, instant now) const {
  if (who == options_.self) return false;
  const auto known = hearings_.find(who);
  return known == hearings_.end() || now - known->second.at >= options_.out_after;
}

// -- what has become of it
// --------------------------------------------------------------------------------------------

void view_keeper::settle(const request& asked, const answer& a, instant now, effects& out) {
  if (stage_ == stage::ended) return;
  if (a.error != errc::none) {
    if (asked.proposed && mutated(mutation::view_taken_unconfirmed)) {
      adopt(*asked.proposed, now, out);
      return;
    }
    // Done or not, or done later: the record will say it. A later compare-and-set of the same bytes can only be one
    // of the two that succeeds.
    doubt_ = doubt_ || asked.proposed.has_value();
    note_that("view.request_failed", "error=" + std::string{name_of(a.error)}, out);
    return back_off(now);
  }
  doubt_ = false;
  reread_ = options_.reread == milliseconds{0} ? never : now + options_.reread;
  if (!asked.proposed) return take_record(a.bytes, now, out);
  if (!a.applied) {
    take_record(a.bytes, now, out);
    return back_off(now); // somebody else is at work; next time may be better
  }
  pause_ = options_.retry_min;
  next_request_ = now;
  adopt(*asked.proposed, now, out);
  send told{.to = {}, .envelope = {}};
  *told.envelope.mutable_view_changed()->mutable_view() = *asked.proposed;
  for (const auto& [who, h] : hearings_) {
    if (!h.connected) continue;
    told.to = who;
    out.emplace_back(told);
  }
}

/// What a read, or a compare-and-set that was refused, has found.
void view_keeper::take_record(const std::optional<std::string>& bytes, instant now, effects& out) {
  heard_number_ = 0; // there is nothing later, whoever said so
  const auto refuse = [&](std::string_view why) {
    note_that("view.record_refused", "why=\"" + std::string{why} + "\"", out);
    back_off(now);
  };
  if (!bytes) {
    if (record_.number() != 0) return refuse("it is gone");
    read_once_ = true;
    pause_ = options_.retry_min;
    return;
  }
  const auto found = view_of(*bytes);
  if (!found) return refuse("malformed");
  if (found->number() < record_.number()) return refuse("it went back");
  if (found->number() == record_.number()) {
    if (record_of(record_) != *bytes) return refuse("another one of the same number");
  } else if (!adopt(*found, now, out)) {
    return refuse("it does not follow the known one");
  }
  read_once_ = true;
  pause_ = options_.retry_min;
}

/// @return false when `next` cannot be later than the known view, whatever its number says.
bool view_keeper::adopt(const v1::View& next, instant now, effects& out) {
  if (next.number() <= record_.number()) return true; // known already
  if (!follows(record_, next)) {
    note_that("view.does_not_follow", "number=" + std::to_string(next.number()), out);
    return false;
  }
  const auto before = std::exchange(view_, from_wire(next));
  record_ = next;
  read_once_ = true;
  const auto* own = member_of(record_, options_.self);
  if (stage_ == stage::member && !(own != nullptr && own->nonce() == options_.nonce)) {
    stage_ = stage::ended;
    const auto by = own == nullptr ? 0 : own->life();
    note_that("view.superseded", "by=" + std::to_string(by), out);
    out.emplace_back(superseded{by});
    return true;
  }
  for (auto& [who, h] : hearings_)
    if (view_.counts(who) && (!before.counts(who) || before.life_of(who) != view_.life_of(who)))
      h.at = std::max(h.at, now); // it has just come; what was not heard before is not held against it
  note_that("view.changed", to_string(view_), out);
  if (stage_ == stage::member) follow_own(before, now);
  const bool joins = stage_ == stage::joining && own != nullptr && is_own(*own);
  if (joins) join(own->life(), now);
  out.emplace_back(changed{view_, life_});
  if (joins) out.emplace_back(joined{view_, life_});
  return true;
}

/// Whether a member of the record is this start, which has asked for a life.
bool view_keeper::is_own(const v1::View::Member& own) const {
  if (asked_life_ == 0) return false;
  return mutated(mutation::life_recognised_by_number) ? own.life() == asked_life_ : own.nonce() == options_.nonce;
}

void view_keeper::join(std::uint64_t life, instant now) {
  stage_ = stage::member;
  life_ = life;
  pause_ = options_.retry_min;
  next_request_ = next_beat_ = in_since_ = hold_until_ = now;
  doubt_ = false;
  reread_ = options_.reread == milliseconds{0} ? never : now + options_.reread;
  for (auto& [who, h] : hearings_)
    h.at = std::max(h.at, now); // this node has only begun to listen
  if (!view_.counts(options_.self)) out_since_ = view_.number;
}

/// This node was put out, or has come back in.
void view_keeper::follow_own(const view& before, instant now) {
  const bool was_in = before.counts(options_.self);
  const bool is_in = view_.counts(options_.self);
  if (is_in && !was_in) in_since_ = now;
  if (is_in || !was_in) return;
  caught_up_ = false; // with those who go on without it
  out_since_ = view_.number;
  // Why the hold grows: each change costs a write of the record and a look of every node at it.
  hold_ = now - in_since_ >= options_.hold_max ? options_.hold_min : std::min(2 * hold_, options_.hold_max);
  hold_until_ = now + hold_;
}

void view_keeper::back_off(instant now) {
  next_request_ = now + pause_;
  pause_ = std::min(2 * pause_, options_.retry_max);
}

instant view_keeper::next_wake(instant now) const {
  if (stage_ == stage::idle || stage_ == stage::ended) return never;
  auto wake = stage_ == stage::member ? next_beat_ : never;
  if (open_) return wake;
  const auto at = [&](instant when) { wake = std::min(wake, std::max(when, next_request_)); };
  if (stage_ == stage::joining || doubt_ || heard_number_ > record_.number()) at(next_request_);
  at(reread_);
  if (stage_ != stage::member) return wake;
  for (const auto& [who, standing] : view_.nodes)
    if (!standing.out && who != options_.self)
      if (const auto when = due(who, now)) at(*when);
  if (!view_.counts(options_.self) && hold_until_ > now) at(hold_until_);
  return wake;
}

void view_keeper::note_that(std::string what, std::string fields, effects& out) {
  out.emplace_back(note{std::move(what), std::move(fields)});
}

} // namespace troupe
