#include "runtime/snapshot_read.hpp"

#include "protocol/version_vector.hpp"

#include <utility>

namespace troupe {

void snapshot_read::run(std::size_t keys, read ask, std::function<void(errc)> done) {
  const std::shared_ptr<snapshot_read> call{new snapshot_read{keys, std::move(ask), std::move(done)}};
  call->begin();
}

void snapshot_read::begin() {
  ++tries_;
  ask_(0, nullptr, [self = shared_from_this()](errc code, const v1::SessionVector& session) {
    if (code != errc::none) return self->done_(code);
    self->read_all(session);
  });
}

void snapshot_read::read_all(const v1::SessionVector& first) {
  auto cut = from_wire(first.region());
  cut.join(from_wire(first.seen()));
  v1::Vector wire;
  to_wire(cut, wire);
  {
    const std::lock_guard lock{mutex_};
    failed_ = errc::none;
    waiting_ = keys_;
  }
  for (std::size_t i = 0; i < keys_; ++i)
    ask_(i, &wire, [self = shared_from_this()](errc code, const v1::SessionVector&) { self->arrived(code); });
}

void snapshot_read::arrived(errc code) {
  errc outcome = errc::none;
  {
    const std::lock_guard lock{mutex_};
    if (code != errc::none && (failed_ == errc::none || failed_ == errc::old_cut)) failed_ = code;
    if (--waiting_ > 0) return;
    outcome = failed_;
  }
  if (outcome == errc::old_cut && tries_ < tries_max) return begin();
  done_(outcome);
}

} // namespace troupe
