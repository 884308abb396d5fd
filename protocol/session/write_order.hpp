/// The order of one session's writes to causal and session types, whatever their keys (T3).
///
/// One is under way at a time, so that each carries those before it as dependencies. When the outcome of one is
/// *unknown*, it is settled before the next is sent: it is asked for again under its own id, with the deadline of the
/// write that waits; and while it stays unknown, writes that need the order are refused. (PROTOCOLS §7)
#pragma once

#include "protocol/wire/stream.pb.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <variant>

namespace troupe {

class write_order {
public:
  /// Names a write to its owner; grows in the order of their issue.
  using call = std::uint64_t;
  /// The turn of this write has come.
  struct write {
    call which;
  };
  /// Submit this operation as it is, and be back by the deadline of `waiting`.
  struct settle_first {
    call waiting;
    v1::WeakOperation operation;
  };
  using step = std::variant<std::monostate, write, settle_first>;

  void issue(call which) { waiting_.push_back(which); }
  /// It was cancelled, or its deadline has passed, before its turn. @return whether it was waiting.
  bool withdraw(call which);

  /// What is to be done now; monostate = nothing. Each step is told once, and answered by one of the next two.
  step next();

  /// The write under way has an outcome. `unsettled`: what may still tell it; executor 0 = it is known.
  void written(v1::WeakOperation unsettled);
  /// So has the operation of `settle_first`. @return the write that cannot be done, because that one stays unknown.
  std::optional<call> asked_again(v1::WeakOperation unsettled);

  bool settling() const { return state_ == state::settling; }
  bool unsettled() const { return unsettled_.executor() != 0; }
  std::size_t waiting() const { return waiting_.size(); }

private:
  enum class state : std::uint8_t { idle, writing, settling };

  state state_ = state::idle;
  std::deque<call> waiting_;    ///< not sent; in order
  v1::WeakOperation unsettled_; ///< executor 0 = none
  call asked_for_ = 0;          ///< settling: the write that was at the head when it began
};

} // namespace troupe
