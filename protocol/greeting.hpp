/// How a link comes up: dial, hello, consent; and how often it tries.
///
///   DIALLER             LISTENER
///   dial ------------->           the transport connects
///   Hello ------------> DOOR      asks its membership, then hands the wire to the link of that peer
///         <------------ Hello     consent: the same connection id; or HelloRefused, and the wire is closed
///   up                  up        the dialler has asked its own membership too
///
/// Of two members the one with the lower id dials; a client node dials every member.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/wire/membership.pb.h"

#include <string>
#include <variant>
#include <vector>

namespace troupe {

struct greeting_options {
  node_id peer;
  bool dials = false;
  v1::Hello self; ///< what this node says of itself; `connection` is filled in per dial
  milliseconds retry_min{20};
  milliseconds retry_max{1000}; ///< also the pause after a refusal
  milliseconds consent_timeout{2000};
};

/// What a greeting wants done, in order.
struct dial {}; ///< ask the transport for a wire; answered by `dialled` or `dial_failed`
struct say_hello {
  v1::Hello hello;
};
struct check_hello { ///< ask this node's membership; answered by `checked`
  v1::Hello hello;
};
struct connection_up {
  std::uint64_t connection = 0;
  incarnation life; ///< the peer's
};
struct connection_down { ///< only ever after connection_up
  std::string why;
};
struct hang_up {}; ///< close the wire
struct refusal {   ///< tell people
  std::uint32_t error = 0;
  std::string what;
  bool repeated = false; ///< the same as the last one
};
using greeting_effect = std::variant<dial, say_hello, check_hello, connection_up, connection_down, hang_up, refusal>;
using greeting_effects = std::vector<greeting_effect>;

class greeting {
public:
  explicit greeting(greeting_options options) : options_(std::move(options)), pause_(options_.retry_min) {}

  /// Dials when it is time; gives up on a listener that does not answer a hello.
  void tick(instant now, greeting_effects& out);
  /// When `tick` next has something to do; `never` when only a message can change anything.
  instant due() const;

  /// TRANSPORT.
  void dialled(instant now, greeting_effects& out);
  void dial_failed(instant now, const std::string& why, greeting_effects& out);
  /// The wire is gone, or the frames on it were refused, or the peer fell silent.
  void lost(instant now, const std::string& why, greeting_effects& out);

  /// DOOR: a hello that this node's membership admits. Replaces a running connection: the peer has given it up.
  void admitted(const v1::Hello& hello, greeting_effects& out);

  /// Over the wire, to the dialler. An answer to an earlier hello is ignored.
  void consented(const v1::Hello& hello, instant now, greeting_effects& out);
  void refused(const v1::HelloRefused& no, instant now, greeting_effects& out);

  /// MEMBERSHIP: what it thinks of the consent; error 0 = admitted.
  void checked(const v1::Hello& hello, const v1::HelloRefused& verdict, instant now, greeting_effects& out);

  bool up() const { return at_ == stage::up; }
  const std::string& last_refusal() const { return last_refusal_; }

private:
  enum class stage : std::uint8_t {
    apart,    ///< a dialler: until retry_at_; a listener: until somebody dials
    dialling, ///< the transport owes an answer
    waiting,  ///< a hello was sent, until consent_by_
    checking, ///< membership owes an answer
    up,
  };
  std::uint64_t next_connection();
  void pause(instant now);
  void refuse(const v1::HelloRefused& no, instant now, greeting_effects& out);

  greeting_options options_;
  stage at_ = stage::apart;
  std::uint64_t connection_ = 0; ///< of the hello in stages waiting, checking and up
  std::uint64_t dials_ = 0;
  nanoseconds pause_;  ///< before the next dial; doubles up to retry_max, reset when a connection is up
  instant retry_at_{}; ///< apart: no dial before
  instant consent_by_ = never;
  std::string last_refusal_; ///< empty = never
};

} // namespace troupe
