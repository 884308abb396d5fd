#include "runtime/topology/simulated_shoppers.hpp"

#include "protocol/error.hpp"
#include "protocol/version_vector.hpp"

#include <caf/send.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

namespace troupe::simulated {

namespace {

constexpr std::uint32_t topics = 3; ///< questions, counters and pages of each kind

std::string questions = "questions", pairs = "pairs", views = "views", pages = "pages";

/// "12" and "12 whatever".
std::optional<std::uint64_t> number_in(const v1::WeakAnswer& answer) {
  if (!answer.result().exists()) return 0;
  std::uint64_t number = 0;
  const auto& text = answer.result().value();
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc{}) return std::nullopt;
  return number;
}

errc code_of(const v1::WeakAnswer* answer) {
  return answer == nullptr ? errc::timeout : static_cast<errc>(answer->result().error());
}

bool is_unknown(const v1::WeakAnswer* answer) {
  const auto code = code_of(answer);
  return code != errc::none && outcome_of(code) == outcome::unknown;
}

std::string shown(const std::map<std::uint32_t, std::optional<std::string>>& by_node) {
  std::string text;
  for (const auto& [node, value] : by_node)
    text += (text.empty() ? "" : ", ") + value.value_or("nothing");
  return text;
}

void join(v1::SessionVector& into, const v1::SessionVector& from) {
  auto joined = [](const v1::Vector& a, const v1::Vector& b) {
    auto v = from_wire(a);
    v.join(from_wire(b));
    return v;
  };
  to_wire(joined(into.seen(), from.seen()), *into.mutable_seen());
  to_wire(joined(into.region(), from.region()), *into.mutable_region());
  into.set_clock(std::max(into.clock(), from.clock()));
}

} // namespace

shoppers::shoppers(world& w, const simulation_options& options, judge& j)
    : world_{w},
      random_{w.random()},
      options_{options},
      judge_{j},
      places_(options.nodes + options.guests),
      shoppers_(options.shoppers) {
  for (std::uint32_t i = 0; i < shoppers_.size(); ++i) {
    shoppers_[i].index = i;
    shoppers_[i].node = i % static_cast<std::uint32_t>(places_.size());
  }
}

void shoppers::add_types(cluster& shape, const simulation_options& options) {
  data_type type;
  type.durability = options.async_weak ? write_durability::async : write_durability::sync;
  type.ack = options.weak_ack;
  type.consistency = level::causal;
  shape.types[questions] = type;
  type.consistency = level::session;
  shape.types[pairs] = type;
  type.consistency = level::eventual;
  shape.types[pages] = type;
  type.resolver = resolver_kind::counter;
  shape.types[views] = type;
}

// -- nodes
// ------------------------------------------------------------------------------------------------------------

void shoppers::started(std::uint32_t node, const clock& time, std::function<session_actor()> open) {
  auto& p = places_[node];
  ++p.life;
  p.up = true;
  p.time = &time;
  p.open = std::move(open);
}

void shoppers::ended(std::uint32_t node) {
  auto& p = places_[node];
  if (!std::exchange(p.up, false)) return;
  lossy_ = lossy_ || options_.async_weak;
  for (auto& s : shoppers_)
    if (s.session && s.node == node && s.node_life == p.life) {
      s.session = nullptr;
      if (s.open) answered(s, nullptr);
    }
}

bool shoppers::idle() const {
  return std::all_of(shoppers_.begin(), shoppers_.end(), [](const shopper& s) { return !s.open; });
}

void shoppers::count_anew() {
  for (auto& s : shoppers_)
    s.served = 0;
}

bool shoppers::all_served() const {
  return std::all_of(shoppers_.begin(), shoppers_.end(), [](const shopper& s) { return s.served >= 3; });
}

// -- operations
// -------------------------------------------------------------------------------------------------------

void shoppers::begin() {
  for (auto& s : shoppers_)
    later(s);
}

void shoppers::later(shopper& s) {
  if (std::exchange(s.waiting, true)) return;
  world_.after(random_.between(nanoseconds{0}, nanoseconds{options_.think_max}), [this, &s] {
    s.waiting = false;
    if (s.open) return;
    if (resting_) return later(s);
    step(s);
  });
}

void shoppers::move(shopper& s, std::uint32_t node) {
  auto& p = places_[node];
  s.node = node;
  s.node_life = p.life;
  s.session = p.open();
  ++moves_;
  caf::anon_send(s.session, session_token_join{s.token});
}

void shoppers::step(shopper& s) {
  if (!places_[s.node].up || !s.session || random_.chance(options_.wander)) {
    const auto node = static_cast<std::uint32_t>(random_.below(places_.size()));
    if (!places_[node].up) return later(s);
    move(s, node);
  }
  if (s.plan.empty()) make_plan(s);
  issue(s);
}

void shoppers::issue(shopper& s) {
  s.open = std::move(s.plan.front());
  s.plan.pop_front();
  ++operations_;
  s.called = world_.now();
  session_call call;
  call.operation = s.open->what;
  call.operation.set_key(stored_key(s.open->type, s.open->key));
  call.type = s.open->type;
  if (s.open->staleness > nanoseconds{0}) {
    call.at = level::eventual;
    call.extra.set_staleness_us(
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(s.open->staleness).count()));
  }
  call.deadline = places_[s.node].time->now()
                  + random_.between(nanoseconds{options_.deadline_min}, nanoseconds{options_.deadline_max});
  call.weak_done = [this, &s, number = ++s.call](const v1::WeakAnswer& answer) {
    if (s.open && s.call == number) answered(s, &answer);
  };
  world_.note("shopper" + std::to_string(s.index), "call", call.operation.key());
  caf::anon_send(s.session, std::move(call));
}

void shoppers::answered(shopper& s, const v1::WeakAnswer* answer) {
  const auto was = std::move(*s.open);
  s.open.reset();
  const auto code = code_of(answer);
  world_.note("shopper" + std::to_string(s.index), code == errc::none ? "done" : name_of(code),
              stored_key(was.type, was.key));
  if (answer != nullptr) {
    join(s.token, answer->session());
    if (answer->written().seq() != 0 && was.type != views && was.type != pages) {
      auto seen = from_wire(s.token.seen());
      seen.raise(from_wire(answer->written()));
      to_wire(seen, *s.token.mutable_seen());
    }
  }
  if (code == errc::none) {
    ++done_;
    ++s.served;
  } else {
    s.plan.clear(); // what was to follow depended on it
  }
  // A session whose write is unknown has to settle it, or to begin anew: nobody can tell what it saw.
  was.then(answer);
  if (code == errc::lost_update) { // it has been told: what it goes on with knows nothing of what was lost
    s.token.Clear();
    s.floors.clear();
    s.session = nullptr;
  }
  if (is_unknown(answer) && !was.what.has_get()) s.session = nullptr;
  later(s);
}

shoppers::planned shoppers::get(shopper& s, const std::string& type, const std::string& key,
                                std::function<void(std::optional<std::uint64_t>)> then) {
  planned p{type, key, {}, {}, {}};
  p.what.mutable_get();
  p.then = [this, &s, key = stored_key(type, key), then = std::move(then)](const v1::WeakAnswer* answer) {
    if (code_of(answer) != errc::none) return;
    const auto found = number_in(*answer);
    if (!found) return judge_.accuse("D2", key + " holds what nobody wrote: " + answer->result().value());
    check_floor(s, key, found, "T2");
    raise_floor(s, key, *found);
    if (then) then(found);
  };
  return p;
}

shoppers::planned shoppers::put_number(shopper& s, const std::string& type, const std::string& key,
                                       std::uint64_t number, std::function<void(bool)> then) {
  planned p{type, key, {}, {}, {}};
  p.what.mutable_put()->set_value(std::to_string(number));
  keys_.insert(stored_key(type, key));
  p.then = [this, &s, key = stored_key(type, key), number, then = std::move(then)](const v1::WeakAnswer* answer) {
    const bool done = code_of(answer) == errc::none;
    if (is_unknown(answer)) unsettled_[key].insert(number);
    if (done) {
      raise_floor(s, key, number);
      acknowledged_[key].emplace_back(world_.now(), number);
    }
    if (then) then(done);
  };
  return p;
}

void shoppers::check_floor(shopper& s, const std::string& stored, std::optional<std::uint64_t> found,
                           std::string_view invariant) {
  const auto floor = s.floors.find(stored);
  if (floor == s.floors.end() || *found >= floor->second || may_be(stored, *found)) return;
  judge_.accuse(invariant, "shopper" + std::to_string(s.index) + " reads " + std::to_string(*found) + " under "
                               + stored + " and had to find at least " + std::to_string(floor->second));
}

/// A number that is lower than what is expected, and no mistake.
bool shoppers::may_be(const std::string& stored, std::uint64_t found) const {
  const auto unsettled = unsettled_.find(stored);
  return unsettled != unsettled_.end() && unsettled->second.contains(found);
}

void shoppers::raise_floor(shopper& s, const std::string& stored, std::uint64_t number) {
  auto& floor = s.floors[stored];
  floor = std::max(floor, number);
}

void shoppers::make_plan(shopper& s) {
  switch (random_.below(12)) {
  case 0:
    return ask(s);
  case 1:
    return reply(s);
  case 2:
  case 3:
    return look(s);
  case 4:
    return raise_pair(s);
  case 5:
    return read_pair(s);
  case 6:
    return count(s);
  case 7:
    return write_page(s);
  case 8:
    return raise_price(s);
  case 9:
  case 10:
    return read_fresh(s);
  default:
    return forget_page(s);
  }
}

/// Its own question, with a number that grows.
void shoppers::ask(shopper& s) {
  s.plan.push_back(put_number(s, questions, "q" + std::to_string(s.index), ++s.counted, {}));
}

/// Reads somebody's question, and answers it: the answer depends on it.
void shoppers::reply(shopper& s) {
  const auto topic = std::to_string(random_.below(shoppers_.size()));
  s.plan.push_back(get(s, questions, "q" + topic, [this, &s, topic](std::optional<std::uint64_t> found) {
    if (*found > 0) s.plan.push_back(put_number(s, questions, "a" + topic, *found, {}));
  }));
}

/// Reads an answer, and then its question.
void shoppers::look(shopper& s) {
  const auto topic = std::to_string(random_.below(shoppers_.size()));
  planned p{questions, "a" + topic, {}, {}, {}};
  p.what.mutable_get();
  p.then = [this, &s, topic](const v1::WeakAnswer* answer) {
    if (code_of(answer) != errc::none) return;
    const auto answered_number = number_in(*answer).value_or(0);
    planned question{questions, "q" + topic, {}, {}, {}};
    question.what.mutable_get();
    question.then = [this, &s, topic, answered_number](const v1::WeakAnswer* a) {
      if (code_of(a) != errc::none) return;
      const auto found = number_in(*a).value_or(0);
      if (found < answered_number && !lossy_ && !may_be(stored_key(questions, "q" + topic), found))
        judge_.accuse("C1", "shopper" + std::to_string(s.index) + " has read the answer to question "
                                + std::to_string(answered_number) + " of topic " + topic + " and finds question "
                                + std::to_string(found));
      check_floor(s, stored_key(questions, "q" + topic), found, "T2");
      raise_floor(s, stored_key(questions, "q" + topic), found);
    };
    s.plan.push_back(std::move(question));
  };
  s.plan.push_back(std::move(p));
}

/// First x, then y, both to the same number; sometimes looks at what it has written.
void shoppers::raise_pair(shopper& s) {
  const auto own = std::to_string(s.index);
  const auto number = ++s.counted;
  s.plan.push_back(put_number(s, pairs, "x" + own, number, [this, &s, own, number](bool done) {
    if (!done) return;
    s.plan.push_back(put_number(s, pairs, "y" + own, number, {}));
    if (!random_.chance(0.5)) return;
    planned p{pairs, "x" + own, {}, {}, {}};
    p.what.mutable_get();
    p.then = [this, &s, own](const v1::WeakAnswer* answer) {
      if (code_of(answer) == errc::none)
        check_floor(s, stored_key(pairs, "x" + own), number_in(*answer).value_or(0), "T1");
    };
    s.plan.push_back(std::move(p));
  }));
}

void shoppers::read_pair(shopper& s) {
  const auto whose = std::to_string(random_.below(shoppers_.size()));
  s.plan.push_back(get(s, pairs, "y" + whose, [this, &s, whose](std::optional<std::uint64_t> y) {
    planned p{pairs, "x" + whose, {}, {}, {}};
    p.what.mutable_get();
    p.then = [this, &s, whose, y](const v1::WeakAnswer* answer) {
      if (code_of(answer) != errc::none) return;
      const auto x = number_in(*answer).value_or(0);
      if (x < *y && !lossy_ && !may_be(stored_key(pairs, "x" + whose), x))
        judge_.accuse("T3", "shopper" + std::to_string(s.index) + " reads y=" + std::to_string(*y) + " and then x="
                                + std::to_string(x) + " of shopper" + whose + ", who writes x first");
      check_floor(s, stored_key(pairs, "x" + whose), x, "T2");
      raise_floor(s, stored_key(pairs, "x" + whose), x);
    };
    s.plan.push_back(std::move(p));
  }));
}

void shoppers::count(shopper& s) {
  const auto key = "n" + std::to_string(random_.below(topics));
  const auto delta = random_.chance(0.8) ? random_.between(1, 9) : random_.between(-5, -1);
  planned p{views, key, {}, {}, {}};
  p.what.mutable_add()->set_delta(delta);
  keys_.insert(stored_key(views, key));
  p.then = [this, key = stored_key(views, key), delta](const v1::WeakAnswer* answer) {
    auto& sum = counters_[key];
    if (code_of(answer) == errc::none)
      sum.acknowledged += delta;
    else if (is_unknown(answer))
      (delta > 0 ? sum.maybe_more : sum.maybe_less) += delta;
  };
  s.plan.push_back(std::move(p));
}

/// A page that nobody else writes, with a number that grows.
void shoppers::raise_price(shopper& s) {
  s.plan.push_back(put_number(s, pages, "r" + std::to_string(s.index), ++s.counted, {}));
}

/// Somebody's price, or x of a pair, that may be stale, but not staler than it says.
void shoppers::read_fresh(shopper& s) {
  const auto whose = std::to_string(random_.below(shoppers_.size()));
  const bool price = random_.chance(0.5);
  planned p{price ? pages : pairs, (price ? "r" : "x") + whose, {}, {}, {}};
  p.what.mutable_get();
  p.staleness = random_.between(nanoseconds{milliseconds{1}}, nanoseconds{milliseconds{80}});
  p.then = [this, &s, key = stored_key(p.type, p.key), bound = p.staleness](const v1::WeakAnswer* answer) {
    if (code_of(answer) != errc::none || lossy_) return;
    const auto found = number_in(*answer).value_or(0);
    const auto least = acknowledged_by(key, s.called - bound);
    if (found < least && !may_be(key, found))
      judge_.accuse("E4", "shopper" + std::to_string(s.index) + " reads " + std::to_string(found) + " under " + key
                              + " no staler than " + std::to_string(bound.count()) + " ns, when "
                              + std::to_string(least) + " had been acknowledged longer than that");
  };
  s.plan.push_back(std::move(p));
}

std::uint64_t shoppers::acknowledged_by(const std::string& stored, nanoseconds when) const {
  const auto all = acknowledged_.find(stored);
  if (all == acknowledged_.end()) return 0;
  const auto later = std::upper_bound(all->second.begin(), all->second.end(), when,
                                      [](nanoseconds t, const auto& entry) { return t < entry.first; });
  return later == all->second.begin() ? 0 : std::prev(later)->second;
}

void shoppers::write_page(shopper& s) {
  const auto key = "p" + std::to_string(random_.below(topics));
  planned p{pages, key, {}, {}, {}};
  if (random_.chance(0.2))
    p.what.mutable_remove();
  else
    p.what.mutable_put()->set_value(std::to_string(++texts_) + " by shopper" + std::to_string(s.index));
  keys_.insert(stored_key(pages, key));
  p.then = [](const v1::WeakAnswer*) {};
  s.plan.push_back(std::move(p));
}

/// A page of its own that is written, and removed for good.
void shoppers::forget_page(shopper& s) {
  const auto key = "f" + std::to_string(s.index) + "." + std::to_string(++s.counted);
  planned p{pages, key, {}, {}, {}};
  p.what.mutable_put()->set_value("1");
  keys_.insert(stored_key(pages, key));
  p.then = [this, &s, key](const v1::WeakAnswer* answer) {
    if (code_of(answer) != errc::none) return;
    planned removal{pages, key, {}, {}, {}};
    removal.what.mutable_remove();
    removal.then = [this, key = stored_key(pages, key)](const v1::WeakAnswer* a) {
      if (code_of(a) == errc::none) gone_.insert(key);
    };
    s.plan.push_back(std::move(removal));
  };
  s.plan.push_back(std::move(p));
}

// -- at the end
// -------------------------------------------------------------------------------------------------------

void shoppers::compare(nanoseconds at_most) {
  compared_ = false;
  compare_until_ = world_.now() + at_most;
  compare_round();
}

/// Reads every key on every node; again after a while when something could not be read, or nodes differ.
void shoppers::compare_round() {
  ++rounds_;
  seen_.clear();
  unread_ = false;
  readers_.clear();
  for (std::uint32_t node = 0; node < options_.nodes; ++node)
    readers_.push_back(places_[node].up ? places_[node].open() : session_actor{});
  reading_ = 1; // this loop
  const auto one_read = [this] {
    if (--reading_ > 0) return;
    std::map<std::string, std::optional<std::string>> state;
    std::string differs;
    for (const auto& [key, by_node] : seen_) {
      for (const auto& [node, value] : by_node)
        if (value != by_node.begin()->second) differs = key + ": " + shown(by_node);
      state[key] = by_node.begin()->second;
    }
    // Nodes may agree on what is older than what was acknowledged last: it is on its way, for a while.
    auto complaint = unread_ || !differs.empty() ? std::nullopt : final_complaint(state);
    if (!unread_ && differs.empty() && !complaint) {
      compared_ = true;
      return;
    }
    if (world_.now() > compare_until_) {
      if (complaint)
        judge_.accuse(complaint->first, complaint->second);
      else if (unread_)
        judge_.accuse("liveness", "some key of a weaker level cannot be read long after everything has healed");
      else
        judge_.accuse("E1", differs + "; not the same on all nodes long after everything has healed");
      compared_ = true;
      return;
    }
    world_.after(milliseconds{200}, [this] { compare_round(); });
  };
  for (std::uint32_t node = 0; node < readers_.size(); ++node)
    for (const auto& key : keys_) {
      if (!readers_[node]) {
        unread_ = true;
        continue;
      }
      session_call call;
      call.operation.set_key(key);
      call.operation.mutable_get();
      call.type = key.substr(0, key.find(':'));
      call.deadline = places_[node].time->now() + std::chrono::seconds{2};
      call.weak_done = [this, node, key, round = rounds_, one_read](const v1::WeakAnswer& answer) {
        if (round != rounds_) return;
        if (code_of(&answer) != errc::none)
          unread_ = true;
        else
          seen_[key][node] = answer.result().exists() ? std::optional{answer.result().value()} : std::nullopt;
        one_read();
      };
      ++reading_;
      caf::anon_send(readers_[node], std::move(call));
    }
  one_read();
}

/// What is wrong with the state that all nodes agree on, and the invariant that it breaks.
std::optional<std::pair<std::string, std::string>>
shoppers::final_complaint(const std::map<std::string, std::optional<std::string>>& state) const {
  const auto number_of = [&](const std::string& key) -> std::int64_t {
    const auto found = state.find(key);
    if (found == state.end() || !found->second) return 0;
    std::int64_t number = 0;
    std::from_chars(found->second->data(), found->second->data() + found->second->size(), number);
    return number;
  };
  if (options_.async_weak)
    return std::nullopt; // a crash may have taken what was acknowledged, in the declared window
  for (const auto& [key, sum] : counters_) {
    const auto found = number_of(key);
    if (found < sum.acknowledged + sum.maybe_less || found > sum.acknowledged + sum.maybe_more)
      return std::pair{"E2", key + " is " + std::to_string(found) + " in the end; acknowledged were "
                                 + std::to_string(sum.acknowledged) + ", unknown " + std::to_string(sum.maybe_less)
                                 + " and +" + std::to_string(sum.maybe_more)};
  }
  for (const auto& [key, numbers] : acknowledged_) {
    if (key.find(":a") != std::string::npos) continue; // has several writers
    const auto number = numbers.back().second;
    if (number_of(key) < static_cast<std::int64_t>(number)
        && !may_be(key, static_cast<std::uint64_t>(number_of(key))))
      return std::pair{"D1", key + " is " + std::to_string(number_of(key)) + " in the end; acknowledged was "
                                 + std::to_string(number)};
  }
  for (const auto& key : gone_)
    if (const auto found = state.find(key); found != state.end() && found->second)
      return std::pair{"E3", key + " was removed, and is there in the end"};
  return std::nullopt;
}

} // namespace troupe::simulated
