/// One read of several keys as one causal cut (invariant C2), over whatever reads one key.
///
/// The first key is read as it is: its answer tells what the region shows, as the replica that answered knows it, and
/// what it was shown with. Both contain the past of all that they contain, and so does their join: the cut. Then all
/// keys are read exactly there. What is overwritten is kept for a while only: a cut that is too old by then is taken
/// anew.
#pragma once

#include "protocol/error.hpp"
#include "protocol/wire/stream.pb.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>

namespace troupe {

/// Lives until it has told its outcome. Answers may come on any thread.
class snapshot_read : public std::enable_shared_from_this<snapshot_read> {
public:
  /// Called once for each read, with what the answer says of the session.
  using answered = std::function<void(errc code, const v1::SessionVector& session)>;
  /// Reads the `place`-th key; null `cut` = as it is. What it finds, it keeps: a later answer replaces an earlier
  /// one.
  using read = std::function<void(std::size_t place, const v1::Vector* cut, answered then)>;

  static constexpr std::size_t keys_max = 256;

  /// @param keys  1 to keys_max.
  /// @param done  none, or the first error; of several, any other before old_cut.
  static void run(std::size_t keys, read ask, std::function<void(errc)> done);

private:
  /// Cuts that may grow too old before it is given up.
  static constexpr int tries_max = 3;

  snapshot_read(std::size_t keys, read ask, std::function<void(errc)> done)
      : keys_{keys}, ask_{std::move(ask)}, done_{std::move(done)} {}
  void begin();
  void read_all(const v1::SessionVector& first);
  void arrived(errc code);

  const std::size_t keys_;
  const read ask_;
  const std::function<void(errc)> done_;
  int tries_ = 0;
  std::mutex mutex_;
  std::size_t waiting_ = 0; ///< reads of this try that are not answered
  errc failed_ = errc::none;
};

} // namespace troupe
