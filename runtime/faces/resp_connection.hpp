/// CONNECTION: one Redis client of the gateway. See resp_gateway.hpp.
#pragma once

#include "runtime/faces/resp_commands.hpp"
#include "runtime/faces/resp_gateway.hpp"
#include "runtime/faces/resp_parser.hpp"

#include <caf/io/broker.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace troupe {

/// What a connection needs of its gateway. Shared by all connections.
struct resp_context {
  face_setup face;
  resp_limits bounds;
  std::shared_ptr<resp_load> load;
};

/// Results on their way from the session's thread to the broker's. One message announces any number of them.
class resp_inbox {
public:
  struct arrival {
    std::uint64_t command = 0; ///< number of the command
    std::size_t operation = 0; ///< its operation
    v1::Result result;
  };

  explicit resp_inbox(caf::weak_actor_ptr owner) : owner_(std::move(owner)) {}

  /// Any thread.
  void put(arrival what);
  /// The owner, when it is told `answers_atom`.
  std::vector<arrival> take();

private:
  std::mutex guard_;
  std::vector<arrival> arrivals_;
  bool announced_ = false; ///< a message to the owner is under way, which finds everything put until then
  caf::weak_actor_ptr owner_;
};

using answers_atom = caf::atom_constant<caf::atom("answers")>;
using linger_atom = caf::atom_constant<caf::atom("linger")>;

/// The state of a connection. Its end, however it comes, closes the session and gives back what it held.
class resp_connection {
public:
  static constexpr const char* name = "troupe.resp_connection";

  resp_connection() = default;
  resp_connection(const resp_connection&) = delete;
  resp_connection& operator=(const resp_connection&) = delete;
  ~resp_connection();

  void start(caf::io::broker* self, caf::io::connection_handle wire, std::shared_ptr<const resp_context> context);
  void received(std::string_view bytes);
  void answered();
  void transferred(std::size_t bytes);

private:
  /// A command whose reply has not been written yet.
  struct open_command {
    resp::form as = resp::form::ready;
    resp::version spoken = resp::version::resp2;
    std::size_t waiting = 0; ///< operations without a result
    std::vector<v1::Result> results;
    std::string reply; ///< when as == ready
    bool close = false;
  };

  void work();
  bool may_take_another() const;
  void take(resp::plan plan);
  void take_reply(std::string reply, bool close);
  void write_replies();
  void end_after_writing();
  void account();

  caf::io::broker* self_ = nullptr;
  caf::io::connection_handle wire_;
  std::shared_ptr<const resp_context> context_;
  session_actor session_;
  std::shared_ptr<resp_inbox> inbox_;
  resp::parser parser_;
  std::unique_ptr<resp::conversation> talk_;
  std::deque<open_command> open_;   ///< in the order of their arrival
  std::uint64_t first_open_ = 0;    ///< number of open_.front()
  std::size_t operations_open_ = 0; ///< sum of their `waiting`
  std::size_t reply_bytes_ = 0;     ///< values and replies in open_
  std::size_t unsent_bytes_ = 0;    ///< written, not yet taken by the socket
  std::size_t accounted_bytes_ = 0; ///< what of load->bytes is this connection's
  bool paused_ = false;             ///< reading is halted
  bool ending_ = false;             ///< no further command is taken; ends when all replies are out
};

/// The behaviour of a connection broker, for broker::fork.
caf::behavior run_resp_connection(caf::io::stateful_broker<resp_connection>* self, caf::io::connection_handle wire,
                                  std::shared_ptr<const resp_context> context);

} // namespace troupe
