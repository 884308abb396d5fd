/// The sessions of HTTP requests: one for each, for as long as it is served.
#pragma once

#include "runtime/faces/face.hpp"
#include "runtime/lock_calls.hpp"

#include <memory>
#include <mutex>
#include <optional>
#include <set>

namespace troupe {

/// Safe from any thread.
class request_sessions {
public:
  /// Runs one operation in a session of its own. Blocks until it is answered, or close() has ended it.
  v1::Result perform(const face_setup& face, typed_operation asked, milliseconds budget);
  /// The same, with all that an answer says, for a session that goes on from `seen`.
  struct whole_answer {
    v1::WeakAnswer answer;
    std::optional<v1::SessionVector>
        token; ///< what the session has seen in the end, errors included; if it was wanted
  };
  struct token_wish {
    std::optional<v1::SessionVector> seen{};
    bool wanted = false;
  };
  whole_answer perform_whole(const face_setup& face, typed_operation asked, token_wish token, milliseconds budget);
  /// Asks for a named lock, and blocks until it can be used or will not be had; then, what was granted after all is
  /// given back behind the caller's back.
  lock_runner::ending acquire(const face_setup& face, const typed_operation& named, lock_acquisition::wish wish,
                              milliseconds budget);
  /// Ends what is under way, at once: what was sent on as unknown, the rest as not done. What comes later is refused.
  void close();

private:
  /// What answers may still look at when the requests are gone.
  struct open_sessions {
    /// Held from the opening of a session until its operation is in its mailbox: a close that came before the
    /// operation would leave it without an answer. And while a node is used that is about to go.
    std::mutex guard;
    std::set<session_actor> open; ///< at most one per thread that serves
    bool closed = false;
  };
  const std::shared_ptr<open_sessions> sessions_ = std::make_shared<open_sessions>();
};

} // namespace troupe
