#include "protocol/session/session_vector.hpp"

#include "protocol/error.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>

namespace troupe {

bool is_write(const v1::WeakOperation& operation) { return !operation.has_get(); }

void session_vector::attach(v1::WeakOperation& operation, stream_lane lane) const {
  auto& session = *operation.mutable_session();
  session.Clear();
  operation.clear_own();
  session.set_clock(clock_);
  if (lane == stream_lane::free) return;
  const auto kept = operation.guarantees();
  const bool writes = is_write(operation);
  version_vector needed;
  if (writes && (kept & guarantee::monotonic_writes) != 0) needed.join(written_);
  if (writes && operation.explicit_depends()) {
    // Instead of what was read, never instead of the session's own writes.
    auto named = from_wire(operation.depends());
    named.join(needed);
    to_wire(named, *operation.mutable_depends());
  } else if (writes && (kept & guarantee::writes_follow_reads) != 0) {
    needed.join(read_);
  }
  if (!writes && (kept & guarantee::monotonic_reads) != 0) needed.join(read_);
  if (!writes && (kept & guarantee::read_your_writes) != 0) needed.join(owed_);
  to_wire(needed, *session.mutable_seen());
  if (kept != guarantee::none) to_wire(region_, *session.mutable_region());
  // A write replaces the session's own writes of the key, whatever it promises its reads.
  if (!writes && (kept & guarantee::read_your_writes) == 0) return;
  if (const auto own = own_.find(operation.key()); own != own_.end())
    for (const auto& d : own->second)
      to_wire(d, *operation.add_own());
}

void session_vector::raise_by(const std::string& key, const v1::WeakAnswer& answer, stream_lane lane) {
  if (answer.result().error() != 0 && mutated(mutation::token_not_raised_on_errors)) return;
  clock_ = std::max(clock_, answer.session().clock());
  if (lane == stream_lane::free) return;
  auto seen = from_wire(answer.session().seen());
  const auto written = from_wire(answer.written());
  // The write itself was not read: a read that waited for it would wait for what it can have joined.
  if (written && seen.at(written.from) == written.seq) seen.erase(written.from);
  read_.join(seen);
  region_.join(from_wire(answer.session().region()));
  if (written) {
    if (answer.result().error() == static_cast<std::uint32_t>(errc::forgotten))
      written_.raise(written); // an upper bound, not the write: enough for what depends on it, nothing to be read
    else
      add_own(key, written);
  }
  const auto survived = from_wire(answer.survived());
  if (answer.result().error() == static_cast<std::uint32_t>(errc::lost_update) && survived.from) lower(survived);
  drop_covered_own();
}

/// The only way back, and never below what anybody can still see: the session was told what it has lost.
void session_vector::lower(const dot& survived) {
  for (auto* v : {&read_, &written_, &owed_, &region_}) {
    if (v->at(survived.from) <= survived.seq) continue;
    v->erase(survived.from);
    v->raise(survived);
  }
  std::erase_if(own_order_, [&](const auto& entry) {
    const auto& [key, written] = entry;
    if (written.from != survived.from || written.seq <= survived.seq) return false;
    forget_own(key, written);
    return true;
  });
}

void session_vector::forget_own(const std::string& key, const dot& written) {
  const auto own = own_.find(key);
  std::erase(own->second, written);
  if (own->second.empty()) own_.erase(own);
}

void session_vector::join(const v1::SessionVector& token) {
  const auto seen = from_wire(token.seen());
  read_.join(seen);
  written_.join(seen);
  owed_.join(seen);
  region_.join(from_wire(token.region()));
  clock_ = std::max(clock_, token.clock());
  drop_covered_own();
}

v1::SessionVector session_vector::exported() const {
  auto seen = read_;
  seen.join(written_);
  v1::SessionVector out;
  to_wire(seen, *out.mutable_seen());
  to_wire(region_, *out.mutable_region());
  out.set_clock(clock_);
  return out;
}

void session_vector::add_own(const std::string& key, const dot& written) {
  written_.raise(written);
  if (owed_.covers(written)) { // it is waited for anyway
    owed_.join(read_);
    owed_.join(written_);
    return;
  }
  auto& own = own_[key];
  if (std::find(own.begin(), own.end(), written) != own.end()) return; // a repeated answer
  own.push_back(written);
  own_order_.emplace_back(key, written);
  while (own_order_.size() > own_max_)
    wait_for_oldest();
}

/// It is visible only where all that it depends on is: those before it, which are waited for already, and what was
/// read.
void session_vector::wait_for_oldest() {
  const auto& [key, oldest] = own_order_.front();
  owed_.raise(oldest);
  owed_.join(read_);
  forget_own(key, oldest);
  own_order_.pop_front();
}

/// What the region's frontier covers costs a read there no wait, so it need not be named any more. Unless one before
/// it is not covered: being in the frontier alone makes nobody see it.
void session_vector::drop_covered_own() {
  while (!own_order_.empty() && region_.covers(own_order_.front().second))
    wait_for_oldest();
}

} // namespace troupe
