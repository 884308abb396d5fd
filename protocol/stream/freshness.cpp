#include "protocol/stream/freshness.hpp"

#include "protocol/mutation.hpp"

#include <algorithm>

namespace troupe {

freshness::freshness(freshness_options options) : options_{std::move(options)} {
  for (const auto who : options_.members)
    for (const auto lane : {stream_lane::ordered, stream_lane::free})
      known_[{who, lane}];
}

void freshness::ask(node_id who, stream_lane lane, knowledge& k, instant now, questions& out) {
  k.number = ++last_;
  k.asked_at = now;
  out.push_back({who, lane, k.number});
}

void freshness::ask_if_wanted(node_id who, stream_lane lane, knowledge& k, instant now, questions& out) {
  if (k.number == 0 && !k.pending && k.wanted > k.as_of && reachable(who)) ask(who, lane, k, now, out);
}

void freshness::peer(node_id who, bool connected, instant now, questions& out) {
  if (connected)
    connected_.insert(who);
  else
    connected_.erase(who);
  for (const auto lane : {stream_lane::ordered, stream_lane::free}) {
    const auto found = known_.find({who, lane});
    if (found == known_.end()) continue;
    found->second.number = 0;
    found->second.pending.reset();
    ask_if_wanted(who, lane, found->second, now, out);
  }
}

void freshness::want(node_id who, stream_lane lane, instant since, instant now, questions& out) {
  const auto found = known_.find({who, lane});
  if (found == known_.end()) return;
  found->second.wanted = std::max(found->second.wanted, since);
  ask_if_wanted(who, lane, found->second, now, out);
}

bool freshness::told(answer a, const is_shown& shown, instant now, questions& out) {
  const auto found = known_.find({a.from, a.lane});
  if (found == known_.end() || a.number == 0 || found->second.number != a.number) return false;
  auto& k = found->second;
  k.number = 0;
  k.pending = answered{std::move(a.accepted), mutated(mutation::fresh_from_answer) ? now : k.asked_at};
  const bool fresher = settle(k, shown);
  ask_if_wanted(a.from, a.lane, k, now, out);
  return fresher;
}

bool freshness::settle(knowledge& k, const is_shown& shown) {
  if (!k.pending || (!shown(k.pending->accepted) && !mutated(mutation::fresh_before_shown))) return false;
  k.as_of = std::max(k.as_of, k.pending->as_of);
  k.pending.reset();
  return true;
}

bool freshness::more_shown(stream_lane lane, const is_shown& shown, instant now, questions& out) {
  bool fresher = false;
  for (auto& [what, k] : known_) {
    if (what.second != lane || !settle(k, shown)) continue;
    fresher = true;
    ask_if_wanted(what.first, lane, k, now, out);
  }
  return fresher;
}

instant freshness::as_of(node_id who, stream_lane lane) const {
  const auto found = known_.find({who, lane});
  return found == known_.end() ? instant::min() : found->second.as_of;
}

instant freshness::due(node_id who, const knowledge& k) const {
  if (k.pending || !reachable(who)) return never;
  return k.asked_at + (k.number != 0 ? options_.retry : options_.measure);
}

void freshness::tick(instant now, questions& out) {
  for (auto& [what, k] : known_)
    if (due(what.first, k) <= now) ask(what.first, what.second, k, now, out);
}

instant freshness::wake_at() const {
  auto when = never;
  for (const auto& [what, k] : known_)
    when = std::min(when, due(what.first, k));
  return when;
}

} // namespace troupe
