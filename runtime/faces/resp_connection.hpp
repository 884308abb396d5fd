/// CONNECTION: one Redis client of the gateway. See resp_gateway.hpp.
#pragma once

#include "runtime/faces/resp_commands.hpp"
#include "runtime/faces/resp_gateway.hpp"
#include "runtime/faces/resp_parser.hpp"

#include <caf/io/broker.hpp>
#include <caf/io/network/native_socket.hpp>

#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

namespace troupe {

/// What a connection needs of its gateway. Shared by all connections.
struct resp_context {
  face_setup face;
  resp_limits bounds;
  std::size_t descriptors_max = 0; ///< descriptors from this number on are not for clients
  std::shared_ptr<resp_load> load;
};

/// CAF names a connection by its descriptor (conn_hdl_from_socket).
inline caf::io::network::native_socket descriptor_of(caf::io::connection_handle wire) {
  return static_cast<caf::io::network::native_socket>(wire.id());
}

/// Results on their way from the session's thread to the broker's. One message announces any number of them.
class resp_inbox {
public:
  struct arrival {
    std::uint64_t command = 0; ///< number of the command
    std::size_t operation = 0; ///< its operation
    v1::WeakAnswer answer;
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
using resume_atom = caf::atom_constant<caf::atom("resume")>;
using linger_atom = caf::atom_constant<caf::atom("linger")>;

/// The state of a connection. Its end, however it comes, closes the session and gives back what it held.
///
/// Reading pauses while the connection holds too much. What CAF does in halt() and trigger() takes effect at the end
/// of a round of events, and trigger() does nothing as long as a halt() of the same round is pending. So reading
/// stops in received() only, and starts in resume() only, which is sent by a function that CAF runs behind that end.
///
/// A connection that ends (QUIT, nonsense, memory) takes no more commands, writes what it owes, closes its side and
/// reads on until the client has closed the other: closing a socket with unread input would reset it, and take the
/// last reply along. A client that neither takes a reply nor closes for a while is cut off.
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
  void resume();
  void lingered();

private:
  /// A command whose reply has not been written yet.
  struct open_command {
    resp::form as = resp::form::ready;
    resp::version spoken = resp::version::resp2;
    std::size_t waiting = 0; ///< operations without a result
    std::size_t bytes = 0;   ///< weight of its operations; given back when the last of them has its result
    std::vector<v1::WeakAnswer> answers;
    std::string field; ///< when as == field
    std::string reply; ///< when as == ready
    bool close = false;
    bool asked = false; ///< when as == token: it is on its way
  };

  void work();
  bool may_take_another() const;
  /// Commands of a connection that ends are read as well, and dropped.
  bool may_read() const { return ending_ || may_take_another(); }
  void resume_later();
  void take(resp::plan plan);
  void take_reply(std::string reply, bool close);
  /// Goes on from a token, or will ask for the session's.
  void take_token(resp::plan plan);
  /// Once all commands before it are answered, which it speaks of.
  void ask_for_token();
  void read_snapshot(std::uint64_t number, std::vector<typed_operation> reads);
  void write_replies();
  void end_after_writing();
  void arm_linger();
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
  std::size_t operation_bytes_ = 0; ///< sum of the `bytes` of those that are waiting
  std::size_t reply_bytes_ = 0;     ///< values and replies in open_
  std::size_t unsent_bytes_ = 0;    ///< written, not yet taken by the socket
  std::size_t accounted_bytes_ = 0; ///< what of load->bytes is this connection's
  bool reading_ = true;             ///< not halted
  bool resume_asked_ = false;       ///< a resume_atom is under way
  bool ending_ = false;             ///< no further command is taken; ends when all replies are out
  bool lingering_ = false;          ///< all replies are written; a linger_atom is under way
  bool side_closed_ = false;        ///< all replies are out; the client is to close
  bool progress_ = false;           ///< since the last linger_atom the client took something, or its side was closed
};

/// The exit reason of a broker whose handler threw.
caf::error as_exit_reason(const std::exception_ptr& thrown);

/// The behaviour of a connection broker, for broker::fork.
caf::behavior run_resp_connection(caf::io::stateful_broker<resp_connection>* self, caf::io::connection_handle wire,
                                  std::shared_ptr<const resp_context> context);

} // namespace troupe
