#include "protocol/session/write_order.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

bool write_order::withdraw(call which) {
  const auto i = std::find(waiting_.begin(), waiting_.end(), which);
  if (i == waiting_.end()) return false;
  waiting_.erase(i);
  return true;
}

write_order::step write_order::next() {
  if (state_ != state::idle || waiting_.empty()) return std::monostate{};
  const auto first = waiting_.front();
  if (unsettled()) {
    state_ = state::settling;
    asked_for_ = first;
    return settle_first{first, std::move(unsettled_)};
  }
  state_ = state::writing;
  waiting_.pop_front();
  return write{first};
}

void write_order::written(v1::WeakOperation unsettled) {
  TROUPE_ASSERT(state_ == state::writing);
  state_ = state::idle;
  if (!mutated(mutation::unknown_write_not_settled)) unsettled_ = std::move(unsettled);
}

std::optional<write_order::call> write_order::asked_again(v1::WeakOperation unsettled) {
  TROUPE_ASSERT(state_ == state::settling);
  state_ = state::idle;
  unsettled_ = std::move(unsettled);
  if (!this->unsettled()) return std::nullopt;
  // Those behind it have deadlines of their own, and ask again.
  return withdraw(asked_for_) ? std::optional{asked_for_} : std::nullopt;
}

} // namespace troupe
