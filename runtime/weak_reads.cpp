#include "runtime/weak_reads.hpp"

#include "protocol/mutation.hpp"

#include <algorithm>

namespace troupe {

std::optional<weak_table::hit> weak_reads::read(std::string_view stored, level promised, std::string& value) {
  // What the session needs is looked for before the copy is, which may otherwise be of an earlier picture; whether
  // the copy's picture is complete, after it.
  const bool ordered = promised != level::eventual;
  if (ordered) {
    const auto number = table_->applied();
    if (!covers_session(number) || !covers_own(stored, number)) return std::nullopt;
  }
  const auto hit = table_->read(stored, value);
  if (!hit) return std::nullopt;
  if (ordered) {
    const auto complete = table_->applied();
    if (hit->publication > complete && !mutated(mutation::half_picture_read)) return std::nullopt;
    raise(seen_here_, complete);
  }
  raise(clock_here_, hit->clock);
  return hit;
}

void weak_reads::answered(const std::string& stored, const v1::WeakAnswer& answer, bool ordered) {
  if (!ordered) return;
  const std::lock_guard lock{mutex_};
  bool raised = seen_.join(from_wire(answer.session().seen()));
  if (const auto written = from_wire(answer.written())) {
    if (own_.size() >= own_max) {
      raised |= seen_.join(own_.front().needs);
      drop_oldest();
    }
    // It depends on those before it, of other keys, too: being covered it is not visible while one of them is not.
    written_.raise(written);
    own_.push_back({stored, written_});
    ++own_keys_[stored];
    own_writes_.store(own_.size());
  }
  if (raised) forget_picture();
}

void weak_reads::joined(const v1::SessionVector& token) {
  const std::lock_guard lock{mutex_};
  if (seen_.join(from_wire(token.seen()))) forget_picture();
}

void weak_reads::forget_picture() {
  needed_.store(not_known);
  tried_ = 0;
}

std::optional<v1::SessionVector> weak_reads::untold() {
  if (seen_here_.load() == 0 && clock_here_.load() == 0) return std::nullopt;
  const std::lock_guard lock{mutex_};
  const auto clock = clock_here_.load();
  const auto number = seen_here_.load();
  if (number <= told_ && clock <= told_clock_) return std::nullopt;
  v1::SessionVector out;
  if (number > told_) {
    const auto now = pictures_->newest(); // at least what was read of; its frontier is the past of all that it shows
    to_wire(now->visible, *out.mutable_seen());
    told_ = now->publication;
  }
  out.set_clock(clock);
  told_clock_ = std::max(told_clock_, clock);
  return out;
}

bool weak_reads::covers_session(std::uint64_t number) {
  if (number == 0) return false;
  if (needed_.load() <= number) return true;
  const std::lock_guard lock{mutex_};
  const auto now = pictures_->newest();
  if (now->publication == tried_) return false; // what is needed only grows
  tried_ = now->publication;
  if (!now->visible.contains(seen_)) return false;
  needed_.store(now->publication);
  return true; // and it was complete before the copy is looked for
}

bool weak_reads::covers_own(std::string_view stored, std::uint64_t number) {
  if (own_writes_.load() == 0) return true;
  const std::lock_guard lock{mutex_};
  if (own_tried_ < number) {
    const auto now = pictures_->newest();
    own_tried_ = now->publication;
    while (!own_.empty() && now->visible.contains(own_.front().needs)) // each needs those before it
      drop_oldest();
    own_writes_.store(own_.size());
  }
  return !own_keys_.contains(stored);
}

void weak_reads::drop_oldest() {
  const auto key = own_keys_.find(own_.front().key);
  if (--key->second == 0) own_keys_.erase(key);
  own_.pop_front();
}

void weak_reads::raise(std::atomic<std::uint64_t>& number, std::uint64_t to) {
  auto known = number.load(std::memory_order_relaxed);
  while (known < to && !number.compare_exchange_weak(known, to, std::memory_order_relaxed)) {
  }
}

} // namespace troupe
