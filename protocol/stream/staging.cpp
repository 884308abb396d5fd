#include "protocol/stream/staging.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

/// Steps of `shown` that are closer together than this are one.
constexpr milliseconds step_min{50};
constexpr std::size_t steps_max = 1'024;

} // namespace

staged_update& staging::add(staged_update u) {
  auto& l = lines_[u.at.from];
  TROUPE_ASSERT(l.updates.empty() || l.updates.back()->at.seq < u.at.seq);
  TROUPE_ASSERT(!folded_.covers(u.at));
  bytes_ += weight_of(*u.what);
  ++size_;
  ++hidden_;
  if (shown_.covers(u.at)) late_.push_back(u.at.from);
  l.updates.push_back(std::make_unique<staged_update>(std::move(u)));
  return *l.updates.back();
}

staged_update* staging::find(const dot& at) const {
  const auto l = lines_.find(at.from);
  if (l == lines_.end()) return nullptr;
  const auto& updates = l->second.updates;
  const auto u = std::lower_bound(updates.begin(), updates.end(), at.seq,
                                  [](const auto& x, auto seq) { return x->at.seq < seq; });
  return u != updates.end() && (*u)->at.seq == at.seq ? u->get() : nullptr;
}

void staging::look_at(staged_update& u, std::vector<staged_update*>& out) {
  if (const auto lacks = missing(shown_, u.depends); lacks && !mutated(mutation::dependency_vector_ignored)) {
    blocked_[lacks.from].emplace(lacks.seq, &u);
    ++blocked_count_;
    return;
  }
  u.visible = true;
  --hidden_;
  out.push_back(&u);
}

dot staging::missing(const version_vector& have, const version_vector& depends) const {
  for (const auto& e : depends.entries()) {
    const auto reached = have.at(e.from);
    if (reached >= e.seq) continue;
    const auto end = ended_.find(e.from);
    const auto wanted = end == ended_.end() ? e.seq : std::min(e.seq, end->second);
    if (reached < wanted) return {e.from, wanted};
  }
  return {};
}

std::optional<std::uint64_t> staging::last_of(const origin& from) const {
  const auto i = ended_.find(from);
  return i == ended_.end() ? std::nullopt : std::optional{i->second};
}

void staging::end(const dot& last, instant now, std::vector<staged_update*>& out) {
  const auto [i, fresh] = ended_.try_emplace(last.from, last.seq);
  if (!fresh && i->second == last.seq) return;
  i->second = last.seq;
  const auto waiting = blocked_.find(last.from);
  if (waiting == blocked_.end()) return;
  const auto all = std::move(waiting->second);
  blocked_.erase(waiting);
  blocked_count_ -= all.size();
  for (const auto& [seq, u] : all)
    look_at(*u, out);
  remember(now);
}

void staging::show(const version_vector& upto, instant now, std::vector<staged_update*>& out) {
  auto raised = std::exchange(late_, {});
  for (const auto& e : upto.entries())
    if (shown_.at(e.from) < e.seq) raised.push_back(e.from);
  shown_.join(upto);
  if (raised.empty()) return;
  for (const auto& from : raised) {
    const auto reached = shown_.at(from);
    if (const auto l = lines_.find(from); l != lines_.end())
      for (auto& n = l->second.looked_at; n < l->second.updates.size() && l->second.updates[n]->at.seq <= reached;
           ++n)
        look_at(*l->second.updates[n], out);
    const auto waiting = blocked_.find(from);
    if (waiting == blocked_.end()) continue;
    auto& byseq = waiting->second;
    std::vector<staged_update*> woken;
    const auto end = byseq.upper_bound(reached);
    for (auto i = byseq.begin(); i != end; ++i)
      woken.push_back(i->second);
    byseq.erase(byseq.begin(), end);
    if (byseq.empty()) blocked_.erase(waiting);
    blocked_count_ -= woken.size();
    for (auto* u : woken)
      look_at(*u, out);
  }
  remember(now);
}

bool staging::shows(const version_vector& upto) const {
  if (!late_.empty() || !shown_.contains(upto)) return false;
  for (const auto& [from, waiting] : blocked_)
    for (const auto& [seq, u] : waiting)
      if (upto.covers(u->at)) return false;
  return true;
}

void staging::remember(instant now) {
  if (history_.size() > 1 && (now - history_[history_.size() - 2].since < step_min || history_.size() >= steps_max)) {
    history_.back() = {now, shown_};
  } else {
    history_.push_back({now, shown_});
  }
}

void staging::lower(version_vector& target, const origin& from, std::uint64_t seq) {
  if (target.at(from) <= seq) return;
  target.erase(from);
  if (seq > 0) target.raise(from, seq);
}

void staging::close(version_vector& target) const {
  for (bool lowered = true; lowered;) {
    lowered = false;
    for (const auto& [from, l] : lines_) {
      for (const auto& u : l.updates) {
        if (!target.covers(u->at)) break;
        if (!missing(target, u->depends)) continue;
        lower(target, from, u->at.seq - 1);
        lowered = true;
        break;
      }
    }
  }
}

std::vector<std::unique_ptr<staged_update>> staging::absorb(const version_vector& target, instant now,
                                                            std::vector<staged_update*>& out) {
  for (auto waiting = blocked_.begin(); waiting != blocked_.end();) {
    blocked_count_ -= std::erase_if(waiting->second, [&](const auto& w) { return target.covers(w.second->at); });
    waiting = waiting->second.empty() ? blocked_.erase(waiting) : std::next(waiting);
  }
  std::vector<std::unique_ptr<staged_update>> gone;
  for (auto& [from, l] : lines_) {
    // What is taken below has been looked at, whatever it depends on.
    while (l.looked_at < l.updates.size() && target.covers(l.updates[l.looked_at]->at))
      ++l.looked_at;
    for (std::size_t i = 0; i < l.looked_at && target.covers(l.updates[i]->at); ++i)
      if (!l.updates[i]->visible) --hidden_;
  }
  take(target, gone);
  show(target, now, out);
  return gone;
}

void staging::take(const version_vector& target, std::vector<std::unique_ptr<staged_update>>& out) {
  for (auto i = lines_.begin(); i != lines_.end();) {
    auto& l = i->second;
    while (!l.updates.empty() && target.covers(l.updates.front()->at)) {
      TROUPE_ASSERT(l.looked_at > 0);
      --l.looked_at;
      bytes_ -= weight_of(*l.updates.front()->what);
      --size_;
      out.push_back(std::move(l.updates.front()));
      l.updates.pop_front();
    }
    i = l.updates.empty() ? lines_.erase(i) : std::next(i);
  }
  folded_.join(target);
}

} // namespace troupe
